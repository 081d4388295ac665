"""`collectssl sandbox` as other programs use it: a process, its first line, its two ports, and its end."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
from base64 import b64encode
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import anyio
import httpx
import pytest

from collectssl_async import ConfigurationError
from collectssl_async.sandbox import Sandbox

from ..sandbox.receiving import Partner
from .harness import START, Ended, run, start

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


PATIENCE = 20.0  # seconds until a test gives up on a process

CALLERS = 12


@dataclass(frozen=True)
class Started:
    """A sandbox in a process of its own, and what its first line said."""

    process: subprocess.Popen[str]
    known: dict[str, str]

    def ask(self, method: str, path: str, body: object = None) -> Any:
        reply = httpx.request(method, self.known["management"] + path, json=body, trust_env=False)
        assert reply.is_success, reply.text
        return reply.json()

    def form(self, order_number: str) -> dict[str, str]:
        login = {"loginName": self.known["login_name"], "loginPassword": self.known["login_password"]}
        return {**login, "orderNumber": order_number, "queryType": "0"}


def stop(process: subprocess.Popen[str], number: int = signal.SIGINT) -> Ended:
    process.send_signal(number)
    out, err = process.communicate(timeout=PATIENCE)
    return Ended(process.returncode, out, err)


@contextmanager
def running(*arguments: str | Path, **environment: str) -> Iterator[subprocess.Popen[str]]:
    """A sandbox on free ports, which ends with the block, by Ctrl-C if nothing else."""
    with start("sandbox", "--port", "0", *arguments, **environment) as process:
        try:
            yield process
            if process.poll() is None:
                stop(process)
        finally:
            process.kill()


@contextmanager
def begun(*arguments: str | Path, **environment: str) -> Iterator[Started]:
    with running("--json", *arguments, **environment) as process:
        assert process.stdout is not None
        yield Started(process, json.loads(process.stdout.readline()))


@pytest.fixture(scope="module")
def only() -> Iterator[Started]:
    with begun() as started:
        yield started


@pytest.fixture
def started(only: Started) -> Started:
    """The one process that most tests share, as it was when it began."""
    only.ask("POST", "/reset")
    return only


# --- what it says -----------------------------------------------------------------------------------------------------


def test_the_first_line_is_json_with_all_that_a_caller_has_to_know(started: Started) -> None:
    known = started.known
    assert set(known) == {"endpoint", "management", "ca_file", "login_name", "login_password"}
    assert re.fullmatch(r"https://127\.0\.0\.1:\d+/products/download/CollectSSL", known["endpoint"])
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+", known["management"])
    assert Path(known["ca_file"]).read_text().startswith("-----BEGIN CERTIFICATE-----")


def test_the_defaults_are_those_that_help_tells(started: Started) -> None:
    settings = started.ask("GET", "/settings")
    assert (settings["latency"], settings["linger"], settings["strict"]) == (0.2, 0, True)


def test_the_options_set_the_sandbox() -> None:
    with begun("--latency", "0", "--linger", "3", "--no-strict", "--seed", "seven", "--host", "127.0.0.2") as started:
        settings = started.ask("GET", "/settings")
    told = [settings[name] for name in ("latency", "linger", "strict", "seed")]
    assert told == [0, 3, False, "seven"]
    assert "//127.0.0.2:" in started.known["endpoint"]


@pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl here")
def test_what_it_says_to_type_next_collects_a_certificate(tmp_path: Path) -> None:
    command = tmp_path / "collectssl"
    command.write_text(f'#!/bin/sh\nexec {shlex.join(START)} "$@"\n')
    command.chmod(0o700)
    with running("--latency", "0") as process:
        assert process.stdout is not None
        said = "".join(iter(process.stdout.readline, "Ctrl-C stops the sandbox.\n"))
        rows, script = said.split("\nNext, in another terminal:\n")
        told = subprocess.run(
            ["/bin/sh", "-e"],
            input=script.replace('"issue_after": 20', '"issue_after": 0').replace(
                " tls ", f" {shlex.quote(str(tmp_path))} "
            ),
            env={**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"},
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE,
        )
        page = httpx.get(re.findall(r"^page +(\S+)$", rows, re.MULTILINE)[0], trust_env=False)
    assert told.returncode == 0, told.stderr
    assert "shop.example.com: 2 attached" in told.stderr
    assert (tmp_path / "fullchain.pem").is_file()
    assert page.headers["content-type"] == "text/html; charset=utf-8"


def test_its_help_loads_no_sandbox() -> None:
    program = (
        "import sys, atexit; from collectssl_async.cli import main\n"
        "atexit.register(lambda: print('collectssl_async.sandbox' in sys.modules, file=sys.stderr))\n"
        "main(['sandbox', '--help'])"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=PATIENCE
    )
    assert ended.stderr == "False\n"


# --- what it is for ---------------------------------------------------------------------------------------------------


def answers_to_httpx(started: Started, order: str, directory: Path) -> list[str]:
    del directory
    trusting = ssl.create_default_context(cafile=started.known["ca_file"])

    def call(http: httpx.Client) -> str:
        return http.post(started.known["endpoint"], data=started.form(order)).text

    with httpx.Client(verify=trusting, trust_env=False) as http, ThreadPoolExecutor(CALLERS) as callers:
        return list(callers.map(call, [http] * CALLERS))


def answers_to_curl(started: Started, order: str, directory: Path) -> list[str]:
    files = [directory / str(number) for number in range(CALLERS)]
    fields = [part for name, value in started.form(order).items() for part in ("--data", f"{name}={value}")]
    targets = [part for file in files for part in ("--output", file, started.known["endpoint"])]
    together = ("--parallel", "--parallel-immediate", "--parallel-max", str(CALLERS))
    command = ["curl", "--silent", "--noproxy", "*", "--cacert", started.known["ca_file"], *together, *fields, *targets]
    subprocess.run(command, check=True, timeout=PATIENCE)
    return [file.read_text() for file in files]


@pytest.mark.parametrize("answers_to", [answers_to_httpx, answers_to_curl])
def test_of_twelve_calls_at_once_one_is_answered_and_the_others_are_refused_at_once(
    started: Started, tmp_path: Path, answers_to: Callable[[Started, str, Path], list[str]]
) -> None:
    if answers_to is answers_to_curl and shutil.which("curl") is None:
        pytest.skip("there is no curl here")
    order = started.ask("POST", "/orders", {"fqdn": "a.example.com", "issue_after": None})
    answers = answers_to(started, order["order_number"], tmp_path)
    codes = sorted(int(re.findall(r"(?:^|errorCode=)(-?\d+)", answer)[0]) for answer in answers)
    assert codes == [-14] * (CALLERS - 1) + [0]
    first, *others = started.ask("GET", "/calls")
    assert (first["answer"], first["overlapped"], len(others)) == (0, False, CALLERS - 1)
    assert first["end"] - first["start"] >= 0.2
    for call in others:
        assert (call["answer"], call["overlapped"], call["during"]) == (-14, True, first["number"])
        assert first["start"] <= call["start"] <= call["end"] < first["end"]


def test_an_order_that_is_placed_over_http_is_collected_with_what_the_first_line_said(
    started: Started, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    wanted = {"fqdn": "a.example.com", "names": ["b.example.com"], "issue_after": None, "issue_after_polls": 1}
    order = started.ask("POST", "/orders", wanted)
    for name in ("endpoint", "login_name", "login_password"):
        monkeypatch.setenv(f"COLLECTSSL_{name.upper()}", started.known[name])
    ended = run(
        capsys,
        *("collect", order["order_number"], "--output", tmp_path, "--wait", "--interval", "0.001", "--json"),
        *("--ca-file", started.known["ca_file"]),
    )
    assert ended.code == 0
    assert json.loads(ended.out)["dns_names"] == ["a.example.com", "b.example.com"]
    assert [call["answer"] for call in started.ask("GET", "/calls")] == [0, 1, 2]


@pytest.mark.parametrize("in_a_file", [False, True])
def test_notifications_are_sent_with_the_login_that_was_set(tmp_path: Path, in_a_file: bool) -> None:
    (tmp_path / "password").write_text("pässword\n")
    where = {"_FILE": str(tmp_path / "password")} if in_a_file else {"": "pässword"}
    environment = {f"COLLECTSSL_PUSH_PASSWORD{suffix}": value for suffix, value in where.items()}
    options = ("--push-username", "shop", "--push-certificates")
    with Partner() as partner, begun("--push-url", partner.url, *options, **environment) as started:
        started.ask("POST", "/orders", {"fqdn": "a.example.com"})
        received = [partner.take() for _ in range(2)]
    assert {each.authorization for each in received} == {f"Basic {b64encode('shop:pässword'.encode()).decode()}"}


# --- how it ends ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_it_and_leaves_no_file(tmp_path: Path, number: int) -> None:
    with begun(TMPDIR=str(tmp_path)) as started:
        assert Path(started.known["ca_file"]).parent == tmp_path
        with httpx.Client(base_url=started.known["management"], trust_env=False) as staying:
            assert staying.get("/calls").is_success
            ended = stop(started.process, number)
    assert (ended.code, ended.out, ended.err) == (130, "", "collectssl: interrupted\n")
    assert list(tmp_path.iterdir()) == []


def test_a_reader_that_has_gone_stops_it_and_leaves_no_file(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    ended = subprocess.run(
        [*START, "sandbox", "--port", "0", "--json"],
        env={**os.environ, "TMPDIR": str(tmp_path)},
        stdout=writing,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
        timeout=PATIENCE,
    )
    os.close(writing)
    assert (ended.returncode, ended.stderr) == (1, "")
    assert list(tmp_path.iterdir()) == []


# --- what it refuses --------------------------------------------------------------------------------------------------


@pytest.fixture
def never_serving(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """What is to be refused must not run for ever instead; whatever happens, no file is left."""

    async def refuse() -> NoReturn:
        raise AssertionError("it serves")

    monkeypatch.setattr(anyio, "sleep_forever", refuse)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    yield
    assert list(tmp_path.iterdir()) == []


def assert_refused(ended: Ended, code: int, *parts: str) -> None:
    assert (ended.code, ended.out, ended.err.count("\n")) == (code, "", 1)
    for part in parts:
        assert part in ended.err


@pytest.mark.usefixtures("never_serving")
@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (("--port", "70000"), "'--port': "),
        (("--management-port", "https"), "'--management-port': "),
        (("--latency", "nan"), "latency is in seconds, 0 or more, not nan"),
        (("--linger", "inf"), "linger is in seconds, 0 or more, not inf"),
        (("--seed", "a\udcff"), "'--seed': must be UTF-8 text"),
        (("--push-username", "a\udcff"), "'--push-username': must be UTF-8 text"),
        (("--push-url", "ftp://a.example"), "--push-url must be an http or https URL"),
        (("--push-url", "https://a:b@c.example"), "a login goes into --push-username and COLLECTSSL_PUSH_PASSWORD"),
        (("--push-url", "https://a.example", "--push-username", "a:b"), "--push-username may not hold a colon"),
        (("--push-certificates",), "--push-username and --push-certificates go with --push-url"),
        (("--push-password", "secret"), "No such option: --push-password"),
    ],
)
def test_a_wrong_option_is_told_in_one_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], part: str
) -> None:
    monkeypatch.setenv("COLLECTSSL_PUSH_PASSWORD", "Pu5h-Passw0rd")
    ended = run(capsys, "sandbox", "--port", "0", *arguments)
    assert_refused(ended, 2, part, ": see collectssl sandbox --help")
    assert "Pu5h-Passw0rd" not in ended.err


@pytest.mark.usefixtures("never_serving")
@pytest.mark.parametrize("option", ["--port", "--management-port"])
def test_a_port_in_use_is_told_with_its_number_and_the_way_out(capsys: pytest.CaptureFixture[str], option: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        ended = run(capsys, "sandbox", "--port", "0", option, port)
    assert_refused(ended, 1, "in use", port, "choose another one with --port or --management-port, 0 takes any free")


@pytest.mark.usefixtures("never_serving")
def test_a_refusal_as_json_goes_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        ended = run(capsys, "sandbox", "--json", "--port", str(other.getsockname()[1]))
    assert ended.out == ""
    assert json.loads(ended.err)["exit_code"] == 1


@pytest.mark.usefixtures("never_serving")
@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.1", "::"])
def test_other_machines_are_let_in_only_by_the_option_that_says_so(
    capsys: pytest.CaptureFixture[str], host: str
) -> None:
    ended = run(capsys, "sandbox", "--port", "0", "--host", host)
    assert_refused(ended, 2, "listens on loopback only", "say so: --expose-to-network\n")


@pytest.mark.usefixtures("never_serving")
def test_with_that_option_only_the_machine_refuses_an_address(capsys: pytest.CaptureFixture[str]) -> None:
    ended = run(capsys, "sandbox", "--port", "0", "--host", "192.0.2.1", "--expose-to-network")
    assert_refused(ended, 1, "192.0.2.1")
    assert "--port" not in ended.err


@pytest.mark.usefixtures("never_serving")
@pytest.mark.parametrize("library", ["starlette.applications", "uvicorn"])
def test_without_the_extra_one_line_names_it(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, library: str
) -> None:
    monkeypatch.delitem(sys.modules, "collectssl_async.sandbox.connections", raising=False)
    monkeypatch.setitem(sys.modules, library, None)
    ended = run(capsys, "sandbox", "--port", "0")
    assert_refused(ended, 2, "pip install 'collectssl-async[sandbox]'")


@pytest.mark.usefixtures("never_serving")
@pytest.mark.parametrize(
    ("environment", "part"),
    [
        ({}, "set either COLLECTSSL_PUSH_PASSWORD, or COLLECTSSL_PUSH_PASSWORD_FILE"),
        ({"": "a", "_FILE": os.devnull}, "set either COLLECTSSL_PUSH_PASSWORD, or COLLECTSSL_PUSH_PASSWORD_FILE"),
        ({"": "a\udcff"}, "COLLECTSSL_PUSH_PASSWORD is not UTF-8 text"),
        ({"_FILE": sys.executable}, "COLLECTSSL_PUSH_PASSWORD_FILE is not UTF-8 text"),
        ({"_FILE": "/missing"}, "COLLECTSSL_PUSH_PASSWORD_FILE cannot be read, '/missing': No such file"),
    ],
)
def test_a_push_password_that_cannot_be_used_counts_as_credentials(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], part: str
) -> None:
    for suffix, value in environment.items():
        monkeypatch.setenv(f"COLLECTSSL_PUSH_PASSWORD{suffix}", value)
    ended = run(capsys, "sandbox", "--port", "0", "--push-url", "https://a.example", "--push-username", "shop")
    assert_refused(ended, 5, part)


@pytest.mark.parametrize(
    ("arguments", "ports"),
    [
        ((), (14443, 14444)),
        (("--port", "8000"), (8000, 8001)),
        (("--port", "0"), (0, 0)),
        (("--port", "65535"), (65535, 0)),
        (("--port", "0", "--management-port", "8001"), (0, 8001)),
    ],
)
def test_the_management_port_is_the_next_one_unless_told(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...],
    ports: tuple[int, int],
) -> None:
    asked = []

    def refuse(sandbox: Sandbox, port: int, *, management_port: int, **others: object) -> NoReturn:
        del sandbox, others
        asked.append((port, management_port))
        raise ConfigurationError("not now")

    monkeypatch.setattr(Sandbox, "serve", refuse)
    run(capsys, "sandbox", *arguments)
    assert asked == [ports]
