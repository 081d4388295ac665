"""The sandbox at one moment, as JSON: its orders, its calls, its settings, and all that the status page shows.

Looking changes nothing: no poll is counted. What is answered to whom is `management.py`'s business.
"""

from __future__ import annotations

from http.client import responses
from itertools import groupby
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from ..errors import API_ERRORS
from ..models import StatusCode, StepStatus
from .faults import FAULTS
from .orders import OrderState
from .steps import PATHS
from .variations import STRICT, SWITCHES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from contextlib import AbstractContextManager
    from pathlib import Path

    from .calls import SandboxCall
    from .faults import Fault
    from .orders import SandboxOrder
    from .sandbox import Sandbox

ORDERS_SHOWN = 50
ANSWERS_SHOWN = 20
CALLS_SHOWN = 400
MINUTE = 60.0
"""What the page shows: the newest orders, the last answers, the calls of a minute (seconds), and no more than these."""

_NOT_DUE = StepStatus.NOT_REQUIRED
_TEXT_MAX = 64  # a caller may send anything as an order number

_STATUS_TEXTS = {
    StatusCode.PROCESSING: "being processed",
    StatusCode.AVAILABLE: "issued, not asked for",
    StatusCode.ATTACHED: "certificate sent",
}


class Server(Protocol):
    """What is shown of the server."""

    @property
    def endpoint(self) -> str:
        """The URL to call."""
        ...

    @property
    def ca_file(self) -> Path:
        """The root to trust."""
        ...


class Insides(NamedTuple):
    """What the sandbox and its service keep for themselves, and only its own views and commands touch."""

    lock: AbstractContextManager[object]
    clock: Callable[[], float]
    orders: dict[str, SandboxOrder]
    calls: list[SandboxCall]
    faults: Iterable[Fault]

    @classmethod
    def of(cls, sandbox: Sandbox) -> Insides:
        """Return them as they are now; a reset replaces most."""
        service = sandbox.service
        return cls(
            lock=sandbox._lock,  # noqa: SLF001 - one package, one lock
            clock=sandbox._clock,  # noqa: SLF001 - calls' times are this clock's
            orders=service.book._orders,  # noqa: SLF001 - the book only finds what a request names
            calls=service.log._calls,  # noqa: SLF001 - the log never forgets
            faults=service.faults._faults,  # noqa: SLF001 - the queue only shortens
        )


def order_view(sandbox: Sandbox, order: SandboxOrder) -> dict[str, Any]:
    """Return an order as JSON: what it is for, its state, how often it was asked about, and its steps by wire name.

    An order that is rejected, revoked or not paid has no steps: a caller is not told them either.
    """
    with Insides.of(sandbox).lock:
        steps = _steps(order) if order.state is OrderState.OPEN else {}
        due = [name for name in (*PATHS[order.product], *steps) if steps.get(name, _NOT_DUE) != _NOT_DUE]
        open_steps = [name for name in dict.fromkeys(due) if steps[name] != StepStatus.COMPLETED]
        return {
            "order_number": order.order_number,
            "certificate_id": order.certificate_id,
            "base_order_number": order.base_order_number,
            "fqdn": order.fqdn,
            "names": order.names,
            "product": order.product,
            "state": _state(order),
            "polls": order.newest.polls,
            "steps": steps,
            "steps_due": len(set(due)),
            "steps_done": len(set(due)) - len(open_steps),
            "next_step": open_steps[0] if open_steps else None,
        }


def order_views(sandbox: Sandbox, newest: int | None = None) -> list[dict[str, Any]]:
    """Return all orders as JSON, newest first, or only as many."""
    inside = Insides.of(sandbox)
    with inside.lock:
        return [order_view(sandbox, order) for order in list(reversed(inside.orders.values()))[:newest]]


