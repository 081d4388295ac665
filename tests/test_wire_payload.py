"""Certificates in URL-encoded replies, plus signs that were not escaped, and what either format is refused for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote, quote_plus

import pytest

from collectssl_async.errors import MalformedResponseError
from collectssl_async.models import ResponseType, StatusCode

from .packing import (
    base64_lines,
    chain,
    leaf_with_plus_at_line_end,
    leaf_with_plus_at_the_end,
    pack_netscape,
    pack_pkcs7,
    pack_zip,
    pem,
)
from .payloads import CERTIFICATE_FIELDS, CONTAINERS, FIELDS, NETSCAPE, PKCS7, ZIP, attached, b64
from .replies import decode, lines, numbered, payload_of

if TYPE_CHECKING:
    from collections.abc import Callable


ROOT, ISSUING, LEAF = chain()

# --- URL-encoded ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.parametrize(("kind", "data"), CONTAINERS)
def test_a_container_is_known_by_its_structure_not_by_its_name(field: str, kind: ResponseType, data: bytes) -> None:
    payload = attached(f"errorCode=2&{field}={quote(b64(data))}")
    assert (payload.response_type, payload.data, payload.certificates, payload.leaf) == (kind, data, chain(), None)


@pytest.mark.parametrize(("kind", "data"), CONTAINERS)
def test_a_container_in_the_certificate_field(kind: ResponseType, data: bytes) -> None:
    payload = attached(f"errorCode=2&certificate={quote(b64(data))}")
    assert (payload.response_type, payload.data, payload.certificates, payload.leaf) == (kind, data, chain(), None)


@numbered(
    "write",
    [
        b64,
        lambda der: b64(der).rstrip("="),
        lambda der: base64_lines(der, line_break="\n"),
        lambda der: base64_lines(der, line_break="\r\n") + "\r\n",
        lambda der: base64_lines(der, line_break=" "),
        lambda der: base64_lines(der, width=76, line_break=" "),
        lambda der: base64_lines(der, width=50, line_break=" "),
        pem,
        lambda der: pem(der, line_break="\r\n"),
        lambda der: pem(der, width=48),
        lambda der: pem(der).replace("\n", " "),
        lambda der: pem(der).replace("\n", ""),
        lambda der: pem(der, label="X509 CERTIFICATE"),
        lambda der: b64(pem(der).encode()),
        lambda der: base64_lines(pem(der, line_break="\r\n").encode()),
        lambda der: base64_lines(pem(der).encode(), line_break=" "),
        lambda der: base64_lines(pem(der).encode(), width=50, line_break=" "),
    ],
)
@numbered("encode", [quote, quote_plus, lambda text: quote_plus(text).replace("%2B", "%2b")])
def test_individual_certificates_however_they_are_written(
    write: Callable[[bytes], str], encode: Callable[[str], str]
) -> None:
    pairs = [("caCertificate", ROOT), ("caCertificate", ISSUING), ("certificate", LEAF)]
    body = "errorCode=2&" + "&".join(f"{name}={encode(write(der))}" for name, der in pairs)
    payload = attached(body)
    assert payload.response_type is ResponseType.INDIVIDUAL
    assert payload.data is None
    assert payload.certificates == chain()
    assert payload.leaf == LEAF


def test_certificates_keep_the_order_in_which_they_came() -> None:
    order = [("certificate", LEAF), ("caCertificate", ISSUING), ("caCertificate", ROOT)]
    payload = attached("errorCode=2&" + "&".join(f"{name}={quote(b64(der))}" for name, der in order))
    assert payload.certificates == (LEAF, ISSUING, ROOT)


def test_leaf_among_the_cas_and_duplicates_are_kept() -> None:
    ca = "".join(f"&caCertificate={quote(b64(der))}" for der in (ROOT, ISSUING, LEAF, ROOT))
    payload = attached(f"errorCode=2&certificate={quote(b64(LEAF))}{ca}")
    assert payload.certificates == (LEAF, ROOT, ISSUING, LEAF, ROOT)
    assert payload.leaf == LEAF


def test_certificate_field_with_a_whole_chain_names_no_leaf() -> None:
    payload = attached(f"errorCode=2&certificate={quote_plus(''.join(map(pem, chain())))}")
    assert (payload.certificates, payload.leaf) == (chain(), None)


def test_two_different_certificates_name_no_leaf() -> None:
    body = f"errorCode=2&certificate={quote(b64(LEAF))}&certificate={quote(b64(ROOT))}"
    assert attached(body).leaf is None


@numbered("data", [pack_pkcs7([LEAF]), pack_netscape([LEAF]), pack_zip({"a": LEAF})])
def test_a_container_of_one_in_the_certificate_field_names_the_leaf(data: bytes) -> None:
    payload = attached(f"errorCode=2&certificate={quote(b64(data))}")
    assert (payload.data, payload.leaf) == (data, LEAF)


def test_the_same_certificate_twice_is_the_leaf() -> None:
    assert attached("errorCode=2" + f"&certificate={quote(b64(LEAF))}" * 2).leaf == LEAF


def test_cas_alone_name_no_leaf() -> None:
    body = f"errorCode=2&caCertificate={quote(b64(ROOT))}&certificate="
    payload = attached(body, query_type=3)
    assert (payload.certificates, payload.leaf) == ((ROOT,), None)


def test_a_container_beside_single_certificates() -> None:
    payload = attached(f"errorCode=2&certificate={quote(b64(LEAF))}&pkcs7={quote(b64(PKCS7))}")
    assert (payload.response_type, payload.data, payload.leaf) == (ResponseType.PKCS7, PKCS7, LEAF)
    assert payload.certificates == (LEAF, *chain())


@pytest.mark.parametrize("name", ["CERTIFICATE", "Certificate"])
def test_names_of_certificates_are_compared_without_case(name: str) -> None:
    assert attached(f"errorCode=2&{name}={quote(b64(LEAF))}").leaf == LEAF


# --- plus signs that were not escaped ---------------------------------------------------------------------------------


@numbered(
    "write",
    [
        b64,
        lambda der: b64(der).rstrip("="),
        lambda der: base64_lines(der).replace("\n", "%0A"),
        lambda der: base64_lines(der, line_break="\r\n").replace("\r\n", "%0D%0A") + "%0D%0A",
        lambda der: pem(der).replace("\n", "%0A"),
        pem,
        lambda der: pem(der).replace("\n", " "),
        lambda der: base64_lines(der, line_break=" "),
        lambda der: base64_lines(der, width=76, line_break=" "),
    ],
)
@pytest.mark.parametrize("make", [leaf_with_plus_at_line_end, leaf_with_plus_at_the_end])
def test_raw_plus_signs_are_put_back(write: Callable[[bytes], str], make: Callable[[], bytes]) -> None:
    leaf = make()
    text = write(leaf)
    assert "+" in text
    assert attached(f"errorCode=2&certificate={text}").leaf == leaf


@pytest.mark.parametrize("line_break", ["", "%0A", "%0D%0A", " "])
@numbered(
    "data",
    [
        pack_zip({"a.crt": leaf_with_plus_at_line_end(), "b.crt": ROOT}, compression=0),
        pack_pkcs7([leaf_with_plus_at_line_end(), ROOT]),
        pack_netscape([leaf_with_plus_at_line_end(), ROOT]),
    ],
)
def test_raw_plus_signs_in_containers_are_put_back(data: bytes, line_break: str) -> None:
    text = base64_lines(data, line_break=line_break)
    assert "+" in text
    payload = attached(f"errorCode=2&pkcs7={text}")
    assert payload.data == data
    assert payload.certificates == (leaf_with_plus_at_line_end(), ROOT)


def test_raw_plus_signs_in_a_newline_delimited_container_may_be_spaces() -> None:
    data = pack_pkcs7([leaf_with_plus_at_line_end(), ROOT])
    assert attached(lines(2, base64_lines(data).replace("+", " "), "", "Issued")).data == data


# --- what is refused, what is not -------------------------------------------------------------------------------------


def refused(body: bytes | str, **fields: Any) -> None:
    with pytest.raises(MalformedResponseError):
        decode(body, **fields)


@pytest.mark.parametrize("status", [0, 1, 2])
@pytest.mark.parametrize("field", CERTIFICATE_FIELDS)
@numbered(
    "value",
    [
        "x",
        "MIIC",
        b64(LEAF)[:-8],
        b64(LEAF[:-1]),
        b64(b"\0" + LEAF),
        b64(LEAF + b"\0"),
        b64(ZIP[:-1]),
        b64(LEAF)[:50] + "!!!!" + b64(LEAF)[50:],
        b64(LEAF)[:50] + "=" + b64(LEAF)[50:],
        "-" + b64(LEAF),
        b64(pem(LEAF).encode())[:-30],
        b64(pem(LEAF)[:-30].encode()),
        "é",
        "%00",
    ],
)
def test_certificate_that_cannot_be_decoded_fails_the_reply(status: int, field: str, value: str) -> None:
    refused(f"errorCode={status}&{field}={quote(value, safe='%')}")


@pytest.mark.parametrize("status", [0, 1, 2])
@numbered(
    "text",
    [
        pem(LEAF[:-1]),
        pem(LEAF).replace("M", "!", 1),
        pem(LEAF)[:-40],
        pem(LEAF).replace("END", "BEGIN"),
        pem(b"no certificate at all"),
        pem(LEAF + b"\0"),
        base64_lines(PKCS7)[:-5],
        base64_lines(ZIP)[:-5],
        "-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----",
    ],
)
def test_line_that_begins_a_certificate_and_cannot_be_decoded_fails_the_reply(status: int, text: str) -> None:
    refused(lines(status, pem(ROOT), text))


@numbered("data", [ZIP[:-1], ZIP[:100], PKCS7[:-1], NETSCAPE[:40], LEAF[:-1], PKCS7 + b"x", ZIP + b"x"])
def test_binary_that_cannot_be_decoded_fails_the_reply(data: bytes) -> None:
    refused(data)


@pytest.mark.parametrize("query_type", [1, 2, 3])
@numbered("body", ["2\n", "2\nIssued", "errorCode=2", "errorCode=2&certificate=&caCertificate=+"])
def test_attached_without_certificates_is_malformed(body: str, query_type: int) -> None:
    refused(body, query_type=query_type)


@numbered("body", ["2\n", "errorCode=2"])
def test_attached_without_certificates_is_fine_where_only_the_status_was_asked(body: str) -> None:
    response = decode(body, query_type=0)
    assert response.status is StatusCode.ATTACHED
    assert response.payload is None


@pytest.mark.parametrize("status", [0, 1])
@numbered("template", ["{}\n" + pem(LEAF), "errorCode={}&certificate=" + quote(b64(LEAF))])
def test_certificates_with_a_lower_status_are_kept(template: str, status: int) -> None:
    response = decode(template.format(status))
    assert response.status == status
    assert payload_of(response).certificates == (LEAF,)


@numbered(
    "write",
    [
        lambda count: "errorCode=2" + f"&caCertificate={quote(b64(ROOT))}" * count,
        lambda count: "errorCode=2&certificate=" + quote(pem(ROOT) * count),
        lambda count: "errorCode=2&certificate=" + quote(b64((pem(ROOT) * count).encode())),
        lambda count: f"errorCode=2&certificate={quote(b64(ROOT))}&certificate=" + quote(pem(ROOT) * (count - 1)),
        lambda count: "2\n" + pem(ROOT) * count,
        lambda count: "2\n" + (b64(ROOT) + "\n") * count,
        lambda count: "2\n" + pem(pack_pkcs7([ROOT] * count)),
        lambda count: pack_pkcs7([ROOT] * count),
        lambda count: pack_netscape([ROOT] * count),
        lambda count: pack_zip({"all.crt": pem(ROOT).encode() * count}),
    ],
)
def test_thirty_two_certificates_are_read_and_more_refused(write: Callable[[int], bytes | str]) -> None:
    assert attached(write(32)).certificates == (ROOT,) * 32
    refused(write(33))
