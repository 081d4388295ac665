"""A coroutine driven step by step, so that something can happen at each of its awaits in turn, or it can be dropped."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Generator


class Stepping:
    """Awaits a coroutine, and calls `interfere` with what it waits for each time that it lies down.

    `steps` counts how often it did. When `interfere` returns True the coroutine is dropped where it lies: this returns,
    and nobody else knows of it.
    """

    def __init__(self, coroutine: Coroutine[Any, Any, Any], interfere: Callable[[int, Any], bool | None]) -> None:
        self._coroutine: Coroutine[Any, Any, Any] | None = coroutine
        self._interfere = interfere
        self.steps = 0

    def __await__(self) -> Generator[Any, Any, Any]:
        assert self._coroutine is not None
        coroutine, self._coroutine = self._coroutine, None
        go_on: Callable[[], Any] = partial(coroutine.send, None)
        while True:
            try:
                waits_for = go_on()
            except StopIteration as stop:
                return stop.value
            self.steps += 1
            if self._interfere(self.steps, waits_for):
                return None
            try:
                value = yield waits_for
            except BaseException as error:
                go_on = partial(coroutine.throw, error)
            else:
                go_on = partial(coroutine.send, value)
