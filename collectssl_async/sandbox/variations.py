"""What may differ from reply to reply though it means the same: the table of switches, and how a choice is drawn.

A client that reads by name does not notice; one that reads by place breaks here instead of in production. The replies
apply the choices.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Collection


class Switch(NamedTuple):
    """One variation: what it chooses from, the plain choice first; why it is there; whether `strict` turns it on."""

    choices: tuple[Any, ...]
    reason: str
    default: bool = True


SWITCHES: dict[str, Switch] = {
    "parameter_order": Switch((False, True), "URL-encoded parameters have names; no order is promised"),
    "ca_order": Switch((False, True), "root first is a habit, not a promise, where caCertificate is repeated"),
    "pem_width": Switch((64, 76, 48), "PEM readers may not count on 64 characters a line"),
    "base64_line_breaks": Switch(("", "\n", "\r\n"), "base64 in a parameter is sent whole or in lines"),
    "line_ending": Switch(("\n", "\r\n"), "lines end in LF or CRLF"),
    "trailing_newline": Switch((True, False), "the last line of a newline-delimited reply may not be ended"),
    "unknown_parameter": Switch((False, True), "new parameters come without notice"),
    "callback_spelling": Switch(("ovCallbackStatus", "ovCallBackStatus"), "the reference itself spells it both ways"),
    "percent_case": Switch((False, True), "%2b is %2B"),
    "space": Switch(("+", "%20"), "a space has two forms in URL-encoded text"),
    "charset": Switch(("", "; charset=windows-1252"), "the content type may carry a charset"),
    "full_qualifier": Switch(("", " (Full)"), 'the reference\'s sample has "Awaiting Validation (Full)"'),
    "validation_status_missing": Switch((False, True), "the reference's sample has no validationStatus"),
    "domains_encoded_twice": Switch((False, True), '"a URL-encoded string" inside a URL-encoded reply'),
    "zip_names": Switch((False, True), "members of an archive have any names, in any order"),
    "zip_der": Switch((False, True), "members of an archive are PEM or DER"),
    "zip_line_ending": Switch(("\n", "\r\n"), "PEM members of an archive end lines in LF or CRLF"),
    "zip_readme": Switch((False, True), "an archive may hold more than certificates"),
    "error_format": Switch(
        (False, True), "errors come newline-delimited where URL-encoded was asked for, and the reverse"
    ),
    "chunked": Switch((False, True), "a reply may come in pieces, without a length"),
    # A new connection for every other call would make a test suite slow; one in eight shows the same.
    "connection_close": Switch(
        (False, False, False, False, False, False, False, True), "no connection is promised to live on"
    ),
    # Off unless asked for: the reference promises otherwise, or clients break that read with care.
    "certificate_form": Switch(
        ("DER", "PEM", "PEM in base64"),
        "certificate and caCertificate have been seen to hold PEM, and PEM in base64 once more",
        default=False,
    ),
    "raw_plus": Switch(
        (False, True), "a plus sign in base64 has been seen unescaped: it reads as a space", default=False
    ),
    "letter_case": Switch(
        ("as documented", "lower", "upper"),
        "the reference spells one name in two ways: others may change their letters too",
        default=False,
    ),
    "empty_fqdn": Switch((False, True), "the name has been seen to be there and empty", default=False),
    "byte_order_mark": Switch((False, True), "text that passed through an editor begins with one", default=False),
    "available_first": Switch(
        (False, True),
        "1 is documented for every query: a certificate may be said to be ready before it is",
        default=False,
    ),
    "leaf_among_cas": Switch((False, True), "the leaf has been seen among the CA certificates", default=False),
    "duplicates": Switch((False, True), "no certificate is promised to come only once", default=False),
    "no_content_type": Switch((False, True), "a proxy may drop the header: the body tells what it is", default=False),
    "leaf_place": Switch(
        (False, True), "the sample has the leaf last, where the order of lines is not promised", default=False
    ),
}
"""Every variation by name. Off, each sends its first choice."""

STRICT = frozenset(name for name, switch in SWITCHES.items() if switch.default)
"""The names of the switches that `strict` turns on."""


class Variations:
    """The choices for one call, each drawn from (seed, call number, switch) alone: a new switch shifts no other."""

    def __init__(self, seed: int | str, call: int, on: Collection[str]) -> None:
        self._key = f"{seed}/{call}/"
        self._on = on

    def pick(self, switch: str) -> Any:
        """Return the switch's choice for this call."""
        choices = SWITCHES[switch].choices
        return choices[self.draw(switch) % len(choices)] if switch in self._on else choices[0]

    def shuffle(self, switch: str, keys: Collection[str]) -> dict[str, int]:
        """Return a place for every key, if the switch says so; else the places they have."""
        if not self.pick(switch):
            return {key: place for place, key in enumerate(keys)}
        return {key: self.draw(f"{switch}/{key}") for key in keys}

    def share(self, what: str) -> float:
        """Return a number from 0 up to 1 that only the seed, the call and `what` decide."""
        return self.draw(what) / 2**64

    def draw(self, what: str) -> int:
        """Return a number that only the seed, the call and `what` decide."""
        return int.from_bytes(blake2b((self._key + what).encode(), digest_size=8).digest())


def check_switches(names: Collection[str]) -> frozenset[str]:
    """Return the names as a set; raise `ValueError` for one that no switch has."""
    chosen = frozenset(names)
    unknown = ", ".join(sorted(chosen - SWITCHES.keys()))
    if unknown:
        raise ValueError(f"no such switch: {unknown}. There are {', '.join(SWITCHES)}")
    return chosen
