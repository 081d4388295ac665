"""Replies in the URL-encoded format: parameters, their names compared without regard to case.

Reference: "URL-encoded parameters response format". Works on bytes, since percent-encoded ones can be UTF-8 or
windows-1252. Errors and the status are left to `wire.py`.
"""

from __future__ import annotations

import binascii
import re
from functools import lru_cache
from typing import TYPE_CHECKING

from . import containers
from ._armour import decode_text
from ._fields import UNNAMED, Fields
from .parameters import ERROR_CODE, ERROR_ITEM, ERROR_MESSAGE, REPLY_PARAMETERS, Kind

if TYPE_CHECKING:
    from .models import CertificatePayload
    from .parameters import ReplyParameter

KNOWN: dict[str, ReplyParameter] = {name.casefold(): parameter for name, parameter in REPLY_PARAMETERS.items()}
"""`REPLY_PARAMETERS` by folded name: `ovCallbackStatus` is also written `ovCallBackStatus`."""

CERTIFICATE_KINDS = (Kind.CONTAINER, Kind.CA_CERTIFICATE, Kind.LEAF_CERTIFICATE)

_CODE = ERROR_CODE.casefold()
_TEXTS_OF_ERRORS = (ERROR_MESSAGE.casefold(), ERROR_ITEM.casefold())
_LINE_STARTERS = frozenset(name.encode() for name in (*KNOWN, _CODE, *_TEXTS_OF_ERRORS))
_LONGEST_NAME = 256
_ESCAPES = re.compile(rb"((?:%[0-9A-Fa-f]{2})+)")


Parameter = tuple[str, str, str]
"""One parameter of a reply, decoded: the name to compare, the name as sent, the value."""


def parameters_of(body: bytes, *, after_line_breaks: bool) -> list[Parameter] | None:
    """Return the parameters in order, or None if `errorCode` is not among them: then it is another format.

    `after_line_breaks` says whether it may stand after a line break alone.
    """
    pieces = body.split(b"&")
    parts = [part for piece in pieces for part in _at_known_lines(piece)] if b"\n" in body else pieces
    if not any(_is_code(piece) for piece in (parts if after_line_breaks else pieces)):
        return None
    return [_parameter(part) for part in parts if part.strip()]


def _is_code(piece: bytes) -> bool:
    return _name(piece.partition(b"=")[0][:_LONGEST_NAME])[0] == _CODE


def _at_known_lines(piece: bytes) -> list[bytes]:
    """Split where a line break stands in for `&` before a name that is known; base64 has line breaks of its own."""
    first, *lines = piece.split(b"\n")
    parts = [[first]]
    for line in lines:
        name, equals, _ = line[:_LONGEST_NAME].partition(b"=")
        if equals and name.strip().lower() in _LINE_STARTERS:
            parts.append([line])
        else:
            parts[-1].append(line)
    return [b"\n".join(part) for part in parts]


def _parameter(piece: bytes) -> Parameter:
    raw, _, value = piece.partition(b"=")
    folded, name = _name(raw) if len(raw) <= _LONGEST_NAME else _name.__wrapped__(raw)
    if not name:
        return UNNAMED, UNNAMED, _decoded(piece)
    return folded, name, _decoded(value)


@lru_cache(maxsize=256)  # every reply repeats the same forty names
def _name(raw: bytes) -> tuple[str, str]:
    """Return a name to compare and as sent."""
    name = _decoded(raw).strip()
    return name.casefold(), name


def _decoded(raw: bytes) -> str:
    if raw.isalnum():  # as most values are; the rest is looked at more closely
        return raw.decode("ascii")
    if b"+" in raw:
        raw = raw.replace(b"+", b" ")
    return decode_text(_unescaped(raw) if b"%" in raw else raw)


def _unescaped(raw: bytes) -> bytes:
    """Decode percent-encoding, and leave what is none. Each run of it once: a megabyte can hold 350,000 escapes."""
    parts = _ESCAPES.split(raw)
    runs = parts[1::2]
    decoded = {run: binascii.unhexlify(run.replace(b"%", b"")) for run in set(runs)}
    parts[1::2] = [decoded[run] for run in runs]
    return b"".join(parts)


def read(parameters: list[Parameter]) -> tuple[Fields, CertificatePayload | None]:
    """Return what a good reply says. Raises `MalformedResponseError` for certificates that cannot be decoded."""
    fields = Fields()
    certificates: list[tuple[Kind, str]] = []
    for folded, name, value in parameters:
        known = KNOWN.get(folded)
        if folded == _CODE or (folded in _TEXTS_OF_ERRORS and not value.strip()):
            continue
        if known is None:
            fields.leave(name, value)
        elif known.kind not in CERTIFICATE_KINDS:
            fields.offer(known, value, name=name)
        elif value.strip():
            certificates.append((known.kind, value))
    return fields, _payload(certificates)


def _payload(values: list[tuple[Kind, str]]) -> CertificatePayload | None:
    if not values:
        return None
    if len(values) > containers.MAX_CERTIFICATES:
        raise containers.unreadable(f"more than {containers.MAX_CERTIFICATES} certificates", b"")
    parts = [(kind, containers.read(value)) for kind, value in values]
    named = {each for kind, part in parts if kind is Kind.LEAF_CERTIFICATE for each in part.certificates}
    return containers.combine(part for _, part in parts).payload(leaf=named.pop() if len(named) == 1 else None)
