"""The arithmetic of waiting: no clock, no I/O."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from collectssl_async import OrderRef, PollPolicy, PollState, StatusCode

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
ORDER = OrderRef(order_number="10203040")


@pytest.mark.parametrize(
    "field",
    [
        "initial_delay",
        "min_interval",
        "factor",
        "max_interval",
        "jitter",
        "failure_interval",
        "max_failure_interval",
        "max_failures",
    ],
)
@pytest.mark.parametrize("value", [-1, float("nan"), float("inf"), "soon"])
def test_a_policy_names_the_field_that_is_wrong(field: str, value: object) -> None:
    with pytest.raises(ValidationError, match=field):
        PollPolicy.model_validate({field: value})


def test_a_wrong_login_cannot_be_waited_for() -> None:
    with pytest.raises(ValidationError, match="-16 cannot be waited for"):
        PollPolicy(keep_waiting_for=frozenset({-22, -16}))


def test_a_status_cannot_be_kept_waiting_for_as_if_it_were_a_code() -> None:
    with pytest.raises(ValidationError, match="error codes are negative, not 0"):
        PollPolicy(keep_waiting_for=frozenset({0}))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"min_interval": 20_000}, "max_interval .* must be at least min_interval"),
        ({"failure_interval": 4000}, "max_failure_interval .* must be at least failure_interval"),
    ],
)
def test_the_longest_interval_is_no_shorter_than_the_first(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        PollPolicy(**fields)


@given(polls=st.integers(0, 10**9), chance=st.floats(0, 1, exclude_max=True), factor=st.floats(1, 1e9))
def test_a_pause_is_never_shorter_than_the_first_nor_longer_than_the_longest(
    polls: int, chance: float, factor: float
) -> None:
    policy = PollPolicy(factor=factor)
    assert policy.min_interval <= policy.delay_after_answer(polls, chance) <= policy.longest_pause
    assert policy.failure_interval <= policy.delay_after_failure(polls, chance) <= policy.longest_pause


def test_the_pause_after_many_polls_is_the_longest_even_where_the_power_overflows() -> None:
    assert PollPolicy(factor=1e300).delay_after_answer(9, 0.0) == 10800


def test_a_state_round_trips_through_json() -> None:
    state = PollState.begin(ORDER, PollPolicy(initial_delay=5), NOW).after_status(
        StatusCode.PROCESSING, PollPolicy(), NOW, 0.5
    )
    assert PollState.model_validate_json(state.model_dump_json()) == state


def test_a_state_of_another_version_is_refused() -> None:
    text = PollState.begin(ORDER, PollPolicy(), NOW).model_dump_json().replace('"version":1', '"version":2')
    with pytest.raises(ValidationError, match="version"):
        PollState.model_validate_json(text)


def test_a_state_without_time_zone_is_refused() -> None:
    with pytest.raises(ValidationError, match="next_poll_at"):
        PollState(order=ORDER, started_at=NOW, next_poll_at=NOW.replace(tzinfo=None))


def test_the_pause_of_a_state_is_bounded_on_both_sides() -> None:
    policy = PollPolicy()
    state = PollState(order=ORDER, started_at=NOW, next_poll_at=NOW)
    assert state.pause(policy, NOW + timedelta(days=3)) == 0
    assert state.pause(policy, NOW - timedelta(days=3)) == policy.longest_pause
    assert state.pause(policy, NOW - timedelta(seconds=5)) == 5
