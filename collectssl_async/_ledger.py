"""Which orders a watcher waits for, which have ended, and what its store has still to be told of them.

Memory moves first and at once, the store follows in one transaction: a write that fails or is cancelled is repeated
with the next. When an order is asked for is not decided here.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

import anyio

from ._endings import read_ending
from .errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ._kept import Kept, Key
    from .certificates import CertificateBundle
    from .errors import CollectSSLError
    from .polling import PollState
    from .stores import Store

    Ending = CertificateBundle | CollectSSLError

_NOTHING = object()


class Ledger:
    """The orders of one watcher. What is not awaited has happened when it returns.

    `has_written` says whether the store took anything since it was opened.
    """

    def __init__(self, store: Store) -> None:
        self.waiting: dict[Key, Kept] = {}
        self.ended: deque[tuple[Kept, Ending]] = deque()
        self._handed: Key | None = None
        self._store = store
        self._open = False
        self._opening = anyio.Lock()
        self._writing = anyio.Lock()
        self._unsaved: dict[Key, Kept | None] = {}
        self._durable = False
        self.has_written = False

    async def open(self) -> Iterable[Kept]:
        """Read the store, unless that was done, and return the orders in it that wait. Raises `StoreError`."""
        if self._open:
            return ()
        async with self._opening:
            if self._open:
                return ()
            for kept in await self._store.open():
                if kept.ending is None:
                    self.waiting[kept.key] = kept
                else:
                    self.ended.append((kept, read_ending(kept.ending)))
            self._open = True
            return tuple(self.waiting.values())

    async def close(self) -> None:
        """Forget all orders and let go of the store. What it was not told before is lost."""
        if self._open:
            self._open, self._handed, self.has_written = False, None, False
            for table in (self.waiting, self.ended, self._unsaved):
                table.clear()
            await self._store.close()

    def states(self) -> tuple[PollState, ...]:
        """Return the states of the orders that wait."""
        return tuple(kept.state() for kept in self.waiting.values())

    # --- what happens to orders ---

    def add(self, kept: Kept) -> bool:
        """Begin to wait for an order, and say whether it is new: not waited for, and no outcome of it lies ready.

        One whose outcome was handed over may be waited for again.
        """
        if kept.key in self.waiting or any(kept.key == each.key for each, _ in self.ended):
            return False
        if self._handed == kept.key:
            self._handed = None
        self.move(kept)
        self._durable = True
        return True

    def take_back(self, kept: Kept) -> bool:
        """Undo `add`, unless the order was asked for meanwhile; say whether that was so."""
        if self.waiting.get(kept.key) is not kept:
            return False
        self.remove(kept.key)
        return True

    def move(self, kept: Kept) -> None:
        """Note where an order's wait stands now."""
        self.waiting[kept.key] = self._unsaved[kept.key] = kept

    def claim(self, kept: Kept) -> None:
        """Have the store say this of an order that waits, although it is not so yet."""
        self._unsaved[kept.key] = kept

    def unclaim(self, key: Key) -> None:
        """Have the store say again where the wait for an order stands."""
        if key in self.waiting:
            self._unsaved[key] = self.waiting[key]

    def end(self, kept: Kept, ending: Ending) -> None:
        """Note that an order has ended; `kept` has the ending as text."""
        self.waiting.pop(kept.key, None)
        self.ended.append((kept, ending))
        self._unsaved[kept.key] = kept

    def remove(self, key: Key) -> bool:
        """Forget an order, whether it waits or has ended; say whether it was there."""
        found = [each for each in self.ended if each[0].key == key]
        for each in found:
            self.ended.remove(each)
        known = self.waiting.pop(key, None) is not None or bool(found)
        if known:
            self._unsaved[key] = None
        return known

    def hand_over(self) -> tuple[Kept, Ending]:
        """Return the outcome that is next. The store keeps it until `handed_over`."""
        kept, ending = self.ended.popleft()
        self._handed = kept.key
        return kept, ending

    def handed_over(self) -> None:
        """Note that the outcome handed over last needs not be handed over again."""
        if self._handed is not None:
            self._unsaved[self._handed] = None
            self._handed = None

    # --- the store ---

    @property
    def behind(self) -> bool:
        """Whether the store does not know everything."""
        return bool(self._unsaved)

    async def save(self) -> None:
        """Tell the store all that it does not know, in one transaction. Raises `StoreError` with the states."""
        if not self._unsaved:
            return
        async with self._writing:  # lets a cancellation in, which a transport that never waits would not
            changes, durable = dict(self._unsaved), self._durable
            if not changes:  # whoever wrote before us had ours too
                return
            try:
                await self._store.write(changes, durable=durable)
            except StoreError as error:
                error.states = self.states()
                raise
            self.has_written = True
            for key, kept in changes.items():
                if self._unsaved.get(key, _NOTHING) is kept:
                    del self._unsaved[key]
            if durable and not self._unsaved:
                self._durable = False
