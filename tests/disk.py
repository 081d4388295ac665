"""What the tests of writing share: all that a directory holds, a disk without room, a user who may do little."""

from __future__ import annotations

import os
import resource
import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

NOBODY = 65534


def state(directory: Path) -> dict[str, tuple[int, int, int, bytes | None]]:
    """Return everything below a directory, so that any trace of a write shows."""
    found = {str(each.relative_to(directory)): (each, each.lstat()) for each in directory.rglob("*")}
    return {
        name: (seen.st_ino, seen.st_mode, seen.st_mtime_ns, each.read_bytes() if each.is_file() else None)
        for name, (each, seen) in found.items()
    }


@contextmanager
def no_room() -> Iterator[None]:
    """No file may grow, as on a full disk. Python ignores SIGXFSZ, so that writing fails and nothing is killed.

    For a moment only: what pytest writes to may be a file, too.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@contextmanager
def public_folder() -> Iterator[Path]:
    """Hand out a new folder that every user of the host can reach: pytest's own are closed to others."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


@contextmanager
def as_nobody() -> Iterator[None]:
    """Be a user without rights, whom modes hold back; only root can become one."""
    os.setegid(NOBODY)
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)
