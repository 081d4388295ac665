"""Good replies in the URL-encoded format: every parameter, its readings, its tolerances, and what is left over."""

from __future__ import annotations

from datetime import UTC, datetime
from urllib.parse import quote, quote_plus

import pytest

from collectssl_async.models import CAAState, CertificateState, StatusCode, StepStatus, ValidationState
from collectssl_async.parameters import REPLY_PARAMETERS, Kind

from .replies import decode, form, said

STEPS = {
    name: known.field.removeprefix("steps.") for name, known in REPLY_PARAMETERS.items() if known.kind is Kind.STEP
}
STAMPS = [name for name, known in REPLY_PARAMETERS.items() if known.kind is Kind.TIMESTAMP]
NUMBERS = [name for name, known in REPLY_PARAMETERS.items() if known.kind in (Kind.DAYS, Kind.STEP)]
TEXTS = [name for name, known in REPLY_PARAMETERS.items() if known.kind is Kind.TEXT]
DOMAINS = [name for name, known in REPLY_PARAMETERS.items() if known.kind is Kind.DOMAINS]


# --- every parameter --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [0, 1])
def test_status_alone(status: int) -> None:
    response = decode(f"errorCode={status}")
    assert response.status is StatusCode(status)
    assert said(response) == {}


def test_validity_and_product_term() -> None:
    response = decode(
        form(
            1,
            ("notBefore", "1761696000"),
            ("notAfter", "1793231999"),
            ("certificateDuration", "365"),
            ("productTermStartDate", "1761696000"),
            ("productTermEndDate", "1793232000"),
            ("productTermDuration", "366"),
        )
    )
    start, end = datetime(2025, 10, 29, tzinfo=UTC), datetime(2026, 10, 28, 23, 59, 59, tzinfo=UTC)
    assert said(response) == {
        "validity": {"start": start, "end": end, "days": 365},
        "product_term": {"start": start, "end": datetime(2026, 10, 29, tzinfo=UTC), "days": 366},
    }


@pytest.mark.parametrize("name", ["notBefore", "notAfter", "certificateDuration"])
def test_any_one_of_three_makes_a_period(name: str) -> None:
    validity = decode(form(0, (name, "720"))).validity
    assert validity is not None
    assert len(validity.model_dump(exclude_none=True)) == 1


@pytest.mark.parametrize(("name", "field"), STEPS.items())
@pytest.mark.parametrize("value", [-1, 0, 1, 2, 3])
def test_each_step(name: str, field: str, value: int) -> None:
    steps = decode(form(0, (name, str(value)))).steps
    assert steps is not None
    assert getattr(steps, field) is StepStatus(value)
    assert len(steps.model_dump(exclude_none=True)) == 1


def test_unknown_number_of_a_step_is_kept() -> None:
    steps = decode("errorCode=0&csrStatus=17").steps
    assert steps is not None
    assert steps.csr == 17


@pytest.mark.parametrize("spelling", ["ovCallbackStatus", "ovCallBackStatus", "OVCALLBACKSTATUS", "%6FvCallbackStatus"])
def test_names_are_compared_without_case(spelling: str) -> None:
    steps = decode(f"errorCode=0&{spelling}=2").steps
    assert steps is not None
    assert steps.ov_callback is StepStatus.IN_PROGRESS


def test_status_texts_are_verbatim_and_understood() -> None:
    response = decode(
        form(
            0,
            ("certificateStatus", "Awaiting Validation (Full)"),
            ("validationStatus", "Awaiting Legal Documents"),
            ("caaStatus", "Error 403"),
        )
    )
    assert response.certificate_status == "Awaiting Validation (Full)"
    assert response.certificate_state is CertificateState.AWAITING_VALIDATION
    assert response.validation_state is ValidationState.AWAITING_LEGAL_DOCUMENTS
    assert (response.caa_status, response.caa_state, response.caa_error_code) == ("Error 403", CAAState.ERROR, 403)


def test_unknown_status_text_is_kept() -> None:
    response = decode("errorCode=0&certificateStatus=On+Holiday")
    assert (response.certificate_status, response.certificate_state) == ("On Holiday", CertificateState.OTHER)


