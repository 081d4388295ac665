"""The README: its code runs, its commands are valid, its tables are the code's, its facts are measured."""

from __future__ import annotations

import ast
import asyncio
import getpass
import importlib.util
import inspect
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

import httpx
import pytest

import collectssl_async
from collectssl_async import (
    APIError,
    CollectSSLClient,
    CollectSSLError,
    CollectSSLRequest,
    ConfigurationError,
    PollPolicy,
    PollState,
    StatusCode,
    errors,
)
from collectssl_async.cli import main
from collectssl_async.cli.exits import MEANINGS
from collectssl_async.parameters import REQUEST_PARAMETERS
from collectssl_async.sandbox import Sandbox
from collectssl_async.sandbox.authority import private_pem
from collectssl_async.sandbox.variations import SWITCHES

from .cli.harness import start
from .clocks import VirtualClockLoop

if TYPE_CHECKING:
    from collections.abc import Iterator

    from collectssl_async.sandbox import SandboxServer

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "README.md").read_text()

SET_UP = (
    "python3 -m venv .venv && .venv/bin/pip install --quiet '.[cli,sandbox]' && "
    ".venv/bin/collectssl demo --output demo",
    "python3 -m venv .venv && .venv/bin/pip install --quiet nox && .venv/bin/nox",
)
"""The commands that a fresh clone is set up with; `.ci/run` takes the second one from the README."""

RESTART = "Go on after a restart"
"""The section whose code waits for an hour: it runs on a clock that jumps."""


