"""Which certificate is the leaf, and which way leads from it to the farthest issuer that came.

DER in, DER out. What a certificate is worth to a client (trusted roots, revocation, host names) is not judged here:
this puts in order what a reply brought, and proves each step of the order by its signature.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, NamedTuple

from ._facts import Facts, Name, is_signed_by, read, shown
from .errors import CertificateError, ChainError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence


class Chain(NamedTuple):
    """A leaf, the CAs between it and the root (issuing CA first), and the self-signed root where it came. All DER."""

    leaf: bytes
    intermediates: tuple[bytes, ...]
    root: bytes | None


def build_chain(certificates: Iterable[bytes], leaf: bytes | None) -> Chain:
    """Put certificates in DER in order; `leaf` is the end-entity one where the reply named it.

    Raises `CertificateError` when there is not exactly one leaf or it cannot be read, `ChainError` when CAs came and
    none of them issued it.
    """
    # Sorted, since the order received must not show in the outcome, nor in a message.
    others = sorted(set(certificates) - {leaf})
    readable = [fact for der in others if (fact := _read_candidate(der)) is not None]
    walk = _Walk()
    if leaf is not None:
        found = read(leaf)
    else:
        found = _only_leaf(readable, walk, received=len(others))
        others.remove(found.der)
    cas = [each for each in readable if each is not found and walk.is_ca(each)]
    path = _farthest(found, cas, walk)
    unreadable = len(others) - sum(each is not found for each in readable)
    if not path and (cas or unreadable):
        raise ChainError(_no_issuer(found, cas, unreadable))
    root = path.pop().der if path and walk.is_self_signed(path[-1]) else None
    return Chain(found.der, tuple(each.der for each in path), root)


# --- who issued whom --------------------------------------------------------------------------------------------------


def _read_candidate(der: bytes) -> Facts | None:
    """Return None for a certificate that cannot be read: it is a stranger to every chain."""
    try:
        return read(der)
    except CertificateError:
        return None


class _Walk:
    """Who issued whom. A certificate is verified at most once with each key, since signatures are what costs."""

    def __init__(self) -> None:
        self._signed: dict[tuple[Facts, bytes], bool] = {}

    def issued(self, child: Facts, candidate: Facts) -> bool:
        """Say whether the candidate's name, key identifier and key are those of the child's issuer."""
        if child.issuer != candidate.subject:
            return False
        if None not in (child.issuer_key_id, candidate.key_id) and child.issuer_key_id != candidate.key_id:
            return False
        # Twins share their key: in a mesh this is what keeps the number of verifications linear.
        pair = (child, candidate.key_info)
        if pair not in self._signed:
            self._signed[pair] = is_signed_by(child, candidate)
        return self._signed[pair]

    def issuers(self, child: Facts, candidates: Sequence[Facts]) -> list[Facts]:
        """Return the candidates that issued the child; of twins the one that it names, where it names one that came."""
        found = [each for each in candidates if self.issued(child, each)]
        return [each for each in found if (each.issuer, each.serial) == child.issuer_named] or found

    def is_self_signed(self, fact: Facts) -> bool:
        """Say whether a certificate is its own issuer."""
        return self.issued(fact, fact)

    def is_ca(self, fact: Facts) -> bool:
        """Say whether it is a CA. Version 1 knows no CA flag; its self-signed certificates are roots of old."""
        if fact.ca_flag is None:
            return fact.is_version_1 and self.is_self_signed(fact)
        return fact.ca_flag


# --- the leaf ---------------------------------------------------------------------------------------------------------


def _only_leaf(readable: Sequence[Facts], walk: _Walk, *, received: int) -> Facts:
    """Return the only certificate that is no CA and issued none of the others."""
    if not received:
        raise CertificateError("the reply brought no certificates")
    children = defaultdict[Name, list[Facts]](list)
    for each in readable:
        children[each.issuer].append(each)
    found = [
        each
        for each in readable
        if not walk.is_ca(each)
        and not any(walk.issued(other, each) for other in children.get(each.subject, ()) if other is not each)
    ]
    if len(found) == 1:
        return found[0]
    unread = f", {received - len(readable)} cannot be read" if received > len(readable) else ""
    came = f"of the {received} certificates that came"
    if not found:
        raise CertificateError(f"no leaf: {len(readable)} {came} are CAs or issued another one{unread}")
    names = "; ".join(shown(each.certificate.subject) for each in found)
    raise CertificateError(f"more than one leaf: {len(found)} {came} could be it{unread}: {names}")


# --- the way up -------------------------------------------------------------------------------------------------------


def _farthest(leaf: Facts, cas: Sequence[Facts], walk: _Walk) -> list[Facts]:
    """Return the way from the leaf's issuer to the farthest CA; empty when none of them issued the leaf.

    A CA that ends before the leaf does is used only where no way to a self-signed one avoids it; one that ended before
    the leaf began is not used at all.
    """
    usable = [ca for ca in cas if ca.may_sign and ca.end >= leaf.start]
    lasting = [ca for ca in usable if ca.end >= leaf.end]
    levels, below = _reach(leaf, lasting, walk)
    if len(lasting) < len(usable) and not any(walk.is_self_signed(ca) for level in levels for ca in level):
        levels, below = _reach(leaf, usable, walk)
    if not levels:
        return []
    farthest = levels[-1]
    step = next((ca for ca in farthest if walk.is_self_signed(ca)), farthest[0])
    way = []
    while step is not leaf:
        way.append(step)
        step = below[step]
    return way[::-1]


def _reach(leaf: Facts, cas: Sequence[Facts], walk: _Walk) -> tuple[list[list[Facts]], dict[Facts, Facts]]:
    """Return the CAs by the fewest steps that lead to them, and for each the certificate that its way comes from.

    Breadth first: every CA is reached once, loops or not.
    """
    waiting = defaultdict[Name, list[Facts]](list)
    for ca in cas:
        waiting[ca.subject].append(ca)
    levels: list[list[Facts]] = []
    below: dict[Facts, Facts] = {}
    level = [leaf]
    while level:
        following: list[Facts] = []
        # Nothing goes on from a self-signed certificate: it passes for issued by its own cross-signed twin.
        for child in (each for each in level if not walk.is_self_signed(each)):
            found = walk.issuers(child, waiting[child.issuer])
            below |= dict.fromkeys(found, child)
            following += found
            waiting[child.issuer] = [ca for ca in waiting[child.issuer] if ca not in below]
        # They came sorted by their DER, and this is stable: of equals the one above the longer-lasting is first.
        level = sorted(following, key=_longest_first)
        levels += [level] if level else []
    return levels, below


def _longest_first(ca: Facts) -> float:
    return -ca.end.timestamp()


# --- words ------------------------------------------------------------------------------------------------------------


def _no_issuer(leaf: Facts, cas: Sequence[Facts], unreadable: int) -> str:
    came = "; ".join(_described(leaf, cas, unreadable))
    issuer = shown(leaf.certificate.issuer)
    return f"none of the CA certificates that came issued the leaf, whose issuer is {issuer}; came: {came}"


def _described(leaf: Facts, cas: Sequence[Facts], unreadable: int) -> Iterator[str]:
    for ca in cas:
        ended = f" (ended {ca.end:%Y-%m-%d}, before the leaf began)" if ca.end < leaf.start else ""
        barred = "" if ca.may_sign else " (its key usage does not let it sign certificates)"
        yield shown(ca.certificate.subject) + ended + barred
    if unreadable:
        yield f"{unreadable} that cannot be read"
