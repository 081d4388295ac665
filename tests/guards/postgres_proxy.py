"""A line to PostgreSQL that fails as told: it is cut, it stalls, or it leads to a pooler as far as one can tell."""

from __future__ import annotations

import asyncio
import struct
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Callable

    from .postgres_server import PostgresServer


class Proxy:
    """Passes on what client and server say to each other, on a port of its own, in the running loop.

    What the client sends is counted by the piece, all connections together. The piece number `cut_before` is not passed
    on but the line cut; after number `cut_after` the line is cut when the server has had its say; from number
    `stall_from` on nothing is passed on; what `on_piece` has for a number is called when that piece comes.
    """

    def __init__(self, server: PostgresServer) -> None:
        self._server = server
        self._listener: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self.pieces = 0
        self.cut_before = self.cut_after = self.stall_from = 0
        self.as_pooler = False
        self.on_piece: dict[int, Callable[[], object]] = {}

    async def __aenter__(self) -> Self:
        self._listener = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._listener is not None
        self._listener.close()
        self.cut()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def conninfo(self) -> str:
        """The superuser's URL through here."""
        assert self._listener is not None
        return self._server.conninfo_for("postgres", port=self._listener.sockets[0].getsockname()[1])

    def cut(self) -> None:
        """Cut every line, both ways, as a firewall does that resets."""
        for writer in self._writers:
            writer.transport.abort()

    async def _serve(self, from_client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        from_server, to_server = await asyncio.open_connection("127.0.0.1", self._server.port)
        self._writers |= {to_client, to_server}
        for task in (
            asyncio.create_task(self._pass_on(from_client, to_server, self._from_client)),
            asyncio.create_task(self._pass_on(from_server, to_client, self._from_server)),
        ):
            self._tasks.add(task)

    async def _pass_on(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        look: Callable[[bytes], bytes | None],
    ) -> None:
        try:
            while piece := await reader.read(65536):
                seen = look(piece)
                if seen is not None:
                    writer.write(seen)
                    await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.close()

    def _from_client(self, piece: bytes) -> bytes | None:
        self.pieces += 1
        if self.pieces in self.on_piece:
            self.on_piece[self.pieces]()
        if self.pieces == self.cut_before:
            self.cut()
        if self.stall_from and self.pieces >= self.stall_from:
            return None
        return piece

    def _from_server(self, piece: bytes) -> bytes | None:
        if self.pieces == self.cut_after:
            self.cut()
        if self.stall_from and self.pieces >= self.stall_from:
            return None
        if self.as_pooler:
            at = piece.find(b"K\x00\x00\x00\x0c")  # BackendKeyData: a pooler gives numbers of its own
            if at >= 0:
                piece = piece[: at + 5] + struct.pack("!i", 4711) + piece[at + 9 :]
        return piece
