"""One call after the other: whose turn it is, the call, and what is noted of its answer.

What an answer means is `_verdicts.py`, who is next `_schedule.py`, what the store knows `_ledger.py`. Which orders
there are, and what becomes of those that ended, is the watcher's.
"""

from __future__ import annotations

import inspect
import logging
import time
from typing import TYPE_CHECKING

import anyio

from ._kept import order_of
from ._named import Named
from ._schedule import Schedule
from ._verdicts import Judge
from .errors import CollectSSLError, StoreError
from .polling import PollUpdate

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from ._hints import Hints
    from ._kept import Kept, Key
    from ._ledger import Ledger
    from ._verdicts import Verdict
    from ._waiting import Ask
    from .models import CollectSSLResponse, OrderRef
    from .polling import PollPolicy

    OnUpdate = Callable[[PollUpdate], Awaitable[object] | object]

logger = logging.getLogger("collectssl_async")


class Rounds:
    """The calls of one watcher. `trouble` is what the store said when it was last written to in vain."""

    def __init__(
        self, ask: Ask, policy: PollPolicy, ledger: Ledger, push: Hints | None, on_update: OnUpdate | None
    ) -> None:
        self._ask = ask
        self._policy = policy
        self._ledger = ledger
        self._on_update = on_update
        self._schedule = Schedule()
        self._named = Named(push, policy, self.wake)
        self._judge = Judge(policy, self._named)
        self._changed = anyio.Event()
        self._heeded: set[Key] = set()
        self._claimed: Kept | None = None
        self.trouble: StoreError | None = None

    # --- which orders there are ---

    def expect(self, orders: Iterable[Kept]) -> None:
        """Have these orders asked for when they say; a clock that was wrong does not make that longer than a pause."""
        here, wall = anyio.current_time(), time.time()
        keys = []
        for kept in orders:
            self._schedule.put(kept.key, here + self._policy.pause_until(kept.next_poll_at - wall))
            keys.append(kept.key)
        if keys:
            self._named.look_out_for(keys)
            self.wake()

    def forget(self, key: Key) -> None:
        """Ask for an order no longer."""
        self._schedule.remove(key)
        self._heeded.discard(key)
        self._judge.service.forget(key)
        self._named.forget(key)
        self.wake()

    def wake(self) -> None:
        """End a pause: something has changed."""
        self._changed.set()

    def unclaim(self) -> None:
        """Have the store say of an order that was to be asked for next, and was not, when it was due."""
        if self._claimed is not None:
            self._ledger.unclaim(self._claimed.key)
            self._claimed = None

    def end(self) -> None:
        """Forget all orders."""
        self._named.close()
        self._schedule = Schedule()
        self._heeded.clear()
        self._claimed = self.trouble = None

    # --- a round ---

    async def save(self) -> bool:
        """Say whether the store knows everything now; why not is in `trouble`."""
        try:
            await self._ledger.save()
        except StoreError as error:
            self.trouble = error
            return False
        return True

    def raise_trouble(self) -> None:
        """Raise the `StoreError` in `trouble`, once no call is left that can be made in spite of it."""
        if self.trouble is not None and not (self._ledger.has_written and self._due() is not None):
            trouble, self.trouble = self.trouble, None
            raise trouble

    async def go_on(self) -> None:
        """Make the call that is due, or sleep until one is or something changes. Raises what is about us.

        Cancelled at any point, it changes nothing that the next round would not mend.
        """
        kept = await self._turn()
        if kept is not None:
            await self._poll(kept)

    async def _turn(self) -> Kept | None:
        """Return the order whose turn it is, when the store knows of the call; None when something changed instead."""
        self._changed = changed = anyio.Event()  # renewed before the hints are taken: what comes later counts
        for key in self._named.take():
            self._heed(key)
        kept = self._due()
        if kept is not None:
            if kept is not self._claimed:
                await self._claim(kept)
        elif not self._ledger.behind or await self.save():
            with anyio.CancelScope(deadline=max(self._schedule.next_due(), self._judge.service.closed_until)):
                await changed.wait()
        still_waits = kept is not None and self._ledger.waiting.get(kept.key) is kept
        return kept if still_waits and kept is self._claimed else None

    def _due(self) -> Kept | None:
        now = anyio.current_time()
        key = None if now < self._judge.service.closed_until else self._schedule.first(now)
        return None if key is None else self._ledger.waiting[key]

    async def _claim(self, kept: Kept | None) -> None:
        """Tell the store what it does not know yet, and when the order that is asked for next is due after that.

        Said before the call: whoever goes on after a crash in the middle of it must not ask again at once.
        """
        self._claimed = None
        if kept is not None:
            now = time.time()
            step = self._judge.without_answer(kept)
            self._ledger.claim(kept._replace(last_poll_at=now, next_poll_at=now + step.delay))
        # A disk that fills up holds no outcome back. A new process on a full one makes no call: whoever starts it again
        # and again would ask every time.
        if await self.save() or self._ledger.has_written:
            self._claimed = kept
        elif kept is not None:
            self._ledger.unclaim(kept.key)

    async def _poll(self, kept: Kept) -> None:
        """Make the call that the store knows of, and note what came of it. Raises what is about us."""
        order = order_of(kept.key)
        self._heeded.discard(kept.key)
        self._claimed = None  # also when it is cancelled: the service may have answered
        answer: CollectSSLResponse | CollectSSLError
        try:
            answer = await self._ask(order, collect=kept.collecting)
        except CollectSSLError as failure:
            answer = failure
        error = answer if isinstance(answer, CollectSSLError) else None
        if error is not None and self._judge.is_about_us(error):
            self._ledger.unclaim(kept.key)
            raise error
        if self._ledger.waiting.get(kept.key) is not kept:  # removed during the call
            return
        now = anyio.current_time()
        if isinstance(answer, CollectSSLError):
            verdict, response = self._judge.after_error(kept, answer, now), None
        else:
            verdict, response = self._judge.after_response(kept, answer), answer
        moved = kept.moved(time.time(), verdict.step)
        if verdict.ending is None:
            self._ledger.move(moved)
            self._schedule.put(kept.key, now + verdict.step.delay, urgent=verdict.urgent)
            await self._claim(self._due())
        else:
            self._ledger.end(moved._replace(ending=verdict.text), verdict.ending)
            self.forget(kept.key)
            await self.save()
        _log(order, moved, verdict, error)
        if self._on_update is not None and (error is None or verdict.ending is None):
            done = self._on_update(PollUpdate(moved.state(), response, error))
            if inspect.isawaitable(done):
                await done

    def _heed(self, key: Key) -> None:
        """Have an order that was named be asked for now, or as soon as it may be asked for again."""
        if key in self._heeded:
            return
        self._heeded.add(key)
        kept = self._ledger.waiting[key]
        now = earliest = anyio.current_time()
        if kept.last_poll_at is not None:
            asked = self._schedule.due(key) - (kept.next_poll_at - kept.last_poll_at)
            earliest = min(max(now, asked + self._policy.failure_interval), now + self._policy.failure_interval)
            earliest = min(earliest, self._schedule.due(key))  # a hint never puts off what is due anyway
        self._schedule.put(key, earliest, urgent=True)
        self._ledger.move(kept._replace(next_poll_at=time.time() + earliest - now))


def _log(order: OrderRef, kept: Kept, verdict: Verdict, error: CollectSSLError | None) -> None:
    if verdict.ending is not None:
        logger.info("order %s: ended after %d polls: %s", order, kept.polls, error or "certificate collected")
    elif error is not None:
        logger.warning("order %s: %s; asked again in %.0f s", order, error, verdict.step.delay)
    else:
        logger.info("order %s: status %s after %d polls", order, kept.last_status, kept.polls)