_PARTS = re.compile(r"^## (?P<heading>[^\n]*)$|^```(?P<language>\w+)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)


class Block(NamedTuple):
    """A fenced block: under which heading and at which line it stands."""

    section: str
    line: int
    language: str
    text: str


def blocks() -> list[Block]:
    found, section = [], ""
    for part in _PARTS.finditer(TEXT):
        if part["heading"]:
            section = part["heading"]
        else:
            found.append(Block(section, TEXT.count("\n", 0, part.start()) + 1, part["language"], part["text"]))
    return found


def named(block: Block) -> str:
    return f"line {block.line}"


EXAMPLES = [path.read_text() for path in (ROOT / "examples").glob("*.py")]
PYTHON = [block for block in blocks() if block.language == "python"]
RUN = [block for block in PYTHON if not any(block.text in example for example in EXAMPLES)]
COMMANDS = [
    shlex.split(line.replace(".venv/bin/", ""))
    for block in blocks()
    if block.language == "sh"
    for line in re.split(r"\n|&& ", block.text)
    if re.match(r"(\.venv/bin/)?collectssl ", line)
]


def table(heading: str) -> list[list[str]]:
    """The rows of the table whose first column has that heading, cells without code marks."""
    (rows,) = re.findall(rf"^\| {re.escape(heading)} \|.*\n\|[ -|]+\n((?:\|.*\n)+)", TEXT, re.MULTILINE)
    return [[cell.strip().replace("`", "") for cell in row.split("|")[1:-1]] for row in rows.splitlines()]


# --- code -------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def running() -> Iterator[tuple[Sandbox, SandboxServer]]:
    sandbox = Sandbox(seed=1)
    with sandbox.serve() as server:
        yield sandbox, server


@pytest.fixture
def sandbox(
    running: tuple[Sandbox, SandboxServer], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[Sandbox]:
    """A sandbox that stands for the live service; the working directory is empty."""
    sandbox, server = running
    sandbox.reset(seed=1)
    password = sandbox.credentials.login_password.get_secret_value()
    monkeypatch.setenv("COLLECTSSL_ENDPOINT", server.endpoint)
    monkeypatch.setenv("COLLECTSSL_LOGIN_NAME", sandbox.credentials.login_name)
    monkeypatch.setenv("COLLECTSSL_LOGIN_PASSWORD", password)
    monkeypatch.setenv("SSL_CERT_FILE", str(server.ca_file))
    monkeypatch.setattr(getpass, "getpass", lambda: password)
    for make in (CollectSSLClient.from_env, CollectSSLClient.__init__):
        assert make.__kwdefaults__ is not None
        monkeypatch.setitem(make.__kwdefaults__, "endpoint", server.endpoint)
    monkeypatch.setenv("COLLECTSSL_GUARD", f"file:{tmp_path}/guard")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bin").mkdir()
    server_of_theirs = tmp_path / "bin" / "nginx"
    server_of_theirs.write_text("#!/bin/sh\ntouch reloaded\n")
    server_of_theirs.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=os.pathsep)
    yield sandbox
    assert sandbox.overlaps == 0


@pytest.fixture
def orders(sandbox: Sandbox) -> dict[str, str]:
    """Issued orders for the numbers that the README uses; `shop.key` is the first one's key."""
    shop = sandbox.place_order("shop.example.com", names=["www.shop.example.com"])
    other = sandbox.place_order("blog.example.com")
    assert shop.private_key is not None
    Path("shop.key").write_bytes(private_pem(shop.private_key))
    Path("roots.pem").write_text(sandbox.root_pem)
    numbers = {
        "10234567": shop.order_number,
        "10234568": other.order_number,
        "20234567": str(shop.certificate_id),
    }
    (listed,) = [block.text for block in blocks() if block.language == "csv"]
    Path("orders.csv").write_text(replaced(listed, numbers))
    return numbers


def replaced(text: str, numbers: dict[str, str]) -> str:
    for told, real in numbers.items():
        text = text.replace(told, real)
    return text


async def run(code: str, line: int, **names: Any) -> dict[str, Any]:
    """Run a block that may await at its top, and return its names; tracebacks show the README's lines."""
    compiled = compile("\n" * line + code, "README.md", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    outcome = eval(compiled, names)
    if inspect.isawaitable(outcome):
        await outcome
    return names


@pytest.mark.parametrize("block", [each for each in RUN if each.section != RESTART], ids=named)
def test_the_code_runs(block: Block, orders: dict[str, str]) -> None:
    code = replaced(block.text, orders)
    if "asyncio.run(" in code:
        exec(compile("\n" * block.line + code, "README.md", "exec"), {})
        return

    async def inside_a_program() -> None:
        async with CollectSSLClient.from_env() as client:
            await run(code, block.line, client=client, order=orders["10234567"])

    asyncio.run(inside_a_program())


def test_the_code_for_a_restart_keeps_a_state_and_goes_on_from_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (block,) = [each for each in RUN if each.section == RESTART]
    monkeypatch.chdir(tmp_path)
    sandbox = Sandbox(seed=1)
    placed = sandbox.place_order("shop.example.com", issue_after=None)

    async def lives() -> None:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app=sandbox.app)) as http:
            client = CollectSSLClient(sandbox.credentials, http_client=http)
            first = await run(block.text, block.line, client=client, order=placed.order_number)
            asked = len(sandbox.calls)
            state = PollState.model_validate_json(first["file"].read_text())
            assert (state.polls, state.last_status) == (asked, StatusCode.PROCESSING)
            placed.issue()
            second = await run(block.text, block.line, client=client, order=placed.order_number)
            assert second["bundle"].dns_names == ("shop.example.com",)
            assert len(sandbox.calls) == asked + 2

    with asyncio.Runner(loop_factory=VirtualClockLoop) as runner:
        runner.run(lives())


def test_the_first_code_is_ten_lines_that_leave_the_files(orders: dict[str, str]) -> None:
    first = RUN[0]
    assert len([line for line in first.text.splitlines() if line]) <= 10
    exec(replaced(first.text, orders), {})
    files = sorted(path.name for path in Path("certificates/shop.example.com").iterdir())
    assert files == ["cert.pem", "chain.pem", "fullchain.pem"]


def test_code_that_is_not_run_here_stands_in_an_example() -> None:
    assert [block.section for block in PYTHON if block not in RUN] == ["Use it in a web app"]


