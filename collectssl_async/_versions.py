"""A folder for each issue, and one symbolic link, `current`, that is swapped when all of a new one is on the disk.

Which files an issue has, and what they hold, is decided in `_layouts.py`.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import stat
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from ._leftovers import discard, hidden, noted, remove_folder, sweep
from ._writing import Place, close_to_others, exposed, look_at, stage, sync
from .errors import CertificateError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from ._writing import Existing

CURRENT = "current"

_STAMP = "%Y%m%dT%H%M%SZ"
_NAME = re.compile(r"(?P<stamp>[1-8]\d{7}T\d{6}Z)-(?P<issue>[0-9a-f]{16})", re.ASCII)
_NEW_FOLDER_MODE = 0o755

logger = logging.getLogger("collectssl_async")


def current_of(folder: Path) -> Path | None:
    """Return the folder that `current` leads to, which may be gone; None where there is no such link of a write."""
    link = folder / CURRENT
    if not link.is_symlink():
        return None
    target = Path(os.path.realpath(link))
    return target if target.parent == folder and _stamp(target.name) is not None else None


def check_current(folder: Path, *, called: Path) -> None:
    """Raise `CertificateError` when anything but a link that a write made stands in the place of `current`."""
    link = folder / CURRENT
    if not os.path.lexists(link) or current_of(folder) is not None:
        return
    kind = f"is a symbolic link to {str(link.readlink())!r}" if link.is_symlink() else "is not a symbolic link"
    raise CertificateError(
        f"{str(called / CURRENT)!r} {kind}, and no write made it: move it away, or choose another directory"
    )


@dataclass(frozen=True, slots=True, repr=False)
class Issue:
    """What a folder is to hold, None for no file; which of it holds a key; and 16 hex digits for the folder's name."""

    contents: Mapping[str, bytes | None]
    secret: Collection[str]
    mark: str

    def is_in(self, files: Mapping[str, Existing]) -> bool:
        """Say whether the files are what the folder is to hold."""
        held = {name: files[name].content if name in files else None for name in self.contents}
        return held == self.contents


def place_version(
    place: Place, current: Path | None, existing: Mapping[str, Existing], issue: Issue, *, keep: int
) -> bool:
    """Have `current` lead to a folder that holds the issue; say whether that changed what is in it.

    `existing` is what `current` leads to now; where it is the same, only modes are mended. Else a folder that holds the
    issue already is used, one that a writer was killed over, say, or a new one, whose name sorts after all others; it
    takes mode and owner of the one before. `keep` folders stay, not counting those in which somebody else put
    something, which are left alone.

    Raises `CertificateError` that names the path and says what to change; `current` leads where it led then.
    """
    if place.alone:
        sweep(place.path, lambda what: what == CURRENT, lambda what: _stamp(what) is not None)
    changed = not issue.is_in(existing)
    with contextlib.ExitStack() as at_the_end, contextlib.ExitStack() as undo:
        new = (_that_holds(place, issue) or _made(place, current, existing, issue, undo)) if changed else None
        for name in exposed(existing, issue.secret):
            close_to_others(_within(place, CURRENT), name)
        if new is not None:
            with place.explained(CURRENT, "written"):
                at_the_end.enter_context(noted(place.path, partial(_leads_to, new)))
                _swap(place, new, undo)
        _remove_old(place, new or current, issue, keep=keep)
    return changed


def _within(place: Place, name: str) -> Place:
    return replace(place, path=place.path / name, called=place.called / name)


def _leads_to(version: Path) -> bool:
    return os.path.realpath(version.parent / CURRENT) == str(version)


def _stamp(name: str) -> datetime | None:
    """Return when the folder of this name was made, None for a name that no write gives."""
    found = _NAME.fullmatch(name)
    if found is not None:
        with contextlib.suppress(ValueError):
            return datetime.strptime(found["stamp"], _STAMP).replace(tzinfo=UTC)
    return None


