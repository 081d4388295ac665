"""`collectssl watch` as a process: stopped and started again, notified, and on a terminal."""

from __future__ import annotations

import os
import re
import signal
import threading
import time
from queue import Empty, Queue
from typing import IO, TYPE_CHECKING

import httpx
import pytest

from collectssl_async._kept import Kept
from collectssl_async.sandbox import Sandbox

from .harness import Service, free_port, put
from .test_cli_process import PATIENCE, Terminal

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator
    from pathlib import Path


class Watching:
    """The command in a process of its own, with a directory and a store."""

    def __init__(self, service: Service, folder: Path, *arguments: str | Path) -> None:
        places = ("-o", folder / "tls", "--store", folder / "orders.db", "--guard", f"file:{folder}/guard")
        self.process: subprocess.Popen[str] = service.start("watch", *places, *arguments)
        self._lines = {name: Queue[str]() for name in ("stdout", "stderr")}
        self._readers = [
            threading.Thread(target=self._read, args=(getattr(self.process, name), lines))
            for name, lines in self._lines.items()
        ]
        for reader in self._readers:
            reader.start()

    def _read(self, stream: IO[str], lines: Queue[str]) -> None:
        with stream:
            for line in stream:
                lines.put(line)

    def __enter__(self) -> Watching:
        return self

    def __exit__(self, *error: object) -> None:
        self.process.kill()
        self.process.wait()
        for reader in self._readers:
            reader.join()

    def told(self, text: str, stream: str = "stderr") -> str:
        """Return the next line that holds `text`; lines before it are dropped."""
        while True:
            try:
                line = self._lines[stream].get(timeout=PATIENCE)
            except Empty:
                raise TimeoutError(f"{text!r} was not told") from None
            if text in line:
                return line

    def stop(self, number: int) -> int:
        self.process.send_signal(number)
        return self.process.wait(PATIENCE)


@pytest.fixture
def answers(service: Service) -> Answers:
    return Answers(service)


class Answers:
    """What the sandbox has answered."""

    def __init__(self, service: Service) -> None:
        self._service = service

    def __call__(self) -> list[int | str | None]:
        assert self._service.sandbox.overlaps == 0
        return [call.answer for call in self._service.sandbox.calls]


# --- stopped and started again ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_what_is_stopped_goes_on_with_the_store_and_asks_nothing_early(
    service: Service, tmp_path: Path, answers: Answers, number: int
) -> None:
    slow = service.sandbox.place_order("slow.example.com", issue_after=None).order_number
    with Watching(service, tmp_path, slow) as first:
        first.told(f"{slow} slow.example.com: 0 processing")
        assert first.stop(number) == (130 if number != signal.SIGKILL else -signal.SIGKILL)
    quick = service.sandbox.place_order("quick.example.com").order_number
    with Watching(service, tmp_path, quick) as second:
        second.told(f"{quick} quick.example.com: collected", "stdout")
        assert answers() == [0, 1, 2]
        second.stop(signal.SIGTERM)


def test_an_order_whose_hook_is_interrupted_is_handed_over_again_without_a_call(
    service: Service, tmp_path: Path, answers: Answers
) -> None:
    order = service.sandbox.place_order("a.example.com").order_number
    os.mkfifo(tmp_path / "began")
    hook = ("--deploy-hook", f"test -e {tmp_path}/mended || {{ echo > {tmp_path}/began; sleep 60; }}")
    with Watching(service, tmp_path, order, *hook) as first:
        (tmp_path / "began").read_text()
        assert first.stop(signal.SIGTERM) == 130
    folder = tmp_path / "tls" / order
    assert not (folder / ".collected").exists()
    (tmp_path / "mended").touch()
    with Watching(service, tmp_path, *hook) as second:
        assert second.told("collected", "stdout").endswith(f"unchanged {folder}\n")
        second.told("the deploy hook ran")
        assert second.process.wait(PATIENCE) == 0
    assert answers() == [1, 2]
    assert (folder / ".collected").read_text() == f"{order}\n"


