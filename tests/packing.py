"""Containers for tests, made by hand: ZIP, PKCS#7 and Netscape sequence in DER and BER, PEM and base64 of any width."""

from __future__ import annotations

import io
import zipfile
from base64 import b64encode
from functools import cache
from typing import TYPE_CHECKING

from . import pki

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

SIGNED_DATA = bytes.fromhex("06092a864886f70d010702")
NETSCAPE_SEQUENCE = bytes.fromhex("06096086480186f8420205")
DATA = bytes.fromhex("06092a864886f70d010701")


@cache
def chain() -> tuple[bytes, ...]:
    """Return root, issuing CA and leaf in DER, the same for a whole run."""
    made = pki.hierarchy()
    return made.new_root.der, made.issuing.der, made.leaf.der


def tlv(tag: int, content: bytes, *, indefinite: bool = False) -> bytes:
    """Return one BER element, of definite length in the shortest form or of indefinite length."""
    if indefinite:
        return bytes([tag, 0x80]) + content + b"\0\0"
    if len(content) < 0x80:
        return bytes([tag, len(content)]) + content
    length = len(content).to_bytes((len(content).bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(length)]) + length + content


def pack_pkcs7(certificates: Sequence[bytes], *, indefinite: bool = False, others: bytes = b"") -> bytes:
    """Return a degenerate SignedData; `others` stand before the certificates in their set."""

    def element(tag: int, content: bytes) -> bytes:
        return tlv(tag, content, indefinite=indefinite)

    version, digests, signers = tlv(0x02, b"\1"), element(0x31, b""), element(0x31, b"")
    content = element(0x30, DATA)
    signed = element(0x30, version + digests + content + element(0xA0, others + b"".join(certificates)) + signers)
    return element(0x30, SIGNED_DATA + element(0xA0, signed))


def pack_netscape(certificates: Sequence[bytes]) -> bytes:
    """Return a Netscape certificate sequence."""
    return tlv(0x30, NETSCAPE_SEQUENCE + tlv(0xA0, tlv(0x30, b"".join(certificates))))


def pack_zip(members: Mapping[str, bytes], *, compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    """Return a ZIP archive of the members."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", compression) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return target.getvalue()


def base64_lines(data: bytes, *, width: int = 64, line_break: str = "\n") -> str:
    """Return base64 in lines, without a line break at the end."""
    text = b64encode(data).decode()
    return line_break.join(text[at : at + width] for at in range(0, len(text), width))


def pem(data: bytes, *, label: str = "CERTIFICATE", width: int = 64, line_break: str = "\n") -> str:
    """Return PEM."""
    body = base64_lines(data, width=width, line_break=line_break)
    return f"-----BEGIN {label}-----{line_break}{body}{line_break}-----END {label}-----{line_break}"


@cache
def leaf_with_plus_at_line_end() -> bytes:
    """Return a leaf whose base64 has a plus sign at the end of a line of 64, and others elsewhere."""
    return _leaf_with(lambda text: any(text[at] == "+" for at in range(63, len(text), 64)) and text.count("+") > 2)


@cache
def leaf_with_plus_at_the_end() -> bytes:
    """Return a leaf whose base64 ends with a plus sign, and has others elsewhere."""
    return _leaf_with(lambda text: text.endswith("+") and text.count("+") > 2)


def _leaf_with(fits: Callable[[str], bool]) -> bytes:
    issuing, key = pki.root(), pki.new_key()
    while True:
        der = issuing.leaf("plus.example.com", key=key).der
        if fits(b64encode(der).decode()):
            return der
