"""Any bytes, and any reply built from the wire's names with broken values: a response or an error of ours, in time."""

from __future__ import annotations

import string
import time
import warnings
from base64 import b64encode
from typing import TYPE_CHECKING
from urllib.parse import quote_plus

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from collectssl_async import containers, wire
from collectssl_async.errors import APIError, CollectSSLError, MalformedResponseError
from collectssl_async.models import CAAState, CertificateState, CollectSSLResponse, ValidationState
from collectssl_async.parameters import ERROR_CODE, ERROR_ITEM, ERROR_MESSAGE, REPLY_PARAMETERS

from .packing import chain, pack_netscape, pack_pkcs7, pack_zip, pem, tlv
from .replies import EVERYTHING, ask

if TYPE_CHECKING:
    from collections.abc import Callable

    from collectssl_async.models import CollectSSLRequest

ROOT, ISSUING, LEAF = chain()
MEGABYTE = 1024 * 1024
NAMES = [ERROR_CODE, ERROR_MESSAGE, ERROR_ITEM, *REPLY_PARAMETERS, "ovCallBackStatus", "unknown", ""]
BINARIES = [
    LEAF,
    pack_zip({"a": LEAF, "b.pem": pem(ROOT).encode(), "README": b"hello"}),
    pack_pkcs7(chain()),
    pack_pkcs7(chain(), indefinite=True),
    pack_netscape(chain()),
]
GOOD_TEXTS = [
    *(state.value for states in (CertificateState, ValidationState, CAAState) for state in states),
    *("-1", "0", "2", "720", "1761696000", "1761696000 1793232000", "14/05/2013 13/05/2014"),
    *("shop.example.com", "a.com VALIDATED, b.com NOTVALIDATED", "Error 403", "Awaiting Validation (Full)"),
    *(pem(each) for each in BINARIES),
    *(b64encode(each).decode() for each in BINARIES),
    b64encode(pem(LEAF).encode()).decode(),
]
ODD_TEXTS = [
    *("1_0", "\u0661", "9" * 5_000, "-" + "9" * 13, "31/02/2013 99/99/9999", "253402300800 -62135596801"),
    *("a.com", ".", ",", "a.b c,", "%", "%41", "%2541", "+", "\x00", "\ufeff", "\u2028", "\U0001f600", "=", "==", "&"),
    *(
        "-----BEGIN CERTIFICATE-----",
        "-----END CERTIFICATE-----",
        "-----BEGIN X-----",
        "MIIC",
        "UEsDBBQA" * 4,
        "MIAGCSqGSIb3" * 3,
    ),
    *("certificateStatus", "csrStatus 1", "caaStatus", "errorItem: x", "foo=bar", "<html>", "'xxxx'", "\u2018x\u2019"),
]

requests = st.fixed_dictionaries(
    {"query_type": st.integers(0, 3)},
    optional={"response_format": st.integers(0, 1), **dict.fromkeys(EVERYTHING, st.booleans())},
).map(lambda fields: ask(**fields)) | st.just(ask(response_type=0, response_encoding=1, **EVERYTHING))

texts = st.sampled_from(GOOD_TEXTS) | st.sampled_from(ODD_TEXTS) | st.text(max_size=40) | st.integers().map(str)


@st.composite
def damaged(draw: st.DrawFn, source: st.SearchStrategy[str]) -> str:
    """Draw a text, sometimes with a piece cut out, doubled or replaced."""
    text = draw(source)
    if draw(st.booleans()):
        start, end = sorted((draw(st.integers(0, len(text))), draw(st.integers(0, len(text)))))
        middle = draw(st.sampled_from(["", text[start:end] * 2, " ", "\n", "=", "\x00", draw(st.text(max_size=5))]))
        text = text[:start] + middle + text[end:]
    return text


names = damaged(st.sampled_from(NAMES)) | st.sampled_from(NAMES)
values = damaged(texts)
codes = st.sampled_from(["0", "1", "2", "2", "-16", "-4", "3", "x"])


