"""Packs certificates the way each `responseType` asks for: ZIP, Netscape certificate sequence, PKCS#7.

The opposite of the package's own `containers`, and kept apart from it, so that a mistake in one is not made in both.
"""

from __future__ import annotations

import io
import zipfile
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.serialization import Encoding, pkcs7

from ..models import ResponseType
from .authority import der, pem

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from cryptography import x509

    from .variations import Variations

_NETSCAPE_SEQUENCE = bytes.fromhex("06 09 60 86 48 01 86 f8 42 02 05")  # the OID 2.16.840.1.113730.2.5 in DER
_README = "These certificates come from a SANDBOX. Trust them nowhere.\n"


def pack_zip(certificates: Sequence[x509.Certificate], vary: Variations) -> bytes:
    """Return a ZIP archive with one file a certificate."""
    plain = ("root.crt", "cross-signed-root.crt", "issuing-ca.crt", "certificate.crt")
    anyhow = ("D", "c.cer", "sub folder/b.txt", "a.pem")
    members = [
        (name, _member(each, vary))
        for name, each in zip(anyhow if vary.pick("zip_names") else plain, certificates, strict=True)
    ]
    if vary.pick("zip_readme"):
        members.append(("README.txt", _README.encode()))
    places = vary.shuffle("zip_names", [name for name, _ in members])
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in sorted(members, key=lambda member: places[member[0]]):
            archive.writestr(name, data)
    return target.getvalue()


def _member(certificate: x509.Certificate, vary: Variations) -> bytes:
    if vary.pick("zip_der"):
        return der(certificate)
    return pem(certificate).replace("\n", vary.pick("zip_line_ending")).encode()


def pack_netscape(certificates: Sequence[x509.Certificate], _vary: Variations) -> bytes:
    """Return a Netscape certificate sequence in DER: a ContentInfo around a SEQUENCE OF Certificate."""
    sequence = _tlv(0x30, b"".join(map(der, certificates)))
    return _tlv(0x30, _NETSCAPE_SEQUENCE + _tlv(0xA0, sequence))


def pack_pkcs7(certificates: Sequence[x509.Certificate], _vary: Variations) -> bytes:
    """Return a degenerate PKCS#7 SignedData in DER."""
    return pkcs7.serialize_certificates(list(certificates), Encoding.DER)


def _tlv(tag: int, content: bytes) -> bytes:
    """Return one DER element; a certificate's 128 bytes and more have their length in the long form."""
    length = len(content)
    size = (length.bit_length() + 7) // 8
    return bytes([tag, 0x80 | size]) + length.to_bytes(size) + content


PACKERS: dict[ResponseType, tuple[str, Callable[[Sequence[x509.Certificate], Variations], bytes]]] = {
    ResponseType.ZIP: ("zipFile", pack_zip),
    ResponseType.NETSCAPE: ("netscapeCertificateSequence", pack_netscape),
    ResponseType.PKCS7: ("pkcs7", pack_pkcs7),
}
"""The reply parameter of each container, and what makes it."""
