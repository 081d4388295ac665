"""Every recorded reply of `corpus/` decodes to what stands beside it. Calls over HTTP are the client's tests."""

from __future__ import annotations

import json
from base64 import b64decode
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from collectssl_async import errors, wire
from collectssl_async.models import CollectSSLRequest

if TYPE_CHECKING:
    from datetime import datetime

    from collectssl_async.models import CollectSSLResponse, Period

CASES = [json.loads(path.read_text()) for path in sorted(Path(__file__).with_name("corpus").glob("*.json"))]
REPLIES = [case for case in CASES if case["reply"]["http_status"] == 200]


def named(cases: list[dict[str, Any]]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("case", cases, ids=[case["name"] for case in cases])


def decoded(case: dict[str, Any]) -> CollectSSLResponse:
    return wire.decode_response(
        CollectSSLRequest.model_validate(case["request"]),
        content_type=case["reply"]["content_type"],
        body=b64decode(case["reply"]["body_base64"]),
    )


def test_the_corpus_is_there() -> None:
    assert len(CASES) >= 22


@named([case for case in REPLIES if "expect" in case])
def test_good_reply(case: dict[str, Any]) -> None:
    response = decoded(case)
    # Which way up the chain is, is the bundle's to say.
    expected = {field: value for field, value in case["expect"].items() if field != "chain_sha256"}
    assert {field: SHOWN[field](response) for field in expected} == expected


@named([case for case in REPLIES if "expect" in case])
def test_nothing_is_left_over(case: dict[str, Any]) -> None:
    assert decoded(case).extra == {}


@named([case for case in REPLIES if "expect" in case and "certificate_sha256" not in case["expect"]])
def test_no_certificates_are_made_up(case: dict[str, Any]) -> None:
    assert decoded(case).payload is None


@named([case for case in REPLIES if "error" in case])
def test_error(case: dict[str, Any]) -> None:
    expected = dict(case["error"])
    with pytest.raises(errors.CollectSSLError) as caught:
        decoded(case)
    assert type(caught.value).__name__ == expected.pop("type")
    assert {field: getattr(caught.value, field) for field in expected} == expected


def shown_period(period: Period | None) -> dict[str, Any] | None:
    if period is None:
        return None
    return {"start": shown_time(period.start), "end": shown_time(period.end), "days": period.days}


def shown_time(moment: datetime | None) -> str | None:
    return moment.isoformat().replace("+00:00", "Z") if moment else None


def fingerprints(response: CollectSSLResponse) -> set[str]:
    assert response.payload is not None
    return {sha256(certificate).hexdigest() for certificate in response.payload.certificates}


def leaf_sha256(response: CollectSSLResponse) -> str | None:
    """The leaf where the reply named one; else it is only known to be among the certificates."""
    assert response.payload is not None
    if response.payload.leaf is not None:
        return sha256(response.payload.leaf).hexdigest()
    return next((each for each in LEAVES if each in fingerprints(response)), None)


LEAVES = {case["expect"]["certificate_sha256"] for case in REPLIES if "certificate_sha256" in case.get("expect", {})}

SHOWN: dict[str, Any] = {
    "status": lambda response: response.status,
    "validity": lambda response: shown_period(response.validity),
    "product_term": lambda response: shown_period(response.product_term),
    "fqdn": lambda response: response.fqdn,
    "certificate_status": lambda response: response.certificate_status,
    "certificate_state": lambda response: response.certificate_state.name,
    "validation_status": lambda response: response.validation_status,
    "validation_state": lambda response: response.validation_state.name,
    "caa_status": lambda response: response.caa_status,
    "caa_state": lambda response: response.caa_state.name,
    "caa_error_code": lambda response: response.caa_error_code,
    "steps": lambda response: response.steps.model_dump(exclude_none=True),
    "mdc_domain_details": lambda response: [[each.domain, each.status] for each in response.mdc_domain_details],
    "response_type": lambda response: response.payload.response_type,
    "certificate_sha256": leaf_sha256,
}


@named([case for case in REPLIES if "chain_sha256" in case.get("expect", {})])
def test_whole_chain_is_in_the_payload(case: dict[str, Any]) -> None:
    assert {case["expect"]["certificate_sha256"], *case["expect"]["chain_sha256"]} <= fingerprints(decoded(case))
