"""A payload becomes a `CertificateBundle`: the leaf and its proven chain, ready to be looked at and to be deployed.

How the chain is found is `_chain.py`, what is on the disk is `_layouts.py`, what passes for a key is `_keys.py`.
They load, and cryptography with them, when the first certificate is read, not when this module is imported.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from ssl import DER_cert_to_PEM_cert
from typing import TYPE_CHECKING, Literal

from .errors import KeyMismatchError

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable
    from datetime import datetime

    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes, PublicKeyTypes

    from .models import CertificatePayload


@dataclass(frozen=True)
class WrittenFiles:
    """Where the files stand, None for one that is not there, and whether servers have to load them again.

    They have to when `write` changed what any of the files holds, or when an earlier write did and was killed before it
    could say so. A mode that was mended is no change.
    """

    certificate: Path
    chain: Path | None
    fullchain: Path
    private_key: Path | None
    combined: Path | None
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

    def verify(
        self,
        roots: Iterable[x509.Certificate] | bytes | str,
        at: datetime | None = None,
        hostname: str | None = None,
    ) -> tuple[x509.Certificate, ...]:
        """Return the way from the leaf up to one of the trusted roots as a TLS client finds it, leaf first.

        `roots` are certificates, or PEM that holds them; what came as this bundle's own root is not trusted for that.
        `at` is the moment to judge by, now if not given. Without a `hostname` the leaf's first name has to do.

        Raises `ChainError` that names the certificate at fault and says why, `CertificateError` for roots that cannot
        be read.
        """
        from ._verify import verify_chain

        return verify_chain(self._leaf, self._intermediates, roots, at=at, hostname=hostname)

    def to_pkcs12(
        self, private_key: PrivateKeyTypes | bytes | str, password: str | bytes, name: str | None = None
    ) -> bytes:
        """Return a PKCS#12 file of key, leaf and intermediates, without the root; `name` is what programs list it as.

        Raises `KeyMismatchError` when the key is not the certificate's, `CertificateError` for what is no private key
        and for a password that cannot be used.
        """
        from ._pkcs12 import pack

        try:
            return pack(self._leaf, self._intermediates, self._checked_key(private_key), password=password, name=name)
        finally:
            del password  # or the traceback of an error would have it

    def write(
        self,
        directory: str | os.PathLike[str],
        *,
        private_key: PrivateKeyTypes | bytes | str | None = None,
        layout: Literal["flat", "versioned"] = "flat",
        keep: int = 3,
        combined: bool = False,
    ) -> WrittenFiles:
        """Write `cert.pem`, `chain.pem` (intermediates), `fullchain.pem`, with a key `privkey.pem` (PKCS#8), on request
        `combined.pem` (key and fullchain).

        The directory is made with its parents. New files have mode 0644, those that hold a key 0600; mode and owner of
        what is replaced are kept, but a key is closed to group and others, also where it was there already. What is the
        same is not written again. Without intermediates there is no `chain.pem`: one of an earlier certificate goes.
        `combined` needs the key, handed in or there as `privkey.pem`. A `combined.pem` that is there stays up to date
        though it is not asked for.

        `flat`: each file appears whole or not at all, the key first and `fullchain.pem` last. A writer killed in
        between leaves files of two certificates, which the next write completes.

        `versioned`: the files of each issue appear in a folder of their own, whose name is the time in UTC and the
        beginning of the fingerprint. The symbolic link `current` leads to the latest, and is swapped in one step; what
        comes back are paths through it. A key that is there and fits comes along into the new folder. `keep` folders
        stay, the one in use among them; folders in which others put something are neither counted nor removed.

        One layout a directory. Writers on one host wait for each other, up to 30 seconds. Blocks until all is on the
        disk. A writer that is killed may leave hidden files; the next one removes them, and says that something changed
        where the killed one did not come to say it.

        Raises `KeyMismatchError` when the key, or without one the `privkey.pem` or `combined.pem` already there, is not
        the certificate's; `CertificateError` when that key cannot be read, when a symbolic link or a directory stands
        in a file's place (the directory itself may be a link), when `current` is anything but a link that a write made,
        when the other layout is there, when another writer does not end, or when the system refuses;
        `ConfigurationError` for a wrong `layout` or `keep`. A failed check touches nothing; a refusal of the system
        leaves no temporary file.
        """
        from ._layouts import (
            CERTIFICATE_FILE,
            CHAIN_FILE,
            COMBINED_FILE,
            FULLCHAIN_FILE,
            PRIVATE_KEY_FILE,
            Wanted,
            check_choices,
            write_flat,
            write_versioned,
        )

        check_choices(layout, keep)
        folder = Path(directory)
        wanted = Wanted(
            certificate=self.certificate_pem.encode(),
            chain=self.chain_pem.encode() or None,
            fullchain=self.fullchain_pem.encode(),
            private_key=None if private_key is None else self._checked_key(private_key),
            combined=combined,
            fits=self._is_key_of_leaf,
            name=self._called,
            mark=self.fingerprint_sha256[:16],
        )
        done = write_flat(folder, wanted) if layout == "flat" else write_versioned(folder, wanted, keep=keep)

        def path(name: str) -> Path | None:
            return done.folder / name if name in done.names else None

        return WrittenFiles(
            certificate=done.folder / CERTIFICATE_FILE,
            chain=path(CHAIN_FILE),
            fullchain=done.folder / FULLCHAIN_FILE,
            private_key=path(PRIVATE_KEY_FILE),
            combined=path(COMBINED_FILE),
            changed=done.changed,
        )

    def _checked_key(self, private_key: PrivateKeyTypes | bytes | str) -> PrivateKeyTypes:
        from ._keys import load_private_key

        key = load_private_key(private_key)
        if not self._is_key_of_leaf(key):
            raise KeyMismatchError(
                f"private_key does not belong to the certificate for {self._called}: "
                "hand in the key that its request (CSR) was made with"
            )
        return key

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
