"""The sandbox as an ASGI app: reads a request, waits as long as the sandbox is told to, sends the reply.

A call is in work from here on to its last byte.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio

from ..errors import ConfigurationError
from .delivery import CONNECTION, send_reply
from .request import BODY_MAX
from .service import Incoming

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.types import Receive, Scope, Send

    from .delivery import Connection
    from .overview import Server
    from .sandbox import Sandbox

__all__ = ["CONNECTION", "PATH", "Endpoint", "make_app", "make_plain_app", "missing_extra"]

PATH = "/products/download/CollectSSL"
"""The endpoint's path, on the live service and here."""


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
                await anyio.sleep(self._sandbox.pause(call))
            reply = service.answer(call, incoming)
            abandoned = await send_reply(reply, connection, receive, send)
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

    management = make_management(sandbox, server, any_host=any_host)
    return Starlette(routes=[Route(PATH, Endpoint(sandbox)), Mount("/", management)])


def missing_extra(library: str) -> ConfigurationError:
    """Return the error that names the extra."""
    return ConfigurationError(
        f"the sandbox's server needs {library}, which is not installed: pip install 'collectssl-async[sandbox]'"
    )
