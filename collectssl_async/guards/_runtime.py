"""What differs between asyncio and trio for a guard: which loop runs here, and how to wake a task of any loop.

Every function may be called from any thread and while the garbage collector closes a coroutine; none blocks.
"""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from trio.lowlevel import Task, TrioToken

    Loop = asyncio.AbstractEventLoop | TrioToken


class Parking(Protocol):
    """The place where one task sleeps once. Woken before it lies down, it does not sleep at all."""

    async def park(self) -> None:
        """Sleep until woken; a cancellation wakes too, as the exception that it is."""

    def wake(self) -> bool:
        """Wake the task, from any thread; later calls do nothing. Return False when its loop is closed."""


def current_loop() -> Loop:
    """Return what identifies the running event loop: asyncio's loop, or trio's token."""
    # trio may run as a guest of asyncio, so it is asked first; whoever never loaded trio pays a dictionary look-up.
    trio = sys.modules.get("trio")
    if trio is not None and trio.lowlevel.in_trio_task():
        token: TrioToken = trio.lowlevel.current_trio_token()
        return token
    return asyncio.get_running_loop()


def running_here(loop: Loop) -> bool:
    """Say whether `loop` is the one that runs the caller."""
    if isinstance(loop, asyncio.AbstractEventLoop):
        return asyncio._get_running_loop() is loop  # noqa: SLF001 - the only one that does not raise where none runs
    trio = sys.modules["trio"]
    return bool(trio.lowlevel.in_trio_run()) and trio.lowlevel.current_trio_token() is loop


def loop_time(loop: Loop) -> float:
    """Return the running loop's own clock in seconds; comparable with nothing but itself."""
    if isinstance(loop, asyncio.AbstractEventLoop):
        return loop.time()
    return float(sys.modules["trio"].current_time())


def is_closed(loop: Loop) -> bool:
    """Say whether `loop` will never run again."""
    if isinstance(loop, asyncio.AbstractEventLoop):
        return loop.is_closed()
    try:
        loop.run_sync_soon(_nothing, idempotent=True)
    except sys.modules["trio"].RunFinishedError:
        return True
    return False


def _nothing() -> None:
    """What a trio loop is asked to run to learn whether it still does."""


def parking_on(loop: Loop) -> Parking:
    """Return a place to sleep for the task that runs now."""
    if isinstance(loop, asyncio.AbstractEventLoop):
        return _AsyncioParking(loop)
    return _TrioParking(loop)


class _AsyncioParking:
    """A native future: set directly on its own loop, thread-safely from elsewhere."""

    __slots__ = ("_future", "_loop")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._future: asyncio.Future[None] = loop.create_future()

    async def park(self) -> None:
        await self._future

    def wake(self) -> bool:
        future = self._future
        try:
            if running_here(self._loop):
                _resolve(future)
            else:
                self._loop.call_soon_threadsafe(_resolve, future)
        except RuntimeError:  # the loop is closed
            return False
        return True


def _resolve(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


class _TrioParking:
    """A task taken off trio's schedule, put back by its token."""

    __slots__ = ("_task", "_token", "_woken")

    def __init__(self, token: TrioToken) -> None:
        self._token = token
        self._task: Task | None = None
        self._woken = False

    async def park(self) -> None:
        lowlevel = sys.modules["trio"].lowlevel
        if self._woken:
            await lowlevel.checkpoint()
            return
        self._task = lowlevel.current_task()

        def abort(_: Any) -> Any:
            self._task = None
            return lowlevel.Abort.SUCCEEDED

        await lowlevel.wait_task_rescheduled(abort)

    def wake(self) -> bool:
        # Always by the token, never `reschedule` directly: a coroutine that the garbage collector closes in the middle
        # of trio's own bookkeeping may be the one that wakes.
        try:
            self._token.run_sync_soon(self._reschedule)
        except sys.modules["trio"].RunFinishedError:
            return False
        return True

    def _reschedule(self) -> None:
        task, self._task = self._task, None
        if task is None:
            self._woken = True
        else:
            sys.modules["trio"].lowlevel.reschedule(task)
