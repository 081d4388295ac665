"""Runs the sandbox over HTTPS on loopback: uvicorn on a loop of its own, in a thread of its own.

The caller may be on asyncio, on trio or on neither. Everything that was opened is closed when the context ends.
"""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
import tempfile
import threading
from concurrent.futures import Future
from contextlib import suppress
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Self

from .app import PATH, missing_extra
from .authority import new_private_key, pem, private_pem

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from starlette.applications import Starlette

    from .authority import Authority
    from .connections import StoppableServer
    from .sandbox import Sandbox

HOST = "127.0.0.1"
"""The only address there is: the sandbox gives certificates to everybody who asks."""


class SandboxServer:
    """The sandbox behind a real TLS socket, as long as its context lasts: `with` or `async with`.

    Both ways of entering block for some milliseconds. Raises `ConfigurationError` without the extra `sandbox`,
    `OSError` if the port is taken.
    """

    def __init__(self, sandbox: Sandbox, app: Starlette, *, port: int = 0) -> None:
        self._sandbox = sandbox
        self._app = app
        self._port = port
        self._server_class = _uvicorn_server()
        self._thread: _ServerThread | None = None
        self._ca_file: Path | None = None

    def __enter__(self) -> Self:
        if self._thread is not None:
            raise RuntimeError("this server runs already: ask sandbox.serve() for another one")
        tls = _tls_context(self._sandbox.authority)
        listener = _listen(self._port)
        try:
            self._ca_file = _temporary_file(self._sandbox.root_pem.encode())
            thread = _ServerThread(listener, partial(self._server_class, self._app, tls))
            thread.start()
        except BaseException:
            listener.close()
            self._forget_ca_file()
            raise
        self._thread = thread
        self._port = listener.getsockname()[1]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._thread is not None:
            self._thread.stop()
            self._thread = None
        self._forget_ca_file()

    # Nothing is awaited on the way in and out, so no cancellation can leave a server behind.
    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.__exit__(kind, error, traceback)

    @property
    def endpoint(self) -> str:
        """The URL to call; its port is known once the server runs."""
        return f"https://{HOST}:{self._port}{PATH}"

    @property
    def ca_file(self) -> Path:
        """The sandbox's root, as a PEM file that is there while the server runs."""
        if self._ca_file is None:
            raise RuntimeError("the sandbox's server does not run: enter it with `with` first")
        return self._ca_file

    @cached_property
    def ssl_context(self) -> ssl.SSLContext:
        """A client's context that trusts the sandbox's root, and nothing else."""
        return ssl.create_default_context(cadata=self._sandbox.root_pem)

    def _forget_ca_file(self) -> None:
        if self._ca_file is not None:
            self._ca_file.unlink(missing_ok=True)
            self._ca_file = None


class _ServerThread:
    """A thread with a loop with uvicorn on it."""

    def __init__(self, listener: socket.socket, make_server: Callable[[Callable[[], None]], StoppableServer]) -> None:
        self._listener = listener
        self._make_server = make_server
        self._started: Future[tuple[asyncio.AbstractEventLoop, StoppableServer]] = Future()
        self._thread = threading.Thread(target=self._main, name="collectssl-sandbox", daemon=True)

    def start(self) -> None:
        """Return when the server accepts calls; raise what kept it from that."""
        self._thread.start()
        try:
            self._loop, self._server = self._started.result()
        except BaseException:
            self._thread.join()
            raise

    def stop(self) -> None:
        """Cut every connection, and return when the thread has ended."""
        # The loop of a server that crashed is closed; the thread's exception hook has told of the crash.
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._server.stopping.set)
        self._thread.join()
        self._listener.close()

    def _main(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as error:
            if self._started.done():
                raise
            self._started.set_exception(error)

    async def _serve(self) -> None:
        loop = asyncio.get_running_loop()
        server = self._make_server(lambda: self._started.set_result((loop, server)))
        await server.serve(sockets=[self._listener])


def _uvicorn_server() -> type[StoppableServer]:
    try:
        from .connections import StoppableServer
    except ImportError:
        raise missing_extra("uvicorn") from None
    return StoppableServer


def _listen(port: int) -> socket.socket:
    listener = socket.create_server((HOST, port), backlog=256)
    # Accepted sockets inherit it. asyncio sets it only on sockets that say they are TCP, and these do not.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


def _temporary_file(data: bytes) -> Path:
    """Return a new file, which only this user can read."""
    descriptor, name = tempfile.mkstemp(prefix="collectssl-sandbox-", suffix=".pem")
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
    return Path(name)


def _tls_context(authority: Authority) -> ssl.SSLContext:
    """Return a server's context with a new certificate; its key lies in a file only while it is loaded."""
    key = new_private_key()
    certificate = authority.issue(("localhost",), key.public_key(), addresses=(HOST,))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    file = _temporary_file(private_pem(key) + pem(certificate, authority.issuing_ca).encode())
    try:
        context.load_cert_chain(file)
    finally:
        file.unlink()
    return context
