"""A turn at the lock of a PostgreSQL database: the way in, what may happen inside, and the way out."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import time
from enum import Enum, auto
from typing import TYPE_CHECKING, Any

import anyio

from ..errors import GuardLostError
from ._postgres_session import Session, caller
from ._postgres_statements import CREATE_TABLE, FIND, LEAVE, LOCK, MARK, key_of
from ._runtime import running_here, sleep_in_real_time

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..errors import CollectSSLError
    from ._postgres_conninfo import Conninfo

PATIENCE = 5.0
"""Seconds for the server to take down the end of a turn. What it did not costs the next one a grace."""

logger = logging.getLogger("collectssl_async")


class _Stage(Enum):
    CONNECTING = auto()
    ASKING = auto()  # a statement is running that nobody misses
    RESTING = auto()
    MARKING = auto()  # a statement is running that must be undone, or we are inside


class Entering:
    """The way into a turn, in a task of its own, whose result is a session that has the lock and the mark.

    psycopg, cancelled in the middle of a statement, asks the server to cancel that too and waits for it: for seconds,
    where the server is away. This task is cancelled between statements only.
    """

    def __init__(self, conninfo: Conninfo, resource: str, grace: float) -> None:
        self._conninfo = conninfo
        self._resource = resource
        self._grace = grace
        self._loop = asyncio.get_running_loop()
        self._session: Session | None = None
        self._stage = _Stage.CONNECTING
        self._unwanted = False
        self.work: asyncio.Task[Session | CollectSSLError] = self._loop.create_task(self._enter())

    def give_up(self) -> asyncio.Task[Any]:
        """Leave nothing behind: nobody waits any more. Return the task that sees to it, within `PATIENCE`."""
        session, work = self._session, self.work
        self._unwanted = True
        if self._loop.is_closed() or not running_here(self._loop):
            if session is not None:
                session.drop()
        elif not work.done():
            if self._stage in (_Stage.CONNECTING, _Stage.RESTING):
                work.cancel()
            elif session is not None:
                if self._stage is _Stage.ASKING:
                    session.cut()
                timer = self._loop.call_later(PATIENCE, session.cut)
                work.add_done_callback(lambda _: timer.cancel())
        elif session is not None and not work.cancelled() and work.result() is session:
            return self._loop.create_task(let_go(session, finished=True))
        return work

    async def _enter(self) -> Session | CollectSSLError:
        """Return how it failed, if it did: psycopg's errors go no further, since their frames hold the conninfo."""
        try:
            self._session = session = await Session.open(self._conninfo, self._resource)
            self._stage = _Stage.ASKING
            await session.prepare()
            await self._lock(session)
            while not await self._mark(session):
                await self._rest(session)
            if self._unwanted:
                await let_go(session, finished=True)
        except Exception as error:  # noqa: BLE001 - whatever it is, it becomes one of ours
            self._close()
            return self._conninfo.explain(error)
        except BaseException:
            self._close()
            raise
        return session

    def _close(self) -> None:
        if self._session is not None:
            self._session.close()

    async def _lock(self, session: Session) -> None:
        from psycopg.errors import LockNotAvailable

        while True:
            try:
                await session.rows(LOCK, {"key": key_of(self._resource)})
            except LockNotAvailable:
                continue
            return

    async def _mark(self, session: Session) -> bool:
        """Write down that our call is unfinished; return False when another one is."""
        from psycopg import errors

        mark = {
            "resource": self._resource,
            "host": socket.gethostname(),
            "process": os.getpid(),
            "grace": self._grace,
            "caller": caller(),
        }
        self._stage = _Stage.MARKING
        try:
            return bool(await session.rows(MARK, mark))
        except errors.UndefinedTable:
            try:
                await session.rows(CREATE_TABLE, {})
            except (errors.DuplicateTable, errors.DuplicateObject, errors.UniqueViolation):
                logger.debug("somebody else has made the table collectssl_guard at the same moment")
            return bool(await session.rows(MARK, mark))

    async def _rest(self, session: Session) -> None:
        """Sit out the grace of another's unfinished call. The lock is ours: those behind us wait for it as well."""
        if self._unwanted:
            raise asyncio.CancelledError
        self._stage = _Stage.ASKING
        found = await session.rows(FIND, {"resource": self._resource})
        self._stage = _Stage.RESTING
        for (remaining,) in found:
            await sleep_in_real_time(max(remaining, 0.0))


class PostgresTurn:
    """One turn: the lock and the mark are ours, and the line is watched."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._slept = _slept()
        self._lost = False
        self._leaving: asyncio.Task[None] | None = None

    def start(self, stop: Callable[[], None]) -> None:
        """Have `stop` called when the line is lost."""

        def lost() -> None:
            self._lost = True
            stop()

        self._session.watch(lost)

    def check(self) -> None:
        """Return if the line is whole, and this machine has not slept while nobody knows what became of the line."""
        if self._lost or not self._session.alive() or _slept() - self._slept > 1:
            self._lost = True
            self._session.unwatch()
            raise self.loss()

    def loss(self) -> GuardLostError:
        """Return what to raise when the line is lost."""
        return GuardLostError(
            f"the connection to PostgreSQL that held the turn to call {self._session.resource} is lost, "
            "and the lock with it: another host may be calling"
        )

    async def leave(self, *, finished: bool) -> None:
        """Clear the mark, or write down when its grace ends, and unlock."""
        if not self._lost:
            await to_the_end(self._begin_leaving(finished=finished))
        else:
            self._session.close()

    def drop(self, *, finished: bool) -> None:
        """Do the same without waiting for it, where the loop still runs; elsewhere close the line: the mark stays."""
        loop = self._session.loop
        if self._lost or loop.is_closed() or not running_here(loop):
            self._session.drop()
        elif self._leaving is None:
            self._begin_leaving(finished=finished)

    def _begin_leaving(self, *, finished: bool) -> asyncio.Task[None]:
        self._session.unwatch()
        self._leaving = self._session.loop.create_task(let_go(self._session, finished=finished))
        return self._leaving


async def let_go(session: Session, *, finished: bool) -> None:
    """Leave with a word to those who come next, within `PATIENCE`; the line is closed either way."""
    from psycopg import Error

    parameters = {
        "resource": session.resource,
        "caller": caller(),
        "finished": finished,
        "key": key_of(session.resource),
    }
    timer = session.loop.call_later(PATIENCE, session.cut)
    try:
        ((unlocked, *_),) = await session.rows(LEAVE, parameters)
        if not unlocked:
            logger.warning("the lock on %s was no more this session's: is there a pooler between?", session.resource)
    except Error as error:
        logger.warning(
            "PostgreSQL was not told how the call of %s ended, so that the next host waits a whole grace: %s",
            session.resource,
            type(error).__name__,
        )
    finally:
        timer.cancel()
        session.close()


async def to_the_end(work: asyncio.Task[Any]) -> None:
    """Wait for a task although the caller is cancelled meanwhile, which is raised afterwards. Its failure is not."""
    cancelled = False
    with anyio.CancelScope(shield=True):
        while not work.done():
            try:
                await asyncio.wait([work])
            except asyncio.CancelledError:
                cancelled = True
    if not work.cancelled():
        work.exception()
    if cancelled:
        raise asyncio.CancelledError


def _slept() -> float:
    """Return the seconds that this machine has slept, where it counts them: lines end meanwhile without a word."""
    clock = getattr(time, "CLOCK_BOOTTIME", None)
    return 0.0 if clock is None else time.clock_gettime(clock) - time.monotonic()
