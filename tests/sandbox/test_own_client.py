"""The package's own client against the sandbox: it reads by name, so nothing that `strict` varies may break it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlencode

import anyio
import httpx
import pytest
from cryptography.x509 import DNSName
from cryptography.x509.verification import PolicyBuilder, Store

from collectssl_async import (
    CertificateBundle,
    CollectSSLClient,
    CollectSSLRequest,
    InvalidArgumentError,
    QueryType,
    ResponseEncoding,
    ResponseFormat,
    ResponseType,
    StatusCode,
)
from collectssl_async.sandbox import Sandbox
from collectssl_async.sandbox.replies import carried, error_reply, order_reply
from collectssl_async.sandbox.request import FORM_TYPE, refusal
from collectssl_async.sandbox.service import Incoming
from collectssl_async.sandbox.variations import STRICT, SWITCHES, Variations
from collectssl_async.wire import decode_response, encode_request

if TYPE_CHECKING:
    from collections.abc import Collection

    from collectssl_async import CollectSSLResponse
    from collectssl_async.sandbox import SandboxOrder
    from collectssl_async.sandbox.orders import OrderView

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


def view_of(order: SandboxOrder) -> OrderView:
    return order.poll(order.newest)


@pytest.fixture(scope="module")
def processed(offline: Sandbox) -> OrderView:
    order = offline.place_order("a.example", names=["b.example"], product="ev", issue_after=None)
    order.step("dcv", 2)
    return view_of(order)


@pytest.fixture(scope="module")
def issued(offline: Sandbox) -> OrderView:
    return view_of(offline.place_order("a.example", names=["b.example"], product="ev"))


class Watched(Variations):
    """Choices that know whether anything else was drawn for the reply."""

    more = False

    def draw(self, what: str) -> int:
        self.more = self.more or what not in SWITCHES
        return super().draw(what)


class Understood(NamedTuple):
    response: CollectSSLResponse
    meaning: dict[str, Any]


class Reader:
    """Reads what the sandbox writes about one order.

    Where the choices of its switches are all that a reply depends on, each set of choices is read once.
    """

    def __init__(self, sandbox: Sandbox, view: OrderView, switches: Collection[str], **fields: Any) -> None:
        self._cas = sandbox.authority.chain
        self._view = view
        self._switches = switches
        self._request = CollectSSLRequest(order_number="1", **fields)
        self._read: dict[tuple[Any, ...], Understood] = {}

    def read(self, seed: int) -> Understood:
        vary = Watched(seed, 1, self._switches)
        choices = tuple(map(vary.pick, self._switches))
        if choices in self._read:
            return self._read[choices]
        reply = carried(order_reply(self._request, self._view, self._cas, vary), vary)
        response = decode_response(self._request, content_type=reply.content_type or None, body=reply.body)
        found = Understood(response, meaning(response))
        if not vary.more:
            self._read[choices] = found
        return found


def meaning(found: CollectSSLResponse) -> dict[str, Any]:
    """What a reply says, without what may differ: how certificates are packed, and in which order they come."""
    payload = found.payload
    return {
        **found.model_dump(exclude={"payload", "extra", "certificate_status"}),
        "certificate_status": (found.certificate_status or "").removesuffix(" (Full)"),
        "extra": {name: texts for name, texts in found.extra.items() if name.lower() != "sandboxreference"},
        "certificates": None if payload is None else frozenset(payload.certificates),
        "leaf": None if payload is None else payload.leaf,
    }


def check_all_seeds(sandbox: Sandbox, view: OrderView, switches: Collection[str], **fields: Any) -> None:
    """Read the reply that every seed gives, and compare what it says with what the plain reply says."""
    plain = Reader(sandbox, view, (), **fields).read(0).meaning
    reader = Reader(sandbox, view, switches, **fields)
    waiting = {**plain, "status": StatusCode.AVAILABLE, "certificates": None, "leaf": None}
    for seed in SEEDS:
        found = reader.read(seed).meaning
        wanted = plain
        if found["status"] is not plain["status"] and "available_first" in switches:
            wanted = waiting
        for name, switch in (("fqdn", "empty_fqdn"), ("validation_status", "validation_status_missing")):
            if found[name] is None and switch in switches:
                wanted = {**wanted, name: None}
        assert found == wanted


SWITCH_SETS = {**{name: {name} for name in SWITCHES}, "strict": STRICT, "everything": set(SWITCHES)}
TEXTS = [
    *({"query_type": 1, "response_type": kind} for kind in ResponseType),
    *({"query_type": query_type} for query_type in (0, 2, 3)),
]


@pytest.mark.parametrize("switches", SWITCH_SETS)
@pytest.mark.parametrize("form", ResponseFormat)
def test_a_processed_order_is_read_whatever_varies(
    offline: Sandbox, processed: OrderView, form: ResponseFormat, switches: str
) -> None:
    check_all_seeds(offline, processed, SWITCH_SETS[switches], query_type=0, response_format=form, **ALL)


@pytest.mark.parametrize("switches", SWITCH_SETS)
@pytest.mark.parametrize("form", ResponseFormat)
def test_an_issued_order_is_read_whatever_varies(
    offline: Sandbox, issued: OrderView, form: ResponseFormat, switches: str
) -> None:
    for fields in TEXTS:
        check_all_seeds(offline, issued, SWITCH_SETS[switches], response_format=form, **fields, **ALL)


@pytest.mark.parametrize("switches", SWITCH_SETS)
@pytest.mark.parametrize("kind", [ResponseType.ZIP, ResponseType.PKCS7])
def test_binary_replies_are_read_whatever_varies(
    offline: Sandbox, issued: OrderView, kind: ResponseType, switches: str
) -> None:
    fields = {"query_type": 1, "response_type": kind, "response_encoding": ResponseEncoding.BINARY}
    reader = Reader(offline, issued, SWITCH_SETS[switches], **fields)
    for seed in SEEDS:
        found = reader.read(seed).response
        if found.status is StatusCode.AVAILABLE:
            assert "available_first" in SWITCH_SETS[switches]
        else:
            assert found.payload is not None
            assert len(set(found.payload.certificates)) == 4


@pytest.mark.parametrize("switches", SWITCH_SETS)
@pytest.mark.parametrize("form", ResponseFormat)
def test_errors_are_read_whatever_varies(form: ResponseFormat, switches: str) -> None:
    request = CollectSSLRequest(order_number="1", query_type=QueryType.STATUS_ONLY, response_format=form)
    for seed in SEEDS:
        vary = Variations(seed, 1, SWITCH_SETS[switches])
        reply = carried(error_reply(refusal(-4, "orderNumber"), form, vary), vary)
        with pytest.raises(InvalidArgumentError, match="'orderNumber' argument is invalid!") as refused:
            decode_response(request, content_type=reply.content_type or None, body=reply.body)
        assert refused.value.item == "orderNumber"


@pytest.mark.parametrize("kind", ResponseType)
@pytest.mark.parametrize("form", ResponseFormat)
def test_a_whole_collection_is_right_with_every_switch_on(
    offline: Sandbox, issued: OrderView, form: ResponseFormat, kind: ResponseType
) -> None:
    everything = SWITCHES.keys() - {"available_first"}
    reader = Reader(offline, issued, everything, query_type=1, response_type=kind, response_format=form)
    chain = (offline.authority.issuing_ca, offline.authority.cross_signed_root, offline.authority.old_root)
    for seed in SEEDS[:40]:
        payload = reader.read(seed).response.payload
        assert payload is not None
        bundle = CertificateBundle.from_payload(payload)
        assert (bundle.certificate, bundle.chain) == (issued.certificate, chain)


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
@pytest.mark.virtual_clock
@pytest.mark.parametrize("switches", ["strict", "everything"])
async def test_a_wait_ends_with_the_certificate_whatever_varies(switches: str) -> None:
    sandbox = Sandbox(clock=anyio.current_time)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=sandbox.app)) as http:
        endpoint = f"https://{switches}.example/products/download/CollectSSL"
        client = CollectSSLClient(sandbox.credentials, endpoint=endpoint, http_client=http)
        for seed in SEEDS if switches == "strict" else SEEDS[:50]:
            sandbox.reset(seed)
            sandbox.switches = SWITCH_SETS[switches]
            order = sandbox.place_order("a.example", issue_after=90)
            sandbox.fail_next(-26)
            bundle = await client.wait_for_certificate(order.order_number)
            assert bundle.certificate == order.newest.certificate
            assert len(bundle.chain) == 3
            assert (sandbox.calls[0].answer, sandbox.calls[-1].answer) == (-26, StatusCode.ATTACHED)
            assert sandbox.overlaps == 0


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
