"""The watcher on clocks that jump: who is asked for when, how orders end, and what stops it."""

from __future__ import annotations

import anyio
import pytest

from collectssl_async import (
    AuthenticationError,
    CertificateError,
    ChainError,
    ConfigurationError,
    PollPolicy,
    StatusCode,
    UnknownAPIError,
    UnrecognisedArgumentError,
)
from collectssl_async.errors import API_ERRORS
from collectssl_async.stores import MemoryStore
from collectssl_async.watch import Watcher

from . import pki
from .watching import (
    AVAILABLE,
    CERTIFICATE,
    CHAIN,
    EVEN,
    PROCESSING,
    REJECTED,
    WRONG_LOGIN,
    Service,
    base64_of,
    issued_after,
    names,
    outcomes_of,
)

pytestmark = [pytest.mark.anyio, pytest.mark.virtual_clock]


# --- the schedule -----------------------------------------------------------------------------------------------------


async def test_each_outcome_comes_as_its_order_ends() -> None:
    service = Service(o1=[issued_after(3000)], o2=[issued_after(100)], o3=[PROCESSING, REJECTED])
    watcher = Watcher(service.client(), policy=EVEN)
    await watcher.add("1", "2", "3")
    outcomes = await outcomes_of(watcher)
    assert [str(outcome.order) for outcome in outcomes] == ["3", "2", "1"]
    assert [outcome.bundle is None for outcome in outcomes] == [True, False, False]
    assert [outcome.error is None for outcome in outcomes] == [False, True, True]


async def test_a_bundle_is_what_the_order_was_waited_for() -> None:
    service = Service(o1=[PROCESSING, AVAILABLE, CERTIFICATE])
    watcher = Watcher(service.client())
    await watcher.add("1")
    [outcome] = await outcomes_of(watcher)
    assert outcome.bundle is not None
    assert outcome.bundle.dns_names == ("shop.example.com",)
    assert (outcome.state.polls, outcome.state.last_status) == (3, StatusCode.ATTACHED)


async def test_each_order_is_polled_as_if_it_were_alone() -> None:
    service = Service(o1=[issued_after(400)], o2=[issued_after(0)], o3=[issued_after(1500)])
    watcher = Watcher(service.client(), policy=EVEN)
    await watcher.add("1", "2", "3")
    await outcomes_of(watcher)
    assert service.times("1") == [0, 60, 180, 420, 420]
    assert service.times("2") == [0, 0]
    assert service.times("3") == [0, 60, 180, 420, 900, 1860, 1860]


async def test_an_order_that_is_available_is_collected_before_others_that_are_overdue() -> None:
    service = Service(o1=[AVAILABLE, CERTIFICATE], o2=[AVAILABLE, CERTIFICATE])
    watcher = Watcher(service.client())
    await watcher.add("1", "2")
    await outcomes_of(watcher)
    assert service.orders == "1 1 2 2"


async def test_available_but_not_attached_is_collected_again_after_the_failure_interval_doubling() -> None:
    service = Service(o1=[AVAILABLE, AVAILABLE, AVAILABLE, CERTIFICATE])
    watcher = Watcher(service.client(), policy=EVEN)
    await watcher.add("1")
    await outcomes_of(watcher)
    assert service.times("1") == [0, 0, 30, 90]


async def test_a_status_poll_that_brings_the_certificate_ends_the_wait() -> None:
    service = Service(o1=[CERTIFICATE])
    watcher = Watcher(service.client())
    await watcher.add("1")
    [outcome] = await outcomes_of(watcher)
    assert outcome.bundle is not None
    assert [call.query for call in service.calls] == ["0"]


async def test_an_initial_delay_comes_before_the_first_poll() -> None:
    service = Service(CERTIFICATE)
    watcher = Watcher(service.client(), policy=PollPolicy(initial_delay=600))
    began = anyio.current_time()
    await watcher.add("1")
    await outcomes_of(watcher)
    assert service.calls[0].time - began == pytest.approx(600)


async def test_jitter_only_lengthens_and_spreads_orders_that_began_together() -> None:
    service = Service()
    watcher = Watcher(service.client(), policy=PollPolicy(jitter=0.5))
    await watcher.add(*map(str, range(20)))
    with anyio.move_on_after(95):
        await outcomes_of(watcher)
    seconds = [service.times(str(number))[1] for number in range(20)]
    assert all(60 <= second <= 90 for second in seconds)
    assert len(set(seconds)) > 15


# --- how orders end ---------------------------------------------------------------------------------------------------

ENDING = sorted(code for code, known in API_ERRORS.items() if not known.waits and code not in (-1, -2, -16, -17))


