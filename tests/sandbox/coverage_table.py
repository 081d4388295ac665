"""The reference as a table: every parameter, value, rule and error, and the test of the sandbox that holds it.

`python -m tests.sandbox.coverage_table` writes it down. The entries come from the tables of the code; which test holds
one is said here, and `test_reference.py` fails if a test is not there.
"""
# ruff: noqa: E501 - the whole name of a test stands on one line, where a search finds it

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from collectssl_async.errors import API_ERRORS
from collectssl_async.models import CAAState, CertificateState, ValidationState
from collectssl_async.parameters import (
    ERROR_CODE,
    ERROR_ITEM,
    ERROR_MESSAGE,
    REPLY_PARAMETERS,
    REQUEST_PARAMETERS,
    Kind,
)
from collectssl_async.sandbox.decisions import DECISIONS
from collectssl_async.sandbox.events import CERTIFICATE_EVENTS, REVOCATION_REASONS, STEP_EVENTS
from collectssl_async.sandbox.faults import FAULTS
from collectssl_async.sandbox.request import LOGIN_PARAMETERS
from collectssl_async.sandbox.steps import PATHS, STEP_VALUES
from collectssl_async.sandbox.variations import SWITCHES

if TYPE_CHECKING:
    from collections.abc import Iterator

FILE = "docs/reference-coverage.md"


class Row(NamedTuple):
    section: str
    entry: str
    tests: tuple[str, ...]


REQ, REP, ORD = "test_requests.py::test_", "test_replies.py::test_", "test_orders.py::test_"
REF, FLT, OVR = "test_reference.py::test_", "test_faults.py::test_", "test_overlap.py::test_"
STR, PSH, HND = "test_strict.py::test_", "test_push.py::test_", "test_by_hand.py::test_"

FLAGS = {
    "showValidityPeriod": "certificateDuration",
    "showFQDN": "fqdn",
    "showExtStatus": "certificateStatus",
    "showMDCDomainDetails": "mdcDomainDetails",
    "showMDCDomainDetails2": "mdcDomainDetails2",
    "showStatusDetails": "csrStatus",
}
"""What each flag brings into a reply."""

REFERENCE_ERRORS = [code for code in API_ERRORS if code not in (-23, -26, -42)]

# --- request ----------------------------------------------------------------------------------------------------------

