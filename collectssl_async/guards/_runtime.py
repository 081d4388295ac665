"""What differs between asyncio and trio for a guard: which loop runs here, and how to wake a task of any loop.

Every function may be called from any thread and while the garbage collector closes a coroutine; none blocks. Neither
of the two is imported here: whose loop runs has been.
"""

from __future__ import annotations

import sys
import threading
import time
from typing import TYPE_CHECKING, Any, Protocol

import anyio

if TYPE_CHECKING:
    import asyncio

    from trio.lowlevel import Task, TrioToken
    from typing_extensions import TypeIs

    Loop = asyncio.AbstractEventLoop | TrioToken


class Parking(Protocol):
    """The place where one task sleeps once. Woken before it lies down, it does not sleep at all."""

    async def park(self) -> None:
        """Sleep until woken; a cancellation wakes too, as the exception that it is."""

    def wake(self) -> bool:
        """Wake the task, from any thread; later calls do nothing. Return False when its loop is closed."""
        ...


def current_loop() -> Loop:
    """Return what identifies the running event loop: asyncio's loop, or trio's token.

    Raises `RuntimeError` where none runs.
    """
    asyncio = sys.modules.get("asyncio")
    loop: Loop | None = None if asyncio is None else asyncio._get_running_loop()  # noqa: SLF001 - it does not raise
    if asyncio is not None and loop is not None and asyncio.current_task(loop) is not None:
        return loop
    # Without a task of its own, asyncio's loop may be the host of a trio that runs as its guest.
    trio = sys.modules.get("trio")
    if trio is not None and trio.lowlevel.in_trio_task():
        token: TrioToken = trio.lowlevel.current_trio_token()
        return token
    if loop is None:
        raise RuntimeError("no event loop of asyncio or trio runs here")
    return loop


def _is_trio(loop: Loop) -> TypeIs[TrioToken]:
    return hasattr(loop, "run_sync_soon")


def running_here(loop: Loop) -> bool:
    """Say whether a task of `loop` runs the caller."""
    try:
        return current_loop() is loop
    except RuntimeError:
        return False


def loop_time(loop: Loop) -> float:
    """Return the running loop's own clock in seconds; comparable with nothing but itself."""
    return float(sys.modules["trio"].current_time() if _is_trio(loop) else loop.time())


def is_closed(loop: Loop) -> bool:
    """Say whether `loop` will never run again."""
    if not _is_trio(loop):
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
    return _TrioParking(loop) if _is_trio(loop) else _AsyncioParking(loop)


_EARLY = 0.002  # seconds by which a loop's timer may be early: loops have clocks of their own


async def sleep_in_real_time(seconds: float) -> None:
    """Sleep by everyone's clock, also on a loop whose own clock is a virtual one that jumps."""
    ends = time.monotonic() + seconds
    await anyio.sleep(seconds)
    rest = ends - time.monotonic()
    if rest <= min(_EARLY, seconds / 2):
        return
    parking = parking_on(current_loop())
    timer = threading.Timer(rest, parking.wake)
    timer.daemon = True
    timer.start()
    try:
        await parking.park()
    finally:
        timer.cancel()


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
        if running_here(self._token):
            self._reschedule()
            return True
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
