"""The guard on a shared PostgreSQL: what it writes and needs there, and what it says when that is missing."""

from __future__ import annotations

import asyncio
import contextlib
import os
import pickle
import socket
import time
import traceback
from typing import TYPE_CHECKING, Any

import httpx
import psycopg
import pytest
import pytest_asyncio

from collectssl_async import (
    CollectSSLClient,
    ConfigurationError,
    Credentials,
    GuardError,
    GuardLostError,
    GuardTimeoutError,
)
from collectssl_async.guards import Inspectable, _postgres_session, _postgres_turn
from collectssl_async.guards._postgres_statements import CREATE_TABLE, key_of
from collectssl_async.guards.postgres import PostgresGuard

from .kinds import AMPLE, LONG_GRACE
from .postgres_proxy import Proxy

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from .postgres_server import PostgresServer

pytestmark = [pytest.mark.servers, pytest.mark.asyncio]

PASSWORD = "s3cret of the store"
QUOTED = "s3cret%20of%20the%20store"


@pytest.fixture
def guard(postgres_server: PostgresServer) -> PostgresGuard:
    return PostgresGuard(postgres_server.conninfo, abandon_grace=LONG_GRACE, acquire_timeout=AMPLE)


@pytest.fixture
def database(postgres_server: PostgresServer) -> Iterator[str]:
    """A database of this test's own, in which nobody has made the table."""
    postgres_server.execute("create database fresh")
    yield "fresh"
    postgres_server.execute("drop database fresh with (force)")


@pytest.fixture
def role(postgres_server: PostgresServer, database: str) -> Iterator[str]:
    """The name of a role that may log in to the database, and no more."""
    postgres_server.execute("create role worker login")
    yield "worker"
    postgres_server.execute("drop owned by worker", database=database)
    postgres_server.execute("drop role worker")


@pytest_asyncio.fixture
async def proxy(postgres_server: PostgresServer) -> AsyncIterator[Proxy]:
    async with Proxy(postgres_server) as found:
        yield found


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


# --- what it makes and needs ------------------------------------------------------------------------------------------


async def test_the_table_is_made_where_it_is_missing(postgres_server: PostgresServer, url: str, database: str) -> None:
    await take(guard_of(postgres_server, "postgres", database), url)
    assert postgres_server.execute("select count(*) from collectssl_guard", database=database) == [(1,)]


async def test_two_may_make_the_table_at_once(postgres_server: PostgresServer, url: str, database: str) -> None:
    admin = await psycopg.AsyncConnection.connect(postgres_server.conninfo_for("postgres", database=database))
    async with admin:
        await admin.execute(CREATE_TABLE.encode())  # and is not seen by others until it commits
        taking = asyncio.create_task(take(guard_of(postgres_server, "postgres", database), url))
        waiting = "select count(*) from pg_stat_activity where query like 'create table%' and wait_event_type = 'Lock'"
        await until(lambda: postgres_server.execute(waiting) == [(1,)])
        await admin.commit()
        await taking


async def test_a_role_that_may_not_make_the_table_is_told_what_to_have_made(
    postgres_server: PostgresServer, url: str, database: str, role: str
) -> None:
    with pytest.raises(ConfigurationError, match="permission denied") as caught:
        await take(guard_of(postgres_server, role, database), url)
    assert "create table if not exists collectssl_guard (" in str(caught.value)


async def test_a_role_that_may_not_write_the_table_is_told_the_grant(
    postgres_server: PostgresServer, url: str, database: str, role: str
) -> None:
    postgres_server.execute(CREATE_TABLE, database=database)
    with pytest.raises(ConfigurationError, match="grant select, insert, update on collectssl_guard"):
        await take(guard_of(postgres_server, role, database), url)


async def test_the_grant_that_is_told_is_all_that_a_role_needs(
    postgres_server: PostgresServer, url: str, database: str, role: str
) -> None:
    postgres_server.execute(CREATE_TABLE, database=database)
    postgres_server.execute(f"grant select, insert, update on collectssl_guard to {role}", database=database)
    await take(guard_of(postgres_server, role, database), url)


