"""The hidden names under which a write prepares what it puts in place, and what becomes of those that were left.

A process that is killed leaves what it had prepared. The next writer takes it away, once it knows by the lock
(`_locking.py`) that nobody is at work; what the names mean where they stand is decided by those who write.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import secrets
import stat
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

_NOTE = "changed"
_HIDDEN = re.compile(r"\.(?P<what>.+)\.[0-9a-f]{32}\.tmp")

logger = logging.getLogger("collectssl_async")


def hidden(folder: Path, what: str) -> Path:
    """Return a name that nobody reads and nobody else has, for what is to become `what`."""
    return folder / f".{what}.{secrets.token_hex(16)}.tmp"


def discard(path: Path) -> None:
    """Remove a file that may be in its place by now. Failing to must not hide why the write failed."""
    with contextlib.suppress(OSError):
        path.unlink(missing_ok=True)


def remove_folder(path: Path) -> None:
    """Remove a folder of files; one that holds a folder stays, whoever put that there."""
    for each in path.iterdir():
        each.unlink()
    path.rmdir()


def sweep(folder: Path, is_file: Callable[[str], bool], is_folder: Callable[[str], bool]) -> None:
    """Take away what dead writers had prepared: a file or a link for what `is_file` knows, a folder likewise.

    For a writer who is alone in the folder. What cannot be removed stays in the way of nobody: a warning is logged.
    """
    for path, what in _left(folder):
        try:
            if stat.S_ISDIR(path.lstat().st_mode):
                if is_folder(what):
                    remove_folder(path)
            elif is_file(what):
                path.unlink()
        except OSError as error:
            logger.warning("what a write that was cut off has left cannot be removed: %s", error)


def _left(folder: Path) -> list[tuple[Path, str]]:
    """Return the hidden names in the folder and what each was to become. A folder nobody may list has none to see."""
    with contextlib.suppress(PermissionError):
        return [(path, found["what"]) for path in folder.iterdir() if (found := _HIDDEN.fullmatch(path.name))]
    return []


# --- changes that nobody was told of ----------------------------------------------------------------------------------


@contextlib.contextmanager
def told_late(folder: Path) -> Iterator[bool]:
    """Say whether writers were cut off when all was in place, and so told nobody that it changed.

    It counts as told when the body succeeds.
    """
    notes = [path for path, what in _left(folder) if what == _NOTE]
    yield bool(notes)
    for note in notes:
        discard(note)


@contextlib.contextmanager
def noted(folder: Path, is_done: Callable[[], bool]) -> Iterator[None]:
    """Keep a note while the body puts things in place; `is_done` says whether its last step has been taken.

    Whoever is cut off after that step leaves files that look finished, and that no server has loaded: then the note
    stays, for the next writer to say it. A failure before it leaves no note: what differs tells.
    """
    note = hidden(folder, _NOTE)
    try:
        os.close(os.open(note, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        yield
    except BaseException:
        if not is_done():
            discard(note)
        raise
    discard(note)
