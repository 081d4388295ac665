"""Which certificate is the leaf, and which way up is the chain: loops, twins, dates, strangers, what cannot be read."""

from __future__ import annotations

import contextlib
import itertools
import random
import time
import warnings
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given, settings
from hypothesis import strategies as st

from collectssl_async import _chain
from collectssl_async._facts import Facts, is_signed_by
from collectssl_async.certificates import CertificateBundle
from collectssl_async.errors import CertificateError, ChainError

from . import pki

if TYPE_CHECKING:
    from collections.abc import Callable

    from .pki import Identity

DAY = timedelta(days=1)


def chain_of(*certificates: Identity | bytes, leaf: Identity | bytes | None = None) -> list[x509.Certificate]:
    return list(CertificateBundle.from_payload(pki.payload(*certificates, leaf=leaf)).chain)


def certificates(*identities: Identity) -> list[x509.Certificate]:
    return [each.certificate for each in identities]


# --- order ------------------------------------------------------------------------------------------------------------


def test_chain_goes_the_farthest_way_whatever_the_order_received() -> None:
    old_root, cross_root, new_root, issuing, leaf = pki.hierarchy()
    expected = certificates(issuing, cross_root, old_root)
    for received in itertools.permutations((old_root, cross_root, new_root, issuing, leaf)):
        assert chain_of(*received) == expected


@pytest.mark.parametrize("kind", ["rsa", "ed25519"])
def test_chain_is_found_for_every_kind_of_key(kind: pki.KeyKind) -> None:
    old_root, cross_root, new_root, issuing, leaf = pki.hierarchy(kind=kind)
    assert chain_of(leaf, new_root, old_root, cross_root, issuing) == certificates(issuing, cross_root, old_root)


def test_self_signed_root_wins_over_its_cross_signed_twin_at_the_same_distance() -> None:
    _, cross_root, new_root, issuing, leaf = pki.hierarchy()
    for received in itertools.permutations((cross_root, new_root, issuing, leaf)):
        assert chain_of(*received) == certificates(issuing, new_root)


def test_root_is_the_self_signed_end_of_the_chain() -> None:
    old_root, cross_root, _, issuing, leaf = pki.hierarchy()
    bundle = CertificateBundle.from_payload(pki.payload(leaf, issuing, cross_root, old_root))
    assert bundle.root == old_root.certificate
    assert list(bundle.intermediates) == certificates(issuing, cross_root)


def test_root_that_signed_itself_by_sha1_is_the_root() -> None:
    root = pki.root("Root", kind="rsa")
    old, issuing = pki.with_sha1(root, root), root.ca("Issuing")
    bundle = CertificateBundle.from_payload(pki.payload(old, issuing, issuing.leaf("a.example")))
    assert (bundle.root, list(bundle.intermediates)) == (old.certificate, certificates(issuing))


def test_serial_numbers_that_are_not_positive_are_no_matter_to_the_order() -> None:
    # Warnings are errors here: loading such a certificate as it stands would raise one.
    root, issuing = pki.root("Root"), pki.root("Issuing")
    old = [pki.with_serial(root, 0), pki.with_serial(root.cross_sign(issuing), -5, root)]
    leaf = issuing.leaf("a.example").der
    assert _chain.build_chain([*old, leaf], None) == (leaf, (old[1],), old[0])


def test_chain_without_its_root_has_none() -> None:
    _, cross_root, _, issuing, leaf = pki.hierarchy()
    bundle = CertificateBundle.from_payload(pki.payload(leaf, issuing, cross_root))
    assert bundle.root is None
    assert bundle.chain == bundle.intermediates


def test_chain_never_goes_on_from_a_self_signed_certificate() -> None:
    # The twin's key identifier differs, so that the issuing CA is not its child, but the self-signed root's key fits.
    old_root, new_root = pki.root("Old"), pki.root("New")
    twin_extensions = [*pki.ca_extensions(), x509.SubjectKeyIdentifier(b"another way to count")]
    twin = pki.issue(pki.name("New"), new_root.key, old_root, pki.CA_START, pki.CA_END, twin_extensions, key_ids=False)
    bare_root = pki.root("New", key=new_root.key, key_ids=False)
    issuing = new_root.ca("Issuing")
    assert chain_of(issuing.leaf("a.example"), issuing, bare_root, twin, old_root) == certificates(issuing, bare_root)


