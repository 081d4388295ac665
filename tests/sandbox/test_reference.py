"""The reference, entry by entry: each name and each value of its tables, provoked and looked for.

`coverage_table.py` lists which test holds which entry.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from collectssl_async.errors import API_ERRORS
from collectssl_async.models import CAAState, CertificateState, ValidationState
from collectssl_async.parameters import REPLY_PARAMETERS, Kind
from collectssl_async.sandbox.decisions import DECISIONS
from collectssl_async.sandbox.request import LOGIN_PARAMETERS
from collectssl_async.sandbox.steps import EV_ONLY, STEP_VALUES

from . import coverage_table
from .coverage_table import FLAGS, REFERENCE_ERRORS

if TYPE_CHECKING:
    from collectssl_async.sandbox import Sandbox

    from .calling import Caller

ROOT = Path(__file__).parents[2]

# --- request ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", ["Y", "N", None])
@pytest.mark.parametrize("name", FLAGS)
def test_a_flag_shows_what_it_names_if_it_is_y(caller: Caller, sandbox: Sandbox, name: str, value: str | None) -> None:
    order = sandbox.place_order("a.example", names=["b.example"], issue_after=None)
    assert (FLAGS[name] in caller.pairs(order, **{name: value})) == (value == "Y")


@pytest.mark.parametrize("name", LOGIN_PARAMETERS)
def test_a_login_longer_than_its_maximum_is_a_wrong_one(caller: Caller, sandbox: Sandbox, name: str) -> None:
    order = sandbox.place_order("a.example")
    assert caller.status(order, **{name: "x" * (LOGIN_PARAMETERS[name] + 1)}) == -16


@pytest.mark.parametrize(("name", "longest"), [("orderNumber", 128), ("certificateID", 16), ("baseOrderNumber", 128)])
def test_a_number_longer_than_its_maximum_is_invalid(caller: Caller, sandbox: Sandbox, name: str, longest: int) -> None:
    pairs = caller.pairs(sandbox.place_order("a.example"), **{name: "9" * (longest + 1)})
    assert (pairs["errorCode"], pairs["errorItem"]) == (["-4"], [name])


def test_lines_are_sent_unless_a_format_is_asked_for(caller: Caller, sandbox: Sandbox) -> None:
    assert caller.post(sandbox.place_order("a.example")).text == "1\n"


# --- reply ------------------------------------------------------------------------------------------------------------

BY_NAME: dict[str, dict[str, str | int]] = {
    "fqdn": {"showFQDN": "Y"},
    "zipFile": {"queryType": 1, "responseType": 0},
    "netscapeCertificateSequence": {"queryType": 1, "responseType": 1},
    "pkcs7": {"queryType": 1, "responseType": 2},
    "caCertificate": {"queryType": 3},
    "certificate": {"queryType": 2},
    "certificateStatus": {"showExtStatus": "Y"},
    "validationStatus": {"showExtStatus": "Y"},
    "mdcDomainDetails": {"showMDCDomainDetails": "Y"},
    "mdcDomainDetails2": {"showMDCDomainDetails2": "Y"},
    "caaStatus": {"showStatusDetails": "Y"},
}
BY_KIND: dict[Kind, dict[str, str | int]] = {
    Kind.TIMESTAMP: {"showValidityPeriod": "Y"},
    Kind.DAYS: {"showValidityPeriod": "Y"},
    Kind.STEP: {"showStatusDetails": "Y"},
}


@pytest.mark.parametrize("name", REPLY_PARAMETERS)
def test_a_reply_parameter_comes_if_it_is_asked_for(caller: Caller, sandbox: Sandbox, name: str) -> None:
    kind = REPLY_PARAMETERS[name].kind
    hand = None if kind is Kind.DOMAINS else 0
    order = sandbox.place_order("a.example", names=["b.example"], product="ev", issue_after=hand)
    asked = caller.pairs(order, **(BY_NAME.get(name) or BY_KIND[kind]))
    assert (name in asked, name in caller.pairs(order)) == (True, False)
    assert all(asked[name])


@pytest.mark.parametrize(("name", "value"), [(name, value) for name in STEP_VALUES for value in STEP_VALUES[name]])
def test_a_step_is_told_in_both_formats(caller: Caller, sandbox: Sandbox, name: str, value: int) -> None:
    order = sandbox.place_order("a.example", product="ev" if name in EV_ONLY else "ov", issue_after=None)
    order.step(name, value)
    assert caller.pairs(order, showStatusDetails="Y")[name] == [str(value)]
    assert f"{name}={value}" in caller.lines(order, showStatusDetails="Y")


def texts(states: type[CertificateState | ValidationState | CAAState]) -> list[str]:
    return [state.value for state in states if state.name != "OTHER"]


@pytest.mark.parametrize("text", texts(CertificateState))
def test_a_certificate_status_is_told_in_both_formats(caller: Caller, sandbox: Sandbox, text: str) -> None:
    order = sandbox.place_order("a.example", issue_after=None)
    order.show(certificate_status=text)
    assert caller.pairs(order, showExtStatus="Y")["certificateStatus"] == [text]
    assert caller.lines(order, showExtStatus="Y")[1] == text


@pytest.mark.parametrize("text", texts(ValidationState))
def test_a_validation_status_is_told_in_both_formats(caller: Caller, sandbox: Sandbox, text: str) -> None:
    order = sandbox.place_order("a.example", issue_after=None)
    order.show(validation_status=text)
    assert caller.pairs(order, showExtStatus="Y")["validationStatus"] == [text]
    assert caller.lines(order, showExtStatus="Y")[2] == text


@pytest.mark.parametrize("text", [*texts(CAAState), "Error 403"])
def test_a_caa_status_is_told_in_both_formats(caller: Caller, sandbox: Sandbox, text: str) -> None:
    order = sandbox.place_order("a.example", issue_after=None)
    order.show(caa_status=text)
    assert caller.pairs(order, showStatusDetails="Y")["caaStatus"] == [text]
    assert caller.lines(order, showStatusDetails="Y")[-1] == f"caaStatus={text}"


@pytest.mark.parametrize("status", [0, 1, 2])
@pytest.mark.parametrize("response_format", [0, 1])
def test_a_status_is_the_first_thing_told(caller: Caller, sandbox: Sandbox, response_format: int, status: int) -> None:
    order = sandbox.place_order("a.example", issue_after=0 if status else None)
    text = caller.post(order, queryType=2 if status == 2 else 0, responseFormat=response_format).text
    assert text.startswith(f"errorCode={status}" if response_format else f"{status}\n")


@pytest.mark.parametrize("code", REFERENCE_ERRORS)
def test_an_error_of_the_reference_carries_its_text(caller: Caller, sandbox: Sandbox, code: int) -> None:
    sandbox.fail_next(code)
    lines = caller.post().content.decode("windows-1252").splitlines()
    text = API_ERRORS[code].text
    assert lines == [str(code), text.replace("xxxx", "orderNumber") if code in (-3, -4) else text]


# --- the table --------------------------------------------------------------------------------------------------------


def collected(session: pytest.Session, wanted: set[str]) -> set[str]:
    """The tests that there are: those of this run, and if that is not enough, all of the files that are wanted."""
    here = {item.nodeid.removeprefix("tests/sandbox/") for item in session.items}
    if wanted <= here:
        return here
    files = sorted({f"tests/sandbox/{test.partition('::')[0]}" for test in wanted})
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider", *files]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return {line.removeprefix("tests/sandbox/") for line in listed.splitlines() if "::" in line}


def test_every_entry_of_the_reference_has_a_test() -> None:
    assert [row.entry for row in coverage_table.rows() if not row.tests] == []


def test_every_test_that_the_table_names_is_there(request: pytest.FixtureRequest) -> None:
    named = {test for row in coverage_table.rows() for test in row.tests}
    assert named - collected(request.session, named) == set()


def test_every_decision_is_in_the_table_and_no_other() -> None:
    assert list(coverage_table.DECIDED) == list(DECISIONS)


def test_the_table_that_is_written_down_is_not_stale() -> None:
    written = (ROOT / coverage_table.FILE).read_text()
    assert written == coverage_table.text(), "run: python -m tests.sandbox.coverage_table"
