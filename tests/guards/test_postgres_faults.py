"""What befalls the guard on a shared PostgreSQL: connections that end, a server that goes, callers that vanish.

However it ends, nobody enters within the grace of a call that may be in work, and everybody hears of it in time.
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from collectssl_async import ConfigurationError, GuardError, GuardLostError, GuardTimeoutError
from collectssl_async.guards import _postgres_session, _postgres_turn
from collectssl_async.guards._postgres_statements import key_of
from collectssl_async.guards.postgres import PostgresGuard

from . import contender
from .kinds import AMPLE, LONG_GRACE, GuardSpec
from .postgres_proxy import Proxy
from .postgres_server import running_postgres
from .stoppable import closed_with_connections
from .turns import hold_for_ever, take

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .contender import Parent
    from .contending import Contenders
    from .postgres_server import PostgresServer
    from .stoppable import Stoppable

pytestmark = [pytest.mark.servers, closed_with_connections]

GRACE = 0.5
WAITING = "select count(*) from pg_stat_activity where query like 'select pg_advisory_lock%' and state = 'active'"


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    """A server of these tests' own, since they stop it."""
    with running_postgres() as found:
        yield found


@pytest.fixture
def spec(server: PostgresServer) -> GuardSpec:
    return GuardSpec("postgres", server.conninfo)


# --- the holder's connection ends -------------------------------------------------------------------------------------


def test_a_holder_whose_backend_is_terminated_is_stopped_long_before_the_next_one_enters(
    server: PostgresServer, spec: GuardSpec, url: str, contenders: Contenders
) -> None:
    holder = contenders.start(contender.hold, spec, url, abandon_grace=GRACE)
    holder.hear("entered")
    waiting = contenders.start(contender.hold, spec, url, abandon_grace=GRACE)
    waiting.hear("queued")
    began = time.monotonic()
    server.terminate_holder()
    _, error, stopped = holder.hear("refused")
    _, entered = waiting.hear("entered")
    assert error == "GuardLostError"
    assert began + GRACE <= entered
    assert stopped < entered


@pytest.mark.parametrize("fate", ["stop", "kill"])
def test_a_server_that_goes_and_comes_back_remembers_the_call_that_it_interrupted(
    server: PostgresServer, spec: GuardSpec, url: str, contenders: Contenders, fate: str
) -> None:
    holder = contenders.start(contender.hold, spec, url, abandon_grace=GRACE)
    holder.hear("entered")
    others = [contenders.start(contender.retry, spec, url, abandon_grace=GRACE) for _ in range(2)]
    began = time.monotonic()
    getattr(server, fate)()
    server.start()
    _, error, stopped = holder.hear("refused")
    entered = min(each.hear("entered")[1] for each in others)
    assert error == "GuardLostError"
    assert began + GRACE <= entered
    assert stopped < entered


async def interrupted(guard: PostgresGuard, url: str, befalls: Callable[[], None]) -> None:
    """Make a call that does not end, and in which something befalls."""
    async with guard.hold(url):
        befalls()
        await asyncio.sleep(AMPLE)


@pytest.mark.asyncio
async def test_a_connection_that_is_cut_stops_the_call_inside(server: PostgresServer, url: str) -> None:
    async with Proxy(server) as proxy:
        with pytest.raises(GuardLostError, match="another host may be calling"):
            await interrupted(PostgresGuard(proxy.conninfo, abandon_grace=0), url, proxy.cut)


@pytest.mark.asyncio
async def test_check_sees_the_loss_that_a_blocked_loop_has_not_heard_of(server: PostgresServer, url: str) -> None:
    async with PostgresGuard(server.conninfo, abandon_grace=0).hold(url) as hold:
        server.terminate_holder()
        with pytest.raises(GuardLostError):
            hold.check()
        with pytest.raises(GuardLostError):
            hold.check()


@pytest.mark.asyncio
async def test_a_call_that_ends_by_itself_when_its_turn_is_lost_keeps_its_own_error(
    server: PostgresServer, url: str
) -> None:
    def befalls() -> None:
        server.terminate_holder()
        raise RuntimeError

    with pytest.raises(RuntimeError):
        await interrupted(PostgresGuard(server.conninfo, abandon_grace=0), url, befalls)


