"""Hints that something happened to an order: who waits for which, and which came before anybody waited.

A hint is never more than that. Where hints come from is `push.py`'s business, what is made of them the waits'.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, NamedTuple, Protocol

import anyio

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .models import OrderRef

KEPT = 10_000
"""How many hints are kept that nobody waited for; the oldest give way."""

KEPT_FOR = 24 * 3600.0
"""Seconds for which they are kept."""


class Hint(NamedTuple):
    """What a notification named: an order number, a certificate ID, or both."""

    order_number: str | None
    certificate_id: int | None

    @classmethod
    def of(cls, order: OrderRef) -> Hint:
        """Return the names of an order that a notification may use."""
        return cls(order.order_number, order.certificate_id)

    def names(self, order: OrderRef) -> bool:
        """Say whether this is about an order: one name in common suffices."""
        return any(mine is not None and mine == theirs for mine, theirs in zip(self, Hint.of(order), strict=True))


class Heard(Protocol):
    """What a listener is called with; it must not block, and returns whether it waits for the order named."""

    def __call__(self, hint: Hint, /) -> bool:
        """Take note of a hint."""
        ...


class Hints(Protocol):
    """Where waits learn that an order moved. Belongs to one event loop."""

    def listen(self, heard: Heard, order: OrderRef | None = None) -> Callable[[], None]:
        """Tell `heard` of every hint from now on, or of those that name `order`; return what ends it.

        Hints that were kept are told at once. One that a listener waited for is not kept any longer.
        """
        ...

    def recall(self, order: OrderRef) -> bool:
        """Say whether a hint was kept for an order, and forget it."""
        ...


class HintBoard:
    """The hints that `Hints` promises, bounded in number and age. Times are the loop's own."""

    def __init__(self) -> None:
        self._kept: OrderedDict[Hint, float] = OrderedDict()
        self._to_all: dict[Heard, None] = {}
        # By each of the names that a hint may use: five hundred waits must not all be asked whose the hint is.
        self._to_order: dict[str | int, dict[Heard, None]] = {}

    def post(self, hint: Hint) -> None:
        """Tell whoever waits for the order, or keep the hint for whoever will."""
        listeners = dict(self._to_all)
        for name in hint:
            if name is not None:
                listeners |= self._to_order.get(name, {})
        waited_for = False
        for heard in listeners:
            waited_for = heard(hint) or waited_for
        if waited_for:
            self._kept.pop(hint, None)
            return
        self._kept[hint] = anyio.current_time()
        self._kept.move_to_end(hint)
        self._forget_old()
        while len(self._kept) > KEPT:
            self._kept.popitem(last=False)

    def listen(self, heard: Heard, order: OrderRef | None = None) -> Callable[[], None]:
        """Tell `heard` of hints; see `Hints.listen`."""
        places = [self._to_all] if order is None else [self._to_order.setdefault(name, {}) for name in _names(order)]
        for place in places:
            place[heard] = None
        self._forget_old()
        for hint in [hint for hint in self._kept if order is None or hint.names(order)]:
            if heard(hint):
                self._kept.pop(hint, None)

        def end() -> None:
            for place in places:
                place.pop(heard, None)
            if order is not None:
                for name in _names(order):
                    if not self._to_order.get(name, True):
                        del self._to_order[name]

        return end

    def recall(self, order: OrderRef) -> bool:
        """Say whether a hint was kept for an order, and forget it."""
        self._forget_old()
        found = [hint for hint in self._kept if hint.names(order)]
        for hint in found:
            del self._kept[hint]
        return bool(found)

    def move_to_another_loop(self) -> None:
        """Keep the hints, but not those who listened: the loop that they lived on is closed.

        Its clock cannot be compared with that of the next one: the hints' ages begin anew.
        """
        self._to_all.clear()
        self._to_order.clear()
        self._kept = OrderedDict.fromkeys(self._kept, anyio.current_time())

    def _forget_old(self) -> None:
        oldest = anyio.current_time() - KEPT_FOR
        while self._kept and next(iter(self._kept.values())) < oldest:
            self._kept.popitem(last=False)


def _names(order: OrderRef) -> Iterator[str | int]:
    return (name for name in Hint.of(order) if name is not None)
