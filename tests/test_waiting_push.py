"""What a notification does to a wait, on a clock that jumps: when it is polled, and when it is not."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import anyio
import httpx
import pytest

from collectssl_async import OrderRef, PollPolicy, WaitTimeoutError
from collectssl_async.push import SECTIGO_PUSH_HOST, PushReceiver

from .scripted import CERTIFICATE, EVEN, Service, status

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

pytestmark = [pytest.mark.anyio, pytest.mark.virtual_clock]

THREE_HOURS = 10_800
GENTLE = PollPolicy.gentle().model_copy(update={"jitter": 0.0})


async def notify(receiver: PushReceiver, host: str = SECTIGO_PUSH_HOST, **fields: str) -> int:
    """Send a notification of order 1, or another one, and return the answer's status."""
    transport = httpx.ASGITransport(receiver, client=(host, 1))
    async with httpx.AsyncClient(transport=transport, base_url="http://us.example") as client:
        answer = await client.get("/", params={"orderNumber": "1", "eventType": "Certificate"} | fields)
        return answer.status_code


@asynccontextmanager
async def waiting(service: Service, receiver: PushReceiver, **options: Any) -> AsyncIterator[None]:
    """Have order 1 waited for beside the block; leave when the certificate is there."""

    async def wait() -> None:
        order = options.pop("order", "1")
        bundle = await service.client().wait_for_certificate(order, push=receiver, **{"policy": GENTLE} | options)
        assert bundle.dns_names == ("shop.example.com",)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(wait)
        await anyio.sleep(1)
        yield


async def test_a_notification_ends_a_pause_of_three_hours_at_once() -> None:
    service, receiver = Service(status(0), status(1), CERTIFICATE), PushReceiver()
    async with waiting(service, receiver):
        await anyio.sleep(4_999)
        await notify(receiver)
    assert service.gaps == [5_000, 0]


async def test_the_default_with_push_is_sectigos_own_advice() -> None:
    service = Service(status(0), status(1), CERTIFICATE)
    await service.client().wait_for_certificate("1", push=PushReceiver())
    assert service.gaps[0] >= THREE_HOURS


async def test_a_policy_that_is_given_counts_with_push_too() -> None:
    service = Service(status(0), status(1), CERTIFICATE)
    await service.client().wait_for_certificate("1", policy=EVEN, push=PushReceiver())
    assert service.gaps == [60, 0]


@pytest.mark.parametrize(
    ("order", "named"),
    [
        (OrderRef(certificate_id=7), {"orderNumber": "other", "certificateID": "7"}),
        (OrderRef(order_number="1", certificate_id=7), {"certificateID": "8"}),
    ],
)
async def test_an_order_is_known_by_any_of_its_names(order: OrderRef, named: dict[str, str]) -> None:
    service, receiver = Service(status(0), status(1), CERTIFICATE), PushReceiver()
    async with waiting(service, receiver, order=order):
        await anyio.sleep(99)
        await notify(receiver, **named)
    assert service.gaps == [100, 0]


async def test_a_notification_of_another_order_wakes_nobody() -> None:
    service, receiver = Service(status(0), status(1), CERTIFICATE), PushReceiver()
    async with waiting(service, receiver):
        await anyio.sleep(99)
        await notify(receiver, orderNumber="2")
    assert service.gaps == [THREE_HOURS, 0]


async def test_a_forged_notification_wakes_nobody() -> None:
    service, receiver = Service(status(0), status(1), CERTIFICATE), PushReceiver()
    async with waiting(service, receiver):
        await anyio.sleep(99)
        assert await notify(receiver, host="203.0.113.66") == 403
    assert service.gaps == [THREE_HOURS, 0]


async def test_a_poll_is_not_repeated_within_the_failure_interval_of_the_last() -> None:
    service, receiver = Service(status(0), status(1), CERTIFICATE), PushReceiver()
    async with waiting(service, receiver):
        await notify(receiver)
    assert service.gaps == [30, 0]


async def test_a_notification_that_comes_during_a_call_is_not_lost() -> None:
    receiver = PushReceiver()

    async def notified_meanwhile() -> str:
        await notify(receiver)
        return status(0)

    service = Service(notified_meanwhile, status(1), CERTIFICATE)
    await service.client().wait_for_certificate("1", policy=GENTLE, push=receiver)
    assert service.gaps == [30, 0]


async def test_a_notification_before_the_wait_is_not_lost() -> None:
    service, receiver = Service(status(0), status(1), CERTIFICATE), PushReceiver()
    await notify(receiver)
    policy = GENTLE.model_copy(update={"initial_delay": 500.0})
    began = anyio.current_time()
    await service.client().wait_for_certificate("1", policy=policy, push=receiver)
    assert (service.times[0] - began, service.gaps) == (0, [30, 0])


