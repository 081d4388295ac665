"""Hints at the watcher's orders: asked for at once and first, not too often, and again where the hint was early."""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING

import anyio
import pytest

from collectssl_async import OrderRef, PollPolicy
from collectssl_async._hints import Hint, HintBoard
from collectssl_async.stores import MemoryStore
from collectssl_async.watch import Watcher

from .watching import AVAILABLE, CERTIFICATE, EVEN, PROCESSING, Service, issued_after, outcomes_of

if TYPE_CHECKING:
    from .watching import Call

pytestmark = [pytest.mark.anyio, pytest.mark.virtual_clock]

HOUR = 3600.0
GENTLE = PollPolicy(min_interval=3 * HOUR, jitter=0)


async def hint_after(board: HintBoard, seconds: float, number: str | None, certificate_id: int | None = None) -> None:
    await anyio.sleep(seconds)
    board.post(Hint(number, certificate_id))


async def test_with_push_an_order_is_polled_every_three_hours_unless_named() -> None:
    service = Service()
    watcher = Watcher(service.client(), push=HintBoard())
    await watcher.add("1")
    with anyio.move_on_after(10 * HOUR):
        await outcomes_of(watcher)
    assert 3 <= len(service.calls) <= 4


async def test_an_order_that_is_named_is_polled_at_once() -> None:
    service = Service(o1=[issued_after(1000)], o2=[PROCESSING])
    board = HintBoard()
    watcher = Watcher(service.client(), push=board, policy=GENTLE)
    await watcher.add("1", "2")
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(hint_after, board, 1000, "1")
        outcome = await anext(watcher)
    assert outcome.bundle is not None
    assert service.times("1") == [0, 1000, 1000]
    assert service.times("2") == [0]


@pytest.mark.parametrize(
    "order",
    [OrderRef(certificate_id=7), OrderRef(order_number="1", certificate_id=7), OrderRef(order_number="1")],
    ids=str,
)
async def test_an_order_is_named_by_its_number_or_its_certificate_id(order: OrderRef) -> None:
    service = Service(issued_after(1000))
    board = HintBoard()
    watcher = Watcher(service.client(), push=board, policy=GENTLE)
    await watcher.add(order)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(hint_after, board, 1000, "1", 7)
        await anext(watcher)
    assert [round(call.time - service.calls[0].time) for call in service.calls] == [0, 1000, 1000]


async def test_an_order_that_is_named_goes_before_overdue_ones() -> None:
    board = HintBoard()

    async def slowly(call: Call) -> str:
        await anyio.sleep(4)
        if call.order == "0":
            board.post(Hint("4", None))
        return PROCESSING

    service = Service(**{f"o{number}": [slowly] for number in range(5)})
    watcher = Watcher(service.client(), push=board, policy=GENTLE)
    await watcher.add(*"01234")
    with anyio.move_on_after(21):
        await outcomes_of(watcher)
    assert service.orders == "0 4 1 2 3"


async def test_an_order_is_not_polled_again_within_the_failure_interval() -> None:
    service = Service(o1=[PROCESSING])
    board = HintBoard()
    watcher = Watcher(service.client(), push=board, policy=GENTLE)
    await watcher.add("1")
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(hint_after, board, 10, "1")
        with anyio.move_on_after(40):
            await outcomes_of(watcher)
    assert service.times("1") == [0, 30]


async def test_where_the_api_still_says_0_the_poll_is_repeated_three_times() -> None:
    service = Service(o1=[PROCESSING])
    board = HintBoard()
    watcher = Watcher(service.client(), push=board, policy=GENTLE)
    await watcher.add("1")
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(hint_after, board, 1000, "1")
        with anyio.move_on_after(4 * HOUR):
            await outcomes_of(watcher)
    assert service.times("1") == [0, 1000, 1030, 1090, 1210, 1210 + 3 * HOUR]


