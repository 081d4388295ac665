"""`collectssl inspect`: every format, what is judged and how it is said, and CAs alone."""

from __future__ import annotations

import json
from datetime import timedelta
from ipaddress import ip_address
from pathlib import Path

import certifi
import pytest
from cryptography import x509
from cryptography.x509 import NameOID

from .. import pki
from ..packing import base64_lines, pem
from .desk import BUNDLE, FORMATS, OTHER_ROOT, PKI, Desk

# --- formats ----------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("password")
@pytest.mark.parametrize("kind", FORMATS)
def test_each_format_is_known_by_what_is_in_it(desk: Desk, kind: str) -> None:
    found = desk.document(desk.file("anything", FORMATS[kind]))
    assert found["holds"] == kind
    assert found["leaf"]["dns_names"] == ["shop.example.com", "www.shop.example.com"]
    expected = [] if kind == "DER" else ["Test Issuing CA", "Test New Root"]
    assert [each["name"] for each in found["chain"]] == expected


def test_the_file_says_all_there_is_to_know(desk: Desk) -> None:
    leaf = PKI.leaf.certificate
    shown = desk.shown(desk.file("chain.pem", FORMATS["PEM"]))
    assert shown["holds"] == "PEM, 3 certificates"
    assert shown["leaf"] == "shop.example.com"
    assert shown["names"] == "shop.example.com, www.shop.example.com"
    assert (
        shown["valid"] == f"89 days left ({leaf.not_valid_before_utc:%Y-%m-%d} to {leaf.not_valid_after_utc:%Y-%m-%d})"
    )
    assert shown["issuer"] == "CN=Test Issuing CA,O=Test CAs,C=GB"
    assert shown["serial number"] == f"{leaf.serial_number:x}"
    assert shown["key"] == "EC secp256r1"
    assert shown["SHA-256"] == BUNDLE.fingerprint_sha256
    assert shown["chain"] == "2 CAs"
    assert shown["1"].startswith("Test Issuing CA, issued by Test New Root, ")
    assert shown["2"].startswith("Test New Root, root, ")
    assert shown["root"] == f"trusted: Test New Root, of {desk.roots}"


def test_json_has_the_same_facts(desk: Desk) -> None:
    file = desk.file("chain.pem", FORMATS["PEM"])
    found = desk.document(file)
    leaf, (issuing, root) = found.pop("leaf"), found.pop("chain")
    assert found == {
        "path": str(file),
        "holds": "PEM",
        "others": [],
        "no_chain": None,
        "trusted": True,
        "trusted_root": "Test New Root",
        "trust_problem": None,
        "private_key": None,
        "notes": [],
        "problems": [],
    }
    assert leaf == {
        "name": "shop.example.com",
        "subject": "CN=shop.example.com",
        "issuer": "CN=Test Issuing CA,O=Test CAs,C=GB",
        "dns_names": ["shop.example.com", "www.shop.example.com"],
        "serial_number": f"{PKI.leaf.certificate.serial_number:x}",
        "not_before": PKI.leaf.certificate.not_valid_before_utc.isoformat(),
        "not_after": PKI.leaf.certificate.not_valid_after_utc.isoformat(),
        "days_left": 89,
        "is_ca": False,
        "key": "EC secp256r1",
        "fingerprint_sha256": BUNDLE.fingerprint_sha256,
        "is_trusted_root": False,
        "problem": None,
    }
    assert (issuing["is_ca"], issuing["is_trusted_root"]) == (True, False)
    assert (root["is_ca"], root["is_trusted_root"]) == (True, True)


def test_base64_without_boundaries_is_read_too(desk: Desk) -> None:
    assert desk.document(desk.file("x", base64_lines(FORMATS["PKCS#7"])))["leaf"]["name"] == "shop.example.com"


def test_several_files_are_shown_one_after_the_other(desk: Desk) -> None:
    first, second = desk.file("a.pem", PKI.leaf.pem), desk.file("b.pem", PKI.issuing.pem)
    ended = desk.run(first, second)
    assert [part.splitlines()[0].split()[1] for part in ended.out.split("\n\n")] == [str(first), str(second)]


# --- what is judged ---------------------------------------------------------------------------------------------------


