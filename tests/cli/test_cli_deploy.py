"""`collect --deploy-hook`: when the hook runs, what it is told, how it fails, and that it is never forgotten."""

from __future__ import annotations

import inspect
import json
import os
import pkgutil
import select
import shlex
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from collectssl_async.cli import hooks
from collectssl_async.cli.hooks import PENDING_FILE

from .harness import key_file, run

if TYPE_CHECKING:
    import subprocess

    from collectssl_async.sandbox import SandboxOrder

    from .harness import Ended, Service

PATIENCE = 20.0  # seconds until a test gives up on a process
TELL = "env | grep ^COLLECTSSL_ | sort >> {}"


@pytest.fixture
def order(service: Service) -> SandboxOrder:
    return service.sandbox.place_order("a.example.com", names=["b.example.com"])


class Site:
    """A directory of files for a server, and a hook that writes down each of its runs."""

    def __init__(self, service: Service, tmp_path: Path) -> None:
        self._service = service
        self.directory = tmp_path / "tls"
        self.log = tmp_path / "runs"
        self.hook = f"echo ran >> {shlex.quote(str(self.log))}"

    @property
    def runs(self) -> int:
        return self.log.read_text().count("ran\n") if self.log.exists() else 0

    @property
    def pending(self) -> bool:
        return (self.directory / PENDING_FILE).exists()

    def collect(self, order: SandboxOrder, *arguments: str | Path, hook: str | None = None) -> Ended:
        return self._service.run(
            "collect", order.order_number, "-o", self.directory, "--deploy-hook", hook or self.hook, *arguments
        )

    def start(self, order: SandboxOrder, hook: str) -> subprocess.Popen[str]:
        return self._service.start("collect", order.order_number, "-o", self.directory, "--deploy-hook", hook)


@pytest.fixture
def site(service: Service, tmp_path: Path) -> Site:
    return Site(service, tmp_path)


# --- when it runs -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("layout", ["flat", "versioned"])
def test_it_runs_when_files_have_changed_and_only_then(site: Site, order: SandboxOrder, layout: str) -> None:
    assert site.collect(order, "--layout", layout).code == 0
    assert site.runs == 1
    again = site.collect(order, "--layout", layout)
    assert (again.code, again.out, site.runs) == (0, "unchanged\n", 1)
    assert not site.pending