def test_fqdn() -> None:
    assert decode("errorCode=0&fqdn=*.example.com").fqdn == "*.example.com"


@pytest.mark.parametrize("name", DOMAINS)
@pytest.mark.parametrize(
    "text",
    [
        "a.com VALIDATED, b.com NOTVALIDATED",
        "a.com VALIDATED,b.com NOTVALIDATED",
        " a.com  VALIDATED , b.com NOTVALIDATED, ",
        "a.com VALIDATED,\r\nb.com NOTVALIDATED",
    ],
)
@pytest.mark.parametrize("times", [1, 2, 3])
@pytest.mark.parametrize("encode", [quote, quote_plus])
def test_domain_details_encoded_once_twice_or_thrice(name: str, text: str, times: int, encode: type[object]) -> None:
    for _ in range(times):
        text = str(encode(text))  # type: ignore[call-arg] # either function of urllib
    response = decode(f"errorCode=0&{name}={text}")
    (details,) = (response.mdc_domain_details2, response.mdc_domain_details)[:: 1 if name.endswith("2") else -1][:1]
    assert [(each.domain, each.status) for each in details] == [("a.com", "VALIDATED"), ("b.com", "NOTVALIDATED")]


def test_domain_status_of_several_words_is_verbatim() -> None:
    (domain,) = decode(form(0, ("mdcDomainDetails", "*.a.com Awaiting  Brand Validation"))).mdc_domain_details
    assert (domain.domain, domain.status) == ("*.a.com", "Awaiting  Brand Validation")


# --- what cannot be read ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NUMBERS)
@pytest.mark.parametrize("text", ["soon", "1_0", "0x1", "1.0", "\u0661", "+", "1 2", "9" * 10, "9" * 5_000])
def test_number_that_cannot_be_read_is_left_over(name: str, text: str) -> None:
    assert said(decode(form(0, (name, text)))) == {"extra": {name: (text,)}}


@pytest.mark.parametrize("name", STAMPS)
@pytest.mark.parametrize("text", ["29/10/2025", "1e9", "\u0661", "9" * 14, "-" + "9" * 14, "9" * 15, "9" * 5_000])
def test_timestamp_that_cannot_be_read_is_left_over(name: str, text: str) -> None:
    assert said(decode(form(0, (name, text)))) == {"extra": {name: (text,)}}


@pytest.mark.parametrize("name", DOMAINS)
@pytest.mark.parametrize(
    "text", ["NO STATUS", "a.com", "a.com VALIDATED, b.com", ",", "100%", "%41", "a.com VALIDATED, NO STATUS"]
)
def test_domains_that_are_no_pairs_are_left_over(name: str, text: str) -> None:
    assert said(decode(form(0, (name, text)))) == {"extra": {name: (text,)}}


def test_domains_encoded_too_often_are_left_over() -> None:
    text = quote(quote(quote(quote("a.com VALIDATED"))))
    response = decode(f"errorCode=0&mdcDomainDetails={text}")
    assert response.mdc_domain_details == ()
    assert list(response.extra) == ["mdcDomainDetails"]


def test_more_domains_than_any_certificate_has_are_left_over() -> None:
    assert list(decode(form(0, ("mdcDomainDetails", "a.b c," * 5_002))).extra) == ["mdcDomainDetails"]


def test_what_cannot_be_read_stands_under_its_name_as_sent() -> None:
    assert decode("errorCode=0&CSRStatus=soon").extra == {"CSRStatus": ("soon",)}


@pytest.mark.parametrize("name", list(REPLY_PARAMETERS))
@pytest.mark.parametrize("value", ["", "+", "%20", "%0D%0A"])
def test_empty_known_parameter_is_absent_and_leaves_no_trace(name: str, value: str) -> None:
    response = decode(f"errorCode=0&{name}={value}")
    assert said(response) == {}
    assert response.payload is None


# --- repetition, the unknown ------------------------------------------------------------------------------------------


def test_first_readable_value_wins_and_the_others_are_left_over() -> None:
    response = decode("errorCode=0&csrStatus=soon&csrStatus=1&csrStatus=2&certificateStatus=&certificateStatus=Issued")
    assert said(response) == {
        "steps": {"csr": StepStatus.COMPLETED},
        "certificate_status": "Issued",
        "extra": {"csrStatus": ("soon", "2")},
    }


