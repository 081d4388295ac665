"""The sandbox as an ASGI app: reads a request, waits as long as the sandbox is told to, sends the reply.

A call is in work from here on to its last byte. An ASGI app can neither cut a connection nor ask whether the caller is
still there: `server.py`'s connections hand out both in the scope's state; under any other server a cut connection is
a `ConnectionResetError`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import anyio

from ..errors import ConfigurationError
from .request import BODY_MAX
from .service import Incoming

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, MutableMapping

    from starlette.applications import Starlette

    from .page import Server
    from .replies import Reply
    from .sandbox import Sandbox

    Scope = MutableMapping[str, Any]
    Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
    Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

PATH = "/products/download/CollectSSL"
"""The endpoint's path, on the live service and here."""

CONNECTION = "sandbox_connection"
"""Where the scope's state has the `Connection`."""


class Connection(Protocol):
    """What a server of ours knows of the connection that a call came on."""

    gone: bool

    def cut(self) -> None:
        """Close the connection at once."""


class Endpoint:
    """The ASGI app of the endpoint itself, for every method."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        service = self._sandbox.service
        connection: Connection | None = scope.get("state", {}).get(CONNECTION)
        call = service.log.begin()
        abandoned = True
        try:
            incoming = await _read(scope, receive)
            if incoming is None:
                return
            if not call.overlapped:
                await anyio.sleep(self._sandbox.latency)
            reply = service.answer(call, incoming)
            if reply.hang:
                await _caller_has_left(receive)
                return
            abandoned = connection is not None and connection.gone
            await _send(reply, connection, receive, send)
        finally:
            service.log.end(call, abandoned=abandoned, linger=self._sandbox.linger)


async def _read(scope: Scope, receive: Receive) -> Incoming | None:
    """Return the request; None if the caller left before it was complete."""
    headers = dict(scope["headers"])
    content_type = headers.get(b"content-type", b"").decode("latin-1")
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        body += message.get("body", b"")
        too_long = len(body) > BODY_MAX
        if too_long or not message.get("more_body", False):
            whole = None if too_long else bytes(body)
            return Incoming(scope["scheme"], scope["method"], content_type, whole)


async def _send(reply: Reply, connection: Connection | None, receive: Receive, send: Send) -> None:
    """Send a reply, or as much of it as goes out before the connection is cut."""
    if reply.cut != 0:
        headers = [(b"content-type", reply.content_type.encode("latin-1"))]
        headers += [(name.encode(), value.encode()) for name, value in reply.headers]
        if not reply.chunked:
            headers.append((b"content-length", str(len(reply.body)).encode()))
        if reply.close:
            headers.append((b"connection", b"close"))
        await send({"type": "http.response.start", "status": reply.status, "headers": headers})
        end = len(reply.body) if reply.cut is None else int(len(reply.body) * reply.cut)
        middle = end // 2 if reply.chunked else 0
        if middle:
            await send({"type": "http.response.body", "body": reply.body[:middle], "more_body": True})
        await send({"type": "http.response.body", "body": reply.body[middle:end], "more_body": reply.cut is not None})
    if reply.cut is not None:
        if connection is None:
            raise ConnectionResetError("the sandbox cut the connection, as it was told to")
        connection.cut()
        await _caller_has_left(receive)  # a server complains of an app that returns without a whole reply


async def _caller_has_left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def make_app(sandbox: Sandbox) -> Starlette:
    """Return the sandbox's ASGI app. Raises `ConfigurationError` where the extra is not installed."""
    try:
        from starlette.applications import Starlette
        from starlette.routing import Route
    except ImportError:
        raise missing_extra("starlette") from None
    return Starlette(routes=[Route(PATH, Endpoint(sandbox))])


def make_plain_app(sandbox: Sandbox, server: Server, *, any_host: bool) -> Starlette:
    """Return what is served over plain HTTP: management, the page, and -1 for who calls the endpoint there."""
    from starlette.applications import Starlette
    from starlette.routing import Mount, Route

    from .management import make_management
    from .page import page_routes

    management = make_management(sandbox, page_routes(sandbox, server), any_host=any_host)
    return Starlette(routes=[Route(PATH, Endpoint(sandbox)), Mount("/", management)])


def missing_extra(library: str) -> ConfigurationError:
    """Return the error that names the extra."""
    return ConfigurationError(
        f"the sandbox's server needs {library}, which is not installed: pip install 'collectssl-async[sandbox]'"
    )
