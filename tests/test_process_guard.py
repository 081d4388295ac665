"""The guard of one process: who gets in, in which order, and what becomes of callers that vanish."""

from __future__ import annotations

import asyncio
import gc
import os
import threading
import time
from typing import TYPE_CHECKING, Any

import anyio
import anyio.from_thread
import anyio.lowlevel
import pytest
import trio

from collectssl_async import ConfigurationError, Guard, GuardLostError, GuardTimeoutError, Hold, ProcessGuard
from collectssl_async.guards import process
from collectssl_async.guards._protocol import normalise_resource
from collectssl_async.guards._runtime import current_loop, is_closed, parking_on

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Generator

pytestmark = pytest.mark.anyio


@pytest.fixture
def url(request: pytest.FixtureRequest) -> str:
    """An endpoint of this test's own, so that what it abandons keeps nobody else out."""
    return f"https://{abs(hash(request.node.nodeid))}.example/CollectSSL"


async def settle() -> None:
    """Let every task that can run do so."""
    for _ in range(20):
        await anyio.lowlevel.checkpoint()


# --- turns ------------------------------------------------------------------------------------------------------------


async def test_second_caller_waits_until_the_first_has_left(url: str) -> None:
    guard, seen = ProcessGuard(), []

    async def second() -> None:
        async with ProcessGuard().hold(url) as hold:
            seen.append("second")
            hold.finished()

    async with anyio.create_task_group() as tasks:
        async with guard.hold(url) as hold:
            tasks.start_soon(second)
            await settle()
            seen.append("first")
            hold.finished()
    assert seen == ["first", "second"]


async def test_callers_of_one_loop_enter_in_the_order_they_came(url: str) -> None:
    guard, seen = ProcessGuard(), []

    async def caller(number: int) -> None:
        async with guard.hold(url) as hold:
            seen.append(number)
            await anyio.lowlevel.checkpoint()
            hold.finished()

    async with anyio.create_task_group() as tasks, guard.hold(url) as hold:
        for number in range(20):
            tasks.start_soon(caller, number)
            await settle()
        hold.finished()
    assert seen == list(range(20))


async def test_a_caller_that_returns_at_once_queues_behind_those_who_wait(url: str) -> None:
    guard, seen, late_waits = ProcessGuard(), [], anyio.Event()

    async def caller(name: str, times: int) -> None:
        for _ in range(times):
            async with guard.hold(url) as hold:
                seen.append(name)
                await late_waits.wait()
                hold.finished()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(caller, "greedy", 3)
        await settle()
        tasks.start_soon(caller, "late", 1)
        await settle()
        late_waits.set()
    assert seen == ["greedy", "late", "greedy", "greedy"]


async def test_endpoints_do_not_block_each_other(url: str) -> None:
    guard = ProcessGuard()
    async with guard.hold(url) as hold, guard.hold(url + "/other") as other:
        hold.finished()
        other.finished()


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("https://HOST.example/x", "https://host.example/x"),
        ("https://host.example:443/x", "https://host.example/x"),
        ("https://host.example/x?trace=1", "https://host.example/x"),
        ("https://host.example", "https://host.example/"),
        ("HTTPS://host.example./x", "https://host.example/x"),
        ("https://[::1]:443/x", "https://[::1]/x"),
    ],
)
async def test_spellings_of_one_endpoint_share_a_lane(one: str, other: str) -> None:
    assert normalise_resource(one) == normalise_resource(other)


@pytest.mark.parametrize("other", ["https://host.example:8443/x", "https://host.example/y", "https://host.test/x"])
async def test_different_endpoints_do_not_share_a_lane(other: str) -> None:
    assert normalise_resource("https://host.example/x") != normalise_resource(other)


# --- loops and threads ------------------------------------------------------------------------------------------------


class InThread:
    """A loop of its own in a thread of its own, on asyncio or trio."""

    def __init__(self, backend: str, main: Callable[[], Coroutine[Any, Any, Any]]) -> None:
        self.error: BaseException | None = None
        self._backend = backend
        self._main = main
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            anyio.run(self._main, backend=self._backend)
        except BaseException as error:
            self.error = error

    def join(self) -> None:
        self._thread.join(30)
        assert not self._thread.is_alive()
        if self.error is not None:
            raise self.error


