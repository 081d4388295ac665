"""The faults that a test can order for the next calls."""

from __future__ import annotations

from collections import deque
from itertools import repeat
from typing import Literal, TypeAlias

FaultName: TypeAlias = Literal["timeout", "disconnect", "html", "truncate", "hangup", "slow"]
Fault: TypeAlias = FaultName | int
"""A fault by name, an error code of the API (negative), or an HTTP status (300 to 599)."""

FAULTS: dict[str, str] = {
    "timeout": "no answer: the call stays in work until the caller leaves",
    "disconnect": "the connection is cut before the answer",
    "html": "a maintenance page with HTTP status 200",
    "truncate": "the connection is cut in the middle of the answer",
    "hangup": "the connection is cut after the answer",
    "slow": "the answer comes byte by byte, twenty a second",
}
"""The faults that have names, and what each does."""

PACE = 0.05
"""Seconds that each byte of a slow answer takes."""

_LOWEST_CODE = -9999


class FaultQueue:
    """The faults that are still to come, first in, first out."""

    def __init__(self) -> None:
        self._faults: deque[Fault] = deque()

    def add(self, kind: Fault, times: int) -> None:
        """Order a fault for that many calls. Raises `ValueError` for what is no fault."""
        if not _is_fault(kind):
            raise ValueError(
                f"{kind!r} is no fault: use a negative error code, an HTTP status from 300 to 599, or one of "
                + ", ".join(map(repr, FAULTS))
            )
        if times < 1:
            raise ValueError(f"times must be at least 1, not {times!r}")
        self._faults.extend(repeat(kind, times))

    def next(self) -> Fault | None:
        """Take the fault of the call that begins; None if it has none."""
        return self._faults.popleft() if self._faults else None


def _is_fault(kind: object) -> bool:
    if isinstance(kind, int):
        return _LOWEST_CODE <= kind < 0 or 300 <= kind < 600  # noqa: PLR2004 - HTTP statuses that are no success
    return kind in FAULTS
