"""One event loop's connection to Redis: each command with a time-out, each failure as an error that says what to do.

It also knows whether the Redis that it talks to has been up for long enough: after a restart the store may have
forgotten who is inside. A restart ends every connection, so that is asked once a connection and not once a call.

Imports redis-py, so it is loaded when a `RedisGuard` is used. What a lease is stands in `_redis_lease.py`.
"""

from __future__ import annotations

import asyncio
import os
import weakref
from typing import TYPE_CHECKING, Any, Self, TypeVar

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import LockNotOwnedError

from ..errors import ConfigurationError
from ._redis_failures import FAILURES, Place
from ._redis_lease import boot_time

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine
    from types import TracebackType

    from pydantic import SecretStr
    from redis.asyncio.lock import Lock

ANSWER = 5.0
"""Within how many seconds Redis must answer a command, whatever redis-py retries meanwhile."""

_Result = TypeVar("_Result")


class Link:
    """A connection of its own out of a client's pool, for commands; one more while somebody waits.

    Belongs to the event loop that runs when it is made, and is closed with it.
    """

    def __init__(self, client: Redis, *, owned: bool) -> None:
        self._owned = client if owned else None
        self._client = Redis(connection_pool=client.connection_pool, single_connection_client=True)
        self._place = Place(client)
        self._loop = asyncio.get_running_loop()
        self._keeper = self._kept_open()
        self._tasks: set[asyncio.Task[Any]] = set()
        self.epoch = 0
        """Goes up whenever the connection was made anew."""
        self._watched: object = None
        self._proven: int | None = None
        self._born = 0.0
        self.answered: float | None = None
        """When Redis last answered, in `boot_time`; None before it ever did."""
        _links.add(self)
        if not owned:  # whoever closed the client has closed our connection too
            weakref.finalize(client, setattr, self._client, "connection", None)

    async def open(self) -> None:
        """Have the connection closed before the event loop is, which ends its asynchronous generators first."""
        await anext(self._keeper)

    async def _kept_open(self) -> AsyncGenerator[None, None]:
        try:
            yield
        finally:
            await self._client.aclose()
            if self._owned is not None:
                await self._owned.aclose()

    def spawn(self, work: Coroutine[Any, Any, _Result]) -> asyncio.Task[_Result]:
        """Run something to its end, whatever becomes of the task that asked for it."""
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def call(self, function: Callable[[], object]) -> bool:
        """Call a function on the link's loop soon, from any thread; return False when the loop is closed."""
        try:
            self._loop.call_soon_threadsafe(function)
        except RuntimeError:
            return False
        return True

    def belongs_here(self) -> bool:
        """Say whether the running loop is the link's own."""
        return self._loop is asyncio.get_running_loop()

    # --- commands ---

    async def ask(self, command: Awaitable[_Result], within: float | None = None) -> _Result:
        """Return Redis's answer. Raises `GuardError` or `ConfigurationError` that names the cause and the way out."""
        try:
            async with asyncio.timeout(ANSWER if within is None else within):
                result = await command
        except LockNotOwnedError:
            self.answered = boot_time()
            raise
        except FAILURES as error:
            failure = self._place.explain(error)
        else:
            self.answered = boot_time()
            return result
        raise failure

    async def _connected(self) -> None:
        await self._client.initialize()
        connection: Any = self._client.connection
        if connection is not None and connection is not self._watched:
            connection.register_connect_callback(self._reconnected)
            self._watched = connection
            self.epoch += 1

    def _reconnected(self, connection: object) -> None:
        self.epoch += 1

    async def too_young(self, needed: float) -> float:
        """Return for how many seconds Redis has not been up for `needed` seconds yet: 0 or less when it has."""
        if self._proven != self.epoch:
            await self.ask(self._connected())
            epoch = self.epoch
            uptime = (await self.ask(self._client.info("server"))).get("uptime_in_seconds")
            if not isinstance(uptime, int):
                raise ConfigurationError(
                    f"what answers at {self._place} does not tell for how long it has been up: name the Redis itself"
                )
            self._born = boot_time() - (uptime - 1)  # whole seconds, of which the first may have been a short one
            self._proven = epoch
        return self._born + needed - boot_time()

    def lock(self, key: str, life: float) -> Lock:
        """Return redis-py's lock on a key that lives for `life` seconds."""
        return self._client.lock(key, timeout=life, thread_local=False)

    async def acquire(self, lock: Lock, token: str) -> bool:
        """Take a lock if nobody has it."""
        return await self.ask(lock.acquire(blocking=False, token=token))

    async def extend(self, lock: Lock, life: float, within: float | None = None) -> bool:
        """Have a lock live for `life` seconds from now; say whether it was still ours."""
        try:
            return await self.ask(lock.extend(life, replace_ttl=True), within)
        except LockNotOwnedError:
            return False

    async def release(self, lock: Lock, token: str) -> bool:
        """Delete a lock; say whether it was ours."""
        try:
            await self.ask(lock.do_release(token.encode()))
        except LockNotOwnedError:
            return False
        return True

    async def remaining(self, key: str) -> float | None:
        """Return for how many seconds a key still lives: 0 if there is none, None for ever."""
        milliseconds = await self.ask(self._client.pttl(key))
        return None if milliseconds == -1 else max(milliseconds, 0) / 1000

    async def read(self, key: str) -> str | None:
        """Return a key's text."""
        value = await self.ask(self._client.get(key))
        return value.decode(errors="replace") if isinstance(value, bytes) else value

    async def delete(self, key: str) -> bool:
        """Delete a key; say whether there was one."""
        return bool(await self.ask(self._client.delete(key)))

    async def announce(self, channel: str, word: int) -> int:
        """Wake those who wait, with a number for them; return how many do."""
        return int(await self.ask(self._client.publish(channel, word)))

    def listening(self, channel: str) -> Listener:
        """Return a context inside which `announce` wakes."""
        return Listener(self, self._client.pubsub(), channel)


