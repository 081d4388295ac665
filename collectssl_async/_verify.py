"""Whether a TLS client would accept a leaf with its intermediates: `cryptography`'s verifier is asked, nobody else.

Here the question is put in its terms: which roots, which moment, which host. Its answers are terse, so that what is
wrong with a chain that it refused is looked for in `_faults.py`. Revocation is asked of nobody.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from . import containers
from ._facts import Facts, one_line, read
from ._faults import Judged, explain
from ._hosts import Host, first_host, parse_host
from .errors import CertificateError, ChainError, MalformedResponseError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from cryptography import x509


def verify_chain(
    leaf: bytes,
    intermediates: tuple[bytes, ...],
    roots: Iterable[x509.Certificate] | bytes | str,
    *,
    at: datetime | None,
    hostname: str | None,
) -> tuple[x509.Certificate, ...]:
    """Return the way from the leaf to the root that it was accepted by, leaf first.

    Every one of `roots` is trusted as it stands, self-signed or not; its dates count all the same. `at` is aware, now
    if not given. Without a `hostname` the leaf's first name that a host can have has to do.

    Raises `ChainError` for what is refused: it names the certificate at fault and says why. Raises `CertificateError`
    for roots that cannot be read, a time without its zone, and a `hostname` that no host can have.
    """
    chain = [read(der) for der in (leaf, *intermediates)]
    moment, host = _moment(at), _host(hostname)
    trusted = _within_reach(_anchors(roots), chain)
    judged = Judged(chain, trusted, moment, host or first_host(chain[0].certificate))
    try:
        return _accepted(judged)
    except Exception as error:  # noqa: BLE001 - whatever was raised, the chain was not accepted
        refusal = str(error)
    raise ChainError(explain(judged, refusal))


def _accepted(judged: Judged) -> tuple[x509.Certificate, ...]:
    """Return the way that the verifier found; whatever is raised is a refusal."""
    from cryptography import x509
    from cryptography.x509.verification import PolicyBuilder, Store

    # Of a certificate whose serial number is not positive there is only a likeness here; the verifier takes none such.
    leaf, *others = judged.chain
    if not leaf.has_positive_serial:
        raise ValueError("serial number")
    # Of twins the lower will do. With thirty of them old verifiers, which tried each above each other, never ended.
    lowest = {(each.subject, each.key_info): each for each in reversed(others) if each.has_positive_serial}
    between = [each.certificate for each in reversed(lowest.values())]
    if judged.host is None:
        raise ValueError("no name")
    subject = x509.DNSName(judged.host) if isinstance(judged.host, str) else x509.IPAddress(judged.host)
    store = Store([_as_it_came(each) for each in judged.trusted])
    # What stands between is one line, which bounds the way: the verifier's own limit would refuse a long one.
    builder = PolicyBuilder().store(store).time(judged.moment).max_chain_depth(len(between))
    return tuple(builder.build_server_verifier(subject).verify(leaf.certificate, between))


def _as_it_came(fact: Facts) -> x509.Certificate:
    """Return the certificate itself. Some public roots have the serial number 0, at which `cryptography` warns."""
    from cryptography import x509

    return fact.certificate if fact.has_positive_serial else x509.load_der_x509_certificate(fact.der)


# --- what is asked ----------------------------------------------------------------------------------------------------


def _moment(at: datetime | None) -> datetime:
    if at is None:
        return datetime.now(UTC)
    if not isinstance(at, datetime) or at.utcoffset() is None:
        raise CertificateError(f"at must be a datetime with its time zone, datetime.now(UTC) for one, not {at!r}")
    return at


def _host(hostname: str | None) -> Host | None:
    if hostname is None:
        return None
    host = parse_host(hostname) if isinstance(hostname, str) else None
    if host is None:
        given = one_line(repr(hostname))
        raise CertificateError(f"hostname must be a DNS name in ASCII (xn--...) or an IP address, not {given}")
    return host


def _anchors(roots: Iterable[x509.Certificate] | bytes | str) -> list[Facts]:
    """Return the roots that can be read; a store of hundreds has a strange one among them."""
    ders = _from_pem(roots) if isinstance(roots, bytes | str) else _from_objects(roots)
    found, problem = list[Facts](), ""
    for der in ders:
        try:
            found.append(read(der))
        except CertificateError as error:
            problem = f": {error}"
    if not found:
        raise CertificateError(f"roots holds no certificate to trust{problem}")
    return found


def _from_pem(roots: bytes | str) -> tuple[bytes, ...]:
    try:
        return containers.read(roots, max_certificates=None).certificates
    except MalformedResponseError as error:
        problem = str(error)
    path = ": hand in the PEM itself, not the path of its file" if isinstance(roots, str) else ""
    raise CertificateError(f"roots cannot be read, {problem}{path}")


def _from_objects(roots: Iterable[x509.Certificate]) -> list[bytes]:
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import Encoding

    try:
        given = list(roots)
    except TypeError:
        kind = type(roots).__name__
        raise CertificateError(
            f"roots must be certificates of cryptography, or PEM as bytes or str, not {kind}"
        ) from None
    strange = [type(each).__name__ for each in given if not isinstance(each, x509.Certificate)]
    if strange:
        raise CertificateError(f"roots must be certificates of cryptography, not {strange[0]}")
    return [each.public_bytes(Encoding.DER) for each in given]


def _within_reach(roots: Sequence[Facts], chain: Sequence[Facts]) -> list[Facts]:
    """Return the roots that some certificate of the chain names as its issuer, or that are of the chain themselves.

    No other could be reached. Of what a system trusts that leaves one or two, and nothing else is loaded.
    """
    issuers, ders = {each.issuer for each in chain}, {each.der for each in chain}
    return [each for each in roots if each.subject in issuers or each.der in ders]