REQUIREMENTS = {
    "loginName": ("required", f"{REQ}what_is_missing_or_empty_is_named[None-without0-loginName]"),
    "loginPassword": ("required", f"{REQ}what_is_missing_or_empty_is_named[None-without1-loginPassword]"),
    "orderNumber": ("one of three", f"{REQ}an_order_is_found_by_each_of_its_numbers"),
    "certificateID": ("one of three", f"{REQ}an_order_is_found_by_each_of_its_numbers"),
    "baseOrderNumber": ("one of three", f"{REQ}an_order_is_found_by_each_of_its_numbers"),
    "queryType": ("required", f"{REQ}what_is_missing_or_empty_is_named[None-without3-queryType]"),
    "responseType": ("optional", f"{REP}the_query_type_decides_which_certificates_come[None-1-3-1]"),
    "responseEncoding": ("optional", f"{REP}a_zip_holds_every_certificate"),
    "responseFormat": ("optional", f"{REF}lines_are_sent_unless_a_format_is_asked_for"),
    "behaviourVersion": ("optional", f"{ORD}a_replaced_certificate_comes_by_its_id"),
    **{name: ("optional", f"{REF}a_flag_shows_what_it_names_if_it_is_y[{name}-None]") for name in FLAGS},
}
LENGTHS = {
    **{name: f"{REF}a_login_longer_than_its_maximum_is_a_wrong_one[{name}]" for name in LOGIN_PARAMETERS},
    "orderNumber, 128 characters": f"{REF}a_number_longer_than_its_maximum_is_invalid[orderNumber-128]",
    "certificateID, 16 digits": f"{REF}a_number_longer_than_its_maximum_is_invalid[certificateID-16]",
}
CERTIFICATES = {0: "0-0", 1: "3-1", 2: "0-1", 3: "3-0"}
MEANINGS = {
    **{
        f"queryType {value}": f"{REP}the_query_type_decides_which_certificates_come[3-{value}-{came}]"
        for value, came in CERTIFICATES.items()
    },
    "responseType 0": f"{REP}a_zip_holds_every_certificate",
    "responseType 1": f"{REP}a_netscape_sequence_is_a_content_info_with_every_certificate",
    "responseType 2": f"{REP}a_pkcs7_holds_every_certificate",
    "responseType 3": f"{REP}a_chain_comes_root_first_with_the_leaf_under_its_own_name",
    "responseEncoding 0": f"{REP}a_zip_holds_every_certificate",
    "responseEncoding 1": f"{REP}binary_replies_carry_nothing_else[0]",
    "responseFormat 0": f"{REP}the_media_type_tells_the_format",
    "responseFormat 1": f"{REP}the_media_type_tells_the_format",
    "behaviourVersion 0": f"{ORD}a_replaced_certificate_comes_by_its_id",
    "behaviourVersion 1": f"{ORD}a_replaced_certificate_is_refused_to_who_asked_to_be_told",
    **{
        f"{name} {value}": f"{REF}a_flag_shows_what_it_names_if_it_is_y[{name}-{value}]"
        for name in FLAGS
        for value in "YN"
    },
}
INVALID = {
    "orderNumber": "nothing",
    "certificateID": "x",
    "baseOrderNumber": "x",
    "queryType": "4",
    "responseType": "4",
    "responseEncoding": "2",
    "responseFormat": "2",
    "behaviourVersion": "2",
    **dict.fromkeys(FLAGS, "YES"),
}
REQUEST_RULES = {
    "POST alone": f"{REQ}any_method_but_post_is_refused[GET]",
    "https alone": f"{REQ}plain_http_is_refused_before_all_else[asyncio]",
    "x-www-form-urlencoded": f"{REQ}a_body_of_another_type_has_no_parameters[application/json]",
    "no calls at once": f"{OVR}twelve_calls_at_once_are_one_answer_and_eleven_refusals[asyncio]",
    "loginName and loginPassword are case sensitive": f"{REQ}the_password_s_case_counts",
    **{
        f"responseType {kind} needs queryType 1, not {query}": f"{REQ}a_container_holds_certificate_and_chain_or_nothing"
        f"[{query}-{kind}]"
        for kind in (0, 1, 2)
        for query in (0, 2, 3)
    },
    "responseEncoding 1 needs queryType 1": f"{REQ}binary_is_for_zip_and_pkcs7_alone[parameters0]",
    "responseEncoding 1 is not for responseType 3": f"{REQ}binary_is_for_zip_and_pkcs7_alone[parameters1]",
    "responseEncoding 1 is not for responseType 1": f"{REQ}binary_is_for_zip_and_pkcs7_alone[parameters2]",
    "responseFormat is relevant when responseEncoding is 0": f"{REP}binary_replies_carry_nothing_else[2]",
    "the sample request": f"{REP}the_sample_request_is_answered_with_all_that_it_asks_for",
}


def _request_rows() -> Iterator[Row]:
    for name in (*LOGIN_PARAMETERS, *REQUEST_PARAMETERS):
        requirement, test = REQUIREMENTS.get(name, ("", ""))
        yield _row("Request parameters", f"`{name}`: {requirement}", test)
    for name, test in LENGTHS.items():
        length = f", {LOGIN_PARAMETERS[name]} characters" if name in LOGIN_PARAMETERS else ""
        yield _row("Lengths", f"{name}{length}", test)
    for name, test in MEANINGS.items():
        yield _row("Values", f"`{name}`", test)
    for name in REQUEST_PARAMETERS:
        value = INVALID.get(name)
        yield _row(
            "Any other value", f"`{name}`: -4", value and f"{REQ}any_other_value_is_invalid_and_named[{name}-{value}]"
        )
    for rule, test in REQUEST_RULES.items():
        yield _row("Rules of a request", rule, test)


# --- reply ------------------------------------------------------------------------------------------------------------

