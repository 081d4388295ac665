"""From the bytes of a reply to a response or an error. `wire.py` is the way in.

What the format of a reply is, and whether it is an error, is decided here by what is there; `_form.py` and
`_newline.py` read the rest.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from . import _form, _newline, containers
from ._armour import BYTE_ORDER_MARK, DASHES, decode_text
from ._fields import Fields, read_code
from .errors import APIError, MalformedResponseError
from .models import QueryType, ResponseEncoding, StatusCode
from .parameters import ERROR_CODE, ERROR_ITEM, ERROR_MESSAGE

if TYPE_CHECKING:
    from .models import CollectSSLRequest, CollectSSLResponse

MAX_LINES = 2_000
"""Lines of a reply at most, and parameters too."""

_STATUSES = {status.value: status for status in StatusCode}
_LONGEST_MESSAGE = 1_000  # characters; the documented ones have a hundred

_NAMES_AN_ARGUMENT = (-3, -4)
_QUOTATION_MARK = "['\"`\u00b4\u2018\u2019\u201c\u201d]"
_QUOTED = re.compile(f"{_QUOTATION_MARK}([A-Za-z][A-Za-z0-9_]{{0,63}}){_QUOTATION_MARK}")
_ERROR_NAMES = (ERROR_MESSAGE.casefold(), ERROR_ITEM.casefold())
_PLACEHOLDER = "xxxx"  # how the reference prints the place of the name


def decode_response(request: CollectSSLRequest, *, content_type: str | None, body: bytes) -> CollectSSLResponse:
    """Do what `wire.decode_response` says."""
    if containers.is_binary(body):
        return _attached(containers.read(body))
    body = body.removeprefix(BYTE_ORDER_MARK).strip()
    text = _text(body)
    reply = _open(body, text)
    if reply is None:
        if request.response_encoding is ResponseEncoding.BINARY and text.startswith(DASHES):
            return _attached(containers.read(text))
        page = content_type is not None and "html" in content_type.casefold()
        raise containers.unreadable(f"{'a page' if page else 'a text'} without a status", text)
    error = _error(reply)
    if error is not None:
        raise error
    return _response(request, reply)


def decode_error(body: bytes) -> APIError | None:
    """Do what `wire.decode_error` says."""
    if containers.is_binary(body):
        return None
    body = body.removeprefix(BYTE_ORDER_MARK).strip()
    try:
        reply = _open(body, _text(body))
    except MalformedResponseError:
        return None
    return _error(reply) if reply else None


class _Reply(NamedTuple):
    """A reply whose status is known: its parameters, or the lines after the status."""

    code: int
    text: str  # what stood behind the code, on its line
    parameters: list[_form.Parameter]
    lines: str


def _text(body: bytes) -> str:
    """Return the reply's text with LF line ends. Raises `MalformedResponseError` for what is no reply at a glance."""
    text = decode_text(body).replace("\r\n", "\n").replace("\r", "\n")
    if not text:
        raise containers.unreadable("an empty reply", "")
    if text.startswith("<"):
        raise containers.unreadable("an HTML page instead of a reply", text)
    if text.count("\n") >= MAX_LINES or text.count("&") >= MAX_LINES:
        raise containers.unreadable(f"a reply of more than {MAX_LINES} lines or parameters", text)
    return text


def _open(body: bytes, text: str) -> _Reply | None:
    """Read the status, None if there is none. Errors have been seen in the other format than the one asked for."""
    first, _, lines = text.partition("\n")
    found = read_code(first)
    # A line `errorCode=0` below a status is a line like any other.
    parameters = _form.parameters_of(body, after_line_breaks=found is None)
    if parameters is None:
        return _Reply(*found, [], lines) if found else None
    codes = {read_code(value) for value in _values(parameters, ERROR_CODE)}
    if len(codes) != 1 or None in codes:
        raise containers.unreadable("a status that cannot be read", text)
    return next(_Reply(*found, parameters, "") for found in codes if found)


def _values(parameters: list[_form.Parameter], name: str) -> list[str]:
    wanted = name.casefold()
    return [value for folded, _, value in parameters if folded == wanted]


# --- errors -----------------------------------------------------------------------------------------------------------


def _error(reply: _Reply) -> APIError | None:
    """Return the error that a reply is. Reference: "Error codes"."""
    if reply.code >= 0:
        return None
    messages, items = [reply.text], []
    if reply.parameters:
        messages += _values(reply.parameters, ERROR_MESSAGE)
        items = _values(reply.parameters, ERROR_ITEM)
    else:
        for line in reply.lines.split("\n"):
            named = _newline.NAMED.fullmatch(line.strip())
            name = named[1].casefold() if named else ""
            (items if name == ERROR_ITEM.casefold() else messages).append(
                named[2] if named and name in _ERROR_NAMES else line
            )
    message = _first(messages)[:_LONGEST_MESSAGE]
    item = _first(items) or (_quoted_name(message) if reply.code in _NAMES_AN_ARGUMENT else None)
    return APIError.from_code(reply.code, message, item=item)


def _first(texts: list[str]) -> str:
    """Return the first text that says something, stripped."""
    return next(filter(None, map(str.strip, texts)), "")


def _quoted_name(message: str) -> str | None:
    found = _QUOTED.search(message)
    return found[1] if found and found[1] != _PLACEHOLDER else None


# --- good replies -----------------------------------------------------------------------------------------------------


def _response(request: CollectSSLRequest, reply: _Reply) -> CollectSSLResponse:
    status = _STATUSES.get(reply.code)
    if status is None:
        raise containers.unreadable(f"the status {reply.code}, which is not documented", reply.lines)
    if reply.parameters:
        fields, payload = _form.read(reply.parameters)
    else:
        fields, payload = _newline.read(reply.lines, request)
    if status is StatusCode.ATTACHED and payload is None and request.query_type is not QueryType.STATUS_ONLY:
        raise containers.unreadable("certificates are said to be attached, but there are none", reply.lines)
    return fields.response(status, payload)


def _attached(container: containers.Container) -> CollectSSLResponse:
    """A container alone, without a status, is the certificates attached."""
    return Fields().response(StatusCode.ATTACHED, container.payload())
