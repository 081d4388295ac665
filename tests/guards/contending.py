"""Starts processes that contend for a guard, tells them what to do and hears what became of it.

What they do stands in `contender.py`. They are forked from a process that has imported everything and runs no thread,
so that twenty of them cost no more than one that starts anew.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from typing import TYPE_CHECKING, Any, Self

from . import contender
from .kinds import AMPLE

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from .kinds import GuardSpec

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(["redis.asyncio", "psycopg", "filelock", contender.__name__])


class Contender:
    """One process at its job."""

    def __init__(self, backend: str, job: Callable[..., Coroutine[Any, Any, None]], *args: object) -> None:
        self._pipe, theirs = _CONTEXT.Pipe()
        self._process = _CONTEXT.Process(target=contender.main, args=(theirs, backend, job, *args), daemon=True)
        self._process.start()
        theirs.close()

    def tell(self, word: str) -> None:
        """Tell it what to do."""
        self._pipe.send(word)

    def hear(self, *words: str, within: float = AMPLE) -> tuple[Any, ...]:
        """Wait until it says one of these words, and return that with its details; other words are passed over."""
        deadline = time.monotonic() + within
        heard: list[Any] = []
        while self._pipe.poll(max(0.0, deadline - time.monotonic())):
            try:
                word, *details = self._pipe.recv()
            except (EOFError, ConnectionResetError):  # the latter where it ended without having heard all
                raise AssertionError(f"the process ended, and said {heard} but none of {words}") from None
            if word in words:
                return (word, *details)
            assert word != "failed", "\n".join(map(str, details))
            heard.append(word)
        raise AssertionError(f"in {within:g} s the process said {heard} but none of {words}")

    def signal(self, number: signal.Signals) -> float:
        """Send a signal; return when."""
        assert self._process.pid is not None
        now = time.monotonic()
        os.kill(self._process.pid, number)
        return now

    def kill(self) -> float:
        """End it without a chance to clean up and wait until it is gone; return when it was last alive."""
        alive = time.monotonic()
        self._process.kill()
        self._process.join(AMPLE)
        assert self._process.exitcode == -signal.SIGKILL, f"it had ended by itself: {self._process.exitcode}"
        return alive

    def end(self) -> None:
        """End it if it has not, and forget it."""
        self._process.kill()
        self._process.join(AMPLE)
        self._process.close()
        self._pipe.close()


class Contenders:
    """The processes of one test."""

    def __init__(self) -> None:
        self._started: list[Contender] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for each in self._started:
            each.end()

    def start(
        self,
        job: Callable[..., Coroutine[Any, Any, None]],
        spec: GuardSpec,
        *args: object,
        backend: str = "asyncio",
        **settings: Any,
    ) -> Contender:
        """Start a process that makes its guard with these settings."""
        self._started.append(Contender(backend, job, spec, settings, *args))
        return self._started[-1]
