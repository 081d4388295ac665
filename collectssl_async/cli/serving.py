"""Where `watch` is notified: the receiver that the options ask for, on a port, beside the command's other work.

Speaks plain HTTP, for a proxy in front that speaks TLS. What a notification does is the receiver's business.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import anyio
import typer

from ..errors import ConfigurationError
from ..push import SECTIGO_PUSH_HOST, PushReceiver
from .preparing import find_push_password

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Sequence

_EXTRA = "--push-port needs the extra: pip install 'collectssl-async[push]'"
_PROBLEMS = {
    errno.EADDRINUSE: "it is in use: choose another one",
    errno.EACCES: "it is for root alone: choose one above 1023",
    errno.EADDRNOTAVAIL: "--push-host is no address of this machine",
}
_TYPED = {
    "allowed_hosts must not be empty": "--push-allow must not be empty",
    "allowed_hosts": "--push-allow",
    "username and password go together, and neither may be empty": "--push-username must not be empty",
    "username": "--push-username",
}
"""What the receiver's messages call its arguments, and what they are called here."""

_THIS_MACHINE = "127.0.0.1"
_MOST_CALLERS = 100  # at once: each may hold a notification of 1 MiB in memory
_LAST_WORDS = 1  # seconds that a notification has to arrive when the command ends


@dataclass(frozen=True, slots=True)
class Push:
    """Where notifications are received. The receiver knows who may send them."""

    receiver: PushReceiver
    host: str
    port: int


def push_wanted(
    port: int | None, *, host: str | None, username: str | None, allowed: Sequence[str] | None
) -> Push | None:
    """Return what the options ask for, None without a port.

    Raises typer's error for wrong usage, `CredentialsError` for a password that is missing, `ConfigurationError` where
    the extra is.
    """
    if port is None:
        if host is not None or username is not None or allowed:
            raise typer.BadParameter("--push-host, --push-username and --push-allow go with --push-port")
        return None
    hosts = tuple(allowed) if allowed else (SECTIGO_PUSH_HOST,)
    password = None if username is None else find_push_password()
    try:
        receiver = PushReceiver(username=username, password=password, allowed_hosts=hosts)
        return Push(receiver, _THIS_MACHINE if host is None else host, port)
    except ConfigurationError as error:
        problem = str(error)
    finally:
        del password  # the error's traceback would show it
    for argument, option in _TYPED.items():
        problem = problem.replace(argument, option)
    raise ConfigurationError(problem)


@asynccontextmanager
async def served(push: Push, tell: Callable[[str], None]) -> AsyncIterator[None]:
    """Serve the receiver until the block ends, and tell which notifications it refuses.

    Raises typer's error for a port that cannot be had, `ConfigurationError` where the extra is missing.
    """
    try:
        import uvicorn
    except ImportError:
        raise ConfigurationError(_EXTRA) from None

    class Server(uvicorn.Server):
        """One that leaves signals to the command, which ends in order by itself."""

        @contextmanager
        def capture_signals(self) -> Iterator[None]:
            yield

    # Who calls is taken from a proxy's header where the proxy is on this machine, or in FORWARDED_ALLOW_IPS.
    config = uvicorn.Config(
        push.receiver,
        log_config=None,
        access_log=False,
        server_header=False,
        ws="none",
        lifespan="off",
        limit_concurrency=_MOST_CALLERS,
        timeout_graceful_shutdown=_LAST_WORDS,
    )
    with _listening(push.host, push.port) as listener, _refusals_told(tell):
        server = Server(config)
        serving = asyncio.create_task(server.serve([listener]))
        try:
            yield
        finally:
            server.should_exit = True
            with anyio.CancelScope(shield=True):
                await serving


def _listening(host: str, port: int) -> socket.socket:
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family)
    except OSError as error:
        problem = _PROBLEMS.get(error.errno or 0, error.strerror or str(error))
    raise typer.BadParameter(f"port {port} of {host}: {problem}", param_hint="--push-port")


@contextmanager
def _refusals_told(tell: Callable[[str], None]) -> Iterator[None]:
    """Tell what the receiver logs: whoever set up a wrong password must learn why nothing comes."""

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if record.module == "push":
                tell(record.getMessage())

    handler, silent = Handler(logging.WARNING), logging.NullHandler()
    ours, servers = logging.getLogger("collectssl_async"), logging.getLogger("uvicorn")
    ours.addHandler(handler)
    servers.addHandler(silent)  # what it says of garbled requests is no business of the table's
    try:
        yield
    finally:
        ours.removeHandler(handler)
        servers.removeHandler(silent)