def _versions(folder: Path) -> list[Path]:
    """Return the folders that writes made, oldest first."""
    found = [each for each in folder.iterdir() if _stamp(each.name) is not None]
    return sorted(each for each in found if stat.S_ISDIR(each.lstat().st_mode))


def _that_holds(place: Place, issue: Issue) -> Path | None:
    """Return the latest folder that holds just this."""
    with place.explained("", "read"):
        versions = [each for each in _versions(place.path) if each.name.endswith(issue.mark)]
    for version in reversed(versions):
        inside = _within(place, version.name)
        try:
            files = look_at(inside.path, issue.contents, called=inside.called)
        except CertificateError:  # whatever somebody put there: it is no reason not to make a new one
            continue
        if issue.is_in(files):
            for name in exposed(files, issue.secret):
                close_to_others(inside, name)
            return version
    return None


def _made(
    place: Place,
    current: Path | None,
    existing: Mapping[str, Existing],
    issue: Issue,
    undo: contextlib.ExitStack,
) -> Path:
    """Return a new folder that holds the issue, on the disk in every part; it goes if `current` never leads there."""
    with place.explained("", "written"):
        version = place.path / _new_name(place.path, issue)
        prepared = hidden(place.path, version.name)
        undo.callback(_take_away, prepared)
        prepared.mkdir(0o700)
        prepared.chmod(0o700)  # whatever the umask takes
    for name, content in issue.contents.items():
        if content is not None:
            with place.explained(f"{version.name}/{name}", "written"):
                stage(prepared / name, content, existing.get(name), secret=name in issue.secret)
    with place.explained(version.name, "written"):
        _take_after(current, prepared)
        sync(prepared)
        undo.callback(_take_away, version)
        prepared.rename(version)
        sync(place.path)
    return version


def _take_away(folder: Path) -> None:
    """Remove a folder that nobody uses, as far as it is there. Failing to must not hide why the write failed."""
    if not _leads_to(folder):
        with contextlib.suppress(OSError):
            remove_folder(folder)


def _new_name(folder: Path, issue: Issue) -> str:
    """Name it by the time, but after all that are there: a clock may be wrong, and two writes within one second."""
    taken = [stamp for each in folder.iterdir() if (stamp := _stamp(each.name)) is not None]
    latest = max([datetime.now(UTC), *(stamp + timedelta(seconds=1) for stamp in taken)])
    return f"{latest:{_STAMP}}-{issue.mark}"


def _take_after(current: Path | None, prepared: Path) -> None:
    """Give a new folder the mode and owner of the one before."""
    made = prepared.stat()
    before = current.stat() if current is not None and current.is_dir() else None
    if before is not None and (before.st_uid, before.st_gid) != (made.st_uid, made.st_gid):
        os.chown(prepared, before.st_uid, before.st_gid)
    prepared.chmod(_NEW_FOLDER_MODE if before is None else stat.S_IMODE(before.st_mode))


def _swap(place: Place, version: Path, undo: contextlib.ExitStack) -> None:
    """Put a link to the folder in the place of the one before: the one step that readers see."""
    link = hidden(place.path, CURRENT)
    undo.callback(discard, link)
    link.symlink_to(version.name)
    link.replace(place.path / CURRENT)
    sync(place.path)


def _remove_old(place: Place, current: Path | None, issue: Issue, *, keep: int) -> None:
    """Remove the oldest folders but for `keep`, the one in use among them, and those that hold anything of others."""
    with place.explained("", "read"):
        versions = _versions(place.path)
    spared = keep - 1
    for each in reversed(versions):
        try:
            if each == current or any(inside.name not in issue.contents for inside in each.iterdir()):
                continue
            if spared:
                spared -= 1
                continue
            # Out of sight first: whoever is cut off in the middle leaves no half of a folder.
            remove_folder(each.rename(hidden(place.path, each.name)))
        except OSError as error:
            # The new certificate is in place: that must be told, whatever becomes of an old one.
            logger.warning("an old folder of %s cannot be removed: %s", place.called, error)
