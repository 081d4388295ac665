"""A loop that is closed, or a process that is stopped, while another process has the turn or waits for it."""

from __future__ import annotations

import signal
import time
from typing import TYPE_CHECKING

import anyio
import pytest

from . import contender
from .kinds import AMPLE, GRACE, LONG_GRACE, PATIENCE, SHARED, GuardSpec
from .stoppable import closed_with_connections
from .turns import hold_for_ever, take

if TYPE_CHECKING:
    from .contending import Contenders
    from .stoppable import Stoppable

pytestmark = [pytest.mark.servers, pytest.mark.parametrize("kind", SHARED), closed_with_connections]


def test_a_turn_collected_with_its_closed_loop_is_free_for_other_processes_after_the_grace(
    spec: GuardSpec, url: str, contenders: Contenders, stoppable: Stoppable
) -> None:
    stoppable.begin(lambda inside: hold_for_ever(spec, url, GRACE, inside))
    stood_still = time.monotonic()  # a lease is not renewed from here on
    waiting = contenders.start(contender.hold, spec, url)
    waiting.hear("queued")
    stoppable.close()
    stoppable.forget()
    assert waiting.hear("entered")[1] - stood_still >= GRACE


def test_a_loop_closed_in_the_queue_keeps_its_own_process_from_nothing(
    spec: GuardSpec, url: str, contenders: Contenders, stoppable: Stoppable
) -> None:
    holder = contenders.start(contender.hold, spec, url)
    holder.hear("entered")
    stoppable.begin(lambda inside: hold_for_ever(spec, url, LONG_GRACE, inside), 0.1)
    stoppable.close()
    holder.tell("finish")
    holder.hear("left")
    anyio.run(take, spec, url)


def test_a_place_in_the_queue_collected_with_its_closed_loop_keeps_other_processes_from_nothing(
    spec: GuardSpec, url: str, contenders: Contenders, stoppable: Stoppable
) -> None:
    holder = contenders.start(contender.hold, spec, url)
    holder.hear("entered")
    stoppable.begin(lambda inside: hold_for_ever(spec, url, LONG_GRACE, inside), 0.1)
    waiting = contenders.start(contender.hold, spec, url)
    waiting.hear("queued")
    stoppable.close()
    stoppable.forget()
    holder.tell("finish")
    left = holder.hear("left")[1]
    assert waiting.hear("entered")[1] - left < PATIENCE


def test_one_stopped_in_the_queue_takes_its_turn_later(
    kind: str, spec: GuardSpec, url: str, contenders: Contenders
) -> None:
    holder = contenders.start(contender.hold, spec, url)
    holder.hear("entered")
    stopped = contenders.start(contender.hold, spec, url)
    stopped.hear("queued")
    other = contenders.start(contender.hold, spec, url)
    other.hear("queued")
    stopped.signal(signal.SIGSTOP)
    holder.tell("finish")
    holder.hear("left")
    if kind == "postgres":  # whose queue is the server's: the turn is given to who came first, asleep or not
        stopped.signal(signal.SIGCONT)
        stopped.hear("entered")
        stopped.tell("finish")
        other.hear("entered")
    else:
        other.hear("entered")
        stopped.signal(signal.SIGCONT)
        other.tell("finish")
        stopped.hear("entered", within=AMPLE)
