"""The file of an `SQLiteStore`: made, locked, checked, read and written, by whichever thread calls.

Synchronous. What is wrong with a file is found through a connection that cannot write, before another one may. Who is
asked for when is not looked at here.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import itertools
import json
import os
import sqlite3
import threading
from typing import TYPE_CHECKING, Any, NoReturn
from urllib.parse import quote

from ._endings import read_ending
from ._kept import Kept, key_of, order_of
from .errors import StoreError
from .models import OrderRef, StatusCode

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from ._kept import Key
    from .polling import PollState

APPLICATION_ID = int.from_bytes(b"CSSL", "big")
"""What tells the file from another program's database, in SQLite's header."""

SCHEMA_VERSION = 1

_SCHEMA = f"""
PRAGMA application_id = {APPLICATION_ID};
PRAGMA user_version = {SCHEMA_VERSION};
CREATE TABLE orders (
    identifiers TEXT PRIMARY KEY,
    started_at REAL NOT NULL,
    next_poll_at REAL NOT NULL,
    last_poll_at REAL,
    polls INTEGER NOT NULL,
    failures INTEGER NOT NULL,
    collections INTEGER NOT NULL,
    last_status INTEGER,
    ending TEXT
);
PRAGMA journal_mode = WAL;
"""
_KEEP = "INSERT OR REPLACE INTO orders VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
_FORGET = "DELETE FROM orders WHERE identifiers = ?"
_READ = "SELECT * FROM orders ORDER BY rowid"

_WRONG = {
    sqlite3.SQLITE_FULL: "the disk is full",
    sqlite3.SQLITE_IOERR: "the disk is full, or fails",
    sqlite3.SQLITE_READONLY: "it is read-only",
    sqlite3.SQLITE_CORRUPT: "it is damaged",
    sqlite3.SQLITE_NOTADB: "it is damaged, or another program's",
    sqlite3.SQLITE_BUSY: "another program is writing to it",
    sqlite3.SQLITE_CANTOPEN: "it cannot be opened, or its folder not be written to",
    sqlite3.SQLITE_ERROR: "it is damaged",  # a table or a column is not there
    0: "it is damaged",  # Python's module found that by itself: a text that is none
}
_WRONG_OUTSIDE = {
    **dict.fromkeys((errno.EACCES, errno.EPERM, errno.EROFS), "it or its folder is read-only"),
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT, errno.EFBIG), "the disk is full"),
    errno.ENOENT: "its folder is not there",
    errno.ENOTDIR: "its folder is none",
    errno.EWOULDBLOCK: "it is in use by another watcher",
}
_MAY_PASS = (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR)


class StateFile:
    """One file of orders, for one watcher at a time. Thread-safe; every method raises `StoreError` when it fails."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._process = os.getpid()
        self._mutex = threading.Lock()
        self._tickets = itertools.count(1)
        self._latest = 0
        self._lock: int | None = None
        self._database: sqlite3.Connection | None = None

    def ticket(self) -> int:
        """Return the place in line of the next write."""
        return next(self._tickets)

    def open(self) -> list[Kept]:
        """Lock the file, make it where there is none, and return the orders in it."""
        self._check_process()
        with self._mutex:
            try:
                return self._open()
            except BaseException:
                self._close()
                raise

    def write(self, ticket: int, changes: Mapping[Key, Kept | None], *, durable: bool) -> None:
        """Make these changes in one transaction, all of them or none.

        A write that was cancelled goes on in its thread and may come after the next one, which repeats its changes or
        has newer ones: it is left out then.
        """
        self._check_process()
        rows = [_row(kept) for kept in changes.values() if kept is not None]
        gone = [(_identifiers(key),) for key, kept in changes.items() if kept is None]
        with self._mutex:
            if ticket < self._latest:
                return
            try:
                with self._transaction(durable=durable) as database:
                    database.executemany(_FORGET, gone)
                    database.executemany(_KEEP, rows)
            except sqlite3.Error as error:
                self._refuse(_reason(error))
            self._latest = ticket

    def close(self) -> None:
        """Close the file and unlock it."""
        if os.getpid() == self._process:  # what a forked child inherits is its parent's to close
            with self._mutex:
                self._close()

    def _check_process(self) -> None:
        if os.getpid() != self._process:
            self._refuse("it was opened by the process that this one was forked from: make a store of its own")

    # --- below, the mutex is held ---

    def _open(self) -> list[Kept]:
        if self._lock is None:
            self._path = self._path.resolve()  # one file has one lock, by whichever name it is opened
            self._lock = self._locked()
        try:
            if not self._path.exists():
                self._make()
            kept = self._read()
        except OSError as error:
            self._refuse(_reason_outside(error))
        try:
            self._connected()
        except sqlite3.Error as error:
            # On a full disk there may be outcomes to hand over. The first write will meet the same again.
            if _code(error) not in _MAY_PASS:
                self._refuse(_reason(error), kept)
        return kept

    def _locked(self) -> int:
        """Return the descriptor of a lock that other watchers honour, also those of this process.

        In a file of its own: SQLite's locks are the process's, and vanish when anything in it closes the file.
        """
        lock = None
        try:
            lock = os.open(f"{self._path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if lock is not None:
                os.close(lock)
            self._refuse(_reason_outside(error), self._readable())
        return lock

    def _readable(self) -> list[Kept]:
        """Return what can be read of a file that is refused already, for whatever else is wrong with it."""
        try:
            return self._read()
        except (StoreError, OSError):
            return []

    def _make(self) -> None:
        """Put a new file in place in one step: one that was killed half-made could not be told from a damaged one."""
        new = self._path.with_name(f"{self._path.name}.new")
        new.unlink(missing_ok=True)
        try:
            with contextlib.closing(sqlite3.connect(new, isolation_level=None)) as database:
                database.executescript(_SCHEMA)
        except sqlite3.Error as error:
            new.unlink(missing_ok=True)
            self._refuse(_reason(error))
        new.rename(self._path)
        folder = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def _read(self) -> list[Kept]:
        """Return the orders of the file, which is checked and not written to."""
        if not self._path.is_file():
            self._refuse("it is no file")
        if self._path.stat().st_size == 0:
            self._refuse("it is empty, and no store begins so: remove it, or name another file")
        kept: list[Kept] = []
        try:
            with contextlib.closing(self._reading()) as database:
                [application], [version] = (
                    database.execute(f"PRAGMA {name}").fetchone() for name in ("application_id", "user_version")
                )
                if application != APPLICATION_ID:
                    self._refuse("it is another program's database")
                if version != SCHEMA_VERSION:
                    self._refuse(f"it has version {version}, and this program knows version {SCHEMA_VERSION} alone")
                kept.extend(map(_kept, database.execute(_READ)))
                [verdict] = database.execute("PRAGMA quick_check(1)").fetchone()
        except sqlite3.Error as error:
            self._refuse(_reason(error), kept)
        except (ValueError, TypeError, ArithmeticError) as error:
            self._refuse(f"it is damaged: order {len(kept) + 1} in it cannot be read ({type(error).__name__})", kept)
        if verdict != "ok":
            self._refuse(f"it is damaged: {verdict}", kept)
        return kept

    def _reading(self) -> sqlite3.Connection:
        """Return a connection that writes neither to the file nor to the log that a killed watcher left."""
        # Without a log SQLite would make one, unless the file is said to be immutable; but then it takes no locks, and
        # on closing it drops those of other connections of this process: they would have a log.
        mode = "mode=ro" if self._path.with_name(f"{self._path.name}-wal").exists() else "mode=ro&immutable=1"
        return sqlite3.connect(f"file:{quote(str(self._path))}?{mode}", uri=True, isolation_level=None)

    def _connected(self) -> sqlite3.Connection:
        """Return a connection of which it is known that it may write."""
        if self._database is None:
            address = f"file:{quote(str(self._path))}?mode=rw"
            database = sqlite3.connect(address, uri=True, isolation_level=None, check_same_thread=False)
            try:
                database.execute("BEGIN IMMEDIATE")
                database.execute("ROLLBACK")
            except BaseException:
                database.close()
                raise
            self._database = database
        return self._database

    @contextlib.contextmanager
    def _transaction(self, *, durable: bool) -> Iterator[sqlite3.Connection]:
        database = self._connected()
        database.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
        database.execute("BEGIN IMMEDIATE")
        try:
            yield database
            database.execute("COMMIT")
        finally:
            if database.in_transaction:
                database.execute("ROLLBACK")

    def _close(self) -> None:
        database, self._database = self._database, None
        lock, self._lock = self._lock, None
        try:
            if database is not None:
                database.close()
        finally:
            if lock is not None:
                fcntl.flock(lock, fcntl.LOCK_UN)  # closing would not unlock it where a forked child has it too
                os.close(lock)

    def _refuse(self, why: str, kept: Iterable[Kept] = ()) -> NoReturn:
        raise StoreError(f"store {self._path}: {why}", states=waiting_states(kept)) from None


def waiting_states(kept: Iterable[Kept]) -> tuple[PollState, ...]:
    """Return the states of the orders that wait."""
    return tuple(each.state() for each in kept if each.ending is None)


def _code(error: sqlite3.Error) -> int:
    """Return SQLite's primary result code; 0 where Python's module raised by itself."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


def _reason(error: sqlite3.Error) -> str:
    return f"{_WRONG.get(_code(error), 'it cannot be used')} ({error})"


def _reason_outside(error: OSError) -> str:
    """Return what is wrong with the file as the system sees it."""
    return f"{_WRONG_OUTSIDE.get(error.errno or 0, 'it cannot be used')} ({error.strerror})"


def _identifiers(key: Key) -> str:
    return json.dumps(order_of(key).model_dump(exclude_none=True))


def _row(kept: Kept) -> tuple[object, ...]:
    return (
        _identifiers(kept.key),
        kept.started_at,
        kept.next_poll_at,
        kept.last_poll_at,
        kept.polls,
        kept.failures,
        kept.collections,
        kept.last_status,
        kept.ending,
    )


def _kept(row: tuple[Any, ...]) -> Kept:
    """Return the order of a row. Raises `ValueError`, `TypeError` or `ArithmeticError` for what no store writes."""
    identifiers, started_at, next_poll_at, last_poll_at, polls, failures, collections, last_status, ending = row
    kept = Kept(
        key=key_of(OrderRef.model_validate_json(identifiers)),
        started_at=float(started_at),
        next_poll_at=float(next_poll_at),
        last_poll_at=None if last_poll_at is None else float(last_poll_at),
        polls=int(polls),
        failures=int(failures),
        collections=int(collections),
        last_status=None if last_status is None else StatusCode(last_status),
        ending=ending,
    )
    kept.state()
    if ending is not None:
        read_ending(ending)
    return kept
