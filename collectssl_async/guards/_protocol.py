"""What every concurrency guard promises: one call at a time to one resource, remembered beyond its caller."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Protocol, runtime_checkable
from urllib.parse import urlsplit

from ..errors import ConfigurationError

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager
    from datetime import datetime

_DEFAULT_PORTS = {"https": 443, "http": 80}


@runtime_checkable
class Hold(Protocol):
    """One caller's turn. Left without `finished()`, the call counts as abandoned: the service may still be at work."""

    def check(self) -> None:
        """Return if the turn is still ours; raise `GuardLostError` if it is not. Called just before the first byte."""

    def finished(self) -> None:
        """Say that the service is done with the call, or that no call was made."""


@runtime_checkable
class Guard(Protocol):
    """Keeps calls to one resource apart. Not re-entrant: a holder that asks for the same resource waits for itself."""

    def hold(self, resource: str) -> AbstractAsyncContextManager[Hold]:
        """Return a context that is entered when nobody else calls `resource`, a URL.

        Raises `GuardTimeoutError` when the turn does not come in time, `GuardLostError` when it was lost.
        """
        ...


@dataclass(frozen=True, slots=True)
class Holder:
    """Who has a turn: the host's name, the process's number there, and since when (aware, UTC)."""

    host: str
    process: int
    since: datetime


@dataclass(frozen=True, slots=True)
class GuardStatus:
    """How a guard beyond the process stands for one resource, as far as its store tells.

    `held`: somebody has the turn, or sits out a grace before it. `unfinished`: a call was left, and the service may
    still be at work on it until `unfinished_until` (aware, UTC; None where nobody has found it yet, so that its grace
    has not begun). `holder`: whose call that is, else who has the turn, where the store says so.
    """

    resource: str
    held: bool
    holder: Holder | None = None
    unfinished: bool = False
    unfinished_until: datetime | None = None


@runtime_checkable
class Inspectable(Protocol):
    """A guard whose turns can be looked at from outside, and ended by somebody who knows better."""

    async def status(self, resource: str) -> GuardStatus:
        """Return how it stands for `resource`, a URL, without waiting. Raises `GuardError`, `ConfigurationError`."""
        ...

    async def force_release(self, resource: str) -> bool:
        """Free a wedged lock and forget its unfinished call; say whether there was anything to free.

        A call in work is not stopped: the caller must know that there is none.
        """
        ...


@lru_cache(maxsize=256)
def normalise_resource(resource: str) -> str:
    """Return the name that all spellings of one endpoint share: host in lower case, no default port, no query.

    Raises `ConfigurationError` for what is no URL.
    """
    try:
        parts = urlsplit(resource)
        port = parts.port
    except ValueError as error:
        raise ConfigurationError(f"the endpoint to guard is no URL: {error}") from None
    scheme = parts.scheme.lower()
    host = (parts.hostname or "").rstrip(".")
    where = f"[{host}]" if ":" in host else host
    if port is not None and port != _DEFAULT_PORTS.get(scheme):
        where += f":{port}"
    return f"{scheme}://{where}{parts.path or '/'}"


def seconds(field: str, value: float) -> float:
    """Return a duration, finite and not negative; raise `ConfigurationError` that names the field otherwise."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value < 0:
        raise ConfigurationError(f"{field} must be a number of seconds, 0 or more, not {value!r}")
    return float(value)
