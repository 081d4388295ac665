"""The notifications that Sectigo sends: which there are, and what their fields say.

How they are sent is `push.py`'s business, when something happens the order's. Reference: "Certificate issuance push".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from .authority import pem
from .push import SandboxNotification

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .authority import Authority
    from .orders import Issue
    from .push import Outbox
    from .validation import Standing


class Event(NamedTuple):
    """One kind of notification: its `eventType`, and, where it has them, its status and how that is described.

    `code` None: the certificate's own.
    """

    type: str
    status: str = ""
    description: str = ""
    code: int | None = None


CERTIFICATE_EVENTS: dict[int, Event] = {
    event.code: event
    for event in (
        Event("Certificate", "failed", "PRE-SIGN FAILED: CAA: Not authorized to issue", 3),
        Event("Certificate", "failed", "POST-SIGN FAILED", 5),
        Event("Certificate", "issued", "Valid", 6),
        Event("Certificate", "rejected", "Rejected: the sandbox was told to", 7),
        Event("Certificate", "revoked", "Revoked", 8),
        Event("Certificate", "issued", "Issued but not yet collected", 9),
        Event("Certificate", "awaitingbrandvalidation", "Awaiting Validation (Brand)", 12),
        Event("Certificate", "replaced", "Replaced", 14),
    )
    if event.code is not None
}
"""What happens to a certificate, by `statusCode`."""

PRE_REVOCATION = Event("PreRevocationNotification")
"""Announces a revocation; always sent by POST."""

STEP_EVENTS: dict[tuple[str, int], Event] = {
    ("brandValStatus", 2): CERTIFICATE_EVENTS[12],
    ("dcvStatus", 1): Event("DCV"),
    ("organizationValidationStatus", 1): Event("OV"),
    ("ovCallbackStatus", 1): Event("CallBack", "verified", "Phone number verified"),
    ("evClickThroughStatus", 2): Event("EVClickThrough", "click-through", "EV click-through e-mail sent"),
    ("evSignerSecondApproval", 1): Event("EV"),
}
"""What is sent when a step gets a value. Of these types only `Certificate` and `CallBack` are named in public."""

REVOCATION_REASONS = {
    0: "unspecified",
    1: "keyCompromise",
    3: "affiliationChanged",
    4: "superseded",
    5: "cessationOfOperation",
    9: "privilegeWithdrawn",
}
"""The reasons that a server certificate may be revoked for, by `revocationReasonCode`."""


def check_reason(reason: int) -> None:
    """Raise `ValueError` for a reason that no server certificate is revoked for."""
    if reason not in REVOCATION_REASONS:
        raise ValueError(f"reason must be one of {', '.join(map(str, REVOCATION_REASONS))}, not {reason!r}")


def check_status_code(code: int) -> int:
    """Return the code; raise `ValueError` for one that is not documented."""
    if code not in CERTIFICATE_EVENTS:
        raise ValueError(f"status_code must be one of {', '.join(map(str, CERTIFICATE_EVENTS))}, not {code!r}")
    return code


class Announcer:
    """Says what happens to one order; without an outbox, to nobody. Called under the sandbox's lock."""

    def __init__(self, order_number: str, authority: Authority, outbox: Outbox | None) -> None:
        self._order_number = order_number
        self._authority = authority
        self._outbox = outbox

    def tell(self, code: int, issue: Issue, **further: str) -> None:
        """Send the `Certificate` notification of a status code."""
        self._send(CERTIFICATE_EVENTS[code], issue, **further)

    def steps(self, issue: Issue, standing: Standing) -> None:
        """Send what is to be said of the steps that have changed since the last time."""
        before, issue.announced = issue.announced, standing.steps
        for (name, value), event in STEP_EVENTS.items():
            if standing.steps.get(name) == value != before.get(name):
                self._send(event, issue)

    def issued(self, issue: Issue, removed: Sequence[str]) -> None:
        """Say that the certificate is there: collected, in a way, if it comes with the notification."""
        pushed = self._outbox is not None and self._outbox.certificates
        without = {"removedDomains": ",".join(removed)} if removed else {}
        self.tell(6 if pushed else 9, issue, **without)

    def revoked(self, issue: Issue, reason: int) -> None:
        """Say that a certificate will be revoked, if it is there, and that it was."""
        because = {"revocationReasonCode": str(reason), "revocationReasonName": REVOCATION_REASONS[reason]}
        if issue.certificate is not None:
            self._send(PRE_REVOCATION, issue, **because)
        self.tell(8, issue, **because)

    def _send(self, event: Event, issue: Issue, **further: str) -> None:
        if self._outbox is None:
            return
        fields = {
            "orderNumber": self._order_number,
            "certificateID": str(issue.certificate_id),
            "eventType": event.type,
        }
        if event.status:
            # Of the documented codes 12 is the one that says that a certificate is not issued yet.
            own = 12 if issue.certificate is None else 9
            code = own if event.code is None else event.code
            fields |= {"status": event.status, "statusCode": str(code), "statusDesc": event.description}
        fields |= further
        if self._outbox.certificates and event.status == "issued" and issue.certificate is not None:
            fields |= {"certificate": pem(issue.certificate), "caCertificate": pem(*self._authority.chain)}
        method = "POST" if self._outbox.certificates or event is PRE_REVOCATION else "GET"
        self._outbox.send(SandboxNotification(event.type, self._order_number, fields, method))