def test_a_root_that_is_not_trusted_is_told_with_the_store_and_the_reason(desk: Desk) -> None:
    ended = desk.run(desk.file("chain.pem", FORMATS["PEM"]))
    (row,) = [line for line in ended.out.splitlines() if line.startswith("root")]
    assert ended.code == 0
    assert f"not trusted by certifi {certifi.__version__}: " in row


def test_a_certificate_that_has_ended_says_so(desk: Desk) -> None:
    old = PKI.issuing.leaf(
        "old.example.com", start=pki.NOW - timedelta(days=9), end=pki.NOW - timedelta(days=2, hours=1)
    )
    shown = desk.shown(desk.file("old.pem", old.pem + PKI.issuing.pem))
    assert shown["valid"].startswith("ended 2 days ago (")
    assert shown["root"].startswith("not trusted by ")


@pytest.mark.parametrize(
    ("start", "end", "said"),
    [
        (timedelta(days=3, hours=1), timedelta(days=9), "begins in 4 days"),
        (timedelta(days=-1), timedelta(days=1, minutes=5), "1 day left"),
        (timedelta(days=-1), timedelta(minutes=5), "0 days left"),
        (timedelta(days=-1), timedelta(minutes=-5), "ended less than a day ago"),
        (timedelta(days=-9), timedelta(days=-1, minutes=-5), "ended 1 day ago"),
    ],
)
def test_days_are_counted_whole(desk: Desk, start: timedelta, end: timedelta, said: str) -> None:
    leaf = PKI.issuing.leaf("a.example.com", start=pki.NOW + start, end=pki.NOW + end)
    assert desk.shown(desk.file("a.pem", leaf.pem))["valid"].startswith(f"{said} (")


@pytest.mark.parametrize(
    ("key", "said"),
    [(PKI.leaf.key_pem, "matches: EC secp256r1"), (OTHER_ROOT.key_pem, "does not match: EC secp256r1")],
    ids=["its own", "another"],
)
def test_a_key_that_is_named_is_compared(desk: Desk, key: bytes, said: str) -> None:
    named = desk.file("named.key", key)
    shown = desk.shown(desk.file("chain.pem", FORMATS["PEM"]), "--private-key", named)
    assert shown["private key"] == f"{said} ({named})"


@pytest.mark.usefixtures("password")
@pytest.mark.parametrize("content", [FORMATS["PKCS#12"], PKI.leaf.key_pem + FORMATS["PEM"]], ids=["PKCS#12", "PEM"])
def test_a_key_in_the_file_is_compared(desk: Desk, content: bytes) -> None:
    assert desk.shown(desk.file("all", content))["private key"] == "matches: EC secp256r1 (in it)"


def test_a_key_alone_is_told_by_its_kind(desk: Desk) -> None:
    key = pki.root(kind="rsa").key_pem
    assert desk.shown(desk.file("privkey.pem", key))["private key"] == "RSA 2048 (in it)"


def test_addresses_are_among_the_names(desk: Desk) -> None:
    addresses = [x509.IPAddress(ip_address("192.0.2.1")), x509.IPAddress(ip_address("2001:db8::1"))]
    named = x509.SubjectAlternativeName([x509.DNSName("a.example.com"), *addresses])
    leaf = PKI.issuing.leaf(subject=pki.name("a"), extensions=[named])
    assert desk.shown(desk.file("a.pem", leaf.pem))["names"] == "a.example.com, 192.0.2.1, 2001:db8::1"


def test_certificates_that_do_not_belong_to_the_chain_are_listed(desk: Desk) -> None:
    path = desk.file("all.pem", FORMATS["PEM"] + OTHER_ROOT.pem.encode())
    assert [each["name"] for each in desk.document(path)["others"]] == ["Another Root"]
    assert desk.shown(path)["besides"] == "1 certificate that is not in the chain"


@pytest.mark.parametrize(
    ("certificates", "said"),
    [
        ([PKI.leaf, OTHER_ROOT], "none of the CA certificates that came issued the leaf"),
        ([PKI.leaf, PKI.issuing.leaf("b.example.com")], "more than one leaf"),
    ],
    ids=["strangers", "two leaves"],
)
def test_certificates_without_a_chain_are_listed_and_it_is_said_why(
    desk: Desk, certificates: list[pki.Identity], said: str
) -> None:
    found = desk.document(desk.file("all.pem", "".join(each.pem for each in certificates)))
    assert said in found["no_chain"]
    assert len(found["others"]) == len(certificates)


