"""A web app that hands out certificates as soon as they are issued: FastAPI, one client for the whole app.

    uvicorn --app-dir examples fastapi_app:app   the account's credentials are in the environment
    python examples/fastapi_app.py               shows itself on a sandbox, and ends

POST /orders/{order}/certificate?timeout=20   the full chain in PEM, or 202 after `timeout` seconds: the app goes on
                                              waiting, and the caller comes back later
GET  /orders/{order}                          how an order stands that somebody waits for; makes no call of its own

One worker: the guard keeps the calls of one process apart. Who may ask is decided in front of the app.
"""

import asyncio
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

from fastapi import FastAPI, HTTPException, Path, Query, Request, Response
from fastapi.responses import JSONResponse

from collectssl_async import (
    ENDPOINT,
    APIError,
    AuthenticationError,
    CallTimeoutError,
    CertificateBundle,
    CollectSSLClient,
    CollectSSLError,
    CollectSSLResponse,
    GuardError,
    InvalidArgumentError,
    MalformedResponseError,
    PollUpdate,
    ServerUnavailableError,
    TransportError,
)

HTTP_STATUS: dict[type[CollectSSLError], int] = {
    CollectSSLError: 500,
    AuthenticationError: 500,  # ours to mend, not the caller's
    InvalidArgumentError: 404,  # the account has no such order
    APIError: 409,  # rejected, revoked, replaced, not paid
    MalformedResponseError: 502,
    TransportError: 502,
    ServerUnavailableError: 503,
    GuardError: 503,
    CallTimeoutError: 504,
}


class Orders:
    """One wait for each order, however many callers ask for it and leave again."""

    def __init__(self, client: CollectSSLClient) -> None:
        self._client = client
        self._waits: dict[str, asyncio.Task[CertificateBundle]] = {}
        self._replies: dict[str, CollectSSLResponse] = {}

    def wait_for(self, order: str) -> asyncio.Task[CertificateBundle]:
        """Return the order's wait; one that failed is begun anew."""

        def remember(update: PollUpdate) -> None:
            if update.response is not None and update.response.payload is None:  # the last one tells nothing else
                self._replies[order] = update.response

        wait = self._waits.get(order)
        if wait is None or (wait.done() and wait.exception() is not None):
            wait = asyncio.create_task(self._client.wait_for_certificate(order, on_update=remember))
            self._waits[order] = wait
        return wait

    def last_reply(self, order: str) -> CollectSSLResponse | None:
        """Return what the order's wait was told last, None without one; raise what ended it. Makes no call."""
        wait = self._waits.get(order)
        if wait is not None and wait.done():
            wait.result()
        return self._replies.get(order)

    async def stop(self) -> None:
        """End every wait."""
        for wait in self._waits.values():
            wait.cancel()
        await asyncio.gather(*self._waits.values(), return_exceptions=True)


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[dict[str, Orders]]:
    """Make the client on the loop that the app serves on, and close it when the app stops."""
    async with CollectSSLClient.from_env(endpoint=os.environ.get("COLLECTSSL_ENDPOINT", ENDPOINT)) as client:
        orders = Orders(client)
        try:
            yield {"orders": orders}
        finally:
            await orders.stop()


app = FastAPI(lifespan=lifespan)
Order = Annotated[str, Path(pattern=r"^[\w-]{1,128}$")]


@app.post("/orders/{order}/certificate")
async def certificate(request: Request, order: Order, timeout: Annotated[float, Query(ge=0, le=60)] = 20) -> Response:
    """Wait for an order's certificate, for as many seconds as the caller has."""
    wait = request.state.orders.wait_for(order)
    await asyncio.wait([wait], timeout=timeout)
    if not wait.done():
        return JSONResponse({"detail": "not issued yet"}, 202, headers={"Retry-After": "60"})
    return Response(wait.result().fullchain_pem, media_type="application/x-pem-file")


@app.get("/orders/{order}", response_model_exclude={"payload"}, response_model_exclude_none=True)
async def status(request: Request, order: Order) -> CollectSSLResponse:
    """Say how an order stands that somebody waits for."""
    reply: CollectSSLResponse | None = request.state.orders.last_reply(order)
    if reply is None:
        raise HTTPException(404, "nobody waits for this order yet")
    return reply


@app.exception_handler(CollectSSLError)
async def explain(_: Request, error: CollectSSLError) -> Response:
    """Answer with the HTTP status of the error's closest class."""
    code = next(HTTP_STATUS[kind] for kind in type(error).__mro__ if kind in HTTP_STATUS)
    return JSONResponse({"error": type(error).__name__, "detail": str(error)}, code)


async def show_itself() -> None:
    """Serve the app on loopback, with a sandbox for its service, and call it as others would."""
    import httpx
    import uvicorn

    from collectssl_async.sandbox import Sandbox

    sandbox = Sandbox()
    issued, held = (sandbox.place_order("shop.example.com", issue_after=after).order_number for after in (0, None))
    with sandbox.serve() as service, socket.create_server(("127.0.0.1", 0)) as listener:
        os.environ["COLLECTSSL_ENDPOINT"] = service.endpoint
        os.environ["COLLECTSSL_LOGIN_NAME"] = sandbox.credentials.login_name
        os.environ["COLLECTSSL_LOGIN_PASSWORD"] = sandbox.credentials.login_password.get_secret_value()
        os.environ.update(SSL_CERT_FILE=str(service.ca_file), NO_PROXY="127.0.0.1")
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning"))
        serving = asyncio.create_task(server.serve([listener]))
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{listener.getsockname()[1]}") as caller:
            for order in (issued, held, "1"):
                for method, path in (("POST", f"/orders/{order}/certificate?timeout=1"), ("GET", f"/orders/{order}")):
                    reply = await caller.request(method, path)
                    print(f"{method} {path} -> {reply.status_code} {reply.text.splitlines()[0]}")
        server.should_exit = True
        await serving


if __name__ == "__main__":
    asyncio.run(show_itself())