def test_both_spellings_of_one_parameter_are_one() -> None:
    response = decode("errorCode=0&ovCallbackStatus=1&ovCallBackStatus=2")
    assert said(response) == {"steps": {"ov_callback": 1}, "extra": {"ovCallBackStatus": ("2",)}}


def test_unknown_parameters_are_kept_as_sent_with_every_value() -> None:
    response = decode("errorCode=0&Foo=1&bar=a+b%26c&Foo=2&foo=3&flag&nothing=")
    assert response.extra == {
        "Foo": ("1", "2"),
        "bar": ("a b&c",),
        "foo": ("3",),
        "flag": ("",),
        "nothing": ("",),
    }


def test_value_without_a_name_is_kept() -> None:
    assert decode("errorCode=0&=lost&&").extra == {"": ("=lost",)}


def test_error_message_of_a_good_reply_is_kept() -> None:
    assert decode("errorCode=0&errorMessage=Odd&errorItem=").extra == {"errorMessage": ("Odd",)}


def test_status_twice_is_one_status() -> None:
    assert decode("errorCode=1&errorcode=01").status is StatusCode.AVAILABLE


# --- how it is written ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("end", ["", "\n", "\r\n", "&", "&\n"])
def test_end_of_the_reply(end: str) -> None:
    assert said(decode("errorCode=0&certificateStatus=Issued&unknown=x" + end)) == {
        "certificate_status": "Issued",
        "extra": {"unknown": ("x",)},
    }


@pytest.mark.parametrize("separator", ["&", "&\n", "\r\n&", "\n", "\r\n", "\n\n"])
def test_line_break_may_stand_for_the_separator_before_a_known_name(separator: str) -> None:
    body = separator.join(["errorCode=0", "certificateStatus=Issued", "csrStatus=1", "errorItem="])
    assert said(decode(body)) == {"certificate_status": "Issued", "steps": {"csr": 1}}


@pytest.mark.parametrize("space", ["+", "%20", " "])
@pytest.mark.parametrize("brackets", ["%28Full%29", "(Full)"])
def test_every_spelling_of_a_text(space: str, brackets: str) -> None:
    body = f"errorCode=0&certificateStatus=Awaiting{space}Validation{space}{brackets}"
    assert decode(body).certificate_status == "Awaiting Validation (Full)"


def test_a_percent_sign_that_escapes_nothing_is_itself() -> None:
    assert decode("errorCode=0&certificateStatus=50%+of+100%25+%zz%4").certificate_status == "50% of 100% %zz%4"


@pytest.mark.parametrize("text", ["%E9t%E9", "%C3%A9t%C3%A9"])
def test_values_are_utf_8_or_windows_1252(text: str) -> None:
    assert decode(f"errorCode=0&certificateStatus={text}").certificate_status == "\u00e9t\u00e9"


def test_one_value_in_windows_1252_does_not_spoil_another_in_utf_8() -> None:
    response = decode(b"errorCode=0&certificateStatus=\x93x\x94&validationStatus=%C3%A9")
    assert (response.certificate_status, response.validation_status) == ("\u201cx\u201d", "\u00e9")


def test_byte_order_mark_is_passed_over() -> None:
    assert decode("\ufefferrorCode=1").status is StatusCode.AVAILABLE


@pytest.mark.parametrize(
    "content_type", [None, "", "text/plain", "text/html", "application/x-www-form-urlencoded; charset=x"]
)
@pytest.mark.parametrize("asked", [None, 0, 1])
def test_neither_content_type_nor_the_format_asked_for_decides(content_type: str | None, asked: int | None) -> None:
    response = decode("errorCode=0&fqdn=a.com", content_type=content_type, response_format=asked)
    assert response.fqdn == "a.com"


def test_status_need_not_come_first() -> None:
    response = decode("certificateStatus=Issued&fqdn=a.com&errorCode=1")
    assert (response.status, response.fqdn) == (StatusCode.AVAILABLE, "a.com")


def test_texts_of_documented_parameters_are_not_left_over() -> None:
    for name in TEXTS:
        assert decode(form(0, (name, "x"))).extra == {}
