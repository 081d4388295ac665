"""What an exception of an HTTP library means for our users. httpx and httpx2 name theirs alike, so names decide.

Such an exception holds the request, and with it the password: what is returned here is new, and quotes it scrubbed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._secrets import scrub_password
from .errors import CallTimeoutError, CollectSSLError, MalformedResponseError, TransportError

if TYPE_CHECKING:
    from .credentials import Credentials

_LIBRARIES = ("httpx", "httpx2")
_QUOTED = 200  # characters of an error's text

_MEANINGS: dict[str, type[CollectSSLError]] = {
    "TimeoutException": CallTimeoutError,
    "DecodingError": MalformedResponseError,
}
"""Our class for an exception, by its or its parents' name; `TransportError` for all others."""

_BEFORE_SENDING = frozenset({"ConnectError", "ConnectTimeout", "PoolTimeout", "ProxyError", "UnsupportedProtocol"})
"""The ones that mean that no connection could be made."""


def read_failure(error: Exception, credentials: Credentials) -> tuple[CollectSSLError, bool]:
    """Return what to raise instead, and whether the exception is one of those that come before anything is sent.

    Only known exceptions are quoted: another's text may hold the form.
    """
    names = [kind.__name__ for kind in type(error).__mro__ if kind.__module__.split(".")[0] in _LIBRARIES]
    if not names:
        return TransportError(f"the transport failed: {type(error).__name__}"), False
    text = f"{names[0]}: {scrub_password(_reason(error), credentials)[:_QUOTED]}".rstrip(": ")
    meaning = next((_MEANINGS[name] for name in names if name in _MEANINGS), TransportError)
    return meaning(text), not _BEFORE_SENDING.isdisjoint(names)


def _reason(error: BaseException) -> str:
    """Return the exception's text, or that of the system's or TLS error behind it: on trio it has none itself."""
    text, cause = str(error), error.__cause__ or error.__context__
    while not text and cause is not None:
        text = str(cause) if isinstance(cause, OSError) else ""
        cause = cause.__cause__ or cause.__context__
    return text