def call_view(call: SandboxCall) -> dict[str, Any]:
    """Return a call as JSON; times are seconds of the sandbox's clock."""
    return {
        "number": call.number,
        "start": call.start,
        "end": call.end,
        "order": call.order and call.order[:_TEXT_MAX],
        "overlapped": call.overlapped,
        "during": call.during and call.during.number,
        "answer": call.answer,
        "meaning": _meaning(call),
        "abandoned": call.abandoned,
    }


def settings(sandbox: Sandbox) -> dict[str, Any]:
    """Return what can be set, as JSON; times are seconds."""
    switches = set(sandbox.switches)
    return {
        "latency": sandbox.latency,
        "jitter": sandbox.jitter,
        "linger": sandbox.linger,
        "retry_after": sandbox.retry_after,
        "strict": switches == STRICT,
        "switches": [name for name in SWITCHES if name in switches],
        "locked": sandbox.locked,
        "seed": sandbox.seed,
    }


def armed_faults(sandbox: Sandbox) -> list[dict[str, Any]]:
    """Return the faults still to come, in their order, as JSON; the same one in a row is counted."""
    inside = Insides.of(sandbox)
    with inside.lock:
        return [{"kind": kind, "times": sum(1 for _ in row)} for kind, row in groupby(inside.faults)]


def whole_state(sandbox: Sandbox, server: Server) -> dict[str, Any]:
    """Return all that the page shows, as of one moment of the sandbox's clock."""
    credentials = sandbox.credentials
    inside = Insides.of(sandbox)
    with inside.lock:
        now = inside.clock()
        recent = [call for call in inside.calls[-CALLS_SHOWN:] if call.end is None or call.end > now - MINUTE]
        answered = [call for call in inside.calls[-CALLS_SHOWN:] if call.answer is not None or call.end is not None]
        return {
            "now": now,
            "server": {
                "endpoint": server.endpoint,
                "ca_file": str(server.ca_file),
                "login_name": credentials.login_name,
                "login_password": credentials.login_password.get_secret_value(),
            },
            "overlaps": sandbox.overlaps,
            "settings": settings(sandbox),
            "faults": armed_faults(sandbox),
            "fault_names": list(FAULTS),
            "orders": order_views(sandbox, ORDERS_SHOWN),
            "orders_placed": len(inside.orders),
            "calls": [call_view(call) for call in recent],
            "calls_made": len(inside.calls),
            "answers": [call_view(call) for call in reversed(answered[-ANSWERS_SHOWN:])],
        }


def forget_calls(sandbox: Sandbox) -> int:
    """Forget all calls but those still in work, which are numbered from 1; return how many were forgotten."""
    inside = Insides.of(sandbox)
    with inside.lock:
        now, before = inside.clock(), len(inside.calls)
        inside.calls[:] = [call for call in inside.calls if call.end is None or call.end > now]
        for number, call in enumerate(inside.calls, start=1):
            call.number = number
        sandbox.service.log.overlaps = sum(call.overlapped for call in inside.calls)
        return before - len(inside.calls)


def _steps(order: SandboxOrder) -> dict[str, int]:
    """Return an open order's steps; one that is due by now is issued by that, as it would be by a poll."""
    issue = order.newest
    steps = order.poll(issue).steps
    issue.polls -= 1  # nobody asked
    return steps


def _state(order: SandboxOrder) -> str:
    if order.state is not OrderState.OPEN:
        return order.state.name.lower()
    return "processing" if order.newest.certificate is None else "issued"


def _meaning(call: SandboxCall) -> str:
    """Return what a call was told, in words."""
    answer = call.answer
    if answer is None:
        return "the caller left" if call.abandoned else "in work"
    if isinstance(answer, str):
        return FAULTS.get(answer, answer)
    if answer in _STATUS_TEXTS:
        return _STATUS_TEXTS[StatusCode(answer)]
    if answer < 0:
        return API_ERRORS[answer].text if answer in API_ERRORS else "an undocumented error"
    return responses.get(answer, "an HTTP status")
