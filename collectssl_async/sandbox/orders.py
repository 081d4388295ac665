"""One order: what it is for, how it moves from processing to issued, and how it stands when somebody asks.

How that is written into a reply is `replies.py`'s business; finding an order is the order book's.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import Enum
from typing import TYPE_CHECKING

from ..models import CAAState, CertificateState, Period
from . import steps
from .authority import LEAF_DAYS, names_in, new_private_key, product_term, read_csr

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Iterator

    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes

    from .authority import Authority


class OrderState(Enum):
    """What keeps an order from its certificate, with the error code that says so."""

    OPEN = None
    REJECTED = -20
    REVOKED = -21
    AWAITING_PAYMENT = -22


@dataclass(slots=True)
class Issue:
    """One certificate of an order: the first one, or a reissue."""

    certificate_id: int
    public_key: CertificatePublicKeyTypes
    placed_at: float
    polls: int = 0
    replaced: bool = False
    certificate: x509.Certificate | None = None


@dataclass(frozen=True, slots=True)
class OrderView:
    """How one certificate of an order stands at one moment; texts as they are sent, steps by wire name."""

    certificate: x509.Certificate | None
    fqdn: str
    domains: tuple[tuple[str, str], ...]
    certificate_status: str
    validation_status: str
    caa_status: str
    steps: dict[str, int]
    validity: Period
    product_term: Period
    qualifiable: bool


@dataclass(slots=True)
class _Shown:
    """Texts set by hand, None where the order says it itself."""

    certificate_status: str | None = None
    validation_status: str | None = None
    caa_status: str | None = None


@dataclass(frozen=True, slots=True)
class Movement:
    """When an order is issued: after seconds, after polls that were told "not yet", or (both None) by hand."""

    after: float | None
    after_polls: int | None

    def progress(self, elapsed: float, polls: int) -> float:
        """Return how far an order is, from 0 to 1, which is issued."""
        shares = []
        if self.after is not None:
            shares.append(1.0 if elapsed >= self.after else elapsed / self.after)
        if self.after_polls is not None:
            shares.append(1.0 if polls >= self.after_polls else polls / self.after_polls)
        return min(shares, default=0.0)


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What all orders of a sandbox share."""

    authority: Authority
    clock: Callable[[], float]
    lock: threading.RLock
    certificate_ids: Iterator[int]
    registry: dict[int, tuple[SandboxOrder, Issue]] = field(default_factory=dict)


