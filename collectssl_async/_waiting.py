"""One order's wait: ask, sleep, ask again, as `polling.py` says, until the certificate is there.

How an order is asked for is handed in. One sleep a pause, on the loop's own clock: nothing wakes periodically. A hint
that the order moved ends a pause early.
"""

from __future__ import annotations

import logging
import math
import random
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Protocol, Self

import anyio

from .errors import CollectSSLError, ServerUnavailableError
from .models import StatusCode
from .polling import PollState, PollUpdate

if TYPE_CHECKING:
    from ._hints import Hint
    from .models import CollectSSLResponse, OrderRef
    from .polling import PollPolicy

REPEATS = 3
"""How often the poll that a hint brought is repeated where the API still says 0."""

logger = logging.getLogger("collectssl_async")


class Ask(Protocol):
    """One call for an order: its status, or its certificate."""

    async def __call__(self, order: OrderRef, *, collect: bool) -> CollectSSLResponse:
        """Return the reply; raises `CollectSSLError`."""
        ...


class Wait:
    """The wait for one order. `due` is the time of the next call on the loop's clock; `state` goes into the store.

    A call of `ask` that is cancelled changes nothing: the next one is due when this one was.
    """

    def __init__(self, ask: Ask, order: OrderRef, policy: PollPolicy, state: PollState | None) -> None:
        if state is not None and state.order != order:
            raise ValueError(f"the state is of order {state.order}, not of {order}: hand in the state of this order")
        now = datetime.now(UTC)
        self._ask = ask
        self._policy = policy
        self.state = state if state is not None else PollState.begin(order, policy, now)
        self._pause = self.state.pause(policy, now)
        last = self.state.last_poll_at
        self._unasked = math.inf if last is None else (now - last).total_seconds()
        self._began: float | None = None
        self._hinted = False
        self._woken: anyio.Event | None = None
        self._repeats = 0
        self._asked_to_wait = 0.0  # seconds from the pause's beginning: a hint does not overrule `Retry-After`

    @property
    def _beginning(self) -> float:
        """When the pause began, on the loop's clock: at the first look, as a wait may be made before its loop runs."""
        if self._began is None:
            self._began = anyio.current_time()
        return self._began

    @property
    def due(self) -> float:
        """When the next call is to be made, on the loop's clock (seconds)."""
        pause = self._pause
        if self._hinted:
            pause = min(pause, max(self._policy.failure_interval - self._unasked, self._asked_to_wait))
        return self._beginning + pause

    def hear(self, _: Hint, /) -> bool:
        """Take a hint that something happened to the order: the next call is due, unless one was made just now."""
        self._hinted = True
        if self._woken is not None:
            self._woken.set()
        return True

    async def rest(self, until: float) -> bool:
        """Sleep until a time on the loop's clock; return False if a hint came first, so that `due` may have moved."""
        self._woken = anyio.Event()
        with anyio.move_on_at(until):
            await self._woken.wait()
            return False
        return True

    def asked_within(self, seconds: float) -> bool:
        """Say whether the order was asked for in the last so many seconds."""
        return self._unasked + anyio.current_time() - self._beginning < seconds

    async def ask(self) -> PollUpdate:
        """Make the call that is due and return what it brought. Raises what ends the wait."""
        collect = self.state.collecting
        if self._hinted:  # taken before the call: a hint that comes meanwhile may know more than its answer
            self._hinted, self._repeats = False, REPEATS
        response: CollectSSLResponse | None = None
        problem: CollectSSLError | None = None
        try:
            response = await self._ask(self.state.order, collect=collect)
        except CollectSSLError as error:
            if not self._goes_on_after(error):
                raise
            problem = error
        now, chance = datetime.now(UTC), random.random()  # noqa: S311 - jitter
        retry_after = problem.retry_after if isinstance(problem, ServerUnavailableError) else None
        if response is not None and (collect or response.payload is not None):
            attached = response.payload is not None
            self.state = self.state.after_collection(self._policy, now, chance, attached=attached)
        elif response is not None:
            self.state = self.state.after_status(response.status, self._policy, now, chance)
        elif problem is not None and self._policy.is_not_yet(problem):
            self.state = self.state.after_not_yet(self._policy, now, chance)
        else:
            self.state = self.state.after_failure(self._policy, now, chance, retry_after=retry_after)
        self._asked_to_wait = min(retry_after or 0.0, self._policy.max_interval)
        self._repeat_soon(response, now, chance)
        self._began, self._pause, self._unasked = anyio.current_time(), self.state.pause(self._policy, now), 0.0
        self._log(problem)
        return PollUpdate(self.state, response, problem)

    def _repeat_soon(self, response: CollectSSLResponse | None, now: datetime, chance: float) -> None:
        """Ask again soon where a hint was ahead of the API."""
        if response is None or response.status is not StatusCode.PROCESSING or not self._repeats:
            return
        delay = self._policy.delay_after_failure(REPEATS - self._repeats + 1, chance)
        self._repeats -= 1
        soon = min(self.state.next_poll_at, now + timedelta(seconds=delay))
        self.state = self.state.model_copy(update={"next_poll_at": soon})

    def _goes_on_after(self, error: CollectSSLError) -> bool:
        if self._policy.is_not_yet(error):
            return True
        return self._policy.waits_out(error) and self.state.failures + 1 < self._policy.max_failures

    def _log(self, problem: CollectSSLError | None) -> None:
        state = self.state
        if problem is not None:
            logger.warning("order %s: %s; asked again in %.0f s", state.order, problem, self._pause)
        else:
            logger.info("order %s: status %s after %d polls", state.order, state.last_status, state.polls)


class Replies:
    """The iterator that `poll` returns. No generator: one that is left half-way has nothing to clean up."""

    def __init__(self, wait: Wait) -> None:
        self._wait = wait
        self._ended = False

    def __aiter__(self) -> Self:
        return self

    async def aclose(self) -> None:
        """End the iteration, as `contextlib.aclosing` does on leaving."""
        self._ended = True

    async def __anext__(self) -> CollectSSLResponse:
        while not self._ended:
            await anyio.sleep_until(self._wait.due)
            try:
                update = await self._wait.ask()
            except CollectSSLError:
                self._ended = True
                raise
            if update.response is not None:
                self._ended = update.response.payload is not None
                return update.response
        raise StopAsyncIteration
