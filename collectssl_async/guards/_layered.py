"""A lock that reaches beyond the process, taken after the process's own lane: one process, one contender.

What the guards of a host, of a Redis and of a database have in common. How each keeps its lock, and how it remembers a
call that nobody finished, stands in its own file.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, Self, runtime_checkable

import anyio

from ..errors import GuardLostError, GuardTimeoutError
from ._protocol import normalise_resource
from .process import ProcessGuard, ProcessHold

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from ..errors import GuardError


class Turn(Protocol):
    """One turn at a lock that others share; that its call is unfinished is written down already."""

    def check(self) -> None:
        """Return if the lock is still ours; raise `GuardLostError` if it is not, or may not be. Does not block."""

    async def leave(self, *, finished: bool) -> None:
        """Let go; an unfinished call stays written down, with the time when its grace ends.

        Goes on to its end although the caller is cancelled, and raises nothing else: what the store refuses is logged,
        since the call is over by then.
        """

    def drop(self, *, finished: bool) -> None:
        """Let go without an await, as well as that can be done: the coroutine is being closed, or its loop was.

        From any thread, and perhaps after a `leave` that was closed on its way. Raises nothing. Never called in a
        forked child.
        """


@runtime_checkable
class LosableTurn(Turn, Protocol):
    """A turn that may be lost in the middle of the call, which has to be stopped then."""

    def start(self, stop: Callable[[], None], /) -> None:
        """Call `stop` as soon as the turn is lost, or may be."""

    def loss(self) -> GuardError:
        """Return the error that says why it was lost."""
        ...


class Reach(Protocol):
    """What a guard beyond the process adds to `ProcessGuard`."""

    abandon_grace: float
    acquire_timeout: float | None

    def prepare(self) -> None:
        """Raise `ConfigurationError` where this guard can never be entered: the wrong event loop, say."""

    async def take(self, resource: str) -> Turn:
        """Wait for the lock, and for the grace of an unfinished call, however long. `resource` is normalised.

        Raises `GuardError` when the store cannot be used. Failed, cancelled or closed, it leaves nothing behind. One
        whose loop was closed in the middle is not told of it: what it holds is taken from it by this process's next
        one, which may be sure that nobody else here is inside.
        """
        ...


class LayeredHold(ProcessHold):
    """One caller's turn among all that the guard reaches: a place in the process's lane, and then a turn beyond it.

    The lane remembers an abandoned call too, from the same moment on, so that not even a store that forgot it lets
    this process call too early.
    """

    __slots__ = ("_reach", "_turn")

    def __init__(self, reach: Reach, resource: str) -> None:
        super().__init__(ProcessGuard(abandon_grace=reach.abandon_grace), resource)
        self._reach = reach
        self._turn: Turn | None = None

    def check(self) -> None:
        """Return if the turn is still ours; raise `GuardLostError` if it is not."""
        super().check()
        if self._turn is None:
            raise GuardLostError(f"the hold on {normalise_resource(self._resource)} is not this task's any more")
        self._turn.check()

    async def __aenter__(self) -> Self:
        self._reach.prepare()
        if self._reach.acquire_timeout is None:
            await self._enter()
            return self
        with anyio.move_on_after(self._reach.acquire_timeout):
            await self._enter()
        if self._turn is None:
            raise GuardTimeoutError(
                f"no turn to call {normalise_resource(self._resource)} within {self._reach.acquire_timeout:g} s: "
                "another call is in work, or was abandoned and may be, or the guard's store does not answer"
            )
        return self

    async def _enter(self) -> None:
        await super().__aenter__()
        self._done = True  # what fails, is cancelled or loses its loop from here on has made no call
        try:
            self._turn = await self._reach.take(normalise_resource(self._resource))
        except BaseException:
            self.leave()
            raise
        self._done = False

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        turn, lane = self._turn, self._lane
        closed = kind is GeneratorExit
        try:
            if turn is not None and lane is not None and not closed and not lane.forked:
                await turn.leave(finished=self._done)
        except GeneratorExit:
            closed = True
            raise
        finally:
            if not closed:
                self._turn = None
            self.leave()

    def leave(self) -> None:
        """Give up the place in the lane, and drop a turn that was not left in order.

        This is also what the lane calls for a holder whose loop was closed, from whichever thread finds that.
        """
        lane = self._lane
        if lane is None or lane.forked:
            return
        with lane.mutex:
            turn, self._turn = self._turn, None
            try:
                if turn is not None:
                    turn.drop(finished=self._done)
            finally:
                super().leave()


class LosableHold(LayeredHold):
    """A hold that stops the call inside it, with `GuardLostError`, when its turn is lost."""

    __slots__ = ("_losable", "_scope", "_task")

    async def __aenter__(self) -> Self:
        await super().__aenter__()
        self._scope = anyio.CancelScope()
        self._scope.__enter__()
        self._task = anyio.get_current_task().id  # of a task that the scope keeps, so that no other one gets it
        self._losable = self._turn  # still needed when the turn was left
        if isinstance(self._losable, LosableTurn):
            self._losable.start(self._scope.cancel)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        stopped: bool | None = False
        try:
            # A scope is left in the task that entered it. A coroutine that is closed, by whichever task, or a hold that
            # is left in another one has left its scope behind.
            if kind is not GeneratorExit and anyio.get_current_task().id == self._task:
                stopped = self._scope.__exit__(kind, error, traceback)
        finally:
            await super().__aexit__(kind, error, traceback)
        if stopped and isinstance(self._losable, LosableTurn):
            raise self._losable.loss() from None
