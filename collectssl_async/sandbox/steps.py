"""What has to be validated before each product is issued, and how far that is.

Tables, and one calculation over them. When an order moves is the order's business.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from ..models import StepStatus, ValidationState
from ..parameters import REPLY_PARAMETERS, Kind

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_USUAL = (-1, 0, 1, 2)
_EV_DETAIL = (-1, 0, 1)

STEP_VALUES: dict[str, tuple[int, ...]] = {
    "csrStatus": _USUAL,
    "dcvStatus": _USUAL,
    "ovCallbackStatus": _USUAL,
    "organizationValidationStatus": _USUAL,
    "freeDVUPStatus": _USUAL,
    "evClickThroughStatus": _USUAL,
    "brandValStatus": (-1, 1, 2),
    "evLegalExistence": _EV_DETAIL,
    "evAssumedName": _EV_DETAIL,
    "evPhysicalExistence": _EV_DETAIL,
    "evOperationalExistence": _EV_DETAIL,
    "evSignerApproverRequester": _EV_DETAIL,
    "evSignerSecondApproval": _EV_DETAIL,
    "maStatus": (-1, 0, 1, 2, 3),
}
"""The values that each step may have. Reference: "Response parameters"."""

EV_ONLY = tuple(name for name, values in STEP_VALUES.items() if values is _EV_DETAIL)
"""Steps that are sent for EV orders alone."""


class Stretch(NamedTuple):
    """When a step is taken: it is under way after `begins` stages of the order, and done after `ends` of them."""

    begins: int
    ends: int


_PLACED = -1  # under way, or done, from the moment when the order is placed

PATHS: dict[str, dict[str, Stretch]] = {
    "dv": {"csrStatus": Stretch(_PLACED, 0), "dcvStatus": Stretch(0, 1)},
    "ov": {
        "csrStatus": Stretch(_PLACED, 0),
        "dcvStatus": Stretch(0, 1),
        "organizationValidationStatus": Stretch(_PLACED, 2),
        "ovCallbackStatus": Stretch(2, 3),
    },
    "ev": {
        "csrStatus": Stretch(_PLACED, 0),
        "dcvStatus": Stretch(0, 1),
        "evLegalExistence": Stretch(0, 2),
        "evPhysicalExistence": Stretch(0, 3),
        "evOperationalExistence": Stretch(0, 4),
        "evAssumedName": Stretch(0, 5),
        "organizationValidationStatus": Stretch(_PLACED, 6),
        "ovCallbackStatus": Stretch(6, 7),
        "evSignerApproverRequester": Stretch(7, 8),
        "evClickThroughStatus": Stretch(8, 9),
        "evSignerSecondApproval": Stretch(9, 10),
    },
}
"""The steps that each product has to take, in the order in which they are done.

The organisation is validated beside the domains, for EV part by part: the reference's sample has dcvStatus 0 and
organizationValidationStatus 2. The call back to it, and who signs for it, come when it is known. A CSR is looked at
when the order is placed.
"""

_WAITS_FOR = {
    "brandValStatus": ValidationState.AWAITING_BRAND_VALIDATION,
    "dcvStatus": ValidationState.AWAITING_PRIVATE_WHOIS_ENTRY_RELEASE,
}
"""What an open step makes of the validation status; all others wait for documents."""

_WIRE_NAMES = {
    parameter.field.removeprefix("steps."): name
    for name, parameter in REPLY_PARAMETERS.items()
    if parameter.kind is Kind.STEP
}

_DONE = (StepStatus.COMPLETED, StepStatus.NOT_REQUIRED)


def wire_name(step: str) -> str:
    """Return a step's name on the wire, from that or from its field in `ValidationSteps`. `ValueError` if unknown."""
    name = _WIRE_NAMES.get(step, step)
    if name not in STEP_VALUES:
        raise ValueError(f"{step!r} is no validation step: it is one of {', '.join(STEP_VALUES)}")
    return name


def check_value(name: str, value: int) -> int:
    """Return the value; raise `ValueError` if the reference does not list it for that step."""
    allowed = STEP_VALUES[name]
    if value not in allowed:
        raise ValueError(f"{name} cannot be {value!r}: the reference lists {', '.join(map(str, allowed))}")
    return int(value)


def stages(product: str) -> int:
    """Return how many stages an order of that product goes through."""
    return max(stretch.ends for stretch in PATHS[product].values())


def at_progress(product: str, progress: float) -> dict[str, int]:
    """Return every step that is sent for a product, by wire name; `progress` runs from 0 (placed) to 1 (issued)."""
    steps = {name: -1 for name in STEP_VALUES if product == "ev" or name not in EV_ONLY}
    reached = progress * stages(product)
    for name, stretch in PATHS[product].items():
        if reached >= stretch.ends:
            steps[name] = StepStatus.COMPLETED
        elif reached > stretch.begins and StepStatus.IN_PROGRESS in STEP_VALUES[name]:
            steps[name] = StepStatus.IN_PROGRESS
        else:
            steps[name] = StepStatus.NOT_COMPLETED
    return steps


def domain_words(product: str, progress: float, steps: Mapping[str, int], names: Sequence[str]) -> list[str]:
    """Return each domain's DCV status. Domains are validated one by one while DCV is under way, all when it is done.

    While the brand is being validated (`brandValStatus` 2) the first name awaits it.
    """
    share = progress * stages(product) / PATHS[product]["dcvStatus"].ends
    if steps["dcvStatus"] in _DONE:
        validated = len(names)
    elif steps["dcvStatus"] == StepStatus.IN_PROGRESS:
        validated = min(int(share * len(names)), len(names) - 1)
    else:
        validated = 0
    words = [VALIDATED if place < validated else NOT_VALIDATED for place in range(len(names))]
    if steps["brandValStatus"] == StepStatus.IN_PROGRESS:
        words[0] = AWAITING_BRAND
    return words


def dcv_of(words: Sequence[str]) -> int:
    """Return the DCV step that domains' statuses amount to."""
    if all(word == VALIDATED for word in words):
        return StepStatus.COMPLETED
    return StepStatus.IN_PROGRESS if VALIDATED in words else StepStatus.NOT_COMPLETED


VALIDATED = "VALIDATED"
NOT_VALIDATED = "NOTVALIDATED"
AWAITING_BRAND = "AWAITINGBRAND"
"""The status of a domain that awaits brand validation; the reference names none."""

DOMAIN_WORDS = (VALIDATED, NOT_VALIDATED, AWAITING_BRAND)


def validation_text(product: str, steps: Mapping[str, int]) -> str:
    """Return the validation status: what the first open step waits for."""
    for name in ("brandValStatus", *PATHS[product]):
        if steps[name] not in _DONE:
            return _WAITS_FOR.get(name, ValidationState.AWAITING_LEGAL_DOCUMENTS).value
    return ValidationState.COMPLETE.value