ESCAPES: list[Callable[[str], str]] = [quote_plus, quote_plus, lambda text: quote_plus(quote_plus(text)), str]


@st.composite
def forms(draw: st.DrawFn) -> bytes:
    """Draw a URL-encoded reply, escaped well, twice, badly or not at all."""
    escape = draw(st.sampled_from(ESCAPES))
    pairs = draw(st.lists(st.tuples(names, values), max_size=8))
    pairs.insert(draw(st.integers(0, len(pairs))), (ERROR_CODE, draw(codes)))
    separator = draw(st.sampled_from(["&", "&", "\n", "\r\n&"]))
    text = separator.join(f"{name}={escape(value)}" for name, value in pairs)
    return text.encode(draw(st.sampled_from(["utf-8", "windows-1252"])), "replace")


@st.composite
def newlines(draw: st.DrawFn) -> bytes:
    """Draw a newline-delimited reply of lines with names and without them."""
    template = st.sampled_from(["{1}", "{1}", "{0}={1}", "{0}: {1}", "{0} {1}"])
    drawn = draw(st.lists(st.tuples(template, names, values), max_size=8))
    lines = [draw(codes), *(form.format(name, value) for form, name, value in drawn)]
    text = draw(st.sampled_from(["\n", "\r\n", "\r", "\n\n"])).join(lines)
    return text.encode(draw(st.sampled_from(["utf-8", "windows-1252"])), "replace")


@st.composite
def binaries(draw: st.DrawFn) -> bytes:
    """Draw a container with a byte changed, cut out or put in."""
    data = draw(st.sampled_from(BINARIES))
    at = draw(st.integers(0, len(data)))
    return data[:at] + draw(st.binary(max_size=3)) + data[at + draw(st.integers(0, 3)) :]


