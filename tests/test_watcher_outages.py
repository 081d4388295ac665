"""Whose failure a failure is: an outage ends no order, and an order that always fails ends alone."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import anyio
import httpx
import pytest

from collectssl_async import GuardTimeoutError, PollPolicy, PollUpdate, ProcessGuard, ServerUnavailableError
from collectssl_async.watch import Watcher

from .watching import AVAILABLE, CERTIFICATE, DOWN, EVEN, PROCESSING, Service, issued_after, outcomes_of

if TYPE_CHECKING:
    from .watching import Answer, Call

pytestmark = [pytest.mark.anyio, pytest.mark.virtual_clock]

HOUR = 3600.0

OF_THE_SERVICE: dict[str, Answer] = {
    "cut": httpx.RemoteProtocolError("cut"),
    "timed out": httpx.ReadTimeout("slow"),
    "unavailable": httpx.Response(503),
    "too many": httpx.Response(429),
    "not found": httpx.Response(404),
    "html": "<html>Scheduled maintenance</html>",
    "half": "errorCode=2&certificate=MIIB",
    "-42": "-42\nThe call limit has been reached",
}


@pytest.mark.parametrize("failure", OF_THE_SERVICE)
async def test_after_a_failure_of_the_service_another_order_is_tried_with_a_backoff(failure: str) -> None:
    service = Service(OF_THE_SERVICE[failure])
    watcher = Watcher(service.client(guard=ProcessGuard(abandon_grace=0)), policy=EVEN)
    await watcher.add(*"12345")
    with anyio.move_on_after(500):
        await outcomes_of(watcher)
    assert service.orders == "1 2 3 4 5"
    assert [call.time - service.calls[0].time for call in service.calls] == [0, 30, 90, 210, 450]


async def test_an_answer_ends_the_pause_for_all() -> None:
    service = Service(o1=[DOWN, PROCESSING], o2=[DOWN, PROCESSING], o3=[PROCESSING])
    watcher = Watcher(service.client(), policy=EVEN)
    await watcher.add(*"123456")
    with anyio.move_on_after(100):
        await outcomes_of(watcher)
    # 1 and 2 fail, 3 is answered 90 s after the first; with it all that is overdue is asked for.
    assert service.orders.startswith("1 2 3 4 5 6")
    assert service.times("6") == [90]


async def test_retry_after_is_obeyed_for_every_order() -> None:
    service = Service(o1=[httpx.Response(429, headers={"Retry-After": "700"}), PROCESSING])
    watcher = Watcher(service.client(), policy=EVEN)
    await watcher.add("1", "2")
    with anyio.move_on_after(800):
        await outcomes_of(watcher)
    assert service.times("2")[0] == 700


async def test_a_turn_that_does_not_come_is_the_services_too() -> None:
    service = Service(CERTIFICATE)
    updates: list[PollUpdate] = []
    watcher = Watcher(service.client(guard=ProcessGuard(acquire_timeout=5)), policy=EVEN, on_update=updates.append)
    await watcher.add("1", "2")
    async with anyio.create_task_group() as tasks:
        async with ProcessGuard().hold(service.endpoint) as hold:
            tasks.start_soon(outcomes_of, watcher)
            await anyio.sleep(20)
            hold.finished()
    assert isinstance(updates[0].error, GuardTimeoutError)
    assert (updates[0].state.failures, str(updates[0].state.order), service.orders) == (0, "1", "2 1")


async def test_a_thousand_orders_sit_out_an_outage_of_six_hours() -> None:
    began, ends = anyio.current_time() + 40, anyio.current_time() + 40 + 6 * HOUR
    probes: list[Call] = []

    def answer(call: Call) -> Any:
        if began <= call.time < ends:
            probes.append(call)
            return DOWN
        if call.time < began:
            return PROCESSING
        return AVAILABLE if call.query == "0" else CERTIFICATE

    failures: list[int] = []
    service = Service(answer)
    watcher = Watcher(service.client(), on_update=lambda update: failures.append(update.state.failures))
    await watcher.add(*map(str, range(1000)))
    outcomes = await outcomes_of(watcher)
    assert sum(outcome.bundle is not None for outcome in outcomes) == 1000
    assert 5 < len(probes) < 50
    assert len({probe.order for probe in probes}) == len(probes)
    assert set(failures) == {0}


async def test_an_order_that_always_fails_ends_alone_with_its_error() -> None:
    service = Service(issued_after(12 * HOUR), bad=[DOWN])
    watcher = Watcher(service.client(), policy=PollPolicy(max_failures=10))
    await watcher.add("bad", *map(str, range(199)))
    outcomes = await outcomes_of(watcher)
    [failed] = [outcome for outcome in outcomes if outcome.error is not None]
    assert str(failed.order) == "bad"
    assert isinstance(failed.error, ServerUnavailableError)
    assert failed.state.failures == 10
    assert len(outcomes) == 200


async def test_an_order_that_failed_while_others_were_answered_is_not_charged_with_what_comes_after_them() -> None:
    counted: list[int] = []
    service = Service(issued_after(200), o1=[*[DOWN] * 100, CERTIFICATE])
    policy = PollPolicy(max_failures=10)
    watcher = Watcher(service.client(), policy=policy, on_update=lambda update: counted.append(update.state.failures))
    await watcher.add("1", "2", "3")
    *_, last = await outcomes_of(watcher)
    assert (str(last.order), last.bundle is not None) == ("1", True)
    assert 0 < max(counted) < 10


async def test_an_order_that_always_fails_holds_the_others_up_for_no_longer_than_one_failure_does() -> None:
    service = Service(bad=[DOWN])
    watcher = Watcher(service.client(), policy=PollPolicy.gentle().model_copy(update={"jitter": 0.0}))
    await watcher.add("bad", "1", "2")
    with anyio.move_on_after(10 * HOUR):
        await outcomes_of(watcher)
    pauses = [later - earlier for earlier, later in itertools.pairwise(service.times("1"))]
    assert len(pauses) == 3
    assert all(0 <= pause - 3 * HOUR <= 30 for pause in pauses)


async def test_failures_of_an_order_count_only_when_others_were_answered_in_between() -> None:
    updates: list[PollUpdate] = []
    service = Service(bad=[DOWN])
    watcher = Watcher(service.client(), policy=EVEN, on_update=updates.append)
    await watcher.add("bad")
    with anyio.move_on_after(HOUR):
        await outcomes_of(watcher)
    assert [update.state.failures for update in updates] == [0] * 7
    await watcher.add("good")
    with anyio.move_on_after(2 * HOUR):
        await outcomes_of(watcher)
    counted = [update.state.failures for update in updates if str(update.state.order) == "bad"]
    assert max(counted) > 0


async def test_an_outage_ends_not_even_an_order_that_is_alone() -> None:
    service = Service(o1=[DOWN] * 100 + [CERTIFICATE])
    watcher = Watcher(service.client())
    await watcher.add("1")
    [outcome] = await outcomes_of(watcher)
    assert outcome.bundle is not None


async def test_an_order_whose_certificates_cannot_be_read_ends_alone() -> None:
    service = Service(issued_after(10 * HOUR), bad=[AVAILABLE, "errorCode=2&certificate=MIIB"])
    watcher = Watcher(service.client(), policy=PollPolicy(max_failures=3))
    await watcher.add("bad", *map(str, range(20)))
    outcomes = await outcomes_of(watcher)
    assert [str(outcome.order) for outcome in outcomes if outcome.error is not None] == ["bad"]
    assert outcomes[0].state.failures == 3
