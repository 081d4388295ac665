"""The guard of one host: a lock file for each resource, which also tells of a call that nobody finished.

Where the files are stands in `_lock_place.py`, how they are locked in `_lock_file.py`, what is written there in
`_mark.py`.
"""

from __future__ import annotations

import logging
import random
import time
from contextlib import ExitStack, closing
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from ..errors import CollectSSLError, ConfigurationError, GuardLostError
from ._layered import LayeredHold
from ._lock_file import LockFile
from ._lock_place import Place
from ._mark import FINISHED, FORGOTTEN, LONGEST, Mark, read_mark
from ._protocol import GuardStatus, normalise_resource, seconds
from ._runtime import sleep_in_real_time

if TYPE_CHECKING:
    import os

_QUEUED = 0.02  # seconds between two looks of those who wait to be next
_NEXT = 0.005  # seconds between two looks of the one who is next
_ASIDE = 0.035  # seconds that one stays aside: more than the longest time between two looks
_MOST_IN_A_ROW = 4  # turns that one takes without having to wait before it stays aside, while others wait
_CROWDED = 1.0  # seconds for which others count as waiting after one of them was seen to
_STALLED = 1.0  # seconds after which one looks past the next in line, who may have been stopped

logger = logging.getLogger("collectssl_async")


class FileGuard:
    """Keeps the calls of all processes of one user on one host apart: workers of a web application, a job beside them.

    `path` is the beginning of the lock files' names, one file for each resource, made with mode 0600: `/srv/app/guard`
    gives `/srv/app/guard-<host>-<digits>.lock`, and a second one ending in `.next`. The folder must be there, on a
    local disk; all processes must name the same path and run as the same user. By default the files stand below the
    home directory that the user database tells, in `.local/state/collectssl-async`, or, where that cannot be written,
    in `/tmp/collectssl-async-<uid>`; either is refused unless it is this user's alone. Services with a `/tmp` of their
    own or a hidden home directory see other files than the rest: give them a path.

    Promises that no crash, kill, cancellation or restart of these processes lets two calls overlap. A call is written
    down before it begins; left without `finished()` it keeps everyone out for `abandon_grace` seconds, and killed for
    that long from when the next one found it. That assumes that the service is done with a call that long after its
    client is gone. `acquire_timeout` (seconds, None waits without end) bounds the wait for a turn in this process, for
    the file and for a grace together; `GuardTimeoutError` says that it passed. Graces pass in real time, suspend
    included, whatever clock the event loop has.

    What can be forgotten: who deletes or replaces the file lets others in at once, beside a call that is in work. The
    holder finds out just before the first byte and raises `GuardLostError`, so what may overlap is a call already sent.
    A power failure may lose the last line written. After a restart of the machine an unfinished call keeps everyone out
    for its whole grace. Network file systems are not supported: their locks come and go with their servers.

    Costs two open files while a turn is waited for and one while it is held. Nobody is woken when a turn ends: the one
    that is next in line looks every 5 ms, the others every 20, which takes about 1 % of a processor's core each. One
    process at a time is next, so that none starves; inside a process it is first come, first served.

    Works on asyncio and trio, not re-entrant. A forked child begins without holders; what it inherited raises
    `GuardLostError`. A loop that is closed while it holds (`asyncio.run` cancels first) keeps other processes out until
    this one asks again, collects the coroutine, or ends.

    Raises `ConfigurationError` where the extra `file` is missing; a hold raises that too for files that this user may
    not use, and `GuardError` for a missing folder or a full or read-only disk.
    """

    def __init__(
        self,
        path: str | os.PathLike[str] | None = None,
        *,
        abandon_grace: float = 10.0,
        acquire_timeout: float | None = None,
    ) -> None:
        try:
            from filelock import lock_descriptor  # noqa: F401 - to learn now whether it is there
        except ImportError:
            raise ConfigurationError(
                "FileGuard needs filelock, 3.30 or newer: pip install 'collectssl-async[file]'"
            ) from None
        self.abandon_grace = seconds("abandon_grace", abandon_grace)
        self.acquire_timeout = None if acquire_timeout is None else seconds("acquire_timeout", acquire_timeout)
        self._place = Place(path)

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}({self._place.path!r}, abandon_grace={self.abandon_grace:g}, "
            f"acquire_timeout={self.acquire_timeout})"
        )

    def hold(self, resource: str) -> LayeredHold:
        """Return a context that is entered when no process of this host calls `resource`, a URL.

        Raises `GuardTimeoutError` after `acquire_timeout` seconds, `GuardError` and `ConfigurationError` at once.
        """
        return LayeredHold(self, resource)

    def prepare(self) -> None:
        """Find nothing wrong: this guard works on every event loop."""

    async def take(self, resource: str) -> _FileTurn:
        """Wait for the lock and for an unfinished call's grace. The process's lane is the caller's."""
        left_open = _asking.pop(resource, None)
        if left_open is not None:  # by a coroutine that asked too, and whose loop was closed
            left_open.close()
        name = self._place.name_of(resource)
        file, queue = LockFile(f"{name}.lock"), LockFile(f"{name}.next")
        with ExitStack() as files:
            files.callback(file.close)
            files.callback(queue.close)
            _asking[resource] = files
            await _line_up(file, queue)
            queue.close()
            while not await self._sit_out(file, resource):
                await _line_up(file, queue)
                queue.close()
            mark = Mark.of_this_process(resource, self.abandon_grace)
            file.write(mark.record())
            files.pop_all()
            del _asking[resource]
        return _FileTurn(file, mark)

    async def _sit_out(self, file: LockFile, resource: str) -> bool:
        """Wait until an unfinished call cannot be in work any more; return False if the lock was lost meanwhile."""
        mark = read_mark(file.read(LONGEST), resource=resource, grace=self.abandon_grace)
        if mark is None:
            return True
        if mark.rest() is None:
            mark = mark.left()
            file.write(mark.record())
        while rest := mark.rest():
            await sleep_in_real_time(rest)
        return file.in_place()

    async def status(self, resource: str) -> GuardStatus:
        """Return how it stands for `resource`, a URL, as the file and its lock tell, without waiting."""
        resource = normalise_resource(resource)
        file = LockFile(f"{self._place.name_of(resource)}.lock")
        with closing(file):
            if not file.open(create=False):
                return GuardStatus(resource, held=False)
            held = not file.try_lock()
            mark = read_mark(file.read(LONGEST), resource=resource, grace=self.abandon_grace)
        return _status(resource, mark, held=held)

    async def force_release(self, resource: str) -> bool:
        """Free a wedged lock and forget its unfinished call; say whether there was anything to free.

        A lock that a process has cannot be taken from it: its file is put aside, so that others enter at once, and its
        holder finds out just before it sends. A call in work is not stopped: the caller must know that there is none.
        Processes keep what they themselves remember of a call that they abandoned.
        """
        resource = normalise_resource(resource)
        file = LockFile(f"{self._place.name_of(resource)}.lock")
        with closing(file):
            if not file.open(create=False):
                return False
            if not file.try_lock():
                file.put_aside()
                return True
            mark = read_mark(file.read(LONGEST), resource=resource, grace=self.abandon_grace)
            file.write(FORGOTTEN)
            return mark is not None


