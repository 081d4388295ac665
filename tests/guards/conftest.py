"""Where the guards of the tests keep their locks: servers started once in a run, and files of each test's own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio
import pytest

from collectssl_async.sandbox import Sandbox

from .contending import Contenders
from .kinds import AMPLE, GuardSpec, every_kind
from .stoppable import Stoppable
from .turns import take

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from collectssl_async.sandbox import SandboxServer

    from .postgres_server import PostgresServer
    from .redis_server import RedisServer


@pytest.fixture(params=every_kind())
def case(request: pytest.FixtureRequest) -> tuple[str, str]:
    """A kind of guard and a library that it works on."""
    found: tuple[str, str] = request.param
    return found


@pytest.fixture
def kind(case: tuple[str, str]) -> str:
    """The kind of guard; a test may be parametrised with kinds instead."""
    return case[0]


@pytest.fixture
def url(request: pytest.FixtureRequest) -> str:
    """An endpoint of this test's own, so that what it abandons keeps nobody else out."""
    return f"https://{abs(hash(request.node.nodeid))}.example/CollectSSL"


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    """A Redis for tests that leave it as it is, up for long enough to be entered at once."""
    from .redis_server import running_redis

    with running_redis() as server:
        anyio.run(take, GuardSpec("redis", server.url), "https://fresh.example/CollectSSL", AMPLE)
        yield server


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """A PostgreSQL for tests that leave it as it is."""
    from .postgres_server import running_postgres

    with running_postgres() as server:
        yield server


@pytest.fixture
def spec(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> GuardSpec:
    """A guard of the test's kind, with a store of its own or that of the session's server."""
    if kind == "file":
        return GuardSpec(kind, str(tmp_path / "guard"))
    if kind == "redis":
        return GuardSpec(kind, request.getfixturevalue("redis_server").url)
    if kind == "postgres":
        return GuardSpec(kind, request.getfixturevalue("postgres_server").conninfo)
    return GuardSpec(kind)


@pytest.fixture
def contenders() -> Iterator[Contenders]:
    """Starts processes; those that still run when the test ends are killed."""
    with Contenders() as started:
        yield started


@pytest.fixture
def stoppable() -> Iterator[Stoppable]:
    """A loop to be closed in the middle."""
    found = Stoppable()
    yield found
    found.close()
    found.forget()


@pytest.fixture(scope="session")
def _serving() -> Iterator[tuple[Sandbox, SandboxServer]]:
    sandbox = Sandbox(seed=1, strict=False)
    with sandbox.serve() as server:
        yield sandbox, server


@pytest.fixture
def service(_serving: tuple[Sandbox, SandboxServer]) -> Iterator[tuple[Sandbox, SandboxServer]]:
    """The sandbox over HTTPS, as new."""
    _serving[0].reset()
    yield _serving
    _serving[0].reset()