async def test_another_table_of_that_name_is_found_out(
    postgres_server: PostgresServer, url: str, database: str
) -> None:
    postgres_server.execute("create table collectssl_guard (resource text primary key)", database=database)
    with pytest.raises(ConfigurationError, match="but not this one: create table"):
        await take(guard_of(postgres_server, "postgres", database), url)


async def test_settings_of_the_role_that_would_end_a_hold_or_a_wait_are_put_aside(
    postgres_server: PostgresServer, url: str, database: str, role: str
) -> None:
    postgres_server.execute(f"grant create on schema public to {role}", database=database)
    for setting in (
        "statement_timeout = 50",
        "lock_timeout = 20",
        "transaction_timeout = 50",
        "idle_session_timeout = 50",
        "idle_in_transaction_session_timeout = 50",
        "default_transaction_read_only = on",
        "default_transaction_isolation = serializable",
    ):
        postgres_server.execute(f"alter role {role} set {setting}")
    guard = guard_of(postgres_server, role, database)
    with psycopg.connect(postgres_server.conninfo_for("postgres", database=database), autocommit=True) as admin:
        admin.execute("select pg_advisory_lock(%s)", (key_of(url),))
        taking = asyncio.create_task(hold_for(guard, url, 0.15))
        await asyncio.sleep(0.15)
    await taking


async def hold_for(guard: PostgresGuard, url: str, seconds: float) -> None:
    async with guard.hold(url) as hold:
        await asyncio.sleep(seconds)
        hold.check()
        hold.finished()


async def test_the_mark_of_a_call_survives_a_crash_whatever_the_role_says(
    postgres_server: PostgresServer, url: str, database: str, role: str
) -> None:
    postgres_server.execute(f"grant create on schema public to {role}", database=database)
    postgres_server.execute(f"alter role {role} set synchronous_commit = off")
    async with guard_of(postgres_server, role, database).hold(url) as hold:
        assert await session_of(hold).rows("show synchronous_commit", {}) == [("on",)]
        hold.finished()


def session_of(hold: Any) -> _postgres_session.Session:
    session: _postgres_session.Session = hold._turn._session
    return session


async def test_our_end_gives_up_a_silent_line_before_the_server_does(guard: PostgresGuard, url: str) -> None:
    settings = ("tcp_keepalives_idle", "tcp_keepalives_interval", "tcp_keepalives_count", "tcp_user_timeout")
    async with guard.hold(url) as hold:
        session = session_of(hold)
        session.unwatch()
        idle, interval, count, whole = [
            int((await session.rows(f"select setting from pg_settings where name = '{name}'", {}))[0][0])
            for name in settings
        ]
        with socket.socket(fileno=os.dup(session._connection.fileno())) as line:
            ours = [
                line.getsockopt(socket.IPPROTO_TCP, getattr(socket, name))
                for name in ("TCP_KEEPIDLE", "TCP_KEEPINTVL", "TCP_KEEPCNT", "TCP_USER_TIMEOUT")
            ]
            assert line.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
        hold.finished()
    # The server may have heard of us last when it was about to ask; we, just before the line went silent.
    at_the_soonest = min(whole / 1000 - idle, interval * count)
    assert max(ours[0] + ours[1] * ours[2], ours[3] / 1000) < at_the_soonest
    assert whole / 1000 + interval <= 30


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


# --- where it leads ---------------------------------------------------------------------------------------------------


async def test_a_pooler_is_found_out(proxy: Proxy, url: str) -> None:
    proxy.as_pooler = True
    with pytest.raises(ConfigurationError, match=r"pooler.*PgBouncer.*name PostgreSQL itself"):
        await take(PostgresGuard(proxy.conninfo), url)


