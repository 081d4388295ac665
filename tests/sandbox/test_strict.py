"""What varies under `strict`: every switch can be seen, all of them can be seen through, and a seed repeats them."""

from __future__ import annotations

import codecs
import io
import re
import zipfile
from base64 import b64decode
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, unquote

import pytest
from cryptography import x509

from collectssl_async.sandbox import Sandbox, variations
from collectssl_async.sandbox.steps import STEP_VALUES
from collectssl_async.sandbox.variations import STRICT, SWITCHES, Variations

from .calling import EVERYTHING, Caller

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import httpx


def b64_values(reply: httpx.Response) -> list[bytes]:
    return [b64decode(value) for name in ("caCertificate", "certificate") for value in parse_qs(reply.text)[name]]


def archive(reply: httpx.Response) -> zipfile.ZipFile:
    return zipfile.ZipFile(io.BytesIO(b64decode(parse_qs(reply.text)["zipFile"][0])))


def members(reply: httpx.Response) -> list[bytes]:
    with archive(reply) as opened:
        return [opened.read(name) for name in opened.namelist() if not name.endswith(".txt") or "/" in name]


def pem_subjects(reply: httpx.Response) -> list[str]:
    return [each.subject.rfc4514_string() for each in x509.load_pem_x509_certificates(reply.content)]


URL: dict[str, str | int] = {"responseFormat": 1, **EVERYTHING}
NEWLINE: dict[str, str | int] = {"responseFormat": 0, **EVERYTHING}
CHAIN: dict[str, str | int] = {"queryType": 1, "responseFormat": 1}
PEM: dict[str, str | int] = {"queryType": 1, "responseFormat": 0}
ZIP: dict[str, str | int] = {"queryType": 1, "responseFormat": 1, "responseType": 0}
ERROR: dict[str, str | int] = {"queryType": 9, "responseFormat": 1}

SEEN: dict[str, tuple[dict[str, str | int], Callable[[httpx.Response], object]]] = {
    "parameter_order": (URL, lambda reply: next(iter(parse_qs(reply.text))) == "errorCode"),
    "ca_order": (CHAIN, lambda reply: b64_values(reply)[:3] == sorted(b64_values(reply)[:3])),
    "pem_width": (PEM, lambda reply: len(reply.text.splitlines()[2])),
    "base64_line_breaks": (CHAIN, lambda reply: set(re.findall(r"%0D%0A|(?<!%0D)%0A", reply.text))),
    "line_ending": (NEWLINE, lambda reply: "\r\n" in reply.text),
    "trailing_newline": (NEWLINE, lambda reply: reply.text.endswith("\n")),
    "unknown_parameter": (URL, lambda reply: "sandboxReference" in reply.text),
    "callback_spelling": (URL, lambda reply: "ovCallBackStatus" in reply.text),
    "percent_case": (CHAIN, lambda reply: re.search("%[0-9]?[a-f]", reply.text) is not None),
    "space": (URL, lambda reply: "+" in reply.text),
    "charset": (URL, lambda reply: "charset" in reply.headers["content-type"]),
    "full_qualifier": (URL, lambda reply: "%28Full%29" in reply.text),
    "validation_status_missing": (URL, lambda reply: "validationStatus" in reply.text),
    "domains_encoded_twice": (URL, lambda reply: "%252C" in reply.text),
    "zip_names": (ZIP, lambda reply: "certificate.crt" in archive(reply).namelist()),
    "zip_der": (ZIP, lambda reply: members(reply)[0].startswith(b"-----")),
    "zip_line_ending": (ZIP, lambda reply: b"\r\n" in members(reply)[0]),
    "zip_readme": (ZIP, lambda reply: "README.txt" in archive(reply).namelist()),
    "error_format": (ERROR, lambda reply: reply.headers["content-type"]),
    "chunked": (URL, lambda reply: "content-length" in reply.headers),
    "connection_close": (URL, lambda reply: reply.headers.get("connection")),
    "certificate_form": (CHAIN, lambda reply: b64_values(reply)[-1][:2] if "BEGIN" not in reply.text else "PEM"),
    "raw_plus": (CHAIN, lambda reply: "+" in reply.text),
    "letter_case": (URL, lambda reply: re.findall("errorcode", reply.text, re.IGNORECASE)),
    "empty_fqdn": (URL, lambda reply: "fqdn" in parse_qs(reply.text)),
    "byte_order_mark": (NEWLINE, lambda reply: reply.content.startswith(codecs.BOM_UTF8)),
    "available_first": (CHAIN, lambda reply: parse_qs(reply.text)["errorCode"]),
    "leaf_among_cas": (CHAIN, lambda reply: b64_values(reply)[-1] in b64_values(reply)[:-1]),
    "duplicates": (PEM, lambda reply: reply.text.count("BEGIN")),
    "no_content_type": (URL, lambda reply: "content-type" in reply.headers),
    "leaf_place": (PEM, lambda reply: pem_subjects(reply)[-1]),
}
"""What to ask for to see each switch, and what to look at."""


