"""Where the database is and how to get in, and what PostgreSQL's errors mean for a guard.

No text that leaves here holds the password: not a conninfo, of which libpq quotes what it cannot read, nor an error.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

from .._secrets import MASK
from ..errors import CollectSSLError, ConfigurationError, GuardError
from ._postgres_statements import CREATE_TABLE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from psycopg import AsyncConnection

_KEEPALIVE = {
    "keepalives": 1,
    "keepalives_idle": 3,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 9000,
}
"""Our end gives up a silent connection after 9 s. The server does so later (`PREPARE`): the call is stopped by then."""

_CONNECT_TIMEOUT = 10
"""Seconds, where the conninfo says nothing; libpq would wait for the system's patience, some two minutes."""

_UNREADABLE = (
    "conninfo cannot be read: it must be a URL, postgresql://user:password@host:5432/database, in which characters "
    "such as @ : / ? # and % of a name or a password are percent-encoded, or libpq's name=value pairs"
)


class _Hint(NamedTuple):
    """What to make of an error: whether the setup is at fault, and the way out."""

    error: type[CollectSSLError]
    way_out: str


_OTHER_TABLE = f"a table collectssl_guard is there, but not this one: {CREATE_TABLE}"

_BY_STATE = {
    "25006": _Hint(ConfigurationError, "conninfo must name the primary, not a standby or a read-only database"),
    "42501": _Hint(
        ConfigurationError,
        f"have an administrator run {CREATE_TABLE}; and: grant select, insert, update on collectssl_guard to the role",
    ),
    "42703": _Hint(ConfigurationError, _OTHER_TABLE),
    "42804": _Hint(ConfigurationError, _OTHER_TABLE),
    "42809": _Hint(ConfigurationError, _OTHER_TABLE),
    "42P10": _Hint(ConfigurationError, _OTHER_TABLE),
    "23502": _Hint(ConfigurationError, _OTHER_TABLE),
    "3F000": _Hint(ConfigurationError, "the role's search_path names no schema: create one, or set search_path"),
    "55P03": _Hint(GuardError, "somebody has locked the table collectssl_guard"),
}
"""SQLSTATE to what it means here. Reference: PostgreSQL's manual, appendix "PostgreSQL Error Codes"."""

_BY_TEXT = {
    "password authentication failed": "correct the user or the password in conninfo, PGPASSWORD or the password file",
    "no password supplied": "put the password into conninfo, PGPASSWORD or the password file",
    "does not exist": "correct the name in conninfo, or create what it names",
    "no pg_hba.conf entry": "have the server's pg_hba.conf allow this host, user and database",
    "permission denied": "grant the role what it needs",
    "not permitted to log in": "alter role … login",
    "unsupported startup parameter": "this is a pooler: conninfo must name PostgreSQL itself",
    "certificate verify failed": "point sslrootcert at the CA of the server's certificate",
    "does not support SSL": "set up TLS on the server, or lower sslmode in conninfo",
}
"""A refused connection has no SQLSTATE, only a text; one in another language stays a `GuardError`, with that text."""


def _hint_of(text: str) -> _Hint | None:
    return next((_Hint(ConfigurationError, way_out) for said, way_out in _BY_TEXT.items() if said in text), None)


class Conninfo:
    """A conninfo that was read, and that shows where it leads and no more. Cannot be pickled."""

    __slots__ = ("_secrets", "_settings", "_text", "where")

    def __init__(self, text: str, params: Mapping[str, Any]) -> None:
        self.where = _place(params)
        self._text = text
        self._secrets = [str(params.get(name) or "") for name in ("password", "sslpassword")]
        self._settings: dict[str, Any] = {
            "connect_timeout": params.get("connect_timeout") or _CONNECT_TIMEOUT,
            **_KEEPALIVE,
        }

    def __repr__(self) -> str:
        return f"<{self.where}>"

    def __reduce_ex__(self, protocol: Any) -> NoReturn:
        raise TypeError("Conninfo cannot be pickled: it may hold a password")

    async def connect(self, name: str) -> AsyncConnection[tuple[Any, ...]]:
        """Open a connection that bears a name. Raises what psycopg raises, in frames that hold the conninfo."""
        import psycopg

        return await psycopg.AsyncConnection.connect(
            self._text,
            autocommit=True,
            prepare_threshold=None,  # no statement is sent often
            application_name=name,
            **self._settings,
        )

    def explain(self, error: Exception) -> CollectSSLError:
        """Return what to raise for what was raised: the cause, and the way out where one is known."""
        from psycopg import InterfaceError, ProgrammingError

        if isinstance(error, CollectSSLError):
            return error.with_traceback(None)
        text = str(error)
        for secret in sorted([*self._secrets, os.environ.get("PGPASSWORD", "")], key=len, reverse=True):
            text = text.replace(secret, MASK) if secret else text
        state = getattr(error, "sqlstate", None)
        hint = _BY_STATE.get(state) if state else _hint_of(text)
        text = f"PostgreSQL at {self.where}: {' '.join(text.split()) or type(error).__name__}"
        if hint is not None:
            return hint.error(f"{text}: {hint.way_out}")
        ours = (
            isinstance(error, InterfaceError | ProgrammingError) and not state
        )  # psycopg's own word, not the server's
        return (ConfigurationError if ours else GuardError)(text)


def read_conninfo(conninfo: str) -> Conninfo | ConfigurationError:
    """Return what there is to know of a conninfo, or what is wrong: raised here, it would keep this frame's locals."""
    if not isinstance(conninfo, str):
        return ConfigurationError(f"conninfo must be a str, not {type(conninfo).__name__}")
    try:
        from psycopg import ProgrammingError
        from psycopg.conninfo import conninfo_to_dict
    except ImportError as error:
        return ConfigurationError(
            f"PostgresGuard needs psycopg and libpq: pip install 'collectssl-async[postgres]' ({error})"
        )
    if _stray_at(conninfo):
        return ConfigurationError(_UNREADABLE)
    try:
        return Conninfo(conninfo, conninfo_to_dict(conninfo))
    except ProgrammingError:
        return ConfigurationError(_UNREADABLE)


def _stray_at(conninfo: str) -> bool:
    """Say whether a URL has an @ that libpq would take for part of a host or a database: it is a password's."""
    _, url, rest = conninfo.partition("://")
    authority, _, path = rest.partition("?")[0].partition("/")
    return bool(url) and (authority.count("@") > 1 or "@" in path)


def _place(params: Mapping[str, Any]) -> str:
    host = params.get("host") or params.get("hostaddr") or os.environ.get("PGHOST") or "the local socket"
    port = params.get("port") or os.environ.get("PGPORT") or "5432"
    database = params.get("dbname") or os.environ.get("PGDATABASE") or "the user's own"
    return f"{host}, port {port}, database {database}"
