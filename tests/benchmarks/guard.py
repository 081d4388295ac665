"""A turn at the guard, free and with 99 others in the queue, beside the locks of the async libraries.

On the processor's clock: nothing outside the process is waited for, and other programs' turns do not count.
"""

from __future__ import annotations

import asyncio
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import aiologic
import anyio
import anyio.lowlevel
import trio

from collectssl_async import ProcessGuard

from .measuring import Row, cost_of, row, take_turns

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine

URL = "https://guard.example/products/download/CollectSSL"
LOCKS: dict[str, dict[str, Callable[[], AbstractAsyncContextManager[Any]]]] = {
    "asyncio": {"asyncio.Lock": asyncio.Lock, "anyio.Lock": anyio.Lock, "aiologic.Lock": aiologic.Lock},
    "trio": {"trio.Lock": trio.Lock, "anyio.Lock": anyio.Lock, "aiologic.Lock": aiologic.Lock},
}
TARGETS = {"a hold, free": {"aiologic.Lock": 1.0}, "a hold, 100 queued": {"aiologic.Lock": 2.0}}
QUEUE = 100
ROUNDS, FREE_TURNS, QUEUED_TURNS = 151, 300, 500


class Candidate(NamedTuple):
    """`turns` takes so many turns one after the other; `turn` takes one for as long as its context lasts."""

    turns: Callable[[int], Coroutine[Any, Any, None]]
    turn: Callable[[], AbstractAsyncContextManager[Any]]


def with_guard() -> Candidate:
    guard = ProcessGuard()

    async def turns(times: int) -> None:
        for _ in range(times):
            async with guard.hold(URL) as hold:
                hold.finished()

    @asynccontextmanager
    async def turn() -> AsyncIterator[None]:
        async with guard.hold(URL) as hold:
            hold.finished()
            yield

    return Candidate(turns, turn)


def with_lock(lock: AbstractAsyncContextManager[Any]) -> Candidate:
    async def turns(times: int) -> None:
        for _ in range(times):
            async with lock:
                pass

    return Candidate(turns, lambda: lock)


async def queued(candidate: Candidate, times: int) -> None:
    """Let a hundred tasks take the turns, each waiting for everyone else's in between."""
    async with anyio.create_task_group() as group:
        async with candidate.turn():  # or the first would be through before the second comes
            for _ in range(QUEUE):
                group.start_soon(candidate.turns, times // QUEUE)
            for _ in range(3):  # trio runs tasks in any order, so that one may not be enough for all to line up
                await anyio.lowlevel.checkpoint()


async def compare(backend: str) -> list[Row]:
    """Measure on the async library that runs."""
    candidates = [with_guard(), *(with_lock(make()) for make in LOCKS[backend].values())]
    free = [partial(cost_of, candidate.turns, FREE_TURNS) for candidate in candidates]
    crowded = [partial(cost_of, partial(queued, candidate), QUEUED_TURNS) for candidate in candidates]
    rows = []
    for (what, targets), measured in zip(TARGETS.items(), (free, crowded), strict=True):
        ours, *others = await take_turns(ROUNDS, *measured)
        for name, theirs in zip(LOCKS[backend], others, strict=True):
            rows.append(row(f"{what}, {backend}", name, ours, theirs, at_most=targets.get(name), cpu=True))
    return rows


def run() -> list[Row]:
    return [line for backend in LOCKS for line in anyio.run(compare, backend, backend=backend)]
