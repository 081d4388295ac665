"""A web app that waits for any number of orders, is notified by Sectigo, and goes on after a restart: FastAPI.

    uvicorn --app-dir examples --factory watcher_in_fastapi:make_app   credentials and settings are in the environment
    python examples/watcher_in_fastapi.py                              shows itself on a sandbox, and ends

POST /orders/{order}              wait for an order; kept on the disk before the answer, 202, is given
GET  /orders                      the orders that are waited for, and how each stands
GET  /orders/{order}/certificate  the full chain in PEM, or 404 as long as it is not there
GET  /health                      204, or 503 once nothing is collected any more, such as for wrong credentials
/push/                            what Sectigo notifies: with the slash at the end, a redirect counts as a failure

CERTIFICATES is the directory for the files and the store. PUSH_USERNAME and PUSH_PASSWORD are what was given to
Sectigo, PUSH_ALLOW the addresses that may notify, with commas between, by default Sectigo's. One worker: the store
refuses a second one. Who may ask is decided in front of the app, which has to let /push/ through.
"""

import asyncio
import logging
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated

import fastapi
from fastapi import APIRouter, FastAPI, HTTPException, Request, Response

from collectssl_async import (
    ENDPOINT,
    SECTIGO_PUSH_HOST,
    CollectSSLClient,
    PollPolicy,
    PollState,
    PushReceiver,
    SQLiteStore,
    Watcher,
)

logger = logging.getLogger("watcher_in_fastapi")
router = APIRouter()
Order = Annotated[str, fastapi.Path(pattern=r"^\w{1,128}$")]


async def collect(watcher: Watcher, directory: Path) -> None:
    """Write the files of every order as it ends, until cancelled. Raises what is about the account, or the disk."""
    async for outcome in watcher:
        if outcome.bundle is None:
            logger.error("order %s: %s", outcome.order, outcome.error)
        else:
            # Where that fails, the outcome stays in the store: the app has it again after its next start.
            await asyncio.to_thread(outcome.bundle.write, directory / str(outcome.order))
            logger.info("order %s: collected %s", outcome.order, outcome.bundle)


def log_end(collecting: asyncio.Task[None]) -> None:
    """Say why nothing is collected any more."""
    if not collecting.cancelled() and (error := collecting.exception()) is not None:
        logger.critical("nothing is collected any more: %s", error)


def make_app(policy: PollPolicy | None = None) -> FastAPI:
    """Return the app with its receiver, which belongs to the event loop that serves it."""
    directory = Path(os.environ["CERTIFICATES"])
    directory.mkdir(parents=True, exist_ok=True)
    receiver = PushReceiver(
        username=os.environ.get("PUSH_USERNAME"),
        password=os.environ.get("PUSH_PASSWORD"),
        allowed_hosts=os.environ.get("PUSH_ALLOW", SECTIGO_PUSH_HOST).split(","),
    )

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[dict[str, object]]:
        store = SQLiteStore(directory / "orders.db")
        async with (
            CollectSSLClient.from_env(endpoint=os.environ.get("COLLECTSSL_ENDPOINT", ENDPOINT)) as client,
            Watcher(client, store=store, push=receiver, policy=policy, stop_when_empty=False) as watcher,
        ):
            logger.info("waiting for %d orders", len(await watcher.orders()))  # a store that is in use stops the app
            collecting = asyncio.create_task(collect(watcher, directory))
            collecting.add_done_callback(log_end)
            try:
                yield {"watcher": watcher, "collecting": collecting, "directory": directory}
            finally:
                collecting.cancel()
                await asyncio.wait([collecting])

    app = FastAPI(lifespan=lifespan)
    app.include_router(router)
    app.mount("/push", receiver)
    return app


@router.get("/health", status_code=204)
async def health(request: Request) -> None:
    """Say whether orders are collected."""
    if request.state.collecting.done():
        raise HTTPException(503, "nothing is collected any more: the log says why")


@router.post("/orders/{order}", status_code=202)
async def add(request: Request, order: Order) -> None:
    """Wait for an order. It is kept, also when it cannot be asked for at this time."""
    await request.state.watcher.add(order)


@router.get("/orders")
async def orders(request: Request) -> list[PollState]:
    """Say how the orders stand that are waited for."""
    return list(await request.state.watcher.states())


@router.get("/orders/{order}/certificate")
async def certificate(request: Request, order: Order) -> Response:
    """Return what was collected for an order."""
    file = request.state.directory / order / "fullchain.pem"
    if not file.is_file():
        raise HTTPException(404, "there is no certificate yet")
    return Response(await asyncio.to_thread(file.read_text), media_type="application/x-pem-file")


async def show_itself() -> None:
    """Serve the app on loopback, with a sandbox for its service that notifies it."""
    from tempfile import TemporaryDirectory

    import httpx
    import uvicorn

    from collectssl_async.sandbox import Sandbox

    with socket.create_server(("127.0.0.1", 0)) as listener, TemporaryDirectory() as directory:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        sandbox = Sandbox(push_url=f"{url}/push/", push_username="sectigo", push_password="Pu5h-Passw0rd")  # noqa: S106 - of this demonstration
        with sandbox.serve() as service:
            os.environ["COLLECTSSL_ENDPOINT"] = service.endpoint
            os.environ["COLLECTSSL_LOGIN_NAME"] = sandbox.credentials.login_name
            os.environ["COLLECTSSL_LOGIN_PASSWORD"] = sandbox.credentials.login_password.get_secret_value()
            os.environ.update(SSL_CERT_FILE=str(service.ca_file), NO_PROXY="127.0.0.1", CERTIFICATES=directory)
            os.environ.update(PUSH_USERNAME="sectigo", PUSH_PASSWORD="Pu5h-Passw0rd", PUSH_ALLOW="127.0.0.1")  # noqa: S106 - as above
            # Three hours between polls, so that it is the notification that wakes; soon after a poll, for once.
            app = make_app(PollPolicy(min_interval=10800, failure_interval=0.2))
            server = uvicorn.Server(uvicorn.Config(app, log_level="warning"))
            serving = asyncio.create_task(server.serve([listener]))
            order = sandbox.place_order("shop.example.com", issue_after=None)
            async with httpx.AsyncClient(base_url=url) as caller:

                async def show(method: str, path: str, status: int) -> None:
                    """Ask until the answer has this status, for ten seconds at most, and show it."""
                    reply = await caller.request(method, path)
                    for _ in range(100):
                        if reply.status_code == status and (sandbox.calls or method == "POST"):
                            break
                        await asyncio.sleep(0.1)
                        reply = await caller.request(method, path)
                    print(f"{method} {path} -> {reply.status_code} {reply.text.partition(chr(10))[0]}")

                await show("POST", f"/orders/{order.order_number}", 202)
                await show("GET", f"/orders/{order.order_number}/certificate", 404)
                print("the sandbox issues the certificate, and notifies the app")
                order.issue()
                await show("GET", f"/orders/{order.order_number}/certificate", 200)
            server.should_exit = True
            await serving


if __name__ == "__main__":
    asyncio.run(show_itself())
