"""Files that no watcher may have, and full disks: a `StoreError` says which, and nothing is touched or lost."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from collectssl_async._sqlite import StateFile
from collectssl_async.errors import StoreError
from collectssl_async.polling import PollPolicy, PollState
from collectssl_async.stores import SQLiteStore
from collectssl_async.watch import Watcher

from .disk import no_room
from .watching import CERTIFICATE, PROCESSING, REJECTED, Service, kept, names, outcomes_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from collectssl_async._kept import Kept, Key

pytestmark = pytest.mark.anyio

NOW = time.time()
ROOT = Path(__file__).parent.parent


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A store of 200 orders that was closed, several pages long."""
    path = tmp_path / "orders.db"
    file = StateFile(path)
    file.open()
    file.write(file.ticket(), {f"{number:06}": kept(f"{number:06}", NOW) for number in range(200)}, durable=False)
    file.close()
    return path


def held(path: Path) -> Mapping[str, bytes]:
    """Return what is in the folder, but for the lock and SQLite's index of its log, which it makes anew."""
    return {each.name: each.read_bytes() for each in path.parent.iterdir() if not each.name.endswith((".lock", "-shm"))}


async def refusal(path: Path) -> StoreError:
    """Return why a watcher may not have the file, which must be as it was afterwards."""
    before = held(path)
    with pytest.raises(StoreError) as caught:
        await Watcher(Service().client(), store=SQLiteStore(path)).orders()
    assert held(path) == before
    assert str(path) in str(caught.value)
    return caught.value


# --- files that are no store ------------------------------------------------------------------------------------------


def truncate(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def overwrite(path: Path, at: int, what: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        file.write(what)


def in_sql(path: Path, statement: str) -> None:
    database = sqlite3.connect(path)
    database.execute(statement)
    database.commit()
    database.close()


DAMAGES: dict[str, Callable[[Path], object]] = {
    "half of it": truncate,
    "a page of noise": lambda path: overwrite(path, 8192, os.urandom(4096)),
    "a page of zeros": lambda path: overwrite(path, 8192, bytes(4096)),
    "noise at its beginning": lambda path: overwrite(path, 0, os.urandom(100)),
    "text": lambda path: path.write_text("order_number\n12345\n" * 1000),
    "no table": lambda path: in_sql(path, "DROP TABLE orders"),
    "other columns": lambda path: in_sql(path, "ALTER TABLE orders ADD COLUMN surplus"),
    "an order without a number": lambda path: in_sql(path, "UPDATE orders SET identifiers = '{}' WHERE rowid = 7"),
    "a count below nothing": lambda path: in_sql(path, "UPDATE orders SET polls = -1 WHERE rowid = 7"),
    "a time beyond all": lambda path: in_sql(path, "UPDATE orders SET next_poll_at = 1e300 WHERE rowid = 7"),
    "a status that is none": lambda path: in_sql(path, "UPDATE orders SET last_status = 9 WHERE rowid = 7"),
    "an ending that is none": lambda path: in_sql(path, "UPDATE orders SET ending = 'well' WHERE rowid = 7"),
    "a byte of a number that is no text": lambda path: in_sql(
        path, "UPDATE orders SET identifiers = CAST(x'7b226fff223a2231227d' AS TEXT) WHERE rowid = 7"
    ),
    "bytes that are no text": lambda path: in_sql(
        path, "UPDATE orders SET ending = CAST(x'ff' AS TEXT) WHERE rowid = 7"
    ),
}


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.parametrize("damage", DAMAGES)
async def test_a_damaged_file_is_refused_and_left_untouched(path: Path, damage: str) -> None:
    DAMAGES[damage](path)
    error = await refusal(path)
    assert "it is damaged" in str(error)


async def test_the_states_that_can_be_read_of_a_damaged_file_are_told(path: Path) -> None:
    in_sql(path, "UPDATE orders SET polls = -1 WHERE rowid = 151")
    error = await refusal(path)
    assert len(error.states) == 150
    assert all(isinstance(state, PollState) for state in error.states)


async def test_a_damaged_file_whose_watcher_was_killed_keeps_its_log(path: Path, tmp_path: Path) -> None:
    file = StateFile(path)
    file.open()
    file.write(file.ticket(), {"1": kept("1", NOW)}, durable=False)
    killed = tmp_path / "killed"
    killed.mkdir()
    for each in ("orders.db", "orders.db-wal"):
        shutil.copy(tmp_path / each, killed)
    file.close()
    overwrite(killed / "orders.db", 8192, os.urandom(4096))
    error = await refusal(killed / "orders.db")
    assert "it is damaged" in str(error)
    assert "orders.db-wal" in held(killed / "orders.db")


async def test_an_empty_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "orders.db").touch()
    assert "it is empty" in str(await refusal(tmp_path / "orders.db"))


async def test_another_programs_database_is_refused(tmp_path: Path) -> None:
    in_sql(tmp_path / "history.db", "CREATE TABLE orders (identifiers)")
    assert "another program's" in str(await refusal(tmp_path / "history.db"))


async def test_a_file_of_a_later_version_is_refused(path: Path) -> None:
    in_sql(path, "PRAGMA user_version = 2")
    assert "it has version 2" in str(await refusal(path))


async def test_a_folder_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="its folder is not there"):
        await Watcher(Service().client(), store=SQLiteStore(tmp_path / "none" / "orders.db")).add("1")


