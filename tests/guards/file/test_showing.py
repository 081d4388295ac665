"""What others see of the guard of one host: its files, its status, a lock freed by force, a forked child."""

from __future__ import annotations

import asyncio
import errno
import gc
import os
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import anyio
import pytest

from collectssl_async import ConfigurationError
from collectssl_async.guards import FileGuard
from collectssl_async.guards._lock_file import LockFile
from collectssl_async.guards._mark import since_start, this_start

from ..turns import settle
from .files import SOMEBODY, Files, opened, turn

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    """One library: nothing here waits."""
    return "asyncio"


# --- what stands in the file ------------------------------------------------------------------------------------------


async def test_the_file_says_in_the_call_who_makes_it(files: Files) -> None:
    before = datetime.now(UTC)
    async with files.guard(abandon_grace=3).hold(files.url) as hold:
        content = files.content()
        hold.finished()
    assert (content["call"], content["process"], content["grace"]) == ("unfinished", os.getpid(), 3)
    assert content["host"] == os.uname().nodename
    assert before <= datetime.fromisoformat(content["since"]) <= datetime.now(UTC)
    assert content["resource"] == files.url


async def test_the_file_says_after_the_call_that_it_is_finished(files: Files) -> None:
    await turn(files.guard(), files.url)
    assert files.content()["call"] == "finished"
    assert files.content()["process"] == os.getpid()


async def test_the_file_says_of_an_abandoned_call_when_its_grace_ends(files: Files) -> None:
    async with files.guard(abandon_grace=60).hold(files.url):
        pass
    content = files.content()
    assert content["call"] == "unfinished"
    assert content["ends"] - since_start() == pytest.approx(60, abs=1)
    until = datetime.fromisoformat(content["until"])
    assert until - datetime.now(UTC) == pytest.approx(timedelta(seconds=60), abs=timedelta(seconds=1))


async def test_the_files_are_their_owners_alone(files: Files) -> None:
    await turn(files.guard(), files.url)
    assert {stat.S_IMODE(each.stat().st_mode) for each in files.lock.parent.iterdir()} == {0o600}


async def test_there_is_one_lock_for_each_endpoint(files: Files) -> None:
    guard = files.guard()
    async with guard.hold(files.url) as hold, guard.hold(files.url + "/other") as other:
        hold.finished()
        other.finished()
    assert len(list(files.lock.parent.glob("guard-*.lock"))) == 2


async def test_guards_of_different_paths_do_not_know_of_each_other(files: Files, tmp_path: Path) -> None:
    files.held(files.lock)
    await turn(FileGuard(tmp_path / "other", acquire_timeout=1), files.url)


# --- seen from outside ------------------------------------------------------------------------------------------------


async def test_nobody_is_there_before_the_first_call(files: Files) -> None:
    status = await files.guard().status(files.url)
    assert (status.resource, status.held, status.holder, status.unfinished) == (files.url, False, None, False)
    assert not files.lock.exists()


async def test_the_holder_is_shown(files: Files) -> None:
    async with files.guard().hold(files.url) as hold:
        status = await files.guard().status(files.url + "?query")
        hold.finished()
    assert status.held
    assert not status.unfinished
    assert status.holder is not None
    assert (status.holder.host, status.holder.process) == (os.uname().nodename, os.getpid())
    assert datetime.now(UTC) - status.holder.since < timedelta(seconds=5)


async def test_a_finished_call_leaves_the_guard_free(files: Files) -> None:
    await turn(files.guard(), files.url)
    status = await files.guard().status(files.url)
    assert (status.held, status.unfinished) == (False, False)


async def test_a_killed_call_is_shown_before_anyone_has_found_it(files: Files) -> None:
    files.killed(grace=60)
    status = await files.guard().status(files.url)
    assert (status.held, status.unfinished, status.unfinished_until) == (False, True, None)
    assert status.holder == SOMEBODY