class _FileTurn:
    """A locked file with the mark of our call in it."""

    __slots__ = ("_file", "_mark")

    def __init__(self, file: LockFile, mark: Mark) -> None:
        self._file = file
        self._mark = mark

    def check(self) -> None:
        if not self._file.in_place():
            raise GuardLostError(
                f"the guard's lock file {self._file.path!r} was deleted or replaced: others may call meanwhile"
            )

    async def leave(self, *, finished: bool) -> None:
        self.drop(finished=finished)

    def drop(self, *, finished: bool) -> None:
        file = self._file
        if not file.is_open:
            return
        try:
            file.write(FINISHED if finished else self._mark.left().record())
        except CollectSSLError as error:  # the mark stays as it was: who finds it waits for a whole grace
            logger.warning("%s", error)
        finally:
            if not finished and not file.in_place():
                logger.warning("%s was deleted: other processes are not told of an abandoned call", file.path)
            file.close()


_in_a_row: dict[str, int] = {}
"""How many turns this process has taken without having to wait, by the path of the queue."""

_asking: dict[str, ExitStack] = {}
"""What those who ask have open, by resource: one at most, since the process's lane is taken first."""


async def _line_up(file: LockFile, queue: LockFile) -> None:
    """Lock the file, after the one who is next in line already; `queue` is locked by whoever is that.

    Without it the file would go to whoever looks first when it is let go, which is often the one that had it.
    """
    if _in_a_row.get(queue.path, 0) >= _MOST_IN_A_ROW and _is_crowded(queue):
        # Turns so short come and go between two looks of the others, who must find nobody before them for once.
        _in_a_row[queue.path] = 0
        await _pause(_ASIDE, 0.1)
    look_past, changed = time.monotonic() + _STALLED, -1.0
    while not queue.try_lock():
        _in_a_row[queue.path] = 0
        if not _is_crowded(queue):
            queue.touch()
        if time.monotonic() > look_past:
            look_past = time.monotonic() + _STALLED
            if file.try_lock():
                if file.changed() == changed:  # free twice, and nobody was inside meanwhile
                    return
                changed = file.changed()
                file.close()
        await _pause(_QUEUED)
    while not file.try_lock():
        _in_a_row[queue.path] = 0
        await _pause(_NEXT)
    _in_a_row[queue.path] = _in_a_row.get(queue.path, 0) + 1


def _is_crowded(queue: LockFile) -> bool:
    """Say whether somebody was seen to wait lately, by the wall clock: one that was set costs fairness, no more."""
    return abs(time.time() - queue.changed()) < _CROWDED


async def _pause(mean: float, spread: float = 0.5) -> None:
    # Of different lengths, or two processes might look in step and one always be the first.
    chance = random.uniform(1 - spread, 1 + spread)  # noqa: S311 - jitter
    await sleep_in_real_time(mean * chance)


def _status(resource: str, mark: Mark | None, *, held: bool) -> GuardStatus:
    if mark is None:
        return GuardStatus(resource, held)
    rest = mark.rest()
    if rest is None:
        # With the lock held it is a call in work; without, one that was killed and that nobody has found yet.
        return GuardStatus(resource, held, mark.holder, unfinished=not held)
    until = datetime.now(UTC) + timedelta(seconds=rest)
    return GuardStatus(resource, held, mark.holder, unfinished=rest > 0, unfinished_until=until if rest else None)
