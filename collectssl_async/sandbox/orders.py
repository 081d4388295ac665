"""One order: what it is for, how it moves from processing to issued, and how it stands when somebody asks.

How that is written into a reply is `replies.py`'s business; finding an order is the order book's.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import Enum
from typing import TYPE_CHECKING

from ..models import CAAState, CertificateState, Period
from .authority import LEAF_DAYS, names_in, new_private_key, product_term, read_csr
from .events import Announcer, check_reason, check_status_code
from .replies import ENCODING
from .steps import VALIDATED, stages
from .validation import Validation

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Iterator

    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes

    from .authority import Authority
    from .movement import Movement
    from .push import Outbox


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
    announced: dict[str, int] = field(default_factory=dict)


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
class Surroundings:
    """What all orders of a sandbox share."""

    authority: Authority
    clock: Callable[[], float]
    lock: threading.RLock
    certificate_ids: Iterator[int]
    outbox: Outbox | None = None
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
        self._validation = Validation(product)
        self._removed: list[str] = []
        self._announcer = Announcer(self.order_number, around.authority, around.outbox)
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
        """Issue the certificate now, whatever the order waits for; what was set by hand before is done."""
        with self._around.lock:
            self._state = OrderState.OPEN
            self._sign(self._issue)

    def reject(self) -> None:
        """Answer -20 from now on."""
        with self._around.lock:
            self._state = OrderState.REJECTED
            self._announcer.tell(7, self._issue)

    def revoke(self, reason: int = 0) -> None:
        """Answer -21 from now on; `reason` is the code that notifications give. `ValueError` for an unlisted one."""
        check_reason(reason)
        with self._around.lock:
            self._state = OrderState.REVOKED
            self._announcer.revoked(self._issue, reason)

    def await_payment(self) -> None:
        """Answer -22 until `issue()`."""
        with self._around.lock:
            self._state = OrderState.AWAITING_PAYMENT

    def replace(self, csr: x509.CertificateSigningRequest | bytes | str | None = None) -> None:
        """Reissue: the order number stays, `certificate_id` is new, the old certificate is replaced.

        The new one moves as the order was told to, counted from now, and has a new key unless a CSR is handed in.
        """
        with self._around.lock:
            request = None if csr is None else read_csr(csr)
            self._issue.replaced = True
            self._announcer.tell(14, self._issue)
            self._validation.forget()
            self._issue = self._new_issue(request)
            self.watch()

    def step(self, name: str, value: int) -> None:
        """Set a validation step, by its wire name or its field in `ValidationSteps`, until the certificate is issued.

        Raises `ValueError` for a step or a value that the reference does not list.
        """
        with self._around.lock:
            self._validation.set_step(name, value)
            self._announce_steps(self._issue)

    def validate(self, domain: str, status: str = VALIDATED) -> None:
        """Set one domain's DCV status, until the certificate is issued: VALIDATED, NOTVALIDATED or AWAITINGBRAND.

        The DCV step follows from all domains', unless `step` has set it. Raises `ValueError` for a domain that is not
        the order's, or another status.
        """
        with self._around.lock:
            self._check_domain(domain)
            self._validation.set_domain(domain, status)
            self._announce_steps(self._issue)

    def remove(self, domain: str) -> None:
        """Take a domain that cannot be validated out of an order that is not issued yet.

        Raises `ValueError` for a domain that is not the order's, its first one, and once the certificate is issued.
        """
        with self._around.lock:
            self._check_domain(domain)
            if domain == self.fqdn or self._issue.certificate is not None:
                raise ValueError(f"{domain!r} stays: only further names, and before the certificate is issued, can go")
            self.names = tuple(name for name in self.names if name != domain)
            self._removed.append(domain)

    def notify(self, status_code: int) -> None:
        """Send the `Certificate` notification of that status code, whatever the order's state; without push, nothing.

        Raises `ValueError` for a code that is not documented.
        """
        self._announcer.tell(check_status_code(status_code), self._issue)

    def show(
        self,
        *,
        certificate_status: str | None = None,
        validation_status: str | None = None,
        caa_status: str | None = None,
    ) -> None:
        """Send these texts, as they are, instead of the order's own; None: the order's own again.

        Raises `ValueError` for a character that replies cannot hold.
        """
        for text in filter(None, (certificate_status, validation_status, caa_status)):
            try:
                text.encode(ENCODING)
            except UnicodeEncodeError:
                raise ValueError(f"replies are in {ENCODING}, which cannot say {text!r}") from None
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
        reached = self._move(issue)
        issue.polls += 1
        return self._view(issue, reached)

    def watch(self) -> None:
        """Have what happens to the order announced, if somebody wants to know."""
        if self._around.outbox is not None:
            self._around.outbox.watch(self)

    def advance(self) -> float | None:
        """Move the order to where the clock says; return the seconds until it moves again by itself, if it will."""
        issue = self._issue
        if self._state is OrderState.OPEN:
            self._move(issue)
        if issue.certificate is not None:
            return None
        return self._movement.pause(self._elapsed(issue), stages(self.product))

    def _elapsed(self, issue: Issue) -> float:
        return max(self._around.clock() - issue.placed_at, 0.0)

    def _reached(self, issue: Issue) -> float:
        """Return how far a certificate is: 1 only if it is issued."""
        if issue.certificate is not None:
            return 1.0
        return min(self._movement.progress(self._elapsed(issue), issue.polls), _ALMOST)

    def _move(self, issue: Issue) -> float:
        """Issue the certificate if it is due, announce what has happened, and return how far it is."""
        if issue.certificate is None and not issue.replaced:
            if self._movement.progress(self._elapsed(issue), issue.polls) >= 1:
                self._sign(issue)
            else:
                self._announce_steps(issue)
        return self._reached(issue)

    def _announce_steps(self, issue: Issue) -> None:
        self._announcer.steps(issue, self._validation.at(self._reached(issue), self.names))

    def _view(self, issue: Issue, progress: float) -> OrderView:
        standing = self._validation.at(progress, self.names)
        issued = issue.certificate is not None
        own = CertificateState.ISSUED if issued else CertificateState.AWAITING_VALIDATION
        caa = CAAState.AUTHORIZED if issued else CAAState.AWAITING_COMPLETION
        term_start, term_end = product_term(self._day)
        return OrderView(
            certificate=issue.certificate,
            fqdn=self.fqdn,
            domains=standing.domains if len(self.names) > 1 else (),
            certificate_status=self._shown.certificate_status or own.value,
            validation_status=self._shown.validation_status or standing.text,
            caa_status=self._shown.caa_status or caa.value,
            steps=standing.steps,
            validity=_validity(issue.certificate),
            product_term=Period(start=term_start, end=term_end, days=(term_end - term_start).days),
            qualifiable=self._shown.certificate_status is None and not issued,
        )

    def _check_domain(self, domain: str) -> None:
        if domain not in self.names:
            raise ValueError(f"{domain!r} is not a domain of this order: it has {', '.join(self.names)}")

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
        self._validation.forget()
        if issue.certificate is not None:
            return
        self._announcer.steps(issue, self._validation.at(1.0, self.names))
        issue.certificate = self._around.authority.issue(self.names, issue.public_key, product=self.product)
        self._announcer.issued(issue, self._removed)


BASE_NUMBER_OFFSET = 30_000_000
"""What lies between an order number and its base order number: one mistaken for the other finds nothing."""

_ALMOST = 1 - 1e-9  # a replaced certificate that was never issued stays short of it


def _validity(certificate: x509.Certificate | None) -> Period:
    if certificate is None:
        return Period(days=LEAF_DAYS)
    start, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    return Period(start=start, end=end, days=(end - start).days)
