"""A payload becomes a `CertificateBundle`: the leaf and its proven chain, ready to be looked at and to be deployed.

How the chain is found is `_chain.py`, how files appear whole is `_writing.py`, what passes for a key is `_keys.py`.
They load, and cryptography with them, when the first certificate is read, not when this module is imported.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from ssl import DER_cert_to_PEM_cert
from typing import TYPE_CHECKING

from .errors import CertificateError, KeyMismatchError

if TYPE_CHECKING:
    import os
    from datetime import datetime

    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes, PublicKeyTypes

    from .models import CertificatePayload

CERTIFICATE_FILE = "cert.pem"
CHAIN_FILE = "chain.pem"
FULLCHAIN_FILE = "fullchain.pem"
PRIVATE_KEY_FILE = "privkey.pem"


@dataclass(frozen=True)
class WrittenFiles:
    """Where the files stand, None for one that is not there, and whether `write` changed what any of them holds.

    A mode that was mended is no change: nobody has to load anything again.
    """

    certificate: Path
    chain: Path | None
    fullchain: Path
    private_key: Path | None
    changed: bool


@dataclass(frozen=True, repr=False)
class CertificateBundle:
    """A leaf and the CAs above it, as far as they came, each proven to have issued the one before.

    Made by `from_payload`. Immutable; bundles of the same certificates are equal, and pickle. Whether a client would
    trust them (a known root, dates, the host's name) is not judged here.
    """

    _leaf: bytes
    _intermediates: tuple[bytes, ...]
    _root: bytes | None

    @classmethod
    def from_payload(cls, payload: CertificatePayload) -> CertificateBundle:
        """Return the leaf and its chain; duplicates and certificates that do not belong to it are dropped.

        The leaf is the one that the reply named, else the only certificate that is no CA and issued none of the others.
        The chain is the way to the farthest issuer; what ended before the leaf began has no place in it.

        Raises `CertificateError` when there is no leaf, more than one, or one that cannot be read, `ChainError` when
        CAs came and none of them issued the leaf.
        """
        from ._chain import build_chain

        return cls(*build_chain(payload.certificates, payload.leaf))

    def __repr__(self) -> str:
        names = ", ".join(self.dns_names) or "no name"
        return f"<CertificateBundle {names}, until {self.not_after:%Y-%m-%d}, sha256 {self.fingerprint_sha256[:16]}>"

    @property
    def certificate(self) -> x509.Certificate:
        """The leaf."""
        return _load(self._leaf)

    @property
    def chain(self) -> tuple[x509.Certificate, ...]:
        """The CAs, issuing CA first, root last where it came. Empty when the leaf came alone."""
        root = () if self._root is None else (self._root,)
        return tuple(_load(der) for der in (*self._intermediates, *root))

    @property
    def intermediates(self) -> tuple[x509.Certificate, ...]:
        """The chain without its root: what a server sends besides the leaf."""
        return tuple(_load(der) for der in self._intermediates)

    @property
    def root(self) -> x509.Certificate | None:
        """The self-signed CA at the chain's end, None where it did not come."""
        return None if self._root is None else _load(self._root)

    @property
    def certificate_pem(self) -> str:
        """The leaf. All PEM here has lines of 64 characters, LF, and one at the end."""
        return _pem(self._leaf)

    @property
    def chain_pem(self) -> str:
        """The intermediates, issuing CA first; empty when there are none."""
        return _pem(*self._intermediates)

    @property
    def fullchain_pem(self) -> str:
        """Leaf and intermediates, which is what most servers load."""
        return _pem(self._leaf, *self._intermediates)

    @property
    def ca_bundle_pem(self) -> str:
        """The whole chain, root included."""
        return self.chain_pem + ("" if self._root is None else _pem(self._root))

    @property
    def dns_names(self) -> tuple[str, ...]:
        """The DNS names of the subject alternative name in its order; without that extension the subject's CN."""
        from cryptography import x509

        leaf = self.certificate
        try:
            named = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName)
        except x509.ExtensionNotFound:
            return tuple(str(each.value) for each in leaf.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME))
        return tuple(named.value.get_values_for_type(x509.DNSName))

    @property
    def serial_number(self) -> int:
        """The leaf's serial number."""
        return self.certificate.serial_number

    @property
    def not_before(self) -> datetime:
        """When the leaf begins, aware, UTC."""
        return self.certificate.not_valid_before_utc

    @property
    def not_after(self) -> datetime:
        """When the leaf ends, aware, UTC."""
        return self.certificate.not_valid_after_utc

    @property
    def fingerprint_sha256(self) -> str:
        """The SHA-256 of the leaf's DER in lower hex."""
        return hashlib.sha256(self._leaf).hexdigest()

    def matches(self, private_key: PrivateKeyTypes | bytes | str) -> bool:
        """Say whether the key is the leaf's: an object of cryptography, or unencrypted PEM.

        Raises `CertificateError` for what is no private key; its message holds nothing of it.
        """
        from ._keys import load_private_key

        return self._is_key_of_leaf(load_private_key(private_key))

    def write(
        self, directory: str | os.PathLike[str], *, private_key: PrivateKeyTypes | bytes | str | None = None
    ) -> WrittenFiles:
        """Write `cert.pem`, `chain.pem` (intermediates), `fullchain.pem` and, with a key, `privkey.pem` (PKCS#8).

        The directory is made with its parents. Each file appears whole or not at all, the key first and `fullchain.pem`
        last. New files have mode 0644, the key 0600; mode and owner of what is replaced are kept, but the key is closed
        to group and others, also where it was there already. What is the same is not written again. Without
        intermediates there is no `chain.pem`: one that an earlier certificate left is removed.

        Blocks until all is on the disk. One writer a directory: two at once leave whole files, perhaps of different
        certificates.

        Raises `KeyMismatchError` when the key, or without one the `privkey.pem` already there, is not the
        certificate's, and `CertificateError` when that key cannot be read, when a symbolic link or a directory stands
        in a file's place (the directory itself may be a link), or when the system refuses. A failed check touches
        nothing; a refusal leaves no temporary file.
        """
        from ._writing import write_files

        folder = Path(directory)
        contents: dict[str, bytes | None] = {
            CERTIFICATE_FILE: self.certificate_pem.encode(),
            CHAIN_FILE: self.chain_pem.encode() or None,
            FULLCHAIN_FILE: self.fullchain_pem.encode(),
        }
        if private_key is not None:
            contents = {PRIVATE_KEY_FILE: self._checked_key(private_key), **contents}
        has_key = private_key is not None or self._has_its_key(folder / PRIVATE_KEY_FILE)
        changed = write_files(folder, contents, secret=(PRIVATE_KEY_FILE,))
        return WrittenFiles(
            certificate=folder / CERTIFICATE_FILE,
            chain=folder / CHAIN_FILE if self._intermediates else None,
            fullchain=folder / FULLCHAIN_FILE,
            private_key=folder / PRIVATE_KEY_FILE if has_key else None,
            changed=changed,
        )

    def _checked_key(self, private_key: PrivateKeyTypes | bytes | str) -> bytes:
        from ._keys import load_private_key, private_key_pem

        key = load_private_key(private_key)
        if not self._is_key_of_leaf(key):
            raise KeyMismatchError(
                f"private_key does not belong to the certificate for {self._called}: "
                "hand in the key that its request (CSR) was made with"
            )
        return private_key_pem(key)

    def _has_its_key(self, path: Path) -> bool:
        """Say whether the key is there; one that is not the certificate's, or that nobody can tell of, is refused."""
        from ._keys import load_private_key
        from ._writing import read_existing

        pem = read_existing(path)
        if pem is None:
            return False
        way_out = "hand in the certificate's private_key, or move the file away"
        try:
            key = load_private_key(pem, what=repr(str(path)))
        except CertificateError as error:
            raise CertificateError(f"{error}; or {way_out}") from None
        if not self._is_key_of_leaf(key):
            raise KeyMismatchError(f"{str(path)!r} does not belong to the certificate for {self._called}: {way_out}")
        return True

    def _is_key_of_leaf(self, key: PrivateKeyTypes) -> bool:
        return _public_bytes(key.public_key()) == _public_bytes(self.certificate.public_key())

    @property
    def _called(self) -> str:
        return self.dns_names[0] if self.dns_names else f"serial number {self.serial_number:x}"


def _load(der: bytes) -> x509.Certificate:
    from cryptography import x509

    return x509.load_der_x509_certificate(der)


def _pem(*ders: bytes) -> str:
    return "".join(DER_cert_to_PEM_cert(der) for der in ders)


def _public_bytes(key: PublicKeyTypes) -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
