"""Files that appear whole or not at all, and the folder they stand in. What is in them is decided elsewhere."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ._leftovers import discard, hidden, noted, sweep
from ._locking import alone_in
from .errors import CertificateError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping
    from contextlib import AbstractContextManager
    from pathlib import Path

_NEW_MODE = 0o644
_OURS_ALONE = 0o600
_GROUP_AND_OTHERS = 0o077

_IN_THE_WAY = "a file stands where a directory is needed: move it away, or choose another directory"
_WHAT_TO_CHANGE: dict[int | None, str] = {
    errno.EACCES: "run as a user who may, or choose another directory",
    errno.EPERM: "run as a user who may, or choose another directory",
    errno.EROFS: "choose a directory that is not mounted read-only",
    errno.ENOSPC: "free some space, or choose another directory",
    errno.EDQUOT: "free some space, or choose another directory",
    errno.EFBIG: "raise the limit on file sizes (ulimit -f)",
    errno.EEXIST: _IN_THE_WAY,
    errno.ENOTDIR: _IN_THE_WAY,
}

# Some file systems cannot sync a folder, and a folder may be writable without being readable: no reason to fail.
_NO_SYNC = (errno.EINVAL, errno.EACCES)


@dataclass(frozen=True, slots=True)
class Existing:
    """A file that is there already."""

    content: bytes
    mode: int
    owner: tuple[int, int]


@dataclass(frozen=True, slots=True)
class Place:
    """A folder to write in: without symbolic links in its path, what its caller calls it, and whether we are alone."""

    path: Path
    called: Path
    alone: bool

    def explained(self, name: str, done: str) -> AbstractContextManager[None]:
        """Turn the system's refusal into a `CertificateError` that names what could not be done, and to what."""
        return _explained(self.called / name, done)


@contextlib.contextmanager
def opened(directory: Path) -> Iterator[Place]:
    """Make the directory with its parents and keep other writers out. A new one goes again when the body fails.

    The path handed out has no symbolic link in it: one that is swapped meanwhile must not spread the files over two.
    """
    with contextlib.ExitStack() as on_exit:
        with _explained(directory, "used as a directory"):
            path = on_exit.enter_context(_made(directory))
            alone = on_exit.enter_context(alone_in(path, directory))
        yield Place(path, directory, alone)


def look_at(folder: Path, names: Iterable[str], *, called: Path) -> dict[str, Existing]:
    """Return the files that are there, by name; no folder, no files. `called` is the folder's name in messages.

    Raises `CertificateError` for one that cannot be read and for anything but a plain file.
    """
    found = {name: _look(folder / name, called / name) for name in names}
    return {name: file for name, file in found.items() if file is not None}


def write_files(directory: Path, contents: Mapping[str, bytes | None], *, secret: Collection[str]) -> bool:
    """Bring the files of a directory to their contents, as `place_files` does."""
    with opened(directory) as place:
        existing = look_at(place.path, {*secret, *contents}, called=directory)
        return place_files(place, existing, contents, secret=secret)


def place_files(
    place: Place, existing: Mapping[str, Existing], contents: Mapping[str, bytes | None], *, secret: Collection[str]
) -> bool:
    """Bring files to their contents, in the order given, None for no file; say whether that changed what they hold.

    `secret` names the files that hold a key. A new file gets mode 0644, 0600 where it is secret; a replaced one keeps
    its mode and owner; a secret one is closed to group and others, rewritten or not. Every new content is on the disk
    before the first file is put in its place, and each place is on the disk before the next.

    Raises `CertificateError` that names the path and says what to change; no temporary file is left then.
    """
    changes = {
        name: content
        for name, content in contents.items()
        if content != (existing[name].content if name in existing else None)
    }
    if place.alone:
        sweep(place.path, lambda what: what in contents or what in secret, lambda _: False)
    with contextlib.ExitStack() as on_exit:
        staged: dict[str, Path] = {}
        for name, content in changes.items():
            if content is None:
                continue
            staged[name] = hidden(place.path, name)
            # Before the file is made: an interrupt between the two must not leave it behind.
            on_exit.callback(discard, staged[name])
            with place.explained(name, "written"):
                stage(staged[name], content, existing.get(name), secret=name in secret)
        for name in exposed(existing, secret):
            if name not in changes:
                close_to_others(place, name)
        if changes:
            _put(place, changes, staged)
        on_exit.pop_all()
    return bool(changes)


