"""The sandbox, as processes that call it have to know it, and what they do there."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from .contender import Service
from .kinds import AMPLE

if TYPE_CHECKING:
    from collectssl_async.sandbox import Sandbox, SandboxServer
    from collectssl_async.sandbox.calls import SandboxCall


def described(sandbox: Sandbox, server: SandboxServer) -> Service:
    """Return what a client in another process has to know, with an order that is never issued."""
    credentials = sandbox.credentials
    return Service(
        endpoint=server.endpoint,
        root_pem=sandbox.root_pem,
        login_name=credentials.login_name,
        login_password=credentials.login_password.get_secret_value(),
        order=sandbox.place_order("shop.example.com", issue_after=None).order_number,
    )


def at_work(sandbox: Sandbox, number: int = 1) -> SandboxCall:
    """Wait until the service is at work on that call, counted from 1; return it."""
    deadline = time.monotonic() + AMPLE
    while len(calls := sandbox.calls) < number:
        assert time.monotonic() < deadline, f"the service has seen {len(calls)} calls"
        time.sleep(0.001)
    return calls[number - 1]
