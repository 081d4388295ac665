"""A file that one process of the host at a time has locked, and what it may hold.

The lock is `filelock`'s, on a descriptor of ours, so that the lock, the content and what the path names can be told to
be one file. A child that is forked closes the descriptors, whose lock it would share. What the content means stands in
`_mark.py`, who waits for whom in `file.py`.
"""

from __future__ import annotations

import errno
import os
import stat
import threading
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import ConfigurationError, GuardError

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..errors import CollectSSLError

_FLAGS = os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
_TRIES = 10
"""How often a file is opened that is replaced each time, before it counts as taken."""

_ELSEWHERE = "name another path"
_REFUSALS: dict[int, tuple[type[CollectSSLError], str]] = {
    errno.EACCES: (ConfigurationError, f"let this user write there, or {_ELSEWHERE}"),
    errno.EPERM: (ConfigurationError, f"let this user write there, or {_ELSEWHERE}"),
    errno.ELOOP: (ConfigurationError, f"a symbolic link stands in its place: remove it, or {_ELSEWHERE}"),
    errno.EISDIR: (ConfigurationError, f"a folder stands in its place: {_ELSEWHERE}"),
    errno.ENOTDIR: (ConfigurationError, f"what should be its folder is a file: {_ELSEWHERE}"),
    errno.ENXIO: (ConfigurationError, f"it is no plain file: {_ELSEWHERE}"),
    errno.ENAMETOOLONG: (ConfigurationError, f"{_ELSEWHERE}"),
    errno.ENOSYS: (ConfigurationError, f"{_ELSEWHERE}, on a local disk"),
    errno.EOPNOTSUPP: (ConfigurationError, f"{_ELSEWHERE}, on a local disk"),
    errno.ENOLCK: (ConfigurationError, f"{_ELSEWHERE}, on a local disk"),
    errno.ENOENT: (GuardError, f"its folder is missing: make it, or {_ELSEWHERE}"),
    errno.EROFS: (GuardError, f"make the disk writable, or {_ELSEWHERE}"),
    errno.ENOSPC: (GuardError, f"make room on the disk, or {_ELSEWHERE}"),
    errno.EDQUOT: (GuardError, f"make room in the quota, or {_ELSEWHERE}"),
    errno.EFBIG: (GuardError, "raise the limit of file sizes (ulimit -f)"),
    errno.EMFILE: (GuardError, "raise the limit of open files (ulimit -n)"),
    errno.ENFILE: (GuardError, "the whole machine has too many files open"),
}
"""What the system refuses: whether it will heal by itself, and the way out."""


def refusal(error: OSError, path: str) -> CollectSSLError:
    """Return the error that says why a lock file cannot be used and what to do about it."""
    kind, way_out = _REFUSALS.get(error.errno or 0, (GuardError, f"look after the disk, or {_ELSEWHERE}"))
    return kind(f"the guard's lock file {path!r} cannot be used: {error.strerror or error}: {way_out}")