def test_leaf_alone_has_an_empty_chain() -> None:
    assert chain_of(pki.hierarchy().leaf) == []


def test_duplicates_and_strangers_are_dropped() -> None:
    _, _, new_root, issuing, leaf = pki.hierarchy()
    stranger = pki.root("Stranger")
    assert chain_of(leaf, issuing, stranger, issuing, leaf, new_root, leaf) == certificates(issuing, new_root)


def test_of_two_equally_far_ends_the_one_that_lasts_longer_is_taken() -> None:
    first, second, top = pki.root("First"), pki.root("Second"), pki.root("Top")
    shorter = first.cross_sign(top, end=pki.CA_END - DAY)
    longer = second.cross_sign(top)
    leaf = top.leaf("a.example")
    for received in itertools.permutations((leaf, shorter, longer)):
        assert chain_of(*received) == certificates(longer)


def test_root_that_lasts_longer_is_taken_above_a_twin_that_ends_sooner() -> None:
    shorter, longer, lower = pki.root("Shorter", end=pki.CA_END - DAY), pki.root("Longer"), pki.root("Lower")
    ways = longer.cross_sign(lower, end=pki.CA_END - 2 * DAY), shorter.cross_sign(lower)
    assert chain_of(lower.leaf("a.example"), shorter, longer, *ways) == certificates(ways[0], longer)


def test_of_two_ends_that_last_equally_long_the_way_that_lasts_longer_is_taken() -> None:
    lower = pki.root("Lower")
    first, second = sorted((pki.root("One"), pki.root("Two")), key=lambda root: root.der)
    shorter, longer = first.cross_sign(lower, end=pki.CA_END - DAY), second.cross_sign(lower)
    assert chain_of(lower.leaf("a.example"), first, second, shorter, longer) == certificates(longer, second)


def test_of_two_ways_that_last_equally_long_the_lower_der_settles() -> None:
    for _ in range(10):  # by chance half of them come out right
        roots, lower = (pki.root("One"), pki.root("Two")), pki.root("Lower")
        twins = [root.cross_sign(lower) for root in roots]
        lowest = min(twins, key=lambda twin: twin.der)
        expected = certificates(lowest, roots[twins.index(lowest)])
        assert chain_of(lower.leaf("a.example"), *roots, *twins) == expected


def test_equal_candidates_give_the_same_chain_in_any_order() -> None:
    upper = pki.root("Upper")
    twins = [upper.cross_sign(pki.root("Lower", key=key)) for key in [pki.new_key()] * 4]
    leaf = twins[0].leaf("a.example")
    chains = [chain_of(leaf, upper, *received) for received in itertools.permutations(twins)]
    assert chains == [chains[0]] * 24


def counted_signatures(monkeypatch: pytest.MonkeyPatch) -> list[tuple[bytes, bytes]]:
    """The pairs of certificates whose signature is verified from now on."""
    real, pairs = is_signed_by, list[tuple[bytes, bytes]]()

    def counted(child: Facts, candidate: Facts) -> bool:
        pairs.append((child.der, candidate.der))
        return real(child, candidate)

    monkeypatch.setattr(_chain, "is_signed_by", counted)
    return pairs


def mesh(size: int) -> list[bytes]:
    """A leaf of the first of so many CAs, and what they made when each of them signed each other."""
    cas = [pki.root(f"CA {number}", key_ids=False) for number in range(size)]
    ders = [upper.cross_sign(lower, key_ids=False).der for upper, lower in itertools.permutations(cas, 2)]
    return random.Random(7).sample([*ders, cas[0].leaf("a.example", key_ids=False).der], len(ders) + 1)


def test_mesh_verifies_one_signature_a_ca(monkeypatch: pytest.MonkeyPatch) -> None:
    received = mesh(31)
    pairs = counted_signatures(monkeypatch)
    assert len(received) == 931
    assert len(_chain.build_chain(received, None).intermediates) == 2
    assert len(set(pairs)) == len(pairs) == 31


def test_mesh_of_31_cas_takes_less_than_a_fifth_of_a_second() -> None:
    received = mesh(31)
    took = []
    for _ in range(3):
        started = time.process_time()
        _chain.build_chain(received, None)
        took.append(time.process_time() - started)
    assert min(took) < 0.2


