"""The guard of one process: one lane a resource, shared by every loop, thread and async library in it.

First come, first served. What differs between asyncio and trio stands in `_runtime.py`.

State changes happen under the lane's mutex and never await, so that a coroutine that is closed or garbage-collected
still lets go. The mutex is re-entrant because the garbage collector may close such a coroutine in the middle of one of
these sections, in the same thread: after every step that can run foreign code, a section looks at the lane again.
"""

from __future__ import annotations

import os
import threading
import time
from collections import OrderedDict
from enum import Enum, auto
from typing import TYPE_CHECKING, NamedTuple, Self

import anyio

from ..errors import GuardLostError, GuardTimeoutError
from ._protocol import normalise_resource, seconds
from ._runtime import current_loop, is_closed, loop_time, parking_on, running_here, sleep_in_real_time

if TYPE_CHECKING:
    from types import TracebackType

    from ._runtime import Loop, Parking


class ProcessGuard:
    """Keeps the calls of this process apart, whatever instance, client, event loop, thread or async library makes them.

    A call that is left without `finished()` (cancelled, timed out, connection lost) counts as abandoned: nobody begins
    before `abandon_grace` seconds have passed. That no two calls overlap assumes that the service is done with a call
    that long after its client is gone. `acquire_timeout` (seconds, None waits without end) bounds the wait for a turn,
    a grace included; `GuardTimeoutError` says that it passed.

    First come, first served. Not re-entrant: a holder that asks for the same resource waits for itself. Survives
    cancellation at any point, a loop that is closed while it holds or waits, garbage-collected coroutines, and fork: a
    child begins without holders, and a hold that it inherited raises `GuardLostError`. A holder whose loop is stopped
    but not closed keeps its place; `acquire_timeout` is the way out. Other processes are not kept apart.
    """

    def __init__(self, *, abandon_grace: float = 10.0, acquire_timeout: float | None = None) -> None:
        self.abandon_grace = seconds("abandon_grace", abandon_grace)
        self.acquire_timeout = None if acquire_timeout is None else seconds("acquire_timeout", acquire_timeout)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(abandon_grace={self.abandon_grace:g}, acquire_timeout={self.acquire_timeout})"

    def hold(self, resource: str) -> ProcessHold:
        """Return a context that is entered when nobody else in this process calls `resource`, a URL.

        Raises `GuardTimeoutError` after `acquire_timeout` seconds.
        """
        return ProcessHold(self, resource)


class _Stage(Enum):
    OUTSIDE = auto()  # not asked yet, given up, or left
    QUEUED = auto()
    CHOSEN = auto()  # the lane is ours, but we have not woken, or sit out a grace
    INSIDE = auto()


_OUTSIDE, _QUEUED, _CHOSEN, _INSIDE = _Stage  # looking one up costs a fifth of a free hold on Python 3.11


class _Grace(NamedTuple):
    """Until when an abandoned call may still be in work: on everyone's clock, and on the loop's that left it.

    A loop's own clock counts for that loop alone: a test's virtual clock runs days ahead of everyone's.
    """

    ends: float
    loop: Loop | None
    loop_ends: float


class _Lane:
    """Who calls one resource, who waits for it, and until when an abandoned call keeps everyone out."""

    __slots__ = ("forked", "grace", "holder", "mutex", "queue")

    def __init__(self) -> None:
        self.mutex = threading.RLock()
        self.holder: ProcessHold | None = None
        self.queue: OrderedDict[ProcessHold, None] = OrderedDict()
        self.grace: _Grace | None = None
        self.forked = False

    def pass_on(self) -> None:
        """Give the lane to the first who waits and whose loop still runs."""
        while self.queue:
            first, _ = self.queue.popitem(last=False)
            if first.stage is not _QUEUED:  # closed by the garbage collector while it was taken out
                continue
            self.holder, first.stage = first, _CHOSEN
            woken = first.parking is not None and first.parking.wake()
            if self.holder is not first or woken:  # not ours any more: it was closed meanwhile and has passed on itself
                return
            first.stage = _OUTSIDE
        self.holder = None

    def remember(self, grace: float, loop: Loop | None) -> None:
        """Keep everyone out for `grace` seconds from now, if there is any."""
        if grace > 0:
            here = loop is not None and running_here(loop)
            ends_here = loop_time(loop) + grace if loop is not None and here else 0.0
            self.grace = _Grace(time.monotonic() + grace, loop if here else None, ends_here)

    def reap(self) -> None:
        """Let go for a holder whose loop was closed: its coroutine will never run again."""
        holder = self.holder
        if holder is not None and holder.loop is not None and is_closed(holder.loop):
            holder.leave()

    def mixed(self) -> bool:
        """Say whether someone waits for a task of another loop, which may be closed without a word."""
        return self.holder is not None and any(waiter.loop is not self.holder.loop for waiter in self.queue)