def _put(place: Place, changes: Collection[str], staged: Mapping[str, Path]) -> None:
    """Put staged files in their places, in order; what is not staged goes."""
    *_, last = changes

    def is_done() -> bool:
        return not os.path.lexists(staged.get(last, place.path / last))

    with contextlib.ExitStack() as on_exit:
        with place.explained(last, "written"):
            on_exit.enter_context(noted(place.path, is_done))
        for name in changes:
            with place.explained(name, "written"):
                if name in staged:
                    staged[name].replace(place.path / name)
                else:
                    (place.path / name).unlink(missing_ok=True)
                sync(place.path)


def exposed(existing: Mapping[str, Existing], secret: Collection[str]) -> list[str]:
    """Return the files with a key that group or others may read."""
    return [name for name, found in existing.items() if name in secret and found.mode & _GROUP_AND_OTHERS]


@contextlib.contextmanager
def _explained(path: Path, done: str) -> Iterator[None]:
    """Turn the system's refusal into one line. A ValueError is a path that no system takes, with a zero byte in it."""
    try:
        yield
    except (OSError, ValueError) as error:
        number, reason = (error.errno, error.strerror) if isinstance(error, OSError) else (None, str(error))
        advice = _WHAT_TO_CHANGE.get(number, "choose another directory")
        raise CertificateError(f"{str(path)!r} cannot be {done}: {reason}: {advice}") from error


def _look(path: Path, called: Path) -> Existing | None:
    with _explained(called, "read"):
        try:
            found = path.lstat()
        except (FileNotFoundError, NotADirectoryError):
            return None
        if not stat.S_ISREG(found.st_mode):
            kind = {stat.S_IFLNK: "a symbolic link", stat.S_IFDIR: "a directory"}.get(stat.S_IFMT(found.st_mode))
            raise CertificateError(
                f"{str(called)!r} is {kind or 'a device, pipe or socket'}, not a file: "
                "move it away, or choose another directory"
            )
        return Existing(path.read_bytes(), found.st_mode & 0o777, (found.st_uid, found.st_gid))


@contextlib.contextmanager
def _made(directory: Path) -> Iterator[Path]:
    """Make the directory with its parents, and take away again what was made when the body fails."""
    missing = [each for each in (directory, *directory.parents) if not each.exists()]
    try:
        directory.mkdir(parents=True, exist_ok=True)
        for made in missing:
            sync(made.parent)
        yield directory.resolve(strict=True)
    except BaseException:
        for made in missing:
            # It may hold files by now, or never have been made; the failure itself is what counts.
            with contextlib.suppress(OSError):
                made.rmdir()
        raise


def stage(path: Path, content: bytes, replaced: Existing | None, *, secret: bool) -> None:
    """Write a file where nobody looks yet, mode and owner as they are to be. Until it has them it is ours alone."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with os.fdopen(os.open(path, flags, _OURS_ALONE), "wb") as file:
        file.write(content)
        file.flush()
        made = os.fstat(file.fileno())
        if replaced is not None and replaced.owner != (made.st_uid, made.st_gid):
            os.fchown(file.fileno(), *replaced.owner)
        mode = replaced.mode if replaced is not None else _NEW_MODE
        os.fchmod(file.fileno(), mode & ~_GROUP_AND_OTHERS if secret else mode)
        os.fsync(file.fileno())


def close_to_others(place: Place, name: str) -> None:
    """Take what group and others may do with a file from its mode."""
    with place.explained(name, "closed to group and others"):
        descriptor = os.open(place.path / name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            os.fchmod(descriptor, stat.S_IMODE(os.fstat(descriptor).st_mode) & ~_GROUP_AND_OTHERS)
        finally:
            os.close(descriptor)


def sync(folder: Path) -> None:
    """Have the system put on the disk what stands in a folder."""
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        if error.errno not in _NO_SYNC:
            raise
