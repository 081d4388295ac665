"""Why a chain was refused, in words: which certificate is at fault, by name, and what is wrong with it.

This looks for itself through a chain that the verifier refused, since the verifier names neither. Nothing is accepted
here: where no fault is found, the verifier's own words are handed on.
"""

from __future__ import annotations

from datetime import UTC
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from ._facts import Facts, is_signed_by, one_line, shown
from ._hosts import Host, hosts_of, is_for

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from cryptography import x509

    _Kind = TypeVar("_Kind", bound=x509.ExtensionType)

_NAMES_SHOWN = 10
_LEAST_RSA_BITS = 2048
_CURVES = ("secp256r1", "secp384r1", "secp521r1")
_SIGNATURES = (
    "RSA_WITH_SHA256",
    "RSA_WITH_SHA384",
    "RSA_WITH_SHA512",
    "RSASSA_PSS",
    "ECDSA_WITH_SHA256",
    "ECDSA_WITH_SHA384",
    "ECDSA_WITH_SHA512",
)
"""What the verifier accepts, which is what browsers do: CA/Browser Forum, Baseline Requirements, 6.1.5 and 7.1.3."""

_UNDERSTOOD = (
    "1.3.6.1.5.5.7.1.1",
    "2.5.29.14",
    "2.5.29.15",
    "2.5.29.17",
    "2.5.29.19",
    "2.5.29.30",
    "2.5.29.35",
    "2.5.29.37",
)
"""The extensions that it judges by: AIA, both key identifiers, both key usages, names, CA flag, name constraints."""


class Judged(NamedTuple):
    """What was refused: leaf and intermediates, roots within reach, time, and host (None: the leaf has no fit name)."""

    chain: Sequence[Facts]
    trusted: Sequence[Facts]
    moment: datetime
    host: Host | None


def explain(judged: Judged, refusal: str) -> str:
    """Return one line that names a certificate and says why it is refused; `refusal` is the verifier's text."""
    leaf = judged.chain[0]
    search = _Search(judged)
    if faults := [*_of_any(leaf, judged.moment), *_of_leaf(leaf, judged.host)]:
        return search.blame(leaf, *faults)
    return search.above(leaf) or search.unexplained(refusal)


class _Search:
    """The way up as the verifier goes, with words for what ends it. Every certificate is looked at once."""

    def __init__(self, judged: Judged) -> None:
        self._judged = judged
        self._trusted = {each.der for each in judged.trusted}
        self._left = [*judged.trusted, *judged.chain[1:]]
        self._passed: list[Facts] = []

    def above(self, child: Facts, steps: int = 0) -> str:
        """Return what is wrong above a certificate that has `steps` CAs below it; nothing if it leads to a root."""
        if child.der in self._trusted:
            return ""
        if problem := _of_signature(child):
            return self.blame(child, problem)
        candidates = [each for each in self._left if each.subject == child.issuer]
        signers = [each for each in candidates if is_signed_by(child, each)]
        if not signers:
            return self.blame(child, _without_issuer(child, known=bool(candidates)))
        self._left = [each for each in self._left if each not in signers]
        # Roots come first: one that is trusted and at fault says more than a way past it that leads nowhere.
        found = [self._by(signer, child, steps) for signer in signers]
        return "" if "" in found else found[0]

    def _by(self, issuer: Facts, child: Facts, steps: int) -> str:
        if faults := [*_of_any(issuer, self._judged.moment), *_of_issuer(issuer, child, steps)]:
            return self.blame(issuer, *faults)
        self._passed.append(issuer)
        return self.above(issuer, steps + 1)

    def blame(self, fact: Facts, *faults: str) -> str:
        """Return what is wrong with a certificate under its name."""
        role = "leaf" if fact is self._judged.chain[0] else "root" if fact.der in self._trusted else "intermediate"
        twin = f" (issued by {shown(fact.certificate.issuer)})" if role == "intermediate" else ""
        return f"the {role} {_called(fact)}{twin}: {'; '.join(faults)}"

    def unexplained(self, refusal: str) -> str:
        """Return what is left to say where no fault was found."""
        from cryptography.x509 import NameConstraints

        limiting = (each for each in self._passed if _extension(each, NameConstraints))
        if "name constraint" in refusal and (limited := next(limiting, None)):
            return self.blame(limited, "its name constraints do not allow the names of what was issued below it")
        leaf = _called(self._judged.chain[0])
        return f"the chain of {leaf} was refused by the verifier: {one_line(refusal)}"


def _called(fact: Facts) -> str:
    """Return a certificate's subject, of one that has none its first host."""
    host = None if fact.subject else next(hosts_of(fact.certificate), None)
    return shown(fact.certificate.subject) if host is None else one_line(str(host))


def _without_issuer(child: Facts, *, known: bool) -> str:
    if child.issuer == child.subject and is_signed_by(child, child):
        return "it is self-signed, and not among the roots"
    issuer = shown(child.certificate.issuer)
    if known:
        return f"its signature does not fit the key of any certificate of its issuer {issuer}"
    return f"no certificate of its issuer {issuer} is among the roots"


