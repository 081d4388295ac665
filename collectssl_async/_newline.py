"""Good replies in the newline-delimited format, from the line after the status on.

Reference: "Newline-delimited parameters response format". It names hardly any value, says little of their order, and
the order has been seen to change: what a line is, is decided by its shape. What fits no shape is left over.
"""

from __future__ import annotations

import re
from datetime import timedelta
from enum import Enum, auto
from itertools import compress
from typing import TYPE_CHECKING

from . import _blocks, containers
from ._fields import UNNAMED, Fields, is_pair, read_date, read_domains, read_timestamp
from ._form import CERTIFICATE_KINDS, KNOWN
from .models import CAAState, CertificateState, QueryType, ValidationState
from .parameters import Kind

if TYPE_CHECKING:
    from collections.abc import Callable

    from .models import CertificatePayload, CollectSSLRequest
    from .parameters import ReplyParameter

NAMED = re.compile(r"([A-Za-z][A-Za-z0-9_.-]{0,63})[ \t]{0,8}[=:][ \t]*(.*)", re.DOTALL)
"""`name=value` and `name: value`."""

_LAST_SECOND = timedelta(hours=23, minutes=59, seconds=59)
_DATES = re.compile(r"([0-9]{1,2}/[0-9]{1,2}/[0-9]{4})[ \t]+([0-9]{1,2}/[0-9]{1,2}/[0-9]{4})", re.ASCII)
_TIMESTAMPS = re.compile(r"(-?[0-9]{1,40})[ \t]+(-?[0-9]{1,40})", re.ASCII)
_HOST = re.compile(r"(?:[^\s.=:,;/%+@]{1,63}\.)+[^\s.=:,;/%+@]{1,63}\.?")
_LONGEST_HOST = 255
_LONGEST_STATUS = 200
_QUALIFIER = re.compile(r"[(\[].*", re.DOTALL)
_CAA_ERROR = re.compile(r"error\s{1,8}-?[0-9]{1,9}", re.ASCII | re.IGNORECASE)
_LONGEST_PAIR = 512
_ENCODED_SPACE = r"(?:\+|%(?:25){0,2}(?:20|2[bB]))"
_ENCODED_PAIR = re.compile(r"(?:%(?:25){0,2}2[aA])?[^\s%+,.]{0,63}(?:\.[^\s%+,.]{1,63})+" + _ENCODED_SPACE)
_EXTENDED_STATUS = ("certificate_status", "validation_status")

# A boundary that is left when all PEM blocks are taken out was cut short: so was its certificate.
_BROKEN_ARMOUR = re.compile(r"-{2,64}[ +]{0,4}(?:BEGIN|BEGI|BEG|BE|B|END|EN|E)(?![A-Za-z0-9])")

_STATUS_TEXTS: dict[str, str] = {
    state.value.casefold(): field
    for field, states in (
        ("certificate_status", CertificateState),
        ("validation_status", ValidationState),
        ("caa_status", CAAState),
    )
    for state in states
    if state.name != "OTHER"
}


def read(text: str, request: CollectSSLRequest) -> tuple[Fields, CertificatePayload | None]:
    """Return what the lines after the status say. `text` has LF line ends.

    Raises `MalformedResponseError` for certificates that cannot be decoded.
    """
    lines, container = _blocks.take_out(text)
    payload = None
    if container:
        # Certificates stand in no promised order: only where one alone was asked for, it must be the leaf.
        alone = len(container.certificates) == 1 and request.query_type is QueryType.CERTIFICATE_ONLY
        payload = container.payload(leaf=container.certificates[0] if alone else None)
    return _Lines(lines, request).fields(), payload


def _status_field(line: str) -> str | None:
    """Return the field whose documented text the line is, with or without a qualifier."""
    head = line[:_LONGEST_STATUS]
    bare = " ".join(_QUALIFIER.sub("", head).split()).removesuffix(".").rstrip()
    return _STATUS_TEXTS.get(bare.casefold()) or ("caa_status" if _CAA_ERROR.fullmatch(bare) else None)


def _known_line(line: str) -> tuple[ReplyParameter, str] | None:
    """Return the parameter that the line names and its value: `name=value`, `name: value`, for a step `name value`."""
    named = NAMED.fullmatch(line)
    if named:
        known = KNOWN.get(named[1].casefold())
        return (known, named[2]) if known and (known.kind not in CERTIFICATE_KINDS or not named[2]) else None
    name, *value = line.split(None, 1)
    known = KNOWN.get(name.casefold())
    return (known, "".join(value)) if known and (known.kind is Kind.STEP or known.field == "caa_status") else None


def _subject(line: str) -> str | None:
    """Return the field that the line is about, by its name or its text."""
    known = _known_line(line)
    return known[0].field if known else _status_field(line)


def _holds_pairs(line: str) -> bool:
    """Tell whether the line begins with `domain STATUS`, URL-encoded or not."""
    first, _, _ = line[:_LONGEST_PAIR].partition(",")
    return is_pair(first.split(None, 1)) or _ENCODED_PAIR.match(line) is not None