class LockFile:
    """A file at `path`, opened when it is first tried, with mode 0600 when that makes it.

    Its methods raise `GuardError` or `ConfigurationError` for what the system refuses. `close` lets go of the lock.
    """

    __slots__ = ("_descriptor", "_identity", "_unlock", "path")

    def __init__(self, path: str) -> None:
        self.path = path
        self._descriptor = -1
        self._identity = (0, 0)
        self._unlock: Callable[[int], object] = _leave  # filelock's, once there is a lock

    @property
    def is_open(self) -> bool:
        return self._descriptor >= 0

    def open(self, *, create: bool = True) -> bool:
        """Open the file; return False if there is none and none is to be made."""
        try:
            with _opened.mutex:  # no fork in between: the child could not know what to close
                new = not self._open_existing(create=create)
                _opened.files.add(self)
            if new:
                os.utime(self._descriptor, (0, 0))  # made now, but neither written to nor touched
            found = os.fstat(self._descriptor)
        except OSError as error:
            self.close()
            if error.errno == errno.ENOENT and not create:
                return False
            raise refusal(error, self.path) from None
        problem = _problem(found)
        if problem is not None:
            self.close()
            raise ConfigurationError(f"the guard's lock file {self.path!r} cannot be used: {problem}: {_ELSEWHERE}")
        self._identity = (found.st_dev, found.st_ino)
        return True

    def _open_existing(self, *, create: bool) -> bool:
        """Open the file and return True, or make it and return False."""
        try:
            self._descriptor = os.open(self.path, _FLAGS)
        except FileNotFoundError:
            if not create:
                raise
            self._descriptor = os.open(self.path, _FLAGS | os.O_CREAT, 0o600)
            return False
        return True

    def try_lock(self) -> bool:
        """Lock the file that the path names now, if nobody else has; return whether that is so. Does not wait."""
        from filelock import lock_descriptor, unlock_descriptor

        self._unlock = unlock_descriptor  # kept: as the interpreter ends nothing can be imported any more
        for _ in range(_TRIES):
            if not self.is_open:
                self.open()
            try:
                locked = lock_descriptor(self._descriptor, blocking=False)
            except OSError as error:
                self.close()
                raise refusal(error, self.path) from None
            if self.in_place():
                return locked
            self.close()  # deleted or replaced since it was opened: a lock on it keeps nobody out
        return False

    def in_place(self) -> bool:
        """Say whether the file is open here, and the one that others open."""
        try:
            found = os.lstat(self.path)
        except OSError:
            return False
        return self.is_open and (found.st_dev, found.st_ino) == self._identity

    def touch(self) -> None:
        """Give the file the time of now."""
        if not self.is_open:
            self.open()
        try:
            os.utime(self._descriptor)
        except OSError as error:
            raise refusal(error, self.path) from None

    def changed(self) -> float:
        """Return when the file was last written to or touched, in seconds of the wall clock, 0 for a new one."""
        if not self.is_open:
            self.open()
        return os.fstat(self._descriptor).st_mtime

    def read(self, size: int) -> bytes:
        """Return the beginning of the file."""
        try:
            return os.pread(self._descriptor, size, 0)
        except OSError as error:
            raise refusal(error, self.path) from None

    def write(self, data: bytes) -> None:
        """Write over the beginning of the file. A process that is killed after this has written it."""
        try:
            if os.pwrite(self._descriptor, data, 0) < len(data):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError as error:
            raise refusal(error, self.path) from None

    def put_aside(self) -> None:
        """Take the file's name from it: who comes from now on makes another one, and its holder is told of it."""
        try:
            Path(self.path).unlink()
        except FileNotFoundError:
            pass
        except OSError as error:
            raise refusal(error, self.path) from None

    def close(self) -> None:
        """Let go of the lock and close the file, from any thread; do nothing if it is closed."""
        with _opened.mutex:
            if self.is_open:
                with suppress(OSError):  # to close it lets go as well, as soon as a child just forked has closed it too
                    self._unlock(self._descriptor)
                self.abandon()

    def abandon(self) -> None:
        """Close the file and leave the lock to the process that it was forked from."""
        descriptor, self._descriptor = self._descriptor, -1
        _opened.files.discard(self)
        os.close(descriptor)


def _leave(_: int) -> None:
    """Unlock a file that was never locked."""


def _problem(found: os.stat_result) -> str | None:
    """Say why a file may not be locked and written to: what another user put there must not be."""
    if not stat.S_ISREG(found.st_mode):
        return "it is no plain file"
    if found.st_uid != os.geteuid():
        return f"it belongs to user {found.st_uid}, and this process runs as user {os.geteuid()}"
    if found.st_nlink > 1:
        return "it has a second name"
    return None


class _Opened:
    """The files that this process has open: a forked child shares their locks until it has closed them."""

    def __init__(self) -> None:
        # Re-entrant: the garbage collector may close a coroutine, and with it a file, inside a section of ours.
        self.mutex = threading.RLock()
        self.files: set[LockFile] = set()

    def close_in_child(self) -> None:
        """Close what the parent has locked."""
        for file in self.files.copy():
            file.abandon()
        self.mutex.release()


_opened = _Opened()

os.register_at_fork(
    before=_opened.mutex.acquire, after_in_parent=_opened.mutex.release, after_in_child=_opened.close_in_child
)
