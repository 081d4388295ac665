"""A turn at the guards beyond the process, beside the bare library's own lock; and how it passes to another process.

By the clock on the wall, since files and servers are waited for. The bare locks know nothing of unfinished calls.
"""

from __future__ import annotations

import contextlib
import statistics
import tempfile
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
import filelock
import psycopg
import redis.asyncio

from ..guards import contender
from ..guards.contending import Contenders
from ..guards.kinds import AMPLE, GuardSpec
from ..guards.postgres_server import running_postgres
from ..guards.redis_server import running_redis
from .measuring import Row, cost_of, row, take_turns

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
    from contextlib import AbstractAsyncContextManager

    Turns = Callable[[int], Awaitable[object]]

URL = "https://guards.example/products/download/CollectSSL"
GRACE = 0.5
ROUNDS, TURNS = 51, 20
PASSED, WORK = 150, 0.002  # turns that each of two processes takes, and the seconds of each

FASTEST_FILE = "<= 500 us"


@contextlib.asynccontextmanager
async def bare_file(where: str) -> AsyncIterator[Turns]:
    """filelock's lock, without a word to the event loop."""
    lock = filelock.FileLock(f"{where}.bare")

    async def turns(times: int) -> None:
        for _ in range(times):
            with lock:
                pass

    yield turns


@contextlib.asynccontextmanager
async def bare_redis(where: str) -> AsyncIterator[Turns]:
    """redis-py's lock: set when it is free, deleted by a script that looks at its token."""
    async with redis.asyncio.Redis.from_url(where) as client:

        async def turns(times: int) -> None:
            for _ in range(times):
                async with client.lock("bare", timeout=30):
                    pass

        yield turns


@contextlib.asynccontextmanager
async def bare_postgres(where: str) -> AsyncIterator[Turns]:
    """An advisory lock on a connection that stays open."""
    async with await psycopg.AsyncConnection.connect(where, autocommit=True) as connection:

        async def turns(times: int) -> None:
            for _ in range(times):
                await connection.execute("select pg_advisory_lock(1)")
                await connection.execute("select pg_advisory_unlock(1)")

        yield turns


BARE: dict[str, tuple[str, Callable[[str], AbstractAsyncContextManager[Turns]], float | None]] = {
    "file": ("filelock.FileLock", bare_file, 3.0),
    "redis": ("redis-py's Lock", bare_redis, 2.0),
    "postgres": ("pg_advisory_lock", bare_postgres, None),
}
"""By kind of guard: what it is put beside, and the ratio that it is to keep."""


async def compare(spec: GuardSpec) -> Row:
    name, bare, at_most = BARE[spec.kind]
    guard = spec.make(abandon_grace=GRACE)

    async def turns(times: int) -> None:
        for _ in range(times):
            async with guard.hold(URL) as hold:
                hold.finished()

    async with bare(spec.where) as bare_turns:
        ours, theirs = await take_turns(ROUNDS, partial(cost_of, turns, TURNS), partial(cost_of, bare_turns, TURNS))
    return row(f"{spec.kind}: a hold, free", name, ours, theirs, at_most=at_most)


def passing(spec: GuardSpec) -> list[Row]:
    """Return the seconds from the end of a turn in one process to the entry of another that waits for it."""
    with Contenders() as contenders:
        started = [
            contenders.start(contender.take_turns, spec, URL, PASSED, WORK, abandon_grace=GRACE) for _ in range(2)
        ]
        for each in started:
            each.hear("ready")
        for each in started:
            each.tell("go")
        turns = sorted(
            ((turn, number) for number, each in enumerate(started) for turn in each.hear("turns", within=AMPLE)[1]),
            key=lambda item: item[0].entered,
        )
    took = [
        later.entered - earlier.left
        for (earlier, one), (later, other) in pairwise(turns)
        if one != other and later.asked < earlier.left
    ]
    what = f"{spec.kind}: from one process to the next"
    return [Row(f"{what}, median of {len(took)}", statistics.median(took)), Row(f"{what}, worst", max(took))]


@contextlib.contextmanager
def specs() -> Iterator[list[GuardSpec]]:
    with tempfile.TemporaryDirectory() as folder, running_redis() as redis_server, running_postgres() as postgres:
        yield [
            GuardSpec("file", str(Path(folder) / "guard")),
            GuardSpec("redis", redis_server.url),
            GuardSpec("postgres", postgres.conninfo),
        ]


def run() -> list[Row]:
    with specs() as found:
        free = [anyio.run(compare, spec) for spec in found]
        return [
            *(each._replace(target=f"{each.target}, {FASTEST_FILE}") if "file" in each.what else each for each in free),
            *(line for spec in found for line in passing(spec)),
        ]
