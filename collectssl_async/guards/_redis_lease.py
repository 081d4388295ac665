"""One turn at a Redis: a lease that is renewed while the call is in work, and given up before it can have ended.

The key lives for the lease and the grace together, so that its holder's death needs nobody to write anything down.
Which commands that takes stands in `_redis_link.py`; who waits for a lease, and how, in `_redis_contest.py`. Loaded
when a guard is entered.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from typing import TYPE_CHECKING

import anyio

from ..errors import ConfigurationError, GuardError, GuardLostError

if TYPE_CHECKING:
    from collections.abc import Callable

    from redis.asyncio.lock import Lock

    from ._redis_link import Link

logger = logging.getLogger("collectssl_async")

_MARGIN = 0.1
"""The part of a lease that its holder does not use: his clock may be slower than the server's."""

_RENEWAL = 1 / 3
"""The part of a lease after which it is renewed."""

_RETRY = 1 / 20
"""The part of a lease after which a renewal that failed is tried again."""

_NOT_RENEWED = "it could not be renewed in time, since Redis did not answer or the event loop was blocked"
_FORGOTTEN = "Redis has forgotten it: it was restarted, emptied, or the lock released by force"

# The monotonic clock stands still while the host is suspended, and the server's goes on. (macOS has no such clock; its
# CLOCK_MONOTONIC goes on too.)
_BOOT_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def boot_time() -> float:
    """Return seconds on a clock that nobody sets and that goes on while the host sleeps."""
    return time.clock_gettime(_BOOT_CLOCK)


class Names:
    """What Redis keeps for one resource."""

    __slots__ = ("channel", "key", "resource")

    def __init__(self, resource: str) -> None:
        self.resource = resource
        self.key = f"collectssl:{resource}"
        self.channel = f"collectssl:{resource}:free"


orphans: dict[str, str] = {}
"""By resource, the token of a lease that this process may have in Redis though nobody here uses it.

The process's next contender deletes it: he has the process's lane, so nobody here is inside.
"""


def adopt(resource: str, token: str) -> None:
    """Take a token out of the orphans again: it is known what became of it."""
    if orphans.get(resource) == token:
        del orphans[resource]


others_wait: dict[str, tuple[int, float]] = {}
"""By resource, how many other processes waited for it when this one last left, and when (`boot_time`) that was."""


