"""The rest of the management API: faults, settings, calls, and what the page asks for."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, get_args

import pytest

from collectssl_async.sandbox.bodies import NewOrder
from collectssl_async.sandbox.faults import FAULTS
from collectssl_async.sandbox.overview import ANSWERS_SHOWN, ORDERS_SHOWN, call_view
from collectssl_async.sandbox.steps import PATHS
from collectssl_async.sandbox.variations import STRICT, SWITCHES

from ..calling import wait_until

if TYPE_CHECKING:
    from .desk import Desk


def test_a_fault_is_armed_for_as_many_calls_as_asked(desk: Desk) -> None:
    number = desk.place()["order_number"]
    assert desk.ask("POST", "/faults", {"kind": -22, "times": 2}) == [{"kind": -22, "times": 2}]
    assert [desk.caller.pairs(orderNumber=number)["errorCode"][0] for _ in range(3)] == ["-22", "-22", "1"]
    assert desk.ask("GET", "/faults") == []


@pytest.mark.parametrize("kind", [*FAULTS, 503, -14, -4711])
def test_every_kind_of_fault_can_be_armed(desk: Desk, kind: str | int) -> None:
    assert desk.ask("POST", "/faults", {"kind": kind}) == [{"kind": kind, "times": 1}]


def test_faults_are_shown_in_the_order_in_which_they_come(desk: Desk) -> None:
    for kind in ("html", 503, "html"):
        desk.ask("POST", "/faults", {"kind": kind})
    assert [fault["kind"] for fault in desk.ask("GET", "/faults")] == ["html", 503, "html"]


@pytest.mark.parametrize(
    ("name", "value"), [("latency", 0.5), ("jitter", 2), ("linger", 1), ("retry_after", 3), ("retry_after", None)]
)
def test_a_setting_is_changed_and_the_others_stay(desk: Desk, name: str, value: float) -> None:
    before = desk.ask("GET", "/settings")
    assert desk.ask("PATCH", "/settings", {name: value}) == {**before, name: value}
    assert getattr(desk.sandbox, name) == value


@pytest.mark.parametrize(("strict", "switches"), [(True, STRICT), (False, frozenset())])
def test_strict_turns_the_variations_on_and_off(desk: Desk, strict: bool, switches: frozenset[str]) -> None:
    assert desk.ask("PATCH", "/settings", {"strict": strict})["strict"] is strict
    assert desk.sandbox.switches == switches


def test_some_variations_alone_are_not_strict(desk: Desk) -> None:
    settings = desk.ask("PATCH", "/settings", {"switches": ["chunked", "space"]})
    assert (settings["strict"], settings["switches"]) == (False, ["space", "chunked"])
    assert set(settings["switches"]) < set(SWITCHES)


def test_a_locked_account_is_shown_and_unlocked(desk: Desk) -> None:
    order = desk.sandbox.place_order("a.example")
    for _ in range(10):
        desk.caller.status(order, loginPassword="wrong")
    assert desk.ask("GET", "/settings")["locked"]
    assert not desk.ask("PATCH", "/settings", {"locked": False})["locked"]
    assert desk.caller.status(order) == 1


def test_reset_forgets_all_and_takes_a_seed(desk: Desk) -> None:
    desk.place()
    desk.caller.post()
    desk.ask("PATCH", "/settings", {"latency": 0.001})
    settings = desk.ask("POST", "/reset", {"seed": "again"})
    assert (settings["latency"], settings["seed"]) == (0, "again")
    assert (desk.ask("GET", "/orders"), desk.ask("GET", "/calls")) == ([], [])


def test_reset_without_a_body_keeps_the_seed(desk: Desk) -> None:
    assert desk.ask("POST", "/reset")["seed"] == 1


# --- calls ------------------------------------------------------------------------------------------------------------


def test_calls_are_listed_with_times_order_and_answer(desk: Desk) -> None:
    order = desk.sandbox.place_order("a.example")
    desk.caller.status(order)
    wait_until(lambda: desk.sandbox.calls[0].end is not None)
    now = desk.clock.now
    assert desk.ask("GET", "/calls") == [
        {
            "number": 1,
            "start": now,
            "end": now,
            "order": order.order_number,
            "overlapped": False,
            "during": None,
            "answer": 1,
            "meaning": "issued, not asked for",
            "abandoned": False,
        }
    ]


def test_an_overlap_names_both_calls(desk: Desk) -> None:
    order = desk.sandbox.place_order("a.example")
    with desk.open_call():
        desk.caller.status(order)
        first, second = desk.ask("GET", "/calls")
    assert (first["overlapped"], first["end"], first["meaning"]) == (False, None, "in work")
    assert (second["overlapped"], second["during"], second["answer"]) == (True, 1, -14)


def test_calls_are_forgotten_with_their_overlaps(desk: Desk) -> None:
    with desk.open_call():
        desk.caller.post()
    wait_until(lambda: all(call.end is not None for call in desk.sandbox.calls))
    assert desk.ask("DELETE", "/calls") == {"forgotten": 2}
    assert (desk.ask("GET", "/calls"), desk.sandbox.overlaps) == ([], 0)


def test_a_call_in_work_is_not_forgotten(desk: Desk) -> None:
    for _ in range(3):
        desk.caller.post()
    with desk.open_call():
        desk.ask("DELETE", "/calls")
        desk.caller.post()
        numbers = [(call["number"], call["during"]) for call in desk.ask("GET", "/calls")]
    assert numbers == [(1, None), (2, 1)]
    assert desk.sandbox.overlaps == 1


@pytest.mark.parametrize(
    ("kind", "meaning"),
    [
        (-26, "The certificate is being issued."),
        (-4711, "an undocumented error"),
        (503, "Service Unavailable"),
        (599, "an HTTP status"),
        ("html", FAULTS["html"]),
    ],
)
def test_an_answer_is_told_in_words(desk: Desk, kind: int | str, meaning: str) -> None:
    desk.ask("POST", "/faults", {"kind": kind})
    desk.caller.post()
    assert [call_view(call)["meaning"] for call in desk.sandbox.calls] == [meaning]


def test_a_caller_that_left_is_said_to_have_left(desk: Desk) -> None:
    desk.open_call().close()
    wait_until(lambda: desk.sandbox.calls[0].end is not None)
    assert desk.ask("GET", "/calls")[0]["meaning"] == "the caller left"


def test_whatever_was_sent_as_an_order_number_is_cut_short(desk: Desk) -> None:
    desk.caller.post(orderNumber="9" * 60_000)
    assert desk.ask("GET", "/calls")[0]["order"] == "9" * 64


# --- what the page asks for -------------------------------------------------------------------------------------------


def test_the_state_holds_what_a_client_has_to_know(desk: Desk) -> None:
    assert desk.ask("GET", "/state")["server"] == {
        "endpoint": desk.server.endpoint,
        "ca_file": str(desk.server.ca_file),
        "login_name": desk.caller.login()["loginName"],
        "login_password": desk.caller.login()["loginPassword"],
    }


def test_the_state_holds_the_last_minute_s_calls_alone(desk: Desk) -> None:
    desk.caller.post()
    wait_until(lambda: desk.sandbox.calls[0].end is not None)
    desk.clock.now += 61
    desk.caller.post()
    state = desk.ask("GET", "/state")
    assert [call["number"] for call in state["calls"]] == [2]
    assert (state["calls_made"], [call["number"] for call in state["answers"]]) == (2, [2, 1])


def test_the_state_holds_a_call_in_work_however_long_it_takes(desk: Desk) -> None:
    with desk.open_call():
        desk.clock.now += 3600
        state = desk.ask("GET", "/state")
    assert ([call["number"] for call in state["calls"]], state["answers"]) == ([1], [])


def test_the_state_stays_small_however_much_there_is(desk: Desk) -> None:
    for _ in range(ORDERS_SHOWN + 1):
        desk.sandbox.place_order("a.example")
    for _ in range(ANSWERS_SHOWN + 1):
        desk.caller.post()
    state = desk.ask("GET", "/state")
    assert (len(state["orders"]), state["orders_placed"]) == (ORDERS_SHOWN, ORDERS_SHOWN + 1)
    assert (len(state["answers"]), state["calls_made"]) == (ANSWERS_SHOWN, ANSWERS_SHOWN + 1)


@pytest.mark.parametrize(
    ("path", "kind"), [("/", "text/html"), ("/page.js", "text/javascript"), ("/page.css", "text/css")]
)
def test_the_page_is_served_under_a_strict_policy(desk: Desk, path: str, kind: str) -> None:
    reply = desk.http.get(path)
    assert reply.headers["content-type"] == f"{kind}; charset=utf-8"
    assert reply.headers["content-security-policy"].startswith("default-src 'none'; script-src 'self';")
    assert "unsafe" not in reply.headers["content-security-policy"]


def test_the_page_needs_nothing_from_elsewhere(desk: Desk) -> None:
    for path in ("/", "/page.js", "/page.css"):
        assert re.findall(r"""["'`(=]\s*(?:[a-z]+:)?//.{,40}|@import.*""", desk.http.get(path).text) == []


def test_nothing_is_kept_by_a_browser(desk: Desk) -> None:
    assert desk.http.get("/state").headers["cache-control"] == "no-store"


# --- one table each ---------------------------------------------------------------------------------------------------


def test_every_product_can_be_ordered() -> None:
    assert set(get_args(NewOrder.model_fields["product"].annotation)) == set(PATHS)
