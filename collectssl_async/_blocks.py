"""The certificates of a newline-delimited reply: PEM blocks and bare base64, taken out from between its other lines.

What the other lines mean is left to `_newline.py`; what the blocks hold is `containers.py`'s to say.
"""

from __future__ import annotations

import binascii
import re

from . import containers
from ._armour import plain_dashes
from .errors import MalformedResponseError

_BASE64_LINE = re.compile(r"[A-Za-z0-9+/ ]+={0,2}")
_BASE64_BEGINNINGS = ("MI", "UEs", "LS0t")  # DER, ZIP, PEM
_LEAST_BASE64 = 24
_TRIES = 4  # lines that are dropped from the end of a block which does not fit


def take_out(text: str) -> tuple[list[str], containers.Container | None]:
    """Return the lines that belong to no certificate, and the certificates, None if there are none.

    Raises `MalformedResponseError` for what begins like a certificate and cannot be decoded.
    """
    rest, parts = _without_pem(text)
    lines, blocks = _without_base64(rest.split("\n"))
    parts += blocks
    return lines, containers.checked(containers.combine(parts)) if parts else None


def _without_pem(text: str) -> tuple[str, list[containers.Container]]:
    """Take the PEM blocks out; a line break is left in the place of each."""
    if "BEGIN" not in text:
        return text, []
    encoded = text.encode()
    plain = plain_dashes(encoded)
    blocks = list(containers.pem_blocks(plain))
    ends = [0, *(block.end for block in blocks)]
    starts = [*(block.start for block in blocks), len(encoded)]
    rest = b"\n".join(encoded[end:start] for end, start in zip(ends, starts, strict=True))
    with_body = [block for block in blocks if block.body is not None]
    if len(with_body) > containers.MAX_CERTIFICATES:
        raise containers.unreadable(f"more than {containers.MAX_CERTIFICATES} certificates", text)
    return rest.decode(), [containers.read_pem(plain, block) for block in with_body]


def _without_base64(lines: list[str]) -> tuple[list[str], list[containers.Container]]:
    """Take out the blocks of bare base64 that hold certificates; return the other lines and what the blocks hold."""
    others: list[str] = []
    found: list[containers.Container] = []
    at = 0
    while at < len(lines):
        if not _begins_block(lines[at]):
            others.append(lines[at])
            at += 1
            continue
        if len(found) == containers.MAX_CERTIFICATES:
            raise containers.unreadable(f"more than {containers.MAX_CERTIFICATES} certificates", lines[at])
        container, taken = _longest(_run(lines, at))
        found.append(container)
        at += taken
    return others, found


def _begins_block(line: str) -> bool:
    bare = line.rstrip()
    return (
        len(bare) >= _LEAST_BASE64
        and bare.startswith(_BASE64_BEGINNINGS)
        and _BASE64_LINE.fullmatch(bare) is not None
        and containers.begins_container(_head(bare))
    )


def _head(line: str) -> bytes:
    return binascii.a2b_base64(line[:_LEAST_BASE64].replace(" ", "+"))


def _run(lines: list[str], at: int) -> list[str]:
    """Return the lines that can belong to the block that begins at `at`.

    `Issued` and `csrStatus=1` may follow it at once, and look like base64 too: all lines of a block but the last are
    as wide as the first, and padding ends it. A space at a line's end can be a plus sign that was not escaped.
    """
    first = lines[at]
    narrowest, widest = len(first.rstrip()), len(first)
    length = containers.base64_length(_head(first))
    run = [first]
    count = narrowest
    for line in lines[at + 1 :]:
        last = run[-1]
        if len(last) < narrowest or last.rstrip().endswith("=") or (length is not None and count >= length):
            break
        bare = line.rstrip()
        if not bare or len(bare) > widest or not _BASE64_LINE.fullmatch(bare):
            break
        run.append(line)
        count += len(bare)
    return run


def _longest(run: list[str]) -> tuple[containers.Container, int]:
    """Return the container that the run holds, and how many of its lines it takes. Words below may look like more."""
    fewest = max(1, len(run) - _TRIES)
    for taken in range(len(run), fewest, -1):
        try:
            return containers.read("\n".join(run[:taken])), taken
        except MalformedResponseError:
            continue
    return containers.read("\n".join(run[:fewest])), fewest
