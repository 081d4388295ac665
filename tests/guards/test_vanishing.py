"""Callers that vanish: cancelled at each await, closed with their loop, garbage-collected. The next one gets its turn.

Every turn here is finished as soon as it begins, so that a long grace shows whatever is taken for an abandoned call.
"""

from __future__ import annotations

import asyncio
import gc
import threading
import time
from typing import TYPE_CHECKING, Any

import anyio
import anyio.lowlevel
import pytest

from .kinds import AMPLE, GRACE, LONG_GRACE, GuardSpec, every_kind
from .stepping import Stepping
from .stoppable import closed_with_connections
from .turns import hold_for_ever, settle, take

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from .stoppable import Stoppable


@pytest.fixture
def anyio_backend(case: tuple[str, str]) -> str:
    return case[1]


async def finished_turn(spec: GuardSpec, url: str) -> None:
    async with spec.make(abandon_grace=LONG_GRACE).hold(url) as hold:
        hold.finished()
        await anyio.lowlevel.checkpoint()


# --- cancelled at every await -----------------------------------------------------------------------------------------


async def cancelled_task(whole: Coroutine[Any, Any, Any], step: int, manner: str) -> bool:
    """Run a coroutine in a task of asyncio's and cancel that at a step; return whether there was such a step."""

    def interfere(steps: int, waits_for: Any) -> None:
        if steps == step and manner == "as it wakes" and waits_for is not None:
            waits_for.add_done_callback(lambda _: task.cancel())  # what it waited for has come, and it must not be lost
        elif steps == step or (steps > step and manner == "again and again"):
            task.cancel()

    stepping = Stepping(whole, interfere)

    async def drive() -> None:
        await stepping

    task = asyncio.create_task(drive())
    await asyncio.wait([task])
    assert task.cancelled() == (stepping.steps >= step), "a cancellation was swallowed"
    return stepping.steps >= step


async def cancelled_scope(whole: Coroutine[Any, Any, Any], step: int) -> bool:
    """Run a coroutine in a scope of anyio's and cancel that at a step; return whether there was such a step."""
    with anyio.CancelScope() as scope:
        stepping = Stepping(whole, lambda steps, _: scope.cancel() if steps == step else None)
        await stepping
    return stepping.steps >= step


@pytest.mark.parametrize("manner", ["as it lies down", "as it wakes", "again and again"])
@pytest.mark.parametrize("case", every_kind("asyncio"))
@pytest.mark.anyio
async def test_a_task_cancelled_at_any_await_leaves_nothing_behind(spec: GuardSpec, url: str, manner: str) -> None:
    step = 1
    while await cancelled_task(finished_turn(spec, url), step, manner):
        await take(spec, url)
        step += 1
    assert step > 1


@pytest.mark.anyio
async def test_a_scope_cancelled_at_any_await_leaves_nothing_behind(spec: GuardSpec, url: str) -> None:
    step = 1
    while await cancelled_scope(finished_turn(spec, url), step):
        await take(spec, url)
        step += 1
    assert step > 1


@pytest.mark.parametrize("manner", ["as it lies down", "as it wakes", "again and again"])
@pytest.mark.parametrize("case", every_kind("asyncio"))
@pytest.mark.anyio
async def test_a_call_cancelled_before_it_finished_is_abandoned_however_often_its_exit_is_cancelled(
    spec: GuardSpec, url: str, manner: str
) -> None:
    left = 0.0

    async def unfinished_turn() -> None:
        nonlocal left
        async with spec.make(abandon_grace=GRACE).hold(url):
            left = time.monotonic()
            await anyio.lowlevel.checkpoint()

    step = 1
    while await cancelled_task(unfinished_turn(), step, manner):
        await take(spec, url, AMPLE)
        assert not left or time.monotonic() - left >= GRACE
        step += 1


# --- a loop that is closed --------------------------------------------------------------------------------------------


@closed_with_connections
def test_a_loop_closed_while_it_holds_lets_newcomers_in_after_the_grace(
    spec: GuardSpec, url: str, stoppable: Stoppable, anyio_backend: str
) -> None:
    stoppable.begin(lambda inside: hold_for_ever(spec, url, GRACE, inside))
    stoppable.close()
    closed = time.monotonic()
    anyio.run(take, spec, url, AMPLE, backend=anyio_backend)
    assert time.monotonic() - closed >= GRACE


@closed_with_connections
def test_a_coroutine_collected_with_its_closed_loop_is_an_abandoned_call(
    spec: GuardSpec, url: str, stoppable: Stoppable, anyio_backend: str
) -> None:
    stoppable.begin(lambda inside: hold_for_ever(spec, url, GRACE, inside))
    closed = time.monotonic()
    stoppable.close()
    stoppable.forget()
    anyio.run(take, spec, url, AMPLE, backend=anyio_backend)
    assert time.monotonic() - closed >= GRACE


@closed_with_connections
def test_a_loop_closed_while_it_holds_lets_in_those_who_already_wait(
    spec: GuardSpec, url: str, stoppable: Stoppable, anyio_backend: str
) -> None:
    stoppable.begin(lambda inside: hold_for_ever(spec, url, GRACE, inside))
    waiting = threading.Event()
    took: list[float] = []

    async def wait() -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(in_turn)
            await settle()
            waiting.set()

    async def in_turn() -> None:
        took.append(await take(spec, url, AMPLE))

    thread = threading.Thread(target=lambda: anyio.run(wait, backend=anyio_backend))
    thread.start()
    assert waiting.wait(AMPLE)
    stoppable.close()
    thread.join(AMPLE)
    assert took


@closed_with_connections
def test_a_loop_closed_while_it_waits_is_passed_over(
    spec: GuardSpec, url: str, stoppable: Stoppable, anyio_backend: str
) -> None:
    async def main() -> None:
        async with spec.make(abandon_grace=LONG_GRACE).hold(url) as hold:
            await anyio.to_thread.run_sync(
                stoppable.begin, lambda inside: hold_for_ever(spec, url, LONG_GRACE, inside), 0.1
            )
            stoppable.close()
            hold.finished()
        await take(spec, url)

    anyio.run(main, backend=anyio_backend)


# --- a coroutine that is collected ------------------------------------------------------------------------------------


async def dropped(whole: Coroutine[Any, Any, Any], step: int) -> bool:
    """Run a coroutine as far as a step and forget it there; return whether there was such a step."""
    stepping = Stepping(whole, lambda steps, _: steps == step)
    await stepping
    return stepping.steps >= step


@pytest.mark.anyio
async def test_a_coroutine_collected_inside_its_turn_is_an_abandoned_call(spec: GuardSpec, url: str) -> None:
    inside, began = anyio.Event(), time.monotonic()
    await Stepping(hold_for_ever(spec, url, GRACE, inside), lambda *_: inside.is_set())
    gc.collect()
    await take(spec, url, AMPLE)
    assert time.monotonic() - began >= GRACE


@pytest.mark.anyio
async def test_a_coroutine_collected_while_it_asks_leaves_nothing_behind(spec: GuardSpec, url: str) -> None:
    step = 1
    while await dropped(finished_turn(spec, url), step):
        gc.collect()
        await take(spec, url)
        step += 1
