"""Fairness: of several processes that ask again and again, none is left waiting."""

from __future__ import annotations

from itertools import groupby, pairwise
from typing import TYPE_CHECKING

import pytest

from . import contender
from .kinds import AMPLE, BACKENDS, SHARED, GuardSpec

if TYPE_CHECKING:
    from .contender import Turn
    from .contending import Contenders

PROCESSES, TURNS = 4, 50
WORK = 0.002  # seconds of a turn


@pytest.mark.servers
@pytest.mark.parametrize("kind", SHARED)
def test_no_process_of_four_starves(kind: str, spec: GuardSpec, url: str, contenders: Contenders) -> None:
    backends = BACKENDS[kind]
    holder = contenders.start(contender.hold, spec, url)
    holder.hear("entered")
    started = [
        contenders.start(contender.take_turns, spec, url, TURNS, WORK, backend=backends[number % len(backends)])
        for number in range(PROCESSES)
    ]
    for each in started:
        each.tell("go")
    for each in started:
        each.hear("queued")
    holder.tell("finish")
    holder.hear("left")
    turns: list[tuple[Turn, int]] = sorted(
        ((turn, number) for number, each in enumerate(started) for turn in each.hear("turns", within=2 * AMPLE)[1]),
        key=lambda item: item[0].entered,
    )

    assert len(turns) == PROCESSES * TURNS
    assert all(earlier.left <= later.entered for (earlier, _), (later, _) in pairwise(turns)), "two were inside at once"
    longest_row = max(len(list(row)) for _, row in groupby(number for _, number in turns))
    longest_wait = max(turn.entered - max(turn.asked, turns[0][0].entered) for turn, _ in turns)
    whole = turns[-1][0].left - turns[0][0].entered
    print(f"{kind}: {whole:.2f} s in all, at most {longest_row} in a row, longest wait {longest_wait:.3f} s")
    assert longest_row <= TURNS / 2
    assert longest_wait < whole / 2
