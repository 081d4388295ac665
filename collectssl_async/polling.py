"""When to ask again: the policy's arithmetic, and the state from which a wait goes on in another process.

Pure: no clock of its own, no randomness, no I/O. Callers hand in the time and a random number. What an answer changes
stands in the `step_after_…` functions, which move a `PollState` and the plain data of many orders alike.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Literal, NamedTuple, Protocol, Self

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, field_validator, model_validator

from .errors import API_ERRORS, APIError, AuthenticationError, GuardError, MalformedResponseError, TransportError
from .models import OrderRef, StatusCode

if TYPE_CHECKING:
    from .errors import CollectSSLError
    from .models import CollectSSLResponse

THREE_HOURS = 3 * 3600.0
"""Sectigo's advice: poll one order no more often than once in three hours. Seconds."""

_AUTHENTICATION = next(code for code, known in API_ERRORS.items() if known.error is AuthenticationError)

_Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class PollPolicy(BaseModel, frozen=True):
    """How long to wait between two polls of one order. All intervals are seconds; `jitter` only lengthens them.

    Told "not yet", the n-th time, the next poll comes `min_interval * factor ** (n - 1)` later, at most
    `max_interval`. Failing to ask is another thing: it is tried again after `failure_interval`, doubling up to
    `max_failure_interval`, and after `max_failures` in a row the last failure is raised. Codes in `keep_waiting_for`
    count as "not yet"; -16 cannot be among them, since guessing passwords locks accounts.
    """

    model_config = ConfigDict(extra="forbid")

    initial_delay: _Seconds = 0.0
    min_interval: _Seconds = 60.0
    factor: Annotated[float, Field(ge=1, allow_inf_nan=False)] = 2.0
    max_interval: _Seconds = THREE_HOURS
    jitter: Annotated[float, Field(ge=0, le=1)] = 0.1
    failure_interval: _Seconds = 30.0
    max_failure_interval: _Seconds = 3600.0
    max_failures: Annotated[int, Field(ge=1)] = 40
    keep_waiting_for: frozenset[int] = frozenset()

    @field_validator("keep_waiting_for")
    @classmethod
    def _are_codes_to_wait_for(cls, codes: frozenset[int]) -> frozenset[int]:
        if _AUTHENTICATION in codes:
            raise ValueError(f"{_AUTHENTICATION} cannot be waited for: repeated wrong logins lock the account")
        if wrong := sorted(code for code in codes if code >= 0):
            raise ValueError(f"error codes are negative, not {wrong[0]}")
        return codes

    @model_validator(mode="after")
    def _is_ordered(self) -> Self:
        for shorter, longer in (("min_interval", "max_interval"), ("failure_interval", "max_failure_interval")):
            if getattr(self, shorter) > getattr(self, longer):
                raise ValueError(
                    f"{longer} ({getattr(self, longer):g} s) must be at least {shorter} ({getattr(self, shorter):g} s)"
                )
        return self

    @classmethod
    def gentle(cls) -> Self:
        """Return Sectigo's own advice: an order is asked for no more often than once in three hours."""
        return cls(min_interval=THREE_HOURS, max_interval=THREE_HOURS)

    @property
    def longest_pause(self) -> float:
        """Seconds of the longest pause that this policy ever makes, jitter included."""
        return max(self.initial_delay, self.max_interval, self.max_failure_interval) * (1 + self.jitter)

    def delay_after_answer(self, polls: int, chance: float) -> float:
        """Return the seconds from the `polls`-th "not yet" to the next poll; `chance` in [0, 1) draws the jitter."""
        return self._lengthened(_grown(self.min_interval, self.factor, polls - 1, self.max_interval), chance)

    def delay_after_failure(self, failures: int, chance: float, *, retry_after: float | None = None) -> float:
        """Return the seconds from the `failures`-th failure in a row to the next try.

        What the service asked for in `Retry-After` (seconds) is obeyed up to `max_interval`.
        """
        delay = self._lengthened(_grown(self.failure_interval, 2.0, failures - 1, self.max_failure_interval), chance)
        return max(delay, min(retry_after or 0.0, self.max_interval))

    def pause_until(self, due_in: float) -> float:
        """Return the seconds to sleep for a poll that a kept state says is due in so many: a clock may be wrong."""
        return min(max(due_in, 0.0), self.longest_pause)

    def _lengthened(self, delay: float, chance: float) -> float:
        return delay * (1 + self.jitter * chance)

    def is_not_yet(self, error: CollectSSLError) -> bool:
        """Say whether this refusal is one that the caller asked to take for "not yet"."""
        return isinstance(error, APIError) and error.code in self.keep_waiting_for

    def waits_out(self, error: CollectSSLError) -> bool:
        """Say whether this failure is tried again. Every other error ends a wait."""
        if isinstance(error, APIError):
            return error.code in API_ERRORS and API_ERRORS[error.code].waits
        return isinstance(error, TransportError | MalformedResponseError | GuardError)


def _grown(first: float, factor: float, times: int, largest: float) -> float:
    try:
        return float(min(first * factor ** max(times, 0), largest))
    except OverflowError:
        return largest


