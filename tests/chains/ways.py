"""Which way up: twins, loops, strangers, what is missing, what is sent twice."""

from __future__ import annotations

import itertools
from datetime import timedelta

from cryptography import x509

from .. import pki
from ..pki import CA_END, CA_START, LEAF_END, LEAF_START
from .case import HOST, Case, accepted, refused, unordered

DAY = timedelta(days=1)

SHORTER_WAY = "the way to the trusted root is no longer than the one to the root that came"
NEVER_TURNS = "OpenSSL goes up by the first twin that came, and never turns back"


def hierarchy() -> dict[str, pki.Identity | bytes]:
    return dict(pki.hierarchy(HOST)._asdict())


# --- what is usual ----------------------------------------------------------------------------------------------------


@accepted
def all_of_it() -> Case:
    root = pki.root()
    issuing = root.ca("Issuing")
    return Case({"root": root, "issuing": issuing, "leaf": issuing.leaf(HOST)}, "leaf issuing root")


@accepted
def root_not_sent() -> Case:
    root = pki.root()
    issuing = root.ca("Issuing")
    return Case({"root": root, "issuing": issuing, "leaf": issuing.leaf(HOST)}, "leaf issuing", kept="root")


@accepted
def leaf_straight_from_the_root() -> Case:
    root = pki.root()
    return Case({"leaf": root.leaf(HOST), "root": root}, "leaf root")


@accepted
def leaf_alone() -> Case:
    root = pki.root()
    return Case({"leaf": root.leaf(HOST), "root": root}, "leaf", kept="root")


@refused
def leaf_alone_of_a_ca_nobody_has() -> Case:
    root = pki.root()
    leaf = root.ca("Issuing").leaf(HOST)
    says = "no certificate of its issuer CN=Issuing"
    return Case({"leaf": leaf, "root": root}, "leaf", kept="root", fault="leaf", says=says)


@accepted
def issuing_ca_trusted_without_its_root() -> Case:
    issuing = pki.root().ca("Issuing")
    return Case({"leaf": issuing.leaf(HOST), "issuing": issuing}, "leaf issuing", trusts="issuing")


@accepted
def twelve_cas_in_a_line() -> Case:
    line = [pki.root("CA 0")]
    for number in range(1, 12):
        line.append(line[-1].ca(f"CA {number}"))
    parts: dict[str, pki.Identity | bytes] = {f"ca{number}": ca for number, ca in enumerate(line)}
    order = " ".join(["leaf", *reversed(parts)])
    return Case({**parts, "leaf": line[-1].leaf(HOST)}, order, trusts="ca0")


# --- twins ------------------------------------------------------------------------------------------------------------


@accepted
def both_roots_sent_and_the_old_one_trusted() -> Case:
    return Case(hierarchy(), "leaf issuing cross_root old_root", trusts="old_root", openssl_whole=NEVER_TURNS)


@accepted
def both_roots_sent_and_the_new_one_trusted() -> Case:
    return Case(hierarchy(), "leaf issuing cross_root old_root", trusts="new_root")


@accepted
def neither_root_sent() -> Case:
    order = "leaf issuing cross_root"
    return Case(hierarchy(), order, trusts="new_root", kept="old_root new_root")


@accepted
def old_root_not_sent() -> Case:
    return Case(hierarchy(), "leaf issuing new_root", trusts="new_root", kept="old_root")


@refused
def old_root_trusted_and_not_sent() -> Case:
    return Case(
        hierarchy(),
        "leaf issuing new_root",
        trusts="old_root",
        kept="old_root",
        fault="issuing",
        says="no certificate of its issuer CN=Test New Root",
        whole=SHORTER_WAY,
        openssl_whole=SHORTER_WAY,
    )


@accepted
def twins_of_the_issuing_ca() -> Case:
    one, other = pki.root("One"), pki.root("Other")
    twin = one.ca("Issuing")
    longer = other.cross_sign(twin, end=CA_END + DAY)
    parts = {"one": one, "other": other, "shorter": twin, "longer": longer, "leaf": twin.leaf(HOST)}
    return Case(parts, "leaf longer other", trusts="other", openssl_whole=NEVER_TURNS)


