"""The sandbox and programs that know nothing of this package: curl, OpenSSL, unzip, clients in Python and PHP."""

from __future__ import annotations

import ssl
import sys
from base64 import b64decode
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from collectssl_async.sandbox import Sandbox
from collectssl_async.sandbox.authority import der, pem
from collectssl_async.sandbox.variations import STRICT, SWITCHES, Variations

from .peer import Peer
from .programs import run, verify
from .reading import READERS, parameter, pkcs7_in_binary

if TYPE_CHECKING:
    from collections.abc import Iterator

    from collectssl_async.sandbox import SandboxOrder, SandboxServer

    from .reading import Reader, Received

SEEDS = range(10)
"""What varies differs by these: together their first calls make every choice that is on by default."""

NAMES = ("shop.example.com", "www.example.com")

LATENCY = 0.2
"""Seconds that a call takes while others are made: what `collectssl sandbox` has them take."""

SAMPLE_REPLY = (
    "errorCode=0&certificateDuration=720&productTermDuration=720&certificateStatus=Awaiting+Validation+%28Full%29"
    "&csrStatus=1&dcvStatus=0&freeDVUPStatus=-1&brandValStatus=-1&ovCallbackStatus=0&organizationValidationStatus=2"
    "&maStatus=0"
)
"""Reference: "Sample success response"; the sample request asks for what is in it."""

STEPS = {
    "csrStatus",
    "dcvStatus",
    "ovCallbackStatus",
    "organizationValidationStatus",
    "freeDVUPStatus",
    "evClickThroughStatus",
    "brandValStatus",
    "maStatus",
    "caaStatus",
}
BOTH_STATUSES = {"certificateStatus", "validationStatus"}
DURATIONS = {"certificateDuration", "productTermDuration"}
TERMS = {"notBefore", "notAfter", "productTermStartDate", "productTermEndDate"}
"""What showStatusDetails, showExtStatus and showValidityPeriod get; the terms' ends only for what is issued."""

SCRIPTS = Path(__file__).parent / "clients"
CLIENTS: dict[str, tuple[str | Path, ...]] = {
    "tapioca": (sys.executable, SCRIPTS / "with_tapioca.py"),
    "guzzle": ("php", SCRIPTS / "with_guzzle.php"),
}


@pytest.fixture(scope="module")
def server() -> Iterator[tuple[Sandbox, SandboxServer]]:
    sandbox = Sandbox()
    with sandbox.serve() as running:
        yield sandbox, running


@pytest.fixture
def peer(server: tuple[Sandbox, SandboxServer], tmp_path: Path) -> Peer:
    sandbox, running = server
    sandbox.reset(seed=1)
    return Peer(sandbox, running, tmp_path)


@pytest.fixture(params=SEEDS)
def seeded(peer: Peer, request: pytest.FixtureRequest) -> Peer:
    """A peer of a sandbox that varies all that it varies by default."""
    peer.sandbox.reset(seed=request.param)
    return peer


@pytest.fixture(params=CLIENTS)
def client(request: pytest.FixtureRequest) -> tuple[str | Path, ...]:
    return CLIENTS[request.param]


@pytest.mark.parametrize("switch", sorted(STRICT))
def test_the_seeds_make_every_choice(switch: str) -> None:
    assert {Variations(seed, 1, STRICT).pick(switch) for seed in SEEDS} == set(SWITCHES[switch].choices)


# --- the reference's own sample ---------------------------------------------------------------------------------------


def test_the_sample_request_is_answered_url_encoded(seeded: Peer) -> None:
    content_type, _ = seeded.sample(seeded.sandbox.place_order(NAMES[0], issue_after=None))
    assert content_type.partition(";")[0] == "application/x-www-form-urlencoded"


def test_the_sample_request_gets_all_that_the_sample_reply_has(seeded: Peer) -> None:
    _, reply = seeded.sample(seeded.sandbox.place_order(NAMES[0], issue_after=None))
    assert reply["errorCode"] == ["0"]
    assert {name.lower() for name in parse_qs(SAMPLE_REPLY)} <= {name.lower() for name in reply}


@pytest.mark.parametrize(
    ("issue_after", "status", "terms"), [(None, "0", set()), (0, "1", TERMS)], ids=["processing", "available"]
)
def test_the_sample_request_gets_what_it_asks_for_and_no_more(
    peer: Peer, issue_after: float | None, status: str, terms: set[str]
) -> None:
    peer.sandbox.switches = ()
    _, reply = peer.sample(peer.sandbox.place_order(NAMES[0], issue_after=issue_after))
    assert reply["errorCode"] == [status]
    assert reply.keys() == {"errorCode"} | STEPS | BOTH_STATUSES | DURATIONS | terms


# --- calls at once ----------------------------------------------------------------------------------------------------


