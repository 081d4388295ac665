"""What the Redis guard says of what can never work: cause and way out, and never a password."""

from __future__ import annotations

import asyncio
import pickle
import subprocess
import sys
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
import redis
import trio

from collectssl_async import ConfigurationError, GuardError
from collectssl_async.guards._redis_failures import GRANTS
from collectssl_async.guards.redis import RedisGuard

from ..tls_server import TLSServer
from .kinds import AMPLE, GRACE, LEASE
from .redis_server import running_redis
from .redis_turns import bystander, key_of, until_they_wait

if TYPE_CHECKING:
    from .redis_server import RedisServer

pytestmark = pytest.mark.servers


def test_trio_is_refused_at_once() -> None:
    guard = RedisGuard("redis://127.0.0.1:1")

    async def call() -> None:
        async with guard.hold("https://host.example/"):
            pass

    with pytest.raises(ConfigurationError, match="works on asyncio, as redis-py does, and not on trio"):
        trio.run(call)


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "redis.asyncio", None)
    with pytest.raises(ConfigurationError, match=r"pip install 'collectssl-async\[redis\]'"):
        RedisGuard("redis://127.0.0.1")


def test_importing_the_guard_does_not_load_redis() -> None:
    program = "import sys, collectssl_async.guards.redis; print('redis' in sys.modules)"
    assert subprocess.check_output([sys.executable, "-c", program], text=True).strip() == "False"


@pytest.mark.parametrize(
    "address",
    [
        "",
        "localhost:6379",
        "http://user:s3cret@host",
        "redis://:s3cret/1@host:6379/0",
        "redis://:s3cret@host:port/0",
        "redis://:s3cret@host/0?patience=3",
        "rediss://:s3cret@host/0?ssl_cert_reqs=perhaps",
    ],
)
def test_a_url_that_cannot_be_used_is_refused_without_its_password(address: str) -> None:
    with pytest.raises(ConfigurationError, match="redis is not a URL that redis-py can use") as caught:
        RedisGuard(address)
    assert "s3cret" not in _everything_in(caught.value)


@pytest.mark.parametrize("client", [redis.Redis(), 6379, None], ids=lambda client: type(client).__name__)
def test_what_is_no_asyncio_client_is_refused(client: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"must be a redis\.asyncio\.Redis or a URL, not "):
        RedisGuard(client)


@pytest.mark.parametrize("ttl", [0, 0.1, -1, float("inf"), "30", None, True])
def test_a_lease_that_is_no_usable_number_of_seconds_is_refused(ttl: Any) -> None:
    with pytest.raises(ConfigurationError, match="ttl must be"):
        RedisGuard("redis://127.0.0.1", ttl=ttl)


def test_neither_repr_nor_pickle_gives_the_password_away() -> None:
    guard = RedisGuard("redis://user:s3cret@host.example:6380/1")
    assert repr(guard) == "RedisGuard(redis at host.example:6380, ttl=30, abandon_grace=10, acquire_timeout=None)"
    with pytest.raises(TypeError, match="cannot be pickled"):
        pickle.dumps(guard)


@pytest.mark.asyncio
async def test_a_refused_login_names_the_way_out_and_no_password(redis_server: RedisServer, url: str) -> None:
    await _fails(
        f"redis://somebody:s3cret@127.0.0.1:{redis_server.port}",
        url,
        ConfigurationError,
        r"Redis at 127\.0\.0\.1:\d+ refuses the user name or password: look at the URL",
    )


@pytest.mark.asyncio
async def test_a_missing_password_is_named(url: str) -> None:
    with running_redis("--requirepass", "s3cret") as server:
        await _fails(server.url, url, ConfigurationError, "refuses the user name or password")


