"""Good replies in the newline-delimited format: what a line is, is decided by its shape."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import permutations
from typing import Any
from urllib.parse import quote, quote_plus

import pytest

from collectssl_async.errors import MalformedResponseError
from collectssl_async.models import CAAState, CertificateState, StatusCode, StepStatus, ValidationState
from collectssl_async.parameters import REPLY_PARAMETERS, Kind

from .packing import chain, pem
from .replies import EVERYTHING, decode, lines, payload_of, said, unnamed

STEPS = {
    name: known.field.removeprefix("steps.") for name, known in REPLY_PARAMETERS.items() if known.kind is Kind.STEP
}
DATES = "14/05/2013 13/05/2014"
STAMPS = "1761696000 1793232000"
PAIRS = "a.com VALIDATED, b.com NOTVALIDATED"
OTHER_PAIRS = "c.com AWAITINGBRAND"


def domains(details: tuple[Any, ...]) -> list[tuple[str, str]]:
    return [(each.domain, each.status) for each in details]


# --- the status line --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [0, 1])
@pytest.mark.parametrize("template", ["{}", "{}\n", "{}\r\n", "\n\n {} \n\n", "\ufeff{}\n", "0{}"])
def test_status_alone(status: int, template: str) -> None:
    response = decode(template.format(status))
    assert response.status is StatusCode(status)
    assert said(response) == {}


@pytest.mark.parametrize("line_break", ["\n", "\r\n", "\r"])
def test_any_line_ends(line_break: str) -> None:
    response = decode(lines(0, "a.com", "Issued", "", "csrStatus=1", line_break=line_break), **EVERYTHING)
    assert said(response) == {"fqdn": "a.com", "certificate_status": "Issued", "steps": {"csr": 1}}


@pytest.mark.parametrize(
    "content_type", [None, "application/x-www-form-urlencoded", "text/plain; charset=windows-1252"]
)
def test_newline_delimited_may_come_whatever_was_asked(content_type: str | None) -> None:
    assert decode("0\nIssued", content_type=content_type, response_format=1).certificate_status == "Issued"


# --- dates ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", list(permutations([DATES, STAMPS])))
def test_validity_and_product_term_may_swap(order: tuple[str, str]) -> None:
    assert said(decode(lines(1, *order), show_validity_period=True)) == {
        "validity": {"start": datetime(2013, 5, 14, tzinfo=UTC), "end": datetime(2014, 5, 13, 23, 59, 59, tzinfo=UTC)},
        "product_term": {"start": datetime(2025, 10, 29, tzinfo=UTC), "end": datetime(2026, 10, 29, tzinfo=UTC)},
    }


def test_dates_are_read_though_nobody_asked() -> None:
    assert set(said(decode(lines(1, DATES, STAMPS)))) == {"validity", "product_term"}


@pytest.mark.parametrize("line", ["14/05/2013  13/05/2014", "14/5/2013\t13/5/2014"])
def test_dates_however_they_are_spaced(line: str) -> None:
    validity = decode(lines(1, line)).validity
    assert validity is not None
    assert validity.start == datetime(2013, 5, 14, tzinfo=UTC)


@pytest.mark.parametrize(
    "line",
    [
        "31/02/2013 99/99/2014",
        "00/00/0000 00/00/0000",
        "9999999999999 99999999999999",
        "9" * 30 + " " + "9" * 30,
        "14/05/2013",
        "1761696000",
        "14/05/2013 - 13/05/2014",
        "\u0661\u0664/05/2013 13/05/2014",
    ],
)
def test_dates_that_cannot_be_read_are_left_over(line: str) -> None:
    assert said(decode(lines(1, line), **EVERYTHING)) == {"extra": {"": (line,)}}


def test_one_date_that_cannot_be_read_does_not_take_the_other_with_it() -> None:
    line = "14/05/2013 31/02/2014"
    assert said(decode(lines(1, line))) == {
        "validity": {"start": datetime(2013, 5, 14, tzinfo=UTC)},
        "extra": {"": (line,)},
    }


def test_second_line_of_dates_is_left_over() -> None:
    assert unnamed(decode(lines(1, DATES, DATES, STAMPS, STAMPS))) == (DATES, STAMPS)


# --- the name ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["shop.example.com", "*.example.com", "xn--bcher-kva.example", "192.0.2.1", "a.b", "a.com."]
)
def test_fqdn_is_read_when_it_was_asked_for(name: str) -> None:
    assert said(decode(lines(0, name), show_fqdn=True)) == {"fqdn": name}


def test_fqdn_that_nobody_asked_for_is_left_over() -> None:
    assert said(decode(lines(0, "shop.example.com"))) == {"extra": {"": ("shop.example.com",)}}


def test_only_the_first_name_is_the_fqdn() -> None:
    assert said(decode(lines(0, "a.com", "b.com"), show_fqdn=True)) == {"fqdn": "a.com", "extra": {"": ("b.com",)}}


def test_fqdn_comes_with_certificates_too() -> None:
    response = decode(lines(2, "shop.example.com", *map(pem, chain())), show_fqdn=True)
    assert response.fqdn == "shop.example.com"
    assert set(payload_of(response).certificates) == set(chain())


@pytest.mark.parametrize("line", ["a..com", ".com", "a.com/path", "@.example", "a" * 250 + ".com"])
def test_what_is_no_name_is_no_fqdn(line: str) -> None:
    assert decode(lines(0, line), show_fqdn=True).fqdn is None


# --- documented texts -------------------------------------------------------------------------------------------------

TEXTS = [
    *((state, "certificate_status") for state in CertificateState if state is not CertificateState.OTHER),
    *((state, "validation_status") for state in ValidationState if state is not ValidationState.OTHER),
    *((state, "caa_status") for state in CAAState if state is not CAAState.OTHER),
    ("Error 403", "caa_status"),
    ("error  -7", "caa_status"),
]


@pytest.mark.parametrize(("text", "field"), TEXTS)
@pytest.mark.parametrize("template", ["{}", "{} (Full)", "{}(Full)", "{} [x]", "{}.", "  {}  "])
def test_documented_texts_are_known_with_and_without_a_qualifier(text: str, field: str, template: str) -> None:
    line = template.format(text)
    assert said(decode(lines(0, line))) == {field: line.strip()}


@pytest.mark.parametrize(("text", "field"), TEXTS)
def test_documented_texts_are_known_in_any_case(text: str, field: str) -> None:
    assert said(decode(lines(0, text.upper()))) == {field: text.upper()}


@pytest.mark.parametrize("order", list(permutations(["Issued", "Complete", "Authorized"])))
def test_documented_texts_are_known_in_any_order(order: tuple[str, ...]) -> None:
    response = decode(lines(0, *order), **EVERYTHING)
    assert (response.certificate_status, response.validation_status, response.caa_status) == (
        "Issued",
        "Complete",
        "Authorized",
    )


def test_second_status_of_a_kind_is_left_over() -> None:
    assert said(decode(lines(0, "Issued", "Revoked"), **EVERYTHING)) == {
        "certificate_status": "Issued",
        "extra": {"": ("Revoked",)},
    }


def test_certificate_status_alone_leaves_the_other_open() -> None:
    response = decode(lines(0, "Awaiting Validation", "csrStatus=1"), **EVERYTHING)
    assert (response.certificate_status, response.validation_status) == ("Awaiting Validation", None)


# --- undocumented texts -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("texts", "certificate", "validation", "left"),
    [
        (["Issued", "On Holiday"], "Issued", "On Holiday", ()),
        (["On Holiday", "Complete"], "On Holiday", "Complete", ()),
        (["On Holiday", "At Lunch"], "On Holiday", "At Lunch", ()),
        (["On Holiday", "At Lunch", "Gone"], "On Holiday", "At Lunch", ("Gone",)),
        (["On Holiday"], "On Holiday", None, ()),
        (["Odd", "On Holiday", "Complete"], "On Holiday", "Complete", ("Odd",)),
        (["Issued", "On Holiday", "Odd"], "Issued", "On Holiday", ("Odd",)),
        (["Odd", "Issued"], "Issued", None, ("Odd",)),
        (["Complete", "Odd"], None, "Complete", ("Odd",)),
        (["Issued", "Complete", "Odd"], "Issued", "Complete", ("Odd",)),
        (["Issued", "csrStatus=1", "Odd"], "Issued", None, ("Odd",)),
        (["Issued", "", "On Holiday"], "Issued", "On Holiday", ()),
        (["certificateStatus=Issued", "On Holiday"], "Issued", "On Holiday", ()),
        (["On Holiday", "validationStatus: Complete"], "On Holiday", "Complete", ()),
    ],
)
def test_unknown_words_are_statuses_by_their_place(
    texts: list[str], certificate: str | None, validation: str | None, left: tuple[str, ...]
) -> None:
    response = decode(lines(0, *texts), show_ext_status=True)
    assert (response.certificate_status, response.validation_status) == (certificate, validation)
    assert unnamed(response) == left


@pytest.mark.parametrize("line", ["foo=bar", "foo: bar", "42", "---", "a.com VALIDATED", "x" * 201, "14/05/2013"])
def test_what_is_no_word_is_no_status(line: str) -> None:
    assert said(decode(lines(0, "Issued", line), show_ext_status=True)) == {
        "certificate_status": "Issued",
        "extra": {"": (line,)},
    }


def test_unknown_words_are_left_over_when_no_status_was_asked_for() -> None:
    assert said(decode(lines(0, "On Holiday", "At Lunch"))) == {"extra": {"": ("On Holiday", "At Lunch")}}


def test_what_is_left_over_keeps_its_order() -> None:
    response = decode(lines(0, "Odd", "x=1", "Issued", "42", "Odder", "Complete"), show_ext_status=True)
    assert unnamed(response) == ("Odd", "x=1", "42", "Odder")


# --- domains ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "first", "second", "left"),
    [
        (("show_mdc_domain_details", "show_mdc_domain_details2"), PAIRS, OTHER_PAIRS, ()),
        (("show_mdc_domain_details",), PAIRS, "", (OTHER_PAIRS,)),
        (("show_mdc_domain_details2",), "", PAIRS, (OTHER_PAIRS,)),
        ((), "", "", (PAIRS, OTHER_PAIRS)),
    ],
)
def test_domains_come_in_the_order_of_the_request(
    asked: tuple[str, ...], first: str, second: str, left: tuple[str, ...]
) -> None:
    flags: dict[str, Any] = dict.fromkeys(asked, True)
    response = decode(lines(0, PAIRS, OTHER_PAIRS), **flags)
    shown = [
        ", ".join(f"{each.domain} {each.status}" for each in details)
        for details in (response.mdc_domain_details, response.mdc_domain_details2)
    ]
    assert shown == [first, second]
    assert unnamed(response) == left


def test_third_line_of_domains_is_left_over() -> None:
    assert unnamed(decode(lines(0, PAIRS, OTHER_PAIRS, PAIRS), **EVERYTHING)) == (PAIRS,)


def test_no_status_is_no_domain() -> None:
    assert said(decode(lines(0, "NO STATUS"), **EVERYTHING)) == {"certificate_status": "NO STATUS"}


@pytest.mark.parametrize("encode", [quote, quote_plus])
@pytest.mark.parametrize("times", [1, 2])
@pytest.mark.parametrize("line", [PAIRS, "*.a.com VALIDATED"])
def test_domains_that_are_url_encoded(encode: Any, times: int, line: str) -> None:
    text = line
    for _ in range(times):
        text = encode(text)
    response = decode(lines(0, text), **EVERYTHING)
    assert ", ".join(f"{each.domain} {each.status}" for each in response.mdc_domain_details) == line
    assert response.fqdn is None


def test_named_domains_leave_the_unnamed_line_to_the_other() -> None:
    response = decode(lines(0, f"mdcDomainDetails={PAIRS}", OTHER_PAIRS), **EVERYTHING)
    assert domains(response.mdc_domain_details2) == [("c.com", "AWAITINGBRAND")]


def test_domains_that_cannot_be_read_are_left_over_and_keep_their_place() -> None:
    broken = "a.com VALIDATED, b"
    response = decode(lines(0, broken, OTHER_PAIRS), **EVERYTHING)
    assert response.mdc_domain_details == ()
    assert domains(response.mdc_domain_details2) == [("c.com", "AWAITINGBRAND")]
    assert unnamed(response) == (broken,)


# --- named lines ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "field"), STEPS.items())
@pytest.mark.parametrize("template", ["{}={}", "{}: {}", "{} {}", "{}:{}", "{} = {}", "{}\t{}"])
def test_steps_however_they_are_written(name: str, field: str, template: str) -> None:
    response = decode(lines(0, template.format(name, -1)))
    assert response.steps is not None
    assert getattr(response.steps, field) is StepStatus.NOT_REQUIRED
    assert response.extra == {}


@pytest.mark.parametrize("template", ["{}={}", "{}: {}", "{} = {}"])
@pytest.mark.parametrize(
    ("name", "value", "field"),
    [
        ("fqdn", "a.com", "fqdn"),
        ("certificateStatus", "On Holiday", "certificate_status"),
        ("VALIDATIONSTATUS", "At Lunch", "validation_status"),
        ("caaStatus", "Not Known", "caa_status"),
    ],
)
def test_named_texts(template: str, name: str, value: str, field: str) -> None:
    assert said(decode(lines(0, template.format(name, value)))) == {field: value}


@pytest.mark.parametrize("line", ["caaStatus Not Known", "caaStatus  Error 403"])
def test_caa_status_needs_no_sign(line: str) -> None:
    assert decode(lines(0, line)).caa_status == line.removeprefix("caaStatus").strip()


def test_named_periods() -> None:
    response = decode(lines(1, "notBefore=0", "notAfter: 86399", "certificateDuration=1", "productTermDuration=2"))
    assert said(response) == {
        "validity": {
            "start": datetime(1970, 1, 1, tzinfo=UTC),
            "end": datetime(1970, 1, 1, 23, 59, 59, tzinfo=UTC),
            "days": 1,
        },
        "product_term": {"days": 2},
    }


def test_named_domains() -> None:
    response = decode(lines(0, f"mdcDomainDetails: {PAIRS}", f"mdcDomainDetails2={quote(OTHER_PAIRS)}"))
    assert domains(response.mdc_domain_details) == [("a.com", "VALIDATED"), ("b.com", "NOTVALIDATED")]
    assert domains(response.mdc_domain_details2) == [("c.com", "AWAITINGBRAND")]


@pytest.mark.parametrize("line", ["csrStatus=", "csrStatus:", "csrStatus", "fqdn: ", "certificate=", "caCertificate:"])
def test_empty_named_line_leaves_no_trace(line: str) -> None:
    assert said(decode(lines(0, line), **EVERYTHING)) == {}


@pytest.mark.parametrize(
    "line",
    [
        "csrStatus=done",
        "csrStatus done",
        "dcvStatus: \u0661",
        "certificateDuration=1_0",
        "notBefore=29/10/2025",
        "mdcDomainDetails=NO STATUS",
        "foo=bar",
        "foo: bar",
        "errorCode=-16",
        "errorMessage: Odd",
    ],
)
def test_named_line_that_is_unknown_or_cannot_be_read_is_left_over_whole(line: str) -> None:
    assert said(decode(lines(0, line), **EVERYTHING)) == {"extra": {"": (line,)}}


def test_step_said_twice_is_left_over() -> None:
    assert said(decode(lines(0, "ovCallbackStatus=1", "ovCallBackStatus=2"))) == {
        "steps": {"ov_callback": 1},
        "extra": {"": ("ovCallBackStatus=2",)},
    }


# --- altogether -------------------------------------------------------------------------------------------------------


def test_every_line_is_known_in_any_order() -> None:
    order = [DATES, STAMPS, "a.com", "Issued", "Complete", PAIRS, "csrStatus=1", "caaStatus: Empty"]
    whole = said(decode(lines(1, *order), **EVERYTHING))
    assert len(whole) == 8
    for turn in range(1, len(order)):
        assert said(decode(lines(1, *order[turn:], *order[:turn]), **EVERYTHING)) == whole


def test_a_cut_boundary_fails_the_reply() -> None:
    for rest in (
        "-----BEGIN CERTIFI",
        "-----BEGIN",
        "-----BE",
        "-----END CERTIFICATE-----",
        "-----BEGIN CERTIFICATE-----",
    ):
        with pytest.raises(MalformedResponseError):
            decode(lines(2, pem(chain()[0]) + rest))


@pytest.mark.parametrize("line", ["-----", "- Begin", "--Beta", "--", "-Before", "-- ENDED"])
def test_dashes_alone_are_no_boundary(line: str) -> None:
    assert said(decode(lines(0, line))) == {"extra": {"": (line,)}}
