"""A TLS server that answers every request with the same reply, as fast as Python can: `python -m … FOLDER`.

It reads `server.pem` and `reply.txt` of the folder, prints its port and ends with its standard input, so that whoever
started it cannot leave it behind. A process of its own: the client's cost alone is to be measured.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
import ssl
import sys
from pathlib import Path

_LENGTH = re.compile(rb"\r\ncontent-length: *([0-9]+)", re.IGNORECASE)


class Connection(asyncio.Protocol):
    """One connection, kept alive: as many requests as come, one after the other."""

    def __init__(self, answer: bytes) -> None:
        self._answer = answer
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.WriteTransport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, end, body = self._received.partition(b"\r\n\r\n")
        length = _LENGTH.search(head)
        if end and len(body) >= (int(length[1]) if length else 0):
            self._received = b""
            self._transport.write(self._answer)


async def serve(folder: Path) -> None:
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(folder / "server.pem")
    reply = (folder / "reply.txt").read_bytes()
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: {len(reply)}\r\n\r\n"
    answer = head.encode() + reply
    listener = socket.create_server(("127.0.0.1", 0))
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    loop = asyncio.get_running_loop()
    async with await loop.create_server(lambda: Connection(answer), sock=listener, ssl=tls):
        print(listener.getsockname()[1], flush=True)
        await loop.run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(serve(Path(sys.argv[1])))