@pytest.mark.asyncio
async def test_a_finished_call_whose_end_cannot_be_told_costs_a_log_line_and_the_next_host_a_grace(
    server: PostgresServer, url: str, caplog: pytest.LogCaptureFixture, contenders: Contenders, spec: GuardSpec
) -> None:
    async with PostgresGuard(server.conninfo, abandon_grace=GRACE).hold(url) as hold:
        server.terminate_holder()
        hold.finished()
    assert "the next host waits a whole grace" in caplog.text
    began = time.monotonic()
    other = contenders.start(contender.hold, spec, url)
    assert other.hear("entered")[1] - began >= GRACE


# --- at each step -----------------------------------------------------------------------------------------------------


async def outcome_of(conninfo: str, url: str, **settings: Any) -> type[GuardError] | None:
    """Take one finished turn; return the error that it ended in."""
    try:
        async with PostgresGuard(conninfo, abandon_grace=LONG_GRACE, **settings).hold(url) as hold:
            await asyncio.sleep(0)
            hold.finished()
    except GuardError as error:
        return type(error)
    return None


@pytest.mark.parametrize("when", ["cut_before", "cut_after"])
@pytest.mark.asyncio
async def test_a_connection_cut_at_any_step_is_a_guard_error_and_keeps_this_process_out_for_no_time(
    server: PostgresServer, spec: GuardSpec, url: str, when: str
) -> None:
    outcomes = []
    step = 0
    while True:
        step += 1
        async with Proxy(server) as proxy:
            setattr(proxy, when, step)
            outcomes.append(await outcome_of(proxy.conninfo, url))
            if proxy.pieces < step:
                break
        await take(spec, url)
    assert set(outcomes[:4]) == {GuardError}
    assert set(outcomes) <= {GuardError, GuardLostError, None}
    assert outcomes[-1] is None


@pytest.mark.asyncio
async def test_a_server_that_falls_silent_at_any_step_keeps_nobody_beyond_the_time_out(
    server: PostgresServer, spec: GuardSpec, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_postgres_turn, "PATIENCE", 0.1)
    outcomes = []
    step = 0
    while True:
        step += 1
        async with Proxy(server) as proxy:
            proxy.stall_from = step
            outcomes.append(await outcome_of(proxy.conninfo, url, acquire_timeout=0.3))
            if proxy.pieces < step:
                break
        await take(spec, url)
    assert set(outcomes[:4]) == {GuardTimeoutError}
    assert set(outcomes) == {GuardTimeoutError, None}


@pytest.mark.asyncio
async def test_a_caller_cancelled_at_any_step_leaves_no_mark_to_other_hosts(server: PostgresServer, url: str) -> None:
    marked = f"select count(*) from collectssl_guard where resource = '{url}' and unfinished"
    step = 0
    while True:
        step += 1
        async with Proxy(server) as proxy:
            taking = asyncio.create_task(outcome_of(proxy.conninfo, url))
            proxy.on_piece[step] = taking.cancel
            await asyncio.wait([taking])
        if not taking.cancelled():  # it had ended before
            break
        if server.execute("select to_regclass('collectssl_guard')") != [(None,)]:
            assert server.execute(marked) == [(0,)]
    assert step > 5


# --- the server goes while others wait --------------------------------------------------------------------------------


def test_those_who_wait_hear_at_once_that_the_server_is_gone(
    server: PostgresServer, spec: GuardSpec, url: str, contenders: Contenders
) -> None:
    with psycopg.connect(server.conninfo, autocommit=True) as admin:
        admin.execute("select pg_advisory_lock(%s)", (key_of(url),))
        waiting = [contenders.start(contender.hold, spec, url) for _ in range(2)]
        for each in waiting:
            each.hear("queued")
        server.restart()
        assert [each.hear("refused")[1] for each in waiting] == ["GuardError"] * 2


def test_those_who_sit_out_a_grace_do_not_enter_without_the_lock(
    server: PostgresServer, spec: GuardSpec, url: str, contenders: Contenders
) -> None:
    holder = contenders.start(contender.hold, spec, url, abandon_grace=GRACE)
    holder.hear("entered")
    holder.tell("leave")
    holder.hear("left")
    waiting = contenders.start(contender.hold, spec, url)
    waiting.hear("queued")
    server.restart()
    assert waiting.hear("refused")[1] == "GuardError"


