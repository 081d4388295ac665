"""The guards there are, and how a process of the tests makes one: from a specification that can be sent to others.

Graces and leases are short here. A fresh Redis lets nobody in until it has been up for a lease and a grace, so these
two bound what every run waits once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from collectssl_async import ProcessGuard

if TYPE_CHECKING:
    from collectssl_async import Guard

BACKENDS = {
    "process": ("asyncio", "trio"),
    "file": ("asyncio", "trio"),
    "redis": ("asyncio",),
    "postgres": ("asyncio",),
}
"""Each guard and the async libraries that it works on."""

SERVERS = {"redis", "postgres"}
"""The guards that need a server."""

SHARED = ("file", "redis", "postgres")
"""The guards that reach beyond the process."""

LEASE = 1.0
"""Seconds of a Redis lease."""

GRACE = 0.12
"""Seconds of a grace that a test sits out."""

LONG_GRACE = 2.5
"""Seconds of a grace that no test means to sit out."""

PATIENCE = 2.0
"""How many seconds one waits who should not have to: less than the long grace."""

AMPLE = 20.0
"""Within how many seconds things happen even on a machine that is busy with others."""


class GuardSpec(NamedTuple):
    """A kind of guard and where its locks are: a file's path, a Redis's URL, a database's conninfo."""

    kind: str
    where: str = ""

    def make(self, **settings: Any) -> Guard:
        """Return a new guard; its grace is the long one unless `settings` say otherwise."""
        settings = {"abandon_grace": LONG_GRACE, **settings}
        if self.kind == "file":
            from collectssl_async.guards.file import FileGuard

            return FileGuard(self.where, **settings)
        if self.kind == "redis":
            from collectssl_async.guards.redis import RedisGuard

            return RedisGuard(self.where, **{"ttl": LEASE, **settings})
        if self.kind == "postgres":
            from collectssl_async.guards.postgres import PostgresGuard

            return PostgresGuard(self.where, **settings)
        return ProcessGuard(**settings)


def every_kind(*only: str) -> list[Any]:
    """Return pytest's parameters: every guard on every library that it works on, or those of them that are named."""
    return [
        pytest.param((kind, backend), marks=[pytest.mark.servers] if kind in SERVERS else [], id=f"{kind}-{backend}")
        for kind, backends in BACKENDS.items()
        for backend in backends
        if not only or backend in only
    ]
