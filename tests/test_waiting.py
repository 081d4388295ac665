"""Waiting on a clock that jumps: when an order is asked for, what is waited out, what ends the wait, how it goes on."""

from __future__ import annotations

import contextlib
import json
import math
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import anyio
import httpx
import pytest

from collectssl_async import (
    APIError,
    AuthenticationError,
    AwaitingPaymentError,
    CertificateBundle,
    ChainError,
    GuardTimeoutError,
    MalformedResponseError,
    OrderRef,
    PollPolicy,
    PollState,
    PollUpdate,
    ProcessGuard,
    ServerUnavailableError,
    StatusCode,
    TransportError,
    WaitTimeoutError,
)
from collectssl_async.errors import API_ERRORS

from . import pki
from .scripted import CERTIFICATE, CHAIN, EVEN, Service, base64_of, status

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from collectssl_async import Hold

    from .scripted import Answer

pytestmark = [pytest.mark.anyio, pytest.mark.virtual_clock]

# --- the schedule -----------------------------------------------------------------------------------------------------


async def test_an_order_is_polled_until_available_and_collected_at_once() -> None:
    service = Service(status(0), status(0), status(0), status(1), CERTIFICATE)
    bundle = await service.client().wait_for_certificate("1", policy=EVEN)
    assert bundle.dns_names == ("shop.example.com",)
    assert service.query_types == ["0", "0", "0", "0", "1"]
    assert service.gaps == [60, 120, 240, 0]


async def test_poll_iterates_over_the_replies_and_ends_with_the_certificate() -> None:
    service = Service(status(0), status(0), status(1), CERTIFICATE)
    replies = [reply async for reply in service.client().poll("1", policy=EVEN)]
    assert [reply.status for reply in replies] == [0, 0, 1, 2]
    assert replies[-1].payload is not None
    assert all(reply.payload is None for reply in replies[:-1])


async def test_the_default_asks_eight_times_in_the_first_two_hours_and_ever_more_rarely_up_to_three() -> None:
    service = Service(*[status(0)] * 20, status(1), CERTIFICATE)
    await service.client().wait_for_certificate("1", policy=EVEN)
    doubling = [60.0 * 2**n for n in range(8)]
    assert service.gaps[:19] == [*doubling, *[10800.0] * 11]
    assert sum(1 for time in service.times if time - service.times[0] <= 7620) == 8


async def test_jitter_only_lengthens_and_by_no_more_than_its_share() -> None:
    service = Service(*[status(0)] * 12, status(1), CERTIFICATE)
    await service.client().wait_for_certificate("1", policy=PollPolicy(jitter=0.5))
    planned = [min(60.0 * 2**n, 10800) for n in range(12)]
    assert all(plan <= gap <= 1.5 * plan for plan, gap in zip(planned, service.gaps, strict=False))
    assert service.gaps[:12] != planned


async def test_gentle_never_asks_more_often_than_once_in_three_hours() -> None:
    service = Service(*[status(0)] * 5, status(1), CERTIFICATE)
    await service.client().wait_for_certificate("1", policy=PollPolicy.gentle())
    assert all(gap >= 10800 for gap in service.gaps[:-1])
    assert service.gaps[-1] == 0


async def test_an_initial_delay_comes_before_the_first_poll() -> None:
    service = Service(CERTIFICATE)
    began = anyio.current_time()
    await service.client().wait_for_certificate("1", policy=PollPolicy(initial_delay=600))
    assert service.times[0] - began == pytest.approx(600)


async def test_a_status_poll_that_brings_the_certificate_ends_the_wait() -> None:
    service = Service(CERTIFICATE)
    await service.client().wait_for_certificate("1")
    assert service.query_types == ["0"]


async def test_status_two_without_certificate_is_collected_too() -> None:
    service = Service(status(2), CERTIFICATE)
    await service.client().wait_for_certificate("1")
    assert (service.query_types, service.gaps) == (["0", "1"], [0])


async def test_available_but_not_attached_is_collected_again_after_the_failure_interval_doubling() -> None:
    service = Service(status(0), status(1), status(1), status(1), status(0), CERTIFICATE)
    await service.client().wait_for_certificate("1", policy=EVEN)
    assert service.query_types == ["0", "0", "1", "1", "1", "1"]
    assert service.gaps == [60, 0, 30, 60, 120]


async def test_a_certificate_that_cannot_be_used_ends_the_wait() -> None:
    foreign = f"errorCode=2&caCertificate={base64_of(pki.root('Stranger'))}&certificate={base64_of(CHAIN.leaf)}"
    service = Service(status(1), foreign)
    with pytest.raises(ChainError):
        await service.client().wait_for_certificate("1")
    assert len(service.times) == 2