async def test_no_setting_is_left_with_a_pooler(proxy: Proxy, url: str) -> None:
    proxy.as_pooler = True
    conninfo = PostgresGuard(proxy.conninfo)._conninfo
    session = await _postgres_session.Session.open(conninfo, url)
    with pytest.raises(ConfigurationError):
        await session.prepare()
    assert await session.rows("show lock_timeout", {}) == [("0",)]
    session.close()


async def test_a_wrong_password_is_a_wrong_configuration_and_is_not_told(
    postgres_server: PostgresServer, url: str
) -> None:
    with asking_for_a_password(postgres_server):
        guard = PostgresGuard(postgres_server.conninfo_for("locked", "not%20it"))
        with pytest.raises(
            ConfigurationError, match=r"password authentication failed.*correct the user or the"
        ) as caught:
            await take(guard, url)
    assert "not it" not in everything_told(caught.value)


async def test_the_right_password_lets_in(postgres_server: PostgresServer, url: str) -> None:
    with asking_for_a_password(postgres_server):
        guard = PostgresGuard(postgres_server.conninfo_for("locked", QUOTED))
        await take(guard, url)


@contextlib.contextmanager
def asking_for_a_password(server: PostgresServer) -> Iterator[None]:
    """Have a role that must give a password."""
    server.execute(f"create role locked superuser login password '{PASSWORD}'")
    with server.asking_for_passwords_of("locked"):
        yield
    server.execute("drop owned by locked")
    server.execute("drop role locked")


@pytest.mark.parametrize(
    ("user", "database", "said"),
    [("postgres", "nowhere", 'database "nowhere" does not exist'), ("nobody", "postgres", "does not exist")],
)
async def test_a_name_that_the_server_does_not_know_is_a_wrong_configuration(
    postgres_server: PostgresServer, url: str, user: str, database: str, said: str
) -> None:
    with pytest.raises(ConfigurationError, match=f"{said}.*correct the name"):
        await take(guard_of(postgres_server, user, database), url)


async def test_a_role_without_a_connection_left_is_a_guard_error_that_a_wait_outlasts(
    postgres_server: PostgresServer, url: str, database: str, role: str
) -> None:
    postgres_server.execute(f"alter role {role} connection limit 0")
    with pytest.raises(GuardError, match='too many connections for role "worker"'):
        await take(guard_of(postgres_server, role, database), url)


async def test_a_server_that_does_not_answer_is_a_guard_error_that_says_where(url: str) -> None:
    with pytest.raises(GuardError, match=r"PostgreSQL at 127\.0\.0\.1, port 1, database x: .*refused") as caught:
        await take(PostgresGuard(f"postgresql://u:{QUOTED}@127.0.0.1:1/x"), url)
    assert not isinstance(caught.value, GuardTimeoutError)
    assert PASSWORD not in everything_told(caught.value)


@pytest.mark.parametrize(
    "conninfo",
    [
        f"postgresql://u:{PASSWORD}@x@host/db",
        f"postgresql://u:{PASSWORD}/@host/db",
        f"postgresql+psycopg://u:{PASSWORD}@host/db",
        f"host=host password={PASSWORD}",
        f"{PASSWORD}",
        f"postgresql://u@host/db?{PASSWORD}",
        f"postgresql://u:{PASSWORD}%@host/db",
    ],
)
async def test_what_cannot_be_read_is_not_told(conninfo: str) -> None:
    with pytest.raises(ConfigurationError, match=r"postgresql://user:password@host:5432/database") as caught:
        PostgresGuard(conninfo)
    assert "s3cret" not in everything_told(caught.value)


async def test_a_password_of_the_environment_is_masked_where_an_error_quotes_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PGPASSWORD", "from-outside")
    conninfo = PostgresGuard(f"postgresql://u:{QUOTED}@host/db")._conninfo
    told = str(conninfo.explain(psycopg.OperationalError(f"cannot use {PASSWORD} nor from-outside")))
    assert "s3cret" not in told
    assert "from-outside" not in told


async def test_it_cannot_be_pickled(guard: PostgresGuard) -> None:
    with pytest.raises(TypeError, match="may hold a password"):
        pickle.dumps(guard)


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
