"""Throwaway CAs and leaves for tests: an `Identity` is a certificate with its private key, and issues further ones.

Of the package under test it knows the payload alone, in which certificates arrive. Keys are EC unless told otherwise,
since those are made in no time; dates surround the present, so that a TLS client accepts what is made here.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Literal, NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from collectssl_async.models import CertificatePayload, ResponseType

if TYPE_CHECKING:
    from collections.abc import Sequence

PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey
KeyKind = Literal["ec", "rsa", "ed25519"]

NOW = datetime.now(UTC).replace(microsecond=0)
CA_START, CA_END = NOW - timedelta(days=30), NOW + timedelta(days=3650)
LEAF_START, LEAF_END = NOW - timedelta(hours=1), NOW + timedelta(days=90)


def new_key(kind: KeyKind = "ec") -> PrivateKey:
    """Return a fresh private key: P-256, RSA of 2048 bits, or Ed25519."""
    if kind == "rsa":
        return rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return ed25519.Ed25519PrivateKey.generate() if kind == "ed25519" else ec.generate_private_key(ec.SECP256R1())


def name(common_name: str) -> x509.Name:
    """Return a distinguished name as CAs have them: country, organisation, common name."""
    texts = ((NameOID.COUNTRY_NAME, "GB"), (NameOID.ORGANIZATION_NAME, "Test CAs"), (NameOID.COMMON_NAME, common_name))
    return x509.Name([x509.NameAttribute(oid, text) for oid, text in texts])


@dataclass(frozen=True)
class Identity:
    """A certificate and the private key that belongs to it."""

    certificate: x509.Certificate
    key: PrivateKey

    @property
    def der(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.DER)

    @property
    def pem(self) -> str:
        return self.certificate.public_bytes(serialization.Encoding.PEM).decode()

    @property
    def key_pem(self) -> bytes:
        """The key in unencrypted PKCS#8."""
        return self.key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )

    def ca(
        self,
        common_name: str,
        *,
        key: PrivateKey | None = None,
        kind: KeyKind = "ec",
        start: datetime = CA_START,
        end: datetime = CA_END,
        is_ca: bool = True,
        key_ids: bool = True,
        path_length: int | None = None,
        extensions: Sequence[x509.ExtensionType] = (),
    ) -> Identity:
        """Issue a CA; `is_ca=False` takes its CA flag, `key_ids=False` its key identifiers."""
        return issue(
            name(common_name),
            key or new_key(kind),
            self,
            start,
            end,
            [*ca_extensions(is_ca=is_ca, path_length=path_length), *extensions],
            key_ids=key_ids,
        )

    def cross_sign(
        self, other: Identity, *, start: datetime = CA_START, end: datetime = CA_END, key_ids: bool = True
    ) -> Identity:
        """Issue the other CA a second certificate: same subject, same key, signed by this one."""
        return issue(other.certificate.subject, other.key, self, start, end, ca_extensions(), key_ids=key_ids)

    def leaf(
        self,
        *dns_names: str,
        subject: x509.Name | None = None,
        key: PrivateKey | None = None,
        kind: KeyKind = "ec",
        start: datetime = LEAF_START,
        end: datetime = LEAF_END,
        key_ids: bool = True,
        extensions: Sequence[x509.ExtensionType] = (),
    ) -> Identity:
        """Issue a server certificate; the subject's CN is the first name. Without names there is no SAN."""
        named = [x509.SubjectAlternativeName([x509.DNSName(each) for each in dns_names])] if dns_names else []
        common_name = [x509.NameAttribute(NameOID.COMMON_NAME, each) for each in dns_names[:1]]
        return issue(
            x509.Name(common_name) if subject is None else subject,
            key or new_key(kind),
            self,
            start,
            end,
            [*leaf_extensions(), *named, *extensions],
            key_ids=key_ids,
        )


def root(
    common_name: str = "Test Root",
    *,
    key: PrivateKey | None = None,
    kind: KeyKind = "ec",
    start: datetime = CA_START,
    end: datetime = CA_END,
    is_ca: bool = True,
    key_ids: bool = True,
) -> Identity:
    """Return a self-signed CA."""
    extensions = ca_extensions(is_ca=is_ca)
    return issue(name(common_name), key or new_key(kind), None, start, end, extensions, key_ids=key_ids)


class Hierarchy(NamedTuple):
    """What a CA hands out: an old self-signed root, the newer root signed by it and by itself, issuing CA and leaf."""

    old_root: Identity
    cross_root: Identity
    new_root: Identity
    issuing: Identity
    leaf: Identity


def hierarchy(*dns_names: str, kind: KeyKind = "ec", key: PrivateKey | None = None) -> Hierarchy:
    """Return a whole hierarchy whose leaf is for the given names, `shop.example.com` without any."""
    old_root, new_root = root("Test Old Root", kind=kind), root("Test New Root", kind=kind)
    issuing = new_root.ca("Test Issuing CA", kind=kind)
    leaf = issuing.leaf(*(dns_names or ("shop.example.com",)), kind=kind, key=key)
    return Hierarchy(old_root, old_root.cross_sign(new_root), new_root, issuing, leaf)


def payload(*certificates: Identity | bytes, leaf: Identity | bytes | None = None) -> CertificatePayload:
    """Return certificates as a reply brings them, in this order; `leaf` is the one that the reply names."""
    return CertificatePayload(
        response_type=ResponseType.INDIVIDUAL,
        certificates=tuple(_der(each) for each in certificates),
        leaf=None if leaf is None else _der(leaf),
    )


def _der(certificate: Identity | bytes) -> bytes:
    return certificate if isinstance(certificate, bytes) else certificate.der