# --- failures ---------------------------------------------------------------------------------------------------------

OUTAGES: dict[str, Answer] = {
    "refused": httpx.ConnectError("refused"),
    "cut": httpx.RemoteProtocolError("cut"),
    "reset": httpx.ReadError("reset"),
    "timed out": httpx.ReadTimeout("slow"),
    "anything a transport raises": RuntimeError("what"),
    "unavailable": httpx.Response(503),
    "bad gateway": httpx.Response(502, content=b"<html>"),
    "too many": httpx.Response(429),
    "not found": httpx.Response(404),
    "redirect": httpx.Response(302, headers={"Location": "https://elsewhere.example/"}),
    "html": "<html>Scheduled maintenance</html>",
    "empty": "",
    "nonsense": b"\x00\xff",
    "half": "errorCode=2&certificate=MIIB",
    "-14": "-14\nAn unknown error occurred!",
    "-26": "-26\nbeing issued",
    "-42": "errorCode=-42&errorMessage=limit",
}


@pytest.mark.parametrize("outage", OUTAGES)
async def test_an_outage_is_waited_out_with_a_backoff_of_its_own(outage: str) -> None:
    calls_per_failure = 2 if outage == "refused" else 1  # a connection that cannot be made is tried twice
    failures = [OUTAGES[outage]] * 3 * calls_per_failure
    service = Service(status(0), *failures, status(0), status(1), CERTIFICATE)
    guard = ProcessGuard(abandon_grace=0)  # the grace of calls that were cut is not what is looked at here
    await service.client(guard=guard).wait_for_certificate("1", policy=EVEN)
    # 60 s to the first failing poll; 30, 60, 120 between failures; then the schedule goes on with its second pause.
    assert [gap for gap in service.gaps if gap] == [60, 30, 60, 120, 120]


async def test_a_failure_does_not_move_the_schedule() -> None:
    service = Service(status(0), httpx.Response(503), status(0), httpx.Response(503), status(0), CERTIFICATE)
    await service.client().wait_for_certificate("1", policy=EVEN)
    assert service.gaps == [60, 30, 120, 30, 240]


@pytest.mark.parametrize(("header", "gap"), [("5", 30), ("400", 400), ("99999999", 10800), ("soon", 30), ("-1", 30)])
async def test_retry_after_is_obeyed_up_to_the_longest_interval(header: str, gap: float) -> None:
    service = Service(httpx.Response(503, headers={"Retry-After": header}), CERTIFICATE)
    await service.client().wait_for_certificate("1", policy=EVEN)
    assert service.gaps == [gap]


async def test_retry_after_may_be_a_date() -> None:
    until = datetime.now(UTC) + timedelta(seconds=500)
    header = until.strftime("%a, %d %b %Y %H:%M:%S GMT")
    service = Service(httpx.Response(429, headers={"Retry-After": header}), CERTIFICATE)
    await service.client().wait_for_certificate("1", policy=EVEN)
    assert 490 <= service.gaps[0] <= 500


async def test_failures_double_up_to_an_hour_and_the_last_of_forty_is_raised() -> None:
    service = Service(httpx.Response(503))
    with pytest.raises(ServerUnavailableError):
        await service.client().wait_for_certificate("1", policy=EVEN)
    assert service.gaps == [*[30.0 * 2**n for n in range(7)], *[3600.0] * 32]
    assert 32 * 3600 < sum(service.gaps) < 34 * 3600


async def test_an_answer_in_between_starts_the_count_of_failures_anew() -> None:
    answers: list[Answer] = [httpx.Response(503), httpx.Response(503), status(0)]
    service = Service(*answers * 5, CERTIFICATE)
    await service.client().wait_for_certificate("1", policy=PollPolicy(max_failures=3))
    assert len(service.times) == 16


async def test_a_turn_that_does_not_come_is_waited_out() -> None:
    service = Service(CERTIFICATE)
    client = service.client(guard=ProcessGuard(acquire_timeout=5))
    async with anyio.create_task_group() as tasks:
        async with ProcessGuard().hold(service.endpoint) as hold:
            began = anyio.current_time()
            tasks.start_soon(client.wait_for_certificate, "1")
            await anyio.sleep(20)
            hold.finished()
    assert 35 <= service.times[0] - began <= 39


