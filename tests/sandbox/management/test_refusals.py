"""What the management API refuses and why, field by field; the sandbox goes on after all of it."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest
from cryptography import x509

from collectssl_async.sandbox.bodies import TIMES_MAX
from collectssl_async.sandbox.management import ACTIONS, make_management

from .desk import csr_for

if TYPE_CHECKING:
    from .desk import Desk


ORDER_REFUSALS: list[tuple[dict[str, object], list[str], str]] = [
    ({}, ["fqdn"], "fqdn is missing: it is a DNS name"),
    ({"fqdn": 7}, ["fqdn"], "fqdn must be a DNS name"),
    ({"fqdn": None}, ["fqdn"], "fqdn must be a DNS name"),
    ({"fqdn": "no name"}, ["fqdn"], "fqdn: 'no name' is no DNS name"),
    ({"fqdn": "a" * 254}, ["fqdn"], "fqdn must be a DNS name"),
    ({"fqdn": "a.example", "names": "b.example"}, ["names"], "names must be a list of further DNS names"),
    ({"fqdn": "a.example", "names": ["b.example", 7]}, ["names"], "names must be a list of further DNS names"),
    ({"fqdn": "a.example", "names": ["no name"]}, ["names"], "names: 'no name' is no DNS name"),
    ({"fqdn": "a.example", "csr": "nonsense"}, ["csr"], "csr: the CSR cannot be read"),
    ({"fqdn": "a.example", "csr": 7}, ["csr"], "csr must be a signing request in PEM, or null"),
    ({"fqdn": "a.example", "product": "xv"}, ["product"], 'product must be "dv", "ov" or "ev"'),
    ({"fqdn": "a.example", "issue_after": -1}, ["issue_after"], "issue_after must be seconds, 0 or more, or null"),
    ({"fqdn": "a.example", "issue_after": "5"}, ["issue_after"], "issue_after must be seconds, 0 or more, or null"),
    ({"fqdn": "a.example", "issue_after": True}, ["issue_after"], "issue_after must be seconds, 0 or more, or null"),
    ({"fqdn": "a.example", "issue_after_polls": 1.5}, ["issue_after_polls"], "issue_after_polls must be a whole"),
    ({"fqdn": "a.example", "issue_after_polls": -1}, ["issue_after_polls"], "issue_after_polls must be a whole"),
    (
        {"fqdn": "a.example", "colour": 1},
        ["colour"],
        "there is no field 'colour' here: the fields are fqdn, names, csr",
    ),
    ({"colour": 1}, ["fqdn", "colour"], "fqdn is missing: it is a DNS name; there is no field 'colour' here"),
]


@pytest.mark.parametrize(("body", "fields", "why"), ORDER_REFUSALS)
def test_an_order_with_a_wrong_field_is_refused(
    desk: Desk, body: dict[str, object], fields: list[str], why: str
) -> None:
    answer = desk.refused("POST", "/orders", body)
    assert answer["fields"] == fields
    assert answer["error"].startswith(why)
    assert desk.ask("GET", "/orders") == []


OTHER_REFUSALS: list[tuple[str, str, object, list[str], str]] = [
    ("POST", "/faults", {}, ["kind"], "kind is missing"),
    ("POST", "/faults", {"kind": "flood"}, ["kind"], "kind: 'flood' is no fault: use a negative error code"),
    ("POST", "/faults", {"kind": 200}, ["kind"], "kind: 200 is no fault"),
    ("POST", "/faults", {"kind": True}, ["kind"], "kind must be a negative error code"),
    ("POST", "/faults", {"kind": "html", "times": 0}, ["times"], "times must be a number of calls, 1 to"),
    ("POST", "/faults", {"kind": "html", "times": TIMES_MAX + 1}, ["times"], "times must be a number of calls"),
    ("PATCH", "/settings", {"latency": -1}, ["latency"], "latency must be seconds, 0 or more"),
    ("PATCH", "/settings", {"latency": None}, ["latency"], "latency must be seconds, 0 or more"),
    ("PATCH", "/settings", {"strict": "yes"}, ["strict"], "strict must be true or false"),
    ("PATCH", "/settings", {"locked": True}, ["locked"], "locked must be false: wrong logins lock the account"),
    ("PATCH", "/settings", {"switches": ["sideways"]}, ["switches"], "switches: no such switch: sideways. There are"),
    ("PATCH", "/settings", {"switches": [], "strict": True}, ["strict", "switches"], "strict and switches: give one"),
    ("PATCH", "/settings", {"speed": 1}, ["speed"], "there is no field 'speed' here: the fields are latency,"),
    ("POST", "/reset", {"seed": 1.5}, ["seed"], "seed must be a whole number or a text"),
]


@pytest.mark.parametrize(("method", "path", "body", "fields", "why"), OTHER_REFUSALS)
def test_a_wrong_field_is_refused_and_changes_nothing(
    desk: Desk, method: str, path: str, body: object, fields: list[str], why: str
) -> None:
    before = desk.ask("GET", "/settings"), desk.ask("GET", "/faults")
    answer = desk.refused(method, path, body)
    assert answer["fields"] == fields
    assert answer["error"].startswith(why)
    assert (desk.ask("GET", "/settings"), desk.ask("GET", "/faults")) == before


def test_nothing_is_changed_when_one_of_several_settings_is_wrong(desk: Desk) -> None:
    desk.refused("PATCH", "/settings", {"latency": 5, "switches": ["sideways"]})
    assert desk.sandbox.latency == 0


MOVE_REFUSALS: list[tuple[str, object, list[str], str]] = [
    ("step", {}, ["name", "value"], "name is missing: it is the name of a validation step; value is missing"),
    ("step", {"name": "nonsense", "value": 1}, ["name"], "name: 'nonsense' is no validation step: it is one of csr"),
    ("step", {"name": "dcvStatus", "value": 9}, ["value"], "value: dcvStatus cannot be 9: the reference lists"),
    ("step", {"name": "dcvStatus", "value": "1"}, ["value"], "value must be a whole number"),
    ("step", {"name": "evAssumedName", "value": 1}, ["name"], "name: evAssumedName is sent for EV orders only"),
    ("replace", {"csr": "nonsense"}, ["csr"], "csr: the CSR cannot be read"),
    ("issue", {"when": "now"}, ["when"], "there is no field 'when' here: the fields are none"),
]


@pytest.mark.parametrize(("action", "body", "fields", "why"), MOVE_REFUSALS)
def test_a_move_with_a_wrong_field_is_refused(
    desk: Desk, action: str, body: object, fields: list[str], why: str
) -> None:
    placed = desk.place(issue_after=None)
    answer = desk.refused("POST", f"/orders/{placed['order_number']}/{action}", body)
    assert answer["fields"] == fields
    assert answer["error"].startswith(why)
    assert desk.ask("GET", f"/orders/{placed['order_number']}") == placed


def test_a_csr_that_is_signed_but_cannot_be_read_is_refused(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    def names_in(_: object) -> None:
        raise x509.DuplicateExtension("twice", x509.ObjectIdentifier("2.5.29.17"))

    monkeypatch.setattr("collectssl_async.sandbox.management.names_in", names_in)
    pem, _ = csr_for("a.example")
    assert desk.refused("POST", "/orders", {"fqdn": "a.example", "csr": pem})["error"] == "csr: twice"


@pytest.mark.parametrize("number", ["-1", "0", "9" * 500, "41000001.0", "%00", "%ff", "..%2f", "'"])
@pytest.mark.parametrize("action", ["", *(f"/{action}" for action in ACTIONS)])
def test_an_order_that_there_is_not_is_404(desk: Desk, number: str, action: str) -> None:
    method = "POST" if action else "GET"
    error = desk.refused(method, f"/orders/{number}{action}", status=404)["error"]
    assert len(error) < 200
    assert error.startswith(("there is no order", "there is nothing here", "an order can be moved by"))


def test_an_unknown_move_is_404_and_names_those_there_are(desk: Desk) -> None:
    number = desk.place()["order_number"]
    error = desk.refused("POST", f"/orders/{number}/explode", status=404)["error"]
    assert all(action in error for action in ACTIONS)


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("DELETE", "/orders", {"GET", "HEAD", "POST"}),
        ("GET", "/orders/1/issue", {"POST"}),
        ("PUT", "/settings", {"GET", "HEAD", "PATCH"}),
        ("BREW", "/calls", {"GET", "HEAD", "DELETE"}),
        ("POST", "/", {"GET", "HEAD"}),
    ],
)
def test_an_unknown_method_is_405_and_names_those_there_are(
    desk: Desk, method: str, path: str, allowed: set[str]
) -> None:
    reply = desk.http.request(method, path)
    assert (reply.status_code, set(reply.headers["allow"].split(", "))) == (405, allowed)
    assert reply.json()["error"].startswith(f"{path} takes no {method}")


def test_head_is_answered_like_get_without_a_body(desk: Desk) -> None:
    reply = desk.http.head("/orders")
    assert (reply.status_code, reply.content) == (200, b"")


def test_an_unknown_path_is_404_and_says_what_there_is(desk: Desk) -> None:
    assert "/orders" in desk.refused("GET", "/ordres", status=404)["error"]


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"{", "the body cannot be read"),
        (b'{"fqdn": "caf\xe9.example"}', "the body cannot be read"),
        (b'{"fqdn": "\\ud800"}', "the body cannot be read"),
        (b'{"issue_after": Infinity, "fqdn": "a.example"}', "issue_after must be seconds"),
        (b'{"issue_after": 1e999, "fqdn": "a.example"}', "issue_after must be seconds"),
        (b"[" * 5000, "the body cannot be read"),
        (b"[]", "the body must be a JSON object"),
        (b"null", "the body must be a JSON object"),
        (b" ", "the body cannot be read"),
        (b"", "fqdn is missing"),
    ],
)
def test_a_body_that_is_no_json_object_is_refused(desk: Desk, body: bytes, why: str) -> None:
    reply = desk.send("POST", "/orders", body)
    assert reply.status_code == 400
    assert reply.json()["error"].startswith(why)


def test_a_body_of_another_type_is_415(desk: Desk) -> None:
    for kind in ("application/x-www-form-urlencoded", "text/plain", ""):
        reply = desk.send("POST", "/orders", b'{"fqdn": "a.example"}', content_type=kind)
        assert (reply.status_code, "application/json" in reply.json()["error"]) == (415, True)


def test_a_charset_beside_the_type_is_taken(desk: Desk) -> None:
    reply = desk.send("POST", "/orders", b'{"fqdn": "a.example"}', content_type="Application/JSON; charset=utf-8")
    assert reply.status_code == 201


def test_a_body_of_64_kib_is_taken_and_one_byte_more_is_413(desk: Desk) -> None:
    body = json.dumps({"fqdn": "a.example"}).encode()
    assert desk.send("POST", "/orders", body.ljust(64 * 1024)).status_code == 201
    assert desk.send("POST", "/orders", body.ljust(64 * 1024 + 1)).status_code == 413


def test_a_body_of_10_mib_is_413_and_the_sandbox_goes_on(desk: Desk) -> None:
    reply = desk.send("POST", "/orders", b" " * (10 * 1024 * 1024))
    assert (reply.status_code, reply.json()) == (413, {"error": "the body is longer than 65536 bytes"})
    assert desk.place()["order_number"]


def test_a_caller_that_leaves_in_the_middle_of_a_body_is_no_error(desk: Desk) -> None:
    async def receive() -> dict[str, Any]:
        return {"type": "http.disconnect"}

    async def send(_: object) -> None:
        pass

    headers = [(b"host", b"localhost"), (b"content-length", b"99")]
    scope = {"type": "http", "method": "POST", "path": "/orders", "query_string": b"", "headers": headers}
    asyncio.run(make_management(desk.sandbox, desk.server, any_host=False)(scope, receive, send))
    assert desk.ask("GET", "/orders") == []