async def test_a_directory_is_no_file(tmp_path: Path) -> None:
    (tmp_path / "orders.db").mkdir()
    with pytest.raises(StoreError, match="it is no file"):
        await Watcher(Service().client(), store=SQLiteStore(tmp_path / "orders.db")).add("1")


async def test_a_refused_file_is_not_locked_any_more(path: Path) -> None:
    in_sql(path, "PRAGMA user_version = 2")
    await refusal(path)
    in_sql(path, "PRAGMA user_version = 1")
    async with Watcher(Service().client(), store=SQLiteStore(path)) as watcher:
        assert len(await watcher.orders()) == 200


async def test_a_new_file_that_was_not_finished_is_begun_anew(tmp_path: Path) -> None:
    (tmp_path / "orders.db.new").write_bytes(b"half")
    async with Watcher(Service().client(), store=SQLiteStore(tmp_path / "orders.db")) as watcher:
        await watcher.add("1")
    assert not (tmp_path / "orders.db.new").exists()


# --- files in use -----------------------------------------------------------------------------------------------------


async def test_a_second_watcher_of_the_process_is_refused(path: Path) -> None:
    async with Watcher(Service().client(), store=SQLiteStore(path)) as first:
        await first.add("1")
        error = await refusal(path)
        assert "in use by another watcher" in str(error)
        assert len(error.states) == 201
        await first.add("2")
    async with Watcher(Service().client(), store=SQLiteStore(path)) as later:
        assert len(await later.orders()) == 202


async def test_a_second_watcher_is_refused_by_whichever_name(path: Path, tmp_path: Path) -> None:
    (tmp_path / "link.db").symlink_to(path)
    async with Watcher(Service().client(), store=SQLiteStore(tmp_path / "link.db")) as first:
        await first.orders()
        assert "in use by another watcher" in str(await refusal(path))


async def test_one_store_serves_one_watcher_at_a_time(path: Path) -> None:
    store = SQLiteStore(path)
    async with Watcher(Service().client(), store=store) as first:
        await first.orders()
        with pytest.raises(StoreError, match="in use by another watcher"):
            await Watcher(Service().client(), store=store).orders()
        await first.add("1")


HOLDER = """
import sys, pathlib
from collectssl_async._sqlite import StateFile
StateFile(pathlib.Path(sys.argv[1])).open()
print("open", flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_second_watcher_of_another_process_is_refused(path: Path) -> None:
    command = [sys.executable, "-c", HOLDER, str(path)]
    with subprocess.Popen(  # noqa: ASYNC220 - it is ready at once
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "open\n"
        assert "in use by another watcher" in str(await refusal(path))
        holder.kill()
    async with Watcher(Service().client(), store=SQLiteStore(path)) as watcher:
        assert len(await watcher.orders()) == 200


async def test_a_program_that_writes_to_the_file_for_long_is_said(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    connect = sqlite3.connect
    monkeypatch.setattr(sqlite3, "connect", lambda *given, **named: connect(*given, **named | {"timeout": 0.0}))
    other = connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreError, match="another program is writing to it") as caught:
        await Watcher(Service().client(), store=SQLiteStore(path)).orders()
    assert len(caught.value.states) == 200
    other.close()


# --- files that cannot be written to ----------------------------------------------------------------------------------

IN_A_PROCESS = """
import json, os, resource, sys, tempfile
import anyio
from pathlib import Path
from collectssl_async.errors import StoreError
from collectssl_async.stores import SQLiteStore
from collectssl_async.watch import Watcher
from tests.watching import PROCESSING, Service

async def use(path):
    told = []
    watcher = Watcher(Service(PROCESSING).client(), store=SQLiteStore(path))
    try:
        with anyio.move_on_after(0.5):
            async for outcome in watcher:
                told.append(str(outcome.order))
        told.append("no end")
    except StoreError as error:
        told += [str(error), len(error.states)]
    return told

def as_nobody():
    with tempfile.TemporaryDirectory() as folder:
        anyio.run(use, Path(folder) / "any.db")  # all that is imported late, while it can be read
    if os.geteuid() == 0:
        os.seteuid(65534)

