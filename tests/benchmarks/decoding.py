"""Reading replies, beside `parse_qs`, base64 and cryptography by hand; and megabytes of what no service should send.

By hand only what is wanted is read, into a dict: nothing is checked, and nothing comes in another format. On the
processor's clock, as nothing is waited for. Memory is what reading takes at its highest, besides the input.
"""

from __future__ import annotations

import base64
import contextlib
import time
import tracemalloc
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlencode

import anyio
from cryptography import x509

from collectssl_async import CollectSSLError, CollectSSLRequest, QueryType, containers
from collectssl_async.wire import decode_response

from .. import hostile
from ..hostile import MEBIBYTE
from ..pki import hierarchy
from .measuring import Row, cost_of, row, take_turns

if TYPE_CHECKING:
    from collections.abc import Callable

FORM = "application/x-www-form-urlencoded"
TIMES = ("notBefore", "notAfter", "productTermStartDate", "productTermEndDate")
STEPS = (
    "csrStatus",
    "dcvStatus",
    "ovCallbackStatus",
    "organizationValidationStatus",
    "freeDVUPStatus",
    "evClickThroughStatus",
    "brandValStatus",
    "maStatus",
)
NUMBERS = ("errorCode", "certificateDuration", "productTermDuration", *STEPS)
DOMAINS = ("mdcDomainDetails", "mdcDomainDetails2")
WAITING = {
    "errorCode": 0,
    "certificateDuration": 199,
    "productTermDuration": 365,
    "fqdn": "shop.example.com",
    "certificateStatus": "Awaiting Validation",
    "validationStatus": "Awaiting private WHOIS entry release",
    **dict.fromkeys(STEPS, -1),
    "csrStatus": 1,
    "dcvStatus": 0,
    "caaStatus": "Awaiting Completion",
}
STATUS_REPLY = urlencode(WAITING).encode()
"""What `status()` is told most often: a DV order of one name that waits for its validation."""

MULTI_DOMAIN_REPLY = urlencode(
    {
        **WAITING,
        **dict.fromkeys(DOMAINS, ", ".join(f"{name}.example.com NOTVALIDATED" for name in ("shop", "www", "api"))),
    }
).encode()

PIECES = {
    "dashes": b"-",
    "PEM boundaries": b"-----BEGIN CERTIFICATE-----\n",
    "short lines": b"ab\n",
    "pairs": b"x.y VALIDATED\n",
    "parameters": b"&csrStatus=1",
    "values of one parameter": b"&mdcDomainDetails=a.b+C%2c",
    "escapes": b"&fqdn=%25%41",
    "base64": b"MIIB",
    "base64 and spaces": b"MIIB ",
    "plus signs": b"&certificate=MII+++++",
    "long domains": b"errorCode=0&mdcDomainDetails=a.b+V,",
    "zero bytes": b"\0",
    "bytes that are no UTF-8": b"\x93\xff",
    "DER": b"\x30\x82\x01\x00",
    "ZIP": b"PK\x03\x04\x14\0\0\0\x08\0",
}
BEGINNINGS = (b"", b"0\n", b"errorCode=0&fqdn=", b"errorCode=2&certificate=", b"\x30\x83\x0f\xff\xfa")

ROUNDS, TIMES_EACH = 151, 20
BY_HAND = "parse_qs by hand"


def status_by_hand(body: bytes) -> dict[str, Any]:
    texts = {name: values[0] for name, values in parse_qs(body.decode()).items()}
    found: dict[str, Any] = dict(texts)
    found.update({name: int(texts[name]) for name in NUMBERS if name in texts})
    found.update({name: datetime.fromtimestamp(int(texts[name]), UTC) for name in TIMES if name in texts})
    found.update({name: [tuple(pair.split()) for pair in texts[name].split(",")] for name in DOMAINS if name in texts})
    return found


def certificates_by_hand(body: bytes) -> dict[str, Any]:
    values = parse_qs(body.decode())
    encoded = [*values["certificate"], *values["caCertificate"]]
    certificates = [x509.load_der_x509_certificate(base64.b64decode(text)) for text in encoded]
    return {"errorCode": int(values["errorCode"][0]), "leaf": certificates[0], "chain": certificates[1:]}


