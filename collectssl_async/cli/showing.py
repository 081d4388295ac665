"""What `inspect` found, in rows and tables for people, and as one JSON document for programs."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from .output import put, put_json, put_rows, put_table
from .wording import one_line

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from .describing import Described, Together
    from .inspect import Inspection, Key
    from .trust import Store

_HEADINGS = ("certificate", "ends", "days left", "trusted root")


def show_texts(found: Sequence[Inspection], store: Store) -> None:
    """Show each with an empty line between: labels and texts, and a table where there are certificates of no chain."""
    now = datetime.now(UTC)
    for number, each in enumerate(found):
        if number:
            put("")
        put_rows(_rows(each, store, now))
        others = each.together.others if each.together is not None else ()
        if others:
            put_table(_HEADINGS, [_cells(other, store, now) for other in others])


def _rows(found: Inspection, store: Store, now: datetime) -> Iterator[tuple[str, str]]:
    held = [found.kind] if found.kind else []
    together = found.together
    if together is not None:
        count = len(together.others) + len(together.chain) + (together.leaf is not None)
        held.append("1 certificate" if count == 1 else f"{count} certificates")
    yield "path", one_line(str(found.path))
    if held:
        yield "holds", ", ".join(held)
    if together is not None and together.leaf is not None:
        yield from _leaf_rows(together.leaf, now)
        yield from _chain_rows(together, now)
    if found.trust is not None:
        yield (
            "root",
            (
                f"trusted: {found.trust.root}, of {store.name}"
                if found.trust.problem is None
                else f"not trusted by {store.name}: {found.trust.problem}"
            ),
        )
    if found.key is not None:
        yield "private key", _key_text(found.key)
    if together is not None and together.no_chain is not None:
        yield "no chain", together.no_chain
    if together is not None and together.leaf is not None and together.others:
        count = len(together.others)
        yield (
            "besides",
            "1 certificate that is not in the chain" if count == 1 else f"{count} that are not in the chain",
        )
    yield from (("note", note) for note in found.notes)
    yield from (("problem", one_line(problem)) for problem in found.problems)


def _leaf_rows(leaf: Described, now: datetime) -> Iterator[tuple[str, str]]:
    yield "leaf", leaf.name
    yield "names", ", ".join((*leaf.dns_names, *leaf.addresses)) or "none"
    yield "valid", f"{_days_text(leaf, now)} ({leaf.not_before:%Y-%m-%d} to {leaf.not_after:%Y-%m-%d})"
    yield "issuer", leaf.issuer
    yield "serial number", f"{leaf.serial_number:x}"
    yield "key", leaf.key
    yield "SHA-256", leaf.fingerprint_sha256


def _chain_rows(together: Together, now: datetime) -> Iterator[tuple[str, str]]:
    count = len(together.chain)
    yield "chain", "none" if not count else "1 CA" if count == 1 else f"{count} CAs"
    for number, ca in enumerate(together.chain, start=1):
        kind = "root" if ca.subject == ca.issuer else f"issued by {ca.issuer_name}"
        yield f"  {number}", f"{ca.name}, {kind}, {_days_text(ca, now)}"


def _days_text(certificate: Described, now: datetime) -> str:
    left = certificate.days_left(now)
    if left is None:
        return "unknown"
    if certificate.not_after is not None and left < 0:
        ended = (now - certificate.not_after).days
        return f"ended {_days(ended)} ago" if ended else "ended less than a day ago"
    if certificate.not_before is not None and certificate.not_before > now:
        return f"begins in {_days((certificate.not_before - now).days + 1)}"
    return f"{_days(left)} left"


def _days(number: int) -> str:
    return "1 day" if number == 1 else f"{number} days"


def _key_text(key: Key) -> str:
    where = one_line(key.source)
    if key.matches is None:
        return f"{key.kind} ({where})"
    return f"{'matches' if key.matches else 'does not match'}: {key.kind} ({where})"


def _cells(certificate: Described, store: Store, now: datetime) -> tuple[str, ...]:
    if certificate.problem is not None:
        return f"cannot be read: {certificate.problem}", "", "", ""
    trusted = "yes" if certificate.der in store.roots else "no" if certificate.is_ca else ""
    return certificate.name, f"{certificate.not_after:%Y-%m-%d}", str(certificate.days_left(now)), trusted


# --- JSON -------------------------------------------------------------------------------------------------------------


def show_document(found: Sequence[Inspection], store: Store) -> None:
    """Write one JSON document. Serial numbers are lower hex: more digits than most readers of JSON keep of a number."""
    now = datetime.now(UTC)
    put_json({"trust_store": store.name, "files": [_document(each, store, now) for each in found]})


def _document(found: Inspection, store: Store, now: datetime) -> dict[str, Any]:
    together, trust, key = found.together, found.trust, found.key
    leaf = together.leaf if together is not None else None

    def described(certificates: Sequence[Described]) -> list[dict[str, Any]]:
        return [_certificate(each, store, now) for each in certificates]

    return {
        "path": str(found.path),
        "holds": found.kind or None,
        "leaf": None if leaf is None else _certificate(leaf, store, now),
        "chain": described(together.chain if together is not None else ()),
        "others": described(together.others if together is not None else ()),
        "no_chain": together.no_chain if together is not None else None,
        "trusted": None if trust is None else trust.problem is None,
        "trusted_root": None if trust is None else trust.root,
        "trust_problem": None if trust is None else trust.problem,
        "private_key": None if key is None else {"key": key.kind, "source": key.source, "matches": key.matches},
        "notes": list(found.notes),
        "problems": list(found.problems),
    }


def _certificate(certificate: Described, store: Store, now: datetime) -> dict[str, Any]:
    readable = certificate.problem is None
    not_before, not_after = certificate.not_before, certificate.not_after
    return {
        "name": certificate.name or None,
        "subject": certificate.subject or None,
        "issuer": certificate.issuer or None,
        "dns_names": list(certificate.dns_names),
        "serial_number": f"{certificate.serial_number:x}" if readable else None,
        "not_before": None if not_before is None else not_before.isoformat(),
        "not_after": None if not_after is None else not_after.isoformat(),
        "days_left": certificate.days_left(now),
        "is_ca": certificate.is_ca,
        "key": certificate.key or None,
        "fingerprint_sha256": certificate.fingerprint_sha256,
        "is_trusted_root": certificate.der in store.roots,
        "problem": certificate.problem,
    }