def test_no_two_loops_of_any_library_are_inside_at_once(url: str) -> None:
    inside, most, entries = 0, 0, 0

    async def callers() -> None:
        async def caller() -> None:
            nonlocal inside, most, entries
            for _ in range(10):
                async with ProcessGuard().hold(url) as hold:
                    inside += 1
                    most = max(most, inside)
                    await anyio.lowlevel.checkpoint()
                    entries += 1
                    inside -= 1
                    hold.finished()

        async with anyio.create_task_group() as tasks:
            for _ in range(20):
                tasks.start_soon(caller)

    threads = [InThread(backend, callers) for backend in ("asyncio", "trio", "asyncio", "trio")]
    for thread in threads:
        thread.join()
    assert (most, entries) == (1, 800)


def test_loops_take_turns_in_the_order_they_came(url: str) -> None:
    order: list[int] = []
    queued = [threading.Event() for _ in range(4)]
    go = threading.Event()

    async def first() -> None:
        async with ProcessGuard().hold(url) as hold:
            queued[0].set()
            await anyio.to_thread.run_sync(go.wait)
            hold.finished()

    def later(number: int) -> Callable[[], Coroutine[Any, Any, None]]:
        async def main() -> None:
            async def report() -> None:
                queued[number].set()

            async with anyio.create_task_group() as tasks:
                hold = ProcessGuard().hold(url)
                tasks.start_soon(report)
                async with hold:
                    order.append(number)
                    hold.finished()

        return main

    threads = [InThread("asyncio", first)]
    assert queued[0].wait(10)
    for number, backend in ((1, "trio"), (2, "asyncio"), (3, "trio")):
        threads.append(InThread(backend, later(number)))
        assert queued[number].wait(10)
    go.set()
    for thread in threads:
        thread.join()
    assert order == [1, 2, 3]


