"""The overlap rule: one call in work at a time, caller there or not; who comes meanwhile is refused and remembered.

A call stays in work here by the fault "timeout": it ends when its caller leaves, so nothing has to be slept through.
"""

from __future__ import annotations

import socket
import threading
from contextlib import contextmanager
from types import SimpleNamespace
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import anyio
import httpx
import pytest

from collectssl_async.sandbox import Sandbox
from collectssl_async.sandbox.request import FORM_TYPE

from .calling import Caller, Clock, wait_until

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterator

    from collectssl_async.sandbox import SandboxOrder

PATH = "https://sandbox.example/products/download/CollectSSL"


@contextmanager
def call_in_work(caller: Caller, order: SandboxOrder) -> Iterator[ssl.SSLSocket]:
    """Make a call that is answered to nobody; leave it at the end."""
    caller.sandbox.fail_next("timeout")
    body = str(httpx.QueryParams(caller.form(order)))
    with open_call(caller, len(body)) as connection:
        connection.sendall(body.encode())
        wait_until(lambda: caller.sandbox.calls[-1].answer == "timeout")
        yield connection


@contextmanager
def open_call(caller: Caller, length: int) -> Iterator[ssl.SSLSocket]:
    """Send the headers of a call."""
    url = urlsplit(caller.endpoint)
    before = len(caller.sandbox.calls)
    head = f"POST {url.path} HTTP/1.1\r\nHost: x\r\nContent-Type: {FORM_TYPE}\r\nContent-Length: {length}\r\n\r\n"
    with (
        socket.create_connection((url.hostname, url.port)) as raw,
        caller.context.wrap_socket(raw, server_hostname=url.hostname) as connection,
    ):
        connection.sendall(head.encode())
        wait_until(lambda: len(caller.sandbox.calls) > before)
        yield connection


def test_a_second_call_is_refused_at_once_and_names_the_one_in_work(caller: Caller, sandbox: Sandbox) -> None:
    order, other = sandbox.place_order("a.example"), sandbox.place_order("b.example")
    with call_in_work(caller, order):
        lines = caller.lines(other)
    assert lines == ["-14", f"An unknown error occurred! Call 1 for order {order.order_number} is still in work."]


def test_both_calls_are_remembered(caller: Caller, sandbox: Sandbox) -> None:
    order, other = sandbox.place_order("a.example"), sandbox.place_order("b.example")
    with call_in_work(caller, order):
        caller.status(other)
    first, second = sandbox.calls
    assert (first.order, first.overlapped, first.during) == (order.order_number, False, None)
    assert (second.order, second.overlapped, second.during) == (other.order_number, True, first)
    assert (second.answer, sandbox.overlaps) == (-14, 1)


def test_a_refused_call_is_not_in_work_itself(caller: Caller, sandbox: Sandbox) -> None:
    order = sandbox.place_order("a.example")
    with call_in_work(caller, order):
        assert [caller.status(order) for _ in range(3)] == [-14] * 3
    assert [call.during for call in sandbox.calls] == [None] + [sandbox.calls[0]] * 3


def test_a_refused_call_leaves_the_next_fault_to_others(caller: Caller, sandbox: Sandbox) -> None:
    order = sandbox.place_order("a.example")
    with call_in_work(caller, order):
        sandbox.fail_next(-22)
        assert caller.status(order) == -14
    wait_until(lambda: sandbox.calls[0].end is not None)
    assert caller.status(order) == -22


def test_a_refused_call_is_no_login(caller: Caller, sandbox: Sandbox) -> None:
    order = sandbox.place_order("a.example")
    with call_in_work(caller, order):
        for _ in range(20):
            assert caller.status(order, loginPassword="wrong") == -14
    assert not sandbox.locked


def test_calls_one_after_the_other_do_not_overlap(caller: Caller, sandbox: Sandbox) -> None:
    order = sandbox.place_order("a.example")
    for _ in range(50):
        assert caller.status(order, queryType=1) == 2
    assert sandbox.overlaps == 0


def test_a_call_is_in_work_from_its_headers(caller: Caller, sandbox: Sandbox) -> None:
    order = sandbox.place_order("a.example")
    with open_call(caller, 10):
        lines = caller.lines(order)
    assert lines == ["-14", "An unknown error occurred! Call 1 is still in work."]


def test_a_caller_that_leaves_before_its_request_is_whole_abandoned_it(caller: Caller, sandbox: Sandbox) -> None:
    with open_call(caller, 10):
        pass
    wait_until(lambda: sandbox.calls[0].end is not None)
    assert (sandbox.calls[0].abandoned, sandbox.calls[0].answer) == (True, None)


def test_an_abandoned_call_lingers(caller: Caller, sandbox: Sandbox, clock: Clock) -> None:
    order = sandbox.place_order("a.example")
    sandbox.linger = 5
    with call_in_work(caller, order):
        pass
    wait_until(lambda: sandbox.calls[0].end is not None)
    clock.now += 4.9
    seen = [caller.status(order)]
    clock.now += 0.1
    seen.append(caller.status(order))
    assert seen == [-14, 1]
    assert (sandbox.calls[0].abandoned, sandbox.calls[0].end) == (True, sandbox.calls[0].start + 5)


