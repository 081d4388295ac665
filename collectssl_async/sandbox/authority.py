"""The throwaway certification authority: an old root, the root that it cross-signed, an issuing CA, and their leaves.

Keys of the CAs never leave memory, and every CA's name says SANDBOX. Who may have a certificate, and when, is the
orders' business.
"""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from ipaddress import ip_address
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date

    from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes

LEAF_DAYS = 199
"""How long a certificate is valid, in days; the last of them ends at 23:59:59."""

POLICIES = {
    "dv": x509.ObjectIdentifier("2.23.140.1.2.1"),
    "ov": x509.ObjectIdentifier("2.23.140.1.2.2"),
    "ev": x509.ObjectIdentifier("2.23.140.1.1"),
}
"""The products, and the policy that a certificate of each asserts."""

_ORGANISATION = "SANDBOX (collectssl-async, never to be trusted)"
_COMMON_NAME_MAX = 64
_SERVER_AUTH = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])


class Authority:
    """One chain of throwaway CAs, good for ten years. Thread-safe: nothing changes after it was made."""

    def __init__(self) -> None:
        old_key, root_key, issuing_key = (_new_key() for _ in range(3))
        old_name, root_name, issuing_name = (
            _ca_name(text) for text in ("SANDBOX Old Root R1", "SANDBOX Root R2", "SANDBOX Secure Server CA")
        )
        self.old_root = _ca_certificate(old_name, old_key, old_name, old_key)
        self.root = _ca_certificate(root_name, root_key, root_name, root_key)
        self.cross_signed_root = _ca_certificate(root_name, root_key, old_name, old_key)
        self.issuing_ca = _ca_certificate(issuing_name, issuing_key, root_name, root_key, path_length=0)
        self._issuing_key = issuing_key

    @property
    def chain(self) -> tuple[x509.Certificate, ...]:
        """What is sent beside a leaf: root first, issuing CA last."""
        return self.old_root, self.cross_signed_root, self.issuing_ca

    def issue(
        self,
        names: Sequence[str],
        public_key: CertificatePublicKeyTypes,
        *,
        product: str = "dv",
        addresses: Sequence[str] = (),
    ) -> x509.Certificate:
        """Return a server certificate for DNS names (and IP addresses), valid from today 00:00:00 GMT."""
        start, end = certificate_term(datetime.now(UTC).date())
        alternatives: list[x509.GeneralName] = [x509.DNSName(name) for name in names]
        alternatives += [x509.IPAddress(ip_address(address)) for address in addresses]
        # A common name holds 64 characters, a DNS name 253: the names that count are the alternative ones.
        common = [x509.NameAttribute(NameOID.COMMON_NAME, names[0])] if len(names[0]) <= _COMMON_NAME_MAX else []
        return (
            x509.CertificateBuilder()
            .subject_name(x509.Name(common))
            .issuer_name(self.issuing_ca.subject)
            .public_key(public_key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(start)
            .not_valid_after(end)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(digital_signature=True), critical=True)
            .add_extension(_SERVER_AUTH, critical=False)
            .add_extension(x509.SubjectAlternativeName(alternatives), critical=not common)
            .add_extension(x509.CertificatePolicies([x509.PolicyInformation(POLICIES[product], None)]), critical=False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
            .add_extension(_authority_identifier(self._issuing_key), critical=False)
            .sign(self._issuing_key, hashes.SHA256())
        )


def certificate_term(day: date) -> tuple[datetime, datetime]:
    """Return the first and the last second of a certificate issued that day. Reference: "not before", "not after"."""
    start = datetime.combine(day, time.min, UTC)
    return start, start + timedelta(days=LEAF_DAYS + 1, seconds=-1)


def product_term(day: date) -> tuple[datetime, datetime]:
    """Return the first and the last moment of a product bought that day for a year; both are at 00:00:00."""
    start = datetime.combine(day, time.min, UTC)
    leap_day = (day.month, day.day) == (2, 29)
    return start, start.replace(year=day.year + 1, day=28 if leap_day else day.day)


def read_csr(csr: x509.CertificateSigningRequest | bytes | str) -> x509.CertificateSigningRequest:
    """Return a signing request from PEM, DER or as it is. Raises `ValueError` for one that is broken or not signed."""
    if isinstance(csr, (bytes, str)):
        data = csr.encode() if isinstance(csr, str) else csr
        armoured = b"-----BEGIN" in data
        try:
            csr = x509.load_pem_x509_csr(data) if armoured else x509.load_der_x509_csr(data)
        except ValueError as error:
            raise ValueError(f"the CSR cannot be read as PEM or DER: {error}") from None
    if not csr.is_signature_valid:
        raise ValueError("the CSR is not signed by its own key")
    return csr


def names_in(csr: x509.CertificateSigningRequest) -> tuple[str, ...]:
    """Return the DNS names that a signing request asks for in its extensions."""
    for extension in csr.extensions:
        if isinstance(extension.value, x509.SubjectAlternativeName):
            return tuple(extension.value.get_values_for_type(x509.DNSName))
    return ()


def new_private_key() -> ec.EllipticCurvePrivateKey:
    """Return a key for a leaf: P-256, which makes an issue cheap."""
    return _new_key()


def private_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    """Return the key as unencrypted PKCS#8 PEM."""
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def pem(*certificates: x509.Certificate) -> str:
    """Return certificates as PEM text, one after the other."""
    return "".join(each.public_bytes(serialization.Encoding.PEM).decode() for each in certificates)


def der(certificate: x509.Certificate) -> bytes:
    """Return a certificate as DER."""
    return certificate.public_bytes(serialization.Encoding.DER)


def _new_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def _ca_name(common_name: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, _ORGANISATION),
            x509.NameAttribute(NameOID.COMMON_NAME, common_name),
        ]
    )


def _ca_certificate(
    subject: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    issuer: x509.Name,
    issuer_key: ec.EllipticCurvePrivateKey,
    *,
    path_length: int | None = None,
) -> x509.Certificate:
    year = datetime.now(UTC).year
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(datetime(year - 1, 1, 1, tzinfo=UTC))
        .not_valid_after(datetime(year + 10, 12, 31, 23, 59, 59, tzinfo=UTC))
        .add_extension(x509.BasicConstraints(ca=True, path_length=path_length), critical=True)
        .add_extension(_key_usage(signs_certificates=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(_authority_identifier(issuer_key), critical=False)
    )
    if path_length is not None:
        builder = builder.add_extension(_SERVER_AUTH, critical=False)
    return builder.sign(issuer_key, hashes.SHA256())


def _authority_identifier(issuer_key: ec.EllipticCurvePrivateKey) -> x509.AuthorityKeyIdentifier:
    return x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key())


def _key_usage(*, digital_signature: bool = False, signs_certificates: bool = False) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=digital_signature,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
