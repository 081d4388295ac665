"""Which guard a text names: what a deployment sets in one variable, without a line of code."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from ..errors import ConfigurationError
from .file import FileGuard
from .postgres import PostgresGuard
from .process import ProcessGuard
from .redis import RedisGuard

if TYPE_CHECKING:
    from collections.abc import Callable

    from ._protocol import Guard

VARIABLE = "COLLECTSSL_GUARD"
"""The variable of the environment that names the guard."""

ALLOWED = "process, file, file:/path/prefix, redis://..., rediss://... or postgresql://..."


def guard_from_url(text: str) -> Guard:
    """Return the guard that a text names, as `COLLECTSSL_GUARD` holds it, with its default settings.

    `process`; `file`, at its default place, or `file:/path/prefix`, an absolute path as it stands; a `redis://` or
    `rediss://` URL; a `postgresql://` or `postgres://` URL. Raises `ConfigurationError` that says what is allowed, and
    quotes nothing of a text that may hold a password.
    """
    try:
        scheme, colon, rest = text.strip().partition(":")
        make = _KINDS.get(scheme.lower() + colon + ("//" if rest.startswith("//") else ""))
        if make is not None:
            return make(text.strip())
    finally:
        text = scheme = rest = ""  # an error shows the locals of its frames, and here is a password
    raise ConfigurationError(f"{VARIABLE} names no guard that there is: it must be {ALLOWED}")


def guard_from_env() -> Guard | None:
    """Return the guard that `COLLECTSSL_GUARD` names, None where it is not set or empty. Raises as above."""
    return guard_from_url(os.environ[VARIABLE]) if os.environ.get(VARIABLE) else None


def _file(text: str) -> Guard:
    path = text.partition(":")[2].removeprefix("//")
    if not path.startswith("/"):
        raise ConfigurationError(f"{VARIABLE} must have an absolute path behind file:, such as file:/srv/app/guard")
    return FileGuard(path)


_KINDS: dict[str, Callable[[str], Guard]] = {
    "process": lambda _: ProcessGuard(),
    "file": lambda _: FileGuard(),
    "file:": _file,
    "file://": _file,
    "redis://": RedisGuard,
    "rediss://": RedisGuard,
    "postgresql://": PostgresGuard,
    "postgres://": PostgresGuard,
}
"""What the texts begin with; without a colon the whole text."""