async def test_a_turn_that_never_comes_ends_the_wait_after_all() -> None:
    service = Service(CERTIFICATE)
    policy = PollPolicy(max_failures=2)
    async with ProcessGuard().hold(service.endpoint) as hold:
        with pytest.raises(GuardTimeoutError):
            await service.client(guard=ProcessGuard(acquire_timeout=5)).wait_for_certificate("1", policy=policy)
        hold.finished()


WAITED_OUT = {code for code, known in API_ERRORS.items() if known.waits}


@pytest.mark.parametrize("code", [*sorted(set(API_ERRORS) - WAITED_OUT), -99])
async def test_every_other_error_ends_the_wait_in_one_call(code: int) -> None:
    service = Service(f"{code}\nno")
    with pytest.raises(APIError) as caught:
        await service.client().wait_for_certificate("1")
    assert (caught.value.code, len(service.times)) == (code, 1)
    assert type(caught.value) is (API_ERRORS[code].error if code in API_ERRORS else APIError)


async def test_the_codes_waited_out_are_the_three_that_pass() -> None:
    assert sorted(WAITED_OUT) == [-42, -26, -14]


async def test_a_code_kept_waiting_for_counts_as_not_yet() -> None:
    service = Service(*["-22\nStill awaiting payment!"] * 3, status(1), CERTIFICATE)
    await service.client().wait_for_certificate("1", policy=PollPolicy(jitter=0, keep_waiting_for=frozenset({-22})))
    assert service.gaps == [60, 120, 240, 0]


async def test_a_code_not_kept_waiting_for_ends_the_wait() -> None:
    with pytest.raises(AwaitingPaymentError):
        await Service("-22\nStill awaiting payment!").client().wait_for_certificate("1")


# --- wrong credentials ------------------------------------------------------------------------------------------------


async def test_after_a_wrong_login_every_wait_of_the_client_ends_without_a_call() -> None:
    service = Service(status(0), "-16\nIncorrect login details")
    client = service.client()
    ended: list[APIError] = []

    async def wait(number: int) -> None:
        try:
            await client.wait_for_certificate(str(number))
        except AuthenticationError as error:
            ended.append(error)

    async with anyio.create_task_group() as tasks:
        for number in range(500):
            tasks.start_soon(wait, number)
    assert len(ended) == 500
    assert len(service.times) == 2


class SlowToLeave:
    """A guard that awaits on the way out, as one that talks to a server does."""

    def __init__(self, guard: ProcessGuard) -> None:
        self._guard = guard

    @contextlib.asynccontextmanager
    async def hold(self, resource: str) -> AsyncIterator[Hold]:
        async with self._guard.hold(resource) as hold:
            yield hold
        await anyio.sleep(1)


async def test_the_wrong_login_is_known_before_the_next_turn_begins() -> None:
    service = Service("-16\nIncorrect login details")
    client = service.client(guard=SlowToLeave(ProcessGuard()))

    async def wait(number: int) -> None:
        with pytest.raises(AuthenticationError):
            await client.wait_for_certificate(str(number))

    async with anyio.create_task_group() as tasks:
        for number in range(5):
            tasks.start_soon(wait, number)
    assert len(service.times) == 1


async def test_a_wait_that_sleeps_learns_of_the_wrong_login_before_its_next_call() -> None:
    service = Service(status(0), "-16\nIncorrect login details", CERTIFICATE)
    client = service.client()
    async with anyio.create_task_group() as tasks:

        async def sleeper() -> None:
            with pytest.raises(AuthenticationError):
                await client.wait_for_certificate("1")

        tasks.start_soon(sleeper)
        await anyio.sleep(1)
        with pytest.raises(AuthenticationError):
            await client.status("2")
    assert len(service.times) == 2


async def test_a_call_that_succeeds_lets_waits_begin_again() -> None:
    service = Service("-16\nIncorrect login details", status(0), CERTIFICATE)
    client = service.client()
    for _ in range(2):
        with pytest.raises(AuthenticationError):
            await client.wait_for_certificate("1")
    assert len(service.times) == 1
    await client.status("1")
    await client.wait_for_certificate("1")


async def test_a_wrong_login_is_another_clients_alone() -> None:
    service = Service("-16\nIncorrect login details", CERTIFICATE)
    with pytest.raises(AuthenticationError):
        await service.client().wait_for_certificate("1")
    await service.client().wait_for_certificate("1")


# --- the deadline -----------------------------------------------------------------------------------------------------


