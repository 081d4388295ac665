"""Virtual clocks for both async libraries: when every task sleeps, time jumps to the next one that wakes."""

from __future__ import annotations

import asyncio
import selectors
from typing import Any

import trio.testing


class _JumpingSelector(selectors.DefaultSelector):
    """Instead of sleeping until a timer is due, move the loop's time there. Real I/O that is ready comes first."""

    loop: VirtualClockLoop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if ready or timeout == 0:
            return ready
        if timeout is None:
            return super().select(None)
        self.loop.now += timeout
        return []


class VirtualClockLoop(asyncio.SelectorEventLoop):
    """An asyncio loop whose clock jumps."""

    def __init__(self) -> None:
        self.now = 1_000_000.0
        selector = _JumpingSelector()
        selector.loop = self
        super().__init__(selector)

    def time(self) -> float:
        return self.now

    async def shutdown_default_executor(self, timeout: float | None = None) -> None:
        """Wait for worker threads without a time-out: they work in real time, and this clock would jump past it."""
        await super().shutdown_default_executor()


def virtual_backend(library: str) -> tuple[str, dict[str, Any]]:
    """Return what anyio's pytest plugin takes for a backend whose clock jumps."""
    if library == "trio":
        return library, {"clock": trio.testing.MockClock(autojump_threshold=0)}
    return library, {"loop_factory": VirtualClockLoop}
