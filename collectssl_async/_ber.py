"""The little of ASN.1 that tells containers apart: headers, ends and children of elements, DER and BER alike.

What a certificate says is left to `cryptography`; so is whether it is one. `cryptography`'s own PKCS#7 loader is not
used, because it warns about unsorted sets, gives no order and does not know the Netscape certificate sequence.
Everything raises `ValueError` on bytes that are not what they claim to be, in time linear in their number.
"""

from __future__ import annotations

import re
from itertools import islice
from typing import TYPE_CHECKING

from .models import ResponseType

if TYPE_CHECKING:
    from collections.abc import Iterator

SEQUENCE = 0x30
_INTEGER = 0x02
_CONTEXT_0 = 0xA0
_END_OF_CONTENTS = b"\0\0"
_LONG_TAG = 0x1F
_INDEFINITE = 0x80
_LONGEST_LENGTH = 4  # bytes that state a length; more would be beyond any reply
_DEEPEST = 16
_LONGEST_SERIAL = 64  # bytes; RFC 5280 allows 20

_OBJECT_IDENTIFIERS = {
    bytes.fromhex("06092a864886f70d010702"): ResponseType.PKCS7,  # 1.2.840.113549.1.7.2, signedData
    bytes.fromhex("06096086480186f8420205"): ResponseType.NETSCAPE,  # 2.16.840.1.113730.2.5
}
_LENGTH = rb"(?:[\x00-\x80]|\x81.|\x82..|\x83...|\x84....)"
# A SEQUENCE that begins with one of these, or with a SEQUENCE whose first element is the version or, in version 1, the
# serial number: that tells a certificate from a key and from a CRL.
_BEGINNING = re.compile(
    b"0%b(?:(%b)|0%b[\xa0\x02])" % (_LENGTH, b"|".join(map(re.escape, _OBJECT_IDENTIFIERS)), _LENGTH), re.DOTALL
)
_POSITIVE_SERIAL = re.compile(
    rb"0%b0%b(?:\xa0\x03\x02\x01.)?\x02(?:[\x01-\x7f][\x01-\x7f]|[\x02-\x7f]\x00[^\x00])" % (_LENGTH, _LENGTH),
    re.DOTALL,
)


class Elements:
    """Reads one piece of BER. It stops after as many elements as honest data of its size can hold."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        # Certificates are skipped whole and hundreds of bytes long: only rubbish has an element every few bytes.
        self._left = 256 + len(data) // 128

    def header(self, at: int) -> tuple[int, int, int | None]:
        """Return the tag of the element at `at`, where its content begins and how long that is (None: indefinite)."""
        self._left -= 1
        if self._left < 0:
            raise ValueError("too many elements")
        data = self._data
        if at + 2 > len(data):
            raise ValueError("cut short")
        tag, length = data[at], data[at + 1]
        if tag & _LONG_TAG == _LONG_TAG:
            raise ValueError("a tag of several bytes")
        at += 2
        if length < _INDEFINITE:
            return tag, at, length
        if length == _INDEFINITE:
            return tag, at, None
        size = length - _INDEFINITE
        if size > _LONGEST_LENGTH or at + size > len(data):
            raise ValueError("a length that cannot be")
        return tag, at + size, int.from_bytes(data[at : at + size], "big")

    def end(self, at: int) -> int:
        """Return where the element at `at` ends. Walks, never recurses: nesting is bounded, not Python's stack."""
        data = self._data
        unclosed = 0
        while True:
            if unclosed and data[at : at + 2] == _END_OF_CONTENTS:
                unclosed -= 1
                at += 2
            else:
                _, at, length = self.header(at)
                if length is None:
                    unclosed += 1
                    if unclosed > _DEEPEST:
                        raise ValueError("nested too deeply")
                else:
                    at += length
            if at > len(data):
                raise ValueError("cut short")
            if not unclosed:
                return at

    def children(self, at: int) -> Iterator[tuple[int, int, int]]:
        """Yield tag, beginning and end of each element inside the one at `at`."""
        data = self._data
        _, at, length = self.header(at)
        stop = None if length is None else at + length
        while (data[at : at + 2] != _END_OF_CONTENTS) if stop is None else (at < stop):
            end = self.end(at)
            if stop is not None and end > stop:
                raise ValueError("an element that ends after its parent")
            yield data[at], at, end
            at = end


def recognise(data: bytes) -> ResponseType | None:
    """Say what `data` begins with, even if it is cut short: INDIVIDUAL for a certificate, None for anything else."""
    found = _BEGINNING.match(data)
    return None if found is None else _OBJECT_IDENTIFIERS.get(found[1], ResponseType.INDIVIDUAL)


def end_of(data: bytes) -> int:
    """Return where the first element of `data` ends; more may follow it."""
    # Most certificates state their length in two bytes; thousands of them may come.
    end = 4 + int.from_bytes(data[2:4], "big") if data[1:2] == b"\x82" else len(data) + 1
    return end if end <= len(data) else Elements(data).end(0)


def members(data: bytes, kind: ResponseType) -> list[bytes]:
    """Return the certificates of a PKCS#7 or a Netscape certificate sequence in the order of the file."""
    elements = Elements(data)
    outer = [at for tag, at, _ in elements.children(0) if tag == _CONTEXT_0]
    content = [at for tag, at, _ in elements.children(outer[0])] if outer else []
    sets = content[:1]
    if kind is ResponseType.PKCS7 and content:
        sets = [at for tag, at, _ in elements.children(content[0]) if tag == _CONTEXT_0][:1]
    # A PKCS#7 may hold attribute certificates and other choices as well: those carry another tag.
    return [data[at:end] for found in sets for tag, at, end in elements.children(found) if tag == SEQUENCE]


def with_positive_serial(certificate: bytes) -> bytes:
    """Return the certificate with a serial number that `cryptography` does not warn about, for a look at its structure.

    Old CA certificates have negative serial numbers. Silencing a warning would change a filter of the whole process.
    """
    if _POSITIVE_SERIAL.match(certificate):
        return certificate
    number = _serial(certificate)
    digits = certificate[number][:_LONGEST_SERIAL]
    if digits and (digits[0] >= _INDEFINITE or not any(digits)):
        return certificate[: number.start] + b"\x01" + certificate[number.start + 1 :]
    return certificate


def serial_number(certificate: bytes) -> int:
    """Return the serial number as it stands in the certificate, negative or zero too."""
    return int.from_bytes(certificate[_serial(certificate)][:_LONGEST_SERIAL], "big", signed=True)


def _serial(certificate: bytes) -> slice:
    """Return where the bytes of the serial number stand; nowhere if there is none."""
    elements = Elements(certificate)
    _, tbs, _ = elements.header(0)
    for tag, at, end in islice(elements.children(tbs), 2):  # the version stands before it, if there is one
        if tag == _INTEGER:
            return slice(elements.header(at)[1], end)
    return slice(0)
