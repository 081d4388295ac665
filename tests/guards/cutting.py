"""A way to a Redis that is cut in the middle of a command: before Redis has seen it, or before its answer is seen."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from .redis_server import RedisServer


class Cutting:
    """Passes everything on until `cut` is told of a command; that one's connection is cut, once."""

    def __init__(self, server: RedisServer) -> None:
        self._server = server
        self._command: bytes | None = None
        self._answer = False
        self._transports: set[asyncio.WriteTransport] = set()
        self.cuts = 0
        self.url = ""

    def cut(self, command: str, *, answer: bool) -> None:
        """Cut the next connection that sends `command`: before it gets there, or only its `answer`."""
        self._command, self._answer = f"\r\n{command}\r\n".encode(), answer

    def cut_all(self) -> None:
        """Cut every connection that there is."""
        for transport in tuple(self._transports):
            transport.abort()

    async def pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection."""
        back_reader, back_writer = await asyncio.open_connection("127.0.0.1", self._server.port)
        self._transports.add(writer.transport)
        cut = asyncio.Event()

        async def forth() -> None:
            while data := await reader.read(65536):
                if self._command is not None and self._command in data:
                    self._command, self.cuts = None, self.cuts + 1
                    cut.set()
                    if not self._answer:
                        return
                back_writer.write(data)

        async def back() -> None:
            while (data := await back_reader.read(65536)) and not cut.is_set():
                writer.write(data)

        directions = {asyncio.create_task(forth()), asyncio.create_task(back())}
        await asyncio.wait(directions, return_when=asyncio.FIRST_COMPLETED)
        self._transports.discard(writer.transport)
        writer.transport.abort()
        back_writer.transport.abort()
        await asyncio.gather(*directions, return_exceptions=True)


@asynccontextmanager
async def cutting(server: RedisServer) -> AsyncIterator[Cutting]:
    """Listen on loopback for as long as the block."""
    between = Cutting(server)
    served: list[asyncio.Task[None]] = []

    def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        served.append(asyncio.create_task(between.pass_on(reader, writer)))

    listener = await asyncio.start_server(serve, "127.0.0.1", 0)
    between.url = f"redis://127.0.0.1:{listener.sockets[0].getsockname()[1]}/0"
    try:
        yield between
    finally:
        listener.close()
        between.cut_all()
        await asyncio.gather(*served)