class Lease:
    """A lock that is ours until `deadline`, which each renewal moves."""

    def __init__(
        self, link: Link, lock: Lock, names: Names, token: str, *, asked: float, ttl: float, grace: float
    ) -> None:
        self._link = link
        self._lock = lock
        self._names = names
        self._token = token
        self._ttl = ttl
        self._grace = grace
        self._deadline = asked + ttl * (1 - _MARGIN)
        self._loop = asyncio.get_running_loop()
        self._timers: tuple[asyncio.TimerHandle, ...] = ()
        self._stop: Callable[[], object] | None = None
        self._lost: str | None = None
        self._over = False
        self._leaving: asyncio.Task[None] | None = None
        self._gone = False

    def start(self, stop: Callable[[], object]) -> None:
        """Renew from now on; `stop` ends the call when the lease is lost."""
        self._stop = stop
        self._set_timers()

    def check(self) -> None:
        """Return if the lease cannot have ended; raise `GuardLostError` if it may have. Asks nobody."""
        if not self.alive():
            self._lose(_NOT_RENEWED)
        if self._lost is not None:
            raise self.loss()

    def alive(self) -> bool:
        """Say whether the deadline is still to come."""
        return boot_time() < self._deadline

    def loss(self) -> GuardLostError:
        """Return the error that says why the lease was lost."""
        return GuardLostError(f"the lease on {self._names.resource} is not ours any more: {self._lost}")

    # --- renewal ---

    def _set_timers(self) -> None:
        self._cancel_timers()
        self._timers = (
            self._loop.call_later(self._ttl * _RENEWAL, self._begin_renewal),
            self._loop.call_later(max(self._deadline - boot_time(), 0), self._end),
        )

    def _cancel_timers(self) -> None:
        for timer in self._timers:
            timer.cancel()

    def _begin_renewal(self) -> None:
        self._link.spawn(self._renew())

    async def _renew(self) -> None:
        while not self._over and (left := self._deadline - (asked := boot_time())) > 0:
            try:
                ours = await self._link.extend(self._lock, self._ttl + self._grace, within=left)
            except (GuardError, ConfigurationError) as error:
                logger.debug("the lease on %s was not renewed yet: %s", self._names.resource, error)
                await asyncio.sleep(self._ttl * _RETRY)
                continue
            if self._over:
                return
            if ours:
                self._deadline = asked + self._ttl * (1 - _MARGIN)
                self._set_timers()
            else:
                self._lose(_FORGOTTEN)
            return

    def _end(self) -> None:
        if self.alive():  # the loop's clock is not ours
            self._timers += (self._loop.call_later(self._deadline - boot_time(), self._end),)
        else:
            self._lose(_NOT_RENEWED)

    def _lose(self, why: str) -> None:
        """Stop the call at once, whether or not Redis answers."""
        if self._over:
            return
        self._over, self._lost = True, why
        self._cancel_timers()
        if self._stop is not None:
            self._stop()

    # --- leaving ---

    async def leave(self, *, finished: bool) -> None:
        """Let the next one in at once, or after an unfinished call when its grace has passed."""
        leaving = self.begin_leaving(finished)
        if self._lost is not None and not finished:
            return  # Redis may not answer, and the key ends by itself
        try:
            await asyncio.wait((leaving,))
        except asyncio.CancelledError:
            await _see_through(leaving)
            raise

    def drop(self, *, finished: bool) -> None:
        """Let go without an await: on the loop where it still runs, else by this process's next contender."""
        if self._gone:
            return
        if finished:
            orphans[self._names.resource] = self._token
        if self._leaving is None:
            self._over = True
            self._cancel_timers()
            if not self._link.call(lambda: self.begin_leaving(finished)):
                # An unfinished call keeps its key until lease and grace have passed.
                logger.debug("the event loop of the lease on %s was closed inside the hold", self._names.resource)

    def begin_leaving(self, finished: bool) -> asyncio.Task[None]:
        """Let go in a task of its own, on this loop."""
        self._over = True
        self._cancel_timers()
        self._leaving = self._link.spawn(self._let_go(finished=finished))
        return self._leaving

    async def _let_go(self, *, finished: bool) -> None:
        names, epoch = self._names, self._link.epoch
        try:
            if finished or not self._grace:
                ours = await self._link.release(self._lock, self._token)
                adopt(names.resource, self._token)
                self._gone = True
                waited, _ = others_wait.pop(names.resource, (0, 0.0))
                if waiting := await self._link.announce(names.channel, waited):
                    others_wait[names.resource] = waiting, boot_time()
            else:
                ours = await self._link.extend(self._lock, self._grace)
                self._gone = True
        except (GuardError, ConfigurationError) as error:
            logger.warning(
                "the lease on %s could not be given up, and keeps others out for at most %g s: %s",
                *(names.resource, self._ttl + self._grace, error),
            )
            return
        # On a connection made anew it may be ours whose answer was lost.
        if not ours and self._lost is None and self._stop is not None and self._link.epoch == epoch:
            logger.warning("the lease on %s was gone before it was given up: %s", names.resource, _FORGOTTEN)


async def _see_through(task: asyncio.Task[None]) -> None:
    """Wait until a task is done, however often the caller is cancelled meanwhile: he is going to be told anyway."""
    with anyio.CancelScope(shield=True):
        while not task.done():
            with contextlib.suppress(asyncio.CancelledError):  # of `Task.cancel()`, which no shield stops
                await asyncio.wait((task,))
