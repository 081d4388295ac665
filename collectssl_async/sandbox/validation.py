"""How far one order's validation is: what its movement says, and over that what was set by hand.

Which steps and words there are is `steps.py`'s business, when an order moves the order's.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from ..models import StepStatus
from . import steps

if TYPE_CHECKING:
    from collections.abc import Sequence


class Standing(NamedTuple):
    """The state of a validation at one moment: steps by wire name, a word for each domain, the validation status."""

    steps: dict[str, int]
    domains: tuple[tuple[str, str], ...]
    text: str


@dataclass(slots=True)
class Validation:
    """What a person set about one order, until its certificate is issued."""

    product: str
    _steps: dict[str, int] = field(default_factory=dict)
    _words: dict[str, str] = field(default_factory=dict)

    def set_step(self, name: str, value: int) -> None:
        """Set a step, by either of its names. `ValueError` for what the reference does not list for this product."""
        wire = steps.wire_name(name)
        number = steps.check_value(wire, value)
        if wire in steps.EV_ONLY and self.product != "ev":
            raise ValueError(f"{wire} is sent for EV orders only, this one is {self.product!r}")
        self._steps[wire] = number

    def set_domain(self, domain: str, word: str) -> None:
        """Set a domain's word. `ValueError` for one that there is not."""
        if word not in steps.DOMAIN_WORDS:
            raise ValueError(f"{word!r} is no domain's status: it is one of {', '.join(steps.DOMAIN_WORDS)}")
        self._words[domain] = word

    def forget(self) -> None:
        """Let the movement say everything again."""
        self._steps.clear()
        self._words.clear()

    def at(self, progress: float, names: Sequence[str]) -> Standing:
        """Return the standing at a progress from 0 to 1; words set by hand decide their steps, unless those are set."""
        found = steps.at_progress(self.product, progress) | self._steps
        words = steps.domain_words(self.product, progress, found, names)
        if self._words:
            words = [self._words.get(name, word) for name, word in zip(names, words, strict=True)]
            found["dcvStatus"] = steps.dcv_of(words)
            if steps.AWAITING_BRAND in words:
                found["brandValStatus"] = StepStatus.IN_PROGRESS
            found |= self._steps
        return Standing(found, tuple(zip(names, words, strict=True)), steps.validation_text(self.product, found))
