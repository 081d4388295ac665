"""Processes that are killed or stopped: the others go on, but never into the work that was left behind."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Any

import pytest

from collectssl_async import GuardTimeoutError

from . import contender
from .kinds import AMPLE, LEASE, LONG_GRACE, PATIENCE, SHARED, GuardSpec
from .serving import at_work, described
from .turns import take

if TYPE_CHECKING:
    from collectssl_async.sandbox import Sandbox, SandboxServer

    from .contending import Contender, Contenders

pytestmark = [pytest.mark.servers, pytest.mark.parametrize("kind", SHARED)]

KILL_GRACE = 0.8  # seconds
LEASES = {"redis": LEASE}  # by kind: seconds that may pass, beside the grace, until the others go on

# By kind: leases of a holder that is stopped, and of who comes next. Longer than what a busy machine keeps a process
# from its processor, or they are lost before their time; no longer than what a fresh Redis has been waited for.
STOPPED: dict[str, dict[str, Any]] = {"redis": {"ttl": 2 * LEASE}}
WAITING: dict[str, dict[str, Any]] = {"redis": {"ttl": 3 * LEASE}}


def kill_at_work(
    spec: GuardSpec, contenders: Contenders, service: tuple[Sandbox, SandboxServer], work: float, **settings: Any
) -> tuple[float, list[Contender]]:
    """Kill a process when the service is at work on its call, and has `work` seconds left, with others in the queue.

    Return when it was last alive, and the others.
    """
    sandbox, server = service
    sandbox.latency, sandbox.linger = work, 0.05
    who = described(sandbox, server)
    victim = contenders.start(contender.call_when_told, spec, who, **settings)
    victim.hear("ready")
    victim.tell("go")
    victim.hear("entered")
    others = [contenders.start(contender.call, spec, who, 1, AMPLE, **settings) for _ in range(3)]
    for each in others:
        each.hear("ready")
        each.tell("go")
    for each in others:
        each.hear("queued")
    victim.tell("call")
    at_work(sandbox)
    killed = victim.kill()
    assert len(sandbox.calls) == 1, "the others were not in the queue"
    sandbox.latency = 0.0
    return killed, others


def test_the_work_of_a_killed_process_is_not_overlapped_and_the_others_go_on_after_the_grace(
    kind: str, spec: GuardSpec, contenders: Contenders, service: tuple[Sandbox, SandboxServer]
) -> None:
    sandbox, _ = service
    killed, others = kill_at_work(spec, contenders, service, work=0.4, abandon_grace=KILL_GRACE)
    assert [each.hear("called")[1] for each in others] == [["answered"]] * 3
    first, second, *_ = sandbox.calls
    assert first.abandoned
    assert KILL_GRACE <= second.start - killed < KILL_GRACE + LEASES.get(kind, 0) + PATIENCE
    assert len(sandbox.calls) == 4
    assert sandbox.overlaps == 0


def test_without_a_grace_the_work_of_a_killed_process_would_be_overlapped(
    kind: str, spec: GuardSpec, contenders: Contenders, service: tuple[Sandbox, SandboxServer]
) -> None:
    sandbox, _ = service
    work = 1.0 + LEASES.get(kind, 0)
    _, others = kill_at_work(spec, contenders, service, work=work, abandon_grace=0)
    for each in others:
        each.hear("called")
    assert sandbox.overlaps > 0


def test_the_impatient_do_not_start_the_grace_of_a_killed_process_afresh(
    spec: GuardSpec, url: str, contenders: Contenders
) -> None:
    victim = contenders.start(contender.hold, spec, url, abandon_grace=0.5)
    victim.hear("entered")
    killed = victim.kill()
    impatient = contenders.start(contender.retry, spec, url, abandon_grace=0.5, acquire_timeout=0.15)
    _, entered, failures = impatient.hear("entered")
    assert entered - killed >= 0.5
    assert failures >= 2


def test_one_killed_in_the_queue_keeps_nobody_out(spec: GuardSpec, url: str, contenders: Contenders) -> None:
    holder = contenders.start(contender.hold, spec, url, abandon_grace=LONG_GRACE)
    holder.hear("entered")
    first, second = (contenders.start(contender.hold, spec, url, abandon_grace=LONG_GRACE) for _ in range(2))
    first.hear("queued")
    second.hear("queued")
    first.kill()
    holder.tell("finish")
    left = holder.hear("left")[1]
    assert second.hear("entered")[1] - left < PATIENCE


# --- stopped for longer than a lease ----------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_a_stopped_holder_is_never_inside_together_with_another(
    kind: str, spec: GuardSpec, url: str, contenders: Contenders
) -> None:
    holder = contenders.start(contender.hold, spec, url, abandon_grace=0.3, **STOPPED.get(kind, {}))
    holder.hear("entered")
    waiting = contenders.start(contender.hold, spec, url, abandon_grace=0.3, **WAITING.get(kind, {}))
    waiting.hear("queued")
    holder.tell("check")
    holder.hear("ours")
    stopped = holder.signal(signal.SIGSTOP)
    if kind == "redis":  # a lease runs out, and then the grace; the old holder may not go on
        assert waiting.hear("entered")[1] - stopped >= 0.3
        holder.tell("check")  # while it cannot have ended yet
        holder.signal(signal.SIGCONT)
        assert holder.hear("refused", "ours")[:2] == ("refused", "GuardLostError")
        waiting.tell("check")
        waiting.hear("ours")
    else:  # whose lock ends with its process
        with pytest.raises(GuardTimeoutError):
            await take(spec, url, LEASE / 2)
        holder.signal(signal.SIGCONT)
        holder.tell("check")
        holder.hear("ours")
        holder.tell("finish")
        assert waiting.hear("entered")[1] >= holder.hear("left")[1]
    waiting.tell("finish")
    waiting.hear("left")
    await take(spec, url)
