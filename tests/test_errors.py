"""The tree of exceptions, the table of codes, and errors that pass between processes."""

from __future__ import annotations

import pickle
from datetime import UTC, datetime

import pytest

from collectssl_async import (
    APIError,
    CollectSSLError,
    CollectSSLResponse,
    MalformedResponseError,
    NotReadyError,
    OrderRef,
    PollState,
    ServerUnavailableError,
    StatusCode,
    WaitTimeoutError,
    errors,
)
from collectssl_async.errors import API_ERRORS

NOW = datetime(2026, 3, 1, tzinfo=UTC)
STATE = PollState(order=OrderRef(order_number="1"), started_at=NOW, next_poll_at=NOW)
RESPONSE = CollectSSLResponse(status=StatusCode.PROCESSING)


@pytest.mark.parametrize("code", API_ERRORS)
def test_each_code_has_its_class_and_its_documented_text(code: int) -> None:
    error = APIError.from_code(code)
    assert type(error) is API_ERRORS[code].error
    assert (error.code, error.message, error.item) == (code, API_ERRORS[code].text, None)


def test_an_unlisted_code_raises_the_parent_itself() -> None:
    error = APIError.from_code(-12345, item="orderNumber")
    assert type(error) is APIError
    assert (error.code, error.item) == (-12345, "orderNumber")
    assert error.message


def test_each_subclass_of_the_api_error_has_a_code() -> None:
    assert {known.error for known in API_ERRORS.values()} == {APIError, *APIError.__subclasses__()}


@pytest.mark.parametrize(
    "error",
    [
        APIError.from_code(-4, "The value is invalid!", item="orderNumber"),
        ServerUnavailableError("down", status_code=503, retry_after=120.0),
        MalformedResponseError("HTML", status_code=200, excerpt="<html>"),
        NotReadyError("not yet", response=RESPONSE),
        WaitTimeoutError("late", state=STATE),
        errors.ConfigurationError("endpoint"),
        errors.KeyMismatchError("key"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_errors_pass_through_pickle_whole(error: CollectSSLError) -> None:
    error.add_note("a note")
    copied = pickle.loads(pickle.dumps(error))
    assert type(copied) is type(error)
    assert (copied.args, vars(copied), str(copied)) == (error.args, vars(error), str(error))


def test_the_argument_and_the_excerpt_are_said() -> None:
    assert str(APIError.from_code(-3, "missing", item="queryType")) == "-3: missing (queryType)"
    assert str(MalformedResponseError("no reply of the API", excerpt="<html>")) == "no reply of the API: '<html>'"
    assert str(MalformedResponseError("no reply of the API")) == "no reply of the API"
