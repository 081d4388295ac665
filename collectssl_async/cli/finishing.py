"""Which orders `watch` is done with: files in place, hook run. An order is never lost between the two memories of it.

An order that is done is remembered in the folder that its files are in. One whose files could not be written keeps its
outcome in the store, so that the next run is handed it again and needs no call for it. One that failed only because
nobody answered waits again in the next run.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from .._kept import Kept, key_of
from .._writing import write_files

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from pathlib import Path

    from .._kept import Key
    from ..models import OrderRef
    from ..polling import PollState
    from ..stores import Store

COLLECTED_FILE = ".collected"
"""It stands beside an order's files and names the orders that they were collected for, a line each."""


def was_collected(order: OrderRef, folder: Path) -> bool:
    """Say whether the files of an order came into this folder before. Raises `OSError`."""
    return str(order) in _collected_in(folder)


def remember(order: OrderRef, folder: Path) -> None:
    """Remember that the files of an order are in this folder. Raises `CertificateError` or `OSError`."""
    known = _collected_in(folder)
    if str(order) not in known:
        lines = "".join(f"{number}\n" for number in (*known, str(order)))
        write_files(folder, {COLLECTED_FILE: lines.encode()}, secret=())


def _collected_in(folder: Path) -> list[str]:
    try:
        return (folder / COLLECTED_FILE).read_text(encoding="utf-8", errors="replace").splitlines()
    except (FileNotFoundError, NotADirectoryError):
        return []


class HoldingStore:
    """A store that does not forget an order which was handed over and for which the next run has something to do."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._held: set[Key] = set()
        self._again: dict[Key, Kept] = {}

    def hold(self, order: OrderRef) -> None:
        """Have the next run be handed this order's outcome again."""
        self._held.add(key_of(order))

    def wait_again(self, order: OrderRef, state: PollState) -> None:
        """Have the next run wait for this order again."""
        key = key_of(order)
        self._again[key] = Kept(key, started_at=state.started_at.timestamp(), next_poll_at=time.time())

    async def open(self) -> Collection[Kept]:
        """Return what the store has."""
        return await self._store.open()

    async def write(self, changes: Mapping[Key, Kept | None], *, durable: bool) -> None:
        """Keep these; None forgets an order, unless the next run needs it."""
        meant = {key: self._again.get(key) if kept is None else kept for key, kept in changes.items()}
        allowed = {key: kept for key, kept in meant.items() if kept is not None or key not in self._held}
        if allowed:
            await self._store.write(allowed, durable=durable)

    async def close(self) -> None:
        """Let go of the store."""
        await self._store.close()