@accepted
def twins_without_key_identifiers() -> Case:
    one, other = pki.root("One", key_ids=False), pki.root("Other", key_ids=False)
    twin = one.ca("Issuing", key_ids=False)
    longer = other.cross_sign(twin, end=CA_END + DAY, key_ids=False)
    parts = {"one": one, "other": other, "shorter": twin, "longer": longer, "leaf": twin.leaf(HOST)}
    return Case(parts, "leaf longer other", trusts="other", openssl_whole=NEVER_TURNS)


@accepted
def twin_named_by_issuer_and_serial_number() -> Case:
    one, other = pki.root("One"), pki.root("Other")
    named = one.ca("Issuing")
    longer = other.cross_sign(named, end=CA_END + DAY)
    authority = x509.AuthorityKeyIdentifier(
        x509.SubjectKeyIdentifier.from_public_key(named.key.public_key()).digest,
        [x509.DirectoryName(one.certificate.subject)],
        named.certificate.serial_number,
    )
    extensions = [*pki.leaf_extensions(), x509.SubjectAlternativeName([x509.DNSName(HOST)]), authority]
    leaf = pki.issue(pki.name("shop"), pki.new_key(), named, LEAF_START, LEAF_END, extensions, key_ids=False)
    return Case(
        {"one": one, "other": other, "named": named, "longer": longer, "leaf": leaf}, "leaf named one", trusts="one"
    )


@accepted
def cas_of_one_name_and_other_keys() -> Case:
    root, impostor = pki.root(), pki.root()
    issuing, other = root.ca("Issuing"), impostor.ca("Issuing")
    parts = {"impostor": impostor, "root": root, "other": other, "issuing": issuing, "leaf": issuing.leaf(HOST)}
    return Case(parts, "leaf issuing root")


@accepted
def cas_of_one_name_and_other_keys_without_key_identifiers() -> Case:
    root, impostor = pki.root(key_ids=False), pki.root(key_ids=False)
    issuing, other = root.ca("Issuing", key_ids=False), impostor.ca("Issuing", key_ids=False)
    parts = {"impostor": impostor, "root": root, "other": other, "issuing": issuing, "leaf": issuing.leaf(HOST)}
    return Case(
        parts, "leaf issuing root", openssl_whole="of one name without key identifiers it takes the first that came"
    )


@refused
def trusted_root_of_the_same_name_and_another_key() -> Case:
    root, impostor = pki.root(), pki.root()
    issuing = root.ca("Issuing")
    parts = {"root": root, "impostor": impostor, "issuing": issuing, "leaf": issuing.leaf(HOST)}
    says = "does not fit the key of any certificate of its issuer CN=Test Root"
    return Case(parts, "leaf issuing", trusts="impostor", kept="root impostor", fault="issuing", says=says)


# --- loops ------------------------------------------------------------------------------------------------------------


@accepted
def two_cas_that_signed_each_other() -> Case:
    one, two = pki.root("One"), pki.root("Two")
    parts = {"one": one, "by_one": one.cross_sign(two), "by_two": two.cross_sign(one), "leaf": one.leaf(HOST)}
    return Case(parts, "leaf by_two by_one", trusts="one", kept="one")


@refused
def two_cas_that_signed_each_other_and_nobody_trusts() -> Case:
    one, two, root = pki.root("One"), pki.root("Two"), pki.root()
    parts = {"by_one": one.cross_sign(two), "by_two": two.cross_sign(one), "leaf": one.leaf(HOST), "root": root}
    says = "no certificate of its issuer CN=One"
    return Case(parts, "leaf by_two by_one", kept="root", fault="by_one", says=says)


@accepted
def ring_of_five() -> Case:
    roots = [pki.root(f"CA {number}") for number in range(5)]
    ring = {f"ca{number}": roots[number - 4].cross_sign(roots[number]) for number in range(5)}
    parts: dict[str, pki.Identity | bytes] = {**ring, "root": roots[2], "leaf": roots[0].leaf(HOST)}
    return Case(parts, "leaf ca0 ca1 ca2 ca3 ca4", trusts="root", kept="root")


