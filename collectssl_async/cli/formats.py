"""What `collect --format` can leave behind, how it is asked for, and the one file that is not PEM.

The service's containers are kept as they were received; PKCS#12 is made here, from the certificate and its key. PEM
files are `CertificateBundle.write`'s.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from .. import containers
from .._writing import look_at, write_files
from ..errors import CertificateError, MalformedResponseError
from ..models import CollectSSLRequest, QueryType, ResponseFormat, ResponseType
from .reading import read_pkcs12

if TYPE_CHECKING:
    from pathlib import Path

    from pydantic import SecretStr

    from ..certificates import CertificateBundle
    from ..models import CertificatePayload, OrderRef


class Format(StrEnum):
    """The values of `--format`."""

    PEM = "pem"
    ZIP = "zip"
    PKCS7 = "pkcs7"
    NETSCAPE = "netscape"
    PKCS12 = "pkcs12"


class LayoutName(StrEnum):
    """The values of `--layout`."""

    FLAT = "flat"
    VERSIONED = "versioned"


@dataclass(frozen=True, slots=True)
class Kind:
    """What a format is asked for as, and the file that it becomes; None for PEM, which is several files."""

    response_type: ResponseType
    file: str | None


KINDS = {
    Format.PEM: Kind(ResponseType.INDIVIDUAL, None),
    Format.ZIP: Kind(ResponseType.ZIP, "certificate.zip"),
    Format.PKCS7: Kind(ResponseType.PKCS7, "certificate.p7b"),
    Format.NETSCAPE: Kind(ResponseType.NETSCAPE, "certificate.nseq"),
    Format.PKCS12: Kind(ResponseType.INDIVIDUAL, "certificate.p12"),
}


def request_for(order: OrderRef, response_type: ResponseType) -> CollectSSLRequest:
    """Return the request for an order's certificate and chain in a container, or each by itself."""
    return CollectSSLRequest(
        **order.model_dump(),
        query_type=QueryType.CERTIFICATE_AND_CHAIN,
        response_type=response_type,
        response_format=ResponseFormat.URL_ENCODED,
    )


def container_of(payload: CertificatePayload | None) -> bytes:
    """Return the container as it was received. Raises `MalformedResponseError` where the service sent none."""
    if payload is None or payload.data is None:
        raise MalformedResponseError("the service sent the certificates one by one instead of the container asked for")
    return payload.data


def has_container(directory: Path, file: str, data: bytes) -> bool:
    """Say whether the file holds the same certificates already: archives of the same differ in times and names."""
    found = look_at(directory, (file,), called=directory)
    return bool(found) and _certificates_in(found[file].content) == _certificates_in(data)


def write_container(directory: Path, file: str, data: bytes) -> bool:
    """Write a container unless it is there already; say whether that changed anything. Raises `CertificateError`."""
    return not has_container(directory, file, data) and write_files(directory, {file: data}, secret=())


def _certificates_in(data: bytes) -> frozenset[bytes] | None:
    try:
        return frozenset(containers.read(data).certificates)
    except MalformedResponseError:  # whatever stands in its place: it is replaced
        return None


def has_pkcs12(directory: Path, file: str, bundle: CertificateBundle, password: SecretStr) -> bool:
    """Say whether the file opens with the password and holds the certificate, its intermediates and its key already."""
    from cryptography.hazmat.primitives.serialization import Encoding

    found = look_at(directory, (file,), called=directory)
    if not found:
        return False
    try:
        held = read_pkcs12(found[file].content, password)
    except CertificateError:  # another password, or whatever stands in its place: it is replaced
        return False
    certificates = [each.public_bytes(Encoding.DER) for each in (bundle.certificate, *bundle.intermediates)]
    return (
        sorted(held.certificates) == sorted(certificates)
        and held.private_key is not None
        and bundle.matches(held.private_key)
    )


def write_pkcs12(
    directory: Path, file: str, bundle: CertificateBundle, private_key: bytes, password: SecretStr
) -> bool:
    """Write key, certificate and intermediates as PKCS#12, for its owner alone; say whether that changed anything.

    One that holds the same stays, as no two encryptions of it are alike; only its mode is mended. Raises
    `CertificateError`, and `KeyMismatchError` when the key is not the certificate's.
    """
    if has_pkcs12(directory, file, bundle, password):
        return write_files(directory, {}, secret=(file,))
    data = bundle.to_pkcs12(private_key, password.get_secret_value(), bundle.dns_names[0] if bundle.dns_names else None)
    return write_files(directory, {file: data}, secret=(file,))
