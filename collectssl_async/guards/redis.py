"""The guard of every host that shares a Redis: a lease with a token, renewed while held.

This file is the guard as its users see it. The lease stands in `_redis_lease.py`, the wait for it in
`_redis_contest.py`, the connection in `_redis_link.py`; those load redis-py and asyncio, this one does not.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, NoReturn

from pydantic import SecretStr

from ..errors import ConfigurationError
from ._layered import LosableHold
from ._protocol import GuardStatus, Holder, normalise_resource, seconds
from ._runtime import current_loop

if TYPE_CHECKING:
    from redis.asyncio import Redis

    from ._redis_lease import Lease
    from ._redis_link import Link

_SHORTEST_TTL = 0.5  # seconds: a shorter lease would end while one slow answer is awaited

_BAD_URL = (
    "redis is not a URL that redis-py can use: redis://user:password@host:6379/0, rediss:// for TLS, or unix:///path; "
    "percent-encode special characters in the password, and look at the options after the question mark"
)


class RedisGuard:
    """Keeps the calls of every host apart that shares one Redis. Works on asyncio.

    `redis` is a URL, from which one client is made for each event loop and closed when the loop shuts down (as
    `asyncio.run` has it do): there is nothing to close. Or it is a `redis.asyncio.Redis` of yours, which stays yours to
    close and belongs to one event loop. Either way one connection is taken for as long as the loop lasts, and one more
    while somebody waits, so the client's pool must have two to spare.

    What it promises: a holder has a lease of `ttl` seconds that is renewed three times in that time. Whoever cannot
    renew it is stopped, with `GuardLostError`, before it can have ended by the server's clock. The key that stands for
    it lives `abandon_grace` seconds longer, so that nobody begins while the service may still be at work on a call that
    was cancelled, timed out, or whose process was killed or stopped: those who wait go on after the rest of the lease
    and the grace. `ttl` and `abandon_grace` are to be the same wherever the Redis is shared.

    What Redis can forget: a Redis that was restarted may have lost its keys, so nobody enters one that has not been up
    for lease and grace (a fresh one costs that wait once). FLUSHALL, or a key that was evicted or deleted, lets another
    in at once; the holder notices with its next renewal, at most a third of the lease later, and is stopped. A failover
    to a replica may lose a lease too, and a clock of the server that is set forward ends leases early: by no more than
    the grace does no harm. A process that stands still in the middle of a call for longer than lease and grace cannot
    stop that call.

    `acquire_timeout` (seconds, None waits without end) bounds the wait for a turn, all of it. Raises
    `ConfigurationError` for what can never work: the extra `redis` not installed, a URL, user, password or permission
    that is wrong, TLS, a cluster, trio; `GuardError` for a Redis that does not answer or refuses. Not re-entrant.
    """

    def __init__(
        self,
        redis: Redis | str,
        *,
        ttl: float = 30.0,
        abandon_grace: float = 10.0,
        acquire_timeout: float | None = None,
    ) -> None:
        self._target = SecretStr(redis) if isinstance(redis, str) else redis
        del redis  # it may hold a password, and an error shows the locals of its frames
        self._where = _where(self._target)
        self.ttl = seconds("ttl", ttl)
        if self.ttl < _SHORTEST_TTL:
            raise ConfigurationError(f"ttl must be at least {_SHORTEST_TTL:g} seconds, not {ttl!r}")
        self.abandon_grace = seconds("abandon_grace", abandon_grace)
        self.acquire_timeout = None if acquire_timeout is None else seconds("acquire_timeout", acquire_timeout)

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}(redis at {self._where}, ttl={self.ttl:g}, "
            f"abandon_grace={self.abandon_grace:g}, acquire_timeout={self.acquire_timeout})"
        )

    def __reduce_ex__(self, protocol: Any) -> NoReturn:
        raise TypeError("RedisGuard cannot be pickled: it holds connections, and perhaps a password")

    def hold(self, resource: str) -> LosableHold:
        """Return a context that is entered when nobody else on any host calls `resource`, a URL.

        Raises `GuardTimeoutError` after `acquire_timeout` seconds, `GuardError` when Redis fails, and inside, instead
        of a cancellation, `GuardLostError` when the lease was lost.
        """
        return LosableHold(self, resource)

    # --- what a hold needs ---

    def prepare(self) -> None:
        """Raise `ConfigurationError` on trio."""
        if hasattr(current_loop(), "run_sync_soon"):
            raise ConfigurationError("RedisGuard works on asyncio, as redis-py does, and not on trio")

    async def take(self, resource: str) -> Lease:
        """Wait for the lease on `resource`, normalised. Raises `GuardError`, `ConfigurationError`."""
        from ._redis_contest import Contest

        return await Contest(await self._link(), ttl=self.ttl, grace=self.abandon_grace).win(resource)

    async def _link(self) -> Link:
        from ._redis_link import link_through, link_to

        target = self._target
        return await (link_to(target) if isinstance(target, SecretStr) else link_through(target))

    # --- seen from outside ---

    async def status(self, resource: str) -> GuardStatus:
        """Return how Redis stands for `resource`, a URL, without waiting. Raises `GuardError`, `ConfigurationError`."""
        from ._redis_lease import Names

        self.prepare()
        link, resource = await self._link(), normalise_resource(resource)
        key = Names(resource).key
        written, remaining = await link.read(key), await link.remaining(key)
        if written is None or remaining == 0:
            return GuardStatus(resource, held=False)
        holder, grace = _understand(written)
        if remaining is None or remaining > grace:
            return GuardStatus(resource, held=True, holder=holder)
        until = datetime.now(UTC) + timedelta(seconds=remaining)
        return GuardStatus(resource, held=False, holder=holder, unfinished=True, unfinished_until=until)

    async def force_release(self, resource: str) -> bool:
        """Delete the lease on `resource` or what an unfinished call left; say whether there was anything.

        A holder that still lives is stopped when it notices, within a third of its lease; until then two may call.
        """
        from ._redis_lease import Names

        self.prepare()
        link, names = await self._link(), Names(normalise_resource(resource))
        there_was = await link.delete(names.key)
        await link.announce(names.channel, 0)
        return there_was


def _where(target: SecretStr | Redis) -> str:
    """Return where the Redis is; raise `ConfigurationError` where redis-py is missing or could never use this."""
    try:
        from redis.asyncio import Redis
    except ImportError:
        raise ConfigurationError("RedisGuard needs redis: pip install 'collectssl-async[redis]'") from None

    from ._redis_failures import Place

    if not isinstance(target, SecretStr):
        if isinstance(target, Redis):
            return str(Place(target))
        kind = type(target)
        raise ConfigurationError(
            f"redis must be a redis.asyncio.Redis or a URL, not {kind.__module__}.{kind.__qualname__}"
        )
    place = _place_of(target)
    if place is None:
        raise ConfigurationError(_BAD_URL)
    return place


def _place_of(url: SecretStr) -> str | None:
    """Return where a URL leads, None for one that redis-py cannot use: what it says of it may quote the password."""
    from redis.exceptions import RedisError

    from ._redis_failures import Place
    from ._redis_link import client_of

    try:
        client = client_of(url)
        pool: Any = client.connection_pool
        pool.make_connection()
    except (ValueError, TypeError, RedisError):
        return None
    return str(Place(client))


def _understand(written: str) -> tuple[Holder | None, float]:
    """Return who wrote a key, and how long a grace ends its life; nobody and 0 where another program wrote it."""
    try:
        fields = json.loads(written)
        holder = Holder(str(fields["host"]), int(fields["process"]), datetime.fromisoformat(fields["since"]))
        return holder, float(fields["grace"])
    except (ValueError, TypeError, KeyError):
        return None, 0.0