@pytest.mark.parametrize(
    "rights",
    ["~collectssl:* &* -@all +hello +client +set +get +pttl", "~other:* &* +@all", "~* resetchannels +@all"],
    ids=["commands", "keys", "channels"],
)
@pytest.mark.asyncio
async def test_a_permission_that_is_missing_is_named_with_what_to_grant(
    redis_server: RedisServer, url: str, rights: str
) -> None:
    with bystander(redis_server) as client:
        client.execute_command("ACL", "SETUSER", "narrow", "reset", "on", ">s3cret", *rights.split())
        held = client.set(key_of(url), "held", px=60_000)
        assert held
        try:
            await _fails(
                f"redis://narrow:s3cret@127.0.0.1:{redis_server.port}",
                url,
                ConfigurationError,
                r"does not allow this user what the guard needs; grant ~collectssl:\* &collectssl:\* \+set",
            )
        finally:
            client.execute_command("ACL", "DELUSER", "narrow")
            client.delete(key_of(url))


@pytest.mark.asyncio
async def test_what_the_errors_say_to_grant_is_enough(redis_server: RedisServer, url: str) -> None:
    with bystander(redis_server) as client:
        client.execute_command("ACL", "SETUSER", "exact", "reset", "resetchannels", "on", ">s3cret", *GRANTS.split())
        try:
            guard = RedisGuard(f"redis://exact:s3cret@127.0.0.1:{redis_server.port}", ttl=LEASE, abandon_grace=GRACE)
            client.script_flush()
            async with guard.hold(url) as hold:
                waiting = asyncio.create_task(guard.take(url))
                await until_they_wait(redis_server, url)
                assert (await guard.status(url)).held
                hold.finished()
            await (await waiting).leave(finished=False)
            assert await guard.force_release(url)
        finally:
            client.execute_command("ACL", "DELUSER", "exact")


@pytest.mark.asyncio
async def test_a_server_that_is_no_redis_is_named(url: str) -> None:
    async def web(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.write(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(web, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server:
        await _fails(f"redis://:s3cret@127.0.0.1:{port}", url, ConfigurationError, "does not speak as a Redis")


@pytest.mark.asyncio
async def test_a_certificate_that_nobody_vouches_for_is_named(url: str) -> None:
    with TLSServer() as server:
        await _fails(
            f"rediss://:s3cret@localhost:{urlsplit(server.endpoint).port}",
            url,
            ConfigurationError,
            "cannot be reached over TLS",
        )


@pytest.mark.asyncio
async def test_tls_where_there_is_none_is_named(
    redis_server: RedisServer, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("collectssl_async.guards._redis_link.ANSWER", 0.3)  # Redis waits for the end of the line
    await _fails(
        f"rediss://:s3cret@127.0.0.1:{redis_server.port}", url, GuardError, r"rediss:// where Redis has no TLS"
    )


@pytest.mark.asyncio
async def test_a_redis_that_is_not_there_is_named(url: str) -> None:
    await _fails(
        "redis://:s3cret@127.0.0.1:1", url, GuardError, r"Redis at 127\.0\.0\.1:1 cannot be reached: .*refused"
    )


async def _fails(address: str, url: str, kind: type[Exception], match: str) -> None:
    guard = RedisGuard(address, ttl=LEASE, abandon_grace=GRACE)
    with pytest.raises(kind, match=match) as caught:
        async with asyncio.timeout(AMPLE), guard.hold(url):
            pass
    assert type(caught.value) is kind
    assert "s3cret" not in _everything_in(caught.value)


def _everything_in(error: BaseException) -> str:
    """Return the error, those behind it, and the locals of this package's frames."""
    texts, pending = [], [error]
    while pending:
        one = pending.pop()
        texts.append(repr(one))
        frame = one.__traceback__
        while frame is not None:
            if "collectssl_async" in frame.tb_frame.f_code.co_filename:
                texts.extend(_shown(value) for value in frame.tb_frame.f_locals.values())
            frame = frame.tb_next
        pending.extend(other for other in (one.__cause__, one.__context__) if other is not None)
    return "\n".join(texts)


def _shown(value: object) -> str:
    return repr(vars(value) if isinstance(value, RedisGuard) else value)  # one that is not made yet has no repr