def test_many_leaves_are_a_list(desk: Desk) -> None:
    leaves = [PKI.issuing.leaf(f"{number}.example.com", key=PKI.leaf.key) for number in range(33)]
    found = desk.document(desk.file("all.pem", "".join(each.pem for each in leaves)))
    assert found["no_chain"] == "33 certificates are no CAs: a list, not a chain"
    assert len(found["others"]) == 33


# --- CAs alone --------------------------------------------------------------------------------------------------------


def test_every_public_root_is_read_and_trusted(desk: Desk) -> None:
    ended = desk.run("--json", certifi.where())
    document = json.loads(ended.out)
    (found,) = document["files"]
    expected = Path(certifi.where()).read_text().count("-----BEGIN CERTIFICATE-----")
    assert (ended.code, ended.err) == (0, "")
    assert document["trust_store"] == f"certifi {certifi.__version__}"
    assert len(found["others"]) == expected > 100
    assert all(each["is_ca"] and each["is_trusted_root"] and not each["problem"] for each in found["others"])
    assert all(each["name"] and each["not_after"] and each["serial_number"] for each in found["others"])
    assert (found["leaf"], found["no_chain"], found["problems"]) == (None, None, [])


def test_every_public_root_has_a_line(desk: Desk) -> None:
    ended = desk.run(certifi.where())
    path, holds, headings, *rows = ended.out.splitlines()
    assert (path, holds.partition("  ")[2]) == (f"path   {certifi.where()}", f"PEM, {len(rows)} certificates")
    assert headings.split("  ")[0] == "certificate"
    assert all(row.endswith(" yes") for row in rows)


def test_an_issuer_that_is_named_by_the_serial_number_0_is_no_problem(desk: Desk) -> None:
    issuer = x509.AuthorityKeyIdentifier(b"key", [x509.DirectoryName(pki.name("Old Root"))], 0)
    odd = PKI.issuing.leaf("odd.example.com", key_ids=False, extensions=[issuer])
    shown = desk.shown(desk.file("odd.pem", odd.pem.encode()))
    assert (shown["leaf"], "problem" in shown) == ("odd.example.com", False)


def test_a_serial_number_that_is_not_positive_is_shown_as_it_is(desk: Desk) -> None:
    identity = pki.root("Old Root")
    number = identity.certificate.serial_number
    digits = number.to_bytes(number.bit_length() // 8 + 1, "big")
    odd = pki.altered(identity, digits, b"\xff" + digits[1:])
    (found,) = desk.document(desk.file("old.der", odd))["others"]
    assert found["serial_number"].startswith("-")


@pytest.mark.parametrize(
    ("attributes", "name"),
    [
        ([(NameOID.ORGANIZATION_NAME, "A CA"), (NameOID.ORGANIZATIONAL_UNIT_NAME, "Class 3")], "Class 3"),
        ([(NameOID.ORGANIZATION_NAME, "A CA")], "A CA"),
        ([(NameOID.COUNTRY_NAME, "GB")], "C=GB"),
        ([], "(no name)"),
    ],
)
def test_a_ca_without_a_common_name_is_called_by_what_it_has(
    desk: Desk, attributes: list[tuple[x509.ObjectIdentifier, str]], name: str
) -> None:
    subject = x509.Name([x509.NameAttribute(oid, text) for oid, text in attributes])
    ca = pki.issue(subject, PKI.issuing.key, None, pki.CA_START, pki.CA_END, pki.ca_extensions())
    (found,) = desk.document(desk.file("ca.pem", ca.pem))["others"]
    assert found["name"] == name


def test_what_of_a_certificate_cannot_be_read_is_told_in_its_line(desk: Desk) -> None:
    broken = pki.altered(PKI.new_root.ca("Another CA"), b"Another CA", b"Another \xff\xff")
    ended = desk.run(desk.file("ca.pem", pem(PKI.new_root.der) + pem(broken)))
    assert "Test New Root  " in ended.out
    assert "cannot be read: " in ended.out
