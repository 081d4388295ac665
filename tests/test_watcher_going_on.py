"""A watcher's loop that is left, cancelled or begun anew goes on: nothing is lost, told twice or asked for early."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from collectssl_async import (
    OrderRejectedError,
    PollState,
    PollUpdate,
    UnknownAPIError,
)
from collectssl_async.stores import MemoryStore
from collectssl_async.watch import Watcher

from .clocks import virtual_backend
from .watching import (
    AVAILABLE,
    CERTIFICATE,
    EVEN,
    PROCESSING,
    REJECTED,
    Service,
    issued_after,
    kept,
    outcomes_of,
    tell,
)

if TYPE_CHECKING:
    from .watching import Call

pytestmark = [pytest.mark.anyio, pytest.mark.virtual_clock]


# --- leaving and going on ---------------------------------------------------------------------------------------------


async def test_iterating_again_after_a_break_goes_on() -> None:
    service = Service(o1=[CERTIFICATE], o2=[issued_after(100)], o3=[issued_after(100)])
    watcher = Watcher(service.client(), policy=EVEN)
    await watcher.add("1", "2", "3")
    async for _ in watcher:
        break
    assert [str(outcome.order) for outcome in await outcomes_of(watcher)] == ["2", "3"]
    assert service.times("3") == [0, 60, 180, 180]


async def test_a_cancelled_loop_goes_on_without_an_early_poll() -> None:
    service = Service(o1=[PROCESSING, PROCESSING, CERTIFICATE])
    watcher = Watcher(service.client(), policy=EVEN)
    await watcher.add("1")
    with anyio.move_on_after(100) as scope:
        await outcomes_of(watcher)
    assert scope.cancelled_caught
    await outcomes_of(watcher)
    assert service.times("1") == [0, 60, 180]


async def test_a_cancellation_gets_in_between_overdue_orders() -> None:
    def cancel(_: Call) -> str:
        scope.cancel()
        return PROCESSING

    service = Service(**{f"o{number}": [cancel] for number in range(5)})
    watcher = Watcher(service.client())
    await watcher.add(*map(str, range(5)))
    with anyio.CancelScope() as scope:
        await outcomes_of(watcher)
    assert service.orders == "0"


async def test_a_call_that_is_cancelled_is_made_again() -> None:
    async def slowly(_: Call) -> str:
        await anyio.sleep(50)
        return REJECTED

    service = Service(o1=[slowly, CERTIFICATE])
    watcher = Watcher(service.client(), policy=EVEN)
    await watcher.add("1")
    with anyio.move_on_after(20):
        await outcomes_of(watcher)
    [outcome] = await outcomes_of(watcher)
    assert outcome.bundle is not None
    # At once, but for the grace of the call that was abandoned.
    assert service.times("1") == [0, 30]


@pytest.mark.parametrize("steps", range(1, 40, 3))
async def test_cancelled_anywhere_no_outcome_is_lost_or_told_twice(steps: int) -> None:
    service = Service(
        **{f"o{number}": [issued_after(60 * number)] for number in range(4)}, o9=[REJECTED], o8=[PROCESSING, REJECTED]
    )
    watcher = Watcher(service.client(), policy=EVEN)
    await watcher.add(*"012398")
    ended: list[str] = []

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(tell, watcher, ended.append)
        for _ in range(steps):
            await anyio.lowlevel.checkpoint()
        tasks.cancel_scope.cancel()
    await tell(watcher, ended.append)
    assert sorted(ended) == list("012389")


async def test_going_on_from_a_store_polls_nothing_early() -> None:
    service = Service(o1=[PROCESSING, PROCESSING, CERTIFICATE])
    store = MemoryStore()
    watcher = Watcher(service.client(), store=store, policy=EVEN)
    await watcher.add("1")
    with anyio.move_on_after(61):
        await outcomes_of(watcher)
    [outcome] = await outcomes_of(Watcher(service.client(), store=store, policy=EVEN))
    assert outcome.state.polls == 3
    # The next is due 120 s after the last; hardly any of it has passed on the wall's clock.
    assert 178 <= service.times("1")[2] <= 181


async def test_a_state_from_a_clock_that_was_wrong_never_pauses_longer_than_the_policy() -> None:
    store = MemoryStore()
    await store.write({"1": kept("1", time.time(), next_poll_at=time.time() + 900 * 86400)}, durable=False)
    service = Service(CERTIFICATE)
    began = anyio.current_time()
    await outcomes_of(Watcher(service.client(), store=store, policy=EVEN))
    assert service.calls[0].time - began == pytest.approx(10800)


async def test_an_outcome_is_told_again_by_the_next_watcher_without_a_call_until_the_loop_asked_for_the_next() -> None:
    service = Service(o1=[CERTIFICATE], o2=[REJECTED])
    store = MemoryStore()
    first = Watcher(service.client(), store=store)
    await first.add("1", "2")
    await anext(first)
    await anext(first)
    [again] = await outcomes_of(Watcher(service.client(), store=store))
    assert isinstance(again.error, OrderRejectedError)
    assert service.orders == "1 2"
    assert await outcomes_of(Watcher(service.client(), store=store)) == []


async def test_what_a_call_brought_before_a_crash_is_not_asked_for_again_at_once() -> None:
    store = MemoryStore()
    seen: list[PollState] = []

    async def crash(_: Call) -> str:
        seen.extend(each.state() for each in await store.open())
        return CERTIFICATE

    watcher = Watcher(Service(o1=[crash]).client(), store=store, policy=EVEN)
    await watcher.add("1")
    await anext(watcher)
    [during] = seen
    assert during.last_poll_at is not None
    assert (during.next_poll_at - during.last_poll_at).total_seconds() == 60
    assert during.polls == 0


async def test_a_watcher_that_is_closed_hands_its_store_on_as_it_was() -> None:
    service = Service(o1=[PROCESSING], o2=[PROCESSING])
    store = MemoryStore()
    async with Watcher(service.client(), store=store, policy=EVEN) as watcher:
        await watcher.add("1", "2")
        with anyio.move_on_after(90):
            await outcomes_of(watcher)
        states = await watcher.states()
    assert tuple(each.state() for each in await store.open()) == states


# --- updates ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["function", "coroutine function"])
async def test_on_update_is_told_of_every_poll(kind: str) -> None:
    updates: list[PollUpdate] = []

    async def append(update: PollUpdate) -> None:
        updates.append(update)

    service = Service(o1=[PROCESSING, "-14\nAn unknown error occurred!", AVAILABLE, CERTIFICATE])
    on_update: Any = updates.append if kind == "function" else append
    watcher = Watcher(service.client(), on_update=on_update)
    await watcher.add("1")
    await outcomes_of(watcher)
    assert [update.status for update in updates] == [0, None, 1, 2]
    assert isinstance(updates[1].error, UnknownAPIError)
    assert [update.state.polls for update in updates] == [1, 1, 2, 3]
    assert [update.state.failures for update in updates] == [0, 1, 0, 0]


async def test_what_an_update_says_is_in_the_store_already() -> None:
    async def compare(update: PollUpdate) -> None:
        states = {each.key: each.state() for each in await store.open()}
        same.append(states[str(update.state.order)] == update.state)

    same: list[bool] = []
    store = MemoryStore()
    watcher = Watcher(Service(o1=[PROCESSING, CERTIFICATE], o2=[CERTIFICATE]).client(), store=store, on_update=compare)
    await watcher.add("1", "2")
    await outcomes_of(watcher)
    assert same == [True] * 3


async def test_an_error_that_ends_an_order_is_an_outcome_and_no_update() -> None:
    updates: list[PollUpdate] = []
    watcher = Watcher(Service(o1=[REJECTED]).client(), on_update=updates.append)
    await watcher.add("1")
    await outcomes_of(watcher)
    assert updates == []


async def test_what_on_update_raises_leaves_the_loop_and_loses_nothing() -> None:
    def explode(_: PollUpdate) -> None:
        raise LookupError("no")

    service = Service(o1=[CERTIFICATE])
    watcher = Watcher(service.client(), on_update=explode)
    await watcher.add("1")
    with pytest.raises(LookupError):
        await outcomes_of(watcher)
    assert len(await outcomes_of(watcher)) == len(service.calls) == 1


async def test_an_order_that_was_next_and_was_not_asked_for_is_due_as_before() -> None:
    def explode(_: PollUpdate) -> None:
        raise LookupError("no")

    store = MemoryStore()
    async with Watcher(Service().client(), store=store, on_update=explode) as watcher:
        await watcher.add("1", "2")
        with pytest.raises(LookupError):
            await outcomes_of(watcher)
    asked_for = {each.key: each.last_poll_at is not None for each in await store.open()}
    assert asked_for == {"1": True, "2": False}


async def test_an_update_may_remove_the_order_that_is_next() -> None:
    async def remove(update: PollUpdate) -> None:
        if str(update.state.order) == "1":
            await watcher.remove("2")

    service = Service(CERTIFICATE)
    watcher = Watcher(service.client(), on_update=remove)
    await watcher.add("1", "2", "3")
    await outcomes_of(watcher)
    assert service.orders == "1 3"


@pytest.mark.parametrize("anyio_backend", [virtual_backend("asyncio")], ids=["asyncio"])
async def test_a_task_of_asyncio_that_is_cancelled_loses_nothing() -> None:
    service = Service(o1=[issued_after(100)], o2=[REJECTED])
    watcher = Watcher(service.client(), policy=EVEN)
    await watcher.add("1", "2")
    ended: list[str] = []

    for steps in range(30):
        task = asyncio.ensure_future(tell(watcher, ended.append))
        for _ in range(steps):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
    await tell(watcher, ended.append)
    assert sorted(ended) == ["1", "2"]