def outcome(request: CollectSSLRequest, body: bytes) -> CollectSSLResponse | CollectSSLError:
    """Decode; whatever escapes besides errors of ours fails the test, and so does a warning."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            return wire.decode_response(request, content_type="text/plain", body=body)
        except (APIError, MalformedResponseError) as error:
            return error


@settings(deadline=None, max_examples=400)
@given(request=requests, body=st.binary(max_size=300) | forms() | newlines() | binaries())
@example(request=ask(), body=b"errorCode=0&csrStatus=" + b"9" * 5_000)
@example(request=ask(), body=b"2\nMIAGCSqGSIb3DQEHAqA=\t")
@example(request=ask(), body=b"2\nMIIBIjANBgkqhkiG9w0BA==    ")
@example(request=ask(), body=b"0\n253402300800 -62135596801")
def test_any_reply_is_a_response_or_an_error_of_ours(request: CollectSSLRequest, body: bytes) -> None:
    result = outcome(request, body)
    if isinstance(result, CollectSSLResponse):
        assert CollectSSLResponse.model_validate_json(result.model_dump_json()) == result
    elif isinstance(result, MalformedResponseError):
        assert len(result.excerpt) <= 200
        assert result.excerpt.isprintable()


@settings(deadline=None, max_examples=150)
@given(body=st.binary(max_size=300) | forms() | newlines() | binaries())
def test_looking_for_an_error_never_fails(body: bytes) -> None:
    wire.decode_error(body=body)


@settings(deadline=None, max_examples=150)
@given(
    values=st.lists(
        st.tuples(st.sampled_from(sorted(REPLY_PARAMETERS)), st.text(alphabet=string.printable, max_size=20))
    )
)
def test_no_text_of_a_known_parameter_is_lost(values: list[tuple[str, str]]) -> None:
    plain = [(name, text) for name, text in values if REPLY_PARAMETERS[name].field != "payload"]
    body = "errorCode=0&" + "&".join(f"{name}={quote_plus(text)}" for name, text in plain)
    response = outcome(ask(), body.encode())
    assert isinstance(response, CollectSSLResponse)
    told = len({REPLY_PARAMETERS[name].field for name, text in plain if text.strip()})
    fields = sum(len(value) if isinstance(value, dict) else 1 for value in _without_none(response).values())
    left = sum(map(len, response.extra.values()))
    assert fields <= told
    assert fields + left == sum(1 for _, text in plain if text.strip())


def _without_none(response: CollectSSLResponse) -> dict[str, object]:
    shown = response.model_dump(exclude={"status", "payload", "extra"}, exclude_none=True)
    return {field: value for field, value in shown.items() if value}


# --- time -------------------------------------------------------------------------------------------------------------


def repeated(piece: bytes) -> bytes:
    return piece * (MEGABYTE // len(piece))


HOSTILE = {
    "dashes": repeated(b"-"),
    "long dashes": repeated("\u2014".encode()),
    "dashes below a status": b"0\n" + repeated(b"-"),
    "boundaries": b"0\n" + repeated(b"BEGIN "),
    "boundaries with dashes": b"2\n" + repeated(b"-----BEGIN CERTIFICATE-----"),
    "foreign blocks": b"2\n" + b"-----BEGIN X-----" * 9_999 + b"END" * 200_000,
    "empty blocks": b"2\n" + b"-----BEGIN CERTIFICATE-----AAAA-----END CERTIFICATE-----" * 9_999,
    "short lines": b"0\n" + repeated(b"A\n"),
    "long lines": b"0\n" + b"\n".join([b"Issued " + b"(" * 500] * 1_998),
    "names with dots": b"0\n" + b"\n".join([b"a." * 126 + b"="] * 1_998),
    "pairs": b"0\n" + b"\n".join([b"a.a b," * 86] * 1_998),
    "lines of escapes": b"0\n" + b"\n".join([b"%25" * 170] * 1_998),
    "spaces": b"0\n" + repeated(b" ") + b"x",
    "carriage returns": repeated(b"\r"),
    "digits": repeated(b"1"),
    "negative digits": b"-" + repeated(b"1"),
    "quotation marks": b"-4\n" + repeated(b"'"),
    "parameters": b"errorCode=0" + repeated(b"&a="),
    "escapes": b"errorCode=0&x=" + repeated(b"%41"),
    "half escapes": b"errorCode=0&x=" + repeated(b"%"),
    "scattered escapes": b"errorCode=0&certificate=" + repeated(b"a%41"),
    "domains": b"errorCode=0&mdcDomainDetails=" + repeated(b"a.a+b,"),
    "escaped domains": b"errorCode=0&mdcDomainDetails=" + repeated(b"%2541"),
    "plus signs": b"errorCode=2&certificate=" + repeated(b"A+"),
    "base64": b"2\nMIIBIjCC" + b"\n".join([b"A" * 520] * 1_998),
    "base64 of a ZIP": b"2\nUEsDBBQA" + b"A" * 512 + b"\n" + b"\n".join([b"A" * 520] * 1_998),
    "base64 of indefinite length": b"2\nMIAGCSqGSIb3DQEHAqCA" + b"A" * 500 + b"\n" + b"\n".join([b"A" * 520] * 1_998),
    "bytes beyond windows-1252": repeated(b"\x81"),
    "nested elements": repeated(b"\x30\x84\x00\x0f\x00\x00"),
    "nested indefinite elements": repeated(b"\x30\x80"),
    "tiny elements": b"\x30\x80" + bytes.fromhex("06092a864886f70d010702") + repeated(b"\x05\0"),
    "tiny certificates": tlv(0x30, pack_pkcs7([repeated(b"\x30\0")])),
    "ZIP signatures": b"PK\x03\x04" + repeated(b"PK\x05\x06"),
    "ZIP bomb": pack_zip({"a": bytes(32 * MEGABYTE)}),
    "ZIP of boundaries": pack_zip({"a": repeated(b"BEGIN ")}),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_megabyte_of_anything_takes_linear_time(name: str) -> None:
    """100 ms of work are the aim; the bound here is for slow machines and for coverage, and below what a slip costs."""
    containers.read(LEAF)  # loads cryptography
    start = time.thread_time()
    outcome(ask(**EVERYTHING), HOSTILE[name])
    assert time.thread_time() - start < 0.5
