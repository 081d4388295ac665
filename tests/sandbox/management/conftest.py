"""One server for all tests of the management API."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from collectssl_async.sandbox import Sandbox

from ..calling import Clock
from .desk import Desk

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def open_desk() -> Iterator[Desk]:
    clock = Clock()
    sandbox = Sandbox(seed=1, strict=False, clock=clock)
    with sandbox.serve() as server:
        desk = Desk(sandbox, server, clock)
        with desk.http, desk.caller.http:
            yield desk


@pytest.fixture
def desk(open_desk: Desk) -> Desk:
    open_desk.sandbox.reset(seed=1)
    return open_desk
