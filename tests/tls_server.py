"""A TLS server on loopback that answers each request with the next thing on its script, down to the byte.

For what a proper server never does: half a reply, a cut connection, silence, an error page that echoes the form.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import tempfile
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Self

from .pki import hierarchy

if TYPE_CHECKING:
    from collections.abc import Callable

    Answer = Callable[["Exchange"], None]


@dataclass
class Exchange:
    """One request and the connection that it came on."""

    head: str
    body: bytes
    connection: ssl.SSLSocket
    server: TLSServer

    def send(self, data: bytes) -> None:
        self.connection.sendall(data)


@dataclass
class TLSServer:
    """Serves its script on a thread for each connection; `requests` are what came, `connections` counts handshakes."""

    script: list[Answer] = field(default_factory=list)
    requests: list[Exchange] = field(default_factory=list)
    connections: int = 0

    def __post_init__(self) -> None:
        self.came = threading.Semaphore(0)
        self.released = threading.Event()
        self._threads: list[threading.Thread] = []
        self._open: list[ssl.SSLSocket] = []

    def __enter__(self) -> Self:
        chain = hierarchy("localhost")
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "server.pem"
            file.write_bytes(chain.leaf.key_pem + (chain.leaf.pem + chain.issuing.pem).encode())
            tls.load_cert_chain(file)
        self.ssl_context = ssl.create_default_context(cadata=chain.new_root.pem)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._tls = tls
        self.endpoint = f"https://localhost:{self._listener.getsockname()[1]}/products/download/CollectSSL"
        self._start(self._accept)
        return self

    def __exit__(self, *_: object) -> None:
        self.released.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for connection in self._open:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(10)
            assert not thread.is_alive()

    def _start(self, target: Callable[..., None], *args: object) -> None:
        thread = threading.Thread(target=target, args=args, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._start(self._talk, connection)

    def _talk(self, plain: socket.socket) -> None:
        try:
            connection = self._tls.wrap_socket(plain, server_side=True)
        except OSError:
            plain.close()
            return
        self.connections += 1
        self._open.append(connection)
        with connection, contextlib.suppress(OSError):
            while (exchange := self._read(connection)) is not None:
                self.requests.append(exchange)
                self.came.release()
                self.script.pop(0)(exchange)

    def _read(self, connection: ssl.SSLSocket) -> Exchange | None:
        data = b""
        while b"\r\n\r\n" not in data:
            received = connection.recv(65536)
            if not received:
                return None
            data += received
        head, _, body = data.partition(b"\r\n\r\n")
        length = next(
            int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")
        )
        while len(body) < length:
            body += connection.recv(65536)
        return Exchange(head.decode(), body, connection, self)


def answer(
    body: bytes = b"0\n", *, status: str = "200 OK", content_type: str = "text/plain", headers: str = ""
) -> Answer:
    """Answer properly."""

    def act(exchange: Exchange) -> None:
        head = f"HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\nContent-Length: {len(body)}\r\n{headers}\r\n"
        exchange.send(head.encode() + body)

    return act


def echo(*, status: str = "200 OK") -> Answer:
    """Answer with an error page that shows the form, as some proxies do."""

    def act(exchange: Exchange) -> None:
        answer(b"<html>You sent: " + exchange.body + b"</html>", status=status, content_type="text/html")(exchange)

    return act


def cut(after: bytes = b"") -> Answer:
    """Send what is given and drop the connection."""

    def act(exchange: Exchange) -> None:
        exchange.send(after)
        exchange.connection.shutdown(socket.SHUT_RDWR)

    return act


def silence(first: bytes = b"") -> Answer:
    """Send what is given and then nothing, until the server ends."""

    def act(exchange: Exchange) -> None:
        exchange.send(first)
        exchange.server.released.wait(30)

    return act
