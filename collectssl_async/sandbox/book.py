"""The book of orders: places them, and finds the one that a request names."""

from __future__ import annotations

import itertools
import math
import re
from typing import TYPE_CHECKING

from ..models import BehaviourVersion
from .movement import Movement
from .orders import BASE_NUMBER_OFFSET, OrderState, SandboxOrder, Surroundings
from .request import refusal
from .steps import PATHS

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Iterable

    from cryptography import x509

    from ..models import CollectSSLRequest
    from .authority import Authority
    from .orders import Issue
    from .push import Outbox

FIRST_ORDER_NUMBER = 41_000_001
FIRST_CERTIFICATE_ID = 97_000_001

_NAME_MAX = 253
_LABEL = r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9])?"
_DNS_NAME = re.compile(rf"(\*\.)?({_LABEL}\.)*{_LABEL}", re.ASCII | re.IGNORECASE)


class OrderBook:
    """Every order since the last reset."""

    def __init__(
        self, authority: Authority, clock: Callable[[], float], lock: threading.RLock, outbox: Outbox | None = None
    ) -> None:
        self._around = Surroundings(authority, clock, lock, itertools.count(FIRST_CERTIFICATE_ID), outbox)
        self._numbers = itertools.count(FIRST_ORDER_NUMBER)
        self._orders: dict[str, SandboxOrder] = {}

    def place(
        self,
        fqdn: str,
        names: Iterable[str],
        csr: x509.CertificateSigningRequest | bytes | str | None,
        *,
        product: str,
        issue_after: float | None,
        issue_after_polls: int | None,
    ) -> SandboxOrder:
        """Place an order; see `Sandbox.place_order`."""
        if isinstance(names, str):
            raise TypeError(f"names is a sequence of names, not the one text {names!r}")
        further = tuple(names)
        for name in (fqdn, *further):
            _check_name(name)
        if product not in PATHS:
            raise ValueError(f"product must be one of {', '.join(map(repr, PATHS))}, not {product!r}")
        if issue_after is not None and not 0 <= issue_after < math.inf:
            raise ValueError(f"issue_after is in seconds, 0 or more, or None for by hand, not {issue_after!r}")
        if issue_after_polls is not None and issue_after_polls < 0:
            raise ValueError(f"issue_after_polls must be 0 or more, not {issue_after_polls!r}")
        with self._around.lock:
            order = SandboxOrder(
                fqdn,
                further,
                csr,
                number=next(self._numbers),
                product=product,
                movement=Movement(issue_after, issue_after_polls),
                around=self._around,
            )
            self._orders[order.order_number] = order
            order.watch()
            return order

    def find(self, request: CollectSSLRequest) -> tuple[SandboxOrder, Issue]:
        """Return the order that every identifier of the request names, and the certificate of it that is meant.

        Raises -4 with the identifier that names nothing, or another order than those before it.
        """
        order: SandboxOrder | None = None
        issue: Issue | None = None
        if request.order_number is not None:
            order = self._orders.get(request.order_number)
            if order is None:
                raise refusal(-4, "orderNumber")
        if request.certificate_id is not None:
            named, issue = self._around.registry.get(request.certificate_id, (None, None))
            if named is None or order not in (None, named):
                raise refusal(-4, "certificateID")
            order = named
        if request.base_order_number is not None:
            named = self._orders.get(str(request.base_order_number - BASE_NUMBER_OFFSET))
            if named is None or order not in (None, named):
                raise refusal(-4, "baseOrderNumber")
            order = named
        assert order is not None  # noqa: S101 - the request was checked to name one
        return order, issue or order.newest


def check_state(order: SandboxOrder, issue: Issue, request: CollectSSLRequest) -> None:
    """Raise what keeps the order from its certificate: -20, -21, -22, and -23 for who asked to be told of that."""
    if order.state is not OrderState.OPEN:
        raise refusal(order.state.value)
    if issue.replaced and request.behaviour_version is BehaviourVersion.NEW:
        raise refusal(-23)


def _check_name(name: str) -> None:
    if len(name) > _NAME_MAX or not _DNS_NAME.fullmatch(name):
        raise ValueError(f"{name!r} is no DNS name: letters, digits, hyphens, dots, an IDN in its xn-- form")