# --- what is wrong with one certificate -------------------------------------------------------------------------------


def _of_any(fact: Facts, moment: datetime) -> Iterator[str]:
    if not fact.has_positive_serial:
        yield "its serial number is not positive"
    if moment < fact.start:
        yield f"it is not valid before {_stamp(fact.start)}, judged at {_stamp(moment)}"
    if moment > fact.end:
        yield f"it expired at {_stamp(fact.end)}, judged at {_stamp(moment)}"
    if fact.is_version_1:
        yield "it is of X.509 version 1, which has no extensions to judge it by"
    critical = (each.oid.dotted_string for each in fact.certificate.extensions if each.critical)
    for oid in critical:
        if oid not in _UNDERSTOOD:
            yield f"its critical extension {oid} is not understood"


def _of_leaf(leaf: Facts, host: Host | None) -> Iterator[str]:
    from cryptography import x509
    from cryptography.x509.oid import ExtendedKeyUsageOID

    if leaf.is_version_1:
        return
    names = _names(leaf)
    if not names:
        yield "it names no host in a subject alternative name"
    elif host is None:
        yield f"it is for {names}, and no host can be called so"
    elif not is_for(leaf.certificate, host):
        yield f"it is not for {host} but for {names}"
    named = _extension(leaf, x509.SubjectAlternativeName)
    if named and not named.critical and not leaf.subject:
        yield "it has no subject, and its subject alternative name is not marked critical"
    if leaf.ca_flag:
        yield "it is a CA, which no server's certificate may be"
    usage = _extension(leaf, x509.ExtendedKeyUsage)
    if usage and ExtendedKeyUsageOID.SERVER_AUTH not in usage.value:
        yield "its extended key usage does not name servers"
    if not _extension(leaf, x509.AuthorityKeyIdentifier):
        yield "it has no authority key identifier"


def _names(leaf: Facts) -> str:
    names = [one_line(str(each)) for each in hosts_of(leaf.certificate)]
    more = f" and {len(names) - _NAMES_SHOWN} more" if len(names) > _NAMES_SHOWN else ""
    return ", ".join(names[:_NAMES_SHOWN]) + more


def _of_issuer(issuer: Facts, child: Facts, steps: int) -> Iterator[str]:
    """Yield what keeps a CA from issuing `child`, below which there are `steps` CAs counting itself."""
    from cryptography import x509
    from cryptography.x509.oid import ExtendedKeyUsageOID

    if issuer.certificate.subject.public_bytes() != child.certificate.issuer.public_bytes():
        yield f"its name is written in another way than {shown(child.certificate.subject)} writes that of its issuer"
    if issuer.is_version_1:
        return
    constraints = _extension(issuer, x509.BasicConstraints)
    if not constraints or not constraints.value.ca:
        yield "it is no CA, its certificate lacks that flag"
    elif not constraints.critical:
        yield "its CA flag is not marked critical"
    elif constraints.value.path_length is not None and steps > constraints.value.path_length:
        yield f"its path length allows {constraints.value.path_length} CAs below it, and there are {steps}"
    usage = _extension(issuer, x509.KeyUsage)
    if not usage:
        yield "it has no key usage"
    elif not usage.value.key_cert_sign:
        yield "its key usage does not let it sign certificates"
    purposes = _extension(issuer, x509.ExtendedKeyUsage)
    if purposes and not {ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE} & set(
        purposes.value
    ):
        yield "its extended key usage does not let it issue certificates for servers"
    if kind := _unaccepted_key(issuer):
        yield f"its key is {kind}, which is not accepted of a CA"


def _of_signature(fact: Facts) -> str:
    from cryptography.x509 import SignatureAlgorithmOID

    given = fact.certificate.signature_algorithm_oid
    name = next((name for name, oid in vars(SignatureAlgorithmOID).items() if oid == given), given.dotted_string)
    return (
        "" if name in _SIGNATURES else f"it is signed with {name.strip('_').replace('_', ' ')}, which is not accepted"
    )


def _unaccepted_key(fact: Facts) -> str:
    """Return what kind of key a CA has, if it is one that is not accepted."""
    from cryptography.hazmat.primitives.asymmetric import ec, rsa
    from cryptography.x509.oid import PublicKeyAlgorithmOID

    if fact.certificate.public_key_algorithm_oid == PublicKeyAlgorithmOID.RSASSA_PSS:
        return "for RSA-PSS alone"
    if isinstance(fact.key, rsa.RSAPublicKey) and fact.key.key_size < _LEAST_RSA_BITS:
        return f"RSA of {fact.key.key_size} bits"
    if isinstance(fact.key, ec.EllipticCurvePublicKey) and fact.key.curve.name not in _CURVES:
        return f"on the curve {fact.key.curve.name}"
    return ""  # of other keys the signatures are not accepted


def _extension(fact: Facts, kind: type[_Kind]) -> x509.Extension[_Kind] | None:
    from cryptography.x509 import ExtensionNotFound

    try:
        return fact.certificate.extensions.get_extension_for_class(kind)
    except ExtensionNotFound:
        return None


def _stamp(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
