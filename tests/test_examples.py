"""The examples: run as the README runs them, and driven against the sandbox over TLS as their users would."""

from __future__ import annotations

import asyncio
import importlib
import json
import os
import re
import shlex
import socket
import subprocess
import sys
from contextlib import asynccontextmanager, closing, contextmanager
from functools import partialmethod
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import uvicorn

from collectssl_async import CollectSSLClient, PollPolicy, PollState, StatusCode, cli
from collectssl_async.cli.exits import Exit
from collectssl_async.sandbox import Sandbox

from .clocks import VirtualClockLoop

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Coroutine, Iterator
    from types import ModuleType

    from collectssl_async.sandbox import SandboxServer

ROOT = Path(__file__).parents[1]
EXAMPLES = sorted(path.name for path in (ROOT / "examples").glob("*.py"))


def run_as_told(example: str) -> list[str]:
    """Run an example by the README's command, in a process of its own without credentials; return what it wrote."""
    told = re.search(
        rf"^(?:.* && )?\.venv/bin/python (examples/{example})$", (ROOT / "README.md").read_text(), re.MULTILINE
    )
    assert told is not None, f"the README does not say how to run {example}"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("COLLECTSSL_")}
    environment |= {"PYTHONPATH": str(ROOT), "HTTPS_PROXY": "http://127.0.0.1:9", "PYTHONWARNINGS": "error"}
    command = [sys.executable, *shlex.split(told[1])]
    ended = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout.splitlines()


def test_the_script_shows_how_files_come() -> None:
    (line,) = run_as_told("automation.py")
    assert re.fullmatch(r"wrote: \S+/fullchain.pem, valid until \d{4}-\d\d-\d\d", line)


@pytest.mark.parametrize("example", ["background_loop.py", "own_database.py", "watch_service.py"])
def test_what_is_started_again_shows_that_no_poll_is_lost_or_repeated(example: str) -> None:
    lines = run_as_told(example)
    polls: dict[str, list[int]] = {}
    for line in lines:
        if found := re.fullmatch(r"order (\d+): status \d after (\d+) polls", line):
            polls.setdefault(found[1], []).append(int(found[2]))
    assert lines.count("--- the service starts") == 2
    assert sum("collected" in line for line in lines) == len(polls) == 3
    assert all(each == sorted(set(each)) for each in polls.values())
    untold = sum(each[-1] - len(each) for each in polls.values())
    # A watcher keeps what a poll brought before it tells of it: stopped between the two, one line is missing.
    assert untold <= (example == "watch_service.py")


def test_the_web_app_shows_its_answers() -> None:
    lines = run_as_told("fastapi_app.py")
    assert [re.findall(r"^(\w+) .* -> (\d+) ", line)[0] for line in lines] == [
        ("POST", "200"),
        ("GET", "200"),
        ("POST", "202"),
        ("GET", "200"),
        ("POST", "404"),
        ("GET", "404"),
    ]


def test_the_web_app_that_is_notified_shows_its_answers() -> None:
    lines = run_as_told("watcher_in_fastapi.py")
    assert [line.rpartition("-> ")[2][:3] for line in lines] == ["202", "404", "the", "200"]


def test_every_example_is_tried_here() -> None:
    assert EXAMPLES == [
        "automation.py",
        "background_loop.py",
        "fastapi_app.py",
        "own_database.py",
        "watch_service.py",
        "watcher_in_fastapi.py",
    ]


# --- with an account's credentials in the environment -----------------------------------------------------------------


@pytest.fixture(scope="module")
def running() -> Iterator[tuple[Sandbox, SandboxServer]]:
    sandbox = Sandbox(seed=1)
    with sandbox.serve() as server:
        yield sandbox, server


