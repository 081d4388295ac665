"""The guard on a shared PostgreSQL as others see it: what it writes there, how it waits, what it tells."""

from __future__ import annotations

import asyncio
import os
import socket
import time
from datetime import UTC
from typing import TYPE_CHECKING, Any

import httpx
import psycopg
import pytest

from collectssl_async import CollectSSLClient, Credentials, GuardError, GuardLostError
from collectssl_async.guards import Inspectable, _postgres_session, _postgres_turn
from collectssl_async.guards._postgres_statements import key_of
from collectssl_async.guards.postgres import PostgresGuard

from .kinds import AMPLE, LONG_GRACE
from .postgres_steps import everything_told, guard_of, take, until

if TYPE_CHECKING:
    from .postgres_server import PostgresServer

pytest_plugins = ["tests.guards.postgres_fixtures"]
pytestmark = [pytest.mark.servers, pytest.mark.asyncio]

PASSWORD = "s3cret of the store"


# --- what it writes ---------------------------------------------------------------------------------------------------


async def test_whose_call_is_unfinished_can_be_read_in_the_table(
    guard: PostgresGuard, postgres_server: PostgresServer, url: str
) -> None:
    query = (
        f"select host, process, unfinished, since <= clock_timestamp() from collectssl_guard where resource = '{url}'"
    )
    async with guard.hold(url) as hold:
        inside = postgres_server.execute(query)
        hold.finished()
    assert inside == [(socket.gethostname(), os.getpid(), True, True)]
    assert postgres_server.execute(query)[0][2] is False


async def test_its_connection_says_whose_it_is(guard: PostgresGuard, postgres_server: PostgresServer, url: str) -> None:
    async with guard.hold(url) as hold:
        found = postgres_server.execute(
            "select application_name from pg_stat_activity where application_name like 'collectssl guard%'"
        )
        hold.finished()
    assert found[0][0].startswith(f"collectssl guard {socket.gethostname()} {os.getpid()} https://")


async def test_between_holds_there_is_no_connection(
    guard: PostgresGuard, postgres_server: PostgresServer, url: str
) -> None:
    await take(guard, url)
    gone = "select count(*) from pg_stat_activity where application_name like 'collectssl guard%'"
    await until(lambda: postgres_server.execute(gone) == [(0,)])


async def test_a_hundred_holds_later_the_table_has_one_page_still(
    postgres_server: PostgresServer, url: str, database: str
) -> None:
    guard = guard_of(postgres_server, "postgres", database)
    for _ in range(100):
        await take(guard, url)
    (size,) = postgres_server.execute("select pg_relation_size('collectssl_guard')", database=database)[0]
    assert size == 8192  # nobody vacuums here


async def test_the_lock_has_the_documented_number(
    guard: PostgresGuard, postgres_server: PostgresServer, url: str
) -> None:
    async with guard.hold(url) as hold:
        assert postgres_server.execute(f"select pg_try_advisory_lock({key_of(url)})") == [(False,)]
        hold.finished()
    assert key_of("https://host.example/x") == 4990246154910792718


async def test_the_end_of_a_call_is_written_down_while_the_lock_is_still_held(
    postgres_server: PostgresServer, url: str, database: str, caplog: pytest.LogCaptureFixture
) -> None:
    guard = guard_of(postgres_server, "postgres", database)
    await take(guard, url)
    for statement in (
        """create function look() returns trigger language plpgsql as $$ begin
            perform from pg_locks where pid = pg_backend_pid() and locktype = 'advisory' and granted;
            if not found then raise exception 'unlocked too early'; end if;
            return new;
        end $$""",
        "create trigger look before update on collectssl_guard for each row execute function look()",
    ):
        postgres_server.execute(statement, database=database)
    await take(guard, url)
    assert not caplog.records


# --- waiting ----------------------------------------------------------------------------------------------------------


async def test_who_waits_holds_back_vacuum_for_a_while_only_and_keeps_waiting(
    guard: PostgresGuard, postgres_server: PostgresServer, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_postgres_session, "LONGEST_WAIT", 0.1)
    since = "select xact_start from pg_stat_activity where query like 'select pg_advisory_lock%' and state = 'active'"
    seen: set[Any] = set()

    def begun_anew() -> bool:
        seen.update(postgres_server.execute(since))
        return len(seen) > 2

    with psycopg.connect(postgres_server.conninfo, autocommit=True) as admin:
        admin.execute("select pg_advisory_lock(%s)", (key_of(url),))
        taking = asyncio.create_task(take(guard, url))
        await until(begun_anew)
    await taking


async def test_a_waiter_that_was_cancelled_leaves_the_servers_queue(
    guard: PostgresGuard, postgres_server: PostgresServer, url: str
) -> None:
    waiting = "select count(*) from pg_stat_activity where query like 'select pg_advisory_lock%' and state = 'active'"
    with psycopg.connect(postgres_server.conninfo, autocommit=True) as admin:
        admin.execute("select pg_advisory_lock(%s)", (key_of(url),))
        taking = asyncio.create_task(take(guard, url))
        await until(lambda: postgres_server.execute(waiting) == [(1,)])
        taking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await taking
        began = time.monotonic()
        await until(lambda: postgres_server.execute(waiting) == [(0,)])
        assert time.monotonic() - began < _postgres_session.LONGEST_WAIT / 2


