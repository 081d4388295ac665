"""One writer at a time in a folder. Readers need no lock: what they see is put in place in one step."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import time
from typing import TYPE_CHECKING

from .errors import CertificateError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_PATIENCE = 30.0
"""Seconds until another writer counts as stuck; a write takes a small part of one."""

_PAUSE = 0.02

# The folder may be writable without being readable, and some file systems, NFS among them, lock no folder.
_NO_LOCK = (errno.EACCES, errno.EBADF, errno.EINVAL, errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)


@contextlib.contextmanager
def alone_in(folder: Path, called: Path) -> Iterator[bool]:
    """Keep other writers of this host out of the folder, also those of this process; say whether that can be had.

    The lock is on the folder itself, so that no file is left, and ends with the process. `called` is the folder's name
    in the `CertificateError` that is raised when another writer does not come to an end.
    """
    with contextlib.ExitStack() as on_exit:
        try:
            descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            on_exit.callback(os.close, descriptor)
            _wait_for(descriptor, called)
            # A process that was forked meanwhile has the descriptor too: closing ours would not unlock.
            on_exit.callback(fcntl.flock, descriptor, fcntl.LOCK_UN)
            alone = True
        except OSError as error:
            if error.errno not in _NO_LOCK:
                raise
            alone = False
        yield alone


def _wait_for(descriptor: int, called: Path) -> None:
    deadline = time.monotonic() + _PATIENCE
    while True:
        try:
            return fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                break
        time.sleep(_PAUSE)
    raise CertificateError(
        f"{str(called)!r} is locked by another process for more than {_PATIENCE:.0f} seconds: "
        "wait for its end, and hold no lock of your own (flock) on this directory meanwhile"
    )
