"""The command line as a process: signals, closed and full outputs, what it loads, what it asks for on a terminal."""

from __future__ import annotations

import os
import pty
import re
import select
import signal
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING

import anyio
import pytest
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption
from cryptography.hazmat.primitives.serialization.pkcs12 import serialize_key_and_certificates

from collectssl_async.cli.interrupts import run_async
from collectssl_async.sandbox import Sandbox

from .. import pki
from .harness import START, Service, key_file

if TYPE_CHECKING:
    from pathlib import Path

PATIENCE = 20.0  # seconds until a test gives up on a process


# --- signals ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_between_two_polls_ends_the_wait(service: Service, tmp_path: Path, number: int) -> None:
    order = service.sandbox.place_order("a.example.com", issue_after=None)
    with service.start("collect", order.order_number, "-o", tmp_path / "tls", "--wait") as process:
        assert process.stderr is not None
        assert "0 processing" in process.stderr.readline()
        process.send_signal(number)
        out, err = process.communicate(timeout=PATIENCE)
    assert (process.returncode, out, err) == (130, "", "collectssl: interrupted\n")
    assert not (tmp_path / "tls").exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_during_a_call_ends_it(capsys: pytest.CaptureFixture[str], tmp_path: Path, number: int) -> None:
    called = threading.Event()

    def clock() -> float:
        called.set()
        return time.monotonic()

    sandbox = Sandbox(clock=clock)
    sandbox.fail_next("timeout")
    order = sandbox.place_order("a.example.com")
    with sandbox.serve() as server:
        called.clear()
        with Service(sandbox, server, capsys).start("collect", order.order_number, "-o", tmp_path) as process:
            assert called.wait(PATIENCE)
            process.send_signal(number)
            out, err = process.communicate(timeout=PATIENCE)
    assert (process.returncode, out, err) == (130, "", "collectssl: interrupted\n")
    assert list(tmp_path.iterdir()) == []


def test_work_that_a_signal_finds_finished_counts_as_done() -> None:
    async def work() -> None:
        os.kill(os.getpid(), signal.SIGTERM)

    run_async(work)


def test_a_second_signal_interrupts_what_hangs() -> None:
    went_on = []

    async def work() -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        went_on.append("after the first")
        os.kill(os.getpid(), signal.SIGTERM)
        went_on.append("after the second")

    with pytest.raises(KeyboardInterrupt):
        run_async(work)
    assert went_on == ["after the first"]


def test_a_signal_that_another_thread_gets_is_heard_at_once() -> None:
    def hit() -> None:
        signal.pthread_kill(threading.get_ident(), signal.SIGTERM)

    async def work() -> None:
        threading.Timer(0.05, hit).start()
        await anyio.sleep(PATIENCE)

    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        run_async(work)
    assert time.monotonic() - began < PATIENCE


def test_a_signal_lets_work_clean_up() -> None:
    cleaned = []

    async def work() -> None:
        try:
            os.kill(os.getpid(), signal.SIGINT)
            await anyio.sleep_forever()
        finally:
            cleaned.append("yes")

    with pytest.raises(KeyboardInterrupt):
        run_async(work)
    assert cleaned == ["yes"]


# --- outputs ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("arguments", [("status", "--ca-file"), ("--help",)])
def test_a_full_disk_behind_stdout_fails_in_one_line(service: Service, arguments: tuple[str, ...]) -> None:
    order = service.sandbox.place_order("a.example.com")
    more = [str(service.server.ca_file), order.order_number] if "status" in arguments else []
    with open("/dev/full", "w") as full:  # noqa: PTH123 - a device
        ended = subprocess.run(
            [*START, *arguments, *more], stdout=full, stderr=subprocess.PIPE, text=True, check=False, timeout=PATIENCE
        )
    assert ended.returncode == 1
    assert ended.stderr.startswith("collectssl: ")
    assert ended.stderr.endswith("No space left on device\n")
    assert ended.stderr.count("\n") == 1


