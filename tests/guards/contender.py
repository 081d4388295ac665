"""What a process of the tests does: take turns, hold one for as long as it is told to, call a service, fork.

It tells its parent what happens, in words, and hears from it what to do. Times are `time.monotonic()`'s, which all
processes of a machine share. Who starts it is `contending.py`.
"""

from __future__ import annotations

import os
import ssl
import threading
import time
import traceback
from contextlib import AsyncExitStack, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any, NamedTuple

import anyio
import httpx

from collectssl_async import CollectSSLClient, CollectSSLError, Credentials, GuardError, GuardLostError

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator
    from multiprocessing.connection import Connection

    from collectssl_async import Guard, Hold

    from .kinds import GuardSpec

_QUEUED_AFTER = 0.15  # seconds without a turn after which a process that asked for it says that it is queued


class Service(NamedTuple):
    """What a client has to know of a sandbox that runs in another process, and the order to ask for."""

    endpoint: str
    root_pem: str
    login_name: str
    login_password: str
    order: str


class Turn(NamedTuple):
    """When a turn was asked for, began and ended."""

    asked: float
    entered: float
    left: float


class Parent:
    """The pipe to the process that runs the test."""

    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe
        self._mutex = threading.Lock()

    def tell(self, word: str, *details: object) -> None:
        """Say what happened."""
        with self._mutex:
            self._pipe.send((word, *details))

    async def hear(self) -> str:
        """Return the next word from the parent."""
        await anyio.wait_readable(self._pipe.fileno())
        return str(self._pipe.recv())

    @contextmanager
    def telling_when_queued(self) -> Iterator[None]:
        """Say "queued" if this lasts."""
        timer = threading.Timer(_QUEUED_AFTER, self.tell, ("queued",))
        timer.start()
        try:
            yield
        finally:
            timer.cancel()
            timer.join()


def main(pipe: Connection, backend: str, job: Callable[..., Coroutine[Any, Any, None]], *args: object) -> None:
    """Do a job, and tell how it failed if it did."""
    parent = Parent(pipe)
    try:
        anyio.run(job, parent, *args, backend=backend)
    except BaseException:
        parent.tell("failed", traceback.format_exc())
        raise
    parent.tell("done")


async def hold(parent: Parent, spec: GuardSpec, settings: dict[str, Any], url: str) -> None:
    """Take one turn and do as told: "check", "finish" and leave, "leave" unfinished, "fork"."""
    held = spec.make(**settings).hold(url)
    try:
        with parent.telling_when_queued():
            inside = await held.__aenter__()
        try:
            parent.tell("entered", time.monotonic())
            while (word := await parent.hear()) not in ("finish", "leave"):
                if word == "fork":
                    parent.tell("forked", await _fork(inside, held, spec, settings, url))
                else:
                    inside.check()
                    parent.tell("ours")
            if word == "finish":
                inside.finished()
            left = time.monotonic()
        except BaseException as error:
            if not await held.__aexit__(type(error), error, error.__traceback__):
                raise
        else:
            await held.__aexit__(None, None, None)
            parent.tell("left", left)
    except GuardError as error:
        parent.tell("refused", type(error).__name__, time.monotonic())


async def retry(parent: Parent, spec: GuardSpec, settings: dict[str, Any], url: str) -> None:
    """Ask again and again, as often as it takes; tell when the turn came and how often it did not."""
    failures = 0
    while True:
        try:
            async with spec.make(**settings).hold(url) as inside:
                inside.finished()
                parent.tell("entered", time.monotonic(), failures)
                return
        except GuardError:
            failures += 1


