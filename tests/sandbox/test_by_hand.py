"""What a person sets about an order: steps, domains, texts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from .calling import dns_names

if TYPE_CHECKING:
    from collections.abc import Callable

    from collectssl_async.sandbox import Sandbox, SandboxOrder

    from .calling import Caller


def test_a_step_is_set_by_either_of_its_names(caller: Caller, sandbox: Sandbox) -> None:
    order = sandbox.place_order("shop.example.com", issue_after=None)
    order.step("dcvStatus", 2)
    order.step("enterprise_authentication", 3)
    lines = caller.lines(order, showStatusDetails="Y")
    assert {"dcvStatus=2", "maStatus=3"} <= set(lines)


def test_steps_set_by_hand_are_done_once_the_certificate_is_issued(caller: Caller, sandbox: Sandbox) -> None:
    order = sandbox.place_order("shop.example.com", issue_after=None)
    order.step("dcv", 0)
    order.issue()
    assert "dcvStatus=1" in caller.lines(order, showStatusDetails="Y")


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("brandValStatus", 0, "brandValStatus cannot be 0: the reference lists -1, 1, 2"),
        ("evLegalExistence", 2, "evLegalExistence cannot be 2: the reference lists -1, 0, 1"),
        ("dcvStatus", 3, "dcvStatus cannot be 3"),
        ("nonsense", 1, "'nonsense' is no validation step"),
    ],
)
def test_a_step_that_the_reference_does_not_list_is_refused(sandbox: Sandbox, name: str, value: int, says: str) -> None:
    order = sandbox.place_order("shop.example.com", product="ev", issue_after=None)
    with pytest.raises(ValueError, match=says):
        order.step(name, value)


def test_a_step_of_ev_orders_is_refused_to_others(sandbox: Sandbox) -> None:
    with pytest.raises(ValueError, match="EV orders only"):
        sandbox.place_order("shop.example.com").step("evLegalExistence", 1)


def domains(caller: Caller, order: SandboxOrder) -> tuple[str, str]:
    """What the second list says, and the DCV step."""
    lines = caller.lines(order, showMDCDomainDetails2="Y", showStatusDetails="Y")
    return lines[1], lines[3]


def test_domains_are_validated_one_by_one_by_hand(caller: Caller, sandbox: Sandbox) -> None:
    order = sandbox.place_order("a.example", names=["b.example"], issue_after=None)
    seen = [domains(caller, order)]
    order.validate("b.example")
    seen.append(domains(caller, order))
    order.validate("a.example")
    seen.append(domains(caller, order))
    order.validate("b.example", "NOTVALIDATED")
    seen.append(domains(caller, order))
    assert seen == [
        ("a.example NOTVALIDATED, b.example NOTVALIDATED", "dcvStatus=0"),
        ("a.example NOTVALIDATED, b.example VALIDATED", "dcvStatus=2"),
        ("a.example VALIDATED, b.example VALIDATED", "dcvStatus=1"),
        ("a.example VALIDATED, b.example NOTVALIDATED", "dcvStatus=2"),
    ]


def test_a_domain_that_awaits_its_brand_makes_the_order_wait_for_it(caller: Caller, sandbox: Sandbox) -> None:
    order = sandbox.place_order("a.example", names=["b.example"], issue_after=None)
    order.validate("b.example", "AWAITINGBRAND")
    lines = caller.lines(order, showExtStatus="Y", showMDCDomainDetails="Y", showMDCDomainDetails2="Y")
    assert lines[2:] == [
        "Awaiting Brand Validation",
        "a.example NOTVALIDATED",
        "a.example NOTVALIDATED, b.example AWAITINGBRAND",
    ]
    assert "brandValStatus=2" in caller.lines(order, showStatusDetails="Y")


def test_a_step_set_by_hand_counts_more_than_the_domains(caller: Caller, sandbox: Sandbox) -> None:
    order = sandbox.place_order("a.example", names=["b.example"], issue_after=None)
    order.step("dcv", 0)
    order.validate("a.example")
    assert domains(caller, order) == ("a.example VALIDATED, b.example NOTVALIDATED", "dcvStatus=0")


def test_domains_set_by_hand_are_forgotten_by_a_reissue(caller: Caller, sandbox: Sandbox) -> None:
    order = sandbox.place_order("a.example", names=["b.example"], issue_after=None)
    order.validate("a.example")
    order.replace()
    assert domains(caller, order) == ("a.example NOTVALIDATED, b.example NOTVALIDATED", "dcvStatus=0")


def test_a_domain_that_was_removed_is_not_certified(caller: Caller, sandbox: Sandbox) -> None:
    order = sandbox.place_order("a.example", names=["b.example", "c.example"], issue_after=None)
    order.remove("b.example")
    order.issue()
    assert dns_names(caller.leaf(order)) == ["a.example", "c.example"]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda order: order.validate("c.example"), "'c.example' is not a domain of this order: it has a.example"),
        (lambda order: order.validate("a.example", "validated"), "'validated' is no domain's status"),
        (lambda order: order.remove("c.example"), "not a domain of this order"),
        (lambda order: order.remove("a.example"), "'a.example' stays"),
        (lambda order: (order.issue(), order.remove("b.example")), "'b.example' stays"),
    ],
)
def test_domains_that_cannot_be_changed_so_are_refused(
    sandbox: Sandbox, change: Callable[[SandboxOrder], object], says: str
) -> None:
    order = sandbox.place_order("a.example", names=["b.example"], issue_after=None)
    with pytest.raises(ValueError, match=says):
        change(order)


def test_a_text_that_cannot_be_sent_is_refused(caller: Caller, sandbox: Sandbox) -> None:
    order = sandbox.place_order("shop.example.com")
    with pytest.raises(ValueError, match="windows-1252"):
        order.show(caa_status="Ж")
    order.show(certificate_status="“Odd”")
    assert caller.status(order, showExtStatus="Y") == 1


def test_texts_set_by_hand_are_sent_as_they_are(caller: Caller, sandbox: Sandbox) -> None:
    order = sandbox.place_order("shop.example.com")
    order.show(certificate_status="Revoked", validation_status="Odd & new", caa_status="Error 403")
    lines = caller.lines(order, showExtStatus="Y", showStatusDetails="Y")
    assert (lines[1:3], lines[-1]) == (["Revoked", "Odd & new"], "caaStatus=Error 403")


def test_texts_set_by_hand_go_away_again(caller: Caller, sandbox: Sandbox) -> None:
    order = sandbox.place_order("shop.example.com")
    order.show(certificate_status="NO STATUS")
    order.show()
    assert caller.lines(order, showExtStatus="Y") == ["1", "Issued", "Complete"]
