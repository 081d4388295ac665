"""One connection to PostgreSQL: opened for one turn, watched while it is held, closed after it.

How it ends in each case stands here: with a goodbye, cut off by our side, lost, inherited by a forked child. What is
said on it stands in `_postgres_statements.py`, and when in `postgres.py`.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import socket
from typing import TYPE_CHECKING, Any, Self

from ..errors import ConfigurationError
from ._postgres_statements import PREPARE
from ._runtime import running_here

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from psycopg import AsyncConnection

    from ._postgres_conninfo import Conninfo

LONGEST_WAIT = 10.0
"""Seconds that one statement waits for a lock."""


class Session:
    """A connection of its own for one turn. It belongs to a loop; `cut` and `drop` may come from any thread."""

    def __init__(self, resource: str, connection: AsyncConnection[tuple[Any, ...]]) -> None:
        self.resource = resource
        self.loop = asyncio.get_running_loop()
        self.forked = False
        self._connection = connection
        self._dropped = False
        self._watched: int | None = None
        self._unread = os.pipe()
        self.loop.add_reader(self._unread[0], _EndOfLoop(self))
        _open.add(self)

    @classmethod
    async def open(cls, conninfo: Conninfo, resource: str) -> Self:
        """Connect, under a name that tells an administrator what the connection is. Raises what psycopg raises."""
        name = f"collectssl guard {socket.gethostname()} {os.getpid()} {resource}"
        return cls(resource, await conninfo.connect(name))

    async def prepare(self) -> None:
        """Put the session's settings right. Raises `ConfigurationError` where a lock would mean nothing."""
        known = self._connection.info.backend_pid
        wait = f"{LONGEST_WAIT * 1000:.0f}ms"
        backend, standby, _ = (await self.rows(PREPARE, {"backend": known, "longest_wait": wait}))[0]
        if backend != known:
            raise ConfigurationError(
                "conninfo leads to a pooler, since another process answered than the one that was connected to. The "
                "lock is a session's and does not survive PgBouncer in transaction mode: name PostgreSQL itself"
            )
        if standby:
            raise ConfigurationError(
                "conninfo leads to a standby, whose locks are its own: name the primary, "
                "or list both and add target_session_attrs=read-write"
            )

    async def rows(self, statement: str, parameters: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        """Run one statement and return its rows. Raises what psycopg raises."""
        cursor = await self._connection.execute(statement.encode(), parameters)
        return await cursor.fetchall() if cursor.description else []

    def alive(self) -> bool:
        """Say whether the line was whole, as far as anything has arrived here. No statement may be running."""
        from psycopg import OperationalError

        if self.forked:
            return False
        try:
            # Twice: the first reads the server's last words, the second that nothing comes after them.
            self._connection.pgconn.consume_input()
            self._connection.pgconn.consume_input()
        except OperationalError:
            return False
        return not self._connection.closed

    def watch(self, on_lost: Callable[[], None]) -> None:
        """Have the loop call `on_lost`, once, when the line is lost. No statement may run until `unwatch`."""
        # A descriptor of our own: libpq closes its own when it finds the line lost, whoever watches that. And only the
        # loop knows whom to call: whoever waits inside a turn must be collected when the loop is closed.
        self._watched = os.dup(self._connection.fileno())
        self.loop.add_reader(self._watched, self._look, on_lost)

    def unwatch(self) -> None:
        """Have nobody called. In the loop's own thread, or when the loop is closed."""
        watched, self._watched = self._watched, None
        if watched is not None:
            if not self.loop.is_closed():
                self.loop.remove_reader(watched)
            os.close(watched)

    def _look(self, on_lost: Callable[[], None]) -> None:
        if self._dropped:
            self.close()
        elif not self.alive():
            self.unwatch()
            on_lost()

    def cut(self) -> None:
        """Cut the line without a word: whoever waits for an answer on it gets an error at once."""
        if self.forked or self._connection.closed:
            return
        with contextlib.suppress(OSError), socket.socket(fileno=os.dup(self._connection.fileno())) as line:
            line.shutdown(socket.SHUT_RDWR)  # an OSError: the other side was first

    def drop(self) -> None:
        """Let go of the lock, without an await; the server sees it at once."""
        self._dropped = True
        if self.loop.is_closed() or running_here(self.loop):
            self.close()
        else:  # a descriptor that another thread's loop watches must not be closed behind its back
            self.cut()

    def close(self) -> None:
        """Say goodbye and close, unless the connection is the parent's. No statement may be running."""
        if self.forked or self not in _open:
            return
        _open.discard(self)
        self.unwatch()
        self._connection.pgconn.finish()
        if not self.loop.is_closed():
            self.loop.remove_reader(self._unread[0])
        for each in self._unread:
            os.close(each)

    def become_inherited(self) -> None:
        """In a forked child: give up this copy of the line, or it would keep the lock when the parent is killed.

        The numbers of the descriptors stay in use, so that nothing else gets them, and the loop's selector, which is
        the parent's too, is not touched.
        """
        self.forked = True
        nothing = os.open(os.devnull, os.O_RDWR)
        if not self._connection.closed:
            os.dup2(nothing, self._connection.fileno(), inheritable=False)
        if self._watched is not None:
            os.dup2(nothing, self._watched, inheritable=False)
        os.close(nothing)


class _EndOfLoop:
    """Drops a session with its loop: a pipe that nobody writes to has the loop keep this until it is closed.

    Nobody else is told, and whoever waits for the lock would be given it, and keep it.
    """

    def __init__(self, session: Session) -> None:
        self._session = session

    def __call__(self) -> None:
        """Nothing comes out of the pipe."""

    def __del__(self) -> None:
        self._session.drop()


_open: set[Session] = set()
_inherited: list[Session] = []  # kept: psycopg complains of connections that are collected while they are open
_caller = secrets.token_hex(8)


def caller() -> str:
    """Return this process's name in the table. Process numbers repeat, in containers even on one host."""
    return _caller


def _begin_anew_after_fork() -> None:
    global _caller  # noqa: PLW0603 - the child is another process to the table
    _caller = secrets.token_hex(8)
    for session in _open:
        session.become_inherited()
    _inherited.extend(_open)
    _open.clear()


os.register_at_fork(after_in_child=_begin_anew_after_fork)
