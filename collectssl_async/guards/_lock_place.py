"""Where the lock files of a resource are: at a path that was named, or in a folder of this user's own.

The folder does not depend on the environment, whose variables differ from a login to a job of the same user.
"""

from __future__ import annotations

import hashlib
import os
import pwd
import re
import stat
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from urllib.parse import urlsplit

from ..errors import ConfigurationError
from ._lock_file import refusal

_LONGEST_HOST = 80


class Place:
    """Where files begin with `path`; None stands for the folder of whoever asks."""

    def __init__(self, path: str | os.PathLike[str] | None) -> None:
        self.path = None if path is None else _absolute(path)

    def name_of(self, resource: str) -> str:
        """Return the path of a resource's files, without what they end in.

        Raises `GuardError` and `ConfigurationError` where there is no folder that this user has for itself.
        """
        # The host for people, the digits for all the rest of the URL.
        host = re.sub(r"[^a-z0-9.]+", "-", urlsplit(resource).netloc).strip("-")[:_LONGEST_HOST]
        digits = hashlib.sha256(resource.encode("utf-8", "surrogatepass")).hexdigest()[:16]
        if self.path is None:
            return f"{_own_folder(os.geteuid())}/{host}-{digits}"
        return f"{self.path}{'' if self.path.endswith('/') else '-'}{host}-{digits}"


def _absolute(path: str | os.PathLike[str]) -> str:
    text = os.fspath(path) if isinstance(path, str | os.PathLike) else ""
    if not isinstance(text, str) or not text or "\0" in text:
        raise ConfigurationError(f"path must be text that the lock files' paths begin with, not {path!r}")
    absolute = os.path.abspath(text)  # noqa: PTH100 - Path would drop the slash at the end, which means inside a folder
    return f"{absolute.rstrip('/')}/" if text.endswith("/") else absolute


@lru_cache(maxsize=8)
def _home(user: int) -> str | None:
    try:
        return pwd.getpwuid(user).pw_dir
    except KeyError:
        return None


def _own_folder(user: int) -> str:
    """Return the folder of a user's lock files, made where it is missing; refuse one that others can enter."""
    home = _home(user)
    if home is not None:
        folder = f"{home}/.local/state/collectssl-async"
        with suppress(OSError):  # an account may have no home that it can write to: there is another place
            _make(folder)
        if os.access(folder, os.W_OK | os.X_OK):
            return _checked(folder, user)
    folder = f"/tmp/collectssl-async-{user}"  # noqa: S108 - one that somebody else has made is refused
    try:
        _make(folder)
    except OSError as error:
        raise refusal(error, folder) from None
    return _checked(folder, user)


def _make(folder: str) -> None:
    if not os.path.lexists(folder):
        Path(folder).parent.mkdir(parents=True, exist_ok=True)
        Path(folder).mkdir(mode=0o700, exist_ok=True)


def _checked(folder: str, user: int) -> str:
    found = os.lstat(folder)
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != user or found.st_mode & 0o077:
        raise ConfigurationError(
            f"the guard's folder {folder!r} must be a folder of user {user} that nobody else can enter (mode 0700): "
            "make it so, or give FileGuard a path"
        )
    return folder
