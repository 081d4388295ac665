"""What certificates say, and what they are together: a leaf with its chain, or a list. Facts alone, no words.

How they are shown is decided in `showing.py`.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .. import _ber
from .._hosts import hosts_of
from ..certificates import CertificateBundle
from ..errors import CertificateError
from ..models import CertificatePayload, ResponseType
from .wording import one_line

if TYPE_CHECKING:
    from datetime import datetime

    from cryptography import x509

    from .trust import Store

_MOST_LEAVES = 32
"""Certificates that are no CA, up to which a chain is looked for: a file of more is a list of certificates."""


@dataclass(frozen=True, slots=True)
class Described:
    """What one certificate says. `problem` is what of it cannot be read; the rest is empty then."""

    der: bytes
    fingerprint_sha256: str
    subject: str = ""
    name: str = ""
    issuer: str = ""
    issuer_name: str = ""
    dns_names: tuple[str, ...] = ()
    addresses: tuple[str, ...] = ()
    serial_number: int = 0
    not_before: datetime | None = None
    not_after: datetime | None = None
    is_ca: bool | None = None
    key: str = ""
    problem: str | None = None

    def days_left(self, now: datetime) -> int | None:
        """Return the whole days until it ends, negative since it ended."""
        return None if self.not_after is None else (self.not_after - now).days


def describe(der: bytes) -> Described:
    """Return what a certificate says. Names come without control characters, on one line."""
    from cryptography.x509 import load_der_x509_certificate

    fingerprint = hashlib.sha256(der).hexdigest()
    try:
        certificate = load_der_x509_certificate(_ber.with_positive_serial(der))
        return Described(
            der,
            fingerprint,
            subject=one_line(certificate.subject.rfc4514_string()),
            name=_short(certificate.subject),
            issuer=one_line(certificate.issuer.rfc4514_string()),
            issuer_name=_short(certificate.issuer),
            dns_names=_dns_names(certificate),
            addresses=_addresses(certificate),
            serial_number=_ber.serial_number(der),
            not_before=certificate.not_valid_before_utc,
            not_after=certificate.not_valid_after_utc,
            is_ca=_is_ca(certificate),
            key=_key(certificate),
        )
    except Exception as error:  # noqa: BLE001 - cryptography reads lazily; what it raises has no common class
        return Described(der, fingerprint, problem=one_line(str(error)) or type(error).__name__)


def _short(name: x509.Name) -> str:
    """Return what people call it: the common name, else the unit or the organisation, else the whole name."""
    from cryptography.x509 import NameOID

    for oid in (NameOID.COMMON_NAME, NameOID.ORGANIZATIONAL_UNIT_NAME, NameOID.ORGANIZATION_NAME):
        for attribute in name.get_attributes_for_oid(oid):
            if said := one_line(str(attribute.value)):
                return said
    return one_line(name.rfc4514_string()) or "(no name)"


def _dns_names(certificate: x509.Certificate) -> tuple[str, ...]:
    from cryptography import x509

    try:
        named = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return ()
    return tuple(one_line(each) for each in named.value.get_values_for_type(x509.DNSName))


def _addresses(certificate: x509.Certificate) -> tuple[str, ...]:
    return tuple(str(each) for each in hosts_of(certificate) if not isinstance(each, str))


def _is_ca(certificate: x509.Certificate) -> bool:
    """Say whether it is a CA. Version 1 knows no CA flag; its self-signed certificates are roots of old."""
    from cryptography import x509

    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        return certificate.version is x509.Version.v1 and certificate.subject == certificate.issuer


def _key(certificate: x509.Certificate) -> str:
    from cryptography.exceptions import UnsupportedAlgorithm

    try:
        return key_text(certificate.public_key())
    except (ValueError, UnsupportedAlgorithm):
        return "unknown"


def key_text(key: object) -> str:
    """Return the kind of a key, private or public, and its size or curve."""
    kind = type(key).__name__.removesuffix("PrivateKey").removesuffix("PublicKey")
    curve, size = getattr(key, "curve", None), getattr(key, "key_size", None)
    more = curve.name if curve is not None else size
    return " ".join(str(each) for each in (kind.replace("EllipticCurve", "EC"), more) if each is not None)


# --- several of them --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Together:
    """What certificates are together: a leaf and its chain, with those that do not belong to it; or a list.

    `bundle` is None for a list, and `no_chain` says why unless all of it are CAs.
    """

    bundle: CertificateBundle | None
    leaf: Described | None
    chain: tuple[Described, ...]
    others: tuple[Described, ...]
    no_chain: str | None = None


def put_in_order(certificates: tuple[bytes, ...], leaf: bytes | None = None) -> Together:
    """Find the leaf and its chain among certificates; `leaf` is known to be the one, where a key of its came along."""
    from cryptography.hazmat.primitives.serialization import Encoding

    described = {der: describe(der) for der in certificates}
    candidates = [each for each in described.values() if each.is_ca is False]
    problem = None
    if candidates and len(candidates) <= _MOST_LEAVES:
        payload = CertificatePayload(
            response_type=ResponseType.INDIVIDUAL, data=None, certificates=certificates, leaf=leaf
        )
        try:
            bundle = CertificateBundle.from_payload(payload)
        except CertificateError as error:
            problem = one_line(str(error))
        else:
            way = [each.public_bytes(Encoding.DER) for each in (bundle.certificate, *bundle.chain)]
            others = tuple(each for der, each in described.items() if der not in way)
            return Together(bundle, described[way[0]], tuple(described[der] for der in way[1:]), others)
    elif candidates:
        problem = f"{len(candidates)} certificates are no CAs: a list, not a chain"
    return Together(None, None, (), tuple(described.values()), problem)


@dataclass(frozen=True, slots=True)
class Trust:
    """Whether a leaf's chain leads to a trusted root: the root's name, or what is wrong."""

    root: str | None
    problem: str | None


def trust_in(bundle: CertificateBundle, store: Store) -> Trust:
    """Judge a chain as a client would that trusts the store's roots, now, for the leaf's own first name."""
    try:
        way = bundle.verify(store.pem)
    except CertificateError as error:
        return Trust(None, one_line(str(error)))
    return Trust(_short(way[-1].subject), None)
