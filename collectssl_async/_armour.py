"""From text to the bytes in it: character sets, the boundaries of PEM blocks, base64 with its accidents.

What the bytes are is left to `containers.py`. Everything raises `ValueError`, in time linear in the size of the text.
"""

from __future__ import annotations

import binascii
import re
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

BYTE_ORDER_MARK = b"\xef\xbb\xbf"

# Five bytes are undefined in windows-1252. Made "substitute" first: the codec itself is slow to replace.
_SUBSTITUTE = "\x1a"
_DEFINED = bytes.maketrans(b"\x81\x8d\x8f\x90\x9d", _SUBSTITUTE.encode() * 5)

_MAX_BOUNDARIES = 10_000  # no file of certificates has more PEM blocks, but rubbish may

# The reference prints boundaries with four dashes, five, and spaces between; typesetters make long dashes of them. A
# plus sign is what is left of a space that was URL-encoded once too often. Every repetition is bounded: time.
_ODD_DASHES = "\u2010\u2011\u2012\u2013\u2014\u2015\u2212"
_BEFORE_BEGIN = 24
_LABEL = r"[ +]{1,4}([A-Z0-9][A-Z0-9 +#/.]{0,47}?)[ +]{0,4}-{1,64}"
_BEGIN = re.compile("BEGIN" + _LABEL)
_END = re.compile("-{0,64}[ +]{0,4}END" + _LABEL)
_PEM_WIDTHS = (64, 76)
_MOST_PLUS_SIGNS_AT_END = 2


class PEMBlock(NamedTuple):
    """A PEM block and where it stands in its text. `body` is None if its label promises no certificate.

    `trusted` is OpenSSL's TRUSTED CERTIFICATE, which goes on after the certificate.
    """

    start: int
    end: int
    body: str | None
    trusted: bool = False


def decode_text(data: bytes) -> str:
    """Decode UTF-8, else windows-1252: error texts have been seen with its quotation marks. Never fails."""
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data.translate(_DEFINED).decode("windows-1252").replace(_SUBSTITUTE, "\ufffd")


def plain_dashes(text: str) -> str:
    """Return the text, no longer and no shorter, with every kind of dash made a plain one."""
    for dash in _ODD_DASHES:
        text = text.replace(dash, "-")
    return text


# --- PEM --------------------------------------------------------------------------------------------------------------


def pem_blocks(text: str) -> list[PEMBlock]:
    """Return the PEM blocks of a text; keys and requests are among them without a body."""
    if text.count("BEGIN") > _MAX_BOUNDARIES:
        raise ValueError("too many PEM boundaries")
    text = plain_dashes(text)
    blocks: list[PEMBlock] = []
    at = text.find("BEGIN")
    while at >= 0:
        block = _block(text, at)
        if block:
            blocks.append(block)
        at = text.find("BEGIN", block.end if block else at + 1)
    return blocks


def _block(text: str, at: int) -> PEMBlock | None:
    """Return the block whose boundary says BEGIN at `at`, None if that is no boundary."""
    begin = _BEGIN.match(text, at)
    window = max(0, at - _BEFORE_BEGIN)
    lead = text[window:at].rstrip(" +")
    if begin is None or not lead.endswith("-"):
        return None
    start = window + len(lead.rstrip("-"))
    label = begin[1].replace("+", "").replace(" ", "")
    if not _promises_certificates(label):
        return PEMBlock(start, _end_of_foreign(text, begin.end()), None)
    # A body of base64 holds no dash: the next one begins the end, or the block has none.
    dash = text.find("-", begin.end())
    end = _END.match(text, dash) if dash >= 0 else None
    if end is None:
        raise ValueError("a PEM block does not end")
    return PEMBlock(start, end.end(), text[begin.end() : dash], label.startswith("TRUSTED"))


def _promises_certificates(label: str) -> bool:
    return ("CERTIFICATE" in label and "REQUEST" not in label) or label.startswith(("PKCS7", "PKCS#7", "CMS"))


def _end_of_foreign(text: str, at: int) -> int:
    """Return where a block ends that is passed over; one without an end is only its own boundary."""
    following = text.find("BEGIN", at)
    closing = text.find("END", at, following if following >= 0 else len(text))
    end = _END.match(text, closing) if closing >= 0 else None
    return end.end() if end else at


# --- base64 -----------------------------------------------------------------------------------------------------------


def decodings(text: str) -> Iterator[bytes]:
    """Yield what a base64 text can mean: a plus sign that was not escaped arrives as a space.

    Plus signs are put back before line breaks are dropped, since one may stand at the end of a line. Spaces may as
    well be padding, or what became of line breaks. Who asks takes the first decoding that fits a structure exactly.
    """
    joined = text.replace("\r", "").replace("\n", "").replace("\t", "")
    for candidate in dict.fromkeys(_with_plus_signs(joined)) if " " in joined else (joined,):
        data = _strict_base64(candidate)
        if data:
            yield data


def _with_plus_signs(text: str) -> Iterator[str]:
    """Yield a text with its spaces made plus signs: all but some around it, all but line breaks too, none.

    What begins with a plus sign is no container's base64.
    """
    begun = text.lstrip(" ")
    bare = begun.rstrip(" ")
    for tail in range(min(len(begun) - len(bare), _MOST_PLUS_SIGNS_AT_END) + 1):
        whole = bare + tail * " "
        yield whole.replace(" ", "+")
        for width in _PEM_WIDTHS:
            if whole[width : width + 1] == " ":
                lines = (whole[at : at + width] for at in range(0, len(whole), width + 1))
                yield "".join(lines).replace(" ", "+")
    yield text.replace(" ", "")


def _strict_base64(text: str) -> bytes | None:
    """Decode base64 with its padding or without it; None for anything else."""
    bare = text.rstrip("=")
    try:
        return binascii.a2b_base64(bare + "=" * (-len(bare) % 4), strict_mode=True)
    except ValueError:  # binascii.Error, and characters beyond ASCII
        return None