class SandboxOrder:
    """An order placed with the sandbox. Made by `Sandbox.place_order`; may be moved from any thread.

    `private_key` is the leaf's key, None where a CSR was handed in, whose key stays with its owner.
    """

    def __init__(
        self,
        fqdn: str,
        names: tuple[str, ...],
        csr: x509.CertificateSigningRequest | bytes | str | None,
        *,
        number: int,
        product: str,
        movement: Movement,
        around: Surroundings,
    ) -> None:
        self.order_number = str(number)
        self.base_order_number = number + BASE_NUMBER_OFFSET
        self.product = product
        self.private_key: ec.EllipticCurvePrivateKey | None = None
        self._movement = movement
        self._around = around
        self._state = OrderState.OPEN
        self._steps: dict[str, int] = {}
        self._shown = _Shown()
        self._day = datetime.now(UTC).date()
        request = None if csr is None else read_csr(csr)
        wanted = names or (() if request is None else names_in(request))
        self.names = tuple(dict.fromkeys((fqdn, *wanted)))
        self._issue = self._new_issue(request)

    def __repr__(self) -> str:
        return f"SandboxOrder({self.order_number!r}, {', '.join(self.names)})"

    @property
    def fqdn(self) -> str:
        """The first name."""
        return self.names[0]

    @property
    def certificate_id(self) -> int:
        """The ID of the newest certificate: `replace` gives a new one."""
        return self._issue.certificate_id

    def issue(self) -> None:
        """Issue the certificate now, whatever the order waits for; steps set by hand before are done."""
        with self._around.lock:
            self._state = OrderState.OPEN
            self._sign(self._issue)

    def reject(self) -> None:
        """Answer -20 from now on."""
        self._set(OrderState.REJECTED)

    def revoke(self) -> None:
        """Answer -21 from now on."""
        self._set(OrderState.REVOKED)

    def await_payment(self) -> None:
        """Answer -22 until `issue()`."""
        self._set(OrderState.AWAITING_PAYMENT)

    def replace(self, csr: x509.CertificateSigningRequest | bytes | str | None = None) -> None:
        """Reissue: the order number stays, `certificate_id` is new, the old certificate is replaced.

        The new one moves as the order was told to, counted from now, and has a new key unless a CSR is handed in.
        """
        with self._around.lock:
            request = None if csr is None else read_csr(csr)
            self._issue.replaced = True
            self._steps.clear()
            self._issue = self._new_issue(request)

    def step(self, name: str, value: int) -> None:
        """Set a validation step, by its wire name or its field in `ValidationSteps`, until the certificate is issued.

        Raises `ValueError` for a step or a value that the reference does not list.
        """
        wire = steps.wire_name(name)
        number = steps.check_value(wire, value)
        if wire in steps.EV_ONLY and self.product != "ev":
            raise ValueError(f"{wire} is sent for EV orders only, this one is {self.product!r}")
        with self._around.lock:
            self._steps[wire] = number

    def show(
        self,
        *,
        certificate_status: str | None = None,
        validation_status: str | None = None,
        caa_status: str | None = None,
    ) -> None:
        """Send these texts, as they are, instead of the order's own; None: the order's own again."""
        with self._around.lock:
            self._shown = _Shown(certificate_status, validation_status, caa_status)

    # --- for the service ---------------------------------------------------------------------------------------------

    @property
    def state(self) -> OrderState:
        """What keeps the order from its certificate."""
        return self._state

    @property
    def newest(self) -> Issue:
        """The certificate that the order number stands for."""
        return self._issue

    def poll(self, issue: Issue) -> OrderView:
        """Return how a certificate stands, and count that somebody asked. Called under the sandbox's lock."""
        elapsed = max(self._around.clock() - issue.placed_at, 0.0)
        progress = self._movement.progress(elapsed, issue.polls)
        issue.polls += 1
        if issue.certificate is None and progress >= 1 and not issue.replaced:
            self._sign(issue)
        return self._view(issue, 1.0 if issue.certificate is not None else min(progress, _ALMOST))

    def _view(self, issue: Issue, progress: float) -> OrderView:
        due = {**steps.at_progress(self.product, progress), **self._steps}
        words = steps.domain_words(self.product, progress, due, self.names)
        issued = issue.certificate is not None
        own = CertificateState.ISSUED if issued else CertificateState.AWAITING_VALIDATION
        caa = CAAState.AUTHORIZED if issued else CAAState.AWAITING_COMPLETION
        term_start, term_end = product_term(self._day)
        return OrderView(
            certificate=issue.certificate,
            fqdn=self.fqdn,
            domains=tuple(zip(self.names, words, strict=True)) if len(self.names) > 1 else (),
            certificate_status=self._shown.certificate_status or own.value,
            validation_status=self._shown.validation_status or steps.validation_text(self.product, due),
            caa_status=self._shown.caa_status or caa.value,
            steps=due,
            validity=_validity(issue.certificate),
            product_term=Period(start=term_start, end=term_end, days=(term_end - term_start).days),
            qualifiable=self._shown.certificate_status is None and not issued,
        )

    def _set(self, state: OrderState) -> None:
        with self._around.lock:
            self._state = state

    def _new_issue(self, request: x509.CertificateSigningRequest | None) -> Issue:
        if request is None:
            self.private_key = new_private_key()
            public_key: CertificatePublicKeyTypes = self.private_key.public_key()
        else:
            self.private_key = None
            public_key = request.public_key()
        issue = Issue(next(self._around.certificate_ids), public_key, self._around.clock())
        self._around.registry[issue.certificate_id] = (self, issue)
        return issue

    def _sign(self, issue: Issue) -> None:
        self._steps.clear()
        if issue.certificate is None:
            issue.certificate = self._around.authority.issue(self.names, issue.public_key, product=self.product)


BASE_NUMBER_OFFSET = 30_000_000
"""What lies between an order number and its base order number: one mistaken for the other finds nothing."""

_ALMOST = 1 - 1e-9  # a replaced certificate that was never issued stays short of it


def _validity(certificate: x509.Certificate | None) -> Period:
    if certificate is None:
        return Period(days=LEAF_DAYS)
    start, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    return Period(start=start, end=end, days=(end - start).days)
