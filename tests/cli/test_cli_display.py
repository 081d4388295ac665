"""What a wait looks like, poll by poll, and how a reply is put into words."""

from __future__ import annotations

import io
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from rich.console import Console

from collectssl_async import (
    CallTimeoutError,
    CollectSSLResponse,
    DomainValidation,
    OrderRef,
    Period,
    PollPolicy,
    PollState,
    PollUpdate,
    StatusCode,
    StepStatus,
    ValidationSteps,
)
from collectssl_async.cli.display import WaitView, shown_wait
from collectssl_async.cli.exits import EXITS, Exit, exit_of
from collectssl_async.cli.wording import status_rows

if TYPE_CHECKING:
    from collectssl_async import CollectSSLError

ORDER = OrderRef(order_number="1000001")
STEPS = ValidationSteps(
    csr=StepStatus.COMPLETED, dcv=StepStatus.IN_PROGRESS, free_dv_upgrade=StepStatus.NOT_REQUIRED, ev_click_through=7
)
PROCESSING = CollectSSLResponse(status=StatusCode.PROCESSING, fqdn="shop.example.com", steps=STEPS)


def update(
    response: CollectSSLResponse | None = None, error: CollectSSLError | None = None, *, after: float = 60.0
) -> PollUpdate:
    now = datetime.now(UTC)
    state = PollState.begin(ORDER, PollPolicy(), now).model_copy(
        update={"polls": 3, "next_poll_at": now + timedelta(seconds=after)}
    )
    return PollUpdate(state, response, error)


def drawn(view: WaitView) -> str:
    console = Console(file=io.StringIO(), width=80, height=24)
    with console.capture() as captured:
        console.print(view)
    return captured.get()


def test_a_line_tells_status_steps_and_next_poll(capsys: pytest.CaptureFixture[str]) -> None:
    told = update(PROCESSING)
    with shown_wait(ORDER, io.StringIO()) as show:
        show(told)
    line = capsys.readouterr().err
    after = told.state.next_poll_at.astimezone()
    assert line.endswith(f" 1000001 shop.example.com: 0 processing, done 1/3, next {after:%H:%M:%S}\n")
    assert len(line) <= 80


def test_a_line_tells_a_failure_and_when_it_is_tried_again(capsys: pytest.CaptureFixture[str]) -> None:
    with shown_wait(ORDER, io.StringIO()) as show:
        show(update(error=CallTimeoutError("no whole reply within 60 s")))
    assert " 1000001: no whole reply within 60 s, next " in capsys.readouterr().err


def test_the_table_fits_80_columns_and_counts_down() -> None:
    view = WaitView(ORDER, datetime.now(UTC))
    assert "asking" in drawn(view)
    view.take(update(PROCESSING, after=3725.2))
    table = drawn(view)
    assert "1000001" in table
    assert "shop.example.com" in table
    assert "1:02:05" in table
    assert "1 of 3 done" in table
    assert max(map(len, table.splitlines())) <= 80


def test_the_table_shows_a_failure_beside_what_was_known() -> None:
    view = WaitView(ORDER, datetime.now(UTC))
    view.take(update(PROCESSING))
    view.take(update(PROCESSING))
    view.take(update(error=CallTimeoutError("no whole reply"), after=-1))
    table = drawn(view)
    assert "no whole reply" in table
    assert "0 (2 times)" in table
    assert " now " in table


def test_a_reply_that_says_little_has_few_rows() -> None:
    assert status_rows(ORDER, CollectSSLResponse(status=StatusCode.AVAILABLE)) == [
        ("order", "1000001"),
        ("status", "1 available"),
    ]


def test_domains_are_told_once_with_what_the_fuller_list_says() -> None:
    first = DomainValidation(domain="a.example.com", status="NOTVALIDATED")
    fuller = DomainValidation(domain="a.example.com", status="AWAITINGBRAND")
    response = CollectSSLResponse(
        status=StatusCode.PROCESSING, mdc_domain_details=(first,), mdc_domain_details2=(fuller,)
    )
    assert status_rows(ORDER, response)[-2:] == [("domains", "1"), ("  a.example.com", "AWAITINGBRAND")]


@pytest.mark.parametrize(
    ("period", "text"),
    [
        (Period(days=90), "90 days"),
        (Period(start=datetime(2026, 1, 2, tzinfo=UTC)), "2026-01-02 to ?"),
        (
            Period(start=datetime(2026, 1, 2, tzinfo=UTC), end=datetime(2026, 1, 4, tzinfo=UTC), days=2),
            "2026-01-02 to 2026-01-04 (2 days)",
        ),
    ],
)
def test_a_period_is_told_as_far_as_it_is_known(period: Period, text: str) -> None:
    rows = dict(status_rows(ORDER, CollectSSLResponse(status=StatusCode.AVAILABLE, validity=period)))
    assert rows["valid"] == text


def test_steps_and_undocumented_parameters_are_told_by_name() -> None:
    response = PROCESSING.model_copy(update={"extra": {"": ("a line",), "newThing": ("x", "y")}})
    rows = status_rows(ORDER, response)
    assert ("  EV click through", "7") in rows
    assert [row for row in rows if row[0] in ("(no name)", "newThing")] == [
        ("(no name)", "a line"),
        ("newThing", "x"),
        ("newThing", "y"),
    ]


def test_every_error_of_the_package_has_an_exit_code() -> None:
    assert exit_of(OSError()) is Exit.FAILED
    assert all(code is not Exit.DONE for code in EXITS.values())