def test_it_runs_when_the_files_are_in_place(site: Site, order: SandboxOrder, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    site.collect(order, "--private-key", key_file(order, tmp_path), hook=f'cat "$COLLECTSSL_FULLCHAIN" > {copy}')
    assert copy.read_text() == (site.directory / "fullchain.pem").read_text()


def test_a_new_key_is_a_change(site: Site, order: SandboxOrder, tmp_path: Path) -> None:
    site.collect(order)
    site.collect(order, "--private-key", key_file(order, tmp_path))
    assert site.runs == 2


def test_a_file_that_is_asked_for_later_is_a_change(site: Site, order: SandboxOrder, tmp_path: Path) -> None:
    key = key_file(order, tmp_path)
    for _ in range(2):
        site.collect(order, "--private-key", key)
    for _ in range(2):
        site.collect(order, "--private-key", key, "--combined")
    assert site.runs == 2


def test_pkcs12_of_the_same_is_no_change(
    site: Site, order: SandboxOrder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLLECTSSL_PKCS12_PASSWORD", "Sesame-42")
    for _ in range(2):
        site.collect(order, "--format", "pkcs12", "--private-key", key_file(order, tmp_path))
    assert site.runs == 1


def test_it_does_not_run_for_an_order_that_is_not_issued(site: Site, service: Service) -> None:
    waiting = service.sandbox.place_order("a.example.com", issue_after=None)
    assert site.collect(waiting).code == 3
    assert site.runs == 0
    assert not site.directory.exists()


def test_it_does_not_run_when_the_key_does_not_match_and_nothing_is_written(
    site: Site, service: Service, order: SandboxOrder, tmp_path: Path
) -> None:
    other = service.sandbox.place_order("other.example.com")
    ended = site.collect(order, "--private-key", key_file(other, tmp_path))
    assert ended.code == 1
    assert site.runs == 0
    assert not site.directory.exists()


def test_a_write_that_is_refused_leaves_no_trace_of_a_hook(
    site: Site, service: Service, order: SandboxOrder, tmp_path: Path
) -> None:
    other = service.sandbox.place_order("other.example.com")
    site.collect(order, "--private-key", key_file(order, tmp_path))
    before = sorted(site.directory.iterdir())
    assert site.collect(other).code == 1
    assert sorted(site.directory.iterdir()) == before
    assert site.runs == 1


def test_a_write_that_fails_takes_its_new_directory_away(
    site: Site, order: SandboxOrder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: object, **named: object) -> None:
        raise OSError("no space left")

    monkeypatch.setattr("collectssl_async.certificates.CertificateBundle.write", refuse)
    assert site.collect(order).code == 1
    assert not site.directory.exists()


# --- what it is told --------------------------------------------------------------------------------------------------


def told(file: Path) -> dict[str, str]:
    return dict(line.split("=", 1) for line in file.read_text().splitlines())


def test_it_gets_names_paths_and_dates(site: Site, order: SandboxOrder, tmp_path: Path) -> None:
    ended = site.collect(
        order, "--json", "--private-key", key_file(order, tmp_path), hook=TELL.format(tmp_path / "told")
    )
    document = json.loads(ended.out)
    assert told(tmp_path / "told") == {
        "COLLECTSSL_ORDER": order.order_number,
        "COLLECTSSL_DOMAINS": "a.example.com b.example.com",
        "COLLECTSSL_SERIAL_NUMBER": document["serial_number"],
        "COLLECTSSL_NOT_BEFORE": document["not_before"],
        "COLLECTSSL_NOT_AFTER": document["not_after"],
        "COLLECTSSL_FINGERPRINT_SHA256": document["fingerprint_sha256"],
        "COLLECTSSL_DIRECTORY": str(site.directory),
        "COLLECTSSL_CERTIFICATE": str(site.directory / "cert.pem"),
        "COLLECTSSL_CHAIN": str(site.directory / "chain.pem"),
        "COLLECTSSL_FULLCHAIN": str(site.directory / "fullchain.pem"),
        "COLLECTSSL_PRIVATE_KEY": str(site.directory / "privkey.pem"),
        "COLLECTSSL_COMBINED": "",
    }


def test_its_paths_are_absolute_and_lead_through_current(
    service: Service, order: SandboxOrder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    service.run(
        *("collect", order.order_number, "-o", "tls", "--layout", "versioned"),
        *("--deploy-hook", "cd /; " + TELL.format(tmp_path / "told")),
    )
    assert told(tmp_path / "told")["COLLECTSSL_FULLCHAIN"] == str(tmp_path / "tls" / "current" / "fullchain.pem")


def test_it_gets_no_password(
    site: Site, service: Service, order: SandboxOrder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLLECTSSL_PKCS12_PASSWORD", "Sesame-42")
    site.collect(order, hook=f"env > {tmp_path / 'told'}")
    environment = (tmp_path / "told").read_text()
    assert "PASSWORD" not in environment
    assert service.password not in environment
    assert f"PATH={os.environ['PATH']}" in environment


def test_it_has_no_input(site: Site, order: SandboxOrder, tmp_path: Path) -> None:
    site.collect(order, hook=f"wc -c > {tmp_path / 'read'}")
    assert (tmp_path / "read").read_text().strip() == "0"


def test_what_it_says_goes_to_stderr(site: Site, order: SandboxOrder) -> None:
    ended = site.collect(order, hook="echo reloading; echo careful >&2")
    assert "reloading\ncareful\nthe deploy hook ran\n" in ended.err
    assert all(line.startswith(str(site.directory)) for line in ended.out.splitlines())


def test_json_tells_how_it_ended(site: Site, order: SandboxOrder) -> None:
    ended = site.collect(order, "--json", hook="echo reloading")
    assert json.loads(ended.out)["hook"] == {"exit_status": 0, "output": "reloading\n"}
    assert ended.err == ""
    assert json.loads(site.collect(order, "--json").out)["hook"] is None


# --- when it fails ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("hook", "part"),
    [
        ("echo one; echo two >&2; echo three >&2; echo four >&2; exit 7", "exit status 7: two / three / four: "),
        ("false", "exit status 1: the files are in "),
        ("no-such-program --now", "exit status 127: "),
        ("kill -9 $$", "exit status 137 (SIGKILL)"),
        ("if", "exit status 2: "),
    ],
)
def test_a_failure_is_told_and_the_files_stay(site: Site, order: SandboxOrder, hook: str, part: str) -> None:
    ended = site.collect(order, hook=hook)
    assert ended.code == 1
    assert f"the deploy hook failed with {part}" in ended.err.splitlines()[-1]
    assert ended.out.splitlines()[-1] == str(site.directory / "fullchain.pem")
    assert (site.directory / "fullchain.pem").exists()


def test_a_failure_as_json_is_in_both_documents(site: Site, order: SandboxOrder) -> None:
    ended = site.collect(order, "--json", hook="echo no >&2; exit 7")
    assert json.loads(ended.out)["hook"] == {"exit_status": 7, "output": "no\n"}
    error = json.loads(ended.err)
    assert (error["error"], error["exit_code"]) == ("HookError", 1)


@pytest.mark.parametrize("layout", ["flat", "versioned"])
def test_one_that_failed_runs_again_until_it_succeeds(site: Site, order: SandboxOrder, layout: str) -> None:
    site.collect(order, "--layout", layout, hook="false")
    assert site.collect(order, "--layout", layout, hook=f"{site.hook}; false").code == 1
    assert site.pending
    ended = site.collect(order, "--layout", layout)
    assert (ended.code, ended.out, site.runs) == (0, "unchanged\n", 2)
    assert site.collect(order, "--layout", layout).code == 0
    assert site.runs == 2


def test_a_process_that_is_killed_while_its_hook_runs_has_it_run_the_next_time(site: Site, order: SandboxOrder) -> None:
    with site.start(order, "kill -9 $PPID") as process:
        process.communicate(timeout=PATIENCE)
    assert process.returncode == -signal.SIGKILL
    assert (site.directory / "fullchain.pem").exists()
    ended = site.collect(order)
    assert (ended.out, site.runs) == ("unchanged\n", 1)


class Killed(BaseException):
    """What no cleaning up is done for."""


@pytest.mark.parametrize("step", ["certificates.CertificateBundle.write", "cli.hooks.run_hook", "cli.hooks.forget"])
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_hook_is_remembered_wherever_its_process_is_killed(
    site: Site, order: SandboxOrder, monkeypatch: pytest.MonkeyPatch, step: str, when: str
) -> None:
    owner, _, name = f"collectssl_async.{step}".rpartition(".")
    real = pkgutil.resolve_name(f"collectssl_async.{step}")

    def die(*arguments: Any, **named: Any) -> None:
        if when == "after":
            done = real(*arguments, **named)
            if inspect.iscoroutine(done):
                done.close()
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(pkgutil.resolve_name(owner), name, die)
        with pytest.raises(Killed):
            site.collect(order)
    ran_before = site.runs
    site.collect(order)
    forgotten = (step, when) == ("cli.hooks.forget", "after")
    assert (site.runs, site.pending) == (ran_before + (not forgotten), False)
    assert site.runs >= 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_ends_the_hook_and_all_that_it_started(
    site: Site, order: SandboxOrder, tmp_path: Path, number: int
) -> None:
    held = tmp_path / "held"
    os.mkfifo(held)
    reader = os.open(held, os.O_RDONLY | os.O_NONBLOCK)
    with site.start(order, f"exec 3> {held}; echo ready >&3; sleep 60 & wait") as process:
        assert select.select([reader], [], [], PATIENCE)[0]
        assert os.read(reader, 100) == b"ready\n"
        process.send_signal(number)
        _, err = process.communicate(timeout=PATIENCE)
    assert (process.returncode, err) == (130, "collectssl: interrupted\n")
    # The pipe ends when nobody holds it any more: neither the shell nor what it started.
    assert select.select([reader], [], [], PATIENCE)[0]
    assert os.read(reader, 100) == b""
    os.close(reader)
    assert site.pending


def is_alive(pid: int) -> bool:
    """Say whether a process runs; one that has ended and was not waited for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_a_server_that_it_leaves_running_keeps_nobody_waiting(site: Site, order: SandboxOrder, tmp_path: Path) -> None:
    began = time.monotonic()
    ended = site.collect(order, hook=f"sleep 60 & echo $! > {tmp_path / 'pid'}")
    os.kill(int((tmp_path / "pid").read_text()), signal.SIGKILL)
    assert ended.code == 0
    assert time.monotonic() - began < PATIENCE


def test_a_hook_that_does_not_heed_is_made_to_end(
    site: Site, order: SandboxOrder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hooks, "_PATIENCE", 0.05)
    ready = tmp_path / "ready"
    kill = f"import os; os.kill({os.getpid()}, {signal.SIGTERM:d})"
    ended = site.collect(order, hook=f"trap '' TERM; echo $$ > {ready}; {sys.executable} -c '{kill}'; sleep 60")
    assert ended.code == 130
    assert not is_alive(int(ready.read_text()))


# --- what is refused before any call ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (("--deploy-hook", ""), "--deploy-hook: must be a command"),
        (("--deploy-hook", " "), "--deploy-hook: must be a command"),
        (("--deploy-hook", "/no/such/program now"), "'/no/such/program' is no program that can be run"),
        (("--deploy-hook", "/etc/passwd"), "'/etc/passwd' is no program that can be run"),
        (("--keep", "2"), "--keep is for --layout versioned"),
        (("--layout", "versioned", "--keep", "0"), "--keep"),
        (("--layout", "round"), "--layout"),
    ],
)
def test_wrong_usage_is_told_before_any_call(
    service: Service, tmp_path: Path, arguments: tuple[str, ...], part: str
) -> None:
    ended = run(service.capsys, "collect", "1", "-o", tmp_path / "tls", *arguments)
    assert ended.code == 2
    assert part in ended.err
    assert service.sandbox.calls == []


@pytest.mark.parametrize("command", ["reload", "cd /; ./run", "X=/no/such ls", "'/no/such program'", "$HOME/x"])
def test_what_only_the_shell_can_tell_is_left_to_it(command: str) -> None:
    assert hooks.check_hook(command) == command
