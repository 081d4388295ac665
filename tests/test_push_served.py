"""Push as it comes: the sandbox notifies a receiver over HTTP, and a wait collects over TLS, in real time."""

from __future__ import annotations

import asyncio
import socket
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import httpx
import pytest
import uvicorn
from fastapi import FastAPI

from collectssl_async import CollectSSLClient, PollPolicy, PollUpdate
from collectssl_async.push import PushReceiver
from collectssl_async.sandbox import Sandbox

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from collectssl_async._hints import Hint

pytestmark = pytest.mark.asyncio

SOON = PollPolicy.gentle().model_copy(update={"failure_interval": 0.05})
PASSWORD = "s3cret-of-the-push"


@asynccontextmanager
async def served(receiver: PushReceiver) -> AsyncIterator[str]:
    """Serve a receiver that is mounted in a web app on the running loop, and yield its URL."""
    app = FastAPI()
    app.mount("/push", receiver)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = uvicorn.Server(uvicorn.Config(app, log_config=None))
        serving = asyncio.create_task(server.serve([listener]))
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}/push/"
        finally:
            server.should_exit = True
            await serving


async def delivered(sandbox: Sandbox) -> list[int | str | None]:
    """Wait until all that was to be sent was sent, and return the answers."""
    while not all(each.ended for each in sandbox.notifications):  # noqa: ASYNC110 - they are sent from a thread
        await asyncio.sleep(0.005)
    return [each.answer for each in sandbox.notifications]


@pytest.mark.parametrize("certificates", [False, True])
async def test_a_notification_wakes_a_wait_of_three_hours_within_a_second(certificates: bool) -> None:
    receiver = PushReceiver(username="sectigo", password=PASSWORD, allowed_hosts=("127.0.0.1",))
    async with served(receiver) as url:
        sandbox = Sandbox(push_url=url, push_username="sectigo", push_password=PASSWORD, push_certificates=certificates)
        asked = asyncio.Event()

        def told(_: PollUpdate) -> None:
            asked.set()

        async with (
            sandbox.serve() as server,
            httpx.AsyncClient(verify=server.ssl_context) as http,
            CollectSSLClient(sandbox.credentials, endpoint=server.endpoint, http_client=http) as client,
        ):
            placed = sandbox.place_order("shop.example.com", issue_after=None)
            wait = client.wait_for_certificate(placed.order_number, policy=SOON, push=receiver, on_update=told)
            waiting = asyncio.create_task(wait)
            await asked.wait()
            issued = time.monotonic()
            placed.issue()
            bundle = await waiting
            assert time.monotonic() - issued < 1
        assert bundle.dns_names == ("shop.example.com",)
        assert set(await delivered(sandbox)) == {204}


async def test_a_notification_with_a_wrong_password_wakes_nobody() -> None:
    receiver = PushReceiver(username="sectigo", password=PASSWORD, allowed_hosts=("127.0.0.1",))
    heard: set[Hint] = set()

    def hear(hint: Hint, /) -> bool:
        heard.add(hint)
        return True

    receiver.listen(hear)
    async with served(receiver) as url:
        sandbox = Sandbox(push_url=url, push_username="sectigo", push_password="guessed")
        sandbox.place_order("shop.example.com", issue_after=None).issue()
        assert set(await delivered(sandbox)) == {401}
    assert not heard


async def test_a_host_that_is_not_sectigos_wakes_nobody() -> None:
    receiver = PushReceiver()
    heard: set[Hint] = set()

    def hear(hint: Hint, /) -> bool:
        heard.add(hint)
        return True

    receiver.listen(hear)
    async with served(receiver) as url:
        sandbox = Sandbox(push_url=url)
        sandbox.place_order("shop.example.com", issue_after=None).issue()
        assert set(await delivered(sandbox)) == {403}
    assert not heard


async def test_a_proxy_that_is_trusted_may_say_where_a_call_came_from() -> None:
    receiver = PushReceiver()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        config = uvicorn.Config(receiver, log_config=None, proxy_headers=True, forwarded_allow_ips="127.0.0.1")
        server = uvicorn.Server(config)
        serving = asyncio.create_task(server.serve([listener]))
        async with httpx.AsyncClient(trust_env=False) as caller:
            answers = [
                await caller.get(
                    f"http://127.0.0.1:{listener.getsockname()[1]}/",
                    params={"orderNumber": "1", "eventType": "Certificate"},
                    headers={"X-Forwarded-For": address},
                )
                for address in ("91.199.212.132", "203.0.113.66", "91.199.212.132, 203.0.113.66")
            ]
        server.should_exit = True
        await serving
    assert [answer.status_code for answer in answers] == [204, 403, 403]
