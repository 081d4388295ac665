"""`Watcher`: many orders in one process, one call at a time. Each order is a row of plain data, not a task.

Whose turn it is and what a call brings is `_rounds.py`, what the store knows `_ledger.py`.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import anyio

from ._kept import Kept, key_of, order_of
from ._ledger import Ledger
from ._rounds import Rounds
from .certificates import CertificateBundle
from .errors import CollectSSLError, StoreError
from .models import OrderRef
from .polling import PollPolicy
from .stores import MemoryStore

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from types import TracebackType

    from ._hints import Hints
    from .client import CollectSSLClient
    from .polling import PollState, PollUpdate
    from .stores import Store


@dataclass(frozen=True, slots=True)
class WatchOutcome:
    """How one order ended: with its `bundle`, or with the `error` that ended it. The other one is None.

    `state` is where its wait stood at the end.
    """

    order: OrderRef
    bundle: CertificateBundle | None
    error: CollectSSLError | None
    state: PollState


class Watcher:
    """Waits for any number of orders, one call at a time, and iterates over their outcomes as they come.

        async with Watcher(client, store=SQLiteStore("orders.db")) as watcher:
            await watcher.add("1234567890")
            async for outcome in watcher:
                ...

    Nothing is polled while the loop's body runs: what takes long there belongs into a task. Orders may be added and
    removed at any time, in the body and by other tasks. Leaving the loop or being cancelled loses nothing; iterating
    again goes on. The loop ends when no order is left, unless `stop_when_empty` is False: then it waits for `add`.

    An outcome stays in the store until the loop asks for the next one. A process that is killed before that hands it
    over again, so that each is handed over at least once.

    A failure that may be the service's (network, HTTP 429 and 5xx, unreadable replies, the guard, -42) is followed by a
    pause, `failure_interval` doubling, and a call for another order. It counts against an order only when another one
    was answered since its last failure, so that an outage ends no order, however long. -1, -2, -16 and -17 are about
    us: they are raised, and every order goes on waiting. So is `StoreError` when the store cannot be read or written.
    Where it could be written before, the orders that are due are asked for and their outcomes handed over first.
    Iterating again tries again.

    `policy` is `PollPolicy()`, and `PollPolicy.gentle()` where there is `push`. `on_update`, a function or a coroutine
    function, is given a `PollUpdate` after every poll after which its order still waits or has its certificate. A
    watcher belongs to its client's event loop.
    """

    def __init__(
        self,
        client: CollectSSLClient,
        *,
        policy: PollPolicy | None = None,
        store: Store | None = None,
        push: Hints | None = None,
        on_update: Callable[[PollUpdate], Awaitable[object] | object] | None = None,
        stop_when_empty: bool = True,
    ) -> None:
        if policy is None:
            policy = PollPolicy() if push is None else PollPolicy.gentle()
        self._policy = policy
        self._stop_when_empty = stop_when_empty
        self._ledger = Ledger(MemoryStore() if store is None else store)
        ask = client._ask  # noqa: SLF001 - a wait's way to ask, which the package keeps to itself
        self._rounds = Rounds(ask, policy, self._ledger, push, on_update)
        self._iterating = False

    # --- which orders ---

    async def add(self, *orders: OrderRef | str) -> None:
        """Wait for these too; when this returns, the store has them, on the disk. Several are one transaction.

        An order that is waited for already is left as it is, and so is one whose outcome lies ready. Raises
        `StoreError` where they cannot be kept: then they are not waited for.
        """
        keys = [key_of(OrderRef.of(order)) for order in orders]
        await self._open()
        now = time.time()
        begun = (Kept(key, started_at=now, next_poll_at=now + self._policy.initial_delay) for key in keys)
        added = [kept for kept in begun if self._ledger.add(kept)]
        self._rounds.expect(added)
        try:
            await self._ledger.save()
        except StoreError:
            for kept in added:
                if self._ledger.take_back(kept):
                    self._rounds.forget(kept.key)
            raise

    async def remove(self, order: OrderRef | str) -> None:
        """Wait for this order no longer; an outcome of it that lies ready is dropped. Raises `StoreError`."""
        key = key_of(OrderRef.of(order))
        await self._open()
        if self._ledger.remove(key):
            self._rounds.forget(key)
            await self._ledger.save()

    async def orders(self) -> tuple[OrderRef, ...]:
        """Return the orders that are waited for. Raises `StoreError`."""
        await self._open()
        return tuple(order_of(key) for key in self._ledger.waiting)

    async def states(self) -> tuple[PollState, ...]:
        """Return where the wait for each of them stands. Raises `StoreError`."""
        await self._open()
        return self._ledger.states()

    # --- iterating ---

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> WatchOutcome:
        if self._iterating:
            raise RuntimeError("a watcher is iterated over by one task at a time")
        self._iterating = True
        try:
            await self._open()
            self._ledger.handed_over()
            while True:
                outcome = await self._outcome()
                if outcome is not None:
                    return outcome
                self._rounds.raise_trouble()
                if self._ledger.waiting or not self._stop_when_empty:
                    await self._rounds.go_on()
                elif self._ledger.behind:
                    await self._rounds.save()
                else:
                    await self.aclose()
                    raise StopAsyncIteration
        finally:
            self._iterating = False

    async def aclose(self) -> None:
        """Let go of the store, so that another watcher can have it. Using this one again opens it anew.

        Raises `StoreError` where the store does not have all that it should.
        """
        with anyio.CancelScope(shield=True):
            try:
                self._rounds.unclaim()
                while self._ledger.behind:
                    await self._ledger.save()
            finally:
                self._rounds.end()
                await self._ledger.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    async def _open(self) -> None:
        self._rounds.expect(await self._ledger.open())

    async def _outcome(self) -> WatchOutcome | None:
        """Return the next outcome that lies ready, once the store has it, or cannot have it."""
        if self._ledger.ended and self._ledger.behind:
            await self._rounds.save()
        if not self._ledger.ended:
            return None
        kept, ending = self._ledger.hand_over()
        bundle = ending if isinstance(ending, CertificateBundle) else None
        error = ending if isinstance(ending, CollectSSLError) else None
        return WatchOutcome(order_of(kept.key), bundle, error, kept.state())