STATUSES = {0: "being processed", 1: "available", 2: "attached"}
REPLY_RULES = {
    "newline: text/plain": f"{REP}the_media_type_tells_the_format",
    "URL-encoded: application/x-www-form-urlencoded": f"{REP}the_media_type_tells_the_format",
    "newline: the status first, then every line in its place": f"{REP}the_lines_of_an_issued_order_stand_in_their_order",
    "newline: an error's text on the second line": f"{REF}an_error_of_the_reference_carries_its_text[-16]",
    "newline: not before and not after as DD/MM/YYYY, from status 1": f"{REP}the_lines_of_an_issued_order_stand_in_their_order",
    "newline: root, intermediate, end entity as PEM": f"{REP}certificates_stand_root_first_and_leaf_last",
    "newline: domains and their words, comma-separated, at status 0": f"{REP}the_lines_of_a_processed_order_stand_in_their_order",
    "newline: product term as UNIX time, from status 1": f"{REP}the_lines_of_an_issued_order_stand_in_their_order",
    "not before is 00:00:00, not after 23:59:59 GMT": f"{REP}a_certificate_s_term_ends_at_the_last_second_of_a_day",
    "the product term's example": f"{REP}a_product_s_term_ends_at_midnight[day0-end0]",
    "errorMessage is not present from errorCode 0 on": f"{REP}only_what_was_asked_for_is_sent",
    "caCertificate comes once for each CA": f"{REP}a_chain_comes_root_first_with_the_leaf_under_its_own_name",
    "certificate with queryType 1 and 2": f"{REP}the_query_type_decides_which_certificates_come[3-2-0-1]",
    "domain lists of multi-domain orders alone, at status 0": f"{REP}domains_are_told_of_processed_multi_domain_orders_alone",
    "domains that await brand validation in the second list": f"{REP}the_lines_of_a_processed_order_stand_in_their_order",
    "the sample's parameters of a processed order": f"{REP}a_processed_order_s_parameters",
}
STATES: tuple[tuple[str, type[CertificateState | ValidationState | CAAState]], ...] = (
    ("certificate", CertificateState),
    ("validation", ValidationState),
    ("caa", CAAState),
)


def _reply_rows() -> Iterator[Row]:
    for status, means in STATUSES.items():
        tests = [f"{REF}a_status_is_the_first_thing_told[{form}-{status}]" for form in (0, 1)]
        yield _row("Statuses", f"{status}: {means}", *tests)
    for name in (ERROR_CODE, ERROR_MESSAGE, ERROR_ITEM):
        yield _row("Reply parameters", f"`{name}`", f"{REQ}an_error_names_its_item_in_url_encoded_form")
    for name in REPLY_PARAMETERS:
        yield _row("Reply parameters", f"`{name}`", f"{REF}a_reply_parameter_comes_if_it_is_asked_for[{name}]")
    for name, parameter in REPLY_PARAMETERS.items():
        if parameter.kind is Kind.STEP:
            for value in STEP_VALUES.get(name, ()):
                yield _row(
                    "Status details", f"`{name}={value}`", f"{REF}a_step_is_told_in_both_formats[{name}-{value}]"
                )
    for kind, states in STATES:
        listed = [state.value for state in states if state.name != "OTHER"] + ["Error 403"] * (states is CAAState)
        for text in listed:
            yield _row("Status texts", f"{kind}: {text}", f"{REF}a_{kind}_status_is_told_in_both_formats[{text}]")
    for rule, test in REPLY_RULES.items():
        yield _row("Rules of a reply", rule, test)


# --- errors -----------------------------------------------------------------------------------------------------------

BY_FAULT = f"{FLT}an_error_code_is_answered_with_its_text"
PROVOKED = {
    -1: f"{REQ}plain_http_is_refused_before_all_else[asyncio]",
    -2: f"{REQ}an_unknown_parameter_is_refused_even_when_empty",
    -3: f"{REQ}what_is_missing_or_empty_is_named[None-without3-queryType]",
    -4: f"{REQ}any_other_value_is_invalid_and_named[queryType-4]",
    -14: f"{OVR}a_second_call_is_refused_at_once_and_names_the_one_in_work",
    -16: f"{REQ}wrong_credentials_are_refused[wrong0]",
    -17: f"{REQ}any_method_but_post_is_refused[GET]",
    -20: f"{ORD}an_order_that_ended_is_answered_with_its_code[0-reject--20]",
    -21: f"{ORD}an_order_that_ended_is_answered_with_its_code[0-revoke--21]",
    -22: f"{ORD}an_order_that_ended_is_answered_with_its_code[0-await_payment--22]",
    -23: f"{ORD}a_replaced_certificate_is_refused_to_who_asked_to_be_told",
    **{code: f"{BY_FAULT}[{code}]" for code in (-26, -42, -90, -91)},
}


def _error_rows() -> Iterator[Row]:
    for code, known in API_ERRORS.items():
        text = f"{REF}an_error_of_the_reference_carries_its_text[{code}]" if code in REFERENCE_ERRORS else ""
        yield _row("Errors", f"{code}: {known.text}", PROVOKED.get(code), text)


