"""When an order moves by itself: arithmetic on the time that has passed and the polls that were answered. No clock."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Movement:
    """When an order is issued: after seconds, after polls that were told "not yet", or (both None) by hand."""

    after: float | None
    after_polls: int | None

    def progress(self, elapsed: float, polls: int) -> float:
        """Return how far an order is, from 0 to 1, which is issued."""
        shares = []
        if self.after is not None:
            shares.append(1.0 if elapsed >= self.after else elapsed / self.after)
        if self.after_polls is not None:
            shares.append(1.0 if polls >= self.after_polls else polls / self.after_polls)
        return min(shares, default=0.0)

    def pause(self, elapsed: float, stages: int) -> float | None:
        """Return the seconds until time alone ends the next of so many stages; None if it does not."""
        if self.after is None or elapsed >= self.after:
            return None
        return min((math.floor(elapsed / self.after * stages) + 1) * self.after / stages, self.after) - elapsed
