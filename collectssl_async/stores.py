"""Where a watcher keeps the states of its orders: in memory, or in a file that outlives the process.

A store keeps what it is handed and decides nothing. The file itself is `_sqlite.py`'s business, and SQLite loads when
the first store is opened.
"""

from __future__ import annotations

import weakref
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeVar

import anyio
import anyio.to_thread

from .errors import StoreError

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Collection, Mapping

    from ._kept import Kept, Key
    from ._sqlite import StateFile

_Result = TypeVar("_Result")


class Store(Protocol):
    """Keeps orders for one watcher at a time. Every method raises `StoreError` when it cannot."""

    async def open(self) -> Collection[Kept]:
        """Begin, and return every order that is kept: those that wait, and those whose outcome was not handed over."""
        ...

    async def write(self, changes: Mapping[Key, Kept | None], *, durable: bool) -> None:
        """Keep all of these or none; None forgets an order. What is `durable` survives a power failure as well."""
        ...

    async def close(self) -> None:
        """End. The next `open` may be another watcher's."""
        ...


class MemoryStore:
    """Keeps orders for as long as the process lives: another watcher that is given the same store goes on."""

    def __init__(self) -> None:
        self._orders: dict[Key, Kept] = {}

    async def open(self) -> Collection[Kept]:
        """Return every order that is kept."""
        return tuple(self._orders.values())

    async def write(self, changes: Mapping[Key, Kept | None], *, durable: bool) -> None:
        """Keep these; None forgets an order."""
        for key, kept in changes.items():
            if kept is None:
                self._orders.pop(key, None)
            else:
                self._orders[key] = kept

    async def close(self) -> None:
        """Do nothing: what is kept stays."""


class SQLiteStore:
    """Keeps orders in an SQLite file, so that the next process goes on where this one was, killed or not.

    The file is made when it is not there, in a folder that is, on a local disk; beside it stand a lock file
    (`.lock`), by which one watcher at a time has it, and while it is open SQLite's own two. What `add` wrote survives a
    power failure; of what came later the last moments may be lost with the power, not with the process.

    Every use may raise `StoreError`, which says what is wrong: the disk is full, the file is read-only, damaged, empty,
    another program's or in use by another watcher. A file that is refused is left as it was, byte for byte.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = Path(path).absolute()
        self._made: StateFile | None = None
        self._open = False
        # Of its own, so that a program whose threads are all busy does not hold up the orders; one call at a time.
        self._limiter = anyio.CapacityLimiter(1)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self._path)!r})"

    async def open(self) -> Collection[Kept]:
        """Open or make the file, check it, and return every order that is kept. Raises `StoreError`."""
        if self._open:
            raise StoreError(f"store {self._path}: it is in use by another watcher")
        found = await self._in_thread(self._file.open)
        self._open = True
        return found

    async def write(self, changes: Mapping[Key, Kept | None], *, durable: bool) -> None:
        """Keep all of these in one transaction; None forgets an order. Raises `StoreError`, and keeps none then."""
        file, ticket = self._file, self._file.ticket()
        await self._in_thread(lambda: file.write(ticket, changes, durable=durable))

    async def close(self) -> None:
        """Close the file and let another watcher have it."""
        self._open = False  # before it is so: whoever opens now waits for its turn
        await self._in_thread(self._file.close)

    @property
    def _file(self) -> StateFile:
        if self._made is None:
            from ._sqlite import StateFile

            self._made = StateFile(self._path)
            weakref.finalize(self, self._made.close)  # a watcher that was left without `aclose` must not keep the file
        return self._made

    async def _in_thread(self, work: Callable[[], _Result]) -> _Result:
        return await anyio.to_thread.run_sync(work, limiter=self._limiter)
