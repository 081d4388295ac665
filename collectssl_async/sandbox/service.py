"""The service between two resets: what a call is answered. Sans I/O; `app.py` reads, waits and sends.

The checks stand here in the service's order: transport, login, parameters, then the order's state.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

from ..errors import APIError
from .book import OrderBook, check_state
from .calls import CallLog
from .faults import PACE, FaultQueue
from .replies import Reply, carried, error_reply, maintenance_page, order_reply, too_large
from .request import (
    IDENTIFIERS,
    Form,
    check_login_is_there,
    check_parameters,
    check_transport,
    read_form,
    refusal,
)
from .variations import Variations

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Collection

    from .account import Account
    from .authority import Authority
    from .calls import SandboxCall
    from .faults import Fault
    from .push import Outbox


class Incoming(NamedTuple):
    """A request as it came; `body` is None for one that was too long to be read."""

    scheme: str
    method: str
    content_type: str
    body: bytes | None


class Service:
    """The orders, the calls and the faults since the last reset."""

    def __init__(
        self,
        *,
        authority: Authority,
        account: Account,
        seed: int | str,
        switches: Collection[str],
        clock: Callable[[], float],
        lock: threading.RLock,
        outbox: Outbox | None = None,
    ) -> None:
        self._seed = seed
        self.switches = switches
        self.retry_after: float | None = None
        self.book = OrderBook(authority, clock, lock, outbox)
        self.log = CallLog(clock, lock)
        self.faults = FaultQueue()
        self._authority = authority
        self._account = account
        self._lock = lock

    def answer(self, call: SandboxCall, incoming: Incoming) -> Reply:
        """Return the reply to a call, and write down in the call whom it was about and what it was told."""
        vary = Variations(self._seed, call.number, self.switches)
        form = read_form(incoming.content_type, incoming.body or b"")
        with self._lock:
            call.order = next(filter(None, map(form.text, IDENTIFIERS)), None)
            fault = None if call.overlapped else self.faults.next()
            reply = carried(_FAULTY.get(fault) or self._reply(call, incoming, form, fault, vary), vary)
            if fault in _SPOILT:
                reply = replace(reply, answer=fault, **_SPOILT[fault])
            call.answer = reply.answer
        return reply

    def pause(self, call: SandboxCall, latency: float, jitter: float) -> float:
        """Return the seconds that a call takes: the latency, and as much of the jitter as the call has drawn."""
        return latency + jitter * Variations(self._seed, call.number, ()).share("jitter")

    def _reply(self, call: SandboxCall, incoming: Incoming, form: Form, fault: Fault | None, vary: Variations) -> Reply:
        if isinstance(fault, int) and fault > 0:
            return maintenance_page(fault, retry_after=self.retry_after)
        try:
            if call.during is not None:
                raise _overlap(call.during)
            if isinstance(fault, int):
                raise refusal(fault, IDENTIFIERS[0] if fault in (-3, -4) else None)
            if incoming.body is None:
                return too_large()
            return self._order_reply(call, incoming, form, vary)
        except APIError as error:
            return error_reply(error, form.response_format, vary)

    def _order_reply(self, call: SandboxCall, incoming: Incoming, form: Form, vary: Variations) -> Reply:
        check_transport(incoming.scheme, incoming.method)
        check_login_is_there(form)
        self._account.check(form)
        request = check_parameters(form)
        order, issue = self.book.find(request)
        call.order = order.order_number
        check_state(order, issue, request)
        return order_reply(request, order.poll(issue), self._authority.chain, vary)


def _overlap(other: SandboxCall) -> APIError:
    """Return the error that names the call in work: no code is documented for two calls at once."""
    about = f" for order {other.order}" if other.order else ""
    return refusal(-14, note=f"Call {other.number}{about} is still in work.")


_FAULTY: dict[Fault | None, Reply] = {
    "timeout": Reply(hang=True, answer="timeout"),
    "disconnect": Reply(cut=0.0, answer="disconnect"),
    "html": replace(maintenance_page(), answer="html"),
}
"""The faults that need no look at the request."""

_SPOILT: dict[Fault | None, dict[str, Any]] = {
    "truncate": {"cut": 0.5},
    # Without a length the end of the answer could not be told from the cut.
    "hangup": {"cut": 1.0, "chunked": False},
    "slow": {"pace": PACE},
}
"""What the other ones do to the reply that the request gets."""
