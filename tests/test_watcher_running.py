"""What changes while a watcher runs: orders that are added and removed, by its own loop and by other tasks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio
import pytest
from pydantic import ValidationError

from collectssl_async import (
    AwaitingPaymentError,
    OrderRef,
    PollPolicy,
    PollState,
    StatusCode,
)
from collectssl_async.stores import MemoryStore
from collectssl_async.watch import Watcher

from .watching import (
    CERTIFICATE,
    EVEN,
    PROCESSING,
    REJECTED,
    Service,
    names,
    outcomes_of,
    tell,
)

if TYPE_CHECKING:
    from .watching import Call

pytestmark = [pytest.mark.anyio, pytest.mark.virtual_clock]


@pytest.mark.parametrize("again", ["1", OrderRef(order_number="1")])
async def test_an_order_added_twice_is_one_order(again: OrderRef | str) -> None:
    service = Service(CERTIFICATE)
    watcher = Watcher(service.client())
    await watcher.add("1", "1")
    await watcher.add(again)
    assert len(await outcomes_of(watcher)) == len(service.calls) == 1


async def test_orders_with_other_identifiers_are_other_orders() -> None:
    watcher = Watcher(Service().client())
    orders = (
        OrderRef(order_number="7"),
        OrderRef(certificate_id=7),
        OrderRef(base_order_number=7),
        OrderRef(order_number="7", certificate_id=7),
    )
    await watcher.add(*orders)
    assert await watcher.orders() == orders


async def test_an_order_is_asked_for_by_the_identifiers_it_was_added_with() -> None:
    service = Service(CERTIFICATE)
    watcher = Watcher(service.client())
    await watcher.add(OrderRef(certificate_id=4711))
    [outcome] = await outcomes_of(watcher)
    assert outcome.order == OrderRef(certificate_id=4711)
    assert service.orders == "4711"


async def test_an_order_that_cannot_be_one_is_refused_before_anything_is_added() -> None:
    watcher = Watcher(Service().client())
    with pytest.raises(ValidationError):
        await watcher.add("1", "")
    with pytest.raises(TypeError, match="an order is"):
        await watcher.add(5)  # type: ignore[arg-type]  # what is tested
    assert await watcher.orders() == ()


async def test_an_order_added_while_it_sleeps_is_polled_at_once() -> None:
    service = Service(o1=[PROCESSING], o2=[CERTIFICATE])
    watcher = Watcher(service.client(), policy=EVEN)
    await watcher.add("1")
    async with anyio.create_task_group() as tasks:

        async def add_later() -> None:
            await anyio.sleep(25)
            await watcher.add("2")

        tasks.start_soon(add_later)
        outcome = await anext(watcher)
    assert str(outcome.order) == "2"
    assert service.times("2") == [25]


async def test_an_order_may_be_added_in_the_loop() -> None:
    service = Service(CERTIFICATE)
    watcher = Watcher(service.client())
    await watcher.add("1")
    ended = []
    async for outcome in watcher:
        ended.append(str(outcome.order))
        if len(ended) < 3:
            await watcher.add(str(len(ended) + 1))
    assert ended == ["1", "2", "3"]


async def test_an_order_that_ended_may_be_waited_for_again_in_the_loop() -> None:
    service = Service(o1=["-22\nStill awaiting payment!", CERTIFICATE])
    watcher = Watcher(service.client())
    await watcher.add("1")
    ended = []
    async for outcome in watcher:
        ended.append(outcome)
        if isinstance(outcome.error, AwaitingPaymentError):
            await watcher.add(outcome.order)
    assert [outcome.bundle is not None for outcome in ended] == [False, True]


async def test_an_order_that_is_waited_for_again_is_kept_in_the_store() -> None:
    service = Service(o1=["-22\nStill awaiting payment!", PROCESSING])
    store = MemoryStore()
    watcher = Watcher(service.client(), store=store, policy=PollPolicy(initial_delay=100))
    await watcher.add("1")
    await watcher.add((await anext(watcher)).order)
    with anyio.move_on_after(50):
        await anext(watcher)
    [waiting] = await store.open()
    assert (waiting.key, waiting.ending, waiting.polls) == ("1", None, 0)


async def test_an_order_whose_outcome_lies_ready_is_not_begun_anew() -> None:
    service = Service(CERTIFICATE)
    store = MemoryStore()
    first = Watcher(service.client(), store=store)
    await first.add("1")
    await anext(first)
    watcher = Watcher(service.client(), store=store)
    await watcher.add("1")
    assert len(await outcomes_of(watcher)) == 1
    assert len(service.calls) == 1


async def test_removing_the_last_order_ends_the_loop() -> None:
    service = Service(PROCESSING)
    watcher = Watcher(service.client(), policy=EVEN)
    await watcher.add("1")
    began = anyio.current_time()
    async with anyio.create_task_group() as tasks:

        async def remove_later() -> None:
            await anyio.sleep(25)
            await watcher.remove("1")

        tasks.start_soon(remove_later)
        assert await outcomes_of(watcher) == []
    assert anyio.current_time() - began == pytest.approx(25)


async def test_an_order_removed_during_its_call_has_no_outcome() -> None:
    async def remove(_: Call) -> str:
        await watcher.remove("1")
        return CERTIFICATE

    service = Service(o1=[remove], o2=[CERTIFICATE])
    watcher = Watcher(service.client())
    await watcher.add("1", "2")
    [outcome] = await outcomes_of(watcher)
    assert str(outcome.order) == "2"


async def test_an_order_removed_and_added_during_its_call_is_asked_for_again() -> None:
    async def renew(_: Call) -> str:
        await watcher.remove("1")
        await watcher.add("1")
        return REJECTED

    service = Service(o1=[renew, CERTIFICATE])
    watcher = Watcher(service.client())
    await watcher.add("1")
    [outcome] = await outcomes_of(watcher)
    assert outcome.bundle is not None


async def test_an_order_that_is_removed_drops_its_outcome() -> None:
    service = Service(CERTIFICATE)
    store = MemoryStore()
    first = Watcher(service.client(), store=store)
    await first.add("1")
    await anext(first)
    watcher = Watcher(service.client(), store=store)
    await watcher.remove("1")
    assert await outcomes_of(watcher) == []
    assert not await store.open()


async def test_removing_an_unknown_order_changes_nothing() -> None:
    watcher = Watcher(Service(CERTIFICATE).client())
    await watcher.add("1")
    await watcher.remove("2")
    assert names(await watcher.orders()) == ["1"]


async def test_states_tell_where_each_wait_stands() -> None:
    service = Service(o1=[PROCESSING], o2=[PROCESSING, CERTIFICATE])
    watcher = Watcher(service.client(), policy=EVEN)
    await watcher.add("1", "2")
    await anext(watcher)
    [state] = await watcher.states()
    assert isinstance(state, PollState)
    assert (str(state.order), state.polls, state.last_status) == ("1", 2, StatusCode.PROCESSING)


async def test_the_loop_ends_when_nothing_was_added() -> None:
    assert await outcomes_of(Watcher(Service().client())) == []


async def test_without_an_end_the_loop_waits_for_orders() -> None:
    service = Service(CERTIFICATE)
    watcher = Watcher(service.client(), stop_when_empty=False)
    ended: list[str] = []

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(tell, watcher, ended.append)
        for number in range(3):
            await anyio.sleep(5000)
            await watcher.add(str(number))
        await anyio.sleep(5000)
        tasks.cancel_scope.cancel()
    assert ended == ["0", "1", "2"]
    assert service.times("2") == [10_000]


async def test_nothing_is_polled_while_the_body_runs() -> None:
    service = Service(o1=[CERTIFICATE], o2=[PROCESSING])
    watcher = Watcher(service.client(), policy=EVEN)
    await watcher.add("1", "2")
    async for _ in watcher:
        made = len(service.calls)
        await anyio.sleep(10_000)
        assert len(service.calls) == made
        break


async def test_two_loops_at_once_are_refused() -> None:
    watcher = Watcher(Service().client())
    await watcher.add("1")
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(outcomes_of, watcher)
        await anyio.sleep(1)
        with pytest.raises(RuntimeError, match="one task at a time"):
            await anext(watcher)
        tasks.cancel_scope.cancel()