# --- notified ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def notifying(capsys: pytest.CaptureFixture[str]) -> Iterator[tuple[Service, int]]:
    """A sandbox that notifies a port."""
    port = free_port()
    url = f"http://127.0.0.1:{port}/"
    sandbox = Sandbox(seed=1, push_url=url, push_username="sectigo", push_password="Pu5h-Passw0rd")
    with sandbox.serve() as server:
        yield Service(sandbox, server, capsys), port


def test_an_order_that_is_notified_of_is_collected_at_once(
    notifying: tuple[Service, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    service, port = notifying
    (tmp_path / "password").write_text("Pu5h-Passw0rd\n")
    monkeypatch.setenv("COLLECTSSL_PUSH_PASSWORD_FILE", str(tmp_path / "password"))
    named, other = (service.sandbox.place_order(f"{n}.example.com", issue_after=None) for n in "ab")
    now = time.time()
    put(tmp_path / "orders.db", Kept(named.order_number, now - 60, last_poll_at=now - 60, next_poll_at=now + 10800))
    push = ("--push-port", str(port), "--push-username", "sectigo", "--push-allow", "127.0.0.1")
    with Watching(service, tmp_path, other.order_number, *push) as watching:
        watching.told(f"{other.order_number} b.example.com: 0 processing")
        forged = httpx.get(
            f"http://127.0.0.1:{port}/?orderNumber={named.order_number}", auth=("sectigo", "wrong"), trust_env=False
        )
        assert forged.status_code == 401
        assert watching.told("a push notification from 127.0.0.1 was refused").endswith("password is wrong\n")
        began = time.monotonic()
        named.issue()
        watching.told(f"{named.order_number} a.example.com: collected", "stdout")
        assert time.monotonic() - began < PATIENCE / 4
        assert [call.answer for call in service.sandbox.calls] == [0, 1, 2]
        assert watching.stop(signal.SIGTERM) == 130


def test_one_address_that_is_not_allowed_is_refused_by_default(notifying: tuple[Service, int], tmp_path: Path) -> None:
    service, port = notifying
    order = service.sandbox.place_order("a.example.com", issue_after=None)
    with Watching(service, tmp_path, order.order_number, "--push-port", str(port)) as watching:
        watching.told("0 processing")
        order.issue()
        watching.told("a push notification from 127.0.0.1 was refused: this host is not in allowed_hosts")
        assert watching.stop(signal.SIGTERM) == 130


# --- on a terminal ----------------------------------------------------------------------------------------------------


def test_a_terminal_of_80_columns_shows_200_orders_and_gets_its_cursor_back(service: Service, tmp_path: Path) -> None:
    orders = [service.sandbox.place_order("a.example.com", issue_after=None).order_number for _ in range(200)]
    places = ("-o", tmp_path / "tls", "--guard", f"file:{tmp_path}/guard", "--ca-file", service.server.ca_file)
    with Terminal("watch", *places, *orders) as terminal:
        terminal.until("more not shown; 200 waiting, 0 collected")
        terminal.until("0 processing")
        terminal.process.send_signal(signal.SIGINT)
        terminal.until("collectssl: interrupted")
        assert terminal.code() == 130
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", terminal.shown)
    assert max(len(line) for line in re.split(r"[\r\n]+", plain)) <= 80
    frames = [part for part in plain.split("order   ") if "more not shown" in part]
    assert all(frame.partition("more not shown")[0].count("\n") == 22 for frame in frames)
    assert terminal.shown.count("\x1b[?25l") == terminal.shown.count("\x1b[?25h") == 1


def test_a_terminal_keeps_outcomes_above_the_table(service: Service, tmp_path: Path) -> None:
    order = service.sandbox.place_order("a.example.com").order_number
    places = ("-o", tmp_path / "tls", "--guard", f"file:{tmp_path}/guard", "--ca-file", service.server.ca_file)
    with Terminal("watch", *places, order) as terminal:
        terminal.until("0 waiting, 1 collected\r\n")
        assert terminal.code() == 0
    assert f"{order} a.example.com: collected, valid until" in terminal.shown