def ca_extensions(
    *, is_ca: bool = True, signs_certificates: bool = True, path_length: int | None = None
) -> list[x509.ExtensionType]:
    """Return what RFC 5280 asks of a CA, besides the key identifiers."""
    return [
        x509.BasicConstraints(ca=is_ca, path_length=path_length),
        _key_usage(signs_certificates=signs_certificates),
    ]


def leaf_extensions() -> list[x509.ExtensionType]:
    """Return what a server certificate carries, besides its names and the key identifiers."""
    return [
        x509.BasicConstraints(ca=False, path_length=None),
        _key_usage(signs_certificates=False),
        x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]),
    ]


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def issue(
    subject: x509.Name,
    key: PrivateKey,
    issuer: Identity | None,
    start: datetime,
    end: datetime,
    extensions: Sequence[x509.ExtensionType],
    *,
    key_ids: bool = True,
    critical: tuple[type[x509.ExtensionType], ...] = (x509.BasicConstraints, x509.KeyUsage),
    digest: hashes.SHA256 | hashes.SHA384 | None = None,
    rsa_padding: padding.PSS | None = None,
) -> Identity:
    """Make a certificate with exactly these extensions and, unless told otherwise, both key identifiers.

    Without an issuer it is self-signed. The digest is SHA-256 where the key takes one.
    """
    signer = issuer.key if issuer else key
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.certificate.subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(end)
    )
    for extension in extensions:
        builder = builder.add_extension(extension, critical=isinstance(extension, critical))
    if key_ids:
        builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        authority = x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key())
        builder = builder.add_extension(authority, critical=False)
    with_digest = None if isinstance(signer, ed25519.Ed25519PrivateKey) else digest or hashes.SHA256()
    return Identity(builder.sign(signer, with_digest, rsa_padding=rsa_padding), key)


# --- what the certificate builder refuses to make ---------------------------------------------------------------------


def version_1(identity: Identity, issuer: Identity | None = None) -> Identity:
    """Return the certificate in X.509 version 1, which knows no extensions and so no CA flag.

    Without an issuer it is self-signed.
    """
    version, extensions = 0xA0, 0xA3
    fields = [whole for whole, _ in _fields(identity) if whole[0] not in (version, extensions)]
    der = _signed_again(identity, fields, (issuer or identity).key)
    return Identity(x509.load_der_x509_certificate(der), identity.key)


def with_serial(identity: Identity, serial: int, issuer: Identity | None = None) -> bytes:
    """Return the certificate's DER with a serial number that may be zero or negative: loading it warns."""
    fields = [whole for whole, _ in _fields(identity)]
    fields[1] = _element(0x02, serial.to_bytes(serial.bit_length() // 8 + 1, "big", signed=True))
    return _signed_again(identity, fields, (issuer or identity).key)


def with_sha1(identity: Identity, issuer: Identity) -> Identity:
    """Return the certificate signed by SHA-1, as was usual until 2016. RSA alone."""
    fields = [whole for whole, _ in _fields(identity)]
    fields[2] = _SHA1_WITH_RSA
    der = _signed_again(identity, fields, issuer.key, hashes.SHA1())
    return Identity(x509.load_der_x509_certificate(der), identity.key)


def with_pss_key(identity: Identity) -> Identity:
    """Return a self-signed certificate that states its RSA key to be for RSA-PSS alone."""
    fields = [whole for whole, _ in _fields(identity)]
    _, key = _elements(_elements(fields[6])[0][1])
    fields[6] = _element(_SEQUENCE, _RSA_PSS + key[0])
    return Identity(x509.load_der_x509_certificate(_signed_again(identity, fields, identity.key)), identity.key)


_SEQUENCE = 0x30
_RSA_PSS = bytes.fromhex("300b06092a864886f70d01010a")
_SHA1_WITH_RSA = bytes.fromhex("300d06092a864886f70d0101050500")


def _fields(identity: Identity) -> list[tuple[bytes, bytes]]:
    return _elements(_elements(identity.certificate.tbs_certificate_bytes)[0][1])


def _signed_again(
    identity: Identity, fields: Sequence[bytes], key: PrivateKey, digest: hashes.SHA1 | hashes.SHA256 | None = None
) -> bytes:
    """Return a certificate of other fields, signed by a key of the kind and a digest that the fields name."""
    tbs = _element(_SEQUENCE, b"".join(fields))
    if isinstance(key, rsa.RSAPrivateKey):
        signature = key.sign(tbs, padding.PKCS1v15(), digest or hashes.SHA256())
    elif isinstance(key, ec.EllipticCurvePrivateKey):
        signature = key.sign(tbs, ec.ECDSA(digest or hashes.SHA256()))
    else:
        signature = key.sign(tbs)
    algorithm = next(each for each in fields[1:] if each[0] == _SEQUENCE)
    return _element(_SEQUENCE, tbs + algorithm + _element(0x03, b"\0" + signature))


def altered(identity: Identity, old: bytes, new: bytes) -> bytes:
    """Return the certificate's DER with equally many bytes replaced: what no CA would sign."""
    if len(old) != len(new) or identity.der.count(old) != 1:
        raise ValueError("the bytes to replace must be equally many and occur once")
    return identity.der.replace(old, new)


def _element(tag: int, content: bytes) -> bytes:
    """Encode one DER element."""
    if len(content) < 0x80:
        return bytes([tag, len(content)]) + content
    length = len(content).to_bytes((len(content).bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(length)]) + length + content


def _elements(data: bytes) -> list[tuple[bytes, bytes]]:
    """Split a run of DER elements into pairs of the whole element and its content."""
    found = []
    while data:
        start, length = 2, data[1]
        if length & 0x80:
            start += length & 0x7F
            length = int.from_bytes(data[2:start], "big")
        found.append((data[: start + length], data[start : start + length]))
        data = data[start + length :]
    return found