def test_cas_of_one_name_are_verified_once_with_each_key(monkeypatch: pytest.MonkeyPatch) -> None:
    line = [pki.root("Same", key_ids=False)]
    for _ in range(30):
        line.append(line[-1].ca("Same", key_ids=False))
    pairs = counted_signatures(monkeypatch)
    assert len(chain_of(line[-1].leaf("a.example", key_ids=False), *line)) == 31
    assert len(set(pairs)) == len(pairs) <= 32 * 31


def test_line_of_a_thousand_cas_verifies_as_many_signatures(monkeypatch: pytest.MonkeyPatch) -> None:
    key = pki.new_key()
    line = [pki.root("CA 0", key=key, key_ids=False)]
    for number in range(1, 1000):
        line.append(line[-1].ca(f"CA {number}", key=key, key_ids=False))
    pairs = counted_signatures(monkeypatch)
    received = [each.der for each in (*line, line[-1].leaf("a.example", key=key, key_ids=False))]
    assert len(_chain.build_chain(received, None).intermediates) == 999
    assert len(pairs) == 1001


# --- who may have issued whom -----------------------------------------------------------------------------------------


def test_name_alone_makes_no_issuer() -> None:
    real, impostor = pki.root("CA", key_ids=False), pki.root("CA", key_ids=False)
    with pytest.raises(ChainError):
        chain_of(real.leaf("a.example", key_ids=False), impostor)


def test_key_alone_makes_no_issuer() -> None:
    real = pki.root("CA")
    with pytest.raises(ChainError):
        chain_of(real.leaf("a.example"), pki.root("Renamed CA", key=real.key))


def test_another_key_identifier_makes_no_issuer() -> None:
    real = pki.root("CA")
    extensions = [*pki.ca_extensions(), x509.SubjectKeyIdentifier(b"of another key")]
    renumbered = pki.issue(pki.name("CA"), real.key, None, pki.CA_START, pki.CA_END, extensions, key_ids=False)
    leaf = real.leaf("a.example")
    with pytest.raises(ChainError):
        chain_of(leaf, renumbered)
    assert chain_of(leaf, renumbered, real) == certificates(real)


def test_certificates_without_key_identifiers_are_put_in_order() -> None:
    root = pki.root("Root", key_ids=False)
    issuing = root.ca("Issuing", key_ids=False)
    leaf = issuing.leaf("a.example", key_ids=False)
    assert chain_of(root, leaf, issuing) == certificates(issuing, root)


def test_issuer_without_the_ca_flag_is_none() -> None:
    root = pki.root("Root")
    no_ca = root.ca("No CA", is_ca=False)
    leaf = no_ca.leaf("a.example")
    assert chain_of(no_ca, leaf=leaf) == []
    with pytest.raises(ChainError):
        chain_of(no_ca, root, leaf=leaf)


def test_only_issuer_that_may_not_sign_certificates_is_named_as_such() -> None:
    extensions = pki.ca_extensions(signs_certificates=False)
    barred = pki.issue(pki.name("Barred"), pki.new_key(), None, pki.CA_START, pki.CA_END, extensions)
    with pytest.raises(ChainError, match=r"CN=Barred.* \(its key usage does not let it sign certificates\)"):
        chain_of(barred, barred.leaf("a.example"))


def test_self_signed_certificate_of_version_1_is_a_root() -> None:
    root = pki.version_1(pki.root("Root", kind="rsa"))
    issuing = root.ca("Issuing", key_ids=False)
    bundle = CertificateBundle.from_payload(pki.payload(root, issuing, issuing.leaf("a.example")))
    assert bundle.root == root.certificate


def test_other_certificate_of_version_1_is_no_ca() -> None:
    root = pki.root("Root", kind="rsa")
    issuing = pki.version_1(root.ca("Issuing", kind="rsa"), root)
    with pytest.raises(ChainError):
        chain_of(issuing, root, leaf=issuing.leaf("a.example", key_ids=False))


def test_self_signed_certificate_of_version_3_needs_the_ca_flag() -> None:
    root = pki.issue(pki.name("Root"), pki.new_key(), None, pki.CA_START, pki.CA_END, ())
    assert chain_of(root, leaf=root.leaf("a.example")) == []


# --- dates ------------------------------------------------------------------------------------------------------------


