"""The table of chains: the package's order and verdict, and those of `cryptography` when it is asked by itself."""

from __future__ import annotations

import re
from ipaddress import ip_address
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.verification import PolicyBuilder, Store, VerificationError

from collectssl_async._ber import with_positive_serial
from collectssl_async._chain import build_chain
from collectssl_async._facts import is_signed_by, read
from collectssl_async._verify import verify_chain
from collectssl_async.errors import CertificateError, ChainError

from .chains import ACCEPTED, REFUSED, UNORDERED

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .chains import Case

ORDERED = {**ACCEPTED, **REFUSED}
ALL = {**ORDERED, **UNORDERED}


def built(case: Case, seed: int = 0) -> list[bytes]:
    """What the package makes of a reply: leaf first."""
    leaf, intermediates, root = build_chain(case.received(seed), case.named_leaf)
    return [leaf, *intermediates, *([] if root is None else [root])]


def verified(case: Case) -> list[x509.Certificate]:
    """What the package says of the chain that it made."""
    leaf, intermediates, _ = build_chain(case.received(), case.named_leaf)
    roots = loaded(case.ders(case.trusts))
    return list(verify_chain(leaf, intermediates, roots, at=case.at, hostname=case.host))


def loaded(ders: Iterable[bytes]) -> list[x509.Certificate]:
    """Those that are certificates and load without a warning: the verifier refuses the others."""
    good = (der for der in ders if der.startswith(b"\x30\x82") and with_positive_serial(der) == der)
    return [x509.load_der_x509_certificate(der) for der in good]


def way_of_the_verifier(case: Case, others: Iterable[bytes], trusted: Iterable[bytes]) -> list[x509.Certificate]:
    """What `cryptography` says by itself. Where the case names no host, the leaf has no name at all."""
    host = case.host or "nobody.example"
    subject = x509.IPAddress(ip_address(host)) if ":" in host or host[0].isdigit() else x509.DNSName(host)
    policy = PolicyBuilder().store(Store(loaded(trusted))).time(case.at).max_chain_depth(32)
    return policy.build_server_verifier(subject).verify(loaded([case.der(case.leaf)])[0], loaded(others))


# --- the package ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ORDERED)
@pytest.mark.parametrize("seed", range(3))
def test_chain_is_put_in_order(name: str, seed: int) -> None:
    case = ORDERED[name]()
    assert built(case, seed) == case.ders(case.order)


@pytest.mark.parametrize("name", UNORDERED)
def test_reply_without_a_chain_is_refused(name: str) -> None:
    with pytest.raises(CertificateError) as caught:
        built(UNORDERED[name]())
    assert UNORDERED[name]().error in str(caught.value)


@pytest.mark.parametrize("name", ACCEPTED)
def test_chain_is_verified_up_to_a_trusted_root(name: str) -> None:
    case = ACCEPTED[name]()
    way = verified(case)
    assert way[0] == loaded([case.der(case.leaf)])[0]
    assert way[-1] in loaded(case.ders(case.trusts))


@pytest.mark.parametrize("name", REFUSED)
def test_refusal_names_the_certificate_at_fault(name: str) -> None:
    case = REFUSED[name]()
    with pytest.raises(ChainError) as caught:
        verified(case)
    fault = x509.load_der_x509_certificate(with_positive_serial(case.der(case.fault)))
    called = re.escape(fault.subject.rfc4514_string())
    assert re.match(rf"the (leaf|intermediate|root|chain of) {called}", str(caught.value))


@pytest.mark.parametrize("name", REFUSED)
def test_refusal_says_why(name: str) -> None:
    case = REFUSED[name]()
    with pytest.raises(ChainError) as caught:
        verified(case)
    assert case.says
    assert case.says in str(caught.value)


def directly_issued(child: x509.Certificate, candidate: x509.Certificate) -> bool:
    try:
        child.verify_directly_issued_by(candidate)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


@pytest.mark.parametrize("name", [each for each in ALL if "sha1" not in each])
def test_signatures_are_verified_as_cryptography_does(name: str) -> None:
    # SHA-1 aside: `cryptography` verifies it no longer, and roots of old have signed themselves by it.
    came = loaded(ALL[name]().received())
    pairs = [(child, each) for child in came for each in came if child.issuer == each.subject]
    facts = {each: read(each.public_bytes(Encoding.DER)) for each in came}
    assert [is_signed_by(facts[child], facts[each]) for child, each in pairs] == [
        directly_issued(child, each) for child, each in pairs
    ]


# --- the verifier by itself -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ACCEPTED)
def test_verifier_finds_the_same_order_among_the_chain_reversed(name: str) -> None:
    case = ACCEPTED[name]()
    chain = case.ders(case.order)
    end = chain[-1:] if len(chain) > 1 else case.ders(case.trusts)
    expected = dict.fromkeys([*chain, *end])
    assert way_of_the_verifier(case, chain[:0:-1], end) == loaded(expected)


@pytest.mark.parametrize("name", ACCEPTED)
def test_verifier_accepts_the_whole_reply_too(name: str) -> None:
    case = ACCEPTED[name]()
    assert way_of_the_verifier(case, case.received(), case.ders(case.trusts))


@pytest.mark.parametrize("name", [*REFUSED, *UNORDERED])
def test_verifier_refuses_the_whole_reply_too(name: str) -> None:
    case = ALL[name]()
    if case.whole:
        assert way_of_the_verifier(case, case.received(), case.ders(case.trusts))
        return
    with pytest.raises(VerificationError):
        way_of_the_verifier(case, case.received(), case.ders(case.trusts))


def test_there_are_forty_chains_and_more_of_every_outcome() -> None:
    assert len(ALL) == len(ACCEPTED) + len(REFUSED) + len(UNORDERED) > 100
    assert min(map(len, (ACCEPTED, REFUSED, UNORDERED))) > 10