def twelve_calls(peer: Peer) -> tuple[SandboxOrder, list[str]]:
    """Make twelve calls at once; return the order that they are for, and the first line of each reply."""
    peer.sandbox.switches = ()
    peer.sandbox.latency = LATENCY
    order = peer.sandbox.place_order(NAMES[0])
    at_once = ("--parallel", "--parallel-immediate", "--parallel-max", "12", "--no-progress-meter")
    peer.curl(order, *at_once, "--output", peer.directory / "reply-#1", times=12, queryType=0)
    return order, [file.read_text().partition("\n")[0] for file in peer.directory.glob("reply-*")]


def test_of_twelve_calls_at_once_one_is_answered(peer: Peer) -> None:
    _, replies = twelve_calls(peer)
    assert sorted(replies) == ["-14"] * 11 + ["1"]


def test_twelve_calls_at_once_are_recorded_with_their_times(peer: Peer) -> None:
    order, _ = twelve_calls(peer)
    first, *refused = peer.sandbox.calls
    assert first.end is not None
    assert first.end - first.start >= LATENCY
    assert [call.overlapped for call in refused] == [True] * 11
    for call in refused:
        assert (call.during, call.order) == (first, order.order_number)
        assert call.end is not None
        assert first.start <= call.start <= call.end < first.end


# --- what holds certificates ------------------------------------------------------------------------------------------


def prove(peer: Peer, received: Received, *, root: Path) -> bytes:
    """Have OpenSSL verify the certificate that was received beside the chain; return it."""
    chain = set(map(der, peer.sandbox.authority.chain))
    assert len(received) == len(chain) + 1
    (leaf,) = set(received) - chain
    for name in NAMES:
        verify(leaf, set(received) - {leaf}, hostname=name, root=root, directory=peer.directory)
    return leaf


@pytest.mark.parametrize("read", READERS)
def test_openssl_and_unzip_read_a_certificate_that_openssl_verifies(seeded: Peer, read: Reader) -> None:
    order = seeded.sandbox.place_order(NAMES[0], names=NAMES[1:])
    prove(seeded, read(seeded, order), root=seeded.server.ca_file)


@pytest.mark.parametrize(
    ("kind", "name", "content"),
    [(1, "netscapeCertificateSequence", "Netscape Certificate Sequence"), (2, "pkcs7", "pkcs7-signedData")],
)
def test_openssl_names_what_a_container_is(peer: Peer, kind: int, name: str, content: str) -> None:
    data = parameter(peer, peer.sandbox.place_order(NAMES[0]), name, responseType=kind)
    _, first, *_ = run("openssl", "asn1parse", "-inform", "DER", stdin=data).decode().splitlines()
    assert first.partition("OBJECT")[2].strip() == f":{content}"


def test_the_chain_leads_to_the_old_root_too(peer: Peer) -> None:
    old_root = peer.directory / "old-root.pem"
    old_root.write_text(pem(peer.sandbox.authority.old_root))
    order = peer.sandbox.place_order(NAMES[0], names=NAMES[1:])
    prove(peer, pkcs7_in_binary(peer, order), root=old_root)


def test_a_certificate_for_another_name_is_not_verified(peer: Peer) -> None:
    order = peer.sandbox.place_order("other.example.com")
    with pytest.raises(AssertionError, match="hostname mismatch"):
        prove(peer, pkcs7_in_binary(peer, order), root=peer.server.ca_file)


# --- other clients ----------------------------------------------------------------------------------------------------


def test_another_client_collects_a_certificate(seeded: Peer, client: tuple[str | Path, ...]) -> None:
    order = seeded.sandbox.place_order(NAMES[0], names=NAMES[1:], issue_after=None, issue_after_polls=2)
    report = seeded.report(client, order)
    assert report["statuses"] == [0, 0, 1, 2]
    received = [b64decode(value) for name in ("certificate", "caCertificate") for value in report[name]]
    leaf = prove(seeded, received, root=seeded.server.ca_file)
    assert leaf == b64decode(report["certificate"][0])


def test_what_another_client_collects_has_the_orders_key(peer: Peer, client: tuple[str | Path, ...]) -> None:
    order = peer.sandbox.place_order(NAMES[0])
    certificate = ssl.DER_cert_to_PEM_cert(b64decode(peer.report(client, order)["certificate"][0]))
    key = run("openssl", "x509", "-noout", "-pubkey", stdin=certificate.encode())
    assert order.private_key is not None
    assert key == order.private_key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def test_another_client_is_told_of_a_rejected_order(seeded: Peer, client: tuple[str | Path, ...]) -> None:
    order = seeded.sandbox.place_order(NAMES[0])
    order.reject()
    assert seeded.report(client, order) == {"statuses": [-20], "certificate": [], "caCertificate": []}


def test_another_client_makes_one_call_at_a_time(peer: Peer, client: tuple[str | Path, ...]) -> None:
    peer.report(client, peer.sandbox.place_order(NAMES[0]))
    assert (len(peer.sandbox.calls), peer.sandbox.overlaps) == (2, 0)
