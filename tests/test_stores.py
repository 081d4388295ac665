"""What a store keeps of orders, and that the file of an `SQLiteStore` carries a wait from one process to the next."""

from __future__ import annotations

import asyncio
import gc
import os
import sqlite3
import time
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from collectssl_async import (
    APIError,
    AwaitingPaymentError,
    CallTimeoutError,
    CertificateBundle,
    ChainError,
    CollectSSLError,
    GuardLostError,
    GuardTimeoutError,
    MalformedResponseError,
    OrderRef,
    OrderRejectedError,
    PollPolicy,
    ServerUnavailableError,
    StatusCode,
    TransportError,
)
from collectssl_async._endings import certificates_as_text, error_as_text, read_ending
from collectssl_async._kept import Kept, key_of, order_of
from collectssl_async._sqlite import StateFile
from collectssl_async.errors import API_ERRORS
from collectssl_async.push import PushReceiver
from collectssl_async.stores import MemoryStore, SQLiteStore
from collectssl_async.watch import Watcher

from . import pki
from .watching import CERTIFICATE, CHAIN, PROCESSING, REJECTED, Service, kept, names, outcomes_of, tell

if TYPE_CHECKING:
    from pathlib import Path

    from collectssl_async.stores import Store

pytestmark = pytest.mark.anyio

QUICK = PollPolicy(min_interval=0.02, max_interval=0.02, failure_interval=0.01, jitter=0)
NOW = time.time()