class StoppableLoop:
    """An asyncio loop that runs when told to and is closed with whatever it still holds."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.tasks: list[asyncio.Task[Any]] = []

    def start(self, coroutine: Coroutine[Any, Any, Any]) -> None:
        """Run a coroutine until nothing more happens at once."""
        self.tasks.append(self.loop.create_task(coroutine))
        self.loop.run_until_complete(settle())

    def close(self) -> None:
        self.loop.close()


@pytest.fixture
def stoppable() -> Generator[StoppableLoop, None, None]:
    loop = StoppableLoop()
    yield loop
    loop.close()
    for task in loop.tasks:
        task._log_destroy_pending = False  # type: ignore[attr-defined]  # else it complains of each task
    loop.tasks.clear()
    gc.collect()


async def hold_for_ever(url: str, grace: float, *, finished: bool = False) -> None:
    async with ProcessGuard(abandon_grace=grace).hold(url) as hold:
        if finished:
            hold.finished()
        await asyncio.Event().wait()


async def take(url: str, seen: list[str] | None = None) -> float:
    """Take a turn and return the seconds that it took to come."""
    began = time.monotonic()
    async with ProcessGuard().hold(url) as hold:
        hold.finished()
        if seen is not None:
            seen.append("in")
    return time.monotonic() - began


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_loop_closed_while_it_holds_lets_newcomers_in_after_the_grace(
    url: str, stoppable: StoppableLoop, backend: str
) -> None:
    stoppable.start(hold_for_ever(url, 0.05))
    stoppable.close()
    assert anyio.run(take, url, backend=backend) >= 0.05


def test_a_loop_closed_after_its_call_finished_lets_newcomers_in_at_once(url: str, stoppable: StoppableLoop) -> None:
    stoppable.start(hold_for_ever(url, 3600, finished=True))
    stoppable.close()
    anyio.run(take, url)


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_loop_closed_while_it_holds_lets_in_those_who_already_wait(
    url: str, stoppable: StoppableLoop, backend: str
) -> None:
    stoppable.start(hold_for_ever(url, 0.0))
    waiting = threading.Event()

    async def main() -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(take, url)
            await settle()
            waiting.set()

    thread = InThread(backend, main)
    assert waiting.wait(10)
    stoppable.close()
    thread.join()


def test_a_loop_closed_while_it_waits_is_passed_over(url: str, stoppable: StoppableLoop) -> None:
    async def main() -> None:
        async with anyio.create_task_group() as tasks:
            async with ProcessGuard().hold(url) as hold:
                await anyio.to_thread.run_sync(stoppable.start, hold_for_ever(url, 3600))
                tasks.start_soon(take, url)
                await settle()
                stoppable.close()
                hold.finished()

    anyio.run(main)


def test_a_trio_run_that_ended_is_passed_over(url: str) -> None:
    holds = []

    async def leave_one_behind() -> None:
        hold = ProcessGuard().hold(url)
        await hold.__aenter__()
        hold.finished()
        holds.append(hold)

    trio.run(leave_one_behind)
    anyio.run(take, url)


# --- callers that vanish ----------------------------------------------------------------------------------------------


async def test_a_cancelled_waiter_gives_up_its_place(url: str) -> None:
    guard, seen = ProcessGuard(), list[str]()
    async with anyio.create_task_group() as tasks:
        async with guard.hold(url) as hold:
            async with anyio.create_task_group() as doomed:
                doomed.start_soon(take, url, seen)
                await settle()
                doomed.cancel_scope.cancel()
            tasks.start_soon(take, url)
            await settle()
            hold.finished()
    assert seen == []


def test_a_waiter_cancelled_in_the_moment_of_its_turn_passes_it_on(url: str) -> None:
    async def main() -> list[str]:
        seen: list[str] = []
        async with ProcessGuard().hold(url) as hold:
            doomed = asyncio.create_task(take(url, seen))
            await settle()
            next_one = asyncio.create_task(take(url))
            await settle()
            hold.finished()
        doomed.cancel()  # chosen, but not awake yet
        await asyncio.wait([doomed])
        await next_one
        return seen

    assert asyncio.run(main()) == []


@pytest.mark.virtual_clock
async def test_a_waiter_cancelled_before_it_lies_down_passes_its_turn_on(url: str) -> None:
    with anyio.CancelScope() as scope:
        async with ProcessGuard(abandon_grace=3).hold(url):
            scope.cancel()
            await anyio.lowlevel.checkpoint()
    with anyio.CancelScope() as scope:
        scope.cancel()
        await take(url)
    assert scope.cancelled_caught
    await take(url)


@pytest.mark.virtual_clock
async def test_a_call_left_unfinished_keeps_the_next_one_out_for_the_grace(url: str) -> None:
    guard = ProcessGuard(abandon_grace=7)
    async with guard.hold(url):
        left = anyio.current_time()
    async with guard.hold(url) as hold:
        assert anyio.current_time() - left == pytest.approx(7)
        hold.finished()


@pytest.mark.virtual_clock
@pytest.mark.parametrize("error", [RuntimeError("boom"), KeyboardInterrupt(), None])
async def test_a_call_that_raised_or_was_cancelled_is_abandoned(url: str, error: BaseException | None) -> None:
    guard = ProcessGuard(abandon_grace=7)
    left = 0.0
    with anyio.CancelScope() as scope:
        try:
            async with guard.hold(url):
                left = anyio.current_time()
                if error is not None:
                    raise error
                scope.cancel()
                await anyio.sleep_forever()
        except (RuntimeError, KeyboardInterrupt):
            pass
    async with guard.hold(url) as hold:
        assert anyio.current_time() - left == pytest.approx(7)
        hold.finished()


@pytest.mark.virtual_clock
async def test_a_finished_call_keeps_nobody_out(url: str) -> None:
    guard = ProcessGuard(abandon_grace=7)
    began = anyio.current_time()
    for _ in range(3):
        async with guard.hold(url) as hold:
            hold.finished()
    assert anyio.current_time() == began


@pytest.mark.virtual_clock
async def test_no_grace_at_all_lets_the_next_one_in_at_once(url: str) -> None:
    guard = ProcessGuard(abandon_grace=0)
    began = anyio.current_time()
    for _ in range(3):
        async with guard.hold(url):
            pass
    assert anyio.current_time() == began


@pytest.mark.virtual_clock
async def test_one_who_gives_up_during_the_grace_leaves_the_rest_of_it_to_the_next(url: str) -> None:
    guard = ProcessGuard(abandon_grace=10)
    async with guard.hold(url):
        left = anyio.current_time()
    with anyio.move_on_after(4):
        await take(url)
    assert anyio.current_time() - left == pytest.approx(4)
    await take(url)
    assert anyio.current_time() - left == pytest.approx(10)


@pytest.mark.virtual_clock
async def test_a_grace_that_is_over_costs_nothing(url: str) -> None:
    guard = ProcessGuard(abandon_grace=10)
    async with guard.hold(url):
        pass
    await anyio.sleep(11)
    began = anyio.current_time()
    await take(url)
    assert anyio.current_time() == began


def test_another_loop_sits_out_the_grace_in_real_time(url: str) -> None:
    async def abandon() -> None:
        async with ProcessGuard(abandon_grace=0.05).hold(url):
            pass

    async def on_a_virtual_clock() -> float:
        return await take(url)

    anyio.run(abandon)
    began = time.monotonic()
    trio.run(on_a_virtual_clock, clock=trio.testing.MockClock(autojump_threshold=0))
    assert time.monotonic() - began >= 0.04


def test_one_who_gives_up_the_grace_of_another_loop_stops_its_timer(url: str) -> None:
    async def abandon() -> None:
        async with ProcessGuard(abandon_grace=3600).hold(url):
            pass

    async def give_up() -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(take, url)
            await settle()
            tasks.cancel_scope.cancel()

    anyio.run(abandon)
    for backend in ("asyncio", "trio"):
        anyio.run(give_up, backend=backend)
    timers = [thread for thread in threading.enumerate() if isinstance(thread, threading.Timer)]
    assert all(timer.finished.is_set() for timer in timers)


def test_a_collected_coroutine_lets_go(url: str) -> None:
    orphans = [hold_for_ever(url, 0.0)]

    async def begin() -> None:
        asyncio.get_running_loop().call_soon(orphans[0].send, None)
        await settle()
        assert process._lane_of(url).holder is not None

    asyncio.run(begin())
    orphans.clear()
    gc.collect()
    assert process._lane_of(url).holder is None


def test_trio_as_a_guest_of_asyncio_is_told_from_its_host(url: str) -> None:
    done: list[float] = []

    async def guest() -> None:
        async with anyio.create_task_group() as tasks:
            async with ProcessGuard().hold(url) as hold:
                tasks.start_soon(take, url)
                await settle()
                hold.finished()
        done.append(await take(url))

    async def host() -> None:
        loop, over = asyncio.get_running_loop(), asyncio.Event()
        trio.lowlevel.start_guest_run(
            guest, run_sync_soon_threadsafe=loop.call_soon_threadsafe, done_callback=lambda _: over.set()
        )
        await over.wait()

    asyncio.run(host())
    assert len(done) == 1


def test_without_a_loop_there_is_no_turn(url: str) -> None:
    entering = ProcessGuard().hold(url).__aenter__()
    with pytest.raises(RuntimeError, match="no event loop"):
        entering.send(None)


async def test_a_waiter_closed_while_it_is_woken_does_not_stop_the_queue(url: str) -> None:
    """The garbage collector may close a coroutine in the middle of passing the lane on."""
    guard = ProcessGuard()
    dead, alive = guard.hold(url), guard.hold(url)

    class Closing:
        async def park(self) -> None:
            raise AssertionError("it never lies down")

        def wake(self) -> bool:
            dead.leave()  # what a closed coroutine does, re-entering in the same thread
            return True

    async with guard.hold(url) as hold:
        lane = process._lane_of(url)
        dead._lane, dead.stage, dead.parking = lane, process._Stage.QUEUED, Closing()
        lane.queue[dead] = None
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(take, url)
            await settle()
            hold.finished()
            await hold.__aexit__(None, None, None)
    assert lane.holder is None
    alive.finished()


# --- time-out, check, fork --------------------------------------------------------------------------------------------


@pytest.mark.virtual_clock
async def test_no_turn_within_the_time_out_raises_and_gives_up_the_place(url: str) -> None:
    guard = ProcessGuard(acquire_timeout=5)
    began = anyio.current_time()
    async with guard.hold(url) as hold:
        with pytest.raises(GuardTimeoutError, match="within 5 s"):
            async with guard.hold(url):
                pass
        assert anyio.current_time() - began == pytest.approx(5)
        hold.finished()
    await take(url)
    assert anyio.current_time() - began == pytest.approx(5)


@pytest.mark.virtual_clock
async def test_the_time_out_covers_the_grace(url: str) -> None:
    async with ProcessGuard(abandon_grace=60).hold(url):
        pass
    with pytest.raises(GuardTimeoutError):
        async with ProcessGuard(acquire_timeout=5).hold(url):
            pass


@pytest.mark.virtual_clock
async def test_a_turn_that_comes_in_time_is_no_time_out(url: str) -> None:
    async with ProcessGuard(abandon_grace=4).hold(url):
        pass
    async with ProcessGuard(acquire_timeout=5).hold(url) as hold:
        hold.check()
        hold.finished()


def test_it_says_how_it_is_set() -> None:
    assert repr(ProcessGuard(acquire_timeout=2.5)) == "ProcessGuard(abandon_grace=10, acquire_timeout=2.5)"


async def test_a_waiter_woken_before_it_lies_down_does_not_sleep() -> None:
    parking = parking_on(current_loop())
    assert parking.wake()
    assert parking.wake()
    await parking.park()


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_nobody_is_woken_on_a_loop_that_is_over(backend: str) -> None:
    async def main() -> tuple[Any, Any]:
        loop = current_loop()
        return loop, parking_on(loop)

    loop, parking = anyio.run(main, backend=backend)
    assert is_closed(loop)
    assert not parking.wake()


async def test_a_waiter_closed_before_it_is_chosen_is_passed_over(url: str) -> None:
    guard = ProcessGuard()
    dead = guard.hold(url)
    async with guard.hold(url) as hold:
        lane = process._lane_of(url)
        lane.queue[dead] = None  # taken out of the queue by nobody, and not waiting any more
        hold.finished()
    assert lane.holder is None


async def test_it_is_a_guard(url: str) -> None:
    assert isinstance(ProcessGuard(), Guard)
    assert isinstance(ProcessGuard().hold(url), Hold)


async def test_check_holds_inside_the_turn_alone(url: str) -> None:
    hold = ProcessGuard().hold(url)
    with pytest.raises(GuardLostError):
        hold.check()
    async with hold:
        hold.check()
        hold.finished()
    with pytest.raises(GuardLostError):
        hold.check()


@pytest.mark.virtual_clock
async def test_a_hold_entered_again_is_unfinished_again(url: str) -> None:
    hold = ProcessGuard(abandon_grace=7).hold(url)
    async with hold:
        hold.finished()
    async with hold:
        left = anyio.current_time()
    await take(url)
    assert anyio.current_time() - left == pytest.approx(7)


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_begins_without_holders_and_leaves_the_parents_alone(url: str) -> None:
    async def main() -> int:
        async with ProcessGuard().hold(url) as hold:
            lane = process._lane_of(url)
            with lane.mutex:  # as if another thread of the parent were inside: nobody releases it in the child
                child = os.fork()
            if child == 0:
                code = 1
                try:
                    try:
                        hold.check()
                    except GuardLostError:
                        hold.leave()
                        asyncio.set_event_loop(None)
                        asyncio._set_running_loop(None)
                        fresh = threading.Thread(target=lambda: asyncio.run(take(url)))
                        fresh.start()
                        fresh.join(10)
                        code = 2 if fresh.is_alive() else 0
                finally:
                    os._exit(code)
            _, status = os.waitpid(child, 0)
            hold.check()
            hold.finished()
            return os.waitstatus_to_exitcode(status)

    assert asyncio.run(main()) == 0


@pytest.mark.parametrize("value", [-1, float("nan"), float("inf"), "10", None, True])
def test_a_grace_that_is_no_number_of_seconds_is_refused(value: Any) -> None:
    with pytest.raises(ConfigurationError, match="abandon_grace must be a number of seconds"):
        ProcessGuard(abandon_grace=value)


def test_a_time_out_that_is_no_number_of_seconds_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="acquire_timeout must be a number of seconds"):
        ProcessGuard(acquire_timeout=-0.1)