async def test_at_the_deadline_a_last_poll_is_made_and_the_state_handed_over() -> None:
    service = Service(status(0))
    began = anyio.current_time()
    with pytest.raises(WaitTimeoutError) as caught:
        await service.client().wait_for_certificate("1", policy=EVEN, timeout=300)
    # Planned at 0, 60, 180, 420: the last one comes at 300 instead.
    assert [round(time - began) for time in service.times] == [0, 60, 180, 300]
    assert (caught.value.state.polls, caught.value.state.last_status) == (4, StatusCode.PROCESSING)
    assert anyio.current_time() - began == pytest.approx(300)


async def test_no_last_poll_is_made_within_the_shortest_interval_of_the_one_before() -> None:
    service = Service(status(0))
    began = anyio.current_time()
    with pytest.raises(WaitTimeoutError):
        await service.client().wait_for_certificate("1", policy=EVEN, timeout=200)
    assert [round(time - began) for time in service.times] == [0, 60, 180]
    assert anyio.current_time() - began == pytest.approx(200)


async def test_a_last_poll_that_finds_it_available_still_collects() -> None:
    service = Service(status(0), status(0), status(0), status(1), CERTIFICATE)
    await service.client().wait_for_certificate("1", policy=EVEN, timeout=300)
    assert service.query_types == ["0", "0", "0", "0", "1"]


async def test_a_call_under_way_at_the_deadline_is_finished() -> None:
    async def slowly() -> str:
        await anyio.sleep(50)
        return CERTIFICATE

    service = Service(slowly)
    bundle = await service.client().wait_for_certificate("1", timeout=10)
    assert isinstance(bundle, CertificateBundle)


async def test_no_time_at_all_is_one_poll() -> None:
    service = Service(status(0))
    with pytest.raises(WaitTimeoutError):
        await service.client().wait_for_certificate("1", timeout=0)
    assert len(service.times) == 1


async def test_a_policy_without_pauses_ends_at_the_deadline_all_the_same() -> None:
    service = Service(httpx.Response(503))
    policy = PollPolicy(min_interval=0, failure_interval=20)
    with pytest.raises(WaitTimeoutError):
        await service.client().wait_for_certificate("1", policy=policy, timeout=10)
    assert len(service.times) == 2


@pytest.mark.parametrize("timeout", [-1, math.nan])
async def test_a_time_out_that_is_no_duration_is_refused(timeout: float) -> None:
    service = Service(status(0))
    with pytest.raises(ValueError, match="timeout must be a number of seconds"):
        await service.client().wait_for_certificate("1", timeout=timeout)
    assert service.times == []


async def test_an_outer_cancellation_gets_in_between_polls() -> None:
    service = Service(status(0))
    with anyio.move_on_after(100) as scope:
        await service.client().wait_for_certificate("1", policy=EVEN)
    assert scope.cancelled_caught
    assert len(service.times) == 2


# --- updates ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["function", "coroutine function"])
async def test_on_update_is_told_of_every_poll(kind: str) -> None:
    updates: list[PollUpdate] = []

    async def append(update: PollUpdate) -> None:
        updates.append(update)

    service = Service(status(0), httpx.Response(503), status(1), CERTIFICATE)
    on_update: Any = updates.append if kind == "function" else append
    await service.client().wait_for_certificate("1", on_update=on_update)
    assert [update.status for update in updates] == [0, None, 1, 2]
    assert isinstance(updates[1].error, ServerUnavailableError)
    assert [update.state.polls for update in updates] == [1, 1, 2, 3]
    assert [update.state.failures for update in updates] == [0, 1, 0, 0]


async def test_what_on_update_raises_ends_the_wait() -> None:
    def explode(_: PollUpdate) -> None:
        raise LookupError("no")

    service = Service(status(0))
    with pytest.raises(LookupError):
        await service.client().wait_for_certificate("1", on_update=explode)
    assert len(service.times) == 1


# --- going on ---------------------------------------------------------------------------------------------------------

GO_ON = """
import sys, json, trio, trio.testing, httpx
from collectssl_async import CollectSSLClient, Credentials, PollPolicy, PollState

calls = []

async def answer(request):
    calls.append((trio.current_time(), request.content.decode().split("queryType=")[1][0]))
    return httpx.Response(200, content=sys.argv[2])

async def main():
    http = httpx.AsyncClient(transport=httpx.MockTransport(answer))
    client = CollectSSLClient(Credentials(login_name="a", login_password="b"), http_client=http)
    began = trio.current_time()
    state = PollState.model_validate_json(sys.argv[1])
    bundle = await client.wait_for_certificate("1", state=state, policy=PollPolicy(jitter=0))
    print(json.dumps([[time - began, query] for time, query in calls]))

trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))
"""