class Listener:
    """Somebody who waits for a key to become free."""

    def __init__(self, link: Link, pubsub: Any, channel: str) -> None:
        self._link = link
        self._pubsub = pubsub
        self._channel = channel

    async def __aenter__(self) -> Self:
        try:
            await self._link.ask(self._subscribe())
        except BaseException:
            self._close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._close()

    async def _subscribe(self) -> None:
        """Wait until Redis has confirmed: what is announced from then on cannot be missed."""
        await self._pubsub.subscribe(self._channel)
        while not self._pubsub.subscribed or await self._pubsub.get_message(timeout=ANSWER) is None:
            pass

    def _close(self) -> None:
        # Not awaited: what its caller holds by now must not be lost to a cancellation.
        self._link.call(lambda: self._link.spawn(self._pubsub.aclose()))

    async def wait(self, seconds: float) -> int | None:
        """Return what was announced when the key became free, None where that did not happen for `seconds`."""
        message = await self._link.ask(
            self._pubsub.get_message(ignore_subscribe_messages=True, timeout=seconds), within=seconds + ANSWER
        )
        return None if message is None else int(message["data"])


_of_urls: dict[tuple[asyncio.AbstractEventLoop, SecretStr], Link] = {}
_of_clients: weakref.WeakKeyDictionary[Redis, Link] = weakref.WeakKeyDictionary()
_links: weakref.WeakSet[Link] = weakref.WeakSet()
_inherited: list[Link] = []


async def link_to(url: SecretStr) -> Link:
    """Return the running loop's link to a Redis, which all guards with that URL share. Its URL was checked before."""
    place = asyncio.get_running_loop(), url
    link = _of_urls.get(place)
    if link is None:
        for other in tuple(_of_urls):
            if other[0].is_closed():
                del _of_urls[other]
        link = _of_urls[place] = Link(client_of(url), owned=True)
        await link.open()
    return link


async def link_through(client: Redis) -> Link:
    """Return the link through a client that was handed in. Raises `ConfigurationError` on another event loop."""
    link = _of_clients.get(client)
    if link is None:
        link = _of_clients[client] = Link(client, owned=False)
        await link.open()
    elif not link.belongs_here():
        raise ConfigurationError(
            "a redis client belongs to the event loop that it was first used on: give RedisGuard a URL instead"
        )
    return link


def client_of(url: SecretStr) -> Redis:
    """Return a client for a URL. What it raises may quote the password."""
    # A connection that was cut is made anew once. Further patience, and the time-out of each command, are our own:
    # redis-py's cost a task a command.
    return Redis.from_url(url.get_secret_value(), retry=Retry(NoBackoff(), 1), socket_timeout=None)


def _begin_anew_after_fork() -> None:
    """In a child: a connection that is collected as garbage is closed, and taken from the parent's loop as well."""
    _inherited.extend(_links)
    _of_urls.clear()


os.register_at_fork(after_in_child=_begin_anew_after_fork)
