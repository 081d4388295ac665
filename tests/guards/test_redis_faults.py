"""What becomes of turns when Redis or the way to it fails: does not answer, forgets, ends, is cut off.

Two are never inside at once, but for the window that is measured here; each fault ends in going on or in a
`GuardError`. Event loops and processes that fail stand in `test_redis_vanishing.py`.
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING

import pytest

from collectssl_async import GuardError, GuardLostError, GuardTimeoutError
from collectssl_async.guards.redis import RedisGuard

from .cutting import cutting
from .kinds import AMPLE, GRACE, LEASE
from .redis_server import running_redis
from .redis_turns import SHORT, bystander, guard_at, holding, key_of, turn_at, until_they_wait

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .redis_server import RedisServer

pytestmark = pytest.mark.servers


# --- a Redis that does not answer -------------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_an_answer_that_took_longer_than_the_lease_is_no_lease(redis_server: RedisServer, url: str) -> None:
    guard = guard_at(redis_server, ttl=SHORT)
    async with turn_at(guard, url):
        pass
    with bystander(redis_server) as client:
        client.client_pause(int(1.5 * SHORT * 1000))
        async with turn_at(guard, url) as lease:
            lease.check()
            assert client.pttl(key_of(url)) > (0.8 * SHORT + GRACE) * 1000


@pytest.mark.asyncio
async def test_a_call_is_stopped_before_a_paused_redis_can_have_ended_its_lease(
    redis_server: RedisServer, url: str
) -> None:
    async with holding(guard_at(redis_server), url) as holder:
        with bystander(redis_server) as client:
            client.client_pause(int(2 * LEASE * 1000))
        paused = time.monotonic()
        with pytest.raises(GuardLostError, match="could not be renewed in time"):
            await holder.over()
        assert holder.stopped - paused < LEASE
        assert time.monotonic() - holder.stopped < LEASE / 2, "a Redis that does not answer is waited for by nobody"


@pytest.mark.asyncio
async def test_a_pause_shorter_than_the_lease_is_slept_through(redis_server: RedisServer, url: str) -> None:
    async with holding(guard_at(redis_server), url) as holder:
        with bystander(redis_server) as client:
            client.client_pause(int(0.4 * LEASE * 1000))
        await asyncio.sleep(1.2 * LEASE)
        assert not holder.task.done()
        holder.leave.set()
        await holder.task


@pytest.mark.asyncio
async def test_a_redis_that_hangs_is_a_guard_error_in_time(
    redis_server: RedisServer, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("collectssl_async.guards._redis_link.ANSWER", 0.3)
    monkeypatch.setattr("collectssl_async.guards._redis_contest._OUTAGE", 0.3)
    guard = guard_at(redis_server)
    redis_server.freeze()
    began = time.monotonic()
    try:
        with pytest.raises(GuardError, match="did not answer in time"):
            async with guard.hold(url):
                pass
        assert time.monotonic() - began < AMPLE / 4
    finally:
        redis_server.thaw()
    async with guard.hold(url) as hold:
        hold.finished()


@pytest.mark.asyncio
async def test_a_time_out_shorter_than_the_wait_for_an_answer_names_the_store_too(
    redis_server: RedisServer, url: str
) -> None:
    guard = guard_at(redis_server, acquire_timeout=0.1)
    redis_server.freeze()
    try:
        with pytest.raises(GuardTimeoutError, match="or the guard's store does not answer"):
            async with guard.hold(url):
                pass
    finally:
        redis_server.thaw()


# --- a Redis that forgets ---------------------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_after_flushall_two_are_inside_for_at_most_a_third_of_a_lease(
    redis_server: RedisServer, url: str
) -> None:
    guard, other = guard_at(redis_server), guard_at(redis_server)
    async with holding(guard, url) as holder:
        waiting = asyncio.create_task(other.take(url))
        await until_they_wait(redis_server, url)
        with bystander(redis_server) as client:
            client.flushall()
        flushed = time.monotonic()
        with pytest.raises(GuardLostError, match="Redis has forgotten it"):
            await holder.over()
        window = holder.stopped - flushed
        print(f"redis: stopped {window:.3f} s after FLUSHALL, with a lease of {LEASE:g} s")
        assert window < LEASE / 3 + 0.4
        await (await waiting).leave(finished=True)


# --- the way to Redis -------------------------------------------------------------------------------------------------


@pytest.mark.asyncio
@pytest.mark.parametrize("answer", [False, True], ids=["before Redis saw it", "before the answer came"])
@pytest.mark.parametrize("command", ["INFO", "SET", "EVALSHA", "PUBLISH"])
async def test_a_connection_cut_in_the_middle_costs_no_lease(
    redis_server: RedisServer, url: str, command: str, answer: bool, caplog: pytest.LogCaptureFixture
) -> None:
    async with cutting(redis_server) as between:
        guard = RedisGuard(between.url, ttl=LEASE, abandon_grace=GRACE)
        if command != "INFO":
            async with turn_at(guard, url):
                pass
        between.cut(command, answer=answer)
        with caplog.at_level(logging.WARNING, "collectssl_async"):
            began = time.monotonic()
            async with turn_at(guard, url) as lease:
                lease.check()
            took = time.monotonic() - began
        with bystander(redis_server) as client:
            assert not client.exists(key_of(url))
        assert (between.cuts, took < LEASE, caplog.messages) == (1, True, [])


@pytest.mark.asyncio
@pytest.mark.parametrize("answer", [False, True], ids=["before Redis saw it", "before the answer came"])
async def test_a_connection_cut_while_it_renews_costs_no_lease(
    redis_server: RedisServer, url: str, answer: bool
) -> None:
    async with cutting(redis_server) as between:
        guard = RedisGuard(between.url, ttl=LEASE, abandon_grace=GRACE)
        async with holding(guard, url) as holder:
            between.cut("EVALSHA", answer=answer)
            await asyncio.sleep(1.2 * LEASE)
            assert between.cuts == 1
            assert not holder.task.done()
            holder.leave.set()
            await holder.over()


@pytest.mark.asyncio
async def test_one_who_waits_goes_on_after_its_connections_were_cut(redis_server: RedisServer, url: str) -> None:
    async with cutting(redis_server) as between:
        async with holding(guard_at(redis_server), url) as holder:
            waiting = asyncio.create_task(RedisGuard(between.url, ttl=LEASE, abandon_grace=GRACE).take(url))
            await until_they_wait(redis_server, url)
            between.cut_all()
            holder.leave.set()
            await holder.over()
            async with asyncio.timeout(AMPLE / 4):
                lease = await waiting
            await lease.leave(finished=True)


# --- a Redis that ends ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def mortal_redis() -> Iterator[RedisServer]:
    """A Redis for the tests that end it; those above want theirs old."""
    with running_redis() as server:
        yield server


@pytest.mark.asyncio
async def test_nobody_enters_a_restarted_redis_before_lease_and_grace_have_passed(
    mortal_redis: RedisServer, url: str
) -> None:
    guard, other = guard_at(mortal_redis, ttl=SHORT), guard_at(mortal_redis, ttl=SHORT)
    async with holding(guard, url) as holder:
        waiting = asyncio.create_task(other.take(url))
        await until_they_wait(mortal_redis, url)
        await asyncio.to_thread(mortal_redis.restart)
        restarted = time.monotonic()
        with pytest.raises(GuardLostError):
            await holder.over()
        assert holder.stopped - restarted < SHORT
        lease = await waiting
        assert time.monotonic() - holder.stopped >= GRACE
        assert time.monotonic() - restarted < SHORT + GRACE + 3
        await lease.leave(finished=True)


@pytest.mark.asyncio
async def test_a_redis_that_is_gone_while_somebody_waits_is_a_guard_error(
    mortal_redis: RedisServer, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("collectssl_async.guards._redis_contest._OUTAGE", 0.3)
    async with holding(guard_at(mortal_redis, ttl=SHORT), url) as holder:
        waiting = asyncio.create_task(guard_at(mortal_redis, ttl=SHORT).take(url))
        await until_they_wait(mortal_redis, url)
        mortal_redis.kill()
        gone = time.monotonic()
        try:
            with pytest.raises(GuardError, match="cannot be reached"):
                await waiting
            with pytest.raises(GuardLostError, match="could not be renewed in time"):
                await holder.over()
            assert time.monotonic() - gone < AMPLE / 4
        finally:
            await asyncio.to_thread(mortal_redis.start)