def test_root_that_ends_before_the_leaf_is_avoided_where_another_way_is() -> None:
    ending = pki.root("Ending", end=pki.LEAF_END - DAY)
    lasting = pki.root("Lasting")
    cross = ending.cross_sign(lasting, end=pki.LEAF_END - DAY)
    issuing = lasting.ca("Issuing")
    leaf = issuing.leaf("a.example")
    assert chain_of(ending, cross, lasting, issuing, leaf) == certificates(issuing, lasting)


def test_ca_that_ends_before_the_leaf_is_used_where_no_other_way_leads_to_a_root() -> None:
    ending = pki.root("Ending", end=pki.LEAF_END - DAY)
    cross = ending.cross_sign(pki.root("Lasting"))
    issuing = cross.ca("Issuing")
    leaf = issuing.leaf("a.example")
    assert chain_of(ending, cross, issuing, leaf) == certificates(issuing, cross, ending)


def test_ca_that_ended_before_the_leaf_began_is_left_out() -> None:
    ended = pki.root("Ended", end=pki.LEAF_START - DAY)
    cross = ended.cross_sign(pki.root("Lasting"))
    assert chain_of(ended, cross, cross.leaf("a.example")) == certificates(cross)


def test_ca_that_ends_with_the_leaf_lasts() -> None:
    ending_with, lower = pki.root("Root", end=pki.LEAF_END), pki.root("Lower")
    cross = ending_with.cross_sign(lower)
    assert chain_of(lower.leaf("a.example"), lower, cross, ending_with) == certificates(cross, ending_with)


def test_only_issuer_that_ended_before_the_leaf_began_is_named_as_such() -> None:
    ended = pki.root("Ended", end=pki.LEAF_START - DAY)
    with pytest.raises(ChainError, match=r"CN=Ended.* \(ended \d{4}-\d\d-\d\d, before the leaf began\)"):
        chain_of(ended, ended.leaf("a.example"))


# --- the leaf ---------------------------------------------------------------------------------------------------------


def test_leaf_that_the_reply_names_counts() -> None:
    _, _, new_root, issuing, leaf = pki.hierarchy()
    other = issuing.leaf("other.example.com")
    bundle = CertificateBundle.from_payload(pki.payload(leaf, other, issuing, new_root, leaf=other))
    assert bundle.certificate == other.certificate
    assert list(bundle.chain) == certificates(issuing, new_root)


def test_certificate_that_issued_another_is_no_leaf() -> None:
    root = pki.root("Root")
    no_ca = root.ca("No CA", is_ca=False)
    leaf = no_ca.leaf("a.example")
    assert CertificateBundle.from_payload(pki.payload(no_ca, leaf)).certificate == leaf.certificate


def test_several_leaves_are_counted_and_named() -> None:
    issuing = pki.hierarchy().issuing
    leaves = [issuing.leaf(name) for name in ("a.example", "b.example")]
    with pytest.raises(
        CertificateError, match=r"2 of the 3 certificates .*: CN=[ab]\.example; CN=[ab]\.example$"
    ) as one:
        chain_of(*leaves, issuing)
    with pytest.raises(CertificateError) as other:
        chain_of(issuing, *reversed(leaves))
    assert str(one.value) == str(other.value)


def test_cas_alone_hold_no_leaf() -> None:
    old_root, cross_root, new_root, issuing, _ = pki.hierarchy()
    with pytest.raises(CertificateError, match="no leaf: 4 of the 4 certificates that came are CAs"):
        chain_of(old_root, cross_root, new_root, issuing)


def test_empty_payload_is_refused() -> None:
    with pytest.raises(CertificateError, match="brought no certificates"):
        chain_of()


def test_self_signed_leaf_alone_is_a_leaf() -> None:
    assert chain_of(pki.issue(pki.name("a"), pki.new_key(), None, pki.LEAF_START, pki.LEAF_END, ())) == []


def test_self_signed_leaf_has_no_issuer_not_even_its_twin() -> None:
    leaf = pki.root("Self")
    with pytest.raises(ChainError):
        chain_of(pki.root("Upper").cross_sign(leaf), leaf=leaf)


def test_missing_issuer_is_named_beside_the_cas_that_came() -> None:
    leaf = pki.hierarchy().leaf
    others = pki.root("Other One"), pki.root("Other Two")
    with pytest.raises(ChainError) as caught:
        chain_of(leaf, *others)
    said = str(caught.value)
    assert "whose issuer is CN=Test Issuing CA" in said
    assert "CN=Other One" in said
    assert "CN=Other Two" in said


