"""What the tests of the command line share: the sandbox over HTTPS, a command in this process or in one of its own."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from collectssl_async.cli import main
from collectssl_async.sandbox.authority import private_pem
from collectssl_async.stores import SQLiteStore

if TYPE_CHECKING:
    from pathlib import Path

    from collectssl_async._kept import Kept
    from collectssl_async.sandbox import Sandbox, SandboxOrder, SandboxServer

START = (sys.executable, "-c", "from collectssl_async.cli import main; main()")
"""What the installed `collectssl` does."""


@dataclass(frozen=True)
class Ended:
    """How a command ended and what it wrote."""

    code: int
    out: str
    err: str


@dataclass(frozen=True)
class Service:
    """A sandbox behind its server, and a command line that calls it."""

    sandbox: Sandbox
    server: SandboxServer
    capsys: pytest.CaptureFixture[str]

    @property
    def password(self) -> str:
        return self.sandbox.credentials.login_password.get_secret_value()

    @property
    def environment(self) -> dict[str, str]:
        """What a user sets."""
        return {
            "COLLECTSSL_LOGIN_NAME": self.sandbox.credentials.login_name,
            "COLLECTSSL_LOGIN_PASSWORD": self.password,
            "COLLECTSSL_ENDPOINT": self.server.endpoint,
        }

    def run(self, command: str, *arguments: str | Path) -> Ended:
        """Run a command that trusts the sandbox. Its password never shows."""
        ended = run(self.capsys, command, "--ca-file", self.server.ca_file, *arguments)
        assert self.password not in ended.out + ended.err
        return ended

    def start(self, command: str, *arguments: str | Path) -> subprocess.Popen[str]:
        """Start a command in a process of its own."""
        return start(command, "--ca-file", self.server.ca_file, *arguments, **self.environment)


class Watch:
    """`watch`, with a directory and a store of its own, and hardly a pause between two polls."""

    def __init__(self, service: Service, folder: Path) -> None:
        self.service = service
        self.directory = folder / "tls"
        self.store = folder / "orders.db"
        self.folder = folder

    def __call__(self, *arguments: str | Path, stored: bool = True) -> Ended:
        store = ("--store", self.store) if stored else ()
        return self.service.run("watch", "--interval", "0.001", "-o", self.directory, *store, *arguments)

    def files(self, name: str) -> list[str]:
        folder = self.directory / name
        return sorted(each.name for each in folder.iterdir()) if folder.is_dir() else []

    def listing(self, *lines: str) -> Path:
        file = self.folder / "orders.csv"
        file.write_text("".join(f"{line}\n" for line in lines))
        return file

    @property
    def answers(self) -> list[int | str | None]:
        """What the sandbox has answered so far."""
        return [call.answer for call in self.service.sandbox.calls]


def run(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> Ended:
    """Run a command in this process."""
    with pytest.raises(SystemExit) as ended:
        main([str(each) for each in arguments])
    out, err = capsys.readouterr()
    assert isinstance(ended.value.code, int)
    return Ended(ended.value.code, out, err)


def start(*arguments: str | Path, **environment: str) -> subprocess.Popen[str]:
    """Start a command in a process of its own, whose output is read through pipes."""
    return subprocess.Popen(
        [*START, *map(str, arguments)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **environment},
    )


def free_port() -> int:
    """Return a port of loopback that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def key_file(order: SandboxOrder, directory: Path) -> Path:
    """Write the key that an order's certificate will be for."""
    assert order.private_key is not None
    file = directory / f"{order.order_number}.key"
    file.write_bytes(private_pem(order.private_key))
    return file


def put(store: Path, kept: Kept) -> None:
    """Have a store keep an order's wait."""

    async def work() -> None:
        made = SQLiteStore(store)
        await made.open()
        await made.write({kept.key: kept}, durable=True)
        await made.close()

    asyncio.run(work())
