"""The guard of one host: what it remembers, who is next, and what becomes of a deleted file."""

from __future__ import annotations

import json
import logging
import os
import time
from pathlib import Path

import anyio
import pytest

from collectssl_async import GuardLostError, GuardTimeoutError
from collectssl_async.guards import FileGuard, _mark
from collectssl_async.guards._lock_file import LockFile
from collectssl_async.guards._mark import Mark, read_mark, since_start, this_start
from collectssl_async.guards._runtime import sleep_in_real_time

from .files import Files, opened, turn

pytestmark = pytest.mark.anyio

URL = "https://a.example/CollectSSL"


# --- an unfinished call -----------------------------------------------------------------------------------------------


async def test_who_finds_an_unfinished_call_waits_for_the_whole_grace_of_whoever_made_it(files: Files) -> None:
    files.killed(grace=0.1)
    assert await turn(files.guard(abandon_grace=0), files.url) >= 0.1


async def test_who_finds_it_first_writes_down_when_it_ends(files: Files) -> None:
    files.killed(grace=60)
    with pytest.raises(GuardTimeoutError):
        await turn(files.guard(acquire_timeout=0.05), files.url)
    content = files.content()
    assert content["ends"] - since_start() == pytest.approx(60, abs=1)
    assert content["start"] == this_start()
    assert content["host"] == "elsewhere"


async def test_later_ones_wait_for_the_rest(files: Files) -> None:
    files.killed(grace=60, ends=since_start() + 0.1, start=this_start())
    assert 0.09 <= await turn(files.guard(), files.url) < 1


async def test_a_grace_that_is_over_keeps_nobody_out(files: Files) -> None:
    files.killed(grace=60, ends=since_start() - 0.1, start=this_start())
    assert await turn(files.guard(), files.url) < 1


async def test_the_impatient_leave_the_rest_to_others_and_do_not_start_it_afresh(files: Files) -> None:
    files.killed(grace=0.2)
    began = time.monotonic()
    for _ in range(50):
        try:
            await turn(files.guard(acquire_timeout=0.03), files.url)
            break
        except GuardTimeoutError:
            continue
    assert 0.2 <= time.monotonic() - began < 1.4


@pytest.mark.parametrize("ends", [-3600.0, 3600.0])
async def test_after_a_restart_of_the_machine_the_whole_grace_is_waited(files: Files, ends: float) -> None:
    files.killed(grace=0.1, ends=since_start() + ends, start="an earlier start")
    assert 0.1 <= await turn(files.guard(), files.url) < 1


async def test_an_end_that_is_farther_off_than_the_grace_is_long_is_not_believed(files: Files) -> None:
    files.killed(grace=0.1, ends=since_start() + 3600, start=this_start())
    assert 0.1 <= await turn(files.guard(), files.url) < 1


@pytest.mark.parametrize(
    "content",
    [
        b"free\n",
        b"\0" * 512,
        b'{"call": "unfin',
        b'["call"]',
        b'{"call": "unfinished", "ends": "soon", "grace": 1}',
        b'{"call": "unfinished", "host": "a", "process": 1e999, "since": "", "grace": 1, "start": "", "ends": null}',
        b'{"call": "unfinished", "host": null, "grace": -1, "start": "", "ends": null}',
        b'{"call": "unfinished", "host": null, "grace": NaN, "start": "", "ends": null}',
        b"[" * 4000,
    ],
)
def test_what_cannot_be_read_counts_as_an_unfinished_call(content: bytes) -> None:
    assert read_mark(content, resource=URL, grace=3) == Mark(None, URL, 3)


async def test_who_finds_what_cannot_be_read_waits_for_its_own_grace(files: Files) -> None:
    files.lock.write_bytes(b"free\n")
    assert await turn(files.guard(abandon_grace=0.1), files.url) >= 0.1
    assert files.content()["call"] == "finished"


async def test_an_empty_file_is_no_call(files: Files) -> None:
    files.lock.touch(0o600)
    assert await turn(files.guard(), files.url) < 1


async def test_what_a_longer_record_left_behind_a_shorter_one_is_passed_over(files: Files) -> None:
    files.lock.write_bytes(b'{"call": "finished"}\n"since": "long ago"}\n')
    assert await turn(files.guard(), files.url) < 1


@pytest.mark.virtual_clock
async def test_the_grace_passes_in_real_time_on_a_clock_that_jumps(files: Files) -> None:
    files.killed(grace=0.1)
    assert await turn(FileGuard(files.prefix), files.url) >= 0.1


@pytest.mark.virtual_clock
async def test_to_sleep_in_real_time_is_no_busy_loop_on_a_clock_that_jumps() -> None:
    began = time.monotonic()
    await sleep_in_real_time(0.05)
    assert time.monotonic() - began >= 0.049


def test_a_finished_record_takes_the_place_of_an_unfinished_one_to_the_byte() -> None:
    record = Mark.of_this_process(URL, 1).record()
    finished = _mark.FINISHED + record[len(_mark.FINISHED) :]
    assert json.loads(finished) == {**json.loads(record), "call": "finished"}


