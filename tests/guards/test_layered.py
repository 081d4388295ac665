"""What the guards beyond the process share, on a store in memory: the lane and the turn behind it, as one."""

from __future__ import annotations

import asyncio
import gc
import os
import threading
import time
from typing import TYPE_CHECKING, Any

import anyio
import anyio.lowlevel
import pytest

from collectssl_async import ConfigurationError, GuardError, GuardLostError, GuardTimeoutError, ProcessGuard
from collectssl_async.guards._layered import LayeredHold, LosableHold, Turn

from .turns import settle

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

pytestmark = pytest.mark.anyio


class Store:
    """A guard whose turns come at once, and that notes what it is told. What it shall fail with is set from outside."""

    def __init__(self, *, abandon_grace: float = 7.0, acquire_timeout: float | None = None) -> None:
        self.abandon_grace = abandon_grace
        self.acquire_timeout = acquire_timeout
        self.told: list[str] = []
        self.preparing: Exception | None = None
        self.taking: Callable[[], Any] | None = None
        self.leaving: Callable[[], Any] | None = None
        self.ours = True

    def hold(self, resource: str) -> LayeredHold:
        return LayeredHold(self, resource)

    def prepare(self) -> None:
        if self.preparing is not None:
            raise self.preparing

    async def take(self, resource: str) -> Turn:
        if self.taking is not None:
            await self.taking()
        self.told.append("taken")
        return StoreTurn(self)


class StoreTurn:
    def __init__(self, store: Store) -> None:
        self._store = store

    def check(self) -> None:
        if not self._store.ours:
            raise GuardLostError("forgotten")

    async def leave(self, *, finished: bool) -> None:
        if self._store.leaving is not None:
            await self._store.leaving()
        self._store.told.append("finished" if finished else "unfinished")

    def drop(self, *, finished: bool) -> None:
        self._store.told.append("dropped finished" if finished else "dropped")


async def waited(url: str) -> float:
    """Take a turn of the process alone; return how long it took by the loop's clock."""
    began = anyio.current_time()
    async with ProcessGuard().hold(url) as hold:
        hold.finished()
    return anyio.current_time() - began


async def free_at_once(url: str) -> None:
    async with ProcessGuard(acquire_timeout=0).hold(url) as hold:
        hold.finished()


# --- in and out -------------------------------------------------------------------------------------------------------


async def test_a_turn_is_taken_and_left_as_it_ended(url: str) -> None:
    store = Store(abandon_grace=0)
    async with store.hold(url) as hold:
        hold.finished()
    async with store.hold(url):
        pass
    assert store.told == ["taken", "finished", "taken", "unfinished"]


async def test_nobody_of_this_process_asks_the_store_beside_a_holder(url: str) -> None:
    store, other = Store(), Store(acquire_timeout=0)
    async with store.hold(url) as hold:
        with pytest.raises(GuardTimeoutError, match="within 0 s"):
            async with other.hold(url):
                pass
        hold.finished()
    assert other.told == []


async def test_what_can_never_be_entered_takes_no_place(url: str) -> None:
    store = Store()
    store.preparing = ConfigurationError("not on this loop")
    with pytest.raises(ConfigurationError):
        await store.hold(url).__aenter__()
    await free_at_once(url)


async def test_check_asks_the_store(url: str) -> None:
    store = Store()
    async with store.hold(url) as hold:
        hold.check()
        store.ours = False
        with pytest.raises(GuardLostError, match="forgotten"):
            hold.check()
        hold.finished()


async def test_check_fails_while_the_turn_is_not_there_yet(url: str) -> None:
    store = Store()
    hold = store.hold(url)

    async def look() -> None:
        with pytest.raises(GuardLostError, match="not this task's"):
            hold.check()

    store.taking = look
    async with hold:
        hold.finished()


# --- taking that does not succeed -------------------------------------------------------------------------------------