async def take_turns(
    parent: Parent, spec: GuardSpec, settings: dict[str, Any], url: str, times: int, work: float
) -> None:
    """Take so many turns of `work` seconds each, and tell when each was."""
    guard = spec.make(**settings)
    turns: list[Turn] = []
    parent.tell("ready")
    await parent.hear()
    for number in range(times):
        asked = time.monotonic()
        async with AsyncExitStack() as turn:
            with parent.telling_when_queued() if number == 0 else nullcontext():
                inside = await turn.enter_async_context(guard.hold(url))
            entered = time.monotonic()
            await anyio.sleep(work)
            inside.finished()
            left = time.monotonic()
        turns.append(Turn(asked, entered, left))
    parent.tell("turns", turns)


class _Gate:
    """A guard whose holder tells that the turn is his, and waits for a word before he goes on."""

    def __init__(self, guard: Guard, parent: Parent) -> None:
        self._guard = guard
        self._parent = parent

    def hold(self, resource: str) -> _Gate:
        self._held = self._guard.hold(resource)
        return self

    async def __aenter__(self) -> Hold:
        inside = await self._held.__aenter__()
        self._parent.tell("entered", time.monotonic())
        await self._parent.hear()
        return inside

    async def __aexit__(self, *raised: Any) -> None:
        await self._held.__aexit__(*raised)


async def call_when_told(parent: Parent, spec: GuardSpec, settings: dict[str, Any], service: Service) -> None:
    """Take a turn at the guard, and make the call when told to."""
    await _call(parent, _Gate(spec.make(**settings), parent), service, times=1, timeout=60)


async def call(
    parent: Parent, spec: GuardSpec, settings: dict[str, Any], service: Service, times: int, timeout: float
) -> None:
    """Make so many calls as a client with a guard does, and tell what became of each."""
    await _call(parent, spec.make(**settings), service, times, timeout)


async def _call(parent: Parent, guard: Guard, service: Service, times: int, timeout: float) -> None:
    credentials = Credentials(login_name=service.login_name, login_password=service.login_password)
    tls = ssl.create_default_context(cadata=service.root_pem)
    outcomes: list[str] = []
    async with httpx.AsyncClient(verify=tls, trust_env=False) as http_client:
        client = CollectSSLClient(
            credentials,
            endpoint=service.endpoint,
            http_client=http_client,
            guard=guard,
            timeout=timeout,
        )
        parent.tell("ready")
        await parent.hear()
        for _ in range(times):
            try:
                with parent.telling_when_queued():
                    await client.status(service.order)
                outcomes.append("answered")
            except CollectSSLError as error:
                outcomes.append(type(error).__name__)
    parent.tell("called", outcomes)


async def _fork(inside: Any, held: Any, spec: GuardSpec, settings: dict[str, Any], url: str) -> str:
    """Fork inside the turn; return what the child found.

    The child inherits no turn. It asks for one of its own on a loop of its own, closes what it inherited, and exits.
    """
    reading, writing = os.pipe()
    child = os.fork()
    if child:
        os.close(writing)
        await anyio.wait_readable(reading)
        with os.fdopen(reading) as pipe:
            found = pipe.read()
        os.waitpid(child, 0)
        return found
    found = "nothing"
    try:
        found = _in_child(inside, held, spec, settings, url)
    except BaseException as error:
        found = f"{type(error).__name__}: {error}"
    finally:
        os.write(writing, found.encode())
        os._exit(0)


def _in_child(inside: Any, held: Any, spec: GuardSpec, settings: dict[str, Any], url: str) -> str:
    try:
        inside.check()
    except GuardLostError:
        found = ["lost"]
    else:
        found = ["still ours"]
    closing = held.__aexit__(GeneratorExit, GeneratorExit(), None)
    try:
        closing.send(None)
    except StopIteration:
        found.append("closed")
    closing.close()

    async def ask() -> None:
        async with spec.make(**{**settings, "acquire_timeout": 0.3}).hold(url) as own:
            own.finished()

    def on_own_loop() -> None:
        try:
            anyio.run(ask)
            found.append("entered")
        except GuardError as error:
            found.append(type(error).__name__)

    thread = threading.Thread(target=on_own_loop, daemon=True)
    thread.start()
    thread.join(10)
    return ", ".join(found)
