"""A watcher that is killed at random moments loses no outcome, repeats next to none, and asks for nothing early."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from .watched_and_killed import KILLS, ORDERS, POLICY

pytestmark = pytest.mark.servers

SKEW = 0.005
"""Seconds by which the wall's clock and the loop's may differ over one pause."""

Life = list[dict[str, Any]]


@pytest.fixture(scope="module")
def lives(tmp_path_factory: pytest.TempPathFactory) -> list[Life]:
    folder = tmp_path_factory.mktemp("killed")
    done = subprocess.run(
        [sys.executable, "-m", "tests.watched_and_killed", str(folder)],
        cwd=Path(__file__).parent.parent,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        timeout=120,
    )
    told: list[Life] = json.loads(done.stdout)
    return told


def outcomes(life: Life) -> list[str]:
    return [event["order"] for event in life if event["what"] == "outcome"]


def test_the_kills_came_while_orders_ended(lives: list[Life]) -> None:
    assert len(lives) == KILLS + 1
    assert lives[-1][-1]["what"] == "done"
    assert sum(bool(life) and life[-1]["what"] != "done" for life in lives) > KILLS / 2
    assert sum(bool(outcomes(life)) for life in lives) > 10


def test_every_outcome_is_handed_over(lives: list[Life]) -> None:
    assert {order for life in lives for order in outcomes(life)} == {str(number) for number in range(ORDERS)}


def test_an_outcome_is_the_same_each_time_it_is_handed_over(lives: list[Life]) -> None:
    ends = {(event["order"], event["ended"]) for life in lives for event in life if event["what"] == "outcome"}
    assert ends == {(str(number), "certificate" if number % 5 else "error") for number in range(ORDERS)}


def test_a_kill_repeats_one_outcome_at_most(lives: list[Life]) -> None:
    seen: set[str] = set()
    for life in lives:
        handed = outcomes(life)
        assert len(handed) == len(set(handed))
        assert len(seen & set(handed)) <= 1
        seen |= set(handed)


def test_no_order_is_asked_for_before_its_state_said(lives: list[Life]) -> None:
    due: dict[str, float] = {}
    for event in (event for life in lives for event in life):
        if event["what"] == "told":
            due[event["order"]] = event["due"]
        elif event["what"] == "called":
            assert event["at"] >= due[event["order"]] - SKEW, event


def test_a_call_in_which_the_process_died_is_not_made_again_at_once(lives: list[Life]) -> None:
    last: dict[str, tuple[str, float]] = {}
    died_in_calls = 0
    for life in lives:
        for event in life:
            if event["what"] != "called":
                continue
            query, before = last.get(event["order"], ("", 0.0))
            pause = POLICY.min_interval if event["query"] == "0" else POLICY.failure_interval
            if query == event["query"]:
                assert event["at"] - before >= pause - SKEW, event
            last[event["order"]] = event["query"], event["at"]
        died_in_calls += bool(life) and life[-1]["what"] == "called"
    assert died_in_calls