@pytest.mark.virtual_clock
async def test_a_store_that_fails_gives_the_place_up_without_a_grace(url: str) -> None:
    store = Store()

    async def fail() -> None:
        raise GuardError("out of order")

    store.taking = fail
    with pytest.raises(GuardError, match="out of order"):
        await store.hold(url).__aenter__()
    await free_at_once(url)


@pytest.mark.virtual_clock
async def test_the_time_out_covers_the_lane_and_the_store_together(url: str) -> None:
    store = Store(acquire_timeout=5)
    store.taking = anyio.sleep_forever
    began = anyio.current_time()

    async def hold_for_three() -> None:
        async with ProcessGuard().hold(url) as hold:
            await anyio.sleep(3)
            hold.finished()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(hold_for_three)
        await settle()
        with pytest.raises(GuardTimeoutError):
            await store.hold(url).__aenter__()
    assert anyio.current_time() - began == pytest.approx(5)
    await free_at_once(url)


async def test_a_turn_that_comes_at_once_is_in_time_for_no_time_at_all(url: str) -> None:
    async with Store(acquire_timeout=0).hold(url) as hold:
        hold.check()
        hold.finished()


async def test_cancelled_while_it_takes_it_gives_the_place_up_without_a_grace(url: str) -> None:
    store = Store()
    store.taking = anyio.sleep_forever
    with anyio.move_on_after(0.01):
        await store.hold(url).__aenter__()
    await free_at_once(url)


# --- leaving ----------------------------------------------------------------------------------------------------------


@pytest.mark.virtual_clock
async def test_an_abandoned_call_is_remembered_by_this_process_too_should_the_store_forget(url: str) -> None:
    async with Store(abandon_grace=7).hold(url):
        pass
    assert await waited(url) == pytest.approx(7)


@pytest.mark.virtual_clock
async def test_the_graces_of_lane_and_store_pass_at_the_same_time(url: str) -> None:
    store = Store(abandon_grace=7)
    async with store.hold(url):
        left = anyio.current_time()

    async def rest() -> None:
        await anyio.sleep_until(left + 7)

    store.taking = rest
    async with store.hold(url) as hold:
        assert anyio.current_time() - left == pytest.approx(7)
        hold.finished()


@pytest.mark.parametrize("error", [RuntimeError("it must not"), asyncio.CancelledError()])
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_leave_that_raises_frees_the_lane(url: str, error: BaseException) -> None:
    store = Store()

    async def fail() -> None:
        raise error

    store.leaving = fail
    with pytest.raises(type(error)):
        async with store.hold(url) as hold:
            hold.finished()
    await free_at_once(url)
    assert store.told == ["taken"]


async def test_the_lane_is_kept_until_the_store_is_left(url: str) -> None:
    store, leaving, go_on = Store(), anyio.Event(), anyio.Event()

    async def slowly() -> None:
        leaving.set()
        await go_on.wait()

    async def one() -> None:
        async with store.hold(url) as hold:
            hold.finished()

    store.leaving = slowly
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(one)
        await leaving.wait()
        with pytest.raises(GuardTimeoutError):
            await free_at_once(url)
        go_on.set()
    await free_at_once(url)


async def test_a_hold_entered_again_is_a_turn_of_its_own(url: str) -> None:
    store = Store(abandon_grace=0)
    hold = store.hold(url)
    async with hold:
        hold.finished()
    async with hold:
        hold.check()
    with pytest.raises(GuardLostError):
        hold.check()
    assert store.told == ["taken", "finished", "taken", "unfinished"]


def test_a_turn_may_be_left_in_another_task_than_it_was_entered_in(url: str) -> None:
    store = Store(abandon_grace=0)

    async def leave_elsewhere() -> None:
        held = LosableHold(store, url)
        (await asyncio.create_task(held.__aenter__())).finished()
        await asyncio.create_task(held.__aexit__(None, None, None))

    asyncio.run(leave_elsewhere())
    assert store.told == ["taken", "finished"]


