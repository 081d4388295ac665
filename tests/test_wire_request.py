"""What a request looks like on the wire."""

from __future__ import annotations

from typing import Any

import pytest

from collectssl_async import wire
from collectssl_async.credentials import Credentials
from collectssl_async.models import (
    BehaviourVersion,
    CollectSSLRequest,
    QueryType,
    ResponseEncoding,
    ResponseFormat,
    ResponseType,
)
from collectssl_async.parameters import REQUEST_PARAMETERS

CREDENTIALS = Credentials(login_name="Rezső", login_password="p&ss=wörd %41+")

FLAGS = {
    "show_validity_period": "showValidityPeriod",
    "show_fqdn": "showFQDN",
    "show_ext_status": "showExtStatus",
    "show_mdc_domain_details": "showMDCDomainDetails",
    "show_mdc_domain_details2": "showMDCDomainDetails2",
    "show_status_details": "showStatusDetails",
}


def encoded(**fields: Any) -> list[tuple[str, str]]:
    request = CollectSSLRequest.model_validate({"order_number": "1", "query_type": 0} | fields)
    return wire.encode_request(request, CREDENTIALS)


def test_login_comes_first_and_unaltered() -> None:
    assert encoded()[:2] == [("loginName", "Rezső"), ("loginPassword", "p&ss=wörd %41+")]


def test_only_what_was_set_is_sent() -> None:
    assert encoded()[2:] == [("orderNumber", "1"), ("queryType", "0")]


def test_everything_is_sent_in_the_order_of_the_reference() -> None:
    fields = encoded(
        certificate_id=22,
        base_order_number=333,
        query_type=QueryType.CERTIFICATE_AND_CHAIN,
        response_type=ResponseType.ZIP,
        response_encoding=ResponseEncoding.BINARY,
        response_format=ResponseFormat.URL_ENCODED,
        behaviour_version=BehaviourVersion.NEW,
        **dict.fromkeys(FLAGS, True),
    )
    assert fields[2:] == [
        ("orderNumber", "1"),
        ("certificateID", "22"),
        ("baseOrderNumber", "333"),
        ("queryType", "1"),
        ("responseType", "0"),
        ("responseEncoding", "1"),
        ("showValidityPeriod", "Y"),
        ("showFQDN", "Y"),
        ("showExtStatus", "Y"),
        ("responseFormat", "1"),
        ("showMDCDomainDetails", "Y"),
        ("showMDCDomainDetails2", "Y"),
        ("showStatusDetails", "Y"),
        ("behaviourVersion", "1"),
    ]
    assert [name for name, _ in fields[2:]] == list(REQUEST_PARAMETERS)


@pytest.mark.parametrize(
    ("field", "value", "name"),
    [
        ("query_type", QueryType.STATUS_ONLY, "queryType"),
        ("response_encoding", ResponseEncoding.BASE64, "responseEncoding"),
        ("response_format", ResponseFormat.NEWLINE, "responseFormat"),
        ("behaviour_version", BehaviourVersion.OLD, "behaviourVersion"),
    ],
)
def test_zero_is_sent_when_it_was_set(field: str, value: int, name: str) -> None:
    assert (name, "0") in encoded(**{field: value})


def test_zero_for_a_zip_is_sent() -> None:
    assert ("responseType", "0") in encoded(query_type=1, response_type=ResponseType.ZIP)


@pytest.mark.parametrize(("field", "name"), FLAGS.items())
def test_a_flag_is_sent_as_y(field: str, name: str) -> None:
    assert (name, "Y") in encoded(**{field: True})


@pytest.mark.parametrize(("field", "name"), FLAGS.items())
def test_a_flag_that_is_false_is_not_sent(field: str, name: str) -> None:
    assert name not in dict(encoded(**{field: False}))


def test_each_identifier_alone_is_enough() -> None:
    for field, name in (("certificate_id", "certificateID"), ("base_order_number", "baseOrderNumber")):
        fields = wire.encode_request(CollectSSLRequest.model_validate({"query_type": 0, field: 7}), CREDENTIALS)
        assert fields[2:] == [(name, "7"), ("queryType", "0")]


def test_certificate_id_zero_is_sent() -> None:
    assert ("certificateID", "0") in encoded(certificate_id=0)


def test_long_numbers_keep_their_digits() -> None:
    assert ("baseOrderNumber", "9" * 128) in encoded(base_order_number=10**128 - 1)