def as_program() -> str:
    """All the code in one file, each block in a function of its own that has what the text says it has."""
    parts = ["from collectssl_async import CollectSSLClient\n"]
    for block in RUN:
        body = textwrap.indent(block.text, "    ")
        parts.append(f"async def line_{block.line}(client: CollectSSLClient, order: str) -> None:\n{body}")
    return "\n\n".join(parts)


@pytest.mark.parametrize(
    "checker", [("mypy", "--strict"), ("pyright", "--pythonpath", sys.executable)], ids=lambda command: command[0]
)
def test_type_checkers_accept_the_code(checker: tuple[str, ...], tmp_path: Path) -> None:
    if importlib.util.find_spec(checker[0]) is None:
        pytest.skip(f"{checker[0]} is not installed here: the session `types` has it")
    program = tmp_path / "readme.py"
    program.write_text(as_program())
    command = [sys.executable, "-m", *checker, str(program)]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert ended.returncode == 0, ended.stdout


# --- commands ---------------------------------------------------------------------------------------------------------


def test_the_first_two_commands_do_all_the_set_up() -> None:
    first, second = [block.text for block in blocks() if block.language == "sh"][:2]
    assert (first, second) == tuple(f"{command}\n" for command in SET_UP)


@pytest.mark.parametrize("command", [each for each in COMMANDS if each[1] not in ("demo", "sandbox")], ids=" ".join)
def test_the_commands_run(command: list[str], orders: dict[str, str]) -> None:
    if command[1] == "inspect":
        with pytest.raises(SystemExit):
            main(["collect", orders["10234567"], "--output", command[2], "--private-key", "shop.key"])
    with pytest.raises(SystemExit) as ended:
        main([replaced(argument, orders) for argument in command[1:]])
    assert ended.value.code == 0
    if "--deploy-hook" in command:
        assert Path("reloaded").is_file()


def test_the_demo_writes_what_the_readme_shows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    (command,) = {tuple(each) for each in COMMANDS if each[1] == "demo"}
    with pytest.raises(SystemExit):
        main(command[1:])
    (shown,) = [block.text for block in blocks() if block.language == "text"]
    assert set(varying_removed(shown)) == set(varying_removed(capsys.readouterr().out))


def varying_removed(text: str) -> list[str]:
    """Lines without what differs from run to run: ports, times, how far the order was at each poll."""
    return [re.sub(r"\b[A-Z][a-z]{2} +\d+|\d+", "0", line) for line in text.splitlines()]


@pytest.fixture
def started() -> Iterator[dict[str, str]]:
    """What `collectssl sandbox` says first, as long as it runs."""
    with start("sandbox", "--port", "0", "--json") as process:
        assert process.stdout is not None
        try:
            yield json.loads(process.stdout.readline())
        finally:
            process.terminate()


