"""Several processes at one guard: one call at a time for all of them, and what one leaves behind, the others know."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from collectssl_async import GuardTimeoutError

from . import contender
from .kinds import AMPLE, BACKENDS, GRACE, LONG_GRACE, PATIENCE, SHARED, GuardSpec
from .serving import described
from .stepping import Stepping
from .turns import abandon, take

if TYPE_CHECKING:
    from collectssl_async.sandbox import Sandbox, SandboxServer

    from .contending import Contender, Contenders

pytestmark = pytest.mark.servers

shared = pytest.mark.parametrize("kind", SHARED)

PROCESSES, CALLS = 4, 20


@shared
def test_processes_that_call_one_service_never_meet(
    kind: str, spec: GuardSpec, contenders: Contenders, service: tuple[Sandbox, SandboxServer]
) -> None:
    sandbox, server = service
    sandbox.latency = 0.003
    who = described(sandbox, server)
    started = [
        contenders.start(contender.call, spec, who, CALLS, AMPLE, backend=BACKENDS[kind][number % len(BACKENDS[kind])])
        for number in range(PROCESSES)
    ]
    for each in started:
        each.hear("ready")
    for each in started:
        each.tell("go")
    outcomes = [each.hear("called", within=2 * AMPLE)[1] for each in started]
    assert outcomes == [["answered"] * CALLS] * PROCESSES
    assert len(sandbox.calls) == PROCESSES * CALLS
    assert sandbox.overlaps == 0


def test_with_a_guard_of_one_process_they_would_meet(
    contenders: Contenders, service: tuple[Sandbox, SandboxServer]
) -> None:
    sandbox, server = service
    sandbox.latency = 0.05
    who = described(sandbox, server)
    started = [contenders.start(contender.call, GuardSpec("process"), who, 2, AMPLE) for _ in range(PROCESSES)]
    for each in started:
        each.hear("ready")
    for each in started:
        each.tell("go")
    for each in started:
        each.hear("called")
    assert sandbox.overlaps > 0


@shared
def test_a_call_that_its_client_gave_up_is_not_overlapped_by_other_processes(
    spec: GuardSpec, contenders: Contenders, service: tuple[Sandbox, SandboxServer]
) -> None:
    sandbox, server = service
    sandbox.latency, sandbox.linger = 0.45, 0.05  # from when its caller left, 0.35 s of work
    who = described(sandbox, server)
    impatient = contenders.start(contender.call, spec, who, 1, 0.15, abandon_grace=0.8)
    others = [contenders.start(contender.call, spec, who, 1, AMPLE, abandon_grace=0.8) for _ in range(2)]
    impatient.hear("ready")
    impatient.tell("go")
    assert impatient.hear("called")[1] == ["CallTimeoutError"]
    sandbox.latency = 0.0
    for each in others:
        each.hear("ready")
        each.tell("go")
    assert [each.hear("called")[1] for each in others] == [["answered"], ["answered"]]
    first, second, _ = sandbox.calls
    assert first.abandoned
    assert second.start - first.start >= 0.8
    assert sandbox.overlaps == 0


def inside(contenders: Contenders, spec: GuardSpec, url: str, **settings: Any) -> Contender:
    """Start a process that has a turn, and keeps it until it is told to leave."""
    holder = contenders.start(contender.hold, spec, url, **settings)
    holder.hear("entered")
    return holder


@shared
@pytest.mark.asyncio
async def test_no_turn_within_the_time_out_while_another_process_has_it(
    spec: GuardSpec, url: str, contenders: Contenders
) -> None:
    holder = inside(contenders, spec, url)
    began = time.monotonic()
    with pytest.raises(GuardTimeoutError, match=r"within 0\.2 s"):
        await take(spec, url, 0.2)
    assert time.monotonic() - began >= 0.19
    holder.tell("finish")
    holder.hear("left")
    await take(spec, url)


@shared
@pytest.mark.asyncio
async def test_the_time_out_covers_the_wait_in_the_process_and_beyond_together(
    spec: GuardSpec, url: str, contenders: Contenders
) -> None:
    holder = inside(contenders, spec, url)
    began = time.monotonic()
    async with anyio.create_task_group() as tasks:
        for _ in range(3):  # one asks the store, the others wait for it in the process
            tasks.start_soon(_refused, spec, url, 0.3)
    assert 0.29 <= time.monotonic() - began < 0.3 + PATIENCE
    holder.tell("finish")
    holder.hear("left")


async def _refused(spec: GuardSpec, url: str, timeout: float) -> None:
    with pytest.raises(GuardTimeoutError):
        await take(spec, url, timeout)


@shared
@pytest.mark.asyncio
async def test_other_processes_know_an_endpoint_by_any_spelling(
    spec: GuardSpec, url: str, contenders: Contenders
) -> None:
    holder = inside(contenders, spec, url.upper().replace("/COLLECTSSL", ":443/CollectSSL?trace=1"))
    await take(spec, url + "/other")
    with pytest.raises(GuardTimeoutError):
        await take(spec, url, 0.2)
    holder.tell("finish")
    holder.hear("left")


@shared
@pytest.mark.asyncio
async def test_another_process_sits_out_the_grace_of_an_abandoned_call(
    spec: GuardSpec, url: str, contenders: Contenders
) -> None:
    left = await abandon(spec, url, 2 * GRACE)
    other = contenders.start(contender.hold, spec, url, abandon_grace=0)
    assert other.hear("entered")[1] - left >= 2 * GRACE


@shared
@pytest.mark.asyncio
async def test_another_process_enters_at_once_after_a_finished_call(
    spec: GuardSpec, url: str, contenders: Contenders
) -> None:
    async with spec.make(abandon_grace=LONG_GRACE).hold(url) as hold:
        waiting = contenders.start(contender.hold, spec, url)
        waiting.hear("queued")
        hold.finished()
        left = time.monotonic()
    assert waiting.hear("entered")[1] - left < PATIENCE


# --- cancelled while another process has the turn ---------------------------------------------------------------------

STEPS = 12


async def cancelled_at(step: int, spec: GuardSpec, url: str, *, waking: bool) -> bool:
    """Ask for a turn that another process has, and give up at a step; return whether it was reached in time."""

    def interfere(steps: int, waits_for: Any) -> None:
        if steps == step and waking and waits_for is not None:
            waits_for.add_done_callback(lambda _: scope.cancel())
        elif steps == step:
            scope.cancel()

    stepping = Stepping(take(spec, url, 0.25), interfere)
    with anyio.CancelScope() as scope:
        try:
            await stepping
        except GuardTimeoutError:
            return stepping.steps >= step
    return True


@shared
@pytest.mark.parametrize("waking", [False, True])
@pytest.mark.asyncio
async def test_one_who_gives_up_at_any_await_holds_back_nobody(
    spec: GuardSpec, url: str, contenders: Contenders, *, waking: bool
) -> None:
    holder = inside(contenders, spec, url, abandon_grace=LONG_GRACE)
    for step in range(1, STEPS + 1):
        if not await cancelled_at(step, spec, url, waking=waking):
            break
    holder.tell("finish")
    holder.hear("left")
    next_one = contenders.start(contender.hold, spec, url)
    next_one.hear("entered", within=PATIENCE)
    next_one.tell("finish")
    next_one.hear("left")
    await take(spec, url)


@shared
@pytest.mark.parametrize("waking", [False, True])
@pytest.mark.asyncio
async def test_one_who_gives_up_during_the_grace_leaves_the_rest_of_it_to_the_next(
    spec: GuardSpec, url: str, contenders: Contenders, *, waking: bool
) -> None:
    holder = inside(contenders, spec, url, abandon_grace=0.6)
    holder.tell("leave")
    left = holder.hear("left")[1]
    for step in range(1, STEPS + 1):
        if time.monotonic() - left > 0.4 or not await cancelled_at(step, spec, url, waking=waking):
            break
    next_one = contenders.start(contender.hold, spec, url)
    assert 0.6 <= next_one.hear("entered")[1] - left < 0.6 + PATIENCE


# --- fork -------------------------------------------------------------------------------------------------------------


@shared
@pytest.mark.asyncio
async def test_a_child_forked_inside_a_turn_has_none_and_takes_none_from_its_parent(
    spec: GuardSpec, url: str, contenders: Contenders
) -> None:
    holder = inside(contenders, spec, url, abandon_grace=LONG_GRACE)
    holder.tell("fork")
    assert holder.hear("forked")[1] == "lost, closed, GuardTimeoutError"
    with pytest.raises(GuardTimeoutError):
        await take(spec, url, 0.2)
    holder.tell("check")
    holder.hear("ours")
    holder.tell("finish")
    holder.hear("left")
    await take(spec, url)
