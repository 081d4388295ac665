"""What is asked and what is answered: frozen Pydantic models and the enumerations of the reference.

How they travel is `wire.py`'s business. Fields are named in snake_case; the wire's names stand in `parameters.py`.
"""

from __future__ import annotations

import re
from datetime import datetime
from enum import IntEnum, StrEnum
from typing import Annotated, Self, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, model_validator

ORDER_NUMBER_MAX = 128
CERTIFICATE_ID_DIGITS = 16


# --- enumerations -----------------------------------------------------------------------------------------------------


class QueryType(IntEnum):
    """`queryType`: what is returned besides the status."""

    STATUS_ONLY = 0
    CERTIFICATE_AND_CHAIN = 1
    CERTIFICATE_ONLY = 2
    CHAIN_ONLY = 3


class ResponseType(IntEnum):
    """`responseType`: the container of the certificates."""

    ZIP = 0
    NETSCAPE = 1
    PKCS7 = 2
    INDIVIDUAL = 3


class ResponseEncoding(IntEnum):
    """`responseEncoding`: base64 text, or the bare container."""

    BASE64 = 0
    BINARY = 1


class ResponseFormat(IntEnum):
    """`responseFormat`: how a text reply is laid out."""

    NEWLINE = 0
    URL_ENCODED = 1


class BehaviourVersion(IntEnum):
    """`behaviourVersion`: whether a replaced certificate is sent (OLD) or refused with -23 (NEW)."""

    OLD = 0
    NEW = 1


class StatusCode(IntEnum):
    """The first thing in every good reply."""

    PROCESSING = 0
    AVAILABLE = 1
    ATTACHED = 2


class StepStatus(IntEnum):
    """How far one validation step is; `NOT_REQUIRED` also stands for "not applicable" and "irrelevant"."""

    NOT_REQUIRED = -1
    NOT_COMPLETED = 0
    COMPLETED = 1
    IN_PROGRESS = 2
    REJECTED = 3


class CertificateState(StrEnum):
    """The documented texts of `certificateStatus`."""

    AWAITING_VALIDATION = "Awaiting Validation"
    ISSUED = "Issued"
    REVOKED = "Revoked"
    NO_STATUS = "NO STATUS"
    OTHER = "Other"


class ValidationState(StrEnum):
    """The documented texts of `validationStatus`."""

    COMPLETE = "Complete"
    AWAITING_LEGAL_DOCUMENTS = "Awaiting Legal Documents"
    AWAITING_DOCUMENT_TRANSLATION = "Awaiting Document Translation"
    AWAITING_PRIVATE_WHOIS_ENTRY_RELEASE = "Awaiting private WHOIS entry release"
    AWAITING_BRAND_VALIDATION = "Awaiting Brand Validation"
    OTHER = "Other"


class CAAState(StrEnum):
    """The documented texts of `caaStatus`; `Error 403` is `ERROR` with a code."""

    AUTHORIZED = "Authorized"
    NOT_AUTHORIZED = "Not Authorized"
    UNRECOGNIZED_CRITICAL_TAG = "Unrecognized Critical Tag"
    EMPTY = "Empty"
    MALFORMED_RESPONSE = "Malformed Response"
    TIMEOUT = "Timeout"
    ERROR = "ERROR"
    AWAITING_COMPLETION = "Awaiting Completion"
    OTHER = "Other"


_State = TypeVar("_State", CertificateState, ValidationState, CAAState)
_QUALIFIER = re.compile(r"\s*[(\[].{0,200}\Z|\s*\.\s*\Z", re.DOTALL)
_CAA_ERROR = re.compile(r"\s*error\s{1,8}(-?[0-9]{1,9})\s*\.?\s*\Z", re.ASCII | re.IGNORECASE)


def _state_of(text: str | None, states: type[_State]) -> _State | None:
    """Read a documented text whatever its case, spacing or qualifier; `OTHER` for what nobody documented."""
    if text is None:
        return None
    bare = " ".join(_QUALIFIER.sub("", text[:400]).split()).casefold()
    return next((state for state in states if state.value.casefold() == bare), states["OTHER"])


# --- what is asked ----------------------------------------------------------------------------------------------------


def _without_control_characters(text: str) -> str:
    if any(character < " " or "\x7f" <= character <= "\x9f" for character in text):
        raise ValueError("must not contain control characters (a line break at its end, perhaps)")
    return text


_OrderNumber = Annotated[
    str,
    StringConstraints(min_length=1, max_length=ORDER_NUMBER_MAX),
    AfterValidator(_without_control_characters),
]
_CertificateID = Annotated[int, Field(ge=0, lt=10**CERTIFICATE_ID_DIGITS)]
_BaseOrderNumber = Annotated[int, Field(ge=0, lt=10**ORDER_NUMBER_MAX)]


class _Identified(BaseModel, frozen=True):
    """The three ways to name an order. Changelog v1.16: at least one must be sent; more than one is legal."""

    model_config = ConfigDict(extra="forbid")

    order_number: _OrderNumber | None = None
    certificate_id: _CertificateID | None = None
    base_order_number: _BaseOrderNumber | None = None

    @model_validator(mode="after")
    def _is_identified(self) -> Self:
        if self.order_number is None and self.certificate_id is None and self.base_order_number is None:
            raise ValueError("name the order: order_number, certificate_id or base_order_number must be given")
        return self