def test_names_of_strangers_stay_on_one_line_of_bounded_length() -> None:
    with pytest.raises(ChainError) as caught:
        chain_of(pki.hierarchy().leaf, pki.root("line\nbreak\x1b[31m"), pki.root("x" * 64))
    assert str(caught.value).isprintable()


# --- what cannot be read ----------------------------------------------------------------------------------------------


EC_KEY = b"\x2a\x86\x48\xce\x3d\x02\x01"
CA_FLAG = b"\x30\x03\x01\x01\xff"
BROKEN: dict[str, Callable[[Identity], bytes]] = {
    "no certificate at all": lambda issuing: b"\x30\x03\x02\x01\x00",
    "a name that is no UTF-8": lambda issuing: pki.altered(issuing.ca("Broken"), b"Broken", b"Br\xff\xfeen"),
    "an unknown kind of key": lambda issuing: pki.altered(issuing.ca("Broken"), EC_KEY, EC_KEY[:-1] + b"\x63"),
    "a broken extension": lambda issuing: pki.altered(issuing.ca("Broken"), CA_FLAG, b"\x30\x03\x02\x01\xff"),
}


@pytest.mark.parametrize("broken", BROKEN.values(), ids=BROKEN.keys())
def test_ca_that_cannot_be_read_is_a_stranger(broken: Callable[[Identity], bytes]) -> None:
    _, _, new_root, issuing, leaf = pki.hierarchy()
    assert chain_of(leaf, broken(new_root), issuing, new_root) == certificates(issuing, new_root)


@pytest.mark.parametrize("broken", BROKEN.values(), ids=BROKEN.keys())
def test_named_leaf_that_cannot_be_read_is_refused(broken: Callable[[Identity], bytes]) -> None:
    _, _, new_root, issuing, _ = pki.hierarchy()
    with pytest.raises(CertificateError, match=r"the certificate cannot be read: ."):
        chain_of(issuing, new_root, leaf=broken(issuing))


def test_unreadable_certificates_are_counted_where_the_leaf_is_missing() -> None:
    with pytest.raises(CertificateError, match=r"no leaf: 1 of the 2 .*, 1 cannot be read"):
        chain_of(pki.root("Root"), b"broken")


def test_unreadable_certificate_may_be_the_missing_issuer() -> None:
    with pytest.raises(ChainError, match="1 that cannot be read"):
        chain_of(pki.hierarchy().leaf, b"broken")


def test_issuer_with_a_signature_of_unknown_kind_ends_the_way() -> None:
    _, _, new_root, issuing, leaf = pki.hierarchy()
    assert chain_of(leaf, issuing, new_root) == certificates(issuing, new_root)
    ecdsa_sha256 = b"\x2a\x86\x48\xce\x3d\x04\x03\x02"
    assert issuing.der.count(ecdsa_sha256) == 2
    unknown = issuing.der.replace(ecdsa_sha256, ecdsa_sha256[:-1] + b"\x63")
    assert [each.public_bytes(Encoding.DER) for each in chain_of(leaf, unknown, new_root)] == [unknown]


OTHER_KEY = pki.new_key()
HIERARCHY = [each.der for each in pki.hierarchy()]


@settings(max_examples=200, deadline=None)
@given(
    which=st.integers(0, len(HIERARCHY) - 1),
    damage=st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), min_size=1, max_size=4),
    named=st.booleans(),
)
def test_any_damage_gives_a_whole_bundle_or_a_certificate_error(
    which: int, damage: list[tuple[int, int]], named: bool
) -> None:
    received = [bytearray(der) for der in HIERARCHY]
    for place, value in damage:
        received[which][place % len(received[which])] = value
    ders = [bytes(der) for der in received]
    with contextlib.suppress(CertificateError), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of serial numbers that are not positive, say
        bundle = CertificateBundle.from_payload(pki.payload(*ders, leaf=ders[-1] if named else None))
        read = repr(bundle), bundle.chain, bundle.root, bundle.ca_bundle_pem, bundle.serial_number, bundle.not_before
        assert all(each is not None for each in read[:2])
        assert not bundle.matches(OTHER_KEY)
