"""One certificate, read once: what it takes to put it in order, to judge it and to name it in a message.

DER in. All of it is read at once, since `cryptography` reads lazily and would fail anywhere later. Who issued whom in a
whole reply is left to `_chain.py`, what a client would think of it to `_verify.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from . import _ber
from .errors import CertificateError

if TYPE_CHECKING:
    from datetime import datetime

    from cryptography import x509

Name = tuple[frozenset[tuple[str, str | bytes]], ...]
"""A distinguished name as names are compared."""

_NAME_MAX = 200


@dataclass(frozen=True, slots=True, eq=False)
class Facts:
    """What there is to know of a certificate. Compared by identity: cross-signed twins share subject and key."""

    der: bytes
    certificate: x509.Certificate  # with another serial number where its own is not positive: hand on `der` alone
    subject: Name
    issuer: Name
    serial: int
    has_positive_serial: bool
    key: Any
    key_info: bytes
    key_id: bytes | None
    issuer_key_id: bytes | None
    issuer_named: tuple[Name, int] | None  # the issuer's own issuer and serial number, which tell twins apart
    ca_flag: bool | None  # None without BasicConstraints
    may_sign: bool  # False where a key usage leaves out the signing of certificates
    is_version_1: bool
    start: datetime
    end: datetime


def read(der: bytes) -> Facts:
    """Return all that is ever looked at, so that nothing fails later. Raises `CertificateError`."""
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    try:
        presentable = _ber.with_positive_serial(der)
        certificate = x509.load_der_x509_certificate(presentable)
        key = certificate.public_key()
        extensions: dict[type[x509.ExtensionType], Any] = {
            type(each.value): each.value for each in certificate.extensions
        }
        constraints = extensions.get(x509.BasicConstraints)
        usage = extensions.get(x509.KeyUsage)
        key_id = extensions.get(x509.SubjectKeyIdentifier)
        authority = extensions.get(x509.AuthorityKeyIdentifier)
        return Facts(
            der=der,
            certificate=certificate,
            subject=comparable(certificate.subject),
            issuer=comparable(certificate.issuer),
            serial=certificate.serial_number,
            has_positive_serial=presentable == der,
            key=key,
            key_info=key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
            key_id=key_id and key_id.digest,
            issuer_key_id=authority and authority.key_identifier,
            issuer_named=authority and _named_issuer(authority),
            ca_flag=constraints and constraints.ca,
            may_sign=usage is None or usage.key_cert_sign,
            is_version_1=certificate.version is x509.Version.v1,
            start=certificate.not_valid_before_utc,
            end=certificate.not_valid_after_utc,
        )
    except Exception as error:
        # What cryptography raises for a broken name, extension or key has no common class.
        raise CertificateError(f"the certificate cannot be read: {one_line(str(error))}") from error


def comparable(name: x509.Name) -> Name:
    """Return a name without what does not count when two are compared: kind of string, case, spaces (RFC 5280, 7.1)."""
    return tuple(frozenset((each.oid.dotted_string, _folded(each.value)) for each in part) for part in name.rdns)


def _folded(value: str | bytes) -> str | bytes:
    return " ".join(value.split()).casefold() if isinstance(value, str) else value


def _named_issuer(authority: x509.AuthorityKeyIdentifier) -> tuple[Name, int] | None:
    from cryptography.x509 import DirectoryName

    serial = authority.authority_cert_serial_number
    names = [each.value for each in authority.authority_cert_issuer or () if isinstance(each, DirectoryName)]
    return None if serial is None or not names else (comparable(names[0]), serial)


def is_signed_by(child: Facts, candidate: Facts) -> bool:
    """Say whether the candidate's key made the child's signature: over the bytes as they came, whatever the serial."""
    from cryptography.hazmat.primitives.asymmetric import dsa, ec, rsa

    signed = child.certificate
    try:
        elements = _ber.Elements(child.der)
        _, start, _ = elements.header(0)
        body = child.der[start : elements.end(start)]
        how: dict[type, tuple[Any, ...]] = {
            rsa.RSAPublicKey: (signed.signature_algorithm_parameters, signed.signature_hash_algorithm),
            ec.EllipticCurvePublicKey: (signed.signature_algorithm_parameters,),
            dsa.DSAPublicKey: (signed.signature_hash_algorithm,),
        }
        arguments = next((given for kind, given in how.items() if isinstance(candidate.key, kind)), ())
        candidate.key.verify(signed.signature, body, *arguments)
    except Exception:  # noqa: BLE001 - a wrong signature, an unknown algorithm, an unfit key: no common class, one meaning
        return False
    return True


def shown(name: x509.Name) -> str:
    """Return a distinguished name for a message: one line of bounded length."""
    return one_line(name.rfc4514_string()) or "(no name)"


def one_line(text: str) -> str:
    """Make text of unknown origin fit for one line of a message."""
    line = "".join(character if character.isprintable() else " " for character in text[:_NAME_MAX])
    return line + ("..." if len(text) > _NAME_MAX else "")