class OrderRef(_Identified, frozen=True):
    """Which order is meant: by order number, certificate ID or base order number, at least one of them."""

    @classmethod
    def of(cls, order: OrderRef | str) -> OrderRef:
        """Return an order as it is; read a `str` as an order number. Raises `TypeError` for anything else."""
        if isinstance(order, OrderRef):
            return order
        if isinstance(order, str):
            return OrderRef(order_number=order)
        raise TypeError(f"an order is an OrderRef or an order number as str, not {type(order).__name__}")

    def __str__(self) -> str:
        ids = {"certificate_id": self.certificate_id, "base_order_number": self.base_order_number}
        named = [f"{name}={value}" for name, value in ids.items() if value is not None]
        return " ".join([self.order_number, *named] if self.order_number is not None else named)


class CollectSSLRequest(_Identified, frozen=True):
    """One call, as the reference's "Request parameters" has it. Only what is set is sent, a flag only when True.

    What the reference forbids is refused here, before any call, with pydantic's `ValidationError`.
    """

    query_type: QueryType
    response_type: ResponseType | None = None
    response_encoding: ResponseEncoding | None = None
    show_validity_period: bool = False
    show_fqdn: bool = False
    show_ext_status: bool = False
    response_format: ResponseFormat | None = None
    show_mdc_domain_details: bool = False
    show_mdc_domain_details2: bool = False
    show_status_details: bool = False
    behaviour_version: BehaviourVersion | None = None

    @model_validator(mode="after")
    def _is_allowed(self) -> Self:
        whole = self.query_type is QueryType.CERTIFICATE_AND_CHAIN
        if self.response_type not in (None, ResponseType.INDIVIDUAL) and not whole:
            raise ValueError(
                f"response_type {self.response_type.name} needs query_type 1 (CERTIFICATE_AND_CHAIN): "
                "use INDIVIDUAL, or leave response_type out"
            )
        if self.response_encoding is ResponseEncoding.BINARY and not (
            whole and self.response_type in (ResponseType.ZIP, ResponseType.PKCS7)
        ):
            raise ValueError(
                "response_encoding BINARY needs query_type 1 (CERTIFICATE_AND_CHAIN) and response_type ZIP or PKCS7"
            )
        return self


# What is answered is built at its first use (`defer_build`), not while the package is imported.

# --- what is answered -------------------------------------------------------------------------------------------------


class Period(BaseModel, frozen=True):
    """A stretch of time: aware UTC datetimes and whole days, each None where the reply does not say."""

    model_config = ConfigDict(defer_build=True)

    start: datetime | None = None
    end: datetime | None = None
    days: int | None = None


class DomainValidation(BaseModel, frozen=True):
    """One domain of a multi-domain certificate and its DCV status, verbatim."""

    model_config = ConfigDict(defer_build=True)

    domain: str
    status: str


Step = Annotated[StepStatus | int | None, Field(union_mode="left_to_right")]  # else a bare int comes out


class ValidationSteps(BaseModel, frozen=True):
    """How far each validation step is: a `StepStatus`, a number nobody documented, or None where it was not sent.

    Reference: "Response parameters".
    """

    model_config = ConfigDict(defer_build=True)

    csr: Step = None
    dcv: Step = None
    ov_callback: Step = None
    organization_validation: Step = None
    free_dv_upgrade: Step = None
    ev_click_through: Step = None
    brand_validation: Step = None
    ev_legal_existence: Step = None
    ev_assumed_name: Step = None
    ev_physical_existence: Step = None
    ev_operational_existence: Step = None
    ev_signer_approver_requester: Step = None
    ev_signer_second_approval: Step = None
    enterprise_authentication: Step = None


class CertificatePayload(BaseModel, frozen=True):
    """The certificates of a reply as received.

    `data` is the container (ZIP, PKCS#7 or Netscape sequence; None where certificates came one by one), `certificates`
    are DER in the order received, `leaf` is the end-entity one where the reply said which it is.
    """

    model_config = ConfigDict(defer_build=True, ser_json_bytes="base64", val_json_bytes="base64")

    response_type: ResponseType
    data: bytes | None = None
    certificates: tuple[bytes, ...]
    leaf: bytes | None = None


class CollectSSLResponse(BaseModel, frozen=True):
    """A good reply. Status texts are verbatim, `*_state` is what they mean, `extra` holds what nobody documented.

    Reference: "Response parameters". `extra` maps a wire name to its values; undocumented lines of the
    newline-delimited format, which have no name, stand under `""`.
    """

    model_config = ConfigDict(defer_build=True)

    status: StatusCode
    validity: Period | None = None
    product_term: Period | None = None
    fqdn: str | None = None
    certificate_status: str | None = None
    validation_status: str | None = None
    caa_status: str | None = None
    steps: ValidationSteps | None = None
    mdc_domain_details: tuple[DomainValidation, ...] = ()
    mdc_domain_details2: tuple[DomainValidation, ...] = ()
    payload: CertificatePayload | None = None
    extra: dict[str, tuple[str, ...]] = Field(default_factory=dict)

    @property
    def certificate_state(self) -> CertificateState | None:
        """What `certificate_status` says, without its qualifier."""
        return _state_of(self.certificate_status, CertificateState)

    @property
    def validation_state(self) -> ValidationState | None:
        """What `validation_status` says, without its qualifier."""
        return _state_of(self.validation_status, ValidationState)

    @property
    def caa_state(self) -> CAAState | None:
        """What `caa_status` says; `Error 403` is `ERROR`, see `caa_error_code`."""
        if self.caa_status is not None and _CAA_ERROR.match(self.caa_status):
            return CAAState.ERROR
        return _state_of(self.caa_status, CAAState)

    @property
    def caa_error_code(self) -> int | None:
        """The number in `Error 403`."""
        found = _CAA_ERROR.match(self.caa_status) if self.caa_status is not None else None
        return int(found[1]) if found else None
