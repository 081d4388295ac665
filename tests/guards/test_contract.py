"""What every guard promises, whatever its reach: whose turn it is, how long an unfinished call counts, what is refused.

Callers that vanish in the middle stand in `test_vanishing.py`, other processes in `test_many_processes.py`.
"""

from __future__ import annotations

import contextlib
import time
from functools import partial
from typing import Any

import anyio
import anyio.lowlevel
import anyio.to_thread
import pytest

from collectssl_async import ConfigurationError, Guard, GuardLostError, GuardTimeoutError, Hold

from .kinds import AMPLE, GRACE, LONG_GRACE, PATIENCE, GuardSpec
from .turns import abandon, settle, take

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend(case: tuple[str, str]) -> str:
    return case[1]


# --- whose turn it is -------------------------------------------------------------------------------------------------


async def test_one_is_inside_at_a_time_whatever_instance_it_asks(spec: GuardSpec, url: str) -> None:
    inside, most, entries = 0, 0, 0

    async def caller() -> None:
        nonlocal inside, most, entries
        guard = spec.make()
        for _ in range(4):
            async with guard.hold(url) as hold:
                inside += 1
                most = max(most, inside)
                await settle()
                entries += 1
                inside -= 1
                hold.finished()

    async with anyio.create_task_group() as tasks:
        for _ in range(5):
            tasks.start_soon(caller)
    assert (most, entries) == (1, 20)


async def test_loops_of_several_threads_take_turns_too(spec: GuardSpec, url: str, anyio_backend: str) -> None:
    inside, most, entries = 0, 0, 0
    guard = spec.make(acquire_timeout=AMPLE)

    async def caller() -> None:
        nonlocal inside, most, entries
        for _ in range(5):
            async with guard.hold(url) as hold:
                inside += 1
                most = max(most, inside)
                await settle()
                entries += 1
                inside -= 1
                hold.finished()

    async with anyio.create_task_group() as tasks:
        for _ in range(3):
            tasks.start_soon(anyio.to_thread.run_sync, partial(anyio.run, caller, backend=anyio_backend))
        tasks.start_soon(caller)
    assert (most, entries) == (1, 20)


async def test_callers_of_one_process_enter_in_the_order_they_came(spec: GuardSpec, url: str) -> None:
    guard, seen = spec.make(), []

    async def caller(number: int) -> None:
        async with guard.hold(url) as hold:
            seen.append(number)
            await anyio.lowlevel.checkpoint()
            hold.finished()

    async with anyio.create_task_group() as tasks, guard.hold(url) as hold:
        for number in range(8):
            tasks.start_soon(caller, number)
            await settle()
        hold.finished()
    assert seen == list(range(8))


async def test_endpoints_do_not_block_each_other(spec: GuardSpec, url: str) -> None:
    guard = spec.make(acquire_timeout=PATIENCE)
    async with guard.hold(url) as hold, guard.hold(url + "/other") as other:
        hold.finished()
        other.finished()


async def test_an_abandoned_call_of_one_endpoint_keeps_nobody_from_another(spec: GuardSpec, url: str) -> None:
    await abandon(spec, url, LONG_GRACE)
    await take(spec, url + "/other")


async def test_spellings_of_one_endpoint_share_a_turn(spec: GuardSpec, url: str) -> None:
    guard = spec.make(acquire_timeout=0.05)
    async with guard.hold(url + "?trace=1") as hold:
        with pytest.raises(GuardTimeoutError):
            async with guard.hold(url.upper().replace("/COLLECTSSL", ":443/CollectSSL")):
                pass
        hold.finished()


async def test_a_holder_that_asks_again_waits_for_itself(spec: GuardSpec, url: str) -> None:
    async with spec.make().hold(url) as hold:
        with pytest.raises(GuardTimeoutError):
            async with spec.make(acquire_timeout=0.05).hold(url):
                pass
        hold.check()
        hold.finished()


# --- unfinished calls -------------------------------------------------------------------------------------------------


async def test_a_call_left_unfinished_keeps_the_next_one_out_for_the_grace(spec: GuardSpec, url: str) -> None:
    left = await abandon(spec, url, GRACE)
    await take(spec, url, AMPLE)
    assert GRACE <= time.monotonic() - left < AMPLE


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, None])
async def test_a_call_that_raised_or_was_cancelled_is_abandoned(
    spec: GuardSpec, url: str, error: type[BaseException] | None
) -> None:
    left = 0.0
    with anyio.CancelScope() as scope:
        try:
            async with spec.make(abandon_grace=GRACE).hold(url):
                left = time.monotonic()
                if error is not None:
                    raise error
                scope.cancel()
                await anyio.sleep_forever()
        except (RuntimeError, KeyboardInterrupt):
            pass
    await take(spec, url, AMPLE)
    assert time.monotonic() - left >= GRACE


