"""The throwaway CA: chains that verifiers of every kind accept, names that warn."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import pairwise

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID
from cryptography.x509.verification import PolicyBuilder, Store, VerificationError

from collectssl_async.sandbox import Sandbox
from collectssl_async.sandbox.authority import POLICIES, Authority, new_private_key


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


@pytest.fixture(scope="module")
def leaf(authority: Authority) -> x509.Certificate:
    return authority.issue(("shop.example.com", "*.example.com"), new_private_key().public_key())


@pytest.mark.parametrize("root", ["root", "old_root"])
def test_a_leaf_verifies_with_either_root(authority: Authority, leaf: x509.Certificate, root: str) -> None:
    verifier = (
        PolicyBuilder().store(Store([getattr(authority, root)])).build_server_verifier(x509.DNSName("www.example.com"))
    )
    chain = verifier.verify(leaf, [authority.cross_signed_root, authority.issuing_ca])
    assert chain[0] == leaf


def test_a_leaf_does_not_verify_with_another_sandbox_s_root(authority: Authority, leaf: x509.Certificate) -> None:
    verifier = PolicyBuilder().store(Store([Authority().root])).build_server_verifier(x509.DNSName("shop.example.com"))
    with pytest.raises(VerificationError):
        verifier.verify(leaf, list(authority.chain))


def test_the_chain_is_sent_from_the_old_root_to_the_issuing_ca(authority: Authority, leaf: x509.Certificate) -> None:
    chain = (*authority.chain, leaf)
    for issuer, issued in pairwise(chain):
        issued.verify_directly_issued_by(issuer)
    assert chain[0].issuer == chain[0].subject


def test_the_cross_signed_root_is_the_root_s_twin(authority: Authority) -> None:
    root, twin = authority.root, authority.cross_signed_root
    assert (root.subject, root.public_key()) == (twin.subject, twin.public_key())
    assert (root.issuer, twin.issuer) == (root.subject, authority.old_root.subject)


def test_every_ca_s_name_says_sandbox(authority: Authority) -> None:
    for certificate in (authority.root, *authority.chain):
        for name in (certificate.subject, certificate.issuer):
            assert all("SANDBOX" in str(part.value) for part in name)


def test_terms_begin_and_end_at_the_first_and_last_second_of_a_day(
    authority: Authority, leaf: x509.Certificate
) -> None:
    for certificate in (authority.root, *authority.chain, leaf):
        assert f"{certificate.not_valid_before_utc:%H:%M:%S}" == "00:00:00"
        assert f"{certificate.not_valid_after_utc:%H:%M:%S}" == "23:59:59"
        assert certificate.not_valid_before_utc <= datetime.now(UTC) < certificate.not_valid_after_utc


def test_no_ca_ends_before_a_leaf_does(authority: Authority, leaf: x509.Certificate) -> None:
    assert all(each.not_valid_after_utc > leaf.not_valid_after_utc for each in authority.chain)


def test_a_leaf_is_for_servers(leaf: x509.Certificate) -> None:
    usage = leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usage) == [ExtendedKeyUsageOID.SERVER_AUTH]


@pytest.mark.parametrize("product", POLICIES)
def test_a_leaf_asserts_its_product_s_policy(authority: Authority, product: str) -> None:
    certificate = authority.issue(("a.example",), new_private_key().public_key(), product=product)
    [policy] = certificate.extensions.get_extension_for_class(x509.CertificatePolicies).value
    assert policy.policy_identifier == POLICIES[product]


def test_no_two_leaves_have_the_same_serial_number(authority: Authority) -> None:
    key = new_private_key().public_key()
    assert len({authority.issue(("a.example",), key).serial_number for _ in range(20)}) == 20


def test_leaves_have_keys_on_p_256() -> None:
    assert isinstance(new_private_key().curve, ec.SECP256R1)


def test_the_sandbox_names_its_root() -> None:
    sandbox = Sandbox()
    assert x509.load_pem_x509_certificate(sandbox.root_pem.encode()) == sandbox.root == sandbox.authority.root