async def test_an_abandoned_call_is_shown_with_the_end_of_its_grace(files: Files) -> None:
    files.killed(grace=60, ends=since_start() + 30, start=this_start())
    status = await files.guard().status(files.url)
    assert status.unfinished
    assert status.unfinished_until is not None
    assert status.unfinished_until - datetime.now(UTC) == pytest.approx(timedelta(seconds=30), abs=timedelta(seconds=1))


async def test_an_abandoned_call_whose_grace_is_over_is_no_more_shown(files: Files) -> None:
    files.killed(grace=60, ends=since_start() - 1, start=this_start())
    assert not (await files.guard().status(files.url)).unfinished


async def test_to_look_keeps_nobody_out(files: Files) -> None:
    await turn(files.guard(), files.url)
    await files.guard().status(files.url)
    files.held(files.lock)


# --- freed by force ---------------------------------------------------------------------------------------------------


async def test_nothing_is_freed_where_there_is_nothing(files: Files) -> None:
    assert not await files.guard().force_release(files.url)
    await turn(files.guard(), files.url)
    assert not await files.guard().force_release(files.url)


async def test_an_unfinished_call_is_forgotten(files: Files) -> None:
    files.killed(grace=3600)
    assert await files.guard().force_release(files.url)
    assert await turn(files.guard(), files.url) < 1


async def test_a_file_that_cannot_be_read_is_freed_too(files: Files) -> None:
    files.lock.write_bytes(b"?" * 2000)
    assert await files.guard().force_release(files.url)
    assert await turn(files.guard(abandon_grace=60), files.url) < 1


async def test_a_lock_taken_by_force_is_lost_to_its_holder_and_free_for_others(files: Files, tmp_path: Path) -> None:
    held = files.held(files.lock)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(turn, files.guard(), files.url)
        await anyio.sleep(0.03)
        assert await files.guard().force_release(files.url)
    assert not held.in_place()


async def test_a_lock_that_vanishes_while_it_is_freed_is_free(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    files.held(files.lock)
    putting = LockFile.put_aside

    def late(file: LockFile) -> None:
        files.lock.unlink()
        putting(file)

    monkeypatch.setattr(LockFile, "put_aside", late)
    assert await files.guard().force_release(files.url)


async def test_a_lock_that_cannot_be_put_aside_is_told(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))

    files.held(files.lock)
    monkeypatch.setattr(Path, "unlink", refuse)
    with pytest.raises(ConfigurationError, match="let this user write there"):
        await files.guard().force_release(files.url)


# --- fork and closed loops --------------------------------------------------------------------------------------------


def in_child(check: Any) -> int:
    """Fork, and return the exit code of a child that runs a check."""
    child = os.fork()
    if child == 0:
        try:
            os._exit(0 if check() else 1)
        finally:
            os._exit(2)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
async def test_a_forked_child_neither_has_nor_frees_the_lock(files: Files) -> None:
    other = LockFile(str(files.lock))
    async with files.guard().hold(files.url) as hold:
        assert in_child(lambda: str(files.lock) not in opened() and not other.try_lock()) == 0
        assert not other.try_lock()
        hold.check()
        hold.finished()
    other.close()


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
async def test_a_child_does_not_keep_the_lock_when_its_parent_has_let_go(files: Files) -> None:
    held = files.held(files.lock)
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(writing)
        os.read(reading, 1)
        os._exit(0)
    held.close()
    files.held(files.lock)
    os.close(writing)
    os.close(reading)
    os.waitpid(child, 0)


def test_what_a_loop_had_open_that_was_closed_while_it_asked_is_closed_by_the_next_one(files: Files) -> None:
    other = files.held(files.lock)
    loop = asyncio.new_event_loop()
    task = loop.create_task(turn(FileGuard(files.prefix), files.url))
    loop.run_until_complete(settle())
    loop.close()
    other.close()
    anyio.run(turn, files.guard(acquire_timeout=0.5), files.url)
    task._log_destroy_pending = False  # type: ignore[attr-defined]  # else it complains
    del task
    gc.collect()
