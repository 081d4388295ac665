"""Runs the sandbox: the endpoint over HTTPS, management and page over plain HTTP, on one loop in a thread of its own.

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
from contextlib import ExitStack, closing, suppress
from functools import cached_property
from ipaddress import IPv6Address, ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Self

from ..errors import ConfigurationError
from .app import PATH, make_plain_app, missing_extra
from .authority import new_private_key, pem, private_pem

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from starlette.applications import Starlette

    from .authority import Authority
    from .connections import StoppableServer
    from .sandbox import Sandbox

    MakeServer = Callable[[Callable[[], None]], StoppableServer]

HOST = "127.0.0.1"
"""Where it listens unless told otherwise: the sandbox gives certificates, and commands, to everybody who asks."""


class SandboxServer:
    """The sandbox behind real sockets, as long as its context lasts: `with` or `async with`.

    `port` is the endpoint's, `management_port` that of the management API and the page; 0 takes a free one. Any `host`
    but a loopback address is refused unless `expose_to_network` says that it is meant: then whoever reaches this
    machine can read the account's password, place and revoke orders, and have certificates of the throwaway CA.

    Both ways of entering block for some milliseconds. Raises `ConfigurationError` without the extra `sandbox` and for
    such a host, `OSError` if a port is taken.
    """

    def __init__(
        self,
        sandbox: Sandbox,
        app: Starlette,
        *,
        port: int = 0,
        management_port: int = 0,
        host: str = HOST,
        expose_to_network: bool = False,
    ) -> None:
        self._exposed = _is_exposed(host, expected=expose_to_network)
        self._host = host
        self._sandbox = sandbox
        self._app = app
        self._port = port
        self._management_port = management_port
        self._server_class = _uvicorn_server()
        self._running: ExitStack | None = None
        self._ca_file: Path | None = None

    def __enter__(self) -> Self:
        if self._running is not None:
            raise RuntimeError("this server runs already: ask sandbox.serve() for another one")
        tls = _tls_context(self._sandbox.authority, self._host, exposed=self._exposed)
        plain_app = make_plain_app(self._sandbox, self, any_host=self._exposed)
        with ExitStack() as opened:
            listener = opened.enter_context(closing(_listen(self._host, self._port)))
            plain = opened.enter_context(closing(_listen(self._host, self._management_port)))
            self._ca_file = _temporary_file(self._sandbox.root_pem.encode())
            opened.callback(self._forget_ca_file)

            def make_plain_server(on_started: Callable[[], None]) -> StoppableServer:
                server = self._server_class(plain_app, tls, on_started)
                server.config.ssl = None
                return server

            thread = _ServerThread(
                (listener, lambda on_started: self._server_class(self._app, tls, on_started)),
                (plain, make_plain_server),
            )
            thread.start()
            opened.callback(thread.stop)
            self._running = opened.pop_all()
        self._port, self._management_port = (each.getsockname()[1] for each in (listener, plain))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        running, self._running = self._running, None
        if running is not None:
            running.close()

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
        return f"https://{self._reached_at}:{self._port}{PATH}"

    @property
    def management(self) -> str:
        """The URL of the management API, to which `/orders` and the like are added; known once the server runs."""
        return f"http://{self._reached_at}:{self._management_port}"

    @property
    def page(self) -> str:
        """The URL of the status page, for a browser; known once the server runs."""
        return f"{self.management}/"

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

    @property
    def _reached_at(self) -> str:
        """Return a host that this machine's programs can call: nobody can call "every address"."""
        address = ip_address(self._host)
        is_v6 = isinstance(address, IPv6Address)
        if address.is_unspecified:
            return "[::1]" if is_v6 else HOST
        return f"[{address}]" if is_v6 else str(address)

    def _forget_ca_file(self) -> None:
        self.ca_file.unlink(missing_ok=True)
        self._ca_file = None


class _ServerThread:
    """A thread with a loop with uvicorn on it, once for each listener."""

    def __init__(self, *served: tuple[socket.socket, MakeServer]) -> None:
        self._served = served
        self._servers: list[StoppableServer] = []
        self._started: Future[asyncio.AbstractEventLoop] = Future()
        self._thread = threading.Thread(target=self._main, name="collectssl-sandbox", daemon=True)

    def start(self) -> None:
        """Return when all servers accept calls; raise what kept one from that."""
        self._thread.start()
        try:
            self._loop = self._started.result()
        except BaseException:
            self._thread.join()
            raise

    def stop(self) -> None:
        """Cut every connection, and return when the thread has ended."""
        # The loop of a server that crashed is closed; the thread's exception hook has told of the crash.
        with suppress(RuntimeError):
            for server in self._servers:
                self._loop.call_soon_threadsafe(server.stopping.set)
        self._thread.join()

    def _main(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as error:
            if self._started.done():
                raise
            self._started.set_exception(error)

    async def _serve(self) -> None:
        loop = asyncio.get_running_loop()
        missing = len(self._served)

        def one_has_started() -> None:
            nonlocal missing
            missing -= 1
            if not missing:
                self._started.set_result(loop)

        self._servers = [make_server(one_has_started) for _, make_server in self._served]
        running = zip(self._servers, self._served, strict=True)
        await asyncio.gather(*(server.serve(sockets=[listener]) for server, (listener, _) in running))


def _is_exposed(host: str, *, expected: bool) -> bool:
    """Return whether other machines reach an address. Raises `ConfigurationError` if they do and nobody said so."""
    try:
        exposed = not ip_address(host).is_loopback
    except ValueError:
        raise ConfigurationError(f"host must be an IP address such as {HOST}, not {host!r}") from None
    if exposed and not expected:
        raise ConfigurationError(
            f"the sandbox listens on loopback only, and {host} is not: everybody who reaches it could read its "
            "password and command it. If that is meant, as inside a container, say so: expose_to_network=True"
        )
    return exposed


def _uvicorn_server() -> type[StoppableServer]:
    try:
        from .connections import StoppableServer
    except ImportError:
        raise missing_extra("uvicorn") from None
    return StoppableServer


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.create_server((host, port), family=family, backlog=256)
    # Accepted sockets inherit it. asyncio sets it only on sockets that say they are TCP, and these do not.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


def _temporary_file(data: bytes) -> Path:
    """Return a new file, which only this user can read."""
    descriptor, name = tempfile.mkstemp(prefix="collectssl-sandbox-", suffix=".pem")
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
    return Path(name)


def _tls_context(authority: Authority, host: str, *, exposed: bool) -> ssl.SSLContext:
    """Return a server's context with a new certificate; its key lies in a file only while it is loaded.

    A server that other machines reach has this machine's name too: in a container, the one that it was given.
    """
    key = new_private_key()
    names = ("localhost", socket.gethostname()) if exposed else ("localhost",)
    addresses = dict.fromkeys((HOST, "::1", host))
    certificate = authority.issue(names, key.public_key(), addresses=tuple(addresses))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    file = _temporary_file(private_pem(key) + pem(certificate, authority.issuing_ca).encode())
    try:
        context.load_cert_chain(file)
    finally:
        file.unlink()
    return context