def ask(caller: Caller, parameters: dict[str, str | int]) -> httpx.Response:
    hand = None if "queryType" not in parameters else 0
    order = caller.sandbox.place_order("a.example", names=["b.example"], product="ev", issue_after=hand)
    return caller.post(order, **parameters)


def test_every_switch_is_looked_at() -> None:
    assert SEEN.keys() == SWITCHES.keys()


def test_every_switch_says_why_it_is_there() -> None:
    assert all(switch.reason for switch in SWITCHES.values())


@pytest.mark.parametrize("switch", SWITCHES)
def test_a_switch_alone_makes_the_difference_that_it_names(caller: Caller, sandbox: Sandbox, switch: str) -> None:
    parameters, look = SEEN[switch]
    wanted = len({str(choice) for choice in SWITCHES[switch].choices})
    sandbox.switches = {switch}
    seen = set()
    for _ in range(60):
        seen.add(str(look(ask(caller, parameters))))
        if len(seen) == wanted:
            return
    pytest.fail(f"only {seen}")


@pytest.mark.parametrize("switch", SWITCHES)
def test_nothing_varies_without_strict(caller: Caller, switch: str) -> None:
    parameters, look = SEEN[switch]
    assert len({str(look(ask(caller, parameters))) for _ in range(12)}) == 1


OFF = {
    "certificate_form",
    "raw_plus",
    "letter_case",
    "empty_fqdn",
    "byte_order_mark",
    "available_first",
    "leaf_among_cas",
    "duplicates",
    "no_content_type",
    "leaf_place",
}
ON = {
    "parameter_order",
    "ca_order",
    "pem_width",
    "base64_line_breaks",
    "line_ending",
    "trailing_newline",
    "unknown_parameter",
    "callback_spelling",
    "percent_case",
    "space",
    "charset",
    "full_qualifier",
    "validation_status_missing",
    "domains_encoded_twice",
    "zip_names",
    "zip_der",
    "zip_line_ending",
    "zip_readme",
    "error_format",
    "chunked",
    "connection_close",
}


def test_what_careful_clients_may_break_on_is_off() -> None:
    assert (SWITCHES.keys() - STRICT, set(STRICT)) == (OFF, ON)


def test_what_is_off_can_be_turned_on_until_the_next_reset(sandbox: Sandbox) -> None:
    sandbox.switches = SWITCHES.keys()
    everything = set(sandbox.switches)
    sandbox.reset()
    assert (everything, set(sandbox.switches)) == (set(SWITCHES), set())


def test_strict_is_the_default_and_turns_on_what_the_table_says() -> None:
    assert (Sandbox().switches, Sandbox(strict=False).switches) == (STRICT, frozenset())
    assert {name for name, switch in SWITCHES.items() if switch.default} == STRICT


def test_an_unknown_switch_is_refused(sandbox: Sandbox) -> None:
    with pytest.raises(ValueError, match="no such switch: nonsense"):
        sandbox.switches = {"nonsense"}


