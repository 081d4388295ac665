"""From text to the bytes in it: character sets, the boundaries of PEM blocks, base64 with its accidents.

What the bytes are is left to `containers.py`. Everything raises `ValueError`, in time linear in the size of the text.
PEM and base64 are read from encoded text: one odd character would make four bytes of each that Python has decoded.
"""

from __future__ import annotations

import binascii
import re
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

BYTE_ORDER_MARK = b"\xef\xbb\xbf"

# Five bytes are undefined in windows-1252. Made "substitute" first: the codec itself is slow to replace.
_SUBSTITUTE = "\x1a"
_DEFINED = bytes.maketrans(b"\x81\x8d\x8f\x90\x9d", _SUBSTITUTE.encode() * 5)

# A file has a PEM block for every so many bytes at most, but rubbish may have more: time.
_LEAST_BLOCK = 256
_FEW_BLOCKS = 1_000

# The reference prints boundaries with four dashes, five, and spaces between; typesetters make long dashes of them. A
# plus sign is what is left of a space that was URL-encoded once too often. Every repetition is bounded: time.
DASHES = tuple("-\u2010\u2011\u2012\u2013\u2014\u2015\u2212")
_ENCODED_DASHES = [dash.encode() for dash in DASHES[1:]]
_FIRST_OF_A_DASH = b"\xe2"  # in UTF-8, each of them
_WINDOWS_DASHES = bytes.maketrans(b"\x96\x97", b"--")
_BEFORE_BEGIN = 64
_LABEL = rb"([ +]{1,4}[A-Z0-9][A-Z0-9 +#/.]{0,51})-{1,64}"
_BEGIN = re.compile(b"BEGIN" + _LABEL)
# A body of base64 holds no dash: the next one begins the end, or the block has none.
_BODY = re.compile(b"[^-]*+(-{1,64})[ +]{0,4}END" + _LABEL)
# As nearly every block of thousands is written.
_USUAL = re.compile(b"(?<!-)-----BEGIN CERTIFICATE-----([^-]*+)-----END CERTIFICATE-----(?!-)")
_END = re.compile(b"-{0,64}[ +]{0,4}END" + _LABEL)
_BLANK = b"\r\n\t"
_PEM_WIDTHS = (64, 76)
_MOST_PLUS_SIGNS_AT_END = 2
_LENGTH_IN_TWO_BYTES = re.compile(rb"MI[I-L][A-Za-z0-9+/ ]{5}")
_LONGEST_WITH_PLUS_SIGNS = 256 * 1024  # a form's parameter may have lost them, a longer text is no form's


class PEMBlock(NamedTuple):
    """Where a PEM block stands in its text, and its body. `body` is None if its label promises no certificate.

    `trusted` is OpenSSL's TRUSTED CERTIFICATE, which goes on after the certificate.
    """

    start: int
    end: int
    body: slice | None
    trusted: bool = False


def decode_text(data: bytes) -> str:
    """Decode UTF-8, else windows-1252: error texts have been seen with its quotation marks. Never fails."""
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data.translate(_DEFINED).decode("windows-1252").replace(_SUBSTITUTE, "\ufffd")


# --- PEM --------------------------------------------------------------------------------------------------------------


def plain_dashes(text: bytes) -> bytes:
    """Return the text, no longer and no shorter, with plain dashes for every other kind, in UTF-8 or windows-1252."""
    if _FIRST_OF_A_DASH in text:
        for dash in _ENCODED_DASHES:
            text = text.replace(dash, b"-" * len(dash))
    return text if text.isascii() else text.translate(_WINDOWS_DASHES)


def pem_blocks(text: bytes) -> Iterator[PEMBlock]:
    """Yield the PEM blocks of a text with plain dashes; keys and requests are among them without a body."""
    left = _FEW_BLOCKS + len(text) // _LEAST_BLOCK
    at = text.find(b"BEGIN")
    while at >= 0:
        left -= 1
        if left < 0:
            raise ValueError("too many PEM boundaries")
        block = _block(text, at)
        if block:
            yield block
        at = text.find(b"BEGIN", block.end if block else at + 1)


