"""Ctrl-C and SIGTERM: both end a command in order, whatever it is doing."""

from __future__ import annotations

import asyncio
import signal
import socket
from contextlib import contextmanager
from typing import TYPE_CHECKING

import anyio

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator
    from types import FrameType

    Handler = Callable[[int, FrameType | None], object]


@contextmanager
def handled_by(handler: Handler) -> Iterator[None]:
    """Let both signals call `handler` inside the block. Only the main thread may do that."""
    before = {number: signal.signal(number, handler) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, previous in before.items():
            signal.signal(number, previous)


def run_async(work: Callable[[], Awaitable[None]]) -> None:
    """Run `work` on an event loop of its own. Raises `KeyboardInterrupt` when a signal stopped it.

    A signal cancels `work` at its next await, so that it lets go of what it holds and writes no half of anything; a
    second signal raises `KeyboardInterrupt` wherever it is, in case something hangs.
    """
    if asyncio.run(_cancelled_by_signals(work)):
        raise KeyboardInterrupt


async def _cancelled_by_signals(work: Callable[[], Awaitable[None]]) -> bool:
    loop = asyncio.get_running_loop()
    asked = False

    with anyio.CancelScope() as scope:

        def stop(number: int, frame: FrameType | None) -> None:
            nonlocal asked
            if asked:
                raise KeyboardInterrupt
            asked = True
            loop.call_soon_threadsafe(scope.cancel)  # a handler runs between any two steps of the loop

        with handled_by(stop), _woken_by_signals(loop):
            await work()
    return scope.cancelled_caught


@contextmanager
def _woken_by_signals(loop: asyncio.AbstractEventLoop) -> Iterator[None]:
    """Have every signal wake the loop, so that its handler runs.

    One that comes just before the loop goes to sleep, or to another thread, would be heard when the loop wakes for
    another reason: that may be the next poll, in hours.
    """
    reader, writer = socket.socketpair()
    with reader, writer:
        for end in (reader, writer):
            end.setblocking(False)
        loop.add_reader(reader, reader.recv, 64)
        before = signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
        try:
            yield
        finally:
            signal.set_wakeup_fd(before)
            loop.remove_reader(reader)