class ProcessHold:
    """One caller's turn in this process. Entered once; what `ProcessGuard.hold` returns."""

    __slots__ = ("_done", "_guard", "_lane", "_resource", "loop", "parking", "stage")

    def __init__(self, guard: ProcessGuard, resource: str) -> None:
        self._guard = guard
        self._resource = resource
        self._lane: _Lane | None = None
        self._done = False
        self.stage = _OUTSIDE
        self.loop: Loop | None = None
        self.parking: Parking | None = None

    def check(self) -> None:
        """Return if the turn is still ours; raise `GuardLostError` in a forked child, and before or after the turn."""
        if self.stage is not _INSIDE or self._lane is None or self._lane.forked:
            raise GuardLostError(f"the hold on {normalise_resource(self._resource)} is not this task's any more")

    def finished(self) -> None:
        """Say that the service is done with the call, or that no call was made."""
        self._done = True

    async def __aenter__(self) -> Self:
        self.loop = loop = current_loop()
        self._lane = lane = _lane_of(self._resource)
        self._done = False
        with lane.mutex:
            if lane.holder is None and lane.grace is None:
                lane.holder, self.stage = self, _INSIDE
                return self
            lane.reap()
            self._line_up(lane, loop)
        if self._guard.acquire_timeout is None:
            await self._wait(lane, loop)
            return self
        with anyio.move_on_after(self._guard.acquire_timeout):
            await self._wait(lane, loop)
        if self.stage is not _INSIDE:
            raise GuardTimeoutError(
                f"no turn to call {normalise_resource(self._resource)} within {self._guard.acquire_timeout:g} s: "
                "another call is in work, or was abandoned and may be"
            )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.leave()

    def _line_up(self, lane: _Lane, loop: Loop) -> None:
        """Take the free lane, or the last place in the queue. The mutex is ours."""
        if lane.holder is None:
            lane.holder, self.stage = self, _CHOSEN
            return
        self.parking = parking_on(loop)
        self.stage = _QUEUED
        # One look suffices: whoever is in the queue already was compared with the holder of that time.
        if lane.holder.loop is not loop or (lane.queue and next(reversed(lane.queue)).loop is not loop):
            _closed_loops.watch(lane)
        lane.queue[self] = None

    async def _wait(self, lane: _Lane, loop: Loop) -> None:
        try:
            if self.parking is not None:
                await self.parking.park()
            await _sit_out(lane, loop)
        except BaseException:
            self.leave()
            raise
        self.stage = _INSIDE

    def leave(self) -> None:
        """Give up the place in the queue, or the lane; an unfinished call keeps everyone out for its grace."""
        lane = self._lane
        if lane is None or lane.forked:  # forked: the parent's, whose mutex nobody in this process may ever release
            return
        with lane.mutex:
            stage, self.stage = self.stage, _OUTSIDE
            if stage is _QUEUED:
                lane.queue.pop(self, None)
            elif stage is not _OUTSIDE:
                if stage is _INSIDE and not self._done:
                    lane.remember(self._guard.abandon_grace, self.loop)
                lane.pass_on()


async def _sit_out(lane: _Lane, loop: Loop) -> None:
    """Wait until an abandoned call cannot be in work any more. The lane is the caller's meanwhile."""
    grace = lane.grace
    if grace is None:
        return
    if grace.loop is loop:
        await anyio.sleep_until(grace.loop_ends)
    elif (remaining := grace.ends - time.monotonic()) > 0:
        # The clock of our own loop may be a virtual one, on which it would be over at once.
        await sleep_in_real_time(remaining)
    lane.grace = None


_lanes: dict[str, _Lane] = {}


def _lane_of(resource: str) -> _Lane:
    name = normalise_resource(resource)
    return _lanes.get(name) or _lanes.setdefault(name, _Lane())


class _ClosedLoops:
    """A thread that looks for closed loops among the holders of lanes where other loops wait, for as long as they do.

    Nobody announces that a loop was closed, and a waiter sleeps until it is woken: without this it might for ever.
    """

    _INTERVAL = 0.1  # seconds of real time

    def __init__(self) -> None:
        self._mutex = threading.Lock()
        self._lanes: set[_Lane] = set()
        self._running = False

    def watch(self, lane: _Lane) -> None:
        """Look after a lane; its mutex is the caller's."""
        with self._mutex:
            self._lanes.add(lane)
            if not self._running:
                threading.Thread(target=self._look, name="collectssl-guard", daemon=True).start()
                self._running = True

    def _look(self) -> None:
        while True:
            time.sleep(self._INTERVAL)
            with self._mutex:
                lanes = tuple(self._lanes)
                self._running = bool(lanes)
            if not lanes:
                return
            for lane in lanes:
                with lane.mutex:
                    lane.reap()
                    if not lane.mixed():
                        with self._mutex:
                            self._lanes.discard(lane)


_closed_loops = _ClosedLoops()


def _begin_anew_after_fork() -> None:
    """In a child: nobody holds or waits here, and what was inherited must not touch mutexes that may be locked."""
    global _closed_loops  # noqa: PLW0603 - its mutex may be locked for ever, and its thread is not here
    for lane in _lanes.values():
        lane.forked = True
    _lanes.clear()
    _closed_loops = _ClosedLoops()


os.register_at_fork(after_in_child=_begin_anew_after_fork)