async def test_a_finished_call_lets_the_next_one_in_at_once(spec: GuardSpec, url: str) -> None:
    for _ in range(2):
        async with spec.make(abandon_grace=LONG_GRACE, acquire_timeout=PATIENCE).hold(url) as hold:
            hold.finished()


async def test_a_finished_call_whose_caller_fails_later_counts_as_finished(spec: GuardSpec, url: str) -> None:
    with contextlib.suppress(RuntimeError):
        async with spec.make(abandon_grace=LONG_GRACE).hold(url) as hold:
            hold.finished()
            raise RuntimeError
    await take(spec, url)


async def test_without_a_grace_the_next_one_enters_at_once(spec: GuardSpec, url: str) -> None:
    for _ in range(2):
        async with spec.make(abandon_grace=0, acquire_timeout=PATIENCE).hold(url):
            pass


async def test_the_grace_that_counts_is_that_of_whoever_abandoned_the_call(spec: GuardSpec, url: str) -> None:
    left = await abandon(spec, url, GRACE)
    async with spec.make(abandon_grace=0, acquire_timeout=AMPLE).hold(url) as hold:
        assert time.monotonic() - left >= GRACE
        hold.finished()


async def test_a_hold_entered_again_is_unfinished_again(spec: GuardSpec, url: str) -> None:
    hold = spec.make(abandon_grace=GRACE).hold(url)
    async with hold as inside:
        inside.finished()
    async with hold:
        left = time.monotonic()
    await take(spec, url, AMPLE)
    assert time.monotonic() - left >= GRACE


# --- the time-out -----------------------------------------------------------------------------------------------------


async def test_no_turn_within_the_time_out_raises_and_gives_up_the_place(spec: GuardSpec, url: str) -> None:
    async with spec.make(abandon_grace=LONG_GRACE).hold(url) as hold:
        began = time.monotonic()
        with pytest.raises(GuardTimeoutError, match=r"within 0\.2 s"):
            async with spec.make(acquire_timeout=0.2).hold(url):
                pass
        assert time.monotonic() - began >= 0.19
        hold.finished()
    await take(spec, url)


async def test_the_time_out_covers_the_grace_and_leaves_the_rest_of_it_to_the_next(spec: GuardSpec, url: str) -> None:
    left = await abandon(spec, url, 2 * GRACE)
    with pytest.raises(GuardTimeoutError):
        await take(spec, url, GRACE)
    assert time.monotonic() - left + 0.01 >= GRACE
    await take(spec, url, AMPLE)
    assert time.monotonic() - left >= 2 * GRACE


async def test_the_impatient_do_not_start_the_grace_afresh(spec: GuardSpec, url: str) -> None:
    await abandon(spec, url, GRACE)
    with anyio.fail_after(AMPLE):
        while True:
            try:
                await take(spec, url, GRACE / 3)
            except GuardTimeoutError:
                continue
            break


async def test_a_waiter_that_was_cancelled_leaves_nothing_behind(spec: GuardSpec, url: str) -> None:
    async with spec.make(abandon_grace=LONG_GRACE).hold(url) as hold:
        async with anyio.create_task_group() as doomed:
            doomed.start_soon(take, spec, url, AMPLE)
            await settle()
            doomed.cancel_scope.cancel()
        hold.finished()
    await take(spec, url)


# --- check ------------------------------------------------------------------------------------------------------------


async def test_check_holds_inside_the_turn_alone(spec: GuardSpec, url: str) -> None:
    hold = spec.make().hold(url)
    async with hold as inside:
        inside.check()
        inside.finished()
    with pytest.raises(GuardLostError):
        inside.check()


async def test_it_is_a_guard(spec: GuardSpec, url: str) -> None:
    assert isinstance(spec.make(), Guard)
    async with spec.make().hold(url) as hold:
        assert isinstance(hold, Hold)
        hold.finished()


# --- what is refused --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("field", ["abandon_grace", "acquire_timeout"])
@pytest.mark.parametrize("value", [-1, float("nan"), float("inf"), "10", True])
async def test_what_is_no_number_of_seconds_is_refused(spec: GuardSpec, field: str, value: Any) -> None:
    with pytest.raises(ConfigurationError, match=f"{field} must be a number of seconds"):
        spec.make(**{field: value})


async def test_a_grace_of_none_is_refused(spec: GuardSpec) -> None:
    with pytest.raises(ConfigurationError, match="abandon_grace must be a number of seconds"):
        spec.make(abandon_grace=None)
