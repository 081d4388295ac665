"""What tests of the guard on a shared PostgreSQL are given: databases and roles of their own, a line that fails.

A plugin of the test modules that name it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from collectssl_async.guards.postgres import PostgresGuard

from .kinds import AMPLE, LONG_GRACE
from .postgres_proxy import Proxy

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from .postgres_server import PostgresServer


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
