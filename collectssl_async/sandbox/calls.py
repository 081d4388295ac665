"""The log of calls and the overlap rule: which call is in work, and who came meanwhile.

A call is in work from its headers to its last byte, and, if its caller left before that, `linger` seconds more: a
service does not notice at once that nobody waits for the answer. What is answered is decided elsewhere.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable


@dataclass(slots=True, eq=False)
class SandboxCall:
    """One call to the endpoint. Times are the sandbox's clock's.

    `end` is None while the call is in work, and in the future while an abandoned one lingers; `order` is the order
    number (or what else was sent to name it); `overlapped` says that the call was refused because another one,
    `during`, was in work; `answer` is a status or error code, an HTTP status, or the name of a fault, None for a call
    that was `abandoned` before it had one.
    """

    number: int
    start: float
    end: float | None = None
    order: str | None = None
    overlapped: bool = False
    during: SandboxCall | None = field(default=None, repr=False)
    answer: int | str | None = None
    abandoned: bool = False


class CallLog:
    """Every call since the last reset, and the one that is in work."""

    def __init__(self, clock: Callable[[], float], lock: threading.RLock) -> None:
        self._clock = clock
        self._lock = lock
        self._calls: list[SandboxCall] = []
        self._in_work: SandboxCall | None = None
        self.overlaps = 0

    @property
    def calls(self) -> list[SandboxCall]:
        """The calls in the order in which they came."""
        with self._lock:
            return list(self._calls)

    def begin(self) -> SandboxCall:
        """Write down a call that begins, and whether it overlaps one that is in work."""
        with self._lock:
            now = self._clock()
            call = SandboxCall(number=len(self._calls) + 1, start=now)
            self._calls.append(call)
            other = self._in_work
            if other is not None and (other.end is None or now < other.end):
                call.overlapped, call.during = True, other
                self.overlaps += 1
            else:
                self._in_work = call
            return call

    def end(self, call: SandboxCall, *, abandoned: bool, linger: float) -> None:
        """Write down that a call ended; one that was in work and abandoned stays in work for `linger` seconds."""
        with self._lock:
            call.abandoned = abandoned
            call.end = self._clock() + (linger if abandoned and not call.overlapped else 0)
