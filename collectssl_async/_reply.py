"""From an HTTP reply to a response or an error, with the credentials taken out of whatever the error quotes.

Errors are returned, not raised: a page that echoes the form stands in the locals of whoever decodes it, and so in the
traceback of whatever is raised there.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, NamedTuple

from ._secrets import scrub, scrub_password
from .errors import API_ERRORS, APIError, CollectSSLError, MalformedResponseError, ServerUnavailableError
from .wire import decode_error, decode_response

if TYPE_CHECKING:
    from .credentials import Credentials
    from .models import CollectSSLRequest, CollectSSLResponse

_EXCERPT = 200  # characters
# Bytes that are scrubbed for it. The cut may leave half a password that no longer looks like one: so far behind that it
# stays out of the excerpt, even if all before it are passwords in their longest form, 2,560 bytes masked by 10.
_SCRUBBED = 256 * 1024
_SUCCESS, _REDIRECT, _SERVER_ERROR = 2, 3, 5  # an HTTP status' hundreds
_TOO_MANY_REQUESTS = 429
_SECONDS = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9})?", re.ASCII)


class Reply(NamedTuple):
    """What came over HTTP, read to the last byte."""

    status_code: int
    content_type: str | None
    retry_after: str | None
    body: bytes

    def __repr__(self) -> str:
        return f"Reply({self.status_code}, {len(self.body)} bytes)"


def understand(
    request: CollectSSLRequest, reply: Reply | CollectSSLError, credentials: Credentials
) -> CollectSSLResponse | CollectSSLError:
    """Return the response, or the error that the reply means, without a traceback; a failure to get one as it is."""
    if isinstance(reply, CollectSSLError):
        return reply
    try:
        response = _decode(request, reply)
    except CollectSSLError as error:
        return _cleaned(error, reply, credentials)
    if response.extra:
        extra = response.extra.items()
        masked = {name: tuple(scrub_password(text, credentials) for text in texts) for name, texts in extra}
        return response.model_copy(update={"extra": masked})
    return response


def _decode(request: CollectSSLRequest, reply: Reply) -> CollectSSLResponse:
    kind = reply.status_code // 100
    if kind == _SUCCESS:
        return decode_response(request, content_type=reply.content_type, body=reply.body)
    if error := decode_error(body=reply.body):
        raise error
    if reply.status_code == _TOO_MANY_REQUESTS or kind >= _SERVER_ERROR:
        raise ServerUnavailableError(
            f"the service is unavailable: HTTP {reply.status_code}",
            status_code=reply.status_code,
            retry_after=read_retry_after(reply.retry_after, datetime.now(UTC)),
        )
    what = "a redirect, which is not followed" if kind == _REDIRECT else "no reply of the API"
    raise MalformedResponseError(f"HTTP {reply.status_code}: {what}")


def _cleaned(error: CollectSSLError, reply: Reply, credentials: Credentials) -> CollectSSLError:
    """Return the error without frames, context and credentials."""
    if isinstance(error, MalformedResponseError):
        error.status_code = reply.status_code
        text = scrub(reply.body[:_SCRUBBED].decode(errors="replace"), credentials)[: 2 * _EXCERPT]
        error.excerpt = " ".join("".join(c if c.isprintable() else " " for c in text).split())[:_EXCERPT]
    elif isinstance(error, APIError):
        known = API_ERRORS.get(error.code)
        if known is None or error.message != known.text:
            error.message = scrub_password(error.message, credentials)
        if error.item is not None:
            error.item = scrub_password(error.item, credentials)
        error.args = (error.code, error.message)
    error.__context__ = None
    return error.with_traceback(None)


def read_retry_after(text: str | None, now: datetime) -> float | None:
    """Return the seconds that a `Retry-After` header asks for, given in seconds or as a date; None if it is neither."""
    if text is None:
        return None
    if _SECONDS.fullmatch(text.strip()):
        return float(text)
    try:
        until = parsedate_to_datetime(text)
        return max((until.replace(tzinfo=until.tzinfo or UTC) - now).total_seconds(), 0.0)
    except (ValueError, TypeError, OverflowError):
        return None