@pytest.mark.asyncio
async def test_a_standby_is_refused(server: PostgresServer, spec: GuardSpec, url: str) -> None:
    with server.as_standby(), pytest.raises(ConfigurationError, match=r"standby.*name the primary"):
        await take(spec, url)


# --- callers that vanish ----------------------------------------------------------------------------------------------


def test_a_waiter_whose_loop_is_closed_does_not_keep_the_lock_that_it_would_be_given(
    server: PostgresServer, spec: GuardSpec, url: str, stoppable: Stoppable
) -> None:
    with psycopg.connect(server.conninfo, autocommit=True) as admin:
        admin.execute("select pg_advisory_lock(%s)", (key_of(url),))
        stoppable.begin(lambda inside: hold_for_ever(spec, url, GRACE, inside), 0.2)
        assert server.execute(WAITING) == [(1,)]
        stoppable.close()
    free_soon(server, url)


def test_a_holder_whose_loop_is_closed_lets_go_although_nobody_collects_its_coroutine(
    server: PostgresServer, spec: GuardSpec, url: str, stoppable: Stoppable
) -> None:
    stoppable.begin(lambda inside: hold_for_ever(spec, url, GRACE, inside))
    stoppable.close()
    free_soon(server, url)


def free_soon(server: PostgresServer, url: str) -> None:
    """Wait until the lock can be had, long before a waiter would be sent away."""
    deadline = time.monotonic() + _postgres_session.LONGEST_WAIT / 2
    while server.execute(f"select pg_try_advisory_lock({key_of(url)})") != [(True,)]:
        assert time.monotonic() < deadline


@pytest.mark.asyncio
async def test_a_grace_that_the_processs_own_lane_has_sat_out_is_not_sat_out_again(
    server: PostgresServer, spec: GuardSpec, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    inside = asyncio.Event()

    def elsewhere() -> None:
        async def hold() -> None:
            holding = asyncio.create_task(hold_for_ever(spec, url, GRACE, inside))  # type: ignore[arg-type]  # set() will do
            await inside.wait()
            server.terminate_holder()
            with pytest.raises(GuardLostError):
                await holding

        asyncio.run(hold())

    await asyncio.to_thread(elsewhere)
    assert server.execute(f"select unfinished, unfinished_until from collectssl_guard where resource = '{url}'") == [
        (True, None)
    ]
    monkeypatch.setattr(_postgres_turn, "FIND", "nobody has to ask")
    began = time.monotonic()
    await take(spec, url, AMPLE)
    assert time.monotonic() - began >= GRACE - 0.1


async def fork_inside(parent: Parent, spec: GuardSpec, settings: dict[str, Any], url: str) -> None:
    """Take a turn, fork inside, and stay; so does the child, which has nothing to do with it."""
    async with spec.make(**settings).hold(url):
        child = os.fork()
        if not child:
            _outlive()
        parent.tell("forked", child)
        await parent.hear()


def _outlive() -> None:
    time.sleep(AMPLE)
    os._exit(0)


def test_a_forked_child_does_not_keep_the_lock_of_its_killed_parent(
    spec: GuardSpec, url: str, contenders: Contenders
) -> None:
    victim = contenders.start(fork_inside, spec, url, abandon_grace=GRACE)
    _, child = victim.hear("forked")
    try:
        waiting = contenders.start(contender.hold, spec, url)
        waiting.hear("queued")
        victim.kill()
        waiting.hear("entered", within=AMPLE / 2)
    finally:
        os.kill(child, signal.SIGKILL)


async def finish_in_child(parent: Parent, spec: GuardSpec, settings: dict[str, Any], url: str) -> None:
    """Take a turn, fork inside, and have the child close what it inherited, as a finaliser may."""
    hold: Any
    async with spec.make(**settings).hold(url) as hold:
        child = os.fork()
        if not child:
            hold._turn._session._connection.pgconn.finish()
            os._exit(0)
        os.waitpid(child, 0)
        await asyncio.sleep(0.1)  # for a goodbye of the child's to come round
        hold.check()
        hold.finished()
    parent.tell("ours")


def test_what_a_forked_child_closes_says_no_goodbye_to_the_server(
    spec: GuardSpec, url: str, contenders: Contenders
) -> None:
    contenders.start(finish_in_child, spec, url).hear("ours")
