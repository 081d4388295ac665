"""Fair comparison: all candidates in one run, taking turns, so that a machine whose speed drifts favours none of them.

What is compared is left to the benchmarks, how rows are printed to `__main__.py`.
"""

from __future__ import annotations

import statistics
import time
from collections import deque
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence


class Cost(NamedTuple):
    """Seconds of one operation: by the clock on the wall, and on the processor, in this process alone."""

    wall: float
    cpu: float


class Row(NamedTuple):
    """One line of the table. Seconds; what there is nothing to compare with has no `other`, `beside` and `ratio`.

    `ratio` is the median of the ratios of each round, which drift touches less than the ratio of the medians.
    """

    what: str
    ours: float
    other: str = ""
    beside: float | None = None
    ratio: float | None = None
    target: str = ""


async def cost_of(batch: Callable[[int], Awaitable[object]], times: int) -> Cost:
    """Run a batch of so many operations and return the cost of one."""
    wall, cpu = time.perf_counter(), time.process_time()
    await batch(times)
    return Cost((time.perf_counter() - wall) / times, (time.process_time() - cpu) / times)


async def take_turns(rounds: int, *candidates: Callable[[], Awaitable[Cost]]) -> list[list[Cost]]:
    """Measure every candidate once in each round, after one to warm up. Each round begins with another of them."""
    costs: list[list[Cost]] = [[] for _ in candidates]
    turns = deque(zip(candidates, costs, strict=True))
    for candidate in candidates:
        await candidate()
    for _ in range(rounds):
        for candidate, own in turns:
            own.append(await candidate())
        turns.rotate(-1)
    return costs


def row(
    what: str,
    other: str,
    ours: Sequence[Cost],
    theirs: Sequence[Cost],
    *,
    at_most: float | None = None,
    cpu: bool = False,
) -> Row:
    """Return the line that puts our costs beside another's, round by round; `cpu` for the processor's time."""
    pairs = [(our[cpu], their[cpu]) for our, their in zip(ours, theirs, strict=True)]
    return Row(
        what,
        statistics.median(our for our, _ in pairs),
        other,
        statistics.median(their for _, their in pairs),
        statistics.median(our / their for our, their in pairs),
        "" if at_most is None else f"<= {at_most:.2f}",
    )
