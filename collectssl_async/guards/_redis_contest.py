"""How a process comes to a lease on Redis: it tries, waits for word that the key is free, and tries again.

redis-py's lock decides who wins. What is added here: nobody enters a Redis that may have forgotten who is inside, no
lease leaks from an attempt that was cancelled or whose answer was lost, and a process that has just left lets others
go first. Loaded when a guard is entered.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import secrets
import socket
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from ..errors import ConfigurationError, GuardError
from ._redis_lease import Lease, Names, adopt, boot_time, orphans, others_wait

if TYPE_CHECKING:
    from ._redis_link import Link

_POLL = 1.0
"""Seconds after which one who waits looks again without having been told to: a killed holder tells nobody."""

_COURTESY = 0.1
"""Seconds for which a process that has just left lets those go first whom it has woken."""

_STEP = 0.002
"""Seconds by which those who were woken let each go first who has waited through one turn more than they have."""

_LONGEST_STEP = 0.01
"""Seconds for which at most they do so: who waited longest may be gone."""

_OUTAGE = 5.0
"""Seconds for which one who waits bears with a Redis that fails and did answer before: a restart takes less."""

_PAUSE = 0.1
"""Seconds between two tries during an outage."""

_HOST = socket.gethostname()


class Contest:
    """One process's contest for leases of `ttl` seconds, each followed by a grace where a call was not finished."""

    def __init__(self, link: Link, *, ttl: float, grace: float) -> None:
        self._link = link
        self._ttl = ttl
        self._grace = grace

    async def win(self, resource: str) -> Lease:
        """Wait for the lease, however long. Raises `GuardError`, `ConfigurationError`."""
        names, began = Names(resource), boot_time()
        while True:
            try:
                return await self._contend(names)
            except GuardError:
                answered = self._link.answered
                if answered is None or boot_time() - max(began, answered) > _OUTAGE:
                    raise
                await asyncio.sleep(_PAUSE)

    async def _contend(self, names: Names) -> Lease:
        await self._take_away_orphan(names)
        _, since = others_wait.get(names.resource, (0, 0.0))
        pause = max(since + _COURTESY - boot_time(), 0.0)
        passed_over = 0
        if not pause:
            outcome = await self._attempt(names)
            if isinstance(outcome, Lease):
                return outcome
        async with self._link.listening(names.channel) as listener:
            while True:
                others = await listener.wait(pause)
                if others is not None:
                    passed_over += 1
                    await asyncio.sleep(min(max(others - passed_over, 0) * _STEP, _LONGEST_STEP))
                outcome = await self._attempt(names)
                if isinstance(outcome, Lease):
                    return outcome
                pause = min(outcome, _POLL)

    async def _take_away_orphan(self, names: Names) -> None:
        token = orphans.get(names.resource)
        if token is not None:
            await self._link.release(self._link.lock(names.key, self._ttl), token)
            adopt(names.resource, token)

    async def _attempt(self, names: Names) -> Lease | float:
        """Return a lease, or after how many seconds to try again.

        In a task of its own: a command that is cut off may have taken the lock all the same.
        """
        attempt = self._link.spawn(self._try(names))
        try:
            return await asyncio.shield(attempt)
        except BaseException:  # cancelled, or collected as garbage: from any thread
            self._link.call(lambda: attempt.add_done_callback(self._give_back))
            raise

    def _give_back(self, attempt: asyncio.Task[Lease | float]) -> None:
        if attempt.cancelled() or attempt.exception() is not None:
            return
        outcome = attempt.result()
        if isinstance(outcome, Lease):
            outcome.begin_leaving(finished=True)

    async def _try(self, names: Names) -> Lease | float:
        too_young = await self._link.too_young(self._ttl + self._grace)
        if too_young > 0:
            return too_young
        link, epoch, asked = self._link, self._link.epoch, boot_time()
        lock, token = link.lock(names.key, self._ttl + self._grace), self._token()
        orphans[names.resource] = token
        try:
            taken = await link.acquire(lock, token)
        except asyncio.CancelledError:  # the event loop ends; what fails now is left to the process's next contender
            with contextlib.suppress(GuardError, ConfigurationError):
                await link.release(lock, token)
            raise
        lease = Lease(link, lock, names, token, asked=asked, ttl=self._ttl, grace=self._grace)
        if link.epoch != epoch or (taken and not lease.alive()):
            # Sent again on another connection, perhaps to a Redis that forgot; or answered when it may have ended.
            await link.release(lock, token)
            adopt(names.resource, token)
            return 0.0
        adopt(names.resource, token)
        if taken:
            return lease
        remaining = await link.remaining(names.key)
        return _POLL if remaining is None else remaining

    def _token(self) -> str:
        """Return what is written into Redis: who holds, for people, and what makes it ours."""
        since = datetime.now(UTC).isoformat(timespec="seconds")
        return json.dumps(
            {
                "host": _HOST,
                "process": os.getpid(),
                "since": since,
                "grace": self._grace,
                "token": secrets.token_hex(16),
            }
        )
