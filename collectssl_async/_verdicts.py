"""What the answer to one poll means for an order among many: when it is asked for again, or how it ended.

The steps are `polling.py`'s, the same as for an order that is waited for alone. What differs is whose failure a failure
is, and that an order that was named in a notification is asked for again soon.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, NamedTuple

from ._blame import Blame, Service, blame_for
from ._endings import certificates_as_text, error_as_text
from .certificates import CertificateBundle
from .errors import CertificateError, ServerUnavailableError
from .models import StatusCode
from .polling import Step, step_after_collection, step_after_failure, step_after_not_yet, step_after_status

if TYPE_CHECKING:
    from ._kept import Kept
    from ._named import Named
    from .errors import CollectSSLError
    from .models import CollectSSLResponse
    from .polling import PollPolicy


class Verdict(NamedTuple):
    """What comes of a poll: its step, whether the next one goes before overdue ones, and the end if it is one.

    `text` is the ending as stores keep it.
    """

    step: Step
    urgent: bool = False
    ending: CertificateBundle | CollectSSLError | None = None
    text: str | None = None


class Judge:
    """Says what answers mean, and remembers how the service has been doing."""

    def __init__(self, policy: PollPolicy, named: Named) -> None:
        self._policy = policy
        self._named = named
        self.service = Service()

    def is_about_us(self, error: CollectSSLError) -> bool:
        """Say whether the error has nothing to do with the order, so that every other would get it too."""
        return not self._policy.is_not_yet(error) and blame_for(error) is Blame.US

    def without_answer(self, kept: Kept) -> Step:
        """Return the step that is in the store during a call, for whoever goes on if nobody lives to see its answer.

        The call may have been answered: the order counts as just asked for, and nothing else is known.
        """
        if kept.collecting:
            return Step({}, step_after_collection(kept, self._policy, 0.0, attached=False).delay)
        return Step({}, step_after_not_yet(kept, self._policy, 0.0).delay)

    def after_response(self, kept: Kept, response: CollectSSLResponse) -> Verdict:
        """Return what a good reply means."""
        self.service.answered(kept.key)
        chance = random.random()  # noqa: S311 - jitter
        if response.payload is not None:
            step = step_after_collection(kept, self._policy, chance, attached=True)
            try:
                bundle = CertificateBundle.from_payload(response.payload)
            except CertificateError as error:
                return _ended(step, error)
            return Verdict(step, ending=bundle, text=certificates_as_text(response.payload))
        if kept.collecting:
            return Verdict(step_after_collection(kept, self._policy, chance, attached=False))
        step = step_after_status(kept, response.status, self._policy, chance)
        if response.status is not StatusCode.PROCESSING:
            return Verdict(step, urgent=True)  # collected at once, also where others are overdue
        soon = self._named.again_in(kept.key, chance)
        if soon is None or soon >= step.delay:
            return Verdict(step)
        return Verdict(step._replace(delay=soon), urgent=True)

    def after_error(self, kept: Kept, error: CollectSSLError, now: float) -> Verdict:
        """Return what an error that is not about us means for the order; `now` is on the loop's clock."""
        chance = random.random()  # noqa: S311 - jitter
        is_not_yet = self._policy.is_not_yet(error)
        if not is_not_yet and blame_for(error) is Blame.SERVICE:
            return self._after_outage(kept, error, now, chance)
        self.service.answered(kept.key)
        if is_not_yet:
            return Verdict(step_after_not_yet(kept, self._policy, chance))
        if self._policy.waits_out(error):
            return self._after_failure(kept, error, chance)
        return _ended(Step({"polls": kept.polls + 1, "failures": 0}, 0.0), error)

    def _after_outage(self, kept: Kept, error: CollectSSLError, now: float, chance: float) -> Verdict:
        retry_after = error.retry_after if isinstance(error, ServerUnavailableError) else None
        met, others_answered = self.service.failed(kept.key)
        pause = self._policy.delay_after_failure(self.service.failures, chance, retry_after=retry_after)
        self.service.closed_until = now + pause
        delay = max(pause, self._policy.delay_after_failure(met, chance))
        if others_answered:
            verdict = self._after_failure(kept, error, chance)
            return verdict._replace(step=verdict.step._replace(delay=delay))
        return Verdict(Step({}, delay))

    def _after_failure(self, kept: Kept, error: CollectSSLError, chance: float) -> Verdict:
        step = step_after_failure(kept, self._policy, chance)
        return Verdict(step) if kept.failures + 1 < self._policy.max_failures else _ended(step, error)


def _ended(step: Step, error: CollectSSLError) -> Verdict:
    return Verdict(step._replace(delay=0.0), ending=error, text=error_as_text(error))
