"""What redis-py's errors mean for a guard, and where a client's Redis is. No text that leaves here holds a password.

Imports redis-py, so it is loaded when a `RedisGuard` is made.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from redis.asyncio import SSLConnection
from redis.exceptions import (
    AuthenticationError,
    AuthorizationError,
    InvalidResponse,
    NoPermissionError,
    ReadOnlyError,
    RedisError,
)
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from .._secrets import MASK
from ..errors import CollectSSLError, ConfigurationError, GuardError

if TYPE_CHECKING:
    from redis.asyncio import Redis

GRANTS = (
    "~collectssl:* &collectssl:* +set +get +del +pttl +pexpire +eval +evalsha +script|load +info +publish +subscribe"
)
"""What a user of an ACL must be allowed."""

FAILURES = (RedisError, OSError)
"""What comes out of redis-py when a command fails; the built-in `TimeoutError` is an `OSError`."""

_TLS = "cannot be reached over TLS as it is set up: look at rediss:// and the CA that it is told to trust"

# The first that fits.
_MEANINGS: tuple[tuple[tuple[type[BaseException], ...], type[CollectSSLError], str], ...] = (
    (
        (AuthenticationError, AuthorizationError),
        ConfigurationError,
        "refuses the user name or password: look at the URL, and percent-encode special characters in it",
    ),
    ((NoPermissionError,), ConfigurationError, f"does not allow this user what the guard needs; grant {GRANTS}"),
    ((ReadOnlyError,), GuardError, "is a replica that cannot be written to: name the primary"),
    ((InvalidResponse,), ConfigurationError, "does not speak as a Redis: look at host, port and redis:// or rediss://"),
    ((TimeoutError, RedisTimeoutError), GuardError, "did not answer in time{hint}"),
    ((RedisConnectionError, OSError), GuardError, "cannot be reached"),
    ((RedisError,), GuardError, "refuses"),
)
_HINT = {True: " (rediss:// where Redis has no TLS looks the same)", False: ""}


class Place:
    """A Redis as its client's settings describe it."""

    def __init__(self, client: Redis) -> None:
        pool = client.connection_pool
        settings: dict[str, Any] = pool.connection_kwargs
        self._tls = issubclass(pool.connection_class, SSLConnection)
        self._password = settings.get("password")
        self._where = settings.get("path") or f"{settings.get('host', 'localhost')}:{settings.get('port', 6379)}"

    def __str__(self) -> str:
        return str(self._where)

    def explain(self, error: BaseException) -> CollectSSLError:
        """Return the error that names the cause, the way out, and what Redis or the network said."""
        said = (str(error).splitlines() or [""])[0][:200] or type(error).__name__
        if self._password:
            said = said.replace(str(self._password), MASK)
        if "[SSL" in said:
            return ConfigurationError(f"Redis at {self} {_TLS}: {said}")
        kind, meaning = next((kind, meaning) for types, kind, meaning in _MEANINGS if isinstance(error, types))
        return kind(f"Redis at {self} {meaning.format(hint=_HINT[self._tls])}: {said}{_system_error(error)}")


def _system_error(error: BaseException) -> str:
    """Return the words for an error number, of which redis-py names the number alone."""
    cause = error.__cause__ or error.__context__
    number = cause.errno if isinstance(cause, OSError) else None
    return f" ({os.strerror(number)})" if number is not None and number > 0 else ""