@pytest.fixture(params=["memory", "sqlite"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    return MemoryStore() if request.param == "memory" else SQLiteStore(tmp_path / "orders.db")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "orders.db"


# --- what every store keeps -------------------------------------------------------------------------------------------

EVERYTHING: dict[str, Any] = {
    "next_poll_at": NOW + 5.25,
    "last_poll_at": NOW - 7.125,
    "polls": 3,
    "failures": 2,
    "collections": 1,
    "last_status": StatusCode.AVAILABLE,
}


@pytest.mark.parametrize("fields", [{}, EVERYTHING], ids=["begun", "everything"])
async def test_an_order_comes_back_as_it_was(store: Store, fields: dict[str, Any]) -> None:
    order = kept("1", NOW, **fields)
    await store.open()
    await store.write({"1": order}, durable=True)
    await store.close()
    assert list(await store.open()) == [order]
    await store.close()


@pytest.mark.parametrize(
    "order",
    [
        OrderRef(order_number="1"),
        OrderRef(certificate_id=1),
        OrderRef(base_order_number=10**127),
        OrderRef(order_number="\"\u00fc'", certificate_id=2, base_order_number=3),
    ],
    ids=str,
)
async def test_an_order_comes_back_by_all_its_identifiers(store: Store, order: OrderRef) -> None:
    key = key_of(order)
    await store.open()
    await store.write({key: Kept(key, NOW, NOW)}, durable=True)
    await store.close()
    [again] = await store.open()
    await store.close()
    assert order_of(again.key) == order


async def test_what_is_written_later_replaces_and_none_forgets(store: Store) -> None:
    await store.open()
    await store.write({number: kept(number, NOW) for number in "123"}, durable=True)
    await store.write({"1": None, "2": kept("2", NOW, polls=1), "4": None}, durable=False)
    await store.close()
    assert {each.key: each.polls for each in await store.open()} == {"2": 1, "3": 0}
    await store.close()


async def test_the_order_of_adding_is_kept(store: Store) -> None:
    await store.open()
    await store.write({number: kept(number, NOW) for number in "31542"}, durable=True)
    await store.close()
    assert [each.key for each in await store.open()] == list("31542")
    await store.close()


# --- how orders end ---------------------------------------------------------------------------------------------------

ERRORS: list[CollectSSLError] = [
    *[APIError.from_code(code, f"text of {code}", item="orderNumber") for code in API_ERRORS],
    APIError.from_code(-12345),
    TransportError("reset"),
    CallTimeoutError("no whole reply within 60 s"),
    ServerUnavailableError("down", status_code=503, retry_after=1.5),
    ServerUnavailableError("down", status_code=429),
    MalformedResponseError("HTML", status_code=200, excerpt="<html>"),
    GuardTimeoutError("no turn"),
    GuardLostError("lost"),
    ChainError("none of them"),
]


@pytest.mark.parametrize("error", ERRORS, ids=str)
def test_an_error_comes_back_whole(error: CollectSSLError) -> None:
    again = read_ending(error_as_text(error))
    assert type(again) is type(error)
    assert (str(again), vars(again)) == (str(error), vars(error))


def test_an_error_of_a_class_from_elsewhere_comes_back_as_the_one_it_is_of_here() -> None:
    class NoQuorumError(GuardLostError):
        pass

    assert type(read_ending(error_as_text(NoQuorumError("lost")))) is GuardLostError


def test_certificates_come_back_as_they_were_received() -> None:
    payload = pki.payload(CHAIN.new_root, CHAIN.issuing, CHAIN.leaf)
    assert read_ending(certificates_as_text(payload)) == CertificateBundle.from_payload(payload)


@pytest.mark.parametrize("text", ["", "5", "[]", "{}", '{"error":"KeyboardInterrupt"}', '{"certificates":{}}'])
def test_a_text_that_nobody_wrote_is_no_ending(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - json's and pydantic's are ValueErrors too
        read_ending(text)


@pytest.mark.parametrize("answer", [CERTIFICATE, REJECTED], ids=["certificates", "error"])
async def test_an_outcome_that_was_not_handed_over_comes_again_without_a_call(path: Path, answer: str) -> None:
    service = Service(answer)
    async with Watcher(service.client(), store=SQLiteStore(path)) as watcher:
        await watcher.add("1")
        first = await anext(watcher)
    async with Watcher(service.client(), store=SQLiteStore(path)) as watcher:
        [again] = await outcomes_of(watcher)
    assert (again.order, again.state) == (first.order, first.state)
    assert again.bundle == first.bundle
    assert (type(again.error), str(again.error)) == (type(first.error), str(first.error))
    assert len(service.calls) == 1


async def test_an_outcome_is_forgotten_when_the_loop_asks_for_the_next(path: Path) -> None:
    service = Service(o1=[REJECTED], o2=[PROCESSING])
    async with Watcher(service.client(), store=SQLiteStore(path)) as watcher:
        await watcher.add("1", "2")
        await anext(watcher)
        with anyio.move_on_after(0.1):
            await anext(watcher)
    async with Watcher(service.client(), store=SQLiteStore(path)) as watcher:
        assert names(await watcher.orders()) == ["2"]
        with anyio.move_on_after(0.1) as scope:
            await anext(watcher)
    assert scope.cancelled_caught


# --- from one watcher to the next -------------------------------------------------------------------------------------


async def test_the_next_watcher_goes_on_without_an_early_poll(path: Path) -> None:
    service = Service(o1=[PROCESSING, CERTIFICATE])
    policy = PollPolicy(min_interval=0.5, jitter=0)
    async with Watcher(service.client(), store=SQLiteStore(path), policy=policy) as watcher:
        await watcher.add("1")
        with anyio.move_on_after(0.05):
            await outcomes_of(watcher)
    async with Watcher(service.client(), store=SQLiteStore(path), policy=policy) as watcher:
        [outcome] = await outcomes_of(watcher)
    assert outcome.state.polls == 2
    assert 0.495 <= service.times("1")[1] < 1


async def test_a_store_that_is_done_is_one_file_and_free_again(path: Path) -> None:
    watcher = Watcher(Service(CERTIFICATE).client(), store=SQLiteStore(path))
    await watcher.add("1")
    await outcomes_of(watcher)
    assert {each.name for each in path.parent.iterdir()} == {"orders.db", "orders.db.lock"}
    async with Watcher(Service().client(), store=SQLiteStore(path)) as another:
        assert await another.orders() == ()


async def test_a_watcher_that_is_done_takes_more_orders(path: Path) -> None:
    watcher = Watcher(Service(CERTIFICATE).client(), store=SQLiteStore(path))
    for number in "12":
        await watcher.add(number)
        assert len(await outcomes_of(watcher)) == 1


@pytest.mark.parametrize("with_push", [False, True])
async def test_a_watcher_that_is_dropped_lets_go_of_the_file(path: Path, with_push: bool) -> None:
    receiver = PushReceiver() if with_push else None
    watcher = Watcher(Service().client(), store=SQLiteStore(path), push=receiver)
    await watcher.add("1")
    del watcher
    gc.collect()
    async with Watcher(Service().client(), store=SQLiteStore(path)) as another:
        assert names(await another.orders()) == ["1"]


async def test_a_watcher_that_is_closed_while_it_is_cancelled_lets_go_of_the_file(path: Path) -> None:
    watcher = Watcher(Service().client(), store=SQLiteStore(path))
    with anyio.CancelScope() as scope:
        async with watcher:
            await watcher.add("1")
            scope.cancel()
            await outcomes_of(watcher)
    async with Watcher(Service().client(), store=SQLiteStore(path)) as another:
        assert names(await another.orders()) == ["1"]


async def test_orders_added_at_the_same_time_share_their_transactions(path: Path) -> None:
    async with Watcher(Service().client(), store=SQLiteStore(path)) as watcher:
        async with anyio.create_task_group() as tasks:
            for number in range(100):
                tasks.start_soon(watcher.add, str(number))
        assert len(await watcher.orders()) == 100
    async with Watcher(Service().client(), store=SQLiteStore(path)) as watcher:
        assert len(await watcher.orders()) == 100


async def test_an_order_added_while_the_loop_ends_is_not_lost(path: Path) -> None:
    service = Service(CERTIFICATE)
    watcher = Watcher(service.client(), store=SQLiteStore(path))
    ended: list[str] = []

    await watcher.add("0")
    for number in range(1, 20):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(tell, watcher, ended.append)
            for _ in range(number):
                await anyio.lowlevel.checkpoint()
            await watcher.add(str(number))
    await tell(watcher, ended.append)
    assert sorted(ended, key=int) == [str(number) for number in range(20)]
    await watcher.aclose()


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_task_of_asyncio_that_is_cancelled_while_the_store_writes_loses_nothing(path: Path) -> None:
    service = Service(**{f"o{number}": [PROCESSING, CERTIFICATE] for number in range(10)})
    watcher = Watcher(service.client(), store=SQLiteStore(path), policy=QUICK)
    ended: list[str] = []

    await watcher.add(*map(str, range(10)))
    for steps in range(40):
        task = asyncio.ensure_future(tell(watcher, ended.append))
        for _ in range(steps):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
    await tell(watcher, ended.append)
    assert sorted(ended) == [str(number) for number in range(10)]


def test_a_write_that_comes_late_does_not_undo_the_next(path: Path) -> None:
    file = StateFile(path)
    file.open()
    early, late = file.ticket(), file.ticket()
    file.write(late, {"1": kept("1", NOW, polls=2)}, durable=False)
    file.write(early, {"1": kept("1", NOW, polls=1)}, durable=False)
    file.close()
    assert [each.polls for each in file.open()] == [2]
    file.close()


def test_only_what_is_durable_waits_for_the_disk(path: Path) -> None:
    statements: list[str] = []
    file = StateFile(path)
    file.open()
    assert file._database is not None
    file._database.set_trace_callback(statements.append)
    for durable in (True, False):
        file.write(file.ticket(), {"1": kept("1", NOW)}, durable=durable)
    file.close()
    assert [each for each in statements if "synchronous" in each] == [
        "PRAGMA synchronous = FULL",
        "PRAGMA synchronous = NORMAL",
    ]


async def test_an_order_that_was_added_is_durable_and_a_poll_need_not_be(path: Path) -> None:
    class Noted(MemoryStore):
        async def write(self, changes: Any, *, durable: bool) -> None:
            written.append(durable)
            await super().write(changes, durable=durable)

    written: list[bool] = []
    watcher = Watcher(Service(CERTIFICATE).client(), store=Noted())
    await watcher.add("1")
    assert written == [True]
    await outcomes_of(watcher)
    assert set(written[1:]) == {False}


async def test_the_file_is_an_ordinary_database_for_others_to_read(path: Path) -> None:
    async with Watcher(Service().client(), store=SQLiteStore(path)) as watcher:
        await watcher.add(OrderRef(order_number="1", certificate_id=7))
        database = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
        assert database.execute("SELECT identifiers, polls FROM orders").fetchall() == [
            ('{"order_number": "1", "certificate_id": 7}', 0)
        ]
        assert database.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        database.close()


@pytest.mark.parametrize("name", ["a?b#c%20d.db", "\u00fcmlaut.db", "with space.db"])
async def test_a_path_may_hold_any_character(tmp_path: Path, name: str) -> None:
    async with Watcher(Service().client(), store=SQLiteStore(str(tmp_path / name))) as watcher:
        await watcher.add("1")
    async with Watcher(Service().client(), store=SQLiteStore(tmp_path / name)) as watcher:
        assert names(await watcher.orders()) == ["1"]
    assert (tmp_path / name).stat().st_size > 0


@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
def test_a_forked_child_leaves_its_parents_file_alone(path: Path) -> None:
    file = StateFile(path)
    file.open()
    file.write(file.ticket(), {"1": kept("1", NOW)}, durable=False)
    child = os.fork()
    if not child:
        try:
            file.close()
            file.open()
        except Exception as error:
            os._exit(0 if "forked" in str(error) else 2)
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    with pytest.raises(CollectSSLError, match="in use by another watcher"):
        StateFile(path).open()
    file.close()


async def test_refusals_keep_their_class_across_a_restart(path: Path) -> None:
    for answer, expected in ((REJECTED, OrderRejectedError), ("-22\nStill awaiting payment!", AwaitingPaymentError)):
        async with Watcher(Service(answer).client(), store=SQLiteStore(path)) as watcher:
            await watcher.add("1")
            await anext(watcher)
        async with Watcher(Service().client(), store=SQLiteStore(path)) as watcher:
            [outcome] = await outcomes_of(watcher)
        assert type(outcome.error) is expected