async def test_another_process_goes_on_from_the_json_without_an_early_poll() -> None:
    service = Service(status(0))
    with pytest.raises(WaitTimeoutError) as caught:
        await service.client().wait_for_certificate("1", policy=EVEN, timeout=200)
    text = caught.value.state.model_dump_json()
    assert "secret" not in text
    done = await anyio.to_thread.run_sync(
        lambda: subprocess.run(
            [sys.executable, "-c", GO_ON, text, CERTIFICATE], capture_output=True, text=True, check=True
        )
    )
    [[waited, query]] = json.loads(done.stdout)
    # Three polls were answered, so the fourth is due 240 s after the last; hardly any of it has passed in real time.
    assert 200 <= waited <= 240
    assert query == "0"


def a_state(**changes: Any) -> PollState:
    now = datetime.now(UTC)
    return PollState(**{"order": OrderRef(order_number="1"), "started_at": now, "next_poll_at": now, **changes})


async def test_going_on_with_an_available_order_collects_at_once() -> None:
    service = Service(CERTIFICATE)
    await service.client().wait_for_certificate("1", state=a_state(last_status=1, polls=4))
    assert service.query_types == ["1"]


async def test_going_on_keeps_the_place_in_the_schedule() -> None:
    service = Service(status(0), CERTIFICATE)
    await service.client().wait_for_certificate("1", state=a_state(last_status=0, polls=3), policy=EVEN)
    assert service.gaps == [480]


async def test_going_on_counts_the_failures_before() -> None:
    service = Service(httpx.Response(503), CERTIFICATE)
    await service.client().wait_for_certificate("1", state=a_state(failures=3), policy=EVEN)
    assert service.gaps == [240]


async def test_a_state_from_a_clock_that_was_wrong_never_pauses_longer_than_the_policy() -> None:
    service = Service(CERTIFICATE)
    began = anyio.current_time()
    state = a_state(next_poll_at=datetime.now(UTC) + timedelta(days=900))
    await service.client().wait_for_certificate("1", state=state, policy=EVEN)
    assert service.times[0] - began == pytest.approx(10800)


async def test_the_last_poll_at_a_deadline_knows_of_polls_before_the_restart() -> None:
    now = datetime.now(UTC)
    state = a_state(polls=1, last_status=0, last_poll_at=now, next_poll_at=now + timedelta(seconds=60))
    service = Service(status(0))
    with pytest.raises(WaitTimeoutError):
        await service.client().wait_for_certificate("1", state=state, policy=EVEN, timeout=30)
    assert service.times == []


@pytest.mark.parametrize("order", ["2", OrderRef(order_number="1", certificate_id=5)])
async def test_the_state_of_another_order_is_refused(order: OrderRef | str) -> None:
    service = Service(CERTIFICATE)
    with pytest.raises(ValueError, match="state is of order 1"):
        await service.client().wait_for_certificate(order, state=a_state())
    with pytest.raises(ValueError, match="state is of order 1"):
        service.client().poll(order, state=a_state())
    assert service.times == []


async def test_poll_goes_on_after_a_cancellation_where_it_was() -> None:
    service = Service(status(0), status(0), CERTIFICATE)
    replies = aiter(service.client().poll("1", policy=EVEN))
    assert (await anext(replies)).status == 0
    with anyio.move_on_after(40):
        await anext(replies)
    assert (await anext(replies)).status == 0
    assert service.gaps == [60]


async def test_poll_raises_what_ends_the_wait_and_is_over_then() -> None:
    service = Service("-20\nrejected")
    replies = aiter(service.client().poll("1"))
    with pytest.raises(APIError):
        await anext(replies)
    with pytest.raises(StopAsyncIteration):
        await anext(replies)
    assert len(service.times) == 1


async def test_an_iteration_that_is_closed_asks_no_more() -> None:
    service = Service(status(0))
    async with contextlib.aclosing(service.client().poll("1")) as replies:
        await anext(replies)
    assert [reply async for reply in replies] == []
    assert len(service.times) == 1


async def test_a_failure_that_is_raised_is_the_last_one() -> None:
    service = Service(httpx.Response(503), "<html>", httpx.ReadError("reset"))
    client = service.client(guard=ProcessGuard(abandon_grace=0))
    with pytest.raises(TransportError, match="ReadError"):
        await client.wait_for_certificate("1", policy=PollPolicy(max_failures=3))
    with pytest.raises(MalformedResponseError):
        await Service("<html>").client().wait_for_certificate("1", policy=PollPolicy(max_failures=1))
