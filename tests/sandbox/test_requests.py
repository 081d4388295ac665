"""What a request may be, what each mistake is answered with, and which mistake is named first."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx
import pytest

from collectssl_async.parameters import REQUEST_PARAMETERS
from collectssl_async.sandbox import Sandbox
from collectssl_async.sandbox.account import FAILURES_MAX
from collectssl_async.sandbox.request import BODY_MAX, FORM_TYPE, RULES

if TYPE_CHECKING:
    from .calling import Caller

FORM = {"content-type": FORM_TYPE}


def test_every_parameter_of_the_reference_has_a_rule() -> None:
    assert list(RULES) == list(REQUEST_PARAMETERS)


# --- values -----------------------------------------------------------------------------------------------------------

GOOD = {
    "queryType": ["0", "1", "2", "3"],
    "responseType": ["3"],
    "responseEncoding": ["0"],
    "responseFormat": ["0", "1"],
    "behaviourVersion": ["0", "1"],
    **{name: ["Y", "N"] for name in RULES if name.startswith("show")},
}
BAD = {
    "orderNumber": ["nothing", "-1", "9" * 129, "41000001\n", "41000001 "],
    "certificateID": ["0", "x", "-1", "1.0", "9" * 17, "٩"],
    "baseOrderNumber": ["0", "x", "-1", "9" * 129],
    "queryType": ["4", "-1", "x", "01", "1 ", "9" * 5000],
    "responseType": ["4", "x"],
    "responseEncoding": ["2", "x"],
    "responseFormat": ["2", "x"],
    "behaviourVersion": ["2", "x"],
    **{name: ["y", "n", "YES", "1"] for name in RULES if name.startswith("show")},
}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in GOOD.items() for value in values])
def test_a_listed_value_is_taken(caller: Caller, sandbox: Sandbox, name: str, value: str) -> None:
    order = sandbox.place_order("shop.example.com", issue_after=None)
    reply = caller.post(order, **{name: value})
    assert reply.text.splitlines()[0] in ("0", "errorCode=0")


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in BAD.items() for value in values])
def test_any_other_value_is_invalid_and_named(caller: Caller, sandbox: Sandbox, name: str, value: str) -> None:
    order = sandbox.place_order("shop.example.com")
    assert caller.lines(order, **{name: value}) == ["-4", f"The value of the '{name}' argument is invalid!"]


def test_an_error_names_its_item_in_url_encoded_form(caller: Caller, sandbox: Sandbox) -> None:
    order = sandbox.place_order("shop.example.com")
    assert caller.pairs(order, queryType=7) == {
        "errorCode": ["-4"],
        "errorMessage": ["The value of the 'queryType' argument is invalid!"],
        "errorItem": ["queryType"],
    }


@pytest.mark.parametrize("response_type", [0, 1, 2])
@pytest.mark.parametrize("query_type", [0, 2, 3])
def test_a_container_holds_certificate_and_chain_or_nothing(
    caller: Caller, sandbox: Sandbox, response_type: int, query_type: int
) -> None:
    order = sandbox.place_order("shop.example.com")
    pairs = caller.pairs(order, queryType=query_type, responseType=response_type)
    assert (pairs["errorCode"], pairs["errorItem"]) == (["-4"], ["responseType"])


@pytest.mark.parametrize("parameters", [{"queryType": 0}, {"queryType": 1}, {"queryType": 1, "responseType": 1}])
def test_binary_is_for_zip_and_pkcs7_alone(caller: Caller, sandbox: Sandbox, parameters: dict[str, int]) -> None:
    order = sandbox.place_order("shop.example.com")
    pairs = caller.pairs(order, responseEncoding=1, **parameters)
    assert (pairs["errorCode"], pairs["errorItem"]) == (["-4"], ["responseEncoding"])


def test_an_empty_optional_parameter_is_as_absent(caller: Caller, sandbox: Sandbox) -> None:
    order = sandbox.place_order("shop.example.com")
    assert caller.lines(order, showFQDN="", certificateID="", responseFormat="") == ["1"]


def test_an_unknown_parameter_is_refused_even_when_empty(caller: Caller, sandbox: Sandbox) -> None:
    order = sandbox.place_order("shop.example.com")
    assert caller.lines(order, showFqdn="") == ["-2", "Unrecognised argument!"]


@pytest.mark.parametrize(
    ("body", "item"),
    [
        ("queryType=0&queryType=0", "queryType"),
        ("queryType=%ff", "queryType"),
        ("queryType=0&loginName=x", "loginName"),
    ],
)
def test_a_parameter_twice_or_undecodable_is_invalid(caller: Caller, sandbox: Sandbox, body: str, item: str) -> None:
    order = sandbox.place_order("shop.example.com")
    form = httpx.QueryParams({**caller.login(), "orderNumber": order.order_number})
    reply = caller.http.post(caller.endpoint, content=f"{form}&{body}", headers=FORM)
    assert reply.text.splitlines() == ["-4", f"The value of the '{item}' argument is invalid!"]


# --- what is missing --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("without", "item"),
    [
        (["loginName"], "loginName"),
        (["loginPassword"], "loginPassword"),
        (["loginName", "loginPassword"], "loginName"),
        (["queryType"], "queryType"),
        (["orderNumber"], "orderNumber"),
        (["orderNumber", "queryType"], "orderNumber"),
    ],
)
@pytest.mark.parametrize("value", [None, ""])
def test_what_is_missing_or_empty_is_named(
    caller: Caller, sandbox: Sandbox, without: list[str], item: str, value: str | None
) -> None:
    order = sandbox.place_order("shop.example.com")
    lines = caller.lines(order, **dict.fromkeys(without, value))
    assert lines == ["-3", f"The '{item}' argument is missing!"]


# --- which order ------------------------------------------------------------------------------------------------------


def test_an_order_is_found_by_each_of_its_numbers(caller: Caller, sandbox: Sandbox) -> None:
    order = sandbox.place_order("shop.example.com")
    assert caller.status(order, orderNumber=None, certificateID=order.certificate_id) == 1
    assert caller.status(order, orderNumber=None, baseOrderNumber=order.base_order_number) == 1
    assert caller.status(order, certificateID=order.certificate_id, baseOrderNumber=order.base_order_number) == 1


@pytest.mark.parametrize("item", ["certificateID", "baseOrderNumber"])
def test_numbers_that_disagree_are_invalid(caller: Caller, sandbox: Sandbox, item: str) -> None:
    order, other = sandbox.place_order("shop.example.com"), sandbox.place_order("a.example")
    wrong = {"certificateID": other.certificate_id, "baseOrderNumber": other.base_order_number}[item]
    assert caller.pairs(order, **{item: wrong})["errorItem"] == [item]


def test_one_number_mistaken_for_another_finds_nothing(caller: Caller, sandbox: Sandbox) -> None:
    order = sandbox.place_order("shop.example.com")
    assert caller.pairs(certificateID=order.order_number)["errorItem"] == ["certificateID"]
    assert caller.pairs(baseOrderNumber=order.order_number)["errorItem"] == ["baseOrderNumber"]
    assert caller.pairs(orderNumber=order.certificate_id)["errorItem"] == ["orderNumber"]


# --- transport, login -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH", "OPTIONS"])
def test_any_method_but_post_is_refused(caller: Caller, sandbox: Sandbox, method: str) -> None:
    order = sandbox.place_order("shop.example.com")
    reply = caller.http.request(method, caller.endpoint, params=caller.form(order))
    assert (reply.status_code, reply.text) == (200, "-17\nRequest used GET rather than POST!\n")


def test_a_query_string_is_ignored(caller: Caller, sandbox: Sandbox) -> None:
    order = sandbox.place_order("shop.example.com")
    reply = caller.http.post(caller.endpoint, params={"queryType": 9, "nonsense": 1}, data=caller.form(order))
    assert reply.text == "1\n"


@pytest.mark.anyio
async def test_plain_http_is_refused_before_all_else(sandbox: Sandbox) -> None:
    transport = httpx.ASGITransport(app=sandbox.app)
    async with httpx.AsyncClient(transport=transport, base_url="http://sandbox.example") as http:
        reply = await http.get("/products/download/CollectSSL")
    assert reply.text == "-1\nRequest was not made over https!\n"


@pytest.mark.parametrize("wrong", [{"loginName": "somebody"}, {"loginPassword": "wrong"}, {"loginPassword": "ü"}])
def test_wrong_credentials_are_refused(caller: Caller, sandbox: Sandbox, wrong: dict[str, str]) -> None:
    order = sandbox.place_order("shop.example.com")
    text = "Incorrect login details, account is locked, password has expired or your source IP is blocked."
    assert caller.lines(order, **wrong) == ["-16", text]


def test_the_password_s_case_counts(caller: Caller, sandbox: Sandbox) -> None:
    order = sandbox.place_order("shop.example.com")
    assert caller.status(order, loginName=caller.login()["loginName"].upper()) == -16


def test_ten_wrong_logins_in_a_row_lock_the_account_for_everyone(caller: Caller, sandbox: Sandbox) -> None:
    order = sandbox.place_order("shop.example.com")
    for _ in range(FAILURES_MAX):
        assert not sandbox.locked
        caller.status(order, loginPassword="wrong")
    assert sandbox.locked
    assert caller.status(order) == -16


def test_an_unlocked_account_can_be_used_again(caller: Caller, sandbox: Sandbox) -> None:
    order = sandbox.place_order("shop.example.com")
    for _ in range(FAILURES_MAX):
        caller.status(order, loginPassword="wrong")
    sandbox.unlock()
    assert caller.status(order) == 1


def test_a_right_login_forgives_the_wrong_ones_before(caller: Caller, sandbox: Sandbox) -> None:
    order = sandbox.place_order("shop.example.com")
    for _ in range(2):
        for _ in range(FAILURES_MAX - 1):
            caller.status(order, loginPassword="wrong")
        assert caller.status(order) == 1


def test_credentials_are_made_up_for_each_sandbox(sandbox: Sandbox) -> None:
    other = Sandbox().credentials
    assert other.login_name != sandbox.credentials.login_name
    assert other.login_password != sandbox.credentials.login_password


# --- order of checks --------------------------------------------------------------------------------------------------

MISTAKES: list[tuple[int, dict[str, str | None]]] = [
    (-3, {"loginName": None}),
    (-16, {"loginPassword": "wrong"}),
    (-2, {"nonsense": "1"}),
    (-3, {"queryType": None}),
    (-4, {"showFQDN": "y"}),
    (-20, {}),
]


@pytest.mark.parametrize("first", range(len(MISTAKES)))
def test_the_first_mistake_in_the_service_s_order_is_named(caller: Caller, sandbox: Sandbox, first: int) -> None:
    order = sandbox.place_order("shop.example.com")
    order.reject()
    parameters = {name: value for _, mistake in MISTAKES[first:] for name, value in mistake.items()}
    assert caller.status(order, **parameters) == MISTAKES[first][0]


@pytest.mark.parametrize("mistake", MISTAKES)
def test_the_format_asked_for_is_read_first(
    caller: Caller, sandbox: Sandbox, mistake: tuple[int, dict[str, str | None]]
) -> None:
    order = sandbox.place_order("shop.example.com")
    order.reject()
    code, parameters = mistake
    assert caller.pairs(order, **parameters)["errorCode"] == [str(code)]


# --- bodies -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("content_type", ["application/json", "multipart/form-data; boundary=x", "text/plain", ""])
def test_a_body_of_another_type_has_no_parameters(caller: Caller, sandbox: Sandbox, content_type: str) -> None:
    order = sandbox.place_order("shop.example.com")
    body = str(httpx.QueryParams(caller.form(order)))
    reply = caller.http.post(caller.endpoint, content=body, headers={"content-type": content_type})
    assert reply.text.splitlines() == ["-3", "The 'loginName' argument is missing!"]


def test_the_content_type_may_carry_a_charset_and_be_in_capitals(caller: Caller, sandbox: Sandbox) -> None:
    order = sandbox.place_order("shop.example.com")
    body = str(httpx.QueryParams(caller.form(order)))
    headers = {"content-type": f"{FORM_TYPE.upper()}; charset=UTF-8"}
    assert caller.http.post(caller.endpoint, content=body, headers=headers).text == "1\n"


@pytest.mark.parametrize("size", [BODY_MAX + 1, 10 * 1024 * 1024])
def test_a_body_that_is_too_long_is_refused_and_the_sandbox_goes_on(
    caller: Caller, sandbox: Sandbox, size: int
) -> None:
    order = sandbox.place_order("shop.example.com")
    reply = caller.http.post(caller.endpoint, content=b"x" * size, headers=FORM)
    assert (reply.status_code, reply.text.splitlines()[0]) == (413, "-4")
    assert caller.status(order) == 1


def test_a_body_of_the_longest_length_is_read(caller: Caller, sandbox: Sandbox) -> None:
    reply = caller.http.post(caller.endpoint, content=b"&" * BODY_MAX, headers=FORM)
    assert (reply.status_code, reply.text.splitlines()[0]) == (200, "-3")
    assert sandbox.calls[-1].answer == -3


@pytest.mark.parametrize("body", [b"\xff\xfe=\x00", b"%zz=%", b"=&=&&", b"a", b"%ff=1"])
def test_any_bytes_get_an_answer(caller: Caller, sandbox: Sandbox, body: bytes) -> None:
    login = str(httpx.QueryParams(caller.login())).encode()
    reply = caller.http.post(caller.endpoint, content=login + b"&" + body, headers=FORM)
    assert reply.text == "-2\nUnrecognised argument!\n"
    assert sandbox.overlaps == 0


def test_other_paths_are_not_found(caller: Caller, sandbox: Sandbox) -> None:
    url = caller.endpoint.replace("CollectSSL", "AutoApplySSL")
    assert caller.http.post(url).status_code == 404
    assert sandbox.calls == []
