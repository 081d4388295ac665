"""Ten thousand orders are data: what each costs in memory, and that none is asked for early, late or too often."""

from __future__ import annotations

import gc
import random
import tracemalloc
from typing import TYPE_CHECKING, Any

import anyio
import anyio.lowlevel
import pytest

from collectssl_async import CollectSSLResponse, StatusCode
from collectssl_async._schedule import Schedule
from collectssl_async.watch import Watcher

from . import pki
from .clocks import virtual_backend
from .watching import CHAIN, EVEN, outcomes_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from collectssl_async import OrderRef

MANY = 10_000
LIMIT = 512
"""Bytes of an order, beyond its identifiers."""

PROCESSING = CollectSSLResponse(status=StatusCode.PROCESSING)
AVAILABLE = CollectSSLResponse(status=StatusCode.AVAILABLE)
ATTACHED = CollectSSLResponse(status=StatusCode.ATTACHED, payload=pki.payload(leaf=CHAIN.leaf))


class Client:
    """Answers as a client does, without HTTP: what the watcher itself costs is looked at here."""

    def __init__(self, issued_at: Callable[[str], float]) -> None:
        self._issued_at = issued_at
        self.times: dict[str, list[float]] = {}

    async def _ask(self, order: OrderRef, *, collect: bool) -> CollectSSLResponse:
        number, now = str(order), anyio.current_time()
        self.times.setdefault(number, []).append(now)
        if now < self._issued_at(number):
            return PROCESSING
        return ATTACHED if collect else AVAILABLE


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", [virtual_backend("asyncio")], ids=["asyncio"])
@pytest.mark.parametrize("rounds", [0, 1], ids=["added", "asked for once"])
async def test_a_waiting_order_takes_512_bytes_at_most(rounds: int) -> None:
    class Unconcerned:
        async def _ask(self, order: OrderRef, *, collect: bool) -> CollectSSLResponse:
            return PROCESSING

    numbers = [f"{number:010}" for number in range(MANY)]
    client: Any = Unconcerned()
    gc.collect()
    tracemalloc.start()
    try:
        watcher = Watcher(client)
        await watcher.add(*numbers)
        with anyio.move_on_after(rounds):
            await outcomes_of(watcher)
        gc.collect()
        taken, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(await watcher.orders()) == MANY
    assert 100 * MANY < taken < LIMIT * MANY


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", [virtual_backend("asyncio")], ids=["asyncio"])
async def test_ten_thousand_orders_are_all_collected_and_none_asked_for_early() -> None:
    began, chance = anyio.current_time(), random.Random(4711)
    issued = {str(number): began + chance.uniform(0, 300) for number in range(MANY)}
    client: Any = Client(issued.__getitem__)
    watcher = Watcher(client, policy=EVEN)
    await watcher.add(*issued)
    outcomes = await outcomes_of(watcher)
    assert sum(outcome.bundle is not None for outcome in outcomes) == MANY
    planned = [0, 60, 180, 420]
    for number, times in client.times.items():
        *polls, collected = [time - began for time in times]
        assert polls == pytest.approx(planned[: len(polls)])
        assert collected == polls[-1]
        assert len(polls) == sum(time < issued[number] - began for time in planned) + 1


# --- the schedule -----------------------------------------------------------------------------------------------------


def test_an_order_is_in_the_schedule_once_however_often_it_is_moved() -> None:
    schedule = Schedule()
    chance = random.Random(7)
    due: dict[str, float] = {}
    for _ in range(20_000):
        key = str(chance.randrange(50))
        due[key] = chance.random()
        schedule.put(key, due[key], urgent=chance.random() < 0.3)
    assert len(schedule._ordinary) + len(schedule._urgent) < 1000
    left = []
    while (first := schedule.first(2.0)) is not None:
        left.append(first)
        schedule.remove(first)
    assert sorted(left) == sorted(due)
    assert schedule.next_due() == float("inf")


def test_of_orders_that_are_due_the_urgent_go_first_and_then_those_due_longest() -> None:
    schedule = Schedule()
    for key, due, urgent in (("late", 3.0, False), ("early", 1.0, False), ("named", 2.0, True), ("later", 9.0, True)):
        schedule.put(key, due, urgent=urgent)
    seen = []
    for now in (0.5, 1.5, 2.5, 5.0, 5.0):
        first = schedule.first(now)
        seen.append(first)
        if first is not None:
            schedule.remove(first)
    assert seen == [None, "early", "named", "late", None]
    assert schedule.next_due() == 9.0