async def test_a_notification_of_a_certificate_that_the_api_does_not_know_of_yet_is_followed_up_three_times() -> None:
    service, receiver = Service(*[status(0)] * 6, status(1), CERTIFICATE), PushReceiver()
    async with waiting(service, receiver):
        await anyio.sleep(999)
        await notify(receiver)
    assert service.gaps == [1_000, 30, 60, 120, THREE_HOURS, THREE_HOURS, 0]


async def test_a_policy_that_asks_sooner_anyway_is_not_held_up_by_the_repeats() -> None:
    policy = PollPolicy(jitter=0, min_interval=20, factor=1, max_interval=20)
    service, receiver = Service(*[status(0)] * 4, status(1), CERTIFICATE), PushReceiver()
    async with waiting(service, receiver, policy=policy):
        await notify(receiver)
    assert service.gaps == [20, 20, 20, 20, 0]


async def test_each_notification_is_followed_up_anew() -> None:
    service, receiver = Service(*[status(0)] * 9, status(1), CERTIFICATE), PushReceiver()
    async with waiting(service, receiver):
        for _ in range(2):
            await anyio.sleep(999)
            await notify(receiver)
            await anyio.sleep(1)
    assert service.gaps == [1_000, 30, 60, 120, 790, 30, 60, 120, THREE_HOURS, 0]


async def test_a_thousand_notifications_are_one_poll() -> None:
    service, receiver = Service(status(0), status(1), CERTIFICATE), PushReceiver()
    async with waiting(service, receiver):
        await anyio.sleep(999)
        for _ in range(1_000):
            await notify(receiver)
    assert service.gaps == [1_000, 0]


async def test_a_steady_stream_of_notifications_polls_no_more_often_than_the_failure_interval() -> None:
    service, receiver = Service(*[status(0)] * 5, status(1), CERTIFICATE), PushReceiver()
    async with anyio.create_task_group() as stream:

        async def notify_without_end() -> None:
            while True:
                await notify(receiver)
                await anyio.sleep(0.1)

        stream.start_soon(notify_without_end)
        async with waiting(service, receiver):
            pass
        stream.cancel_scope.cancel()
    assert all(29.9 <= gap <= 30.2 for gap in service.gaps[:-1])


async def test_what_the_service_asked_for_is_not_overruled() -> None:
    busy = httpx.Response(503, headers={"Retry-After": "600"})
    service, receiver = Service(busy, status(1), CERTIFICATE), PushReceiver()
    async with waiting(service, receiver):
        await anyio.sleep(99)
        await notify(receiver)
    assert service.gaps == [600, 0]


async def test_a_notification_ends_the_pause_after_a_failure() -> None:
    service, receiver = Service(*[httpx.ConnectError("down")] * 16, status(1), CERTIFICATE), PushReceiver()
    async with waiting(service, receiver):
        await anyio.sleep(5_000)
        await notify(receiver)
    assert any(gap % 30 for gap in service.gaps)


async def test_a_notification_does_not_move_the_deadline() -> None:
    service, receiver = Service(status(0)), PushReceiver()
    began = anyio.current_time()

    async def wait() -> None:
        with pytest.raises(WaitTimeoutError):
            await service.client().wait_for_certificate("1", policy=GENTLE, push=receiver, timeout=1_000)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(wait)
        await anyio.sleep(985)
        await notify(receiver)
    assert (anyio.current_time() - began, service.gaps) == (1_000, [985])


async def test_the_state_says_when_the_follow_up_comes() -> None:
    service, receiver = Service(status(0)), PushReceiver()
    await notify(receiver)
    with pytest.raises(WaitTimeoutError) as caught:
        await service.client().wait_for_certificate("1", policy=GENTLE, push=receiver, timeout=20)
    state = caught.value.state
    assert state.last_poll_at is not None
    assert (state.next_poll_at - state.last_poll_at).total_seconds() == 30


async def test_a_certificate_that_comes_along_is_never_handed_over() -> None:
    service, receiver = Service(status(0), status(1), CERTIFICATE), PushReceiver()
    async with waiting(service, receiver):
        await anyio.sleep(99)
        await notify(receiver, status="issued", statusCode="6", certificate="-----BEGIN CERTIFICATE-----\nforged\n")
    assert service.query_types == ["0", "0", "1"]


async def test_a_wait_that_ended_listens_no_more() -> None:
    service, receiver = Service(status(1), CERTIFICATE), PushReceiver()
    await service.client().wait_for_certificate("1", push=receiver)
    await notify(receiver)
    assert receiver.recall(OrderRef(order_number="1"))
