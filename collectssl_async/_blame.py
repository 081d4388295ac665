"""Whose failure a failure is: the order's, the service's, or ours; and how the service has been doing.

The table here says only that; whether a code is waited out at all stands in `errors.API_ERRORS`.
"""

from __future__ import annotations

import math
from enum import Enum, auto
from typing import TYPE_CHECKING, NamedTuple

from .errors import APIError, CollectSSLError, GuardError, MalformedResponseError, TransportError

if TYPE_CHECKING:
    from ._kept import Key


class Blame(Enum):
    """Who has to change for the next call to succeed."""

    ORDER = auto()
    SERVICE = auto()
    US = auto()


_BY_CODE = {
    -1: Blame.US,
    -2: Blame.US,
    -16: Blame.US,
    -17: Blame.US,
    -42: Blame.SERVICE,  # the limit is the account's, whichever order met it
}
"""The codes that say nothing about the order asked for. Reference: "Error codes"."""


def blame_for(error: CollectSSLError) -> Blame:
    """Return whose failure this is."""
    if isinstance(error, APIError):
        return _BY_CODE.get(error.code, Blame.ORDER)
    return Blame.SERVICE if isinstance(error, TransportError | MalformedResponseError | GuardError) else Blame.US


class Failures(NamedTuple):
    """What one order met since it was last answered: how many failures of the service, and the answers before the last.

    `answers` counts those to all orders.
    """

    times: int
    answers: int


class Service:
    """How the service has been doing: how many orders it failed in a row, until when it is left alone, who met that.

    An order whose calls always fail cannot be told from an outage by its failures alone. What tells them apart is that
    other orders are answered in between.
    """

    def __init__(self) -> None:
        self.failures = 0
        self.closed_until = -math.inf
        self._answers = 0
        self._met: dict[Key, Failures] = {}
        self._latest: Key | None = None

    def answered(self, key: Key) -> None:
        """Note an answer about an order, a refusal among them."""
        self.failures = 0
        self._answers += 1
        self._latest = None
        self._met.pop(key, None)

    def failed(self, key: Key) -> tuple[int, bool]:
        """Note a failure. Return how many this order met, and whether another was answered since its last one.

        The same order failing again says nothing new of the service, and must not keep the others out for longer.
        """
        before = self._met.get(key)
        self._met[key] = Failures(1 if before is None else before.times + 1, self._answers)
        self.failures += key != self._latest
        self._latest = key
        return self._met[key].times, before is not None and before.answers < self._answers

    def forget(self, key: Key) -> None:
        """Forget an order that is no longer waited for."""
        self._met.pop(key, None)
