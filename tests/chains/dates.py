"""When: CAs that end early, have ended, or have not begun, and ways around them."""

from __future__ import annotations

from .. import pki
from ..pki import LEAF_END, LEAF_START, NOW
from .case import HOST, Case, accepted, refused, unordered
from .ways import DAY, NEVER_TURNS, hierarchy

BEFORE_LEAF, WITHIN_LEAF = LEAF_START - DAY, LEAF_END - DAY


@accepted
def old_root_that_ended_before_the_leaf_began() -> Case:
    old, new = pki.root("Old", end=BEFORE_LEAF), pki.root("New")
    issuing = new.ca("Issuing")
    parts = {"old": old, "cross": old.cross_sign(new), "new": new, "issuing": issuing, "leaf": issuing.leaf(HOST)}
    return Case(parts, "leaf issuing new", trusts="new")


@refused
def old_root_that_ended_is_the_one_trusted() -> Case:
    old, new = pki.root("Old", end=BEFORE_LEAF), pki.root("New")
    issuing = new.ca("Issuing")
    parts = {"old": old, "cross": old.cross_sign(new), "issuing": issuing, "leaf": issuing.leaf(HOST)}
    return Case(parts, "leaf issuing cross", trusts="old", fault="old", says="it expired at")


@accepted
def old_root_that_ends_before_the_leaf_does() -> Case:
    old, new = pki.root("Old", end=WITHIN_LEAF), pki.root("New")
    issuing = new.ca("Issuing")
    parts = {"old": old, "cross": old.cross_sign(new), "new": new, "issuing": issuing, "leaf": issuing.leaf(HOST)}
    return Case(parts, "leaf issuing new", trusts="new")


@accepted
def root_that_ends_before_the_leaf_does_without_another() -> Case:
    root = pki.root(end=WITHIN_LEAF)
    issuing = root.ca("Issuing")
    return Case({"root": root, "issuing": issuing, "leaf": issuing.leaf(HOST)}, "leaf issuing root")


@refused
def root_that_has_ended_by_then() -> Case:
    root = pki.root(end=WITHIN_LEAF)
    parts = {"root": root, "leaf": root.leaf(HOST)}
    return Case(parts, "leaf root", at=LEAF_END - DAY / 2, fault="root", says="it expired at")


@refused
def trusted_twin_that_ended_beside_one_of_a_root_nobody_trusts() -> Case:
    root, other = pki.root(end=BEFORE_LEAF), pki.root("Other")
    issuing = root.ca("Issuing")
    parts = {"root": root, "other": other, "cross": other.cross_sign(root), "issuing": issuing}
    leaf, kept = issuing.leaf(HOST), "root other"
    return Case({**parts, "leaf": leaf}, "leaf issuing cross", kept=kept, fault="root", says="it expired at")


@accepted
def intermediate_that_ended_beside_its_twin() -> Case:
    root = pki.root()
    issuing = root.ca("Issuing")
    parts = {"ended": root.cross_sign(issuing, end=BEFORE_LEAF), "root": root, "issuing": issuing}
    return Case({**parts, "leaf": issuing.leaf(HOST)}, "leaf issuing root")


@accepted
def intermediate_that_ended_on_the_longer_way() -> Case:
    root, other = pki.root(), pki.root("Other")
    middle = other.ca("Middle", end=BEFORE_LEAF)
    issuing = root.ca("Issuing")
    parts = {"other": other, "middle": middle, "twin": middle.cross_sign(issuing), "issuing": issuing, "root": root}
    return Case({**parts, "leaf": issuing.leaf(HOST)}, "leaf issuing root", openssl_whole=NEVER_TURNS)


@unordered
def only_intermediate_ended_before_the_leaf_began() -> Case:
    root = pki.root()
    issuing = root.ca("Issuing", end=BEFORE_LEAF)
    parts = {"root": root, "issuing": issuing, "leaf": issuing.leaf(HOST)}
    return Case(parts, error="before the leaf began")


@refused
def intermediate_that_has_ended_by_then() -> Case:
    root = pki.root()
    issuing = root.ca("Issuing", end=WITHIN_LEAF)
    parts = {"root": root, "issuing": issuing, "leaf": issuing.leaf(HOST)}
    return Case(parts, "leaf issuing root", at=LEAF_END - DAY / 2, fault="issuing", says="it expired at")


@refused
def intermediate_that_has_not_begun() -> Case:
    root = pki.root()
    issuing = root.ca("Issuing", start=NOW + DAY)
    parts = {"root": root, "issuing": issuing, "leaf": issuing.leaf(HOST)}
    return Case(parts, "leaf issuing root", fault="issuing", says="it is not valid before")


@refused
def root_that_has_not_begun() -> Case:
    root = pki.root(start=NOW + DAY)
    return Case({"root": root, "leaf": root.leaf(HOST)}, "leaf root", fault="root", says="it is not valid before")


@refused
def leaf_that_has_not_begun() -> Case:
    parts, at = hierarchy(), LEAF_START - DAY
    order = "leaf issuing cross_root old_root"
    return Case(parts, order, trusts="old_root", at=at, fault="leaf", says="it is not valid before")


@refused
def leaf_that_has_ended() -> Case:
    parts, at = hierarchy(), LEAF_END + DAY
    return Case(parts, "leaf issuing cross_root old_root", trusts="old_root", at=at, fault="leaf", says="it expired at")


@accepted
def last_second_of_the_leaf() -> Case:
    why = "for OpenSSL the last second is over"
    return Case(hierarchy(), "leaf issuing cross_root old_root", trusts="old_root", at=LEAF_END, openssl=why)
