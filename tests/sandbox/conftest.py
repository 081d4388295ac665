"""One server for all tests of the sandbox: stopping one takes longer than resetting it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from collectssl_async.sandbox import Sandbox

from .calling import Caller, Clock, wait_until
from .receiving import Partner, push_threads

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def clock() -> Clock:
    return Clock()


@pytest.fixture(scope="session")
def running(clock: Clock) -> Iterator[Caller]:
    sandbox = Sandbox(seed=1, strict=False, clock=clock)
    with sandbox.serve() as server:
        caller = Caller(sandbox, server.endpoint, server.ssl_context)
        with caller.http:
            yield caller


@pytest.fixture
def caller(running: Caller) -> Caller:
    running.sandbox.reset(seed=1)
    return running


@pytest.fixture
def sandbox(caller: Caller) -> Sandbox:
    """A sandbox that varies nothing, on a clock that stands still."""
    return caller.sandbox


@pytest.fixture(scope="session")
def listening() -> Iterator[Partner]:
    with Partner() as partner:
        yield partner


@pytest.fixture
def partner(listening: Partner) -> Iterator[Partner]:
    """A partner's URL, that a test leaves without a notification that it has not looked at."""
    assert listening.nothing_more()
    yield listening
    wait_until(lambda: not push_threads())
    assert listening.nothing_more()
