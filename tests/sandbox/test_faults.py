"""The faults that a test can order: what each looks like to a caller, and for how many calls."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio
import httpx
import pytest

from collectssl_async.errors import API_ERRORS
from collectssl_async.sandbox import Sandbox
from collectssl_async.sandbox.faults import FAULTS, PACE

from .calling import wait_until

if TYPE_CHECKING:
    from collectssl_async.sandbox.faults import Fault

    from .calling import Caller


@pytest.mark.parametrize("code", [*API_ERRORS, -77])
def test_an_error_code_is_answered_with_its_text(caller: Caller, sandbox: Sandbox, code: int) -> None:
    order = sandbox.place_order("shop.example.com")
    sandbox.fail_next(code)
    pairs = caller.pairs(order)
    reply_text = pairs["errorMessage"][0].encode("latin-1", "replace").decode("latin-1")
    assert pairs["errorCode"] == [str(code)]
    assert reply_text
    assert pairs.get("errorItem") == (["orderNumber"] if code in (-3, -4) else None)


def test_an_error_s_curly_quotes_are_windows_1252(caller: Caller, sandbox: Sandbox) -> None:
    order = sandbox.place_order("shop.example.com")
    sandbox.fail_next(-90, times=2)
    newline = caller.post(order).content
    url = caller.post(order, responseFormat=1).content
    assert newline == b"-90\nPermission denied for using \x93voucher\x94 with \x91xxxx\x92\n"
    assert b"%93voucher%94+with+%91xxxx%92" in url


@pytest.mark.parametrize("status", [302, 404, 429, 500, 503, 599])
def test_an_http_status_comes_with_a_page(caller: Caller, sandbox: Sandbox, status: int) -> None:
    sandbox.fail_next(status)
    reply = caller.post(sandbox.place_order("shop.example.com"))
    assert (reply.status_code, reply.headers["content-type"]) == (status, "text/html; charset=utf-8")
    assert ("location" in reply.headers) == (status == 302)


def test_a_maintenance_page_has_status_200(caller: Caller, sandbox: Sandbox) -> None:
    sandbox.fail_next("html")
    reply = caller.post(sandbox.place_order("shop.example.com"))
    assert (reply.status_code, reply.text[:6]) == (200, "<html>")


def test_a_cut_connection_has_no_answer(caller: Caller, sandbox: Sandbox) -> None:
    sandbox.fail_next("disconnect")
    with pytest.raises(httpx.RemoteProtocolError, match="without sending a response"):
        caller.post(sandbox.place_order("shop.example.com"))


@pytest.mark.parametrize("switches", [(), ("chunked",)])
def test_a_truncated_reply_ends_in_the_middle(caller: Caller, sandbox: Sandbox, switches: tuple[str, ...]) -> None:
    order = sandbox.place_order("shop.example.com")
    whole = caller.post(order, queryType=1).content
    sandbox.switches = switches
    for _ in range(6):
        sandbox.fail_next("truncate")
        received: list[bytes] = []
        with caller.http.stream("POST", caller.endpoint, data=caller.form(order, queryType=1)) as reply:
            with pytest.raises(httpx.RemoteProtocolError, match="peer closed connection"):
                received.extend(reply.iter_raw())
        assert b"".join(received) == whole[: len(whole) // 2]


@pytest.mark.parametrize("switches", [(), ("chunked",)])
def test_a_connection_that_is_cut_after_the_answer_has_carried_all_of_it(
    caller: Caller, sandbox: Sandbox, switches: tuple[str, ...]
) -> None:
    order = sandbox.place_order("shop.example.com")
    whole = caller.post(order, queryType=1).content
    sandbox.switches = switches
    for _ in range(6):
        sandbox.fail_next("hangup")
        # On a connection of its own: the next call on this one may find it dead, which is what the fault is for.
        reply = httpx.post(
            caller.endpoint, data=caller.form(order, queryType=1), verify=caller.context, trust_env=False
        )
        assert reply.content == whole
        wait_until(lambda: sandbox.calls[-1].end is not None)
    assert {(call.answer, call.abandoned) for call in sandbox.calls[1:]} == {("hangup", False)}


def test_a_caller_that_leaves_a_slow_answer_abandoned_it(caller: Caller, sandbox: Sandbox) -> None:
    order = sandbox.place_order("shop.example.com")
    sandbox.fail_next("slow")
    with caller.http.stream("POST", caller.endpoint, data=caller.form(order, queryType=1)) as reply:
        assert next(reply.iter_raw()) == b"2"
    wait_until(lambda: sandbox.calls[0].end is not None)
    assert (sandbox.calls[0].answer, sandbox.calls[0].abandoned) == ("slow", True)
    assert caller.status(order) == 1


@pytest.mark.anyio
@pytest.mark.virtual_clock
async def test_a_slow_answer_comes_byte_by_byte() -> None:
    sandbox = Sandbox(strict=False, clock=anyio.current_time)
    sandbox.fail_next("slow")
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=sandbox.app)) as http:
        reply = await http.post("https://sandbox.example/products/download/CollectSSL")
    [call] = sandbox.calls
    assert call.end is not None
    assert reply.text == "-3\nThe 'loginName' argument is missing!\n"
    assert call.end - call.start == pytest.approx(PACE * len(reply.content))


@pytest.mark.parametrize(("status", "named"), [(429, "8"), (503, "8"), (500, None)])
def test_who_is_to_come_again_later_is_told_when(
    caller: Caller, sandbox: Sandbox, status: int, named: str | None
) -> None:
    sandbox.retry_after = 7.5
    sandbox.fail_next(status)
    assert caller.post().headers.get("retry-after") == named


def test_reset_names_no_time_to_come_again(caller: Caller, sandbox: Sandbox) -> None:
    sandbox.retry_after = 60
    sandbox.reset()
    sandbox.fail_next(503)
    assert sandbox.retry_after is None
    assert "retry-after" not in caller.post().headers


def test_a_time_to_come_again_can_be_taken_back(sandbox: Sandbox) -> None:
    sandbox.retry_after = 60
    sandbox.retry_after = None
    assert sandbox.retry_after is None
    with pytest.raises(ValueError, match="retry_after is in seconds"):
        sandbox.retry_after = -1


def test_a_call_that_times_out_is_answered_to_nobody(caller: Caller, sandbox: Sandbox) -> None:
    sandbox.fail_next("timeout")
    with pytest.raises(httpx.ReadTimeout):
        caller.http.post(caller.endpoint, data=caller.form(), timeout=httpx.Timeout(20, read=0.2))
    wait_until(lambda: sandbox.calls[0].end is not None)
    assert (sandbox.calls[0].answer, sandbox.calls[0].abandoned) == ("timeout", True)


def test_a_fault_strikes_as_often_as_it_is_told_to(caller: Caller, sandbox: Sandbox) -> None:
    order = sandbox.place_order("shop.example.com")
    sandbox.fail_next(-26, times=2)
    sandbox.fail_next(-42)
    assert [caller.status(order) for _ in range(4)] == [-26, -26, -42, 1]


def test_the_log_says_which_fault_a_call_had(caller: Caller, sandbox: Sandbox) -> None:
    order = sandbox.place_order("shop.example.com")
    sandbox.fail_next("truncate")
    with pytest.raises(httpx.RemoteProtocolError):
        caller.post(order)
    faults: tuple[Fault, ...] = ("html", 503, -22)
    for fault in faults:
        sandbox.fail_next(fault)
        caller.post(order)
    assert [call.answer for call in sandbox.calls] == ["truncate", "html", 503, -22]


def test_a_fault_with_a_code_is_no_wrong_login(caller: Caller, sandbox: Sandbox) -> None:
    order = sandbox.place_order("shop.example.com")
    sandbox.fail_next(-16, times=10)
    assert [caller.status(order) for _ in range(11)] == [-16] * 10 + [1]


def test_reset_disarms_every_fault(caller: Caller, sandbox: Sandbox) -> None:
    sandbox.fail_next(-14, times=9)
    sandbox.reset()
    assert caller.status(sandbox.place_order("shop.example.com")) == 1


@pytest.mark.parametrize("kind", ["nonsense", 0, 1, 200, 299, 600, -10000, None, 5.0])
def test_what_is_no_fault_is_refused_with_a_list_of_those_there_are(sandbox: Sandbox, kind: object) -> None:
    with pytest.raises(ValueError, match="is no fault") as refused:
        sandbox.fail_next(kind)  # type: ignore[arg-type]  # wrong on purpose
    assert all(repr(name) in str(refused.value) for name in FAULTS)


def test_a_fault_strikes_at_least_once(sandbox: Sandbox) -> None:
    with pytest.raises(ValueError, match="times must be at least 1"):
        sandbox.fail_next("html", times=0)


@pytest.mark.anyio
@pytest.mark.parametrize("fault", ["disconnect", "truncate", "hangup"])
async def test_in_process_a_cut_connection_is_an_error_of_the_connection(sandbox: Sandbox, fault: Fault) -> None:
    sandbox.fail_next(fault)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=sandbox.app)) as http:
        with pytest.raises(ConnectionResetError):
            await http.post("https://sandbox.example/products/download/CollectSSL")


def test_a_call_with_a_long_body_times_out_like_any_other(caller: Caller, sandbox: Sandbox) -> None:
    sandbox.fail_next("timeout")
    with pytest.raises(httpx.ReadTimeout):
        caller.http.post(caller.endpoint, content=b"x" * 1024 * 1024, timeout=httpx.Timeout(20, read=0.2))
    wait_until(lambda: sandbox.calls[0].end is not None)
    assert caller.status(sandbox.place_order("shop.example.com")) == 1
