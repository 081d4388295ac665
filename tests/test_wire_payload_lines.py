"""Certificates between lines and in binary replies: PEM, bare base64 and containers, and where each ends."""

from __future__ import annotations

import pytest

from collectssl_async.errors import MalformedResponseError
from collectssl_async.models import ResponseType

from .packing import (
    base64_lines,
    chain,
    pack_pkcs7,
    pack_zip,
    pem,
)
from .payloads import CONTAINERS, PKCS7, ZIP, attached, b64
from .replies import decode, lines, numbered, payload_of, said, unnamed

ROOT, ISSUING, LEAF = chain()

# --- newline-delimited ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("width", [64, 76, 48, 32, 1_000_000])
@pytest.mark.parametrize("line_break", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("between", ["", "\n", "\n\n"])
def test_pem_of_any_width_and_line_end(width: int, line_break: str, between: str) -> None:
    text = between.join(pem(der, width=width) for der in chain())
    payload = attached(f"2\n{text}".replace("\n", line_break))
    assert payload.response_type is ResponseType.INDIVIDUAL
    assert (payload.certificates, payload.leaf) == (chain(), None)


@numbered(
    "begin, end",
    [
        ("----- BEGIN CERTIFICATE -----", "---- END CERTIFICATE -----"),
        ("----BEGIN CERTIFICATE----", "------ END CERTIFICATE ------"),
        ("-----BEGIN CERTIFICATE----- ", " -----END CERTIFICATE-----"),
        ("-- BEGIN  X509 CERTIFICATE --", "-- END  X509 CERTIFICATE --"),
        ("\u2014BEGIN CERTIFICATE\u2014", "\u2014END CERTIFICATE\u2014"),
        ("\u2013\u2013 BEGIN CERTIFICATE \u2013\u2013", "\u2013\u2013 END CERTIFICATE \u2013\u2013"),
        ("-----BEGIN+CERTIFICATE-----", "-----END+CERTIFICATE-----"),
        ("-" * 60 + "BEGIN CERTIFICATE" + "-" * 60, "-" * 60 + "END CERTIFICATE" + "-" * 60),
    ],
)
def test_boundaries_with_odd_dashes_and_spaces(begin: str, end: str) -> None:
    text = "\n".join([begin, base64_lines(LEAF), end])
    assert attached(lines(2, text)).certificates == (LEAF,)


@pytest.mark.parametrize("label", ["PKCS7", "PKCS #7", "CMS", "PKCS #7 SIGNED DATA", "CERTIFICATE"])
@pytest.mark.parametrize(("kind", "data"), CONTAINERS[1:])
def test_an_armoured_container_is_known_by_its_structure_not_by_its_label(
    label: str, kind: ResponseType, data: bytes
) -> None:
    payload = attached(lines(2, pem(data, label=label)))
    assert (payload.response_type, payload.data, payload.certificates, payload.leaf) == (kind, data, chain(), None)


def test_certificate_with_trust_settings_behind_it() -> None:
    trusted = pem(LEAF + bytes.fromhex("300c300a06082b06010505070301"), label="TRUSTED CERTIFICATE")
    assert attached(lines(2, trusted)).certificates == (LEAF,)


@pytest.mark.parametrize("label", ["RSA PRIVATE KEY", "PRIVATE KEY", "CERTIFICATE REQUEST", "NEW CERTIFICATE REQUEST"])
def test_keys_and_requests_are_passed_over(label: str) -> None:
    other = f"-----BEGIN {label}-----\nProc-Type: 4,ENCRYPTED\n\nMIIBIjAN\n-----END {label}-----\n"
    response = decode(lines(2, other + pem(LEAF) + other), show_ext_status=True)
    assert payload_of(response).certificates == (LEAF,)
    assert said(response) == {}


@pytest.mark.parametrize("width", [64, 76, 1_000_000])
@pytest.mark.parametrize(("kind", "data"), CONTAINERS)
@pytest.mark.parametrize(
    "after",
    [
        (),
        ("", "Issued", "Complete"),
        ("Issued", "Complete"),
        ("csrStatus=1", "Issued"),
        ("csrStatus 1", "Issued"),
        ("OnHoliday", "AtLunch"),
        ("On Holiday", "At Lunch"),
        ("Issued", "a.com VALIDATED"),
    ],
)
@pytest.mark.parametrize("extra", [0, 1, 2, 24])
def test_a_container_in_bare_base64_ends_where_it_ends(
    kind: ResponseType, data: bytes, width: int, after: tuple[str, ...], extra: int
) -> None:
    # Archives of every length: with padding and without it, and with a last line as wide as the others.
    if kind is ResponseType.ZIP:
        data = pack_zip({f"{number}.crt": der for number, der in enumerate(chain())} | {"n" * (extra + 1): b""})
    response = decode(lines(2, base64_lines(data, width=width), *after), show_ext_status=True)
    payload = payload_of(response)
    assert (payload.response_type, payload.data, payload.certificates) == (kind, data, chain())
    assert len([*filter(None, after)]) == len(said(response)) + len([*unnamed(response)][:-1])


def test_last_line_as_wide_as_the_others_and_a_word_below() -> None:
    width = next(width for width in range(40, 90) if len(b64(ZIP).rstrip("=")) % width == 0 or width == 89)
    response = decode(lines(2, base64_lines(ZIP, width=width), "OnHoliday", "AtLunch"), show_ext_status=True)
    assert payload_of(response).data == ZIP
    assert (response.certificate_status, response.validation_status) == ("OnHoliday", "AtLunch")


WORDS = ("OnHoliday", "AtLunch", "Gone", "Asleep", "Away", "Elsewhere", "Abroad")


def test_a_shorter_line_ends_a_container_whatever_follows() -> None:
    archives = (pack_zip({"n" * length: LEAF}) for length in range(1, 100))
    data = next(data for data in archives if b64(data)[-1] != "=" and len(b64(data)) % 60)
    response = decode(lines(2, base64_lines(data, width=60), *WORDS))
    assert payload_of(response).data == data
    assert unnamed(response) == WORDS


def test_padding_ends_a_container_whatever_follows() -> None:
    padded = (pack_zip({"n" * length: LEAF}) for length in range(1, 100))
    data, width = next(
        (data, width)
        for data in padded
        for width in range(40, 80)
        if b64(data)[-1] == "=" and len(b64(data)) % width == 0
    )
    response = decode(lines(2, base64_lines(data, width=width), *["W" * width] * 6))
    assert payload_of(response).data == data


def test_bare_base64_of_certificates_one_by_one() -> None:
    text = "\n".join(base64_lines(der) for der in chain())
    assert attached(lines(2, text)).certificates == chain()


def test_bare_base64_of_certificates_on_one_line_each() -> None:
    assert attached(lines(2, *map(b64, chain()))).certificates == chain()


def test_bare_base64_of_pem() -> None:
    assert attached(lines(2, base64_lines(pem(LEAF).encode()), "Issued")).certificates == (LEAF,)


def test_bare_base64_of_indefinite_length() -> None:
    data = pack_pkcs7(chain(), indefinite=True)
    payload = attached(lines(2, base64_lines(data), "Issued"))
    assert (payload.data, payload.certificates) == (data, chain())


def test_one_certificate_that_was_asked_for_alone_is_the_leaf() -> None:
    assert attached(lines(2, pem(LEAF)), query_type=2).leaf == LEAF


@pytest.mark.parametrize("query_type", [0, 1, 3])
def test_one_certificate_may_be_any_when_more_were_asked_for(query_type: int) -> None:
    assert attached(lines(2, pem(LEAF)), query_type=query_type).leaf is None


def test_several_certificates_name_no_leaf_even_when_one_was_asked_for() -> None:
    assert attached(lines(2, pem(ROOT), pem(LEAF)), query_type=2).leaf is None


@numbered(
    "line", ["MIDDLE", "MIIC", "UEsDBA", "MIGRATION of the old validation system", "MIIBIjANBgkqhkiG9w0BAQEFAAOC"]
)
def test_lines_that_only_begin_like_base64_are_left_over(line: str) -> None:
    assert said(decode(lines(0, line))) == {"extra": {"": (line,)}}


# --- binary -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("asked", [{}, {"response_type": 0, "response_encoding": 1}, {"query_type": 0}])
@pytest.mark.parametrize(("kind", "data"), CONTAINERS)
@pytest.mark.parametrize("end", [b"", b"\n", b"\r\n"])
def test_binary_containers_are_known_by_their_structure(
    asked: dict[str, int], kind: ResponseType, data: bytes, end: bytes
) -> None:
    payload = attached(data + end, content_type="text/plain", **asked)
    assert (payload.response_type, payload.data, payload.certificates, payload.leaf) == (kind, data, chain(), None)


def test_binary_pkcs7_of_indefinite_length() -> None:
    data = pack_pkcs7(chain(), indefinite=True)
    payload = attached(data)
    assert (payload.response_type, payload.data, payload.certificates) == (ResponseType.PKCS7, data, chain())


def test_a_bare_certificate_in_binary() -> None:
    payload = attached(LEAF)
    assert (payload.response_type, payload.data, payload.certificates) == (ResponseType.INDIVIDUAL, None, (LEAF,))


@numbered("body", ["0\n", "0", "1\n", "0\r\n"])
def test_a_binary_reply_that_is_not_ready_is_text(body: str) -> None:
    assert decode(body, response_type=2, response_encoding=1).payload is None


@pytest.mark.parametrize("label", ["PKCS7", "CERTIFICATE"])
@pytest.mark.parametrize("lead", ["", "\ufeff", "\n"])
def test_armour_without_a_status_is_read_where_binary_was_asked(label: str, lead: str) -> None:
    payload = attached(lead + pem(PKCS7, label=label), response_type=2, response_encoding=1)
    assert (payload.response_type, payload.data) == (ResponseType.PKCS7, PKCS7)


def test_other_text_without_a_status_is_malformed_where_binary_was_asked() -> None:
    with pytest.raises(MalformedResponseError, match="without a status"):
        decode(b64(PKCS7), response_type=2, response_encoding=1)


def test_armour_without_a_status_is_malformed_where_text_was_asked() -> None:
    with pytest.raises(MalformedResponseError, match="without a status"):
        decode(pem(PKCS7, label="PKCS7"), response_type=2)
