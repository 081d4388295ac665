"""Many loops, threads and libraries against one service that goes on working for callers that left."""

from __future__ import annotations

import threading
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

import anyio
import anyio.lowlevel
import httpx
import pytest

from collectssl_async import CollectSSLClient, ProcessGuard, UnknownAPIError
from collectssl_async.sandbox import Sandbox

if TYPE_CHECKING:
    from collectssl_async.sandbox import SandboxServer

CALLERS, LOOPS = 160, ("asyncio", "trio", "asyncio", "asyncio")
LATENCY, LINGER, GRACE = 0.01, 0.01, 0.15

giving_up: ContextVar[anyio.CancelScope | None] = ContextVar("giving_up", default=None)


def impatient(http_client: httpx.AsyncClient, sandbox: Sandbox) -> httpx.AsyncClient:
    """Have whoever set `giving_up` leave as soon as the service is at work on its call."""
    build = http_client.build_request

    def building(*args: Any, extensions: dict[str, Any], **kwargs: Any) -> httpx.Request:
        trace, scope, before = extensions["trace"], giving_up.get(), len(sandbox.calls)

        async def tracing(event: str, info: Any) -> None:
            await trace(event, info)
            if scope is not None and event.endswith(".send_request_headers.started"):
                info["request"].extensions["trace"] = tracing  # the client itself looks no further
            elif scope is not None and event.endswith(".receive_response_headers.started"):
                while len(sandbox.calls) == before:  # the hold is ours, so the next call is
                    await anyio.lowlevel.checkpoint()
                scope.cancel()

        return build(*args, extensions={"trace": tracing}, **kwargs)

    http_client.build_request = building  # type: ignore[assignment, method-assign]  # what it sends stays the same
    return http_client


def run_callers(sandbox: Sandbox, server: SandboxServer, grace: float) -> tuple[int, int]:
    """Return how many calls were answered and how many callers gave up."""
    order = sandbox.place_order("shop.example.com", issue_after=None)
    answered: list[int] = []
    gave_up: list[int] = []

    async def caller(client: CollectSSLClient, number: int) -> None:
        with anyio.CancelScope() as scope:
            giving_up.set(scope if number % 3 == 0 else None)
            await client.status(order.order_number)
            answered.append(number)
        if scope.cancelled_caught:
            gave_up.append(number)

    async def loop(first: int) -> None:
        http_client = impatient(httpx.AsyncClient(verify=server.ssl_context, trust_env=False), sandbox)
        guard = ProcessGuard(abandon_grace=grace)
        client = CollectSSLClient(sandbox.credentials, endpoint=server.endpoint, http_client=http_client, guard=guard)
        async with http_client, client, anyio.create_task_group() as tasks:
            for number in range(first, first + CALLERS // len(LOOPS)):
                tasks.start_soon(caller, client, number)

    threads = [
        threading.Thread(target=anyio.run, args=(loop, index * CALLERS // len(LOOPS)), kwargs={"backend": backend})
        for index, backend in enumerate(LOOPS)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()
    return len(answered), len(gave_up)


def test_160_callers_on_four_loops_never_meet_in_a_service_that_works_on_for_those_who_left() -> None:
    sandbox = Sandbox(latency=LATENCY, linger=LINGER)
    with sandbox.serve() as server:
        answered, gave_up = run_callers(sandbox, server, GRACE)
        calls, overlaps = sandbox.calls, sandbox.overlaps
    assert (answered, gave_up) == (106, 54)
    assert len(calls) == CALLERS
    assert overlaps == 0


def test_without_a_grace_they_would_meet() -> None:
    sandbox = Sandbox(latency=LATENCY, linger=30.0)  # over by the time of the second call on no machine
    with sandbox.serve() as server:
        order = sandbox.place_order("shop.example.com", issue_after=None)

        async def main() -> None:
            http_client = impatient(httpx.AsyncClient(verify=server.ssl_context, trust_env=False), sandbox)
            guard = ProcessGuard(abandon_grace=0)
            client = CollectSSLClient(
                sandbox.credentials, endpoint=server.endpoint, http_client=http_client, guard=guard
            )
            async with http_client, client:
                with anyio.CancelScope() as scope:
                    giving_up.set(scope)
                    await client.status(order.order_number)
                giving_up.set(None)
                with pytest.raises(UnknownAPIError):
                    await client.status(order.order_number)

        anyio.run(main)
        assert sandbox.overlaps == 1