def test_a_turn_is_left_although_a_scope_inside_was_not(url: str) -> None:
    store = Store(abandon_grace=0)

    async def leave_in_disorder() -> None:
        stray = anyio.CancelScope()
        with pytest.raises(RuntimeError, match="cancel scope"):
            async with LosableHold(store, url):
                stray.__enter__()
        stray.__exit__(None, None, None)

    asyncio.run(leave_in_disorder())
    assert store.told == ["taken", "unfinished"]


# --- callers that vanish ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("finished", "told"), [(False, "dropped"), (True, "dropped finished")])
async def test_a_closed_coroutine_drops_its_turn(url: str, finished: bool, told: str) -> None:
    store = Store(abandon_grace=0)

    async def generate() -> AsyncGenerator[None, None]:
        async with store.hold(url) as hold:
            if finished:
                hold.finished()
            yield  # the one place where a test can have it closed

    generator = generate()
    await anext(generator)
    await generator.aclose()
    assert store.told == ["taken", told]
    await free_at_once(url)


async def test_one_that_is_closed_while_it_leaves_drops_its_turn(url: str) -> None:
    store = Store(abandon_grace=0)
    hold = store.hold(url)
    await hold.__aenter__()
    store.leaving = anyio.lowlevel.checkpoint
    leaving = hold.__aexit__(None, None, None)
    leaving.send(None)
    leaving.close()
    assert store.told == ["taken", "dropped"]
    await free_at_once(url)


class Closed:
    """A loop that is closed inside a turn, with a task that nobody collects."""

    def __init__(self, store: Store, url: str) -> None:
        self._loop = asyncio.new_event_loop()
        self._task = self._loop.create_task(self._stay(store, url))
        self._loop.run_until_complete(settle())

    async def _stay(self, store: Store, url: str) -> None:
        async with store.hold(url):
            await asyncio.Event().wait()

    def close(self) -> float:
        """Close the loop; return when."""
        self._loop.close()
        return time.monotonic()

    def forget(self) -> None:
        """Let the task be collected without its complaint."""
        self._task._log_destroy_pending = False  # type: ignore[attr-defined]  # asyncio's own
        del self._task
        gc.collect()


def test_a_loop_closed_inside_has_its_turn_dropped_once_by_the_next_one(url: str) -> None:
    store = Store(abandon_grace=0.05)
    closed = Closed(store, url)
    closed.close()
    anyio.run(waited, url)
    closed.forget()
    assert store.told == ["taken", "dropped"]


def test_a_loop_closed_inside_has_its_turn_dropped_before_the_grace_for_those_who_wait_already(url: str) -> None:
    store, dropped = Store(abandon_grace=0.2), []
    closed = Closed(store, url)

    async def wait() -> None:
        with anyio.fail_after(10):
            async with Store().hold(url) as hold:
                dropped.extend(store.told)
                hold.finished()

    waiting = threading.Thread(target=anyio.run, args=(wait,))
    waiting.start()
    began = closed.close()
    while "dropped" not in store.told:
        assert time.monotonic() - began < 10
        time.sleep(0.005)
    assert waiting.is_alive()
    waiting.join(10)
    closed.forget()
    assert dropped == ["taken", "dropped"]


def test_a_loop_closed_while_it_takes_leaves_no_grace(url: str) -> None:
    store = Store(abandon_grace=3600)
    store.taking = asyncio.Event().wait
    closed = Closed(store, url)
    closed.close()
    anyio.run(free_at_once, url)
    closed.forget()
    assert store.told == []


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
async def test_a_forked_child_does_not_touch_the_turn_it_inherited(url: str) -> None:
    store = Store(abandon_grace=0)
    hold = store.hold(url)
    async with hold:
        child = os.fork()
        if child == 0:
            try:
                with pytest.raises(GuardLostError):
                    hold.check()
                leaving = hold.__aexit__(None, None, None)
                with pytest.raises(StopIteration):
                    leaving.send(None)
                os._exit(store.told != ["taken"])
            finally:
                os._exit(2)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        hold.check()
        hold.finished()
    assert store.told == ["taken", "finished"]
