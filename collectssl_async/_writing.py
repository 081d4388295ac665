"""Files that appear whole or not at all, and the folder they stand in. What is in them is decided elsewhere."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .errors import CertificateError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping
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
class _Existing:
    """A file that is there already."""

    content: bytes
    mode: int
    owner: tuple[int, int]


def read_existing(path: Path) -> bytes | None:
    """Return the file's content, None where there is none. Raises `CertificateError` for anything but a plain file."""
    found = _look(path)
    return None if found is None else found.content


def write_files(directory: Path, contents: Mapping[str, bytes | None], *, secret: Collection[str]) -> bool:
    """Bring files to their contents, in the order given, None for no file; say whether anything was written or removed.

    `secret` names the files that hold a key, also one that is there already and has no place in `contents`. A new file
    gets mode 0644, 0600 where it is secret; a replaced one keeps its mode and owner; a secret one is closed to group
    and others, rewritten or not. Every new content is on the disk before the first file is put in its place, and each
    place is on the disk before the next.

    Raises `CertificateError` that names the path and says what to change; no temporary file and no new directory is
    left then. A killed process may leave temporary files (hidden, random name, 0600), which nothing reads.
    """
    existing = {name: _look(directory / name) for name in (*secret, *contents)}
    before = {name: found.content for name, found in existing.items() if found is not None}
    changes = {name: content for name, content in contents.items() if content != before.get(name)}
    exposed = [
        name
        for name, found in existing.items()
        if found is not None and name in secret and name not in changes and found.mode & _GROUP_AND_OTHERS
    ]
    if not changes and not exposed:
        return False
    with _made(directory) as folder, contextlib.ExitStack() as on_exit:
        staged: dict[str, Path] = {}
        for name, content in changes.items():
            if content is None:
                continue
            staged[name] = folder / f".{name}.{secrets.token_hex(16)}.tmp"
            # Before the file is made: an interrupt between the two must not leave it behind.
            on_exit.callback(_discard, staged[name])
            with _explained(directory / name, "written"):
                _stage(staged[name], content, existing[name], secret=name in secret)
        for name in exposed:
            with _explained(directory / name, "closed to group and others"):
                _close_to_others(folder / name)
        for name in changes:
            with _explained(directory / name, "written"):
                if name in staged:
                    staged[name].replace(folder / name)
                else:
                    (folder / name).unlink(missing_ok=True)
                _sync(folder)
    return bool(changes)


@contextlib.contextmanager
def _explained(path: Path, done: str) -> Iterator[None]:
    """Turn the system's refusal into one line. A ValueError is a path that no system takes, with a zero byte in it."""
    try:
        yield
    except (OSError, ValueError) as error:
        number, reason = (error.errno, error.strerror) if isinstance(error, OSError) else (None, str(error))
        advice = _WHAT_TO_CHANGE.get(number, "choose another directory")
        raise CertificateError(f"{str(path)!r} cannot be {done}: {reason}: {advice}") from error


def _look(path: Path) -> _Existing | None:
    with _explained(path, "read"):
        try:
            found = path.lstat()
        except (FileNotFoundError, NotADirectoryError):
            return None
        if not stat.S_ISREG(found.st_mode):
            kind = {stat.S_IFLNK: "a symbolic link", stat.S_IFDIR: "a directory"}.get(stat.S_IFMT(found.st_mode))
            raise CertificateError(
                f"{str(path)!r} is {kind or 'a device, pipe or socket'}, not a file: "
                "move it away, or choose another directory"
            )
        return _Existing(path.read_bytes(), found.st_mode & 0o777, (found.st_uid, found.st_gid))


@contextlib.contextmanager
def _made(directory: Path) -> Iterator[Path]:
    """Make the directory with its parents, and take away again what was made when the body fails.

    What is handed out has no symbolic link in it: one that is swapped meanwhile must not spread the files over two.
    """
    with _explained(directory, "used as a directory"):
        missing = [each for each in (directory, *directory.parents) if not each.exists()]
    try:
        with _explained(directory, "used as a directory"):
            directory.mkdir(parents=True, exist_ok=True)
            for made in missing:
                _sync(made.parent)
            folder = directory.resolve(strict=True)
        yield folder
    except BaseException:
        for made in missing:
            # It may hold files by now, or never have been made; the failure itself is what counts.
            with contextlib.suppress(OSError):
                made.rmdir()
        raise


def _stage(temporary: Path, content: bytes, replaced: _Existing | None, *, secret: bool) -> None:
    """Write the file under its temporary name, mode and owner as they are to be. Until then it is ours alone."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with os.fdopen(os.open(temporary, flags, _OURS_ALONE), "wb") as file:
        file.write(content)
        file.flush()
        made = os.fstat(file.fileno())
        if replaced is not None and replaced.owner != (made.st_uid, made.st_gid):
            os.fchown(file.fileno(), *replaced.owner)
        mode = replaced.mode if replaced is not None else _NEW_MODE
        os.fchmod(file.fileno(), mode & ~_GROUP_AND_OTHERS if secret else mode)
        os.fsync(file.fileno())


def _close_to_others(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        os.fchmod(descriptor, stat.S_IMODE(os.fstat(descriptor).st_mode) & ~_GROUP_AND_OTHERS)
    finally:
        os.close(descriptor)


def _discard(temporary: Path) -> None:
    """Remove a temporary file that may be in its place by now. Failing to must not hide why the write failed."""
    with contextlib.suppress(OSError):
        temporary.unlink(missing_ok=True)


def _sync(folder: Path) -> None:
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        if error.errno not in _NO_SYNC:
            raise