def test_a_reader_that_has_gone_is_no_error_to_tell(service: Service) -> None:
    order = service.sandbox.place_order("a.example.com")
    reading, writing = os.pipe()
    os.close(reading)
    ended = subprocess.run(
        [*START, "status", order.order_number, "--ca-file", service.server.ca_file],
        stdout=writing,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
        timeout=PATIENCE,
    )
    os.close(writing)
    assert (ended.returncode, ended.stderr) == (1, "")


def test_a_path_that_the_locale_cannot_write_is_escaped(service: Service, tmp_path: Path) -> None:
    order = service.sandbox.place_order("a.example.com")
    ended = subprocess.run(
        [*START, "collect", order.order_number, "-o", tmp_path / "zürich", "--ca-file", service.server.ca_file],
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
    )
    assert ended.returncode == 0
    assert ended.stdout.splitlines()[0] == f"{tmp_path}/z\\xfcrich/cert.pem"


def test_help_loads_neither_sandbox_nor_cryptography() -> None:
    program = """
import sys
from collectssl_async.cli import main
try:
    main(["--help"])
except SystemExit:
    loaded = {name.partition(".")[0] for name in sys.modules} | set(sys.modules)
    print(sorted(loaded & {"cryptography", "collectssl_async.sandbox", "starlette", "uvicorn"}), file=sys.stderr)
"""
    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=PATIENCE
    )
    assert ended.stderr == "[]\n"
    assert "130 interrupted by Ctrl-C or SIGTERM" in ended.stdout


# --- on a terminal ----------------------------------------------------------------------------------------------------


class Terminal:
    """A command on a terminal of 80 columns: what it shows, and what is typed."""

    def __init__(self, *arguments: str | Path, **environment: str) -> None:
        self._ours, theirs = pty.openpty()
        surroundings = {name: value for name, value in os.environ.items() if name != "NO_COLOR"}
        self.process = subprocess.Popen(
            [*START, *map(str, arguments)],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env={**surroundings, "TERM": "xterm", "COLUMNS": "80", "LINES": "24", **environment},
            start_new_session=True,
        )
        os.close(theirs)
        self.shown = ""

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *error: object) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._ours)

    def until(self, text: str) -> None:
        """Read until `text` is shown, or the process has ended."""
        while text not in self.shown:
            if not select.select([self._ours], [], [], PATIENCE)[0]:
                raise TimeoutError(f"{text!r} is not shown: {self.shown}")
            try:
                self.shown += os.read(self._ours, 65536).decode()
            except OSError:  # the other end is closed
                raise AssertionError(f"{text!r} was not shown: {self.shown}") from None

    def type(self, text: str) -> None:
        os.write(self._ours, text.encode())

    def code(self) -> int:
        return self.process.wait(PATIENCE)


def test_name_and_password_are_asked_for_and_the_password_is_hidden(service: Service) -> None:
    order = service.sandbox.place_order("a.example.com")
    unset = {"COLLECTSSL_LOGIN_NAME": "", "COLLECTSSL_LOGIN_PASSWORD": ""}
    with Terminal("status", order.order_number, "--ca-file", service.server.ca_file, **unset) as terminal:
        terminal.until("Login name: ")
        terminal.type(f"{service.sandbox.credentials.login_name}\n")
        terminal.until("Login password: ")
        terminal.type(f"{service.password}\n")
        terminal.until("a.example.com")
        assert terminal.code() == 0
        assert service.password not in terminal.shown


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_at_the_prompt_interrupts(service: Service, number: int) -> None:
    unset = {"COLLECTSSL_LOGIN_PASSWORD": ""}
    with Terminal("status", "1", "--ca-file", service.server.ca_file, **unset) as terminal:
        terminal.until("Login password: ")
        terminal.process.send_signal(number)
        terminal.until("collectssl: interrupted")
        assert terminal.code() == 130


