"""One order's wait as plain data: what the watcher holds of each of many orders, and what a store keeps of it.

A `PollState` says the same as a model, at five times the memory; it is made where somebody asks for it. How an order's
end becomes text is `_endings.py`.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from .models import OrderRef
from .polling import PollState, is_ready

if TYPE_CHECKING:
    from .models import StatusCode
    from .polling import Step

    Key = str | tuple[str | None, int | None, int | None]
    """An order's identity: its order number, or all three identifiers where it has another one."""


class Kept(NamedTuple):
    """One order's wait. Times are seconds since the epoch, on the wall's clock.

    `ending` is None while the order is waited for; then the text of its certificates or of its error, until the outcome
    was handed over.
    """

    key: Key
    started_at: float
    next_poll_at: float
    last_poll_at: float | None = None
    polls: int = 0
    failures: int = 0
    collections: int = 0
    last_status: StatusCode | None = None
    ending: str | None = None

    @property
    def collecting(self) -> bool:
        """Whether the certificate was said to be there, so that the next call collects it."""
        return is_ready(self.last_status)

    def moved(self, now: float, step: Step) -> Self:
        """Return the wait after a poll at `now` that made this step."""
        changes: dict[str, Any] = {"last_poll_at": now, "next_poll_at": now + step.delay, **step.changes}
        return self._replace(**changes)

    def state(self) -> PollState:
        """Return the same as a model."""
        return PollState(
            order=order_of(self.key),
            started_at=_datetime(self.started_at),
            polls=self.polls,
            failures=self.failures,
            collections=self.collections,
            last_status=self.last_status,
            last_poll_at=None if self.last_poll_at is None else _datetime(self.last_poll_at),
            next_poll_at=_datetime(self.next_poll_at),
        )


def key_of(order: OrderRef) -> Key:
    """Return what is equal for equal orders, and no larger than the identifiers."""
    if order.order_number is not None and order.certificate_id is None and order.base_order_number is None:
        return order.order_number
    return order.order_number, order.certificate_id, order.base_order_number


def order_of(key: Key) -> OrderRef:
    """Return the order again."""
    if isinstance(key, str):
        return OrderRef(order_number=key)
    number, certificate_id, base_number = key
    return OrderRef(order_number=number, certificate_id=certificate_id, base_order_number=base_number)


def _datetime(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
