"""Five mebibytes of what costs most to read: rubbish of every kind, and more certificates than any file has.

The tests look at the memory that each takes, the benchmark `decoding` at the time, too.
"""

from __future__ import annotations

import zipfile
from base64 import b64encode
from functools import cache
from typing import TYPE_CHECKING

from . import pki
from .packing import NETSCAPE_SEQUENCE, SIGNED_DATA, base64_lines, chain, pack_netscape, pack_pkcs7, pack_zip, pem, tlv

if TYPE_CHECKING:
    from collections.abc import Callable

MEBIBYTE = 1024 * 1024
SIZE = 5 * MEBIBYTE

BEGIN, END = b"-----BEGIN CERTIFICATE-----\n", b"\n-----END CERTIFICATE-----\n"
KEY = b"-----BEGIN PRIVATE KEY-----\n"
LINE = b"MIIB" * 16


@cache
def rsa() -> bytes:
    """A certificate as large as most are."""
    return pki.root(kind="rsa").leaf("shop.example.com", kind="rsa").der


def filled(piece: bytes, begin: bytes = b"", end: bytes = b"", *, size: int | None = None) -> bytes:
    """Repeat a piece until the size is reached, `SIZE` by default, between a beginning and an end."""
    left = (SIZE if size is None else size) - len(begin) - len(end)
    return begin + piece * (left // len(piece)) + end


def many(certificate: bytes) -> list[bytes]:
    return [certificate] * (SIZE // len(certificate) - 1)


RUBBISH: dict[str, Callable[[], bytes]] = {
    "zero bytes": lambda: bytes(SIZE),
    "dashes": lambda: filled(b"-"),
    "long dashes": lambda: filled("\u2014".encode()),
    "spaces": lambda: filled(b" "),
    "line breaks": lambda: filled(b"\r\n"),
    "BEGIN": lambda: filled(b"BEGIN"),
    "characters of four bytes": lambda: filled("\U0001f512".encode(), b"BEGIN "),
    "bytes that are no UTF-8": lambda: filled(b"\x93\xff\x81", b"BEGIN "),
    "boundaries": lambda: filled(BEGIN),
    "tiny blocks": lambda: filled(BEGIN + b"MIIB" + END),
    "a block that does not end": lambda: filled(LINE + b"\n", BEGIN),
    "a block of base64": lambda: filled(LINE + b"\n", BEGIN, END),
    "a block of base64 with spaces": lambda: filled(b"MIIB ", BEGIN, END),
    "a trusted block of base64": lambda: filled(
        LINE, b"-----BEGIN TRUSTED CERTIFICATE-----\n", b"\n-----END TRUSTED CERTIFICATE-----\n"
    ),
    "blocks of base64 with spaces": lambda: filled(BEGIN + b"MIIB " * 200 + END),
    "base64": lambda: filled(LINE),
    "base64 in lines": lambda: filled(LINE + b"\r\n"),
    "base64 with spaces": lambda: filled(b"MIIB "),
    "base64 and spaces for line breaks": lambda: filled(LINE + b" ", end=b"  ", size=256 * 1024),
    "base64 that ends badly": lambda: filled(LINE, end=b"\xff"),
    "base64 of base64": lambda: b64encode(b64encode(filled(LINE, size=SIZE // 2))),
    "base64 of boundaries": lambda: b64encode(filled(BEGIN, size=SIZE * 3 // 4)),
    "base64 of a ZIP": lambda: b64encode(pack_zip({"a": bytes(SIZE * 3 // 4)}, compression=zipfile.ZIP_STORED)),
    "base64 of blocks that end badly": lambda: b64encode(filled(pem(rsa()).encode(), end=BEGIN, size=SIZE * 3 // 4)),
    "nested elements": lambda: filled(b"\x30\x80", b"\x30\x80" + SIGNED_DATA),
    "a certificate without an end": lambda: tlv(0x30, tlv(0x30, tlv(0xA0, b"\2\1\2") + bytes(SIZE))),
    "a serial number of megabytes": lambda: tlv(0x30, tlv(0x30, tlv(0xA0, b"\2\1\2") + tlv(0x02, bytes(SIZE)))),
    "a ZIP of a large member": lambda: pack_zip({"a": bytes(SIZE)}, compression=zipfile.ZIP_STORED),
    "a ZIP bomb": lambda: pack_zip({str(number): bytes(MEBIBYTE) for number in range(32)}),
    "a ZIP of short words": lambda: pack_zip({"a": filled(b"MI ", BEGIN, END, size=MEBIBYTE)}),
    "a ZIP of boundaries": lambda: pack_zip({"a": filled(BEGIN, size=MEBIBYTE)}),
    "local headers of a ZIP": lambda: filled(b"PK\3\4" + bytes(26)),
    "end records of a ZIP": lambda: filled(b"PK\5\6" + bytes(18)),
    "directory entries of a ZIP": lambda: filled(b"PK\1\2" + bytes(42), b"PK\3\4"),
}
"""What holds no certificate, or is broken at its end."""

BUSY: dict[str, Callable[[], bytes]] = {
    "boundaries of keys": lambda: filled(KEY),
    "boundaries of keys far apart": lambda: filled(b"x" * 256 + KEY),
    "blocks of keys": lambda: filled(KEY + b"MIIB\n-----END PRIVATE KEY-----\n"),
    "empty elements": lambda: pack_pkcs7([b"\x30\0" * (SIZE // 2)]),
    "empty elements without a length": lambda: pack_pkcs7([b"\x30\0" * (SIZE // 2)], indefinite=True),
    "elements of 128 bytes": lambda: pack_netscape(many(tlv(0x30, bytes(126)))),
    "members that are no certificates": lambda: pack_pkcs7([], others=tlv(0xA2, bytes(200)) * (SIZE // 203)),
    "a sequence of nothing": lambda: tlv(0x30, NETSCAPE_SEQUENCE + tlv(0xA0, bytes(SIZE))),
}
"""Rubbish of many small parts: it takes time rather than memory."""

CERTIFICATES: dict[str, Callable[[], bytes]] = {
    "RSA certificates in PEM": lambda: filled(pem(rsa()).encode()),
    "RSA certificates in PEM, indented": lambda: filled(pem(rsa()).replace("\n", " \n  ").encode()),
    "RSA certificates in PEM, plus signs lost": lambda: filled(pem(rsa()).replace("+", " ").encode()),
    "RSA certificates in PEM under an odd name": lambda: filled(pem(rsa()).encode(), "\U0001f512\n".encode()),
    "EC certificates in PEM": lambda: filled(pem(chain()[2]).encode()),
    "RSA certificates in PKCS#7": lambda: pack_pkcs7(many(rsa())),
    "RSA certificates in PKCS#7 in PEM": lambda: pem(pack_pkcs7([rsa()] * 4_000)).encode(),
    "RSA certificates in PKCS#7 in base64": lambda: base64_lines(pack_pkcs7([rsa()] * 4_000)).encode(),
    "RSA certificates in PKCS#7 in base64, indented": lambda: (
        b"  " + base64_lines(pack_pkcs7([rsa()] * 4_000), line_break="\n  ").encode()
    ),
    "EC certificates in a Netscape sequence": lambda: pack_netscape(many(chain()[2])),
    "RSA certificates in a ZIP": lambda: pack_zip({"a": filled(pem(rsa()).encode(), size=MEBIBYTE)}),
}
"""More certificates than a reply may have, each of which is decoded."""