@pytest.fixture
def sandbox(running: tuple[Sandbox, SandboxServer], monkeypatch: pytest.MonkeyPatch) -> Sandbox:
    """A sandbox that the environment names, as it would the live service."""
    sandbox, server = running
    sandbox.reset(seed=1)
    monkeypatch.setenv("COLLECTSSL_ENDPOINT", server.endpoint)
    monkeypatch.setenv("COLLECTSSL_LOGIN_NAME", sandbox.credentials.login_name)
    monkeypatch.setenv("COLLECTSSL_LOGIN_PASSWORD", sandbox.credentials.login_password.get_secret_value())
    monkeypatch.setenv("SSL_CERT_FILE", str(server.ca_file))
    return sandbox


@pytest.fixture
def example(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> ModuleType:
    """The module that the test's class names."""
    monkeypatch.syspath_prepend(ROOT / "examples")
    return importlib.import_module(request.cls.EXAMPLE)


class TestAutomation:
    EXAMPLE = "automation"

    def test_writes_the_files(self, example: ModuleType, sandbox: Sandbox, tmp_path: Path) -> None:
        assert example.main([sandbox.place_order("shop.example.com").order_number, str(tmp_path)]) == 0
        assert sorted(path.name for path in tmp_path.iterdir()) == ["cert.pem", "chain.pem", "fullchain.pem"]

    def test_says_when_nothing_has_changed(
        self, example: ModuleType, sandbox: Sandbox, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        order = sandbox.place_order("shop.example.com").order_number
        example.main([order, str(tmp_path)])
        example.main([order, str(tmp_path)])
        first, second = capsys.readouterr().out.splitlines()
        assert (first.split(":")[0], second.split(":")[0]) == ("wrote", "unchanged")

    @pytest.mark.parametrize(("code", "exit_code"), [(-4, 4), (-16, 5), (-20, 4), (-22, 4)])
    def test_exits_as_the_api_refuses(
        self, example: ModuleType, sandbox: Sandbox, tmp_path: Path, code: int, exit_code: int
    ) -> None:
        sandbox.fail_next(code)
        assert example.main([sandbox.place_order("shop.example.com").order_number, str(tmp_path)]) == exit_code

    def test_exits_with_3_when_the_certificate_does_not_come_in_time(
        self, example: ModuleType, sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(example, "LONGEST_WAIT", 0.01)
        order = sandbox.place_order("shop.example.com", issue_after=None)
        assert example.main([order.order_number, str(tmp_path)]) == 3

    @pytest.mark.parametrize("arguments", [["10234567"], ["", "directory"], ["1\n", "directory"]])
    @pytest.mark.usefixtures("sandbox")
    def test_exits_with_2_for_wrong_usage(self, example: ModuleType, arguments: list[str]) -> None:
        assert example.main(arguments) == 2

    def test_exits_with_2_without_credentials(self, example: ModuleType, tmp_path: Path) -> None:
        assert example.main(["10234567", str(tmp_path)]) == 2

    def test_exits_with_1_when_the_files_cannot_be_written(
        self, example: ModuleType, sandbox: Sandbox, tmp_path: Path
    ) -> None:
        (tmp_path / "file").touch()
        assert example.main([sandbox.place_order("shop.example.com").order_number, str(tmp_path / "file")]) == 1


# --- on a clock that jumps, so that days pass at once -----------------------------------------------------------------


def on_virtual_time(work: Coroutine[Any, Any, None]) -> None:
    with asyncio.Runner(loop_factory=VirtualClockLoop) as runner:
        runner.run(work)


class TestBackgroundLoop:
    EXAMPLE = "background_loop"

    @asynccontextmanager
    async def waits(self, example: ModuleType, sandbox: Sandbox, folder: Path) -> AsyncIterator[Any]:
        """The waits of one life of a service."""
        transport = httpx.ASGITransport(app=sandbox.app)
        async with httpx.AsyncClient(transport=transport) as http:
            client = CollectSSLClient(sandbox.credentials, http_client=http)
            yield example.Waits(client, folder, PollPolicy(jitter=0))

    def test_keeps_the_state_after_every_poll(self, example: ModuleType, tmp_path: Path) -> None:
        async def work() -> None:
            sandbox = Sandbox(seed=1)
            order = sandbox.place_order("shop.example.com", issue_after=None).order_number
            async with self.waits(example, sandbox, tmp_path) as waits:
                with pytest.raises(TimeoutError):
                    await asyncio.wait_for(waits.run([order]), 200)
            state = PollState.model_validate_json((tmp_path / f"{order}.json").read_bytes())
            assert (state.polls, state.last_status) == (3, StatusCode.PROCESSING)

        on_virtual_time(work())
        assert [path.suffix for path in tmp_path.iterdir()] == [".json"]

    def test_goes_on_where_the_last_life_was(self, example: ModuleType, tmp_path: Path) -> None:
        async def work() -> None:
            sandbox = Sandbox(seed=1)
            order = sandbox.place_order("shop.example.com", issue_after_polls=4, issue_after=None).order_number
            async with self.waits(example, sandbox, tmp_path) as waits:
                with pytest.raises(TimeoutError):
                    await asyncio.wait_for(waits.run([order]), 200)
            async with self.waits(example, sandbox, tmp_path) as waits:
                with pytest.raises(TimeoutError):
                    await asyncio.wait_for(waits.run([order]), 200)  # the next poll is due after 240 s
                assert len(sandbox.calls) == 3
                await waits.run([order])
            assert [call.answer for call in sandbox.calls] == [0, 0, 0, 0, 1, 2]
            assert (tmp_path / order / "fullchain.pem").is_file()

        on_virtual_time(work())

    def test_an_order_that_was_collected_is_not_asked_for_again(self, example: ModuleType, tmp_path: Path) -> None:
        async def work() -> None:
            sandbox = Sandbox(seed=1)
            order = sandbox.place_order("shop.example.com").order_number
            for _ in range(2):
                async with self.waits(example, sandbox, tmp_path) as waits:
                    await waits.run([order])
            assert [call.answer for call in sandbox.calls] == [1, 2]

        on_virtual_time(work())

    @pytest.mark.parametrize("trouble", ["refused", "damaged state", "no place for the files"])
    def test_one_order_in_trouble_does_not_end_the_others(
        self, example: ModuleType, tmp_path: Path, trouble: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        async def work() -> None:
            sandbox = Sandbox(seed=1)
            bad = sandbox.place_order("shop.example.com")
            good = sandbox.place_order("www.example.com", issue_after_polls=2)
            match trouble:
                case "refused":
                    bad.reject()
                case "damaged state":
                    (tmp_path / f"{bad.order_number}.json").write_text(json.dumps({"version": 1}))
                case _:
                    (tmp_path / f"{bad.order_number}.new").mkdir()
            async with self.waits(example, sandbox, tmp_path) as waits:
                await waits.run([bad.order_number, good.order_number])
            assert (tmp_path / good.order_number / "fullchain.pem").is_file()
            assert bad.order_number in capsys.readouterr().err

        on_virtual_time(work())

    def test_the_service_works_on_while_it_waits(
        self, example: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        async def work() -> None:
            sandbox = Sandbox(seed=1)
            order = sandbox.place_order("shop.example.com", issue_after_polls=1).order_number
            async with self.waits(example, sandbox, tmp_path) as waits:
                await example.serve(waits, [order])
            assert capsys.readouterr().out.count("the service is at work") >= 200

        on_virtual_time(work())


class TestOwnDatabase:
    EXAMPLE = "own_database"

    @asynccontextmanager
    async def client(self, sandbox: Sandbox) -> AsyncIterator[CollectSSLClient]:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app=sandbox.app)) as http:
            yield CollectSSLClient(sandbox.credentials, http_client=http)

    def test_goes_on_where_the_last_life_was(self, example: ModuleType, tmp_path: Path) -> None:
        async def work() -> None:
            sandbox = Sandbox(seed=1)
            order = sandbox.place_order("shop.example.com", issue_after_polls=4, issue_after=None).order_number
            with closing(example.Shop(str(tmp_path / "shop.db"))) as shop:
                shop.order(order, "shop.example.com")
            for _ in range(2):
                with closing(example.Shop(str(tmp_path / "shop.db"))) as shop:
                    async with self.client(sandbox) as client:
                        with pytest.raises(TimeoutError):
                            await asyncio.wait_for(example.wait_for_all(client, shop, PollPolicy(jitter=0)), 200)
            assert len(sandbox.calls) == 3  # the fourth is due after 240 s
            with closing(example.Shop(str(tmp_path / "shop.db"))) as shop:
                async with self.client(sandbox) as client:
                    await example.wait_for_all(client, shop)
                assert shop.waiting() == {}
            assert [call.answer for call in sandbox.calls] == [0, 0, 0, 0, 1, 2]

        on_virtual_time(work())

    def test_an_order_that_was_refused_is_kept_with_its_problem(self, example: ModuleType) -> None:
        async def work() -> None:
            sandbox, shop = Sandbox(seed=1), example.Shop(":memory:")
            bad, good = (sandbox.place_order(f"{name}.example.com") for name in ("bad", "good"))
            bad.reject()
            for placed in (bad, good):
                shop.order(placed.order_number, placed.fqdn)
            with closing(shop):
                async with self.client(sandbox) as client:
                    await example.wait_for_all(client, shop)
                rows = dict(shop._database.execute("SELECT domain, problem IS NULL FROM orders"))
            assert rows == {"bad.example.com": 0, "good.example.com": 1}

        on_virtual_time(work())


# --- as a process of its own ------------------------------------------------------------------------------------------


class TestWatchService:
    EXAMPLE = "watch_service"

    @contextmanager
    def started(self, folder: Path, *orders: str) -> Iterator[subprocess.Popen[str]]:
        """The service, as an init system starts it."""
        command = [sys.executable, "-u", str(ROOT / "examples" / "watch_service.py")]
        environment = {**os.environ, "COLLECTSSL_GUARD": f"file:{folder}/guard", "PYTHONPATH": str(ROOT)}
        with subprocess.Popen(
            [*command, str(folder / "orders.db"), str(folder), *orders],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            try:
                yield process
            finally:
                process.kill()

    def test_stops_on_sigterm_and_goes_on_when_it_is_started_again(self, sandbox: Sandbox, tmp_path: Path) -> None:
        held = sandbox.place_order("held.example.com", issue_after=None).order_number
        with self.started(tmp_path, held) as first:
            assert first.stdout is not None
            assert [first.stdout.readline() for _ in range(2)] == [
                "waiting for 1 orders\n",
                f"order {held}: status 0 after 1 polls\n",
            ]
            first.terminate()
            assert (first.wait(20), first.stdout.read()) == (0, "stopped\n")
        quick = sandbox.place_order("quick.example.com").order_number
        with self.started(tmp_path, quick) as second:
            assert second.stdout is not None
            lines = [second.stdout.readline() for _ in range(4)]
            assert lines[0] == "waiting for 2 orders\n"
            assert lines[3].startswith(f"order {quick}: collected ")
            second.terminate()
            second.wait(20)
        assert [call.answer for call in sandbox.calls] == [0, 1, 2]
        assert (tmp_path / quick / "fullchain.pem").is_file()

    def test_a_wrong_password_costs_one_call_and_no_further_start(
        self, example: ModuleType, sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("COLLECTSSL_LOGIN_PASSWORD", "wrong")
        monkeypatch.setenv("COLLECTSSL_GUARD", "process")
        orders = [sandbox.place_order(f"{n}.example.com").order_number for n in range(3)]
        assert example.main([str(tmp_path / "orders.db"), str(tmp_path), *orders]) == 5
        assert [call.answer for call in sandbox.calls] == [-16]
        assert "5" in unit()["RestartPreventExitStatus"].split()

    def test_files_that_cannot_be_written_are_written_by_the_next_start_without_a_call(
        self, example: ModuleType, sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("COLLECTSSL_GUARD", "process")
        order, tls = sandbox.place_order("shop.example.com").order_number, tmp_path / "tls"
        tls.touch()
        assert example.main([str(tmp_path / "orders.db"), str(tls), order]) == 1
        tls.unlink()
        assert example.main([str(tmp_path / "orders.db"), str(tls)]) == 0
        assert (tls / order / "fullchain.pem").is_file()
        assert [call.answer for call in sandbox.calls] == [1, 2]

    @pytest.mark.parametrize("arguments", [[], ["orders.db"], ["orders.db", "tls", "../1"]])
    def test_exits_with_2_for_wrong_usage(self, example: ModuleType, arguments: list[str]) -> None:
        assert example.main(arguments) == 2


def unit() -> dict[str, str]:
    """The settings of the unit file for an init system; of those that are there several times, the last one."""
    lines = (ROOT / "examples" / "collectssl-watch.service").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if "=" in line and not line.startswith("#"))


class TestUnit:
    def test_its_command_runs_and_wrong_credentials_prevent_a_restart(
        self, sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        program, *arguments = shlex.split(unit()["ExecStart"])
        assert program.endswith("/collectssl")
        (tmp_path / "orders.csv").write_text(f"{sandbox.place_order('shop.example.com').order_number}\n")
        moved = [re.sub("^/(etc|var)/.*?(?=[^/]*$)", f"{tmp_path}/", each) for each in arguments]
        monkeypatch.setenv("COLLECTSSL_LOGIN_PASSWORD", "wrong")
        monkeypatch.setenv("COLLECTSSL_GUARD", "process")
        with pytest.raises(SystemExit) as ended:
            cli.main(moved)
        assert [call.answer for call in sandbox.calls] == [-16]
        assert str(int(ended.value.code or 0)) in unit()["RestartPreventExitStatus"].split()

    def test_it_starts_again_after_what_passes_and_not_after_what_no_start_mends(self) -> None:
        service = unit()
        assert service["Restart"] == "on-failure"
        prevented = {int(code) for code in service["RestartPreventExitStatus"].split()}
        assert prevented == {Exit.USAGE, Exit.REFUSED, Exit.CREDENTIALS}
        assert int(service["SuccessExitStatus"]) == Exit.INTERRUPTED


# --- over HTTP on loopback --------------------------------------------------------------------------------------------


@asynccontextmanager
async def served(example: ModuleType, app: Any = None) -> AsyncIterator[httpx.AsyncClient]:
    """Serve the app as uvicorn does, for as long as the block lasts."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = uvicorn.Server(uvicorn.Config(app or example.app, log_config=None, ws="none"))
        serving = asyncio.create_task(server.serve([listener]))
        try:
            async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{listener.getsockname()[1]}") as caller:
                yield caller
        finally:
            server.should_exit = True
            await serving


class TestFastAPI:
    EXAMPLE = "fastapi_app"

    @pytest.mark.asyncio
    async def test_waits_until_the_certificate_is_there(self, example: ModuleType, sandbox: Sandbox) -> None:
        order = sandbox.place_order("shop.example.com").order_number
        async with served(example) as caller:
            reply = await caller.post(f"/orders/{order}/certificate")
        assert (reply.status_code, reply.headers["content-type"]) == (200, "application/x-pem-file")
        assert reply.text.count("-----BEGIN CERTIFICATE-----") == 3

    @pytest.mark.asyncio
    async def test_goes_on_waiting_when_the_caller_has_no_more_time(
        self, example: ModuleType, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        impatient = partialmethod(CollectSSLClient.wait_for_certificate, policy=PollPolicy(min_interval=0.02, factor=1))
        monkeypatch.setattr(CollectSSLClient, "wait_for_certificate", impatient)
        order = sandbox.place_order("shop.example.com", issue_after=None)
        async with served(example) as caller:
            path = f"/orders/{order.order_number}/certificate"
            early = await caller.post(path, params={"timeout": 0})
            order.issue()
            late = await caller.post(path)
        assert (early.status_code, early.headers["retry-after"]) == (202, "60")
        assert late.status_code == 200
        assert sandbox.overlaps == 0

    @pytest.mark.asyncio
    async def test_callers_for_one_order_share_a_wait(self, example: ModuleType, sandbox: Sandbox) -> None:
        order = sandbox.place_order("shop.example.com").order_number
        async with served(example) as caller:
            replies = await asyncio.gather(*(caller.post(f"/orders/{order}/certificate") for _ in range(8)))
        assert {reply.text for reply in replies} == {replies[0].text}
        assert [call.answer for call in sandbox.calls] == [1, 2]

    @pytest.mark.asyncio
    async def test_shows_the_status_without_a_call_of_its_own(self, example: ModuleType, sandbox: Sandbox) -> None:
        order = sandbox.place_order("shop.example.com").order_number
        async with served(example) as caller:
            unknown = await caller.get(f"/orders/{order}")
            await caller.post(f"/orders/{order}/certificate")
            known = await caller.get(f"/orders/{order}")
        assert [call.answer for call in sandbox.calls] == [1, 2]
        assert unknown.status_code == 404
        assert (known.json()["fqdn"], known.json()["certificate_status"]) == ("shop.example.com", "Issued")

    @pytest.mark.parametrize(
        ("fault", "status"), [(-4, 404), (-16, 500), (-20, 409), (-22, 409), (503, 503), ("html", 502), (302, 502)]
    )
    @pytest.mark.asyncio
    async def test_maps_what_ended_a_wait(
        self, example: ModuleType, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, fault: Any, status: int
    ) -> None:
        impatient = partialmethod(CollectSSLClient.wait_for_certificate, policy=PollPolicy(max_failures=1))
        monkeypatch.setattr(CollectSSLClient, "wait_for_certificate", impatient)
        order = sandbox.place_order("shop.example.com").order_number
        sandbox.fail_next(fault)
        async with served(example) as caller:
            awaited = await caller.post(f"/orders/{order}/certificate")
            shown = await caller.get(f"/orders/{order}")
        assert (awaited.status_code, shown.status_code) == (status, status)
        assert sandbox.credentials.login_password.get_secret_value() not in awaited.text + shown.text

    @pytest.mark.asyncio
    async def test_a_wrong_password_is_not_tried_again_for_every_caller(
        self, example: ModuleType, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("COLLECTSSL_LOGIN_PASSWORD", "wrong")
        order = sandbox.place_order("shop.example.com").order_number
        async with served(example) as caller:
            replies = [await caller.post(f"/orders/{order}/certificate") for _ in range(12)]
        assert {reply.status_code for reply in replies} == {500}
        assert [call.answer for call in sandbox.calls] == [-16]
        assert not sandbox.locked

    @pytest.mark.asyncio
    async def test_a_wait_that_failed_is_begun_anew(self, example: ModuleType, sandbox: Sandbox) -> None:
        order = sandbox.place_order("shop.example.com")
        order.await_payment()
        async with served(example) as caller:
            unpaid = await caller.post(f"/orders/{order.order_number}/certificate")
            order.issue()
            paid = await caller.post(f"/orders/{order.order_number}/certificate")
        assert (unpaid.status_code, paid.status_code) == (409, 200)

    @pytest.mark.asyncio
    async def test_ends_its_waits_with_the_app(self, example: ModuleType, sandbox: Sandbox) -> None:
        order = sandbox.place_order("shop.example.com", issue_after=None).order_number
        before = asyncio.all_tasks()
        async with served(example) as caller:
            await caller.post(f"/orders/{order}/certificate", params={"timeout": 0.1})
        assert asyncio.all_tasks() == before


class TestWatcherInFastAPI:
    EXAMPLE = "watcher_in_fastapi"
    SOON = PollPolicy(min_interval=10800, failure_interval=0.01)

    @pytest.fixture(autouse=True)
    def settings(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        values = {"CERTIFICATES": str(tmp_path), "PUSH_USERNAME": "sectigo", "PUSH_PASSWORD": "Pu5h-Passw0rd"}
        for name, value in {**values, "PUSH_ALLOW": "127.0.0.1"}.items():
            monkeypatch.setenv(name, value)

    async def until(self, caller: httpx.AsyncClient, path: str, status: int) -> httpx.Response:
        for _ in range(500):
            reply = await caller.get(path)
            if reply.status_code == status:
                return reply
            await asyncio.sleep(0.01)
        raise TimeoutError(f"{path} never answered {status}")

    async def polled(self, sandbox: Sandbox, times: int) -> None:
        for _ in range(500):
            if len(sandbox.calls) >= times and sandbox.calls[-1].answer is not None:
                return
            await asyncio.sleep(0.01)
        raise TimeoutError(f"{len(sandbox.calls)} calls were made")

    @pytest.mark.asyncio
    async def test_a_notification_has_its_order_collected(self, example: ModuleType, sandbox: Sandbox) -> None:
        order = sandbox.place_order("shop.example.com", issue_after=None)
        number = order.order_number
        async with served(example, example.make_app(self.SOON)) as caller:
            assert (await caller.post(f"/orders/{number}")).status_code == 202
            await self.polled(sandbox, 1)
            assert (await caller.get(f"/orders/{number}/certificate")).status_code == 404
            order.issue()
            forged = await caller.get("/push/", params={"orderNumber": number}, auth=("sectigo", "wrong"))
            good = {"orderNumber": number, "eventType": "Certificate"}
            told = await caller.get("/push/", params=good, auth=("sectigo", "Pu5h-Passw0rd"))
            reply = await self.until(caller, f"/orders/{number}/certificate", 200)
        assert (forged.status_code, told.status_code) == (401, 204)
        assert reply.text.count("-----BEGIN CERTIFICATE-----") == 3
        assert [call.answer for call in sandbox.calls] == [0, 1, 2]

    @pytest.mark.asyncio
    async def test_it_goes_on_after_a_restart(self, example: ModuleType, sandbox: Sandbox) -> None:
        held = sandbox.place_order("held.example.com", issue_after=None).order_number
        refused, quick = (sandbox.place_order(f"{name}.example.com") for name in ("refused", "quick"))
        refused.reject()
        async with served(example, example.make_app(self.SOON)) as caller:
            await caller.post(f"/orders/{held}")
            await self.polled(sandbox, 1)
        async with served(example, example.make_app(self.SOON)) as caller:
            for order in (refused, quick):
                await caller.post(f"/orders/{order.order_number}")
            await self.until(caller, f"/orders/{quick.order_number}/certificate", 200)
            (state,) = (await caller.get("/orders")).json()
        assert (state["order"]["order_number"], state["polls"]) == (held, 1)
        assert [call.answer for call in sandbox.calls] == [0, -20, 1, 2]

    @pytest.mark.asyncio
    async def test_wrong_credentials_cost_one_call_and_show(
        self, example: ModuleType, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("COLLECTSSL_LOGIN_PASSWORD", "wrong")
        async with served(example, example.make_app()) as caller:
            assert (await caller.get("/health")).status_code == 204
            for n in range(5):
                order = sandbox.place_order(f"{n}.example.com").order_number
                assert (await caller.post(f"/orders/{order}")).status_code == 202
            await self.until(caller, "/health", 503)
            waiting = (await caller.get("/orders")).json()
        assert [call.answer for call in sandbox.calls] == [-16]
        assert len(waiting) == 5
