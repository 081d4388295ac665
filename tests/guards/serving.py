"""The sandbox, as processes that call it have to know it, and what they do there."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from .contender import Service
from .kinds import AMPLE

if TYPE_CHECKING:
    from collectssl_async.sandbox import Sandbox, SandboxServer

_WHOLE = 0.02  # seconds from the headers of a call until the rest of it has come, too


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


def at_work(sandbox: Sandbox) -> None:
    """Wait until the service has the whole of its first call, and is at work on it."""
    deadline = time.monotonic() + AMPLE
    while not (calls := sandbox.calls) or time.monotonic() - calls[0].start < _WHOLE:
        assert time.monotonic() < deadline, "the service has seen no call"
        time.sleep(0.001)