async def test_a_clock_that_was_set_back_keeps_nobody_waiting_longer_than_the_grace(
    postgres_server: PostgresServer, guard: PostgresGuard, url: str
) -> None:
    await take(guard, url)
    postgres_server.execute(
        "update collectssl_guard set unfinished = true, caller = 'another', grace = 0.1, "
        f"unfinished_until = clock_timestamp() + interval '1 day' where resource = '{url}'"
    )
    began = time.monotonic()
    await take(guard, url)
    assert 0.1 <= time.monotonic() - began < AMPLE


# --- seen from outside ------------------------------------------------------------------------------------------------


async def test_a_database_without_the_table_has_nothing_to_tell(
    postgres_server: PostgresServer, url: str, database: str
) -> None:
    guard = guard_of(postgres_server, "postgres", database)
    assert isinstance(guard, Inspectable)
    status = await guard.status(url + "?query")
    assert (status.resource, status.held, status.holder, status.unfinished) == (url, False, None, False)
    assert await guard.force_release(url) is False


async def test_the_status_names_the_holder(guard: PostgresGuard, url: str) -> None:
    async with guard.hold(url) as hold:
        status = await guard.status(url)
        hold.finished()
    assert status.held
    assert status.holder is not None
    assert (status.holder.host, status.holder.process) == (socket.gethostname(), os.getpid())
    assert status.holder.since.tzinfo is not None
    assert not status.unfinished
    assert (await guard.status(url)).held is False


async def test_the_status_tells_until_when_an_unfinished_call_counts(guard: PostgresGuard, url: str) -> None:
    async with guard.hold(url):
        pass
    status = await guard.status(url)
    assert (status.held, status.unfinished) == (False, True)
    assert status.holder is not None
    assert status.unfinished_until is not None
    assert 0 < (status.unfinished_until - status.holder.since).total_seconds() <= LONG_GRACE + AMPLE


async def test_the_times_in_the_status_are_utc_whatever_the_database_keeps(
    postgres_server: PostgresServer, url: str
) -> None:
    in_tokyo = f"{postgres_server.conninfo}?options=-cTimeZone%3DAsia/Tokyo"
    guard = PostgresGuard(in_tokyo, abandon_grace=LONG_GRACE, acquire_timeout=AMPLE)
    async with guard.hold(url):
        pass
    status = await guard.status(url)
    assert status.holder is not None
    assert status.holder.since.tzinfo is UTC
    assert status.unfinished_until is not None
    assert status.unfinished_until.tzinfo is UTC


async def test_the_status_tells_nothing_of_a_grace_that_is_over(postgres_server: PostgresServer, url: str) -> None:
    guard = PostgresGuard(postgres_server.conninfo, abandon_grace=0)
    async with guard.hold(url):
        pass
    status = await guard.status(url)
    assert (status.unfinished, status.unfinished_until) == (False, None)


async def test_a_forced_release_forgets_an_unfinished_call(
    guard: PostgresGuard, postgres_server: PostgresServer, url: str
) -> None:
    async with guard.hold(url):
        pass
    assert await guard.force_release(url) is True
    assert (await guard.status(url)).unfinished is False
    assert await guard.force_release(url) is False


async def test_a_forced_release_ends_the_holders_connection_and_its_call(guard: PostgresGuard, url: str) -> None:
    inside = asyncio.Event()

    async def hold() -> None:
        async with guard.hold(url):
            inside.set()
            await asyncio.sleep(AMPLE)

    holding = asyncio.create_task(hold())
    await inside.wait()
    assert await guard.force_release(url) is True
    with pytest.raises(GuardLostError):
        await holding


async def test_a_role_that_may_not_end_the_holders_connection_is_told_the_statement(
    postgres_server: PostgresServer, url: str, database: str, role: str
) -> None:
    async with guard_of(postgres_server, "postgres", database).hold(url) as hold:
        postgres_server.execute(f"grant select, insert, update on collectssl_guard to {role}", database=database)
        with pytest.raises(GuardError, match=r"have an administrator run select pg_terminate_backend\(\d+\)"):
            await guard_of(postgres_server, role, database).force_release(url)
        hold.check()
        hold.finished()


# --- inside a client --------------------------------------------------------------------------------------------------


async def test_a_call_whose_turn_is_lost_is_stopped(
    guard: PostgresGuard, postgres_server: PostgresServer, url: str
) -> None:
    async def answer(_: httpx.Request) -> httpx.Response:
        postgres_server.terminate_backends()
        await asyncio.sleep(AMPLE)
        raise AssertionError("the call went on")

    credentials = Credentials(login_name="somebody", login_password=PASSWORD)
    async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as http_client:
        client = CollectSSLClient(credentials, endpoint=url, http_client=http_client, guard=guard)
        with pytest.raises(GuardLostError, match="another host may be calling") as caught:
            await client.status("12345678")
    assert PASSWORD not in everything_told(caught.value)


async def test_a_machine_that_slept_inside_its_turn_cannot_know_whether_it_has_it(
    guard: PostgresGuard, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with guard.hold(url) as hold:
        monkeypatch.setattr(_postgres_turn, "_slept", lambda: 3600.0)
        with pytest.raises(GuardLostError):
            hold.check()
        hold.finished()
