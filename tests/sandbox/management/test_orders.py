"""Orders by the management API: placed, looked at, moved."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from collectssl_async.sandbox.steps import PATHS

from .desk import csr_for

if TYPE_CHECKING:
    from .desk import Desk


def test_an_order_that_was_placed_can_be_collected(desk: Desk) -> None:
    placed = desk.place()
    assert desk.caller.pairs(orderNumber=placed["order_number"])["errorCode"] == ["1"]
    assert desk.caller.pairs(certificateID=placed["certificate_id"])["errorCode"] == ["1"]


def test_placing_an_order_answers_201(desk: Desk) -> None:
    assert desk.http.post("/orders", json={"fqdn": "shop.example.com"}).status_code == 201


def test_an_order_takes_every_field(desk: Desk) -> None:
    pem, public_key = csr_for("csr.example.com")
    placed = desk.place(
        names=["www.example.com"], csr=pem, product="ev", issue_after=60, issue_after_polls=2, fqdn="a.example"
    )
    order = desk.order(placed["order_number"])
    assert (order.names, order.product, order.private_key) == (("a.example", "www.example.com"), "ev", None)
    desk.clock.now += 60
    assert [desk.caller.status(order) for _ in range(3)] == [0, 0, 1]
    assert desk.caller.leaf(order).public_key() == public_key


def test_an_order_by_hand_stays_until_it_is_moved(desk: Desk) -> None:
    number = desk.place(issue_after=None)["order_number"]
    desk.clock.now += 1e9
    before = desk.ask("GET", f"/orders/{number}")["state"]
    assert (before, desk.ask("POST", f"/orders/{number}/issue")["state"]) == ("processing", "issued")


def test_orders_are_listed_newest_first(desk: Desk) -> None:
    numbers = [desk.place()["order_number"] for _ in range(3)]
    assert [order["order_number"] for order in desk.ask("GET", "/orders")] == numbers[::-1]


def test_an_order_says_what_it_is_for(desk: Desk) -> None:
    placed = desk.place(names=["www.example.com"], product="ov", issue_after=None)
    shown = {name: placed[name] for name in ("fqdn", "names", "product", "state", "polls")}
    names = ["shop.example.com", "www.example.com"]
    assert shown == {"fqdn": names[0], "names": names, "product": "ov", "state": "processing", "polls": 0}


def test_steps_done_and_due_are_counted_as_the_service_tells_them(desk: Desk) -> None:
    placed = desk.place(product="ov", issue_after=None)
    number = placed["order_number"]
    told = desk.caller.pairs(orderNumber=number, showStatusDetails="Y")
    assert {name: [str(value)] for name, value in placed["steps"].items()}.items() <= told.items()
    assert (placed["steps_done"], placed["steps_due"]) == (1, 4)
    assert desk.ask("POST", f"/orders/{number}/issue")["steps_done"] == 4


def test_the_next_steps_lead_through_all_of_them(desk: Desk) -> None:
    order = desk.place(product="ev", issue_after=None)
    done = []
    while order["next_step"]:
        done.append(order["next_step"])
        order = desk.ask("POST", f"/orders/{order['order_number']}/step", {"name": done[-1], "value": 1})
    assert ["csrStatus", *done] == list(PATHS["ev"])
    assert order["steps_done"] == order["steps_due"]


def test_looking_at_an_order_is_no_poll(desk: Desk) -> None:
    number = desk.place(issue_after=None, issue_after_polls=2)["order_number"]
    for _ in range(5):
        desk.ask("GET", "/orders")
    assert [desk.caller.pairs(orderNumber=number)["errorCode"][0] for _ in range(3)] == ["0", "0", "1"]
    assert desk.ask("GET", f"/orders/{number}")["polls"] == 3


def test_an_order_whose_time_has_come_is_issued_for_who_looks(desk: Desk) -> None:
    number = desk.place(issue_after=10)["order_number"]
    desk.clock.now += 10
    assert desk.ask("GET", f"/orders/{number}")["state"] == "issued"


@pytest.mark.parametrize(
    ("action", "state", "code"),
    [
        ("issue", "issued", 1),
        ("reject", "rejected", -20),
        ("revoke", "revoked", -21),
        ("await_payment", "awaiting_payment", -22),
    ],
)
def test_an_order_is_moved(desk: Desk, action: str, state: str, code: int) -> None:
    number = desk.place(issue_after=None)["order_number"]
    assert desk.ask("POST", f"/orders/{number}/{action}")["state"] == state
    assert desk.caller.pairs(orderNumber=number)["errorCode"] == [str(code)]


def test_an_order_that_is_closed_has_no_steps(desk: Desk) -> None:
    number = desk.place(issue_after=None)["order_number"]
    order = desk.ask("POST", f"/orders/{number}/reject", {})
    assert (order["steps"], order["steps_due"], order["next_step"]) == ({}, 0, None)


def test_looking_issues_no_order_that_is_closed(desk: Desk) -> None:
    number = desk.place(issue_after=10)["order_number"]
    desk.ask("POST", f"/orders/{number}/reject")
    desk.clock.now += 10
    desk.ask("GET", "/orders")
    assert desk.order(number).newest.certificate is None


def test_replace_reissues_with_the_csr(desk: Desk) -> None:
    pem, public_key = csr_for("shop.example.com")
    before = desk.place()
    after = desk.ask("POST", f"/orders/{before['order_number']}/replace", {"csr": pem})
    assert after["order_number"] == before["order_number"]
    assert after["certificate_id"] > before["certificate_id"]
    order = desk.order(after["order_number"])
    assert desk.caller.leaf(order).public_key() == public_key


def test_replace_without_a_csr_makes_a_new_key(desk: Desk) -> None:
    before = desk.place()
    after = desk.ask("POST", f"/orders/{before['order_number']}/replace")
    assert after["certificate_id"] > before["certificate_id"]


def test_a_step_is_set_by_either_of_its_names(desk: Desk) -> None:
    number = desk.place(issue_after=None)["order_number"]
    for name in ("dcvStatus", "dcv"):
        for value in (2, 0):
            order = desk.ask("POST", f"/orders/{number}/step", {"name": name, "value": value})
            assert order["steps"]["dcvStatus"] == value


def test_no_key_of_an_order_is_told(desk: Desk) -> None:
    desk.place()
    assert "PRIVATE" not in desk.http.get("/orders").text + desk.http.get("/state").text
