"""The package's own client against the sandbox: it reads by name, so nothing that `strict` varies may break it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import httpx
import pytest
from cryptography.x509 import DNSName
from cryptography.x509.verification import PolicyBuilder, Store

from collectssl_async import (
    CertificateBundle,
    CollectSSLClient,
    CollectSSLRequest,
    DomainValidation,
    InvalidArgumentError,
    ResponseEncoding,
    ResponseFormat,
    ResponseType,
    StatusCode,
    StepStatus,
    ValidationSteps,
)
from collectssl_async.sandbox import Sandbox
from collectssl_async.sandbox.request import FORM_TYPE
from collectssl_async.sandbox.service import Incoming
from collectssl_async.wire import decode_response, encode_request

if TYPE_CHECKING:
    from collectssl_async import CollectSSLResponse

SEEDS = range(200)
ALL: dict[str, Any] = {
    "show_validity_period": True,
    "show_fqdn": True,
    "show_ext_status": True,
    "show_mdc_domain_details": True,
    "show_mdc_domain_details2": True,
    "show_status_details": True,
}


def collect(sandbox: Sandbox, **fields: Any) -> CollectSSLResponse:
    """Hand a request to the service and its reply to the reader, without a network between them."""
    request = CollectSSLRequest(**fields)
    body = urlencode(encode_request(request, sandbox.credentials)).encode()
    call = sandbox.service.log.begin()
    reply = sandbox.service.answer(call, Incoming("https", "POST", FORM_TYPE, body))
    sandbox.service.log.end(call, abandoned=False, linger=0)
    return decode_response(request, content_type=reply.content_type, body=reply.body)


@pytest.fixture(scope="module")
def offline() -> Sandbox:
    return Sandbox()


@pytest.mark.parametrize("form", ResponseFormat)
def test_a_processed_order_is_read_whatever_varies(offline: Sandbox, form: ResponseFormat) -> None:
    for seed in SEEDS:
        offline.reset(seed)
        order = offline.place_order("a.example", names=["b.example"], product="ev", issue_after=None)
        order.step("dcv", 2)
        found = collect(offline, order_number=order.order_number, query_type=0, response_format=form, **ALL)
        domains = tuple(DomainValidation(domain=name, status="NOTVALIDATED") for name in order.names)
        assert (found.status, found.fqdn) == (StatusCode.PROCESSING, "a.example")
        assert (found.mdc_domain_details, found.mdc_domain_details2) == (domains, domains)
        assert found.certificate_state == "Awaiting Validation"
        assert found.caa_state == "Awaiting Completion"
        assert found.steps is not None
        assert (found.steps.csr, found.steps.dcv) == (StepStatus.COMPLETED, StepStatus.IN_PROGRESS)
        assert all(getattr(found.steps, name) is not None for name in ValidationSteps.model_fields)


@pytest.mark.parametrize("form", ResponseFormat)
@pytest.mark.parametrize("kind", ResponseType)
def test_certificates_are_read_whatever_varies(offline: Sandbox, form: ResponseFormat, kind: ResponseType) -> None:
    for seed in SEEDS:
        offline.reset(seed)
        order = offline.place_order("a.example")
        found = collect(
            offline, order_number=order.order_number, query_type=1, response_type=kind, response_format=form, **ALL
        )
        assert found.status is StatusCode.ATTACHED
        assert found.validity is not None
        assert f"{found.validity.start:%H:%M:%S} {found.validity.end:%H:%M:%S}" == "00:00:00 23:59:59"
        assert found.payload is not None
        assert len(found.payload.certificates) == 4


@pytest.mark.parametrize("kind", [ResponseType.ZIP, ResponseType.PKCS7])
def test_binary_replies_are_read_whatever_varies(offline: Sandbox, kind: ResponseType) -> None:
    for seed in SEEDS:
        offline.reset(seed)
        order = offline.place_order("a.example")
        found = collect(
            offline,
            order_number=order.order_number,
            query_type=1,
            response_type=kind,
            response_encoding=ResponseEncoding.BINARY,
        )
        assert found.payload is not None
        assert len(found.payload.certificates) == 4


@pytest.mark.parametrize("form", ResponseFormat)
def test_errors_are_read_whatever_varies(offline: Sandbox, form: ResponseFormat) -> None:
    for seed in SEEDS:
        offline.reset(seed)
        with pytest.raises(InvalidArgumentError) as refused:
            collect(offline, order_number="nothing", query_type=0, response_format=form)
        assert refused.value.item == "orderNumber"


@pytest.mark.parametrize("kind", ResponseType)
def test_every_container_makes_the_same_chain(offline: Sandbox, kind: ResponseType) -> None:
    offline.reset()
    order = offline.place_order("a.example")
    payload = collect(offline, order_number=order.order_number, query_type=1, response_type=kind).payload
    assert payload is not None
    bundle = CertificateBundle.from_payload(payload)
    authority = offline.authority
    assert bundle.chain == (authority.issuing_ca, authority.cross_signed_root, authority.old_root)
    assert order.private_key is not None
    assert bundle.matches(order.private_key)
    verifier = PolicyBuilder().store(Store([offline.root])).build_server_verifier(DNSName("a.example"))
    assert verifier.verify(bundle.certificate, list(bundle.intermediates))


@pytest.mark.anyio
async def test_an_order_is_collected_over_tls() -> None:
    sandbox = Sandbox()
    order = sandbox.place_order("shop.example.com", issue_after_polls=2)
    async with sandbox.serve() as server:
        http = httpx.AsyncClient(verify=server.ssl_context, trust_env=False)
        async with http, CollectSSLClient(sandbox.credentials, endpoint=server.endpoint, http_client=http) as client:
            seen = [(await client.status(order.order_number)).status for _ in range(3)]
            bundle = await client.download(order.order_number)
    assert seen == [StatusCode.PROCESSING, StatusCode.PROCESSING, StatusCode.AVAILABLE]
    assert bundle.dns_names == ("shop.example.com",)
    assert [call.answer for call in sandbox.calls] == [0, 0, 1, 2]
    assert sandbox.overlaps == 0
