"""Notifications: what is sent when something happens to an order, and when."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from cryptography import x509

from collectssl_async.sandbox import Sandbox
from collectssl_async.sandbox.events import CERTIFICATE_EVENTS, REVOCATION_REASONS, STEP_EVENTS

from .calling import Clock, wait_until
from .receiving import by_hand, push_threads

if TYPE_CHECKING:
    from collections.abc import Callable

    from collectssl_async.sandbox import SandboxOrder

    from .receiving import Partner

# --- what is sent -----------------------------------------------------------------------------------------------------


def test_an_issued_certificate_is_announced_by_get(partner: Partner) -> None:
    sandbox = Sandbox(push_url=partner.url)
    order = sandbox.place_order("a.example", issue_after=None)
    order.issue()
    dcv, issued = partner.take(), partner.take()
    number, certificate = order.order_number, str(order.certificate_id)
    assert dcv == ("GET", {"orderNumber": number, "certificateID": certificate, "eventType": "DCV"}, {}, None)
    assert (issued.method, issued.form) == ("GET", {})
    assert issued.query == {
        "orderNumber": number,
        "certificateID": certificate,
        "eventType": "Certificate",
        "status": "issued",
        "statusCode": "9",
        "statusDesc": "Issued but not yet collected",
    }


def test_a_certificate_that_is_pushed_comes_by_post_as_pem(partner: Partner) -> None:
    sandbox, order = by_hand(partner, push_certificates=True)
    order.step("dcv", 1)
    assert (dcv := partner.take()).method == "POST"
    assert "certificate" not in dcv.form
    order.issue()
    received = [partner.take() for _ in range(4)][-1]
    assert (received.method, received.query, received.form["statusCode"]) == ("POST", {}, "6")
    leaf = x509.load_pem_x509_certificate(received.form["certificate"].encode())
    cas = x509.load_pem_x509_certificates(received.form["caCertificate"].encode())
    assert (leaf.issuer, tuple(cas)) == (sandbox.authority.issuing_ca.subject, sandbox.authority.chain)


def twice(move: Callable[[], object]) -> None:
    move()
    move()


def validate_all(order: SandboxOrder) -> None:
    for name in order.names:
        order.validate(name)


HAPPENINGS: dict[str, tuple[Callable[[SandboxOrder], object], list[str]]] = {
    "reject": (lambda order: order.reject(), ["Certificate 7"]),
    "revoke before it is issued": (lambda order: order.revoke(), ["Certificate 8"]),
    "replace": (lambda order: order.replace(), ["Certificate 14"]),
    "payment is no event": (lambda order: order.await_payment(), []),
    "issue": (lambda order: order.issue(), ["DCV", "OV", "CallBack 12", "EV", "Certificate 9"]),
    "issue twice": (lambda order: twice(order.issue), ["DCV", "OV", "CallBack 12", "EV", "Certificate 9"]),
    "a step twice": (lambda order: twice(lambda: order.step("dcv", 1)), ["DCV"]),
    "the click-through": (lambda order: order.step("ev_click_through", 2), ["EVClickThrough 12"]),
    "the brand": (lambda order: order.step("brand_validation", 2), ["Certificate 12"]),
    "all domains": (validate_all, ["DCV"]),
    "a domain's brand": (lambda order: order.validate("b.example", "AWAITINGBRAND"), ["Certificate 12"]),
}


@pytest.mark.parametrize("what", HAPPENINGS)
def test_what_happens_is_announced(partner: Partner, what: str) -> None:
    sandbox, order = by_hand(partner)
    move, events = HAPPENINGS[what]
    move(order)
    assert partner.events(len(events)) == events
    assert [each.order for each in sandbox.notifications] == [order.order_number] * len(events)


@pytest.mark.parametrize(("step", "value"), STEP_EVENTS)
def test_every_step_that_is_announced_says_what_the_table_says(partner: Partner, step: str, value: int) -> None:
    _, order = by_hand(partner)
    order.step(step, value)
    event = STEP_EVENTS[step, value]
    received = partner.take().query
    assert received["eventType"] == event.type
    assert (received.get("status", ""), received.get("statusDesc", "")) == (event.status, event.description)


@pytest.mark.parametrize("code", CERTIFICATE_EVENTS)
def test_every_status_code_can_be_sent_by_hand(partner: Partner, code: int) -> None:
    _, order = by_hand(partner)
    order.notify(code)
    event, received = CERTIFICATE_EVENTS[code], partner.take().query
    assert (received["statusCode"], received["eventType"]) == (str(code), "Certificate")
    assert (received["status"], received["statusDesc"]) == (event.status, event.description)


def test_an_undocumented_status_code_is_refused(partner: Partner) -> None:
    _, order = by_hand(partner)
    with pytest.raises(ValueError, match="status_code must be one of 3, 5, 6"):
        order.notify(4)


@pytest.mark.parametrize("reason", REVOCATION_REASONS)
def test_a_revocation_is_announced_before_it_is_told(partner: Partner, reason: int) -> None:
    _, order = by_hand(partner)
    order.issue()
    partner.events(5)
    order.revoke(reason)
    before, revoked = partner.take(), partner.take()
    because = {"revocationReasonCode": str(reason), "revocationReasonName": REVOCATION_REASONS[reason]}
    assert (before.method, before.form["eventType"]) == ("POST", "PreRevocationNotification")
    assert (revoked.method, revoked.query["statusCode"]) == ("GET", "8")
    assert because.items() <= before.form.items()
    assert because.items() <= revoked.query.items()


def test_a_reason_that_no_certificate_is_revoked_for_is_refused(partner: Partner) -> None:
    _, order = by_hand(partner)
    with pytest.raises(ValueError, match="reason must be one of 0, 1, 3"):
        order.revoke(2)


def test_domains_that_were_removed_are_named_when_it_is_issued(partner: Partner) -> None:
    sandbox = Sandbox(push_url=partner.url)
    order = sandbox.place_order("a.example", names=["b.example", "c.example", "d.example"], issue_after=None)
    order.remove("b.example")
    order.remove("d.example")
    order.issue()
    assert [partner.take().query.get("removedDomains") for _ in range(2)] == [None, "b.example,d.example"]


def test_a_reissue_announces_the_old_certificate_and_the_new_one(partner: Partner) -> None:
    sandbox = Sandbox(push_url=partner.url)
    order = sandbox.place_order("a.example")
    old = str(order.certificate_id)
    order.replace()
    received = [partner.take().query for _ in range(5)]
    assert [(each["eventType"], each.get("statusCode"), each["certificateID"] == old) for each in received] == [
        ("DCV", None, True),
        ("Certificate", "9", True),
        ("Certificate", "14", True),
        ("DCV", None, False),
        ("Certificate", "9", False),
    ]


# --- when -------------------------------------------------------------------------------------------------------------


def test_an_order_that_moves_by_time_is_announced_without_a_poll(partner: Partner) -> None:
    sandbox = Sandbox(push_url=partner.url)
    order = sandbox.place_order("a.example", product="ov", issue_after=0.06)
    assert partner.events(4) == ["DCV", "OV", "CallBack 12", "Certificate 9"]
    assert order.newest.certificate is not None
    assert sandbox.calls == []


def test_orders_are_announced_in_the_order_of_their_times(partner: Partner) -> None:
    sandbox = Sandbox(push_url=partner.url)
    late, soon = (sandbox.place_order("a.example", issue_after=seconds) for seconds in (0.08, 0.02))
    issued = [received for received in (partner.take().query for _ in range(4)) if "status" in received]
    assert [each["orderNumber"] for each in issued] == [soon.order_number, late.order_number]


def test_an_order_that_is_not_paid_is_not_announced_when_its_time_has_come(partner: Partner) -> None:
    sandbox = Sandbox(push_url=partner.url)
    order = sandbox.place_order("a.example", issue_after=0.02)
    order.await_payment()
    wait_until(lambda: not push_threads())
    assert sandbox.notifications == []


def test_by_a_clock_of_its_own_an_order_is_announced_when_it_is_polled(partner: Partner) -> None:
    clock = Clock()
    sandbox = Sandbox(push_url=partner.url, clock=clock)
    order = sandbox.place_order("a.example", issue_after=60)
    assert not push_threads()
    clock.now += 60
    order.poll(order.newest)
    assert partner.events(2) == ["DCV", "Certificate 9"]


def test_an_order_that_moves_by_polls_is_announced_step_by_step(partner: Partner) -> None:
    sandbox = Sandbox(push_url=partner.url)
    order = sandbox.place_order("a.example", product="ov", issue_after=None, issue_after_polls=3)
    for _ in range(2):
        order.poll(order.newest)
    assert partner.nothing_more()
    order.poll(order.newest)
    assert partner.events(1) == ["DCV"]
    order.poll(order.newest)
    assert partner.events(3) == ["OV", "CallBack 12", "Certificate 9"]


def test_a_replaced_certificate_that_was_never_issued_is_not_announced(partner: Partner) -> None:
    sandbox = Sandbox(push_url=partner.url)
    order = sandbox.place_order("a.example", issue_after=None)
    old = order.newest
    order.replace()
    partner.events(1)
    order.poll(old)
    assert [each.event for each in sandbox.notifications] == ["Certificate"]
