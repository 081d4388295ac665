"""The Redis guard as its users see it: turns, graces, who holds, and what it says of what can never work."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import threading
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
import redis
import redis.asyncio
import redis.asyncio.cluster

from collectssl_async import ConfigurationError, GuardLostError, GuardTimeoutError
from collectssl_async.guards._protocol import Guard, Hold, Inspectable
from collectssl_async.guards.redis import RedisGuard

from .cutting import cutting
from .kinds import AMPLE, GRACE, LEASE
from .redis_turns import bystander, guard_at, key_of, turn_at, until_they_wait

if TYPE_CHECKING:
    from .redis_server import RedisServer

pytestmark = pytest.mark.servers


# --- turns ------------------------------------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_another_process_enters_as_soon_as_the_holder_has_finished(redis_server: RedisServer, url: str) -> None:
    guard, other = guard_at(redis_server), guard_at(redis_server)
    async with guard.hold(url) as hold:
        waiting = asyncio.create_task(other.take(url))
        await until_they_wait(redis_server, url)
        await asyncio.sleep(0.1)  # it has tried once more, and listens
        assert not waiting.done()
        hold.finished()
    left = time.monotonic()
    lease = await waiting
    assert time.monotonic() - left < 0.8, "told, and not found by looking again after a second"
    await lease.leave(finished=True)


@pytest.mark.asyncio
async def test_an_unfinished_call_keeps_others_out_for_the_rest_of_its_grace(
    redis_server: RedisServer, url: str
) -> None:
    guard = guard_at(redis_server)
    await (await guard.take(url)).leave(finished=False)
    left = time.monotonic()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(GRACE / 2):
            await guard.take(url)
    async with turn_at(guard, url):
        assert GRACE - 0.05 <= time.monotonic() - left < GRACE + LEASE / 2


@pytest.mark.asyncio
async def test_without_a_grace_an_unfinished_call_keeps_nobody_out(redis_server: RedisServer, url: str) -> None:
    guard = guard_at(redis_server, abandon_grace=0)
    lease = await guard.take(url)
    await lease.leave(finished=False)
    with bystander(redis_server) as client:
        assert not client.exists(key_of(url))


@pytest.mark.asyncio
async def test_a_lease_is_renewed_for_as_long_as_it_is_held(redis_server: RedisServer, url: str) -> None:
    guard = guard_at(redis_server, ttl=0.6, abandon_grace=0)
    async with guard.hold(url) as hold:
        with bystander(redis_server) as client:
            value = client.get(key_of(url))
            await asyncio.sleep(1.0)
            hold.check()
            assert client.get(key_of(url)) == value
        hold.finished()


@pytest.mark.asyncio
async def test_who_has_just_left_lets_those_go_first_who_wait(redis_server: RedisServer, url: str) -> None:
    seen = []
    async with cutting(redis_server) as longer_way:
        guard, other = guard_at(redis_server), RedisGuard(longer_way.url, ttl=LEASE, abandon_grace=GRACE)

        async def wait() -> None:
            async with turn_at(other, url):
                seen.append("other")

        lease = await guard.take(url)
        waiting = asyncio.create_task(wait())
        await until_they_wait(redis_server, url)
        await asyncio.sleep(0.1)  # it has tried once more, and listens
        await lease.leave(finished=True)
        async with turn_at(guard, url):
            seen.append("guard")
        await waiting
    assert seen == ["other", "guard"]


@pytest.mark.asyncio
async def test_endpoints_do_not_block_each_other(redis_server: RedisServer, url: str) -> None:
    guard = guard_at(redis_server)
    async with guard.hold(url) as hold, guard.hold(url + "/other") as other:
        hold.finished()
        other.finished()


@pytest.mark.asyncio
async def test_the_time_out_covers_the_wait_on_redis_and_leaves_nothing_behind(
    redis_server: RedisServer, url: str
) -> None:
    guard, other = guard_at(redis_server), guard_at(redis_server, acquire_timeout=0.2)
    lease = await guard.take(url)
    with pytest.raises(GuardTimeoutError, match=r"within 0\.2 s"):
        async with other.hold(url):
            pass
    await until_they_wait(redis_server, url, count=0)
    await lease.leave(finished=True)
    with bystander(redis_server) as client:
        assert not client.exists(key_of(url))


@pytest.mark.asyncio
async def test_it_is_a_guard_that_can_be_looked_at(redis_server: RedisServer, url: str) -> None:
    guard = RedisGuard(redis_server.url)
    assert isinstance(guard, Guard)
    assert isinstance(guard, Inspectable)
    assert isinstance(guard.hold(url), Hold)


# --- who holds --------------------------------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_redis_says_who_holds_in_words_that_people_read(redis_server: RedisServer, url: str) -> None:
    guard = guard_at(redis_server)
    async with guard.hold(url) as hold:
        with bystander(redis_server) as client:
            written = json.loads(client.get(key_of(url)))
        hold.finished()
    assert written["host"] == socket.gethostname()
    assert written["process"] == os.getpid()
    assert abs(datetime.now(UTC) - datetime.fromisoformat(written["since"])).total_seconds() < AMPLE


@pytest.mark.asyncio
async def test_the_status_tells_a_free_resource_from_a_held_one(redis_server: RedisServer, url: str) -> None:
    guard = guard_at(redis_server)
    free = await guard.status(url)
    async with guard.hold(url) as hold:
        held = await guard.status(url.upper().replace("COLLECTSSL", "CollectSSL"))
        hold.finished()
    assert (free.held, free.holder, free.unfinished) == (False, None, False)
    assert (held.resource, held.held, held.unfinished) == (url, True, False)
    assert held.holder is not None
    assert held.holder.process == os.getpid()


@pytest.mark.asyncio
async def test_the_status_says_until_when_an_unfinished_call_keeps_everyone_out(
    redis_server: RedisServer, url: str
) -> None:
    guard = guard_at(redis_server)
    await (await guard.take(url)).leave(finished=False)
    status = await guard.status(url)
    assert (status.held, status.unfinished) == (False, True)
    assert status.unfinished_until is not None
    assert 0 < (status.unfinished_until - datetime.now(UTC)).total_seconds() <= GRACE


@pytest.mark.asyncio
async def test_a_key_that_another_program_wrote_is_held_by_nobody_known(redis_server: RedisServer, url: str) -> None:
    guard = guard_at(redis_server, acquire_timeout=0.2)
    with bystander(redis_server) as client:
        client.set(key_of(url), "maintenance")
        status = await guard.status(url)
        with pytest.raises(GuardTimeoutError):
            async with guard.hold(url):
                pass
        client.delete(key_of(url))
    assert (status.held, status.holder) == (True, None)


@pytest.mark.asyncio
async def test_a_lock_released_by_force_lets_in_who_waits_and_stops_its_holder(
    redis_server: RedisServer, url: str
) -> None:
    guard, other = guard_at(redis_server), guard_at(redis_server)

    async def hold() -> None:
        async with guard.hold(url):
            inside.set()
            await asyncio.sleep(AMPLE)

    inside = asyncio.Event()
    holding = asyncio.create_task(hold())
    await inside.wait()
    waiting = asyncio.create_task(other.take(url))
    await until_they_wait(redis_server, url)
    assert await other.force_release(url)
    lease = await waiting
    with pytest.raises(GuardLostError, match="released by force"):
        await holding
    await lease.leave(finished=True)


@pytest.mark.asyncio
async def test_releasing_by_force_forgets_an_unfinished_call(redis_server: RedisServer, url: str) -> None:
    guard = guard_at(redis_server)
    await (await guard.take(url)).leave(finished=False)
    assert await guard.force_release(url)
    assert not await guard.force_release(url)
    assert not (await guard.status(url)).unfinished


# --- clients and loops ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "settings", [{}, {"decode_responses": True}, {"protocol": 2}], ids=["plain", "decoding", "RESP2"]
)
@pytest.mark.asyncio
async def test_a_client_handed_in_is_used_and_stays_open(
    redis_server: RedisServer, url: str, settings: dict[str, Any]
) -> None:
    async with redis.asyncio.Redis(port=redis_server.port, **settings) as client:
        guard = RedisGuard(client, ttl=LEASE, abandon_grace=GRACE)
        async with guard.hold(url) as hold:
            assert (await guard.status(url)).held
            waiting = asyncio.create_task(guard.take(url))
            await until_they_wait(redis_server, url)
            hold.finished()
        await (await waiting).leave(finished=True)
        assert await client.ping()


def test_a_client_handed_in_belongs_to_one_event_loop(redis_server: RedisServer, url: str) -> None:
    client = redis.asyncio.Redis(port=redis_server.port)
    guard = RedisGuard(client, ttl=LEASE, abandon_grace=GRACE)

    async def call() -> None:
        async with guard.hold(url) as hold:
            hold.finished()
        await client.aclose()

    asyncio.run(call())
    with pytest.raises(ConfigurationError, match="give RedisGuard a URL instead"):
        asyncio.run(call())


def test_a_guard_with_a_url_serves_any_loop_and_closes_its_connections_with_it(
    redis_server: RedisServer, url: str
) -> None:
    guard = RedisGuard(redis_server.url, ttl=LEASE, abandon_grace=GRACE)

    async def call() -> None:
        async with guard.hold(url) as hold:
            hold.finished()

    with bystander(redis_server) as client:
        before = len(client.client_list())
        for _ in range(3):
            asyncio.run(call())
        deadline = time.monotonic() + AMPLE
        while len(client.client_list()) > before:
            assert time.monotonic() < deadline
            time.sleep(0.005)


def test_loops_in_several_threads_take_turns(redis_server: RedisServer, url: str) -> None:
    guard = RedisGuard(redis_server.url, ttl=LEASE, abandon_grace=GRACE)
    inside: list[int] = []
    overlaps: list[int] = []

    async def calls() -> None:
        for _ in range(5):
            async with guard.hold(url) as hold:
                overlaps.extend(inside)
                inside.append(threading.get_ident())
                await asyncio.sleep(0.002)
                inside.remove(threading.get_ident())
                hold.finished()

    threads = [threading.Thread(target=lambda: asyncio.run(calls())) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(AMPLE)
    assert not any(thread.is_alive() for thread in threads)
    assert not overlaps