@pytest.mark.parametrize("code", [*ENDING, -99])
async def test_an_error_of_an_order_ends_it_and_no_other(code: int) -> None:
    service = Service(o1=[f"{code}\nno"], o2=[PROCESSING, CERTIFICATE])
    watcher = Watcher(service.client())
    await watcher.add("1", "2")
    refused, issued = await outcomes_of(watcher)
    assert getattr(refused.error, "code", None) == code
    assert refused.bundle is None
    assert issued.bundle is not None
    assert len(service.times("1")) == 1


@pytest.mark.parametrize("code", [-14, -26])
async def test_an_error_that_passes_is_waited_out_with_the_backoff_of_failures(code: int) -> None:
    service = Service(o1=[f"{code}\nlater", f"{code}\nlater", PROCESSING, CERTIFICATE], o2=[PROCESSING, CERTIFICATE])
    watcher = Watcher(service.client(), policy=EVEN)
    await watcher.add("1", "2")
    await outcomes_of(watcher)
    assert service.times("1") == [0, 30, 90, 150]
    assert service.times("2") == [0, 60]


async def test_an_error_that_never_passes_ends_its_order_after_so_many_in_a_row() -> None:
    service = Service(o1=["-14\nAn unknown error occurred!"])
    watcher = Watcher(service.client(), policy=PollPolicy(max_failures=3))
    await watcher.add("1")
    [outcome] = await outcomes_of(watcher)
    assert isinstance(outcome.error, UnknownAPIError)
    assert outcome.state.failures == len(service.calls) == 3


async def test_a_code_kept_waiting_for_counts_as_not_yet() -> None:
    service = Service(o1=["-22\nStill awaiting payment!"] * 3 + [CERTIFICATE])
    watcher = Watcher(service.client(), policy=PollPolicy(jitter=0, keep_waiting_for=frozenset({-22})))
    await watcher.add("1")
    await outcomes_of(watcher)
    assert service.times("1") == [0, 60, 180, 420]


async def test_certificates_that_cannot_be_used_end_the_order_with_that_error() -> None:
    foreign = f"errorCode=2&caCertificate={base64_of(pki.root('Stranger'))}&certificate={base64_of(CHAIN.leaf)}"
    service = Service(o1=[AVAILABLE, foreign])
    watcher = Watcher(service.client())
    await watcher.add("1")
    [outcome] = await outcomes_of(watcher)
    assert isinstance(outcome.error, ChainError)
    assert isinstance(outcome.error, CertificateError)


# --- refusals that are about us ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", [-1, -2, -16, -17])
async def test_a_refusal_about_us_is_raised_and_leaves_every_order_waiting(code: int) -> None:
    service = Service(o1=[f"{code}\nno"], o2=[PROCESSING])
    watcher = Watcher(service.client())
    await watcher.add("1", "2")
    with pytest.raises(API_ERRORS[code].error):
        await outcomes_of(watcher)
    assert names(await watcher.orders()) == ["1", "2"]
    assert service.orders == "1"


async def test_after_a_refusal_about_us_the_order_is_due_as_before() -> None:
    service = Service(o1=["-17\nRequest used GET rather than POST!", CERTIFICATE])
    watcher = Watcher(service.client())
    await watcher.add("1")
    with pytest.raises(Exception, match="-17"):
        await outcomes_of(watcher)
    [outcome] = await outcomes_of(watcher)
    assert outcome.bundle is not None
    assert service.times("1") == [0, 0]


async def test_after_a_refusal_about_us_the_store_has_the_order_due_as_before() -> None:
    store = MemoryStore()
    async with Watcher(Service("-2\nUnrecognised argument!").client(), store=store) as watcher:
        await watcher.add("1")
        with pytest.raises(UnrecognisedArgumentError):
            await outcomes_of(watcher)
    [left] = await store.open()
    assert (left.last_poll_at, left.next_poll_at) == (None, left.started_at)


async def test_a_wrong_login_stays_until_a_call_succeeds() -> None:
    service = Service(o1=[WRONG_LOGIN, PROCESSING, CERTIFICATE])
    client = service.client()
    watcher = Watcher(client)
    await watcher.add("1", "2")
    for _ in range(3):
        with pytest.raises(AuthenticationError):
            await outcomes_of(watcher)
    assert len(service.calls) == 1
    await client.status("1")
    [outcome] = [await anext(watcher)]
    assert outcome.bundle is not None


async def test_a_closed_client_is_raised_and_leaves_every_order_waiting() -> None:
    client = Service().client()
    watcher = Watcher(client)
    await watcher.add("1")
    await client.aclose()
    with pytest.raises(ConfigurationError):
        await outcomes_of(watcher)
    assert names(await watcher.orders()) == ["1"]