def test_a_call_whose_answer_was_taken_does_not_linger(caller: Caller, sandbox: Sandbox) -> None:
    order = sandbox.place_order("a.example")
    sandbox.linger = 1e9
    assert [caller.status(order) for _ in range(3)] == [1, 1, 1]
    assert not any(call.abandoned for call in sandbox.calls)


def test_a_refused_call_that_is_abandoned_does_not_linger(caller: Caller, sandbox: Sandbox, clock: Clock) -> None:
    sandbox.linger = 5
    with call_in_work(caller, sandbox.place_order("a.example")):
        with open_call(caller, 10):
            pass
        wait_until(lambda: sandbox.calls[1].end is not None)
    assert (sandbox.calls[1].abandoned, sandbox.calls[1].end) == (True, clock.now)


def test_the_work_goes_on_though_the_caller_has_left(
    caller: Caller, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    order, begun, done = sandbox.place_order("a.example"), threading.Event(), threading.Event()

    async def take_long(_: float) -> None:
        begun.set()
        await anyio.to_thread.run_sync(done.wait)

    monkeypatch.setattr("collectssl_async.sandbox.app.anyio", SimpleNamespace(sleep=take_long))
    body = str(httpx.QueryParams(caller.form(order)))
    with open_call(caller, len(body)) as connection:
        connection.sendall(body.encode())
        assert begun.wait(10)
    refused = caller.status(order)
    done.set()
    wait_until(lambda: sandbox.calls[0].end is not None)
    assert refused == -14
    assert (sandbox.calls[0].abandoned, sandbox.calls[0].answer) == (True, 1)


def test_reset_forgets_the_call_that_is_in_work(caller: Caller, sandbox: Sandbox) -> None:
    with call_in_work(caller, sandbox.place_order("a.example")):
        sandbox.reset()
        assert caller.status(sandbox.place_order("a.example")) == 1
    assert len(sandbox.calls) == 1


# --- in process -------------------------------------------------------------------------------------------------------


@pytest.mark.anyio
async def test_twelve_calls_at_once_are_one_answer_and_eleven_refusals() -> None:
    sandbox = Sandbox(strict=False)
    caller = sandbox.credentials
    form = {
        "loginName": caller.login_name,
        "loginPassword": caller.login_password.get_secret_value(),
        "orderNumber": sandbox.place_order("a.example").order_number,
        "queryType": "0",
    }
    answers = []

    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=sandbox.app)) as http:

        async def call() -> None:
            answers.append((await http.post(PATH, data=form)).text.splitlines()[0])

        async with anyio.create_task_group() as group:
            for _ in range(12):
                group.start_soon(call)
    assert sorted(answers) == ["-14"] * 11 + ["1"]
    assert (sandbox.overlaps, [call.overlapped for call in sandbox.calls]) == (11, [False] + [True] * 11)
    assert all(call.end is not None and call.start <= call.end for call in sandbox.calls)


@pytest.mark.anyio
@pytest.mark.virtual_clock
async def test_a_call_takes_as_long_as_it_is_told_to() -> None:
    sandbox = Sandbox(latency=3600, clock=anyio.current_time)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=sandbox.app)) as http:
        await http.post(PATH, timeout=None)
    [call] = sandbox.calls
    assert call.end is not None
    assert call.end - call.start == pytest.approx(3600)


@pytest.mark.anyio
@pytest.mark.virtual_clock
async def test_jitter_makes_calls_longer_and_a_seed_repeats_it() -> None:
    sandbox = Sandbox(seed=1, latency=10, jitter=5, clock=anyio.current_time)
    runs = []
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=sandbox.app)) as http:
        for seed in (1, 1, 2):
            sandbox.reset(seed)
            for _ in range(20):
                await http.post(PATH, timeout=None)
            runs.append([round((call.end or 0) - call.start, 6) for call in sandbox.calls])
    first, again, other = runs
    assert first == again != other
    assert 10 <= min(first) < 12
    assert 13 < max(first) < 15


@pytest.mark.anyio
@pytest.mark.virtual_clock
async def test_a_cancelled_call_in_process_is_an_abandoned_one() -> None:
    sandbox = Sandbox(latency=3600, linger=10, clock=anyio.current_time)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=sandbox.app)) as http:
        with anyio.move_on_after(5):
            await http.post(PATH)
    [call] = sandbox.calls
    assert call.end is not None
    assert call.abandoned
    assert call.end - call.start == pytest.approx(15)


@pytest.mark.parametrize("name", ["latency", "linger", "jitter"])
def test_seconds_below_zero_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} is in seconds"):
        Sandbox(**{name: -1})  # type: ignore[arg-type]  # one of several keywords


def test_reset_brings_back_what_the_sandbox_was_made_with() -> None:
    sandbox = Sandbox(latency=1, linger=2, jitter=3, strict=False)
    sandbox.latency, sandbox.linger, sandbox.jitter, sandbox.switches = 4, 5, 6, {"chunked"}
    sandbox.reset()
    assert (sandbox.latency, sandbox.linger, sandbox.jitter, set(sandbox.switches)) == (1, 2, 3, set())
