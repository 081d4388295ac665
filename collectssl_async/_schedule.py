"""Who is asked for next: a heap of due times on the loop's clock, and one of those that go first when they are due.

No clock of its own, and nothing of what an order's poll brought.
"""

from __future__ import annotations

import heapq
import itertools
import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ._kept import Key

    _Entry = tuple[float, int, Key]

_SLACK = 64  # entries that have been replaced and still lie in a heap, above which they may be cleared out


class Schedule:
    """When each order is due, in seconds on the loop's clock. An order is in it once.

    Its latest entry counts; those replaced stay in their heap until they come to its top, or outnumber the others.
    """

    def __init__(self) -> None:
        self._entries: dict[Key, _Entry] = {}
        self._ordinary: list[_Entry] = []
        self._urgent: list[_Entry] = []
        self._numbers = itertools.count()

    def put(self, key: Key, due: float, *, urgent: bool = False) -> None:
        """Have the order due then, whatever was planned for it. Of those that are due the urgent ones go first."""
        self._entries[key] = entry = (due, next(self._numbers), key)
        heap = self._urgent if urgent else self._ordinary
        heapq.heappush(heap, entry)
        if len(heap) > 2 * len(self._entries) + _SLACK:
            heap[:] = [each for each in heap if self._entries.get(each[2]) is each]
            heapq.heapify(heap)

    def remove(self, key: Key) -> None:
        """Forget an order."""
        self._entries.pop(key, None)

    def due(self, key: Key) -> float:
        """Return when the order is due."""
        return self._entries[key][0]

    def first(self, now: float) -> Key | None:
        """Return the order that is to be asked for now, None where none is due. It stays where it is."""
        for heap in (self._urgent, self._ordinary):
            entry = self._top(heap)
            if entry is not None and entry[0] <= now:
                return entry[2]
        return None

    def next_due(self) -> float:
        """Return when the next order is due; infinity without any."""
        return min(
            (entry[0] for heap in (self._urgent, self._ordinary) if (entry := self._top(heap))), default=math.inf
        )

    def _top(self, heap: list[_Entry]) -> _Entry | None:
        while heap:
            if self._entries.get(heap[0][2]) is heap[0]:
                return heap[0]
            heapq.heappop(heap)
        return None
