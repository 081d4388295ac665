"""The values of a reply: how each kind is read, and where readable and unreadable ones are kept.

Both text formats fill the same `Fields`. Which parameter a text belongs to is the formats' own business.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_plus

from .models import CollectSSLResponse, DomainValidation, StepStatus
from .parameters import REPLY_PARAMETERS, Kind

if TYPE_CHECKING:
    from collections.abc import Callable

    from .models import CertificatePayload, StatusCode
    from .parameters import ReplyParameter

_PLACES = {known.field: known.field.rpartition(".")[::2] for known in REPLY_PARAMETERS.values()}
"""The group and the field below it, by dotted path."""

UNNAMED = ""
"""The key in `extra` of what has no name."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_STEPS = {str(step.value): step for step in StepStatus}
# int() takes "1_0" and the digits of every script, and chokes on thousands of them.
_INTEGER = re.compile(r"\s*(-?[0-9]{1,9})\s*", re.ASCII)
_CODE_AND_TEXT = re.compile(r"\s*(-[0-9]{1,9})[\s:;,.]+(.*)", re.ASCII | re.DOTALL)
_TIMESTAMP = re.compile(r"\s*(-?[0-9]{1,14})\s*", re.ASCII)
_DATE = re.compile(r"([0-9]{1,2})/([0-9]{1,2})/([0-9]{4})", re.ASCII)
_ENCODED = re.compile(r"%[0-9A-Fa-f]{2}|\+")
_MAX_ENCODINGS = 2  # beyond the reply's own
_MAX_DOMAINS = 5_000
_MAX_DOMAINS_TEXT = 256 * 1024


def read_code(text: str) -> tuple[int, str] | None:
    """Read a status and the text behind it. Only an error has its text on the same line.

    A refused login that is not understood would be tried again, and the account be locked.
    """
    code = read_integer(text)
    if code is not None:
        return code, ""
    found = _CODE_AND_TEXT.fullmatch(text)
    return (int(found[1]), found[2].strip()) if found else None


def read_text(text: str) -> str | None:
    return text.strip() or None


def read_integer(text: str) -> int | None:
    found = _INTEGER.fullmatch(text)
    return int(found[1]) if found else None


def read_step(text: str) -> int | None:
    step = _STEPS.get(text)
    return read_integer(text) if step is None else step


def read_timestamp(text: str) -> datetime | None:
    """Read UNIX time, seconds; None beyond the years that a datetime knows."""
    found = _TIMESTAMP.fullmatch(text)
    try:
        return _EPOCH + timedelta(seconds=int(found[1])) if found else None
    except OverflowError:
        return None


def read_date(text: str) -> datetime | None:
    """Read DD/MM/YYYY as that day's midnight."""
    found = _DATE.fullmatch(text)
    try:
        return datetime(int(found[3]), int(found[2]), int(found[1]), tzinfo=UTC) if found else None
    except ValueError:
        return None


def read_domains(text: str) -> tuple[DomainValidation, ...] | None:
    """Read `a.com VALIDATED, b.com NOTVALIDATED`, which can be URL-encoded once more than the rest of the reply."""
    for _ in range(_MAX_ENCODINGS):
        pairs = _pairs(text)
        if pairs is not None or len(text) > _MAX_DOMAINS_TEXT or not _ENCODED.search(text):
            return pairs
        text = unquote_plus(text)
    return _pairs(text)


def _pairs(text: str) -> tuple[DomainValidation, ...] | None:
    if text.count(",") > _MAX_DOMAINS or len(text) > _MAX_DOMAINS_TEXT:
        return None
    pairs = [pair for entry in text.split(",") if (pair := entry.split(None, 1))]
    if not pairs or not all(map(is_pair, pairs)):
        return None
    return tuple(DomainValidation(domain=domain, status=status.rstrip()) for domain, status in pairs)


def is_pair(words: list[str]) -> bool:
    """Tell `domain STATUS` from `NO STATUS`: a domain has a dot."""
    return len(words) > 1 and "." in words[0]


READERS: dict[Kind, Callable[[str], object]] = {
    Kind.TEXT: read_text,
    Kind.TIMESTAMP: read_timestamp,
    Kind.DAYS: read_integer,
    Kind.STEP: read_step,
    Kind.DOMAINS: read_domains,
}
"""How a value is read, by its kind; None is "cannot be read". Certificates are read elsewhere."""


class Fields:
    """What a reply has said so far. A field is set once; what comes again or cannot be read is left over."""

    def __init__(self) -> None:
        self._values: dict[str, Any] = {}
        self._extra: dict[str, list[str]] = {}

    def has(self, field: str) -> bool:
        """Tell whether the field, a dotted path, was said."""
        return field in self._values

    def offer(self, parameter: ReplyParameter, text: str, *, name: str, whole: str | None = None) -> None:
        """Take a known parameter's text. If it is of no use, `whole` (or the text) is left over under `name`.

        An empty text says nothing and leaves no trace.
        """
        if not text.strip():
            return
        field, kind = parameter
        value = None if field in self._values else READERS[kind](text)
        if value is not None:
            self._values[field] = value
        else:
            self.leave(name, text if whole is None else whole)

    def put(self, field: str, value: object) -> bool:
        """Set a field that nothing has set before; say whether it was so."""
        if field in self._values:
            return False
        self._values[field] = value
        return True

    def leave(self, name: str, text: str) -> None:
        """Keep what nobody documented, or nobody can read."""
        self._extra.setdefault(name, []).append(text)

    def response(self, status: StatusCode, payload: CertificatePayload | None) -> CollectSSLResponse:
        """Return all of it as the model."""
        tree: dict[str, Any] = {"status": status, "payload": payload}
        for path, value in self._values.items():
            group, leaf = _PLACES[path]
            (tree.setdefault(group, {}) if group else tree)[leaf] = value
        tree["extra"] = {name: tuple(texts) for name, texts in self._extra.items()}
        return CollectSSLResponse.model_validate(tree)