@pytest.mark.parametrize("command", [each for each in COMMANDS if each[1] == "sandbox"], ids=" ".join)
def test_the_commands_that_start_a_sandbox_would_serve(
    command: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(*arguments: object, **named: object) -> NoReturn:
        raise ConfigurationError("it would serve")

    monkeypatch.setattr(Sandbox, "serve", refuse)
    with pytest.raises(SystemExit):
        main(command[1:])
    assert "it would serve" in capsys.readouterr().err


def test_the_sandbox_answers_what_is_sent_to_it(started: dict[str, str]) -> None:
    (told,) = [block.text for block in blocks() if block.text.startswith("curl ")]
    if shutil.which("curl") is None:
        pytest.skip("there is no curl here")
    script = told.replace("http://127.0.0.1:14444", started["management"]).replace("curl ", "curl -sS --fail ")
    script = script.replace("https://127.0.0.1:14443/products/download/CollectSSL", started["endpoint"])
    known = {name.upper(): value for name, value in started.items()}
    ended = subprocess.run(
        ["/bin/sh", "-e"], input=script, env={**os.environ, **known}, capture_output=True, text=True, check=False
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    assert re.search(r"\]1\n", ended.stdout), ended.stdout


def test_openssl_accepts_what_the_demo_wrote(orders: dict[str, str], sandbox: Sandbox) -> None:
    (told,) = [block.text for block in blocks() if block.text.startswith("openssl verify")]
    if shutil.which("openssl") is None:
        pytest.skip("there is no openssl here")
    with pytest.raises(SystemExit):
        main(["collect", orders["10234567"], "--output", "demo"])
    Path("demo/sandbox-root.pem").write_text(sandbox.root_pem)
    ended = subprocess.run(shlex.split(told), capture_output=True, text=True, check=False)
    assert ended.stdout == "demo/cert.pem: OK\n"


# --- tables and facts -------------------------------------------------------------------------------------------------


def error_classes(parent: type[CollectSSLError] = CollectSSLError) -> Iterator[type[CollectSSLError]]:
    for each in parent.__subclasses__():
        if each.__module__ == errors.__name__:
            yield each
            yield from error_classes(each)


def an_error(kind: type[CollectSSLError], code: int | None) -> CollectSSLError:
    if code is not None:
        return APIError.from_code(code)
    if issubclass(kind, APIError):
        return kind(-9999, "not listed")
    made = kind.__new__(kind)
    made.args = ("made for this test",)
    return made


def test_the_table_of_errors_is_the_codes() -> None:
    rows = [(name, parent, code, in_wait) for name, parent, code, _, in_wait in table("class")]
    expected = set()
    for kind in error_classes():
        codes = [code for code, known in errors.API_ERRORS.items() if known.error is kind]
        for code in [None, *codes] if kind is APIError or not codes else codes:
            waits = PollPolicy().waits_out(an_error(kind, code))
            shown = "other" if kind is APIError and code is None else "" if code is None else str(code)
            assert kind.__base__ is not None
            expected.add((kind.__name__, kind.__base__.__name__, shown, "tried again" if waits else "ends it"))
    assert set(rows) == expected
    assert len(rows) == len(expected)


def test_the_table_of_exit_codes_is_the_commands() -> None:
    assert table("exit code") == [[str(int(code)), meaning] for code, meaning in MEANINGS.items()]


def test_the_table_of_parameters_is_the_wires() -> None:
    rows = table("field")
    assert [(wire, field) for field, wire, _ in rows] == list(REQUEST_PARAMETERS.items())
    for field, _, meaning in rows:
        enumeration = re.match(r"(\w+): ", meaning)
        if enumeration and enumeration[1] != "bool":
            members = getattr(collectssl_async, enumeration[1]).__members__
            assert all(member in meaning for member in members), field
        assert field in CollectSSLRequest.model_fields


def test_the_table_of_switches_is_the_sandboxs() -> None:
    assert table("switch") == [
        [name, "on" if switch.default else "off", switch.reason.replace("`", "")] for name, switch in SWITCHES.items()
    ]


def test_the_table_of_the_policy_is_the_policys() -> None:
    rows = {name: default for name, default, _ in table("policy")}
    defaults = {name: field.default for name, field in PollPolicy.model_fields.items()}
    assert rows == {name: "none" if default == frozenset() else f"{default:g}" for name, default in defaults.items()}


def test_the_default_asks_when_the_readme_says() -> None:
    told = re.search(r"at once and after ([\d, ]+) and (\d+) minutes,\n.* (\w+) times .* after (\d+) minutes", TEXT)
    assert told is not None
    policy, minutes, now = PollPolicy(jitter=0), [], 0.0
    for polls in range(1, 10):
        minutes.append(now / 60)
        now += policy.delay_after_answer(polls, 0.0)
    assert [float(each) for each in (0, *told[1].split(", "), told[2], told[4])] == minutes
    assert (told[3], len(minutes) - 1) == ("eight", 8)


def test_no_section_is_without_a_block_or_a_list() -> None:
    sections = re.split(r"^## ", TEXT, flags=re.MULTILINE)[1:]
    assert all(re.search(r"^(```|- |\| )", section, re.MULTILINE) for section in sections)


def test_lines_are_not_too_long() -> None:
    prose = re.sub(r"^```.*?^```$|^\|.*$", "", TEXT, flags=re.MULTILINE | re.DOTALL)
    assert max(map(len, prose.splitlines())) <= 130
