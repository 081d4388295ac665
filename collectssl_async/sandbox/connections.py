"""uvicorn, as the sandbox needs it: connections that can be cut, and a server that stops at once.

The one module that imports uvicorn, so it is imported only when a server starts.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from .app import CONNECTION

if TYPE_CHECKING:
    import socket
    import ssl
    from collections.abc import Callable


class CuttableConnection(H11Protocol):
    """A connection that tells the app whether its caller has left, and lets it be cut."""

    gone = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Hand this connection to the app, in the state of every request's scope."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - a stream server has no others
        super().connection_made(transport)
        self.access_log = False  # uvicorn's setting of that name empties the access logger's handlers
        self.app_state = {**self.app_state, CONNECTION: self}

    def connection_lost(self, exc: Exception | None) -> None:
        """Remember that the caller has left."""
        self.gone = True
        super().connection_lost(exc)

    def cut(self) -> None:
        """Close the connection at once; what was written before has been sent, since replies are small."""
        self.transport.abort()


class StoppableServer(uvicorn.Server):
    """A uvicorn server on a listener and a TLS context made by others, which runs until `stopping` is set."""

    def __init__(self, app: Any, tls: ssl.SSLContext, on_started: Callable[[], None]) -> None:
        config = uvicorn.Config(
            self._until_stopped,
            http=CuttableConnection,
            ws="none",
            loop="asyncio",
            lifespan="off",
            interface="asgi3",
            log_config=None,  # else uvicorn configures the caller's logging
            proxy_headers=False,
            server_header=False,
        )
        config.load()
        config.ssl = tls
        super().__init__(config)
        self.stopping = asyncio.Event()
        self._app = app
        self._on_started = on_started

    async def _until_stopped(self, scope: Any, receive: Any, send: Any) -> None:
        try:
            await self._app(scope, receive, send)
        except asyncio.CancelledError:
            # uvicorn logs every exception of an app as an error, and then ends the task just the same.
            if not self.stopping.is_set():
                raise

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Say that calls are accepted."""
        await super().startup(sockets)
        self._on_started()

    async def main_loop(self) -> None:
        """Wait for the event; uvicorn's own loop looks ten times a second whether it should stop."""
        await self.on_tick(0)
        await self.stopping.wait()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Cut every connection and end every call: nobody may wait for a sandbox whose context has ended."""
        del sockets
        for server in self.servers:
            server.close()
        for connection in list(self.server_state.connections):
            connection.transport.abort()
        while self.server_state.connections:  # noqa: ASYNC110 - some turns of the loop, and nobody tells when it is done
            await asyncio.sleep(0)
        tasks = set(self.server_state.tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