# --- decisions --------------------------------------------------------------------------------------------------------

DECIDED = {
    "order of checks": f"{REQ}the_first_mistake_in_the_service_s_order_is_named[0]",
    "other methods": f"{REQ}any_method_but_post_is_refused[PUT]",
    "query string": f"{REQ}a_query_string_is_ignored",
    "a parameter twice, or undecodable": f"{REQ}a_parameter_twice_or_undecodable_is_invalid[queryType=%ff-queryType]",
    "an empty required parameter": f"{REQ}what_is_missing_or_empty_is_named[-without3-queryType]",
    "an empty optional parameter": f"{REQ}an_empty_optional_parameter_is_as_absent",
    "no identifier": f"{REQ}what_is_missing_or_empty_is_named[None-without4-orderNumber]",
    "an unknown order": f"{REQ}one_number_mistaken_for_another_finds_nothing",
    "identifiers that disagree": f"{REQ}numbers_that_disagree_are_invalid[certificateID]",
    "wrong content type": f"{REQ}a_body_of_another_type_has_no_parameters[application/json]",
    "body over 64 KiB": f"{REQ}a_body_that_is_too_long_is_refused_and_the_sandbox_goes_on[65537]",
    "responseType omitted": f"{REP}the_query_type_decides_which_certificates_come[None-1-3-1]",
    "responseType omitted, binary": f"{REQ}binary_is_for_zip_and_pkcs7_alone[parameters1]",
    "responseFormat and show* with binary": f"{REP}binary_replies_carry_nothing_else[0]",
    "y, n in lower case": f"{REQ}any_other_value_is_invalid_and_named[showFQDN-y]",
    "a login longer than its maximum": f"{REF}a_login_longer_than_its_maximum_is_a_wrong_one[loginName]",
    "queryType 0 of an issued order": f"{ORD}an_issued_order_is_available_when_asked_and_attached_when_collected",
    "showValidityPeriod at status 0 (the sample has two durations, the table timestamps)": f"{REP}a_processed_order_s_parameters",
    "showValidityPeriod from status 1": f"{REP}an_issued_order_s_periods",
    "showFQDN (if status 0 in one format, always in the other)": f"{REP}the_lines_of_an_issued_order_stand_in_their_order",
    "newline: order of lines": f"{REP}the_lines_of_an_issued_order_stand_in_their_order",
    "product term end": f"{REP}a_product_s_term_ends_at_midnight[day0-end0]",
    "certificate end": f"{REP}a_certificate_s_term_ends_at_the_last_second_of_a_day",
    "showExtStatus (two statuses in the text, one in the sample)": f"{REP}a_processed_order_s_parameters",
    "a revoked order": f"{ORD}an_order_that_ended_is_answered_with_its_code[0-revoke--21]",
    "the text Revoked": f"{HND}texts_set_by_hand_are_sent_as_they_are",
    "maStatus (not in the URL-encoded table, but sent in the sample)": f"{REF}a_step_is_told_in_both_formats[maStatus-0]",
    "ev* (not in the URL-encoded table)": f"{REP}an_issued_order_has_done_the_steps_of_its_product_and_no_others[ev]",
    "values that a step does not list": f"{HND}a_step_that_the_reference_does_not_list_is_refused"
    "[brandValStatus-0-brandValStatus cannot be 0: the reference lists -1, 1, 2]",
    "caaStatus (no condition given)": f"{REP}the_caa_status_comes_with_the_steps",
    "status word of a domain that awaits brand validation": f"{HND}a_domain_that_awaits_its_brand_makes_the_order_wait_for_it",
    "such a domain in mdcDomainDetails": f"{HND}a_domain_that_awaits_its_brand_makes_the_order_wait_for_it",
    'mdcDomainDetails, "a URL-encoded string"': f"{STR}a_switch_alone_makes_the_difference_that_it_names[domains_encoded_twice]",
    "behaviourVersion 1": f"{ORD}a_replaced_certificate_is_refused_to_who_asked_to_be_told",
    "behaviourVersion 0 or absent": f"{ORD}a_replaced_certificate_comes_by_its_id",
    "reissue": f"{ORD}a_reissue_keeps_the_order_number_and_changes_the_rest",
    "two calls at once": f"{OVR}a_second_call_is_refused_at_once_and_names_the_one_in_work",
    "-90 and -91": f"{BY_FAULT}[-90]",
    "error texts": f"{FLT}an_error_s_curly_quotes_are_windows_1252",
    "ten wrong logins in a row": f"{REQ}ten_wrong_logins_in_a_row_lock_the_account_for_everyone",
}