def bodies(caller: Caller, seed: int | str | None) -> Iterator[bytes]:
    sandbox = caller.sandbox
    sandbox.reset(seed)
    sandbox.switches = STRICT
    order = sandbox.place_order("a.example", names=["b.example"], product="ev", issue_after=None)
    for _ in range(6):
        reply = caller.post(order, **URL)
        yield reply.content + reply.headers["content-type"].encode()


def test_a_seed_repeats_every_choice(caller: Caller) -> None:
    first = list(bodies(caller, 7))
    assert first == list(bodies(caller, 7))
    assert first != list(bodies(caller, 8))
    assert len(set(first)) > 1


def test_reset_keeps_the_seed_unless_it_is_given_one(caller: Caller) -> None:
    first = list(bodies(caller, "a seed may be text"))
    assert first == list(bodies(caller, None))


def test_a_sandbox_without_a_seed_draws_one_and_names_it() -> None:
    one, other = Sandbox(), Sandbox()
    assert one.seed != other.seed
    assert f"seed={one.seed}" in repr(one)


def test_a_new_switch_shifts_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    names = list(SWITCHES)
    before = [Variations(1, call, SWITCHES).pick(name) for call in range(20) for name in names]
    extended = {"new_one": variations.Switch((False, True), "it is new"), **SWITCHES}
    monkeypatch.setattr(variations, "SWITCHES", extended)
    chosen = [Variations(1, call, extended.keys()) for call in range(20)]
    assert {each.pick("new_one") for each in chosen} == {False, True}
    assert [each.pick(name) for each in chosen for name in names] == before


# --- a reader that reads by name, and by nothing else -----------------------------------------------------------------


def read_url_encoded(reply: httpx.Response) -> dict[str, list[str]]:
    found = parse_qs(reply.text, strict_parsing=True)
    found.pop("sandboxReference", None)
    if "ovCallBackStatus" in found:
        found["ovCallbackStatus"] = found.pop("ovCallBackStatus")
    for name in ("mdcDomainDetails", "mdcDomainDetails2"):
        found[name] = [unquote(value) for value in found.get(name, [])]
    found["certificateStatus"] = [value.removesuffix(" (Full)") for value in found["certificateStatus"]]
    found.setdefault("validationStatus", [])
    return found


@pytest.mark.parametrize("seed", range(12))
def test_a_reader_by_name_sees_no_difference(caller: Caller, sandbox: Sandbox, seed: int) -> None:
    order = sandbox.place_order("a.example", names=["b.example"], product="ev", issue_after=None)
    plain = read_url_encoded(caller.post(order, **URL))
    sandbox.reset(seed)
    sandbox.switches = STRICT
    order = sandbox.place_order("a.example", names=["b.example"], product="ev", issue_after=None)
    varied = read_url_encoded(caller.post(order, **URL))
    varied["validationStatus"] = varied["validationStatus"] or plain["validationStatus"]
    assert varied == plain


@pytest.mark.parametrize("seed", range(12))
def test_certificates_are_the_same_whatever_varies(caller: Caller, sandbox: Sandbox, seed: int) -> None:
    sandbox.reset(seed)
    sandbox.switches = STRICT
    order = sandbox.place_order("a.example")
    url = {x509.load_der_x509_certificate(each) for each in b64_values(caller.post(order, **CHAIN))}
    pem = set(x509.load_pem_x509_certificates(caller.post(order, **PEM).content))
    zipped = {
        x509.load_pem_x509_certificate(each) if each.startswith(b"--") else x509.load_der_x509_certificate(each)
        for each in members(caller.post(order, **ZIP))
    }
    assert url == pem == zipped
    assert len(url) == 4


def test_a_newline_delimited_reply_keeps_its_order(caller: Caller, sandbox: Sandbox) -> None:
    sandbox.switches = STRICT
    for _ in range(10):
        lines = ask(caller, NEWLINE).text.lower().splitlines()
        assert lines[0] == "0"
        assert [line.partition("=")[0] for line in lines[-15:-1]] == [name.lower() for name in STEP_VALUES]
