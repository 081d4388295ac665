"""One row of the table: certificates by labels, what becomes of them, and where those who judge them differ."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from .. import pki

if TYPE_CHECKING:
    from datetime import datetime

HOST = "shop.example.com"


@dataclass(frozen=True)
class Case:
    """What comes and what is made of it. Lists of labels are texts with a space between two."""

    parts: Mapping[str, pki.Identity | bytes]
    order: str = ""
    """The chain, leaf first, root last where it came; empty where there is none."""
    trusts: str = "root"
    kept: str = ""
    """What does not come in the reply."""
    again: str = ""
    """What comes in it once more."""
    named: str | None = None
    """The leaf, where the reply says which it is."""
    error: str = ""
    """What is said where there is no chain."""
    fault: str = ""
    """Which certificate a client refuses the chain for; empty where it accepts it."""
    says: str = ""
    """What is said of that one."""
    at: datetime = pki.NOW
    host: str | None = HOST
    whole: str = ""
    """Why the verifier judges the whole reply otherwise than the chain that was made of it."""
    openssl: str = ""
    """Why OpenSSL judges the chain otherwise than the verifier."""
    openssl_whole: str = ""
    """Why OpenSSL judges the whole reply otherwise than the chain."""
    no_way: str = ""
    """Why OpenSSL does not even put the chain in order, with neither dates nor names to look at."""

    @property
    def leaf(self) -> str:
        return self.order.partition(" ")[0] or self.named or "leaf"

    def der(self, label: str) -> bytes:
        part = self.parts[label]
        return part if isinstance(part, bytes) else part.der

    @property
    def named_leaf(self) -> bytes | None:
        return self.der(self.named) if self.named else None

    def ders(self, labels: str) -> list[bytes]:
        return [self.der(label) for label in labels.split()]

    def received(self, seed: int = 0) -> list[bytes]:
        """Return what comes, in some order."""
        kept = self.kept.split()
        ders = [self.der(label) for label in (*self.parts, *self.again.split()) if label not in kept]
        random.Random(seed).shuffle(ders)
        return ders


Build = Callable[[], Case]

ACCEPTED: dict[str, Build] = {}
"""Chains that the package and its verifier accept, by name."""
REFUSED: dict[str, Build] = {}
"""Chains that they refuse: each has a `fault`."""
UNORDERED: dict[str, Build] = {}
"""Replies that no chain comes of: each has an `error`."""


def accepted(build: Build) -> Build:
    return _enter(build, ACCEPTED)


def refused(build: Build) -> Build:
    return _enter(build, REFUSED)


def unordered(build: Build) -> Build:
    return _enter(build, UNORDERED)


def _enter(build: Build, table: dict[str, Build]) -> Build:
    """Put a case under its function's name; it is built when it is asked for, once."""
    table[build.__name__.replace("_", " ")] = built = cache(build)
    return built


@cache
def rsa_key(number: int = 0) -> pki.PrivateKey:
    """Return one of a few RSA keys, which take long to make."""
    return pki.new_key("rsa")
