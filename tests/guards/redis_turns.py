"""Contenders for a turn at the Redis of the tests: beside this process's lane, as those of other processes are."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any

import redis

from collectssl_async.guards._redis_lease import Names
from collectssl_async.guards.redis import RedisGuard

from .kinds import AMPLE, GRACE, LEASE

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from collectssl_async.guards._redis_lease import Lease

    from .redis_server import RedisServer

SHORT = 0.6
"""Seconds of a lease that a test lets run out."""


@contextmanager
def bystander(server: RedisServer) -> Iterator[Any]:
    """A client of redis-py's that looks on; it blocks."""
    client = redis.Redis(port=server.port)
    try:
        yield client
    finally:
        client.close()


def guard_at(server: RedisServer, **settings: Any) -> RedisGuard:
    """A guard with a short lease and a short grace."""
    return RedisGuard(server.url, **{"ttl": LEASE, "abandon_grace": GRACE, **settings})


@asynccontextmanager
async def turn_at(guard: RedisGuard, url: str) -> AsyncIterator[Lease]:
    """A whole turn of another process."""
    lease = await guard.take(url)
    try:
        yield lease
    finally:
        await lease.leave(finished=True)


class Holding:
    """A caller in a task of its own, inside until it is told to leave or is stopped."""

    def __init__(self, guard: RedisGuard, url: str) -> None:
        self.inside = asyncio.Event()
        self.leave = asyncio.Event()
        self.stopped = 0.0
        """When the call inside the hold was cancelled."""
        self.task = asyncio.create_task(self._hold(guard, url))

    async def _hold(self, guard: RedisGuard, url: str) -> None:
        async with guard.hold(url) as hold:
            self.inside.set()
            try:
                await self.leave.wait()
            except asyncio.CancelledError:
                self.stopped = time.monotonic()
                raise
            hold.finished()

    async def over(self) -> None:
        """Return when it has left, or raise what stopped it."""
        async with asyncio.timeout(AMPLE):
            await self.task


@asynccontextmanager
async def holding(guard: RedisGuard, url: str) -> AsyncIterator[Holding]:
    """A caller that is inside."""
    holder = Holding(guard, url)
    await holder.inside.wait()
    try:
        yield holder
    finally:
        holder.leave.set()
        await asyncio.wait((holder.task,))


async def until_they_wait(server: RedisServer, url: str, count: int = 1) -> None:
    """Return when so many contenders wait for word of the resource."""
    with bystander(server) as client:
        async with asyncio.timeout(AMPLE):
            while client.pubsub_numsub(Names(url).channel)[0][1] != count:  # noqa: ASYNC110 - Redis tells nobody
                await asyncio.sleep(0.005)


def key_of(url: str) -> str:
    """Return the key that stands for the resource."""
    return Names(url).key
