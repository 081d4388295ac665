"""The table of chains and `openssl verify`: the same order, and the same verdict but where the table says why not."""

from __future__ import annotations

import random
import re
from ipaddress import ip_address
from ssl import DER_cert_to_PEM_cert
from typing import TYPE_CHECKING

import pytest
from cryptography import x509

from collectssl_async._ber import with_positive_serial

from ..chains import ACCEPTED, REFUSED, UNORDERED
from .programs import run

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from ..chains import Case

ORDERED = {**ACCEPTED, **REFUSED}
ALL = {**ORDERED, **UNORDERED}

# As the verifier has it: every certificate that is trusted ends a way, not only a self-signed one.
TRUST = ("-no-CApath", "-no-CAstore", "-partial_chain")


def write(path: Path, ders: Iterable[bytes]) -> Path:
    path.write_text("".join(map(DER_cert_to_PEM_cert, ders)))
    return path


def verify(leaf: bytes, others: Iterable[bytes], trusted: Iterable[bytes], directory: Path, *options: str) -> str:
    """Return what OpenSSL prints where it accepts; it fails where it does not."""
    return run(
        "openssl",
        "verify",
        *TRUST,
        *options,
        "-CAfile",
        write(directory / "trusted.pem", trusted),
        "-untrusted",
        write(directory / "untrusted.pem", [leaf, *others]),  # an empty file would be refused
        write(directory / "leaf.pem", [leaf]),
    ).decode()


def accepts(case: Case, others: Iterable[bytes], directory: Path) -> bool:
    """Say whether OpenSSL takes the leaf for the case's host at its time."""
    options = ["-purpose", "sslserver", "-attime", str(int(case.at.timestamp()))]
    if case.host is not None:
        options += ["-verify_ip" if is_address(case.host) else "-verify_hostname", case.host]
    try:
        verify(case.der(case.leaf), others, case.ders(case.trusts), directory, *options)
    except AssertionError as error:
        refusal = str(error)
    else:
        return True
    assert "verification failed" in refusal
    return False


def is_address(host: str) -> bool:
    try:
        return bool(ip_address(host))
    except ValueError:
        return False


def subject(der: bytes) -> str:
    return x509.load_der_x509_certificate(with_positive_serial(der)).subject.rfc4514_string()


@pytest.mark.parametrize("name", ORDERED)
def test_openssl_goes_the_same_way(name: str, tmp_path: Path) -> None:
    case = ORDERED[name]()
    leaf, *cas = case.ders(case.order)
    end = cas[-1:] or [leaf]
    between = random.Random(name).sample(cas[:-1], len(cas[:-1]))
    try:
        printed = verify(leaf, between, end, tmp_path, "-show_chain", "-no_check_time", "-nameopt", "RFC2253")
    except AssertionError:
        assert case.no_way
        return
    way = re.findall(r"^depth=\d+: (.*?)(?: \(untrusted\))?$", printed, re.MULTILINE)
    assert way == [subject(der) for der in dict.fromkeys([leaf, *cas, *end])]
    assert not case.no_way


@pytest.mark.parametrize("name", ORDERED)
def test_openssl_judges_the_chain_alike(name: str, tmp_path: Path) -> None:
    case = ORDERED[name]()
    _, *cas = case.ders(case.order)
    assert accepts(case, cas, tmp_path) == ((name in ACCEPTED) != bool(case.openssl))


@pytest.mark.parametrize("name", ALL)
def test_openssl_judges_the_whole_reply_alike(name: str, tmp_path: Path) -> None:
    case = ALL[name]()
    others = [der for der in case.received() if der.startswith(b"\x30\x82")]
    chain = (name in ACCEPTED) != bool(case.openssl)
    assert accepts(case, others, tmp_path) == (chain != bool(case.openssl_whole))