def test_a_terminal_shows_a_live_table(service: Service, tmp_path: Path) -> None:
    order = service.sandbox.place_order("a.example.com", product="ov", issue_after=None, issue_after_polls=1)
    arguments = ("collect", order.order_number, "-o", tmp_path, "--wait", "--interval", "0.001")
    with Terminal(*arguments, "--ca-file", service.server.ca_file) as terminal:
        terminal.until("fullchain.pem")
        assert terminal.code() == 0
    for part in ("next poll", "4 of 4 done", "0 -> 1 -> 2", "a.example.com"):
        assert part in terminal.shown
    assert "\x1b[" in terminal.shown


def test_a_terminal_asks_for_the_password_of_pkcs12_and_shows_what_is_in_it(tmp_path: Path) -> None:
    chain = pki.hierarchy("shop.example.com")
    cas = [chain.issuing.certificate]
    sealed = BestAvailableEncryption(b"Sesame-42")
    packed = serialize_key_and_certificates(None, chain.leaf.key, chain.leaf.certificate, cas, sealed)
    (tmp_path / "shop.p12").write_bytes(packed)
    (tmp_path / "root.pem").write_text(chain.new_root.pem)
    with Terminal(
        "inspect", tmp_path / "shop.p12", tmp_path / "root.pem", "--roots", tmp_path / "root.pem"
    ) as terminal:
        terminal.until("PKCS#12 password: ")
        terminal.type("Sesame-42\n")
        terminal.until("trusted root")
        assert terminal.code() == 0
    assert "Sesame-42" not in terminal.shown
    assert "\x1b[32mtrusted: Test New Root, of " in terminal.shown
    plain = re.sub("\x1b[^m]*m", "", terminal.shown)
    assert max(map(len, plain.splitlines())) <= 80


def test_a_new_password_of_pkcs12_is_asked_for_twice(service: Service, tmp_path: Path) -> None:
    order = service.sandbox.place_order("a.example.com")
    key = key_file(order, tmp_path)
    arguments = ("collect", order.order_number, "-o", tmp_path, "--format", "pkcs12", "--private-key", key)
    with Terminal(*arguments, "--ca-file", service.server.ca_file) as terminal:
        terminal.until("PKCS#12 password: ")
        terminal.type("Sesame-42\n")
        terminal.until("Repeat for confirmation: ")
        terminal.type("Sesame-42\n")
        terminal.until("certificate.p12")
        assert terminal.code() == 0
    assert "Sesame-42" not in terminal.shown


def test_a_terminal_shows_a_status_in_colour(service: Service) -> None:
    order = service.sandbox.place_order("a.example.com")
    with Terminal("status", order.order_number, "--ca-file", service.server.ca_file) as terminal:
        terminal.until("enterprise authentication")
        assert terminal.code() == 0
    assert "\x1b[32m" in terminal.shown


@pytest.mark.parametrize("plain", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_a_terminal_that_wants_no_colour_gets_plain_lines(
    service: Service, tmp_path: Path, plain: dict[str, str]
) -> None:
    order = service.sandbox.place_order("a.example.com")
    arguments = ("collect", order.order_number, "-o", tmp_path, "--wait", "--ca-file", service.server.ca_file)
    with Terminal(*arguments, **plain) as terminal:
        terminal.until("fullchain.pem")
        assert terminal.code() == 0
    assert "a.example.com: 2 attached" in terminal.shown
    assert "\x1b[" not in terminal.shown


@pytest.mark.parametrize("piped", ["stdin", "stderr"])
def test_nobody_is_asked_unless_they_can_see_and_type(service: Service, piped: str) -> None:
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [*START, "status", "1", "--ca-file", service.server.ca_file],
        env={**os.environ, "COLLECTSSL_LOGIN_PASSWORD": ""},
        stdin=subprocess.PIPE if piped == "stdin" else theirs,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE if piped == "stderr" else theirs,
    ) as process:
        process.communicate(timeout=PATIENCE)
    os.close(ours)
    os.close(theirs)
    assert process.returncode == 5
