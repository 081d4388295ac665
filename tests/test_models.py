"""What a request may be, and how a reply's texts are read."""

from __future__ import annotations

import itertools
import pickle
from typing import Any

import pytest
from pydantic import ValidationError

from collectssl_async import (
    CAAState,
    CertificatePayload,
    CertificateState,
    CollectSSLRequest,
    CollectSSLResponse,
    OrderRef,
    QueryType,
    ResponseEncoding,
    ResponseType,
    StatusCode,
    StepStatus,
    ValidationState,
    ValidationSteps,
)

# --- orders -----------------------------------------------------------------------------------------------------------


def test_a_string_is_an_order_number() -> None:
    assert OrderRef.of("10203040") == OrderRef(order_number="10203040")


def test_an_order_is_taken_as_it_is() -> None:
    order = OrderRef(certificate_id=7, base_order_number=9)
    assert OrderRef.of(order) is order


@pytest.mark.parametrize("order", [10203040, None, b"10203040"])
def test_nothing_else_names_an_order(order: Any) -> None:
    with pytest.raises(TypeError, match="an order is an OrderRef or an order number as str"):
        OrderRef.of(order)


def test_an_order_says_which_it_is() -> None:
    assert str(OrderRef(order_number="A1", certificate_id=7)) == "A1 certificate_id=7"
    assert str(OrderRef(base_order_number=9)) == "base_order_number=9"


def test_an_order_that_nothing_names_is_refused() -> None:
    with pytest.raises(ValidationError, match="order_number, certificate_id or base_order_number must be given"):
        OrderRef()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("order_number", ""),
        ("order_number", "x" * 129),
        ("order_number", "12\n"),
        ("order_number", "1\x00"),
        ("order_number", "1\x85"),
        ("certificate_id", 10**16),
        ("certificate_id", -1),
        ("certificate_id", "12x"),
        ("base_order_number", -1),
        ("base_order_number", 10**128),
        ("order", "1"),
    ],
)
def test_an_identifier_out_of_bounds_is_refused_by_name(field: str, value: object) -> None:
    with pytest.raises(ValidationError, match=field):
        OrderRef.model_validate({field: value})


@pytest.mark.parametrize("field", ["order_number", "certificate_id"])
def test_the_longest_identifiers_are_taken(field: str) -> None:
    longest: dict[str, Any] = {"order_number": "x" * 128, "certificate_id": 10**16 - 1}
    assert getattr(OrderRef.model_validate({field: longest[field]}), field) == longest[field]


# --- requests ---------------------------------------------------------------------------------------------------------


def allowed(query: QueryType, kind: ResponseType | None, encoding: ResponseEncoding | None) -> bool:
    """The reference's "Request parameters", restated."""
    if kind in (ResponseType.ZIP, ResponseType.NETSCAPE, ResponseType.PKCS7) and query != 1:
        return False
    return encoding is not ResponseEncoding.BINARY or (query == 1 and kind in (ResponseType.ZIP, ResponseType.PKCS7))


@pytest.mark.parametrize(
    ("query", "kind", "encoding"),
    list(itertools.product(QueryType, [None, *ResponseType], [None, *ResponseEncoding])),
)
def test_a_combination_that_the_reference_forbids_is_refused_before_any_call(
    query: QueryType, kind: ResponseType | None, encoding: ResponseEncoding | None
) -> None:
    def build() -> CollectSSLRequest:
        return CollectSSLRequest(order_number="1", query_type=query, response_type=kind, response_encoding=encoding)

    if allowed(query, kind, encoding):
        assert build().query_type is query
    else:
        with pytest.raises(ValidationError, match="needs query_type 1"):
            build()


def test_the_query_type_has_no_default() -> None:
    with pytest.raises(ValidationError, match="query_type"):
        CollectSSLRequest.model_validate({"order_number": "1"})


def test_an_unknown_parameter_is_refused() -> None:
    with pytest.raises(ValidationError, match="show_everything"):
        CollectSSLRequest.model_validate({"order_number": "1", "query_type": 0, "show_everything": True})


def test_a_request_is_frozen() -> None:
    request = CollectSSLRequest(order_number="1", query_type=QueryType.STATUS_ONLY)
    with pytest.raises(ValidationError, match="frozen"):
        setattr(request, "order_number", "2")  # noqa: B010 - type checkers refuse the assignment, as they should


# --- replies ----------------------------------------------------------------------------------------------------------


def response(**fields: Any) -> CollectSSLResponse:
    return CollectSSLResponse(status=StatusCode.PROCESSING, **fields)


@pytest.mark.parametrize("state", list(CertificateState)[:-1])
@pytest.mark.parametrize("change", [str, str.upper, str.lower, "{} (Full)".format, " {} ".format, "{}.".format])
def test_documented_certificate_states_are_recognised(state: CertificateState, change: Any) -> None:
    assert response(certificate_status=change(state.value)).certificate_state is state


@pytest.mark.parametrize("state", list(ValidationState)[:-1])
@pytest.mark.parametrize("change", [str, "{} (since Monday)".format, "{} [2]".format])
def test_documented_validation_states_are_recognised(state: ValidationState, change: Any) -> None:
    assert response(validation_status=change(state.value)).validation_state is state


@pytest.mark.parametrize("state", list(CAAState)[:-1])
def test_documented_caa_states_are_recognised(state: CAAState) -> None:
    assert response(caa_status=state.value).caa_state is state
    assert response(caa_status=state.value).caa_error_code is None


@pytest.mark.parametrize(("text", "code"), [("Error 403", 403), ("ERROR 7.", 7), ("error -1", -1)])
def test_a_numbered_caa_error_is_an_error_with_its_number(text: str, code: int) -> None:
    answered = response(caa_status=text)
    assert (answered.caa_state, answered.caa_error_code) == (CAAState.ERROR, code)


def test_what_nobody_documented_is_other_and_what_was_not_said_is_none() -> None:
    answered = response(certificate_status="Sleeping", caa_status="Error x")
    assert (answered.certificate_state, answered.caa_state) == (CertificateState.OTHER, CAAState.OTHER)
    assert answered.validation_state is None
    assert response().caa_state is None
    assert response().caa_error_code is None


def test_a_step_keeps_a_number_that_nobody_documented() -> None:
    steps = ValidationSteps(csr=StepStatus.COMPLETED, dcv=9)
    assert (steps.csr, steps.dcv, steps.ov_callback) == (StepStatus.COMPLETED, 9, None)
    assert isinstance(ValidationSteps.model_validate({"csr": 1}).csr, StepStatus)


def test_a_response_round_trips_through_json_and_pickle() -> None:
    payload = CertificatePayload(response_type=ResponseType.ZIP, data=b"PK\x03\xff", certificates=(b"0\x82\xff",))
    answered = response(payload=payload, extra={"x": ("1", "2")}, steps=ValidationSteps(csr=StepStatus.REJECTED))
    assert CollectSSLResponse.model_validate_json(answered.model_dump_json()) == answered
    assert pickle.loads(pickle.dumps(answered)) == answered
