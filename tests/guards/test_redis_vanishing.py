"""What becomes of a turn at a Redis when the event loop or the process that has it fails.

Processes that are killed or stopped stand in `test_killed.py`, what every guard has in common in `test_vanishing.py`.
"""

from __future__ import annotations

import asyncio
import gc
import os
import time
from typing import TYPE_CHECKING, Any

import pytest

from collectssl_async import GuardLostError
from collectssl_async.guards import _redis_lease
from collectssl_async.guards._redis_link import Link

from .kinds import AMPLE, GRACE, LEASE
from .redis_turns import SHORT, bystander, guard_at, key_of, turn_at
from .stepping import Stepping

if TYPE_CHECKING:
    from collections.abc import Collection, Coroutine

    from .redis_server import RedisServer

pytestmark = pytest.mark.servers


# --- the event loop ---------------------------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_a_holder_whose_loop_was_blocked_for_longer_than_its_lease_may_not_send(
    redis_server: RedisServer, url: str
) -> None:
    refused = []

    async def hold() -> None:
        async with guard_at(redis_server, ttl=SHORT).hold(url) as hold:
            time.sleep(SHORT + GRACE + 0.1)  # noqa: ASYNC251 - that is the fault
            with bystander(redis_server) as client:
                assert client.set(key_of(url), "another's", nx=True, px=60_000)
            try:
                hold.check()
            except GuardLostError as error:
                refused.append(error)
            await asyncio.sleep(AMPLE)

    with pytest.raises(GuardLostError, match="the event loop was blocked"):
        await hold()
    assert refused
    with bystander(redis_server) as client:
        assert client.getdel(key_of(url)) == b"another's"


@pytest.mark.asyncio
async def test_a_host_that_slept_counts_that_time(
    redis_server: RedisServer, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with turn_at(guard_at(redis_server), url) as lease:
        lease.check()
        awake = _redis_lease.boot_time
        monkeypatch.setattr(_redis_lease, "boot_time", lambda: awake() + LEASE)
        with pytest.raises(GuardLostError):
            lease.check()


def test_the_clock_goes_on_while_the_host_sleeps() -> None:
    assert getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC) == _redis_lease._BOOT_CLOCK


async def _cancelled_at(steps: Collection[int], work: Coroutine[Any, Any, None]) -> int:
    """Run something in a task that is cancelled at these of its awaits; return how many it came to."""

    def interfere(step: int, _: object) -> None:
        if step in steps:
            asyncio.get_running_loop().call_soon(task.cancel)

    async def run() -> None:
        await stepping

    stepping = Stepping(work, interfere)
    task = asyncio.create_task(run())
    await asyncio.wait((task,))
    return stepping.steps


@pytest.mark.asyncio
@pytest.mark.parametrize("times", [1, 2], ids=["once", "twice"])
async def test_a_task_cancelled_at_any_await_leaves_no_key(redis_server: RedisServer, url: str, times: int) -> None:
    guard, step = guard_at(redis_server), 1

    async def turn() -> None:
        async with guard.hold(url) as hold:
            hold.finished()
            await asyncio.sleep(0)

    async with turn_at(guard, url):
        pass
    with bystander(redis_server) as client:
        while await _cancelled_at(range(step, step + times), turn()) >= step:
            async with asyncio.timeout(LEASE), turn_at(guard, url):
                pass
            assert not client.exists(key_of(url))
            step += 1
    assert step > 3


def test_a_loop_that_ends_while_it_asks_leaves_no_key(
    redis_server: RedisServer, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    really = Link.acquire

    async def ask_and_end() -> None:
        async def slowly(link: Link, lock: Any, token: str) -> bool:
            await really(link, lock, token)
            taken.set()
            await asyncio.sleep(AMPLE)  # as if the answer were on its way
            return True

        monkeypatch.setattr(Link, "acquire", slowly)
        taken = asyncio.Event()
        asking = asyncio.create_task(guard_at(redis_server).take(url))
        await taken.wait()
        assert not asking.done()

    asyncio.run(ask_and_end())
    with bystander(redis_server) as client:
        assert not client.exists(key_of(url))


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("finished", [False, True])
def test_a_loop_closed_inside_a_hold_keeps_others_out_no_longer_than_lease_and_grace(
    redis_server: RedisServer, url: str, finished: bool
) -> None:
    async def enter() -> None:
        hold = guard_at(redis_server).hold(url)
        entered.append(hold)
        await hold.__aenter__()
        if finished:
            hold.finished()

    async def come_next() -> float:
        async with guard_at(redis_server).hold(url) as hold:
            hold.finished()
            return time.monotonic() - closed

    entered: list[object] = []
    loop = asyncio.new_event_loop()
    loop.run_until_complete(enter())
    closed = time.monotonic()
    loop.close()
    took = asyncio.run(come_next())
    entered.clear()
    gc.collect()
    if finished:
        assert took < LEASE
    else:
        assert GRACE <= took < LEASE + GRACE + LEASE


# --- the process ------------------------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_may_not_send_and_leaves_the_parents_lease_alone(redis_server: RedisServer, url: str) -> None:
    async def call() -> None:
        async with guard_at(redis_server).hold(url + "/child") as hold:
            hold.finished()

    def in_the_child(hold: object) -> int:
        assert hasattr(hold, "check")
        try:
            hold.check()
        except GuardLostError:
            gc.collect()
            asyncio._set_running_loop(None)
            asyncio.set_event_loop(None)
            asyncio.run(call())
            return 0
        return 2

    async def main() -> int:
        async with guard_at(redis_server).hold(url) as hold:
            child = os.fork()
            if child == 0:
                code = 1
                try:
                    code = in_the_child(hold)
                finally:
                    os._exit(code)
            _, status = os.waitpid(child, 0)
            await asyncio.sleep(0.7 * LEASE)
            hold.check()
            with bystander(redis_server) as client:
                assert client.exists(key_of(url))
            hold.finished()
        with bystander(redis_server) as client:
            assert not client.exists(key_of(url))
        return os.waitstatus_to_exitcode(status)

    assert asyncio.run(main()) == 0


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_leaves_an_idle_connection_of_the_parent_alone(redis_server: RedisServer, url: str) -> None:
    async def main() -> float:
        guard = guard_at(redis_server)
        async with turn_at(guard, url):
            pass
        child = os.fork()
        if child == 0:
            try:
                gc.collect()
            finally:
                os._exit(0)
        os.waitpid(child, 0)
        began = time.monotonic()
        async with turn_at(guard, url):
            return time.monotonic() - began

    assert asyncio.run(main()) < LEASE