def test_a_machine_that_does_not_tell_its_starts_apart_keeps_to_its_clock(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(_mark, "Path", lambda _: Path("/nowhere/boot_id"))
    this_start.cache_clear()
    try:
        assert this_start() == ""
        assert Mark(None, URL, 5).left().rest() == pytest.approx(5, abs=1)
    finally:
        this_start.cache_clear()


# --- contention -------------------------------------------------------------------------------------------------------


async def test_one_who_waits_enters_soon_after_the_other_has_left(files: Files) -> None:
    other, took = files.held(files.lock), []

    async def wait() -> None:
        await turn(files.guard(), files.url)
        took.append(time.monotonic() - left)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(wait)
        await anyio.sleep(0.05)
        left = time.monotonic()
        other.close()
    assert took[0] < 0.5


async def test_a_newcomer_does_not_pass_the_one_who_is_next(files: Files) -> None:
    files.held(files.next)
    with pytest.raises(GuardTimeoutError):
        await turn(files.guard(acquire_timeout=0.1), files.url)


async def test_one_who_is_next_and_was_stopped_is_passed_in_the_end(
    files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("collectssl_async.guards.file._STALLED", 0.05)
    files.held(files.next)
    await turn(files.guard(), files.url)


async def test_one_who_is_next_and_looks_is_not_passed(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("collectssl_async.guards.file._STALLED", 0.05)
    files.held(files.next)
    written = files.held(files.lock)
    with anyio.move_on_after(0.25):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(turn, files.guard(), files.url)
            while True:  # turns of others come and go
                written.touch()
                written.close()
                await anyio.sleep(0.02)
                assert written.try_lock()
    assert not files.lock.read_bytes()


async def test_one_who_comes_back_at_once_stays_aside_where_others_were_seen_to_wait(files: Files) -> None:
    await turn(files.guard(), files.url)
    os.utime(files.next)
    for _ in range(3):
        await turn(files.guard(), files.url)
    assert await turn(files.guard(), files.url) >= 0.03


async def test_one_who_is_alone_never_stays_aside(files: Files) -> None:
    assert max([await turn(files.guard(), files.url) for _ in range(20)]) < 0.03


async def test_a_waiter_that_was_cancelled_has_nothing_open(files: Files) -> None:
    files.held(files.lock)
    open_before = opened()
    with anyio.move_on_after(0.02):
        await turn(files.guard(), files.url)
    assert opened() <= open_before
    files.held(files.next)


async def test_one_that_is_cancelled_in_the_grace_has_nothing_locked(files: Files) -> None:
    files.killed(grace=60)
    with anyio.move_on_after(0.05):
        await turn(files.guard(), files.url)
    files.held(files.lock)
    files.held(files.next)


async def test_the_time_out_covers_lane_file_and_grace_together(files: Files) -> None:
    files.killed(grace=60)
    inside = anyio.Event()

    async def first() -> None:
        async with FileGuard(files.prefix + "-elsewhere").hold(files.url) as hold:  # it has the lane, not the file
            inside.set()
            await anyio.sleep(0.1)
            hold.finished()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(first)
        await inside.wait()
        began = time.monotonic()
        with pytest.raises(GuardTimeoutError, match=r"within 0\.2 s"):
            await turn(files.guard(acquire_timeout=0.2), files.url)
    assert 0.2 <= time.monotonic() - began < 1


# --- a file that is deleted -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("manner", ["deleted", "replaced", "folder moved"])
async def test_a_holder_whose_file_is_gone_may_not_send(files: Files, manner: str) -> None:
    async with files.guard().hold(files.url) as hold:
        hold.check()
        if manner == "folder moved":
            files.lock.parent.rename(files.lock.parent.with_suffix(".moved"))
        else:
            files.lock.unlink()
        if manner == "replaced":
            files.lock.touch(0o600)
        with pytest.raises(GuardLostError, match="deleted or replaced"):
            hold.check()
        hold.finished()


async def test_a_waiter_goes_over_to_the_file_that_took_the_place_of_a_deleted_one(files: Files) -> None:
    files.held(files.lock)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(turn, files.guard(), files.url)
        await anyio.sleep(0.03)
        files.lock.unlink()
    assert files.content()["call"] == "finished"


async def test_a_file_deleted_in_the_grace_is_locked_anew_before_anyone_enters(files: Files) -> None:
    files.killed(grace=0.1)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(turn, files.guard(), files.url)
        await anyio.sleep(0.03)
        files.lock.unlink()
        files.killed(grace=60, ends=since_start() + 0.3, start=this_start())
        began = time.monotonic()
    assert time.monotonic() - began >= 0.29


async def test_a_file_that_is_deleted_each_time_counts_as_taken(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LockFile, "in_place", lambda _: False)
    with pytest.raises(GuardTimeoutError):
        await turn(files.guard(acquire_timeout=0.02), files.url)


async def test_an_abandoned_call_whose_file_is_gone_is_logged(files: Files, caplog: pytest.LogCaptureFixture) -> None:
    async with files.guard(abandon_grace=0).hold(files.url):
        files.lock.unlink()
    assert [(each.levelno, each.name) for each in caplog.records] == [(logging.WARNING, "collectssl_async")]
    assert "was deleted" in caplog.text