async def test_a_hint_during_the_orders_own_call_counts() -> None:
    board = HintBoard()

    async def slowly(_: Call) -> str:
        await anyio.sleep(5)
        board.post(Hint("1", None))
        await anyio.sleep(5)
        return PROCESSING

    service = Service(o1=[slowly, AVAILABLE, CERTIFICATE])
    watcher = Watcher(service.client(), push=board, policy=GENTLE)
    await watcher.add("1")
    await outcomes_of(watcher)
    assert service.times("1")[1] == 40


async def test_a_hint_while_the_body_runs_counts() -> None:
    service = Service(o1=[CERTIFICATE], o2=[PROCESSING, CERTIFICATE])
    board = HintBoard()
    watcher = Watcher(service.client(), push=board, policy=GENTLE)
    await watcher.add("2", "1")
    async for outcome in watcher:
        if str(outcome.order) == "1":
            await anyio.sleep(100)
            board.post(Hint("2", None))
    assert service.times("2") == [0, 100]


async def test_a_hint_before_the_order_is_added_counts() -> None:
    service = Service(CERTIFICATE)
    board = HintBoard()
    board.post(Hint("1", None))
    watcher = Watcher(service.client(), push=board, policy=PollPolicy(initial_delay=HOUR))
    began = anyio.current_time()
    await watcher.add("1")
    await outcomes_of(watcher)
    assert service.calls[0].time == began
    assert not board.recall(OrderRef(order_number="1"))


async def test_a_hint_before_the_store_is_read_counts() -> None:
    service = Service(o1=[PROCESSING, CERTIFICATE])
    store = MemoryStore()
    first = Watcher(service.client(), policy=EVEN.model_copy(update={"failure_interval": 0.0}), store=store)
    await first.add("1")
    with anyio.move_on_after(5):
        await outcomes_of(first)
    board = HintBoard()
    board.post(Hint("1", None))
    policy = GENTLE.model_copy(update={"failure_interval": 0.0})
    await outcomes_of(Watcher(service.client(), policy=policy, store=store, push=board))
    assert service.times("1")[1] <= 5


async def test_a_hint_for_another_order_is_kept_for_whoever_waits_for_it() -> None:
    board = HintBoard()
    watcher = Watcher(Service(CERTIFICATE).client(), push=board)
    await watcher.add("1")
    board.post(Hint("2", None))
    await outcomes_of(watcher)
    assert board.recall(OrderRef(order_number="2"))


async def test_a_watcher_that_is_done_listens_no_more() -> None:
    board = HintBoard()
    watcher = Watcher(Service(CERTIFICATE).client(), push=board)
    await watcher.add("1")
    await outcomes_of(watcher)
    board.post(Hint("1", None))
    assert board.recall(OrderRef(order_number="1"))


async def test_a_watcher_that_was_dropped_uses_no_hint_up() -> None:
    board = HintBoard()
    watcher = Watcher(Service().client(), push=board)
    await watcher.add("1")
    del watcher
    gc.collect()
    board.post(Hint("1", None))
    assert board.recall(OrderRef(order_number="1"))


async def test_a_storm_of_hints_makes_no_more_than_one_poll_an_interval() -> None:
    service = Service(o1=[PROCESSING])
    board = HintBoard()
    watcher = Watcher(service.client(), push=board, policy=GENTLE)
    await watcher.add("1")

    async def storm() -> None:
        for _ in range(600):
            for _ in range(100):
                board.post(Hint("1", None))
            await anyio.sleep(0.1)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(storm)
        with anyio.move_on_after(59):
            await outcomes_of(watcher)
        tasks.cancel_scope.cancel()
    assert service.times("1") == [0, 30]


async def test_a_hint_does_not_end_the_pause_of_an_outage() -> None:
    service = Service(o1=["<html>", CERTIFICATE])
    board = HintBoard()
    watcher = Watcher(service.client(), push=board, policy=PollPolicy(failure_interval=300, jitter=0))
    await watcher.add("1")
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(hint_after, board, 100, "1")
        await outcomes_of(watcher)
    assert service.times("1") == [0, 300]
