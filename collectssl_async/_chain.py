"""Which certificate is the leaf, and which way leads from it to the farthest issuer that came.

DER in, DER out. What a certificate is worth to a client (trusted roots, revocation, host names) is not judged here:
this puts in order what a reply brought, and proves each step of the order by its signature.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from .errors import CertificateError, ChainError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from datetime import datetime

    from cryptography import x509

_NAME_MAX = 200


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
        found = _read(leaf)
    else:
        found = _only_leaf(readable, walk, received=len(others))
        others.remove(found.der)
    cas = [each for each in readable if each is not found and walk.is_ca(each)]
    path = _farthest(found, cas, walk)
    unreadable = len(others) - sum(each is not found for each in readable)
    if not path and (cas or unreadable):
        raise ChainError(_no_issuer(found, cas, unreadable))
    root = path.pop().der if path and walk.issued(path[-1], path[-1]) else None
    return Chain(found.der, tuple(each.der for each in path), root)


# --- reading one certificate ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class _Facts:
    """What the walk needs of a certificate. Compared by identity: cross-signed twins share subject and key."""

    der: bytes
    certificate: x509.Certificate
    subject: x509.Name
    issuer: x509.Name
    key_id: bytes | None
    issuer_key_id: bytes | None
    ca_flag: bool | None  # None without BasicConstraints
    has_extensions: bool  # False for X.509 version 1
    start: datetime
    end: datetime


def _read(der: bytes) -> _Facts:
    """Read all of a certificate that is ever looked at, so that nothing fails later. Raises `CertificateError`."""
    from cryptography import x509

    try:
        certificate = x509.load_der_x509_certificate(der)
        certificate.public_key()
        extensions = {type(each.value): each.value for each in certificate.extensions}
        constraints = extensions.get(x509.BasicConstraints)
        key_id = extensions.get(x509.SubjectKeyIdentifier)
        issuer_key_id = extensions.get(x509.AuthorityKeyIdentifier)
        return _Facts(
            der=der,
            certificate=certificate,
            subject=certificate.subject,
            issuer=certificate.issuer,
            key_id=key_id.digest if isinstance(key_id, x509.SubjectKeyIdentifier) else None,
            issuer_key_id=issuer_key_id.key_identifier
            if isinstance(issuer_key_id, x509.AuthorityKeyIdentifier)
            else None,
            ca_flag=constraints.ca if isinstance(constraints, x509.BasicConstraints) else None,
            has_extensions=certificate.version is not x509.Version.v1,
            start=certificate.not_valid_before_utc,
            end=certificate.not_valid_after_utc,
        )
    except Exception as error:
        # cryptography reads lazily, and what it raises for a broken name, extension or key has no common class.
        raise CertificateError(f"the certificate cannot be read: {_one_line(str(error))}") from error


def _read_candidate(der: bytes) -> _Facts | None:
    """Return None for a certificate that cannot be read: it is a stranger to every chain."""
    try:
        return _read(der)
    except CertificateError:
        return None


class _Walk:
    """Who issued whom. Each pair of certificates is verified at most once, since signatures are what costs."""

    def __init__(self) -> None:
        self._issued: dict[tuple[_Facts, _Facts], bool] = {}

    def issued(self, child: _Facts, candidate: _Facts) -> bool:
        """Say whether the candidate's name, key identifier and key are those of the child's issuer."""
        if child.issuer != candidate.subject:
            return False
        if None not in (child.issuer_key_id, candidate.key_id) and child.issuer_key_id != candidate.key_id:
            return False
        pair = (child, candidate)
        if pair not in self._issued:
            self._issued[pair] = _is_signed_by(child.certificate, candidate.certificate)
        return self._issued[pair]

    def is_ca(self, fact: _Facts) -> bool:
        """Say whether it may issue. Version 1 knows no CA flag; its self-signed certificates are roots of old."""
        if fact.ca_flag is None:
            return not fact.has_extensions and self.issued(fact, fact)
        return fact.ca_flag


def _is_signed_by(child: x509.Certificate, candidate: x509.Certificate) -> bool:
    try:
        child.verify_directly_issued_by(candidate)
    except Exception:  # noqa: BLE001 - a wrong signature, an unknown algorithm, an unfit key: no common class, one meaning
        return False
    return True


# --- the leaf ---------------------------------------------------------------------------------------------------------


def _only_leaf(readable: Sequence[_Facts], walk: _Walk, *, received: int) -> _Facts:
    """Return the only certificate that is no CA and issued none of the others."""
    if not received:
        raise CertificateError("the reply brought no certificates")
    found = [
        each
        for each in readable
        if not walk.is_ca(each) and not any(walk.issued(other, each) for other in readable if other is not each)
    ]
    if len(found) == 1:
        return found[0]
    unread = f", {received - len(readable)} cannot be read" if received > len(readable) else ""
    came = f"of the {received} certificates that came"
    if not found:
        raise CertificateError(f"no leaf: {len(readable)} {came} are CAs or issued another one{unread}")
    names = "; ".join(_name(each.subject) for each in found)
    raise CertificateError(f"more than one leaf: {len(found)} {came} could be it{unread}: {names}")


# --- the way up -------------------------------------------------------------------------------------------------------


def _farthest(leaf: _Facts, cas: Sequence[_Facts], walk: _Walk) -> list[_Facts]:
    """Return the way from the leaf's issuer to the farthest CA; empty when none of them issued the leaf.

    A CA that ends before the leaf does is used only where no way to a self-signed one avoids it; one that ended before
    the leaf began is not used at all.
    """
    usable = [ca for ca in cas if ca.end >= leaf.start]
    lasting = [ca for ca in usable if ca.end >= leaf.end]
    ways = _ways(leaf, lasting, walk)
    if len(lasting) < len(usable) and not any(walk.issued(way[-1], way[-1]) for way in ways):
        ways = _ways(leaf, usable, walk)
    # The ways come in order of preference, and of equals min takes the first.
    return min(ways, key=lambda way: (-len(way), not walk.issued(way[-1], way[-1])), default=[])


def _ways(leaf: _Facts, cas: Sequence[_Facts], walk: _Walk) -> list[list[_Facts]]:
    """Return the shortest way to each CA that can be reached, breadth first: every CA is reached once, loops or not."""
    waiting = sorted(cas, key=_preference)
    ways: list[list[_Facts]] = []
    level = [] if walk.issued(leaf, leaf) else [(leaf, list[_Facts]())]
    while level:
        following = []
        for certificate, way in level:
            reached = [ca for ca in waiting if walk.issued(certificate, ca)]
            waiting = [ca for ca in waiting if ca not in reached]
            following += [(ca, [*way, ca]) for ca in reached]
        following.sort(key=lambda step: _preference(step[0]))
        ways += [way for _, way in following]
        # Nothing goes on from a self-signed certificate: it passes for issued by its own cross-signed twin.
        level = [(ca, way) for ca, way in following if not walk.issued(ca, ca)]
    return ways


def _preference(ca: _Facts) -> tuple[float, bytes]:
    """Sort what lasts longest first; the DER settles the rest."""
    return -ca.end.timestamp(), ca.der


# --- words ------------------------------------------------------------------------------------------------------------


def _no_issuer(leaf: _Facts, cas: Sequence[_Facts], unreadable: int) -> str:
    came = "; ".join(_described(leaf, cas, unreadable))
    return f"none of the CA certificates that came issued the leaf, whose issuer is {_name(leaf.issuer)}; came: {came}"


def _described(leaf: _Facts, cas: Sequence[_Facts], unreadable: int) -> Iterator[str]:
    for ca in cas:
        ended = f" (ended {ca.end:%Y-%m-%d}, before the leaf began)" if ca.end < leaf.start else ""
        yield _name(ca.subject) + ended
    if unreadable:
        yield f"{unreadable} that cannot be read"


def _name(name: x509.Name) -> str:
    return _one_line(name.rfc4514_string()) or "(no name)"


def _one_line(text: str) -> str:
    """Make text of unknown origin fit for one line of a message."""
    line = "".join(character if character.isprintable() else " " for character in text[:_NAME_MAX])
    return line + ("..." if len(text) > _NAME_MAX else "")