def certificate_reply() -> bytes:
    """A leaf and the three CA certificates of a cross-signed chain, RSA as most are."""
    chain = hierarchy(kind="rsa")
    authorities = [chain.old_root, chain.cross_root, chain.issuing]
    values = [("caCertificate", base64.b64encode(authority.der)) for authority in authorities]
    return urlencode([("errorCode", 2), *values, ("certificate", base64.b64encode(chain.leaf.der))]).encode()


def rubbish() -> Row:
    """Return the slowest of many bodies of a mebibyte, each read once."""
    request = CollectSSLRequest(order_number="1", query_type=QueryType.CERTIFICATE_AND_CHAIN)
    slowest = (0.0, "")
    for name, piece in PIECES.items():
        for beginning in BEGINNINGS:
            body = (beginning + piece * (MEBIBYTE // len(piece) + 1))[:MEBIBYTE]
            began = time.process_time()
            with contextlib.suppress(CollectSSLError):
                decode_response(request, content_type=FORM, body=body)
            slowest = max(slowest, (time.process_time() - began, name))
    return Row(f"a MiB of rubbish, the worst: {slowest[1]}", slowest[0], target="<= 100 ms")


def read_file(data: bytes) -> tuple[float, int, int]:
    """Return the seconds that reading a file takes, its memory, and how many certificates it held."""
    times, found = [], 0
    for _ in range(3):
        began = time.process_time()
        with contextlib.suppress(CollectSSLError):
            found = len(containers.read(data, max_certificates=None).certificates)
        times.append(time.process_time() - began)
    tracemalloc.start()
    with contextlib.suppress(CollectSSLError):
        containers.read(data, max_certificates=None)
    memory = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return min(times), memory, found


def files() -> list[Row]:
    """Return the slowest and the hungriest of many files of 5 MiB without certificates, and all of those with many."""
    cost = {name: read_file(make()) for name, make in (hostile.RUBBISH | hostile.BUSY).items()}
    slowest = max(cost, key=lambda name: cost[name][0])
    hungriest = max(cost, key=lambda name: cost[name][1])
    rows = [
        Row(f"5 MiB, {which}: {name}, {cost[name][1] / MEBIBYTE:.1f} MiB", cost[name][0], target="<= 50 ms, 16 MiB")
        for which, name in (("slowest", slowest), ("hungriest", hungriest))
    ]
    for name, make in hostile.CERTIFICATES.items():
        seconds, memory, found = read_file(make())
        rows.append(Row(f"{found} {name}, {memory / MEBIBYTE:.1f} MiB", seconds, target="<= 50 ms, 16 MiB"))
    return rows


async def compare(what: str, by_hand: Callable[[bytes], object], query_type: QueryType, body: bytes) -> Row:
    request = CollectSSLRequest(order_number="1", query_type=query_type)

    async def decoding(times: int) -> None:
        for _ in range(times):
            decode_response(request, content_type=FORM, body=body)

    async def handwork(times: int) -> None:
        for _ in range(times):
            by_hand(body)

    ours, theirs = await take_turns(
        ROUNDS, partial(cost_of, decoding, TIMES_EACH), partial(cost_of, handwork, TIMES_EACH)
    )
    return row(what, BY_HAND, ours, theirs, cpu=True)


def run() -> list[Row]:
    replies = (
        ("a status", status_by_hand, QueryType.STATUS_ONLY, STATUS_REPLY),
        ("a status, 3 domains", status_by_hand, QueryType.STATUS_ONLY, MULTI_DOMAIN_REPLY),
        ("4 certificates", certificates_by_hand, QueryType.CERTIFICATE_AND_CHAIN, certificate_reply()),
    )
    rows = [
        anyio.run(compare, f"decoding {what}, {len(body)} bytes", by_hand, query_type, body)
        for what, by_hand, query_type, body in replies
    ]
    return [*rows, rubbish(), *files()]