class Counted(Protocol):
    """What of a wait decides when to ask again, besides the policy: a `PollState` has it, and so has any plain data."""

    @property
    def polls(self) -> int: ...
    @property
    def failures(self) -> int: ...
    @property
    def collections(self) -> int: ...
    @property
    def last_status(self) -> StatusCode | None: ...


class Step(NamedTuple):
    """What one poll changes in the counts of a wait, and the seconds from then to the next poll."""

    changes: dict[str, int | StatusCode]
    delay: float


def is_ready(status: StatusCode | None) -> bool:
    """Say whether this status means that the certificate can be collected."""
    return status is not None and status is not StatusCode.PROCESSING


def step_after_status(wait: Counted, status: StatusCode, policy: PollPolicy, chance: float) -> Step:
    """Return the step that an answered status makes."""
    polls = wait.polls + 1
    delay = 0.0 if is_ready(status) else policy.delay_after_answer(polls, chance)
    return Step({"polls": polls, "failures": 0, "collections": 0, "last_status": status}, delay)


def step_after_collection(wait: Counted, policy: PollPolicy, chance: float, *, attached: bool) -> Step:
    """Return the step that an answered collection makes, with the certificate or without it after all."""
    collections = 0 if attached else wait.collections + 1
    delay = 0.0 if attached else policy.delay_after_failure(collections, chance)
    status = StatusCode.ATTACHED if attached else StatusCode.AVAILABLE
    return Step({"polls": wait.polls + 1, "failures": 0, "collections": collections, "last_status": status}, delay)


def step_after_not_yet(wait: Counted, policy: PollPolicy, chance: float) -> Step:
    """Return the step that a refusal makes which counts as "not yet"."""
    polls = wait.polls + 1
    return Step({"polls": polls, "failures": 0}, policy.delay_after_answer(polls, chance))


def step_after_failure(wait: Counted, policy: PollPolicy, chance: float, *, retry_after: float | None = None) -> Step:
    """Return the step that a failure to ask makes."""
    failures = wait.failures + 1
    return Step({"failures": failures}, policy.delay_after_failure(failures, chance, retry_after=retry_after))


class PollState(BaseModel, frozen=True):
    """Where a wait stands. Round-trips through JSON and holds no credentials.

    `polls` counts answers, `failures` the failures since the last answer, `collections` the answered collections that
    brought no certificate. Times are aware wall-clock datetimes: the only ones that mean anything in another process.
    """

    model_config = ConfigDict(defer_build=True, extra="ignore")

    version: Literal[1] = 1
    order: OrderRef
    started_at: AwareDatetime
    polls: Annotated[int, Field(ge=0)] = 0
    failures: Annotated[int, Field(ge=0)] = 0
    collections: Annotated[int, Field(ge=0)] = 0
    last_status: StatusCode | None = None
    last_poll_at: AwareDatetime | None = None
    next_poll_at: AwareDatetime

    @classmethod
    def begin(cls, order: OrderRef, policy: PollPolicy, now: datetime) -> Self:
        """Return the state of a wait that begins at `now`."""
        return cls(order=order, started_at=now, next_poll_at=now + timedelta(seconds=policy.initial_delay))

    @property
    def collecting(self) -> bool:
        """Whether the certificate was said to be there, so that the next call collects it."""
        return is_ready(self.last_status)

    def pause(self, policy: PollPolicy, now: datetime) -> float:
        """Return the seconds until the next poll, never longer than the policy's longest: a clock may be wrong."""
        return policy.pause_until((self.next_poll_at - now).total_seconds())

    def after_status(self, status: StatusCode, policy: PollPolicy, now: datetime, chance: float) -> Self:
        """Return the state after a status was answered: once available, the certificate is collected at once."""
        return self._moved(now, step_after_status(self, status, policy, chance))

    def after_collection(self, policy: PollPolicy, now: datetime, chance: float, *, attached: bool) -> Self:
        """Return the state after a collection was answered, with the certificate or without it after all."""
        return self._moved(now, step_after_collection(self, policy, chance, attached=attached))

    def after_not_yet(self, policy: PollPolicy, now: datetime, chance: float) -> Self:
        """Return the state after a refusal that counts as "not yet"."""
        return self._moved(now, step_after_not_yet(self, policy, chance))

    def after_failure(
        self, policy: PollPolicy, now: datetime, chance: float, *, retry_after: float | None = None
    ) -> Self:
        """Return the state after a failure to ask, which leaves the schedule of answers as it was."""
        return self._moved(now, step_after_failure(self, policy, chance, retry_after=retry_after))

    def _moved(self, now: datetime, step: Step) -> Self:
        times = {"last_poll_at": now, "next_poll_at": now + timedelta(seconds=step.delay)}
        return self.model_copy(update={**times, **step.changes})


@dataclass(frozen=True, slots=True)
class PollUpdate:
    """What one poll brought: the state after it, and the reply or the failure that is waited out."""

    state: PollState
    response: CollectSSLResponse | None = None
    error: CollectSSLError | None = None

    @property
    def status(self) -> StatusCode | None:
        """The status in the reply; None after a failure."""
        return self.response.status if self.response is not None else None