def on_a_full_disk():
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
"""


def told_of(folder: Path, limit: str, *names: str) -> list[list[Any]]:
    """Return what watchers tell of files in a process that is limited: their outcomes, the error, its states."""
    program = f"{IN_A_PROCESS}\n{limit}()\nprint(json.dumps([anyio.run(use, Path(name)) for name in sys.argv[1:]]))"
    done = subprocess.run(
        [sys.executable, "-c", program, *(str(folder / name) for name in names)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        timeout=120,
    )
    told: list[list[Any]] = json.loads(done.stdout)
    return told


@pytest.fixture
def public_folder() -> Iterator[Path]:
    """A folder that others may enter, unlike pytest's."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_what_is_read_only_is_said_with_its_states(path: Path, public_folder: Path) -> None:
    for name, folder_mode, file_mode in (("file", 0o777, 0o444), ("folder", 0o555, 0o666), ("locked", 0o555, 0o666)):
        (public_folder / name).mkdir()
        shutil.copy(path, public_folder / name / "orders.db")
        if name == "locked":
            (public_folder / name / "orders.db.lock").touch(0o666)
            (public_folder / name / "orders.db.lock").chmod(0o666)
        (public_folder / name / "orders.db").chmod(file_mode)
        (public_folder / name).chmod(folder_mode)
    before = held(path)[path.name]
    file, folder, locked = told_of(public_folder, "as_nobody", "file/orders.db", "folder/orders.db", "locked/orders.db")
    for name in ("folder", "locked"):
        (public_folder / name).chmod(0o755)
    assert all("read-only" in told[0] for told in (file, folder, locked))
    assert [told[1] for told in (file, folder, locked)] == [200, 200, 200]
    assert all((public_folder / name / "orders.db").read_bytes() == before for name in ("file", "folder", "locked"))


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_on_a_full_disk_outcomes_are_handed_over_before_the_error(path: Path, tmp_path: Path) -> None:
    file = StateFile(path)
    file.open()
    ending = '{"error": "TransportError", "text": "reset"}'
    ended: dict[Key, Kept | None] = {f"{number:06}": kept(f"{number:06}", NOW, ending=ending) for number in range(3)}
    file.write(file.ticket(), ended, durable=False)
    file.close()
    before = held(path)
    [with_outcomes, new] = told_of(tmp_path, "on_a_full_disk", "orders.db", "new.db")
    assert with_outcomes[:3] == ["000000", "000001", "000002"]
    assert "the disk is full" in with_outcomes[3]
    assert with_outcomes[4] == 197
    assert "the disk is full" in new[0]
    assert held(path)["orders.db"] == before["orders.db"]
    assert not (tmp_path / "new.db").exists()


class FullStore(SQLiteStore):
    """A store whose file cannot grow while `full`."""

    def fill(self, *, full: bool) -> None:
        database = self._file._database
        assert database is not None
        [pages] = database.execute("PRAGMA page_count").fetchone()
        database.execute(f"PRAGMA max_page_count = {pages if full else 2**30}")


async def test_an_outcome_that_a_full_disk_cannot_keep_is_delivered_and_then_the_error_comes(tmp_path: Path) -> None:
    store = FullStore(tmp_path / "orders.db")
    service = Service(o1=[CERTIFICATE], o2=[PROCESSING, REJECTED])
    policy = PollPolicy(min_interval=0.1, jitter=0)
    async with Watcher(service.client(), store=store, policy=policy) as watcher:
        await watcher.add("1", "2")
        await store.write({f"{number:0128}": kept(f"{number:0128}", NOW) for number in range(12)}, durable=False)
        store.fill(full=True)
        outcome = await anext(watcher)
        assert outcome.bundle is not None
        with pytest.raises(StoreError, match="the disk is full") as caught:
            await anext(watcher)
        assert [str(state.order) for state in caught.value.states] == ["2"]
        store.fill(full=False)
        assert [str(outcome.order) for outcome in await outcomes_of(watcher)] == ["2"]


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_disk_that_fills_up_before_the_first_call_holds_no_outcome_back(tmp_path: Path) -> None:
    service = Service(o1=[CERTIFICATE], o2=[PROCESSING], o3=[CERTIFICATE])
    async with Watcher(service.client(), store=SQLiteStore(tmp_path / "orders.db")) as watcher:
        await watcher.add("1", "2", "3")
        with no_room():
            assert [str((await anext(watcher)).order) for _ in range(2)] == ["1", "3"]
            with pytest.raises(StoreError, match="the disk is full"):
                await anext(watcher)
        assert service.orders == "1 2 3"


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_process_that_begins_on_a_full_disk_asks_for_no_order(path: Path) -> None:
    service = Service(CERTIFICATE)
    watcher = Watcher(service.client(), store=SQLiteStore(path))
    with no_room(), pytest.raises(StoreError, match="the disk is full"):
        await anext(watcher)
    assert service.calls == []


async def test_on_a_full_disk_no_order_is_added_and_none_is_asked_for(tmp_path: Path) -> None:
    store = FullStore(tmp_path / "orders.db")
    service = Service(o1=[PROCESSING])
    async with Watcher(service.client(), store=store) as watcher:
        await watcher.add("1")
        store.fill(full=True)
        with pytest.raises(StoreError, match="the disk is full"):
            await watcher.add(*(f"{number:0100}" for number in range(100)))
        assert names(await watcher.orders()) == ["1"]
        store.fill(full=False)
        await watcher.add("2")
    async with Watcher(service.client(), store=SQLiteStore(tmp_path / "orders.db")) as watcher:
        assert names(await watcher.orders()) == ["1", "2"]
    assert service.calls == []