def _is_host(line: str) -> bool:
    return len(line) <= _LONGEST_HOST and _HOST.fullmatch(line) is not None


def _is_word(line: str) -> bool:
    """Tell whether the line can be a status that nobody documented."""
    return len(line) <= _LONGEST_STATUS and not NAMED.fullmatch(line) and any(map(str.isalpha, line))


class _Shape(Enum):
    """What a line is; a documented status text has its field for a shape."""

    BROKEN_ARMOUR = auto()
    KNOWN = auto()
    DATES = auto()
    TIMESTAMPS = auto()
    PAIRS = auto()
    HOST = auto()
    WORD = auto()
    OTHER = auto()


_SHAPES: tuple[tuple[_Shape, Callable[[str], object]], ...] = (
    (_Shape.BROKEN_ARMOUR, _BROKEN_ARMOUR.match),
    (_Shape.KNOWN, _known_line),
    (_Shape.DATES, _DATES.fullmatch),
    (_Shape.TIMESTAMPS, _TIMESTAMPS.fullmatch),
    (_Shape.PAIRS, _holds_pairs),
    (_Shape.HOST, _is_host),
    (_Shape.WORD, _is_word),
)
"""The first that fits is what a line is."""


def _shape(line: str) -> _Shape | str:
    return _status_field(line) or next((shape for shape, fits in _SHAPES if fits(line)), _Shape.OTHER)


def _place_unknown_words(shapes: list[_Shape | str], lines: list[str]) -> None:
    """Make statuses of the words that stand where one is due: certificate status first, validation status below it."""
    said = list(map(_subject, lines))
    certificate, validation = (said.index(field) if field in said else None for field in _EXTENDED_STATUS)
    words = [at for at, shape in enumerate(shapes) if shape is _Shape.WORD]
    if certificate is None and validation is None:
        places = dict(zip(words, _EXTENDED_STATUS, strict=False))
    elif validation is None:
        places = {at: "validation_status" for at in words if at - 1 == certificate}
    elif certificate is None:
        places = {at: "certificate_status" for at in words if at + 1 == validation}
    else:
        places = {}
    for at, field in places.items():
        shapes[at] = field


class _Lines:
    """The lines of one reply, on their way into its fields."""

    def __init__(self, lines: list[str], request: CollectSSLRequest) -> None:
        self._request = request
        self._lines = [line for line in map(str.strip, lines) if line]
        self._fields = Fields()
        shown = (request.show_mdc_domain_details, request.show_mdc_domain_details2)
        self._domain_fields = list(compress(("mdc_domain_details", "mdc_domain_details2"), shown))

    def fields(self) -> Fields:
        takers: dict[_Shape | str, Callable[[str], None]] = {
            _Shape.BROKEN_ARMOUR: self._refuse,
            _Shape.DATES: self._take_dates,
            _Shape.TIMESTAMPS: self._take_timestamps,
            _Shape.PAIRS: self._take_pairs,
            _Shape.HOST: self._take_host,
            _Shape.WORD: self._leave,
            _Shape.OTHER: self._leave,
        }
        shapes = [_shape(line) for line in self._lines]
        if self._request.show_ext_status:
            _place_unknown_words(shapes, self._lines)
        for shape, line in zip(shapes, self._lines, strict=True):
            known = _known_line(line)
            if known:
                self._fields.offer(known[0], known[1], name=UNNAMED, whole=line)
            elif isinstance(shape, str):
                self._put(line, (shape, line))
            else:
                takers[shape](line)
        return self._fields

    def _put(self, line: str, *values: tuple[str, object]) -> None:
        """Set fields; the line is left over if one of them cannot be read or was set before."""
        taken = [value is not None and self._fields.put(field, value) for field, value in values]
        if not all(taken):
            self._leave(line)

    def _leave(self, line: str) -> None:
        self._fields.leave(UNNAMED, line)

    def _refuse(self, line: str) -> None:
        raise containers.unreadable("a PEM block that was cut short", line)

    def _take_dates(self, line: str) -> None:
        """Reference: certificates begin at 00:00:00 and end at 23:59:59 of the days named."""
        start, end = map(read_date, line.split())
        self._put(line, ("validity.start", start), ("validity.end", end and end + _LAST_SECOND))

    def _take_timestamps(self, line: str) -> None:
        start, end = map(read_timestamp, line.split())
        self._put(line, ("product_term.start", start), ("product_term.end", end))

    def _take_pairs(self, line: str) -> None:
        """Take domains in the order of the request's parameters: the lines themselves have no name."""
        field = next((field for field in self._domain_fields if not self._fields.has(field)), None)
        if field is None:
            self._leave(line)
        else:
            self._domain_fields.remove(field)
            self._put(line, (field, read_domains(line)))

    def _take_host(self, line: str) -> None:
        if self._request.show_fqdn:
            self._put(line, ("fqdn", line))
        else:
            self._leave(line)