@accepted
def mesh_of_four_with_one_root() -> Case:
    roots = [pki.root(f"CA {number}") for number in range(4)]
    pairs = itertools.permutations(range(4), 2)
    mesh = {f"{lower}by{upper}": roots[upper].cross_sign(roots[lower]) for lower, upper in pairs}
    above = pki.root("Above")
    only = above.cross_sign(roots[3])
    parts: dict[str, pki.Identity | bytes] = {**mesh, "only": only, "root": above, "leaf": roots[0].leaf(HOST)}
    return Case(parts, "leaf 0by3 only root", openssl_whole=NEVER_TURNS)


# --- what is too much, and what is missing ----------------------------------------------------------------------------


@accepted
def thirty_two_with_duplicates_and_strangers() -> Case:
    strangers = {f"stranger{number}": pki.root(f"Stranger {number}") for number in range(14)}
    again = " ".join([*list(strangers)[:10], "leaf", "issuing", "issuing"])
    return Case(
        {**hierarchy(), **strangers},
        "leaf issuing cross_root old_root",
        trusts="old_root",
        again=again,
        openssl_whole=NEVER_TURNS,
    )


@accepted
def what_cannot_be_read_among_them() -> Case:
    broken = b"\x30\x03\x02\x01\x00"
    return Case(
        {**hierarchy(), "broken": broken},
        "leaf issuing cross_root old_root",
        trusts="old_root",
        openssl_whole=NEVER_TURNS,
    )


@unordered
def issuing_ca_missing() -> Case:
    return Case(hierarchy(), trusts="new_root", kept="issuing", error="whose issuer is CN=Test Issuing CA")


@refused
def middle_of_the_chain_missing() -> Case:
    parts = hierarchy()
    says = "no certificate of its issuer CN=Test New Root"
    kept = "cross_root new_root"
    return Case(parts, "leaf issuing", trusts="old_root", kept=kept, fault="issuing", says=says)


@unordered
def nothing_but_cas() -> Case:
    why = "it is handed the leaf that did not come"
    return Case(hierarchy(), trusts="new_root", kept="leaf", error="no leaf: 4 of the 4", whole=why, openssl_whole=why)


@unordered
def two_leaves() -> Case:
    root = pki.root()
    return Case(
        {"root": root, "leaf": root.leaf(HOST), "other": root.leaf(HOST)},
        error="more than one leaf: 2 of the 3",
        whole="each of the two would do",
        openssl_whole="each of the two would do",
    )


@accepted
def one_of_two_leaves_named() -> Case:
    root = pki.root()
    return Case({"root": root, "leaf": root.leaf(HOST), "other": root.leaf(HOST)}, "leaf root", named="leaf")


@accepted
def leaf_named_like_its_issuer() -> Case:
    root = pki.root()
    return Case({"root": root, "leaf": root.leaf(HOST, subject=root.certificate.subject)}, "leaf root")


# --- self-signed ------------------------------------------------------------------------------------------------------


def self_signed() -> pki.Identity:
    extensions = [*pki.leaf_extensions(), x509.SubjectAlternativeName([x509.DNSName(HOST)])]
    return pki.issue(pki.name("shop"), pki.new_key(), None, CA_START, LEAF_END, extensions)


@accepted
def self_signed_leaf_that_is_trusted() -> Case:
    return Case({"leaf": self_signed()}, "leaf", trusts="leaf")


@refused
def self_signed_leaf_that_is_not() -> Case:
    parts = {"leaf": self_signed(), "root": pki.root()}
    return Case(parts, "leaf", kept="root", fault="leaf", says="it is self-signed, and not among the roots")


@unordered
def self_signed_leaf_beside_a_ca() -> Case:
    return Case(
        {"leaf": self_signed(), "root": pki.root()}, error="none of the CA certificates that came issued the leaf"
    )
