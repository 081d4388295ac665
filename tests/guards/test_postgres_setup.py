"""What the guard on a shared PostgreSQL needs there, and what it says when that is missing or it was led elsewhere."""

from __future__ import annotations

import asyncio
import contextlib
import os
import pickle
import socket
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from collectssl_async import ConfigurationError, GuardError, GuardTimeoutError
from collectssl_async.guards import _postgres_session
from collectssl_async.guards._postgres_statements import CREATE_TABLE, key_of
from collectssl_async.guards.postgres import PostgresGuard

from .postgres_steps import everything_told, guard_of, take, until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .postgres_proxy import Proxy
    from .postgres_server import PostgresServer

pytest_plugins = ["tests.guards.postgres_fixtures"]
pytestmark = [pytest.mark.servers, pytest.mark.asyncio]

PASSWORD = "s3cret of the store"
QUOTED = "s3cret%20of%20the%20store"


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
        "transaction_timeout = 50",  # since PostgreSQL 17
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


async def test_an_option_that_the_library_refuses_is_a_wrong_configuration(url: str) -> None:
    with pytest.raises(ConfigurationError, match="connect_timeout"):
        await take(PostgresGuard("postgresql://u@host/db?connect_timeout=soon"), url)


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
