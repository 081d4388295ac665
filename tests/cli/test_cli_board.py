"""What `watch` shows of many waits: a table that fits the terminal, and lines that command none."""

from __future__ import annotations

import io
import sys
from datetime import UTC, datetime, timedelta

import pytest
from rich.console import Console

from collectssl_async import CollectSSLResponse, OrderRef, PollState, PollUpdate, StatusCode, ValidationSteps
from collectssl_async.cli.board import Board
from collectssl_async.errors import (
    APIError,
    CallTimeoutError,
    CollectSSLError,
    GuardTimeoutError,
    MalformedResponseError,
    ServerUnavailableError,
)

NOW = datetime.now(UTC)


def state(number: int | str, *, due_in: float = 3600.0, polls: int = 3) -> PollState:
    return PollState(
        order=OrderRef(order_number=str(number)),
        started_at=NOW,
        next_poll_at=NOW + timedelta(seconds=due_in),
        polls=polls,
        last_status=StatusCode.PROCESSING,
    )


def board(*states: PollState, **names: str) -> Board:
    made = Board({name.removeprefix("o"): text for name, text in names.items()}, sys.stderr)
    made.wait_for(states)
    return made


def drawn(shown: Board, *, width: int = 80, height: int = 24) -> list[str]:
    """The lines of one drawing."""
    file = io.StringIO()
    Console(file=file, width=width, height=height, color_system=None, force_terminal=True).print(shown)
    return file.getvalue().splitlines()


def test_a_terminal_of_80_columns_and_24_lines_holds_the_table_of_200_orders() -> None:
    orders = (state(41000000 + n, due_in=3600.0 - n, polls=1000) for n in range(200))
    lines = drawn(board(*orders, o41000199="a-rather-long-name.of-the-shop.example.com"))
    assert len(lines) == 23  # the cursor has the last one
    assert max(map(len, lines)) <= 80
    assert lines[0].split() == ["order", "name", "status", "steps", "polls", "next", "poll", "since"]
    assert lines[1].split()[:5] == ["41000199", "a-rather-long-n…", "0", "processing", "1000"]
    assert lines[-1] == "179 more not shown; 200 waiting, 0 collected"


def test_the_soonest_come_first() -> None:
    lines = drawn(board(state(1, due_in=50), state(2, due_in=-1), state(3, due_in=40)))
    assert [line.split()[0] for line in lines[1:-1]] == ["2", "3", "1"]
    assert " now " in lines[1]


@pytest.mark.parametrize("height", [1, 4])
def test_a_low_terminal_shows_some_rows_all_the_same(height: int) -> None:
    assert len(drawn(board(*map(state, range(9))), height=height)) == 5


def test_a_wide_terminal_shows_long_names_whole() -> None:
    name = "a-rather-long-name.of-the-shop.example.com"
    assert name in drawn(board(state(1), o1=name), width=140)[1]


def test_a_poll_moves_its_row() -> None:
    shown = board(state(1))
    reply = CollectSSLResponse(
        status=StatusCode.PROCESSING,
        fqdn="shop.example.com",
        steps=ValidationSteps.model_validate({"csr": 1, "dcv": 0, "ov_callback": -1}),
    )
    shown.take(PollUpdate(state(1, due_in=65, polls=4), reply))
    assert drawn(shown)[1].split()[1:6] == ["shop.example.com", "0", "processing", "1/2", "4"]


@pytest.mark.parametrize(
    ("error", "word"),
    [
        (CallTimeoutError("no answer in 60 s"), "no answer"),
        (ServerUnavailableError("HTTP 503", status_code=503), "unavailable"),
        (MalformedResponseError("a page"), "unreadable"),
        (GuardTimeoutError("60 s"), "guard"),
        (APIError.from_code(code=-14, message="busy"), "refused"),
    ],
)
def test_a_failure_that_is_waited_out_has_a_word_and_a_line(
    error: CollectSSLError, word: str, capsys: pytest.CaptureFixture[str]
) -> None:
    shown = board(state(1))
    shown.take(PollUpdate(state(1), error=error))
    assert f" {word} " in drawn(shown)[1]
    assert str(error) in capsys.readouterr().err


def test_what_has_ended_is_counted_and_no_longer_shown() -> None:
    shown = board(state(1), state(2), state(3))
    shown.ended("1", "collected", well=True)
    shown.ended("2", "refused", well=False)
    assert shown.summary == "1 waiting, 1 collected, 1 failed"
    assert [line.split()[0] for line in drawn(shown)[1:-1]] == ["3"]


def test_an_outcome_without_a_row_has_a_line() -> None:
    assert board(o7="shop").ended("7", "collected", well=True).endswith(" 7 shop: collected")


def test_texts_from_outside_command_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    evil = "a\x1b[2J\x07b\r\u202ec"
    shown = board(state(1), o1=evil)
    shown.take(PollUpdate(state(1), error=MalformedResponseError(evil)))
    lines = [*drawn(shown), *capsys.readouterr().err.splitlines(), shown.ended(evil, evil, well=False)]
    assert all(line.isprintable() for line in lines)
