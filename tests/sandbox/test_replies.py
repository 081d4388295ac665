"""What a reply says, in which format, and where. Nothing varies here; `test_strict.py` is about what may."""

from __future__ import annotations

import io
import re
import zipfile
from base64 import b64decode
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, pkcs7

from collectssl_async.models import CAAState, CertificateState, ValidationState
from collectssl_async.parameters import REPLY_PARAMETERS, Kind
from collectssl_async.sandbox.authority import certificate_term, product_term
from collectssl_async.sandbox.steps import EV_ONLY, PATHS, STEP_VALUES

from .calling import EVERYTHING

if TYPE_CHECKING:
    from collectssl_async.sandbox import Sandbox

    from .calling import Caller, Clock


def midnight() -> datetime:
    """The beginning of today, which is when certificates and terms begin."""
    return datetime.combine(datetime.now(UTC).date(), datetime.min.time(), UTC)


def stamp(moment: datetime) -> str:
    return str(int(moment.timestamp()))


def der(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(Encoding.DER)


# --- URL-encoded ------------------------------------------------------------------------------------------------------


def test_a_processed_order_s_parameters(caller: Caller, sandbox: Sandbox) -> None:
    order = sandbox.place_order("shop.example.com", names=["a.example"], product="ov", issue_after=None)
    term = product_term(midnight().date())
    pairs = caller.pairs(order, **EVERYTHING)
    assert {name: value for name, [value] in pairs.items()} == {
        "errorCode": "0",
        "certificateDuration": "199",
        "productTermDuration": str((term[1] - term[0]).days),
        "fqdn": "shop.example.com",
        "certificateStatus": "Awaiting Validation",
        "validationStatus": "Awaiting private WHOIS entry release",
        "mdcDomainDetails": "shop.example.com NOTVALIDATED, a.example NOTVALIDATED",
        "mdcDomainDetails2": "shop.example.com NOTVALIDATED, a.example NOTVALIDATED",
        "csrStatus": "1",
        "dcvStatus": "0",
        "ovCallbackStatus": "0",
        "organizationValidationStatus": "2",
        "freeDVUPStatus": "-1",
        "evClickThroughStatus": "-1",
        "brandValStatus": "-1",
        "maStatus": "-1",
        "caaStatus": "Awaiting Completion",
    }


def test_an_issued_order_s_periods(caller: Caller, sandbox: Sandbox) -> None:
    pairs = caller.pairs(sandbox.place_order("shop.example.com"), showValidityPeriod="Y")
    today = midnight()
    term = product_term(today.date())
    assert pairs == {
        "errorCode": ["1"],
        "notBefore": [stamp(today)],
        "notAfter": [stamp(today + timedelta(days=200, seconds=-1))],
        "certificateDuration": ["199"],
        "productTermStartDate": [stamp(today)],
        "productTermEndDate": [stamp(term[1])],
        "productTermDuration": [str((term[1] - term[0]).days)],
    }


def test_only_what_was_asked_for_is_sent(caller: Caller, sandbox: Sandbox) -> None:
    order = sandbox.place_order("shop.example.com", names=["a.example"], issue_after=None)
    assert caller.pairs(order) == {"errorCode": ["0"]}


def test_the_sample_request_is_answered_with_all_that_it_asks_for(caller: Caller, sandbox: Sandbox) -> None:
    order = sandbox.place_order("shop.example.com", product="ov")
    pairs = caller.pairs(
        order, showStatusDetails="Y", responseType=3, responseFormat=1, showExtStatus="Y", showValidityPeriod="Y"
    )
    periods = {name for name, parameter in REPLY_PARAMETERS.items() if parameter.kind in (Kind.TIMESTAMP, Kind.DAYS)}
    assert pairs.keys() == (
        {"errorCode", "certificateStatus", "validationStatus", "caaStatus"}
        | periods
        | (STEP_VALUES.keys() - set(EV_ONLY))
    )


def test_a_chain_comes_root_first_with_the_leaf_under_its_own_name(caller: Caller, sandbox: Sandbox) -> None:
    pairs = caller.pairs(sandbox.place_order("shop.example.com"), queryType=1)
    authority = sandbox.authority
    assert [b64decode(each) for each in pairs["caCertificate"]] == [
        der(each) for each in (authority.old_root, authority.cross_signed_root, authority.issuing_ca)
    ]
    assert x509.load_der_x509_certificate(b64decode(pairs["certificate"][0])).issuer == authority.issuing_ca.subject


@pytest.mark.parametrize(("query_type", "cas", "leaves"), [(0, 0, 0), (1, 3, 1), (2, 0, 1), (3, 3, 0)])
@pytest.mark.parametrize("response_type", [3, None])
def test_the_query_type_decides_which_certificates_come(
    caller: Caller, sandbox: Sandbox, query_type: int, cas: int, leaves: int, response_type: int | None
) -> None:
    order = sandbox.place_order("shop.example.com")
    pairs = caller.pairs(order, queryType=query_type, responseType=response_type)
    assert (len(pairs.get("caCertificate", [])), len(pairs.get("certificate", []))) == (cas, leaves)


# --- newline-delimited ------------------------------------------------------------------------------------------------


def test_the_lines_of_an_issued_order_stand_in_their_order(caller: Caller, sandbox: Sandbox) -> None:
    order = sandbox.place_order("shop.example.com", names=["a.example"])
    text = caller.post(order, queryType=2, **EVERYTHING).text
    today = midnight()
    term = product_term(today.date())
    end = today + timedelta(days=199)
    block = r"-----BEGIN CERTIFICATE-----\n([A-Za-z0-9+/=]{1,64}\n)+-----END CERTIFICATE-----\n"
    steps = "".join(rf"{name}=-?\d\n" for name in STEP_VALUES if name not in EV_ONLY)
    assert re.fullmatch(
        rf"2\n{today:%d/%m/%Y} {end:%d/%m/%Y}\n{stamp(term[0])} {stamp(term[1])}\nshop\.example\.com\n{block}"
        rf"\nIssued\nComplete\n{steps}caaStatus=Authorized\n",
        text,
    )


def test_the_lines_of_a_processed_order_stand_in_their_order(caller: Caller, sandbox: Sandbox) -> None:
    order = sandbox.place_order("shop.example.com", names=["a.example"], issue_after=None)
    order.step("brandValStatus", 2)
    lines = caller.lines(order, **EVERYTHING)
    assert lines[:6] == [
        "0",
        "shop.example.com",
        "Awaiting Validation",
        "Awaiting Brand Validation",
        "a.example NOTVALIDATED",
        "shop.example.com AWAITINGBRAND, a.example NOTVALIDATED",
    ]
    assert (lines[6], lines[-1]) == ("csrStatus=1", "caaStatus=Awaiting Completion")


def test_certificates_stand_root_first_and_leaf_last(caller: Caller, sandbox: Sandbox) -> None:
    order = sandbox.place_order("shop.example.com")
    text = caller.post(order, queryType=1).text
    found = x509.load_pem_x509_certificates(text.removeprefix("2\n").encode())
    assert (found[:3], found[3]) == (list(sandbox.authority.chain), caller.leaf(order))


def test_the_media_type_tells_the_format(caller: Caller, sandbox: Sandbox) -> None:
    order = sandbox.place_order("shop.example.com")
    types = [caller.post(order, responseFormat=each).headers["content-type"] for each in (0, 1)]
    assert types == ["text/plain", "application/x-www-form-urlencoded"]


# --- containers -------------------------------------------------------------------------------------------------------


def expected(caller: Caller, sandbox: Sandbox, leaf: x509.Certificate) -> list[bytes]:
    return [der(each) for each in (*sandbox.authority.chain, leaf)]


def test_a_zip_holds_every_certificate(caller: Caller, sandbox: Sandbox) -> None:
    order = sandbox.place_order("shop.example.com")
    url = b64decode(caller.pairs(order, queryType=1, responseType=0)["zipFile"][0])
    newline = b64decode("".join(caller.lines(order, queryType=1, responseType=0)[1:]))
    binary = caller.post(order, queryType=1, responseType=0, responseEncoding=1).content
    for data in (url, newline, binary):
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = [x509.load_pem_x509_certificate(archive.read(name)) for name in archive.namelist()]
        assert sorted(map(der, members)) == sorted(expected(caller, sandbox, caller.leaf(order)))


def test_a_pkcs7_holds_every_certificate(caller: Caller, sandbox: Sandbox) -> None:
    order = sandbox.place_order("shop.example.com")
    armoured = caller.post(order, queryType=1, responseType=2).text.removeprefix("2\n")
    found = [
        pkcs7.load_der_pkcs7_certificates(b64decode(caller.pairs(order, queryType=1, responseType=2)["pkcs7"][0])),
        pkcs7.load_pem_pkcs7_certificates(armoured.encode()),
        pkcs7.load_der_pkcs7_certificates(
            caller.post(order, queryType=1, responseType=2, responseEncoding=1).content,
        ),
    ]
    wanted = sorted(expected(caller, sandbox, caller.leaf(order)))
    assert [sorted(map(der, each)) for each in found] == [wanted] * 3


def test_a_netscape_sequence_is_a_content_info_with_every_certificate(caller: Caller, sandbox: Sandbox) -> None:
    order = sandbox.place_order("shop.example.com")
    data = b64decode(caller.pairs(order, queryType=1, responseType=1)["netscapeCertificateSequence"][0])
    certificates = b"".join(expected(caller, sandbox, caller.leaf(order)))
    sequence = b"\x30\x82" + len(certificates).to_bytes(2) + certificates
    explicit = b"\xa0\x82" + len(sequence).to_bytes(2) + sequence
    content = b"\x06\x09\x60\x86\x48\x01\x86\xf8\x42\x02\x05" + explicit
    assert data == b"\x30\x82" + len(content).to_bytes(2) + content
    lines = caller.lines(order, queryType=1, responseType=1)
    assert (lines[1], b64decode("".join(lines[2:-1]))) == ("-----BEGIN CERTIFICATE-----", data)


@pytest.mark.parametrize("response_type", [0, 2])
def test_binary_replies_carry_nothing_else(caller: Caller, sandbox: Sandbox, response_type: int) -> None:
    order = sandbox.place_order("shop.example.com")
    reply = caller.post(
        order, queryType=1, responseType=response_type, responseEncoding=1, responseFormat=1, **EVERYTHING
    )
    assert reply.headers["content-type"] == "application/octet-stream"
    assert reply.content[:1] == {0: b"P", 2: b"\x30"}[response_type]


def test_a_binary_reply_that_is_not_ready_is_text_in_the_format_asked_for(caller: Caller, sandbox: Sandbox) -> None:
    order = sandbox.place_order("shop.example.com", issue_after=None)
    pairs = caller.pairs(order, queryType=1, responseType=0, responseEncoding=1, showFQDN="Y")
    assert pairs == {"errorCode": ["0"], "fqdn": ["shop.example.com"]}


# --- steps, domains, statuses -----------------------------------------------------------------------------------------


def test_every_step_of_the_reference_has_its_values() -> None:
    assert list(STEP_VALUES) == [name for name, parameter in REPLY_PARAMETERS.items() if parameter.kind is Kind.STEP]


@pytest.mark.parametrize("product", PATHS)
def test_an_issued_order_has_done_the_steps_of_its_product_and_no_others(
    caller: Caller, sandbox: Sandbox, product: str
) -> None:
    pairs = caller.pairs(sandbox.place_order("shop.example.com", product=product), showStatusDetails="Y")
    sent = {name: int(pairs[name][0]) for name in STEP_VALUES if name in pairs}
    assert sent.keys() == set(STEP_VALUES) - (set() if product == "ev" else set(EV_ONLY))
    assert sent == {name: 1 if name in PATHS[product] else -1 for name in sent}


@pytest.mark.parametrize("product", PATHS)
def test_steps_are_taken_one_by_one_as_time_passes(
    caller: Caller, sandbox: Sandbox, clock: Clock, product: str
) -> None:
    order = sandbox.place_order("shop.example.com", product=product, issue_after=100)
    seen = []
    for _ in range(101):
        pairs = caller.pairs(order, showStatusDetails="Y")
        values = [int(pairs[name][0]) for name in PATHS[product]]
        assert all(value in STEP_VALUES[name] for name, value in zip(PATHS[product], values, strict=True))
        seen.append([value == 1 for value in values])
        clock.now += 1
    counts = [sum(each) for each in seen]
    assert counts == sorted(counts)
    assert sorted(set(counts)) == list(range(1, len(PATHS[product]) + 1))


def test_a_step_under_way_is_in_progress(caller: Caller, sandbox: Sandbox, clock: Clock) -> None:
    order = sandbox.place_order("shop.example.com", product="ov", issue_after=90)
    clock.now += 45
    lines = caller.lines(order, showStatusDetails="Y")
    assert {"dcvStatus=1", "organizationValidationStatus=2", "ovCallbackStatus=0"} <= set(lines)


@pytest.mark.parametrize(
    ("product", "elapsed", "done", "under_way"),
    [
        ("ov", 0, ["csrStatus"], ["organizationValidationStatus"]),
        ("ov", 1.5, ["csrStatus", "dcvStatus"], ["organizationValidationStatus"]),
        ("ov", 2.5, ["csrStatus", "dcvStatus", "organizationValidationStatus"], ["ovCallbackStatus"]),
        ("ev", 2.5, ["csrStatus", "dcvStatus", "evLegalExistence"], ["organizationValidationStatus"]),
        (
            "ev",
            8.5,
            [name for name in PATHS["ev"] if name not in ("evClickThroughStatus", "evSignerSecondApproval")],
            ["evClickThroughStatus"],
        ),
    ],
)
def test_the_organisation_is_validated_beside_the_domains_and_called_when_it_is_known(
    caller: Caller, sandbox: Sandbox, clock: Clock, product: str, elapsed: float, done: list[str], under_way: list[str]
) -> None:
    order = sandbox.place_order("shop.example.com", product=product, issue_after={"ov": 3, "ev": 10}[product])
    clock.now += elapsed
    pairs = caller.pairs(order, showStatusDetails="Y")
    steps = {name: pairs[name][0] for name in STEP_VALUES if name in pairs}
    assert {name for name, value in steps.items() if value == "1"} == set(done)
    assert [name for name, value in steps.items() if value == "2"] == under_way


def test_polls_are_progress_too(caller: Caller, sandbox: Sandbox) -> None:
    order = sandbox.place_order("shop.example.com", issue_after_polls=2)
    seen = [caller.lines(order, showStatusDetails="Y")[2] for _ in range(3)]
    assert seen == ["dcvStatus=0", "dcvStatus=2", "dcvStatus=1"]


def test_domains_are_validated_one_by_one(caller: Caller, sandbox: Sandbox, clock: Clock) -> None:
    order = sandbox.place_order("a.example", names=["b.example"], issue_after=10)
    seen = [caller.lines(order, showMDCDomainDetails="Y")[1]]
    for _ in range(9):
        clock.now += 1
        seen.append(caller.lines(order, showMDCDomainDetails="Y")[1])
    assert list(dict.fromkeys(seen)) == [
        "a.example NOTVALIDATED, b.example NOTVALIDATED",
        "a.example VALIDATED, b.example NOTVALIDATED",
    ]


def test_all_domains_are_validated_when_dcv_is_done(caller: Caller, sandbox: Sandbox) -> None:
    order = sandbox.place_order("a.example", names=["b.example"], product="ov", issue_after=None)
    order.step("dcv", 1)
    assert caller.lines(order, showMDCDomainDetails="Y")[1] == "a.example VALIDATED, b.example VALIDATED"


def test_domains_are_told_of_processed_multi_domain_orders_alone(caller: Caller, sandbox: Sandbox) -> None:
    single = sandbox.place_order("a.example", issue_after=None)
    issued = sandbox.place_order("a.example", names=["b.example"])
    assert [caller.lines(order, showMDCDomainDetails="Y") for order in (single, issued)] == [["0"], ["1"]]


@pytest.mark.parametrize(
    ("product", "steps", "text"),
    [
        ("dv", {}, ValidationState.AWAITING_PRIVATE_WHOIS_ENTRY_RELEASE),
        ("dv", {"dcvStatus": 1}, ValidationState.COMPLETE),
        ("dv", {"brandValStatus": 2}, ValidationState.AWAITING_BRAND_VALIDATION),
        ("ov", {"dcvStatus": 1}, ValidationState.AWAITING_LEGAL_DOCUMENTS),
        ("ev", {"dcvStatus": -1}, ValidationState.AWAITING_LEGAL_DOCUMENTS),
    ],
)
def test_the_validation_status_is_what_the_first_open_step_waits_for(
    caller: Caller, sandbox: Sandbox, product: str, steps: dict[str, int], text: str
) -> None:
    order = sandbox.place_order("shop.example.com", product=product, issue_after=None)
    for name, value in steps.items():
        order.step(name, value)
    assert caller.lines(order, showExtStatus="Y") == ["0", CertificateState.AWAITING_VALIDATION, text]


def test_the_caa_status_comes_with_the_steps(caller: Caller, sandbox: Sandbox) -> None:
    order = sandbox.place_order("shop.example.com")
    assert caller.pairs(order, showStatusDetails="Y")["caaStatus"] == [CAAState.AUTHORIZED.value]


# --- dates ------------------------------------------------------------------------------------------------------------


def test_a_certificate_s_term_ends_at_the_last_second_of_a_day() -> None:
    start, end = certificate_term(date(2026, 3, 1))
    assert (start, end) == (datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 9, 16, 23, 59, 59, tzinfo=UTC))


@pytest.mark.parametrize(
    ("day", "end"), [(date(2025, 10, 29), date(2026, 10, 29)), (date(2028, 2, 29), date(2029, 2, 28))]
)
def test_a_product_s_term_ends_at_midnight(day: date, end: date) -> None:
    assert product_term(day)[1] == datetime(end.year, end.month, end.day, tzinfo=UTC)
