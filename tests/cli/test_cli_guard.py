"""`guard status` and `guard release`: who is in the way, in words and in JSON, and a way to be rid of it."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from datetime import UTC, datetime
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from collectssl_async.cli.wording import moment
from collectssl_async.guards import FileGuard, Holder
from collectssl_async.guards._lock_file import LockFile
from collectssl_async.guards._mark import Mark, since_start, this_start

from .harness import Ended, run

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ENDPOINT = "https://guarded.example/CollectSSL"
HOLDER = Holder("web1", 4242, datetime(2026, 7, 4, 10, 11, 12, tzinfo=UTC))
CALL = Mark(HOLDER, ENDPOINT, 60)


class Guarded:
    """A file guard in a folder of its own, as another process left it."""

    def __init__(self, prefix: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.guard = f"file:{prefix}"
        self._capsys = capsys
        self.file = LockFile(f"{FileGuard(prefix)._place.name_of(ENDPOINT)}.lock")

    def write(self, mark: Mark, *, held: bool) -> None:
        """Leave a mark, of a call in work where the lock is held."""
        assert self.file.try_lock()
        self.file.write(mark.record())
        if not held:
            self.file.close()

    def run(self, command: str, *options: str) -> Ended:
        """Run a command of `guard` on it."""
        return run(self._capsys, "guard", command, "--guard", self.guard, "--endpoint", ENDPOINT, *options)

    def rows(self) -> dict[str, str]:
        """Return what `status` shows, label by label."""
        ended = self.run("status")
        assert ended.code == 0
        return {label: text.strip() for label, text in (line.split("  ", 1) for line in ended.out.splitlines())}


@pytest.fixture
def guarded(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Guarded]:
    made = Guarded(tmp_path / "guard", capsys)
    yield made
    made.file.close()


# --- status -----------------------------------------------------------------------------------------------------------


def test_a_free_guard_is_shown_as_that(guarded: Guarded) -> None:
    assert guarded.rows() == {"endpoint": ENDPOINT, "turn": "free"}


def test_the_holder_is_shown_with_host_process_and_time(guarded: Guarded) -> None:
    guarded.write(CALL, held=True)
    assert guarded.rows() == {
        "endpoint": ENDPOINT,
        "turn": "held",
        "host": "web1",
        "process": "4242",
        "since": moment(HOLDER.since),
    }


def test_a_killed_call_is_shown_with_whose_it_was(guarded: Guarded) -> None:
    guarded.write(CALL, held=False)
    rows = guarded.rows()
    assert (rows["turn"], rows["host"], rows["process"]) == ("free", "web1", "4242")
    assert rows["unfinished"] == "call not found yet: the next caller waits for its grace"


def test_an_abandoned_call_is_shown_with_the_end_of_its_grace(guarded: Guarded) -> None:
    guarded.write(CALL.left(), held=False)
    assert guarded.rows()["unfinished"].startswith("call, nobody may begin until ")


def test_what_the_store_says_cannot_command_the_terminal(guarded: Guarded) -> None:
    guarded.write(replace(CALL, holder=Holder("\x1b[2Jweb1", 1, HOLDER.since)), held=True)
    assert guarded.rows()["host"] == "[2Jweb1"


def test_json_has_all_of_it(guarded: Guarded) -> None:
    guarded.write(replace(CALL, ends=since_start() + 30, start=this_start()), held=False)
    document = json.loads(guarded.run("status", "--json").out)
    until = datetime.fromisoformat(document.pop("unfinished_until"))
    assert 20 < (until - datetime.now(UTC)).total_seconds() < 40
    assert document == {
        "resource": ENDPOINT,
        "held": False,
        "holder": {"host": "web1", "process": 4242, "since": "2026-07-04T10:11:12+00:00"},
        "unfinished": True,
    }


def test_json_of_a_free_guard_names_nobody(guarded: Guarded) -> None:
    document = json.loads(guarded.run("status", "--json").out)
    assert (document["held"], document["holder"], document["unfinished_until"]) == (False, None, None)


def test_the_guard_is_the_one_that_the_environment_names(
    guarded: Guarded, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    guarded.write(CALL, held=True)
    monkeypatch.setenv("COLLECTSSL_GUARD", guarded.guard)
    monkeypatch.setenv("COLLECTSSL_ENDPOINT", ENDPOINT)
    assert "4242" in run(capsys, "guard", "status").out


def test_a_guard_that_lives_in_each_process_cannot_be_looked_at(capsys: pytest.CaptureFixture[str]) -> None:
    ended = run(capsys, "guard", "status", "--guard", "process")
    assert ended.code == 2
    assert "from that process alone" in ended.err


def test_a_guard_that_there_is_not_is_told_without_quoting_it(capsys: pytest.CaptureFixture[str]) -> None:
    ended = run(capsys, "guard", "status", "--guard", "mysql://user:s3cret@db.example/")
    assert ended.code == 2
    assert "COLLECTSSL_GUARD" in ended.err
    assert "s3cret" not in ended.err


def test_a_store_that_cannot_be_used_is_a_failure(guarded: Guarded) -> None:
    Path(guarded.file.path).mkdir()
    ended = guarded.run("status")
    assert ended.code == 2
    assert "a folder stands in its place" in ended.err


# --- release ----------------------------------------------------------------------------------------------------------


def test_nothing_is_freed_without_force(guarded: Guarded) -> None:
    guarded.write(CALL, held=True)
    ended = guarded.run("release")
    assert ended.code == 2
    assert "--force" in ended.err
    assert guarded.file.in_place()


def test_a_held_guard_is_freed_by_force(guarded: Guarded) -> None:
    guarded.write(CALL, held=True)
    ended = guarded.run("release", "--force")
    assert (ended.code, ended.out) == (0, f"freed: held by process 4242 on web1 since {moment(HOLDER.since)}\n")
    assert not guarded.file.in_place()
    assert guarded.rows()["turn"] == "free"


def test_an_unfinished_call_is_forgotten_by_force(guarded: Guarded) -> None:
    guarded.write(CALL, held=False)
    ended = guarded.run("release", "--force")
    assert ended.code == 0
    assert ended.out.startswith("freed: unfinished call not found yet")
    assert "its caller was process 4242 on web1" in ended.out
    assert "unfinished" not in guarded.rows()


def test_where_there_is_nothing_to_free_that_is_said(guarded: Guarded) -> None:
    assert guarded.run("release", "--force").out == "nothing to free\n"


@pytest.fixture
def answering(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Have somebody sit at a terminal and type this."""

    class Terminal(StringIO):
        def isatty(self) -> bool:
            return True

    def answer(text: str) -> None:
        monkeypatch.setattr(sys, "stdin", Terminal(text))
        monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)

    return answer


def test_whoever_sits_there_is_shown_who_holds_it_and_asked(guarded: Guarded, answering: Callable[[str], None]) -> None:
    guarded.write(CALL, held=True)
    answering("y\n")
    ended = guarded.run("release", "--force")
    assert ended.code == 0
    assert "held by process 4242 on web1" in ended.err
    assert "[y/N]" in ended.err
    assert not guarded.file.in_place()


@pytest.mark.parametrize("answer", ["n\n", "\n"])
def test_whoever_does_not_say_yes_has_nothing_freed(
    guarded: Guarded, answering: Callable[[str], None], answer: str
) -> None:
    guarded.write(CALL, held=True)
    answering(answer)
    ended = guarded.run("release", "--force")
    assert (ended.code, ended.out.strip()) == (1, "")
    assert guarded.file.in_place()


def test_a_turn_that_ended_while_it_was_asked_is_not_freed(guarded: Guarded, monkeypatch: pytest.MonkeyPatch) -> None:
    async def too_late(_: FileGuard, __: str) -> bool:
        return False

    guarded.write(CALL, held=True)
    monkeypatch.setattr(FileGuard, "force_release", too_late)
    assert guarded.run("release", "--force").out == "nothing to free any more\n"
