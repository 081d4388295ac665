"""Fixtures for pytest: one sandbox and one server for the whole run, as new for every test.

    pytest_plugins = ["collectssl_async.sandbox.pytest_plugin"]  # in the topmost conftest.py

- `collectssl_sandbox`: the `Sandbox`. Its seed is the test's name, so what `strict` varies is the same in every run.
- `collectssl_server`: the `SandboxServer`, running.
- `collectssl_client`: a `CollectSSLClient` for that server.

All of them are plain fixtures, for tests without a loop, on asyncio and on trio, whichever plugin runs them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx
import pytest

from ..client import CollectSSLClient
from ..guards import ProcessGuard
from .sandbox import Sandbox

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .server import SandboxServer


@pytest.fixture(scope="session")
def _collectssl_sandbox() -> Sandbox:
    return Sandbox()


@pytest.fixture(scope="session")
def _collectssl_server(_collectssl_sandbox: Sandbox) -> Iterator[SandboxServer]:
    with _collectssl_sandbox.serve() as server:
        yield server


@pytest.fixture
def collectssl_sandbox(_collectssl_sandbox: Sandbox, request: pytest.FixtureRequest) -> Iterator[Sandbox]:
    """A sandbox without orders, calls and faults. `seed=` of `reset` tries other variations than this test's own."""
    _collectssl_sandbox.reset(seed=request.node.nodeid)
    yield _collectssl_sandbox
    _collectssl_sandbox.reset()


@pytest.fixture
def collectssl_server(_collectssl_server: SandboxServer, collectssl_sandbox: Sandbox) -> SandboxServer:
    """The sandbox over HTTPS: `endpoint`, `ssl_context`, `ca_file`; its login is `collectssl_sandbox.credentials`."""
    del collectssl_sandbox  # it is asked for so that the server, too, is as new
    return _collectssl_server


@pytest.fixture
def collectssl_client(collectssl_server: SandboxServer, collectssl_sandbox: Sandbox) -> CollectSSLClient:
    """A client of the sandbox, to be used in the test's own loop. It need not be closed.

    It keeps no connection after a call, since nobody could close it when the loop has ended. A call that is given up
    counts as finished at once: the wait for it, ten seconds by default, would be the next test's.
    """
    http = httpx.AsyncClient(
        verify=collectssl_server.ssl_context, trust_env=False, limits=httpx.Limits(max_keepalive_connections=0)
    )
    return CollectSSLClient(
        collectssl_sandbox.credentials,
        endpoint=collectssl_server.endpoint,
        http_client=http,
        guard=ProcessGuard(abandon_grace=0),
    )
