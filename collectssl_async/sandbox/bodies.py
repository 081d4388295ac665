"""The JSON that the management API takes: one model for each body, and what is said of one that does not fit.

A model checks fields and types; what else may be wrong with a value is said by the part of the sandbox that it is for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]

Text = Annotated[str, Field(max_length=253)]
"""A name of any kind; what is wrong with it is repeated in the refusal, so it is bounded here."""

TIMES_MAX = 10_000
"""How many calls one order of faults is good for."""

_NAME_SHOWN = 40  # characters of a field that nobody knows


class Body(BaseModel):
    """A JSON object without fields. A field's description is what its value must be."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class NewOrder(Body):
    """`POST /orders`. See `Sandbox.place_order`."""

    fqdn: Text = Field(description="a DNS name")
    names: tuple[Text, ...] = Field((), description="a list of further DNS names")
    csr: str | None = Field(None, description="a signing request in PEM, or null")
    product: Literal["dv", "ov", "ev"] = Field("dv", description='"dv", "ov" or "ev"')
    issue_after: Seconds | None = Field(0, description="seconds, 0 or more, or null for by hand")
    issue_after_polls: Annotated[int, Field(ge=0)] | None = Field(
        None, description="a whole number of polls, 0 or more, or null"
    )


class NewCSR(Body):
    """`POST /orders/{n}/replace`."""

    csr: str | None = Field(None, description="a signing request in PEM, or null for a new key")


class StepValue(Body):
    """`POST /orders/{n}/step`."""

    name: Text = Field(description="the name of a validation step")
    value: int = Field(description="a whole number")


class NewFault(Body):
    """`POST /faults`. See `Sandbox.fail_next`."""

    kind: int | Text = Field(description="a negative error code, an HTTP status, or the name of a fault")
    times: int = Field(1, ge=1, le=TIMES_MAX, description=f"a number of calls, 1 to {TIMES_MAX}")


class Settings(Body):
    """`PATCH /settings`. What is not given stays."""

    latency: Seconds = Field(0, description="seconds, 0 or more")
    jitter: Seconds = Field(0, description="seconds, 0 or more")
    linger: Seconds = Field(0, description="seconds, 0 or more")
    retry_after: Seconds | None = Field(None, description="seconds, 0 or more, or null for none")
    strict: bool = Field(default=True, description="true or false")
    switches: tuple[Text, ...] = Field((), description="a list of switches")
    locked: Literal[False] = Field(default=False, description="false: wrong logins lock the account, nothing else does")


class Reset(Body):
    """`POST /reset`. See `Sandbox.reset`."""

    seed: int | str | None = Field(None, description="a whole number or a text, or null to keep the seed")


def what_is_wrong(error: ValidationError, model: type[Body]) -> tuple[str, list[str]]:
    """Return what is wrong with a body, in one line, and the names of the fields at fault."""
    said: dict[str, str] = {}
    for each in error.errors(include_url=False, include_input=False, include_context=False):
        field = str(each["loc"][0])[:_NAME_SHOWN] if each["loc"] else ""
        said.setdefault(field, _one(each, field, model))
    return "; ".join(said.values()), [field for field in said if field]


def _one(each: ErrorDetails, field: str, model: type[Body]) -> str:
    if each["type"] == "json_invalid":
        return f"the body cannot be read: {each['msg']}"
    if not field:
        return "the body must be a JSON object"
    if each["type"] == "extra_forbidden":
        known: Any = ", ".join(model.model_fields) or "none"
        return f"there is no field {field!r} here: the fields are {known}"
    wanted = model.model_fields[field].description
    return f"{field} is missing: it is {wanted}" if each["type"] == "missing" else f"{field} must be {wanted}"