def _block(text: bytes, at: int) -> PEMBlock | None:
    """Return the block whose boundary says BEGIN at `at`, None if that is no boundary."""
    usual = _USUAL.match(text, max(0, at - 5))
    if usual:
        return PEMBlock(usual.start(), usual.end(), slice(*usual.span(1)))
    begin = _BEGIN.match(text, at)
    lead = text[max(0, at - _BEFORE_BEGIN) : at].rstrip(b" +") if begin else b""
    if begin is None or lead[-1:] != b"-":
        return None
    start = max(0, at - _BEFORE_BEGIN) + len(lead.rstrip(b"-"))
    inside = begin.end()
    promised = _promise(begin[1])
    if promised is None:
        return PEMBlock(start, _end_of_foreign(text, inside), None)
    body = _BODY.match(text, inside)
    if body is None:
        raise ValueError("a PEM block does not end")
    return PEMBlock(start, body.end(), slice(inside, body.start(1)), promised == b"TRUSTED")


@lru_cache(maxsize=64)  # a file has thousands of blocks, and one label or two
def _promise(label: bytes) -> bytes | None:
    """Return which of the labels of certificates this is one of, None for a key's or a request's."""
    bare = label.translate(None, b" +")
    return next((known for known in (b"TRUSTED", b"PKCS7", b"PKCS#7", b"CMS") if bare.startswith(known)), None) or (
        b"CERTIFICATE" if b"CERTIFICATE" in bare and b"REQUEST" not in bare else None
    )


def _end_of_foreign(text: bytes, at: int) -> int:
    """Return where a block ends that is passed over; one without an end is only its own boundary."""
    following = text.find(b"BEGIN", at)
    closing = text.find(b"END", at, following if following >= 0 else len(text))
    end = _END.match(text, closing) if closing >= 0 else None
    return end.end() if end else at


# --- base64 -----------------------------------------------------------------------------------------------------------


def decodings(text: bytes) -> Iterable[bytes]:
    """Return what a base64 text can mean: a plus sign that was not escaped arrives as a space.

    Plus signs are put back before line breaks are dropped, since one may stand at the end of a line. Spaces may as
    well be padding, or what became of line breaks. Who asks takes the first decoding that fits a structure exactly.
    """
    text = text.translate(None, _BLANK)
    if b" " in text:
        if len(text) <= _LONGEST_WITH_PLUS_SIGNS:
            return filter(None, map(_strict_base64, _without_spaces(text)))
        text = text.translate(None, b" ")
    data = _strict_base64(text)
    return (data,) if data else ()


def _without_spaces(text: bytes) -> Iterator[bytes]:
    """Yield a text with its spaces made plus signs: all but some around it, all but line breaks too, none.

    What begins with a plus sign is no container's base64.
    """
    begun = text.lstrip(b" ")
    bare = begun.rstrip(b" ")
    length = _stated_length(bare)
    for tail in range(min(len(begun) - len(bare), _MOST_PLUS_SIGNS_AT_END) + 1):
        whole = bare + tail * b" "
        if length in (None, len(whole.rstrip(b"="))):
            yield whole.replace(b" ", b"+")
        for width in _PEM_WIDTHS:
            if whole[width : width + 1] == b" " and not whole[width :: width + 1].strip(b" "):
                lines = bytearray(whole)
                del lines[width :: width + 1]
                yield bytes(lines).replace(b" ", b"+")
    yield text.translate(None, b" ")


def _stated_length(text: bytes) -> int | None:
    """Return how many characters, without padding, DER in base64 says that it has; None where it does not say it so."""
    head = _LENGTH_IN_TWO_BYTES.match(text)
    if head is None:
        return None
    data = binascii.a2b_base64(head[0].replace(b" ", b"+"))
    return (4 * (4 + int.from_bytes(data[2:4], "big")) + 2) // 3


def _strict_base64(text: bytes) -> bytes | None:
    """Decode base64 with its padding or without it; None for anything else."""
    bare = text.rstrip(b"=")
    padding = b"=" * (-len(bare) % 4)
    try:
        return binascii.a2b_base64(bare + padding if padding else bare, strict_mode=True)
    except ValueError:  # binascii.Error
        return None
