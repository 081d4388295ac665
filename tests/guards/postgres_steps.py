"""What tests of the guard on a shared PostgreSQL do again and again."""

from __future__ import annotations

import asyncio
import time
import traceback
from typing import TYPE_CHECKING

from collectssl_async.guards.postgres import PostgresGuard

from .kinds import AMPLE

if TYPE_CHECKING:
    from collections.abc import Callable

    from .postgres_server import PostgresServer


def guard_of(server: PostgresServer, user: str, database: str) -> PostgresGuard:
    return PostgresGuard(server.conninfo_for(user, database=database), acquire_timeout=AMPLE)


async def take(guard: PostgresGuard, url: str) -> None:
    async with guard.hold(url) as hold:
        hold.check()
        hold.finished()


async def until(condition: Callable[[], bool]) -> None:
    """Look again and again, since a server tells nobody what becomes of its connections."""
    deadline = time.monotonic() + AMPLE
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)


def everything_told(error: BaseException) -> str:
    """Return all that a report of an error may show, the locals of this package's frames among it."""
    told = traceback.TracebackException.from_exception(error, capture_locals=True)
    ours = [str(frame.locals) for frame in told.stack if "collectssl_async" in frame.filename]
    return "".join([*told.format_exception_only(), repr(error.__cause__), repr(error.__context__), *ours])
