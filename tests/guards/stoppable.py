"""An asyncio loop that is closed in the middle of what it does, as by a program that ends without awaiting tasks."""

from __future__ import annotations

import asyncio
import gc
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from .kinds import AMPLE

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

closed_with_connections = pytest.mark.filterwarnings("ignore:.*(unclosed|Unclosed|loop is closed):ResourceWarning")
"""For tests that close a loop whose connections nobody has closed: Python and the clients complain of that."""


class Stoppable:
    """A loop that runs when told to, and is closed with whatever it still does."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._tasks: list[asyncio.Task[Any]] = []

    def begin(self, make: Callable[[anyio.Event], Coroutine[Any, Any, Any]], seconds: float = AMPLE) -> None:
        """Start a task and run until it sets its event, or for so many seconds."""

        async def until_inside() -> None:
            event = anyio.Event()
            self._tasks.append(asyncio.create_task(make(event)))
            with anyio.move_on_after(seconds):
                await event.wait()

        self._loop.run_until_complete(until_inside())

    def close(self) -> None:
        """Close the loop; its coroutines stay where they are."""
        self._loop.close()

    def forget(self) -> None:
        """Let the garbage collector close the coroutines of the closed loop."""
        while self._tasks:
            self._tasks.pop()._log_destroy_pending = False  # type: ignore[attr-defined]  # else it complains of each
        gc.collect()