def _decision_rows() -> Iterator[Row]:
    for question, decision in DECISIONS.items():
        yield _row("Decisions where the reference is silent", f"{question}: {decision}", DECIDED.get(question))


# --- what is the sandbox's own ----------------------------------------------------------------------------------------

MOVEMENTS = {
    "at once": f"{ORD}an_order_is_issued_at_once_unless_told_otherwise",
    "by time": f"{ORD}an_order_moves_when_its_time_has_come",
    "by polls": f"{ORD}an_order_moves_after_so_many_polls_were_told_not_yet",
    "by hand": f"{ORD}an_order_by_hand_moves_by_hand_alone",
}
FAULTY = {
    "timeout": f"{FLT}a_call_that_times_out_is_answered_to_nobody",
    "disconnect": f"{FLT}a_cut_connection_has_no_answer",
    "html": f"{FLT}a_maintenance_page_has_status_200",
    "truncate": f"{FLT}a_truncated_reply_ends_in_the_middle[switches0]",
    "hangup": f"{FLT}a_connection_that_is_cut_after_the_answer_has_carried_all_of_it[switches0]",
    "slow": f"{FLT}a_slow_answer_comes_byte_by_byte[asyncio]",
}


def _own_rows() -> Iterator[Row]:
    for product in PATHS:
        yield _row(
            "Products",
            f"{product}: {', '.join(PATHS[product])}",
            f"{REP}an_issued_order_has_done_the_steps_of_its_product_and_no_others[{product}]",
            f"{REP}steps_are_taken_one_by_one_as_time_passes[{product}]",
        )
    for movement, test in MOVEMENTS.items():
        yield _row("Movement", movement, test)
    for name, switch in SWITCHES.items():
        state = "on" if switch.default else "off"
        test = f"{STR}a_switch_alone_makes_the_difference_that_it_names[{name}]"
        yield _row("Switches of strict", f"`{name}` ({state}): {switch.reason}", test)
    for name, effect in FAULTS.items():
        yield _row("Faults", f"`{name}`: {effect}", FAULTY.get(name))
    for code, event in CERTIFICATE_EVENTS.items():
        entry = f"statusCode {code}: {event.status}, {event.description}"
        yield _row("Notifications", entry, f"{PSH}every_status_code_can_be_sent_by_hand[{code}]")
    for (step, value), event in STEP_EVENTS.items():
        test = f"{PSH}every_step_that_is_announced_says_what_the_table_says[{step}-{value}]"
        yield _row("Notifications", f"`{step}={value}`: {event.type}", test)
    for code, reason in REVOCATION_REASONS.items():
        test = f"{PSH}a_revocation_is_announced_before_it_is_told[{code}]"
        yield _row("Notifications", f"revocationReasonCode {code}: {reason}", test)


# --- the table --------------------------------------------------------------------------------------------------------


def _row(section: str, entry: str, *tests: str | None) -> Row:
    return Row(section, entry, tuple(filter(None, tests)))


def rows() -> list[Row]:
    """Return every entry with its tests."""
    return [*_request_rows(), *_reply_rows(), *_error_rows(), *_decision_rows(), *_own_rows()]


HEADER = """\
# The reference, and the tests that hold it

Written by `python -m tests.sandbox.coverage_table` from the tables of the code. Each line is one parameter, value,
rule or error of the API's reference, or a promise of the sandbox's own, with the test in `tests/sandbox/` that fails
when the sandbox breaks it.
"""


def text() -> str:
    """Return the table in Markdown."""
    lines = [HEADER]
    section = ""
    for row in rows():
        if row.section != section:
            section = row.section
            lines += [f"\n## {section}\n", "| entry | test |", "| --- | --- |"]
        tests = "<br>".join(f"`{_escaped(test)}`" for test in row.tests)
        lines.append(f"| {_escaped(row.entry)} | {tests} |")
    return "\n".join(lines) + "\n"


def _escaped(cell: str) -> str:
    return cell.replace("|", "\\|")


def main() -> None:
    """Write the table down."""
    file = Path(__file__).parents[2] / FILE
    file.parent.mkdir(exist_ok=True)
    file.write_text(text())


if __name__ == "__main__":
    main()
