"""What a push notification says: fields in, `PushNotification` out. Who may send one is `push.py`'s business.

Reference: "Certificate issuance push". As in replies, an unknown word or number fails nothing.
"""

from __future__ import annotations

import re
from enum import IntEnum
from typing import TYPE_CHECKING, Annotated
from urllib.parse import parse_qsl

from pydantic import BaseModel, ConfigDict, Field

from ._hints import Hint
from .models import CERTIFICATE_ID_DIGITS, ORDER_NUMBER_MAX

if TYPE_CHECKING:
    from collections.abc import Callable

_FIELDS_MAX = 100
_NAME_MAX = 128  # characters of an event's type
_REQUIRED = "orderNumber or certificateID, and eventType"

_INTEGER = re.compile(r"\s*(-?[0-9]{1,9})\s*", re.ASCII)
_CERTIFICATE_ID = re.compile(rf"\s*([0-9]{{1,{CERTIFICATE_ID_DIGITS}}})\s*", re.ASCII)
_BETWEEN_DOMAINS = re.compile(r"[\s,;]{1,1000}")


class PushStatusCode(IntEnum):
    """The documented values of `statusCode`."""

    PRE_SIGN_FAILED = 3
    POST_SIGN_FAILED = 5
    ISSUED = 6
    REJECTED = 7
    REVOKED = 8
    ISSUED_NOT_COLLECTED = 9
    AWAITING_BRAND_VALIDATION = 12
    REPLACED = 14


class PushNotification(BaseModel, frozen=True):
    """One notification: something happened to an order. A hint, never a certificate to deploy.

    `certificate` and `ca_certificate` are the PEM that came with it, unproven: collect the order for one that is.
    What is not documented, or cannot be read, stands in `extra` under its own name.
    """

    model_config = ConfigDict(defer_build=True)

    order_number: str | None = None
    certificate_id: int | None = None
    event_type: str
    status: str | None = None
    status_code: Annotated[PushStatusCode | int | None, Field(union_mode="left_to_right")] = None
    status_desc: str | None = None
    removed_domains: tuple[str, ...] = ()
    revocation_reason_code: int | None = None
    revocation_reason_name: str | None = None
    certificate: str | None = Field(default=None, repr=False)
    ca_certificate: str | None = Field(default=None, repr=False)
    extra: dict[str, tuple[str, ...]] = {}

    @property
    def hint(self) -> Hint:
        """Which order it is about."""
        return Hint(self.order_number, self.certificate_id)


def _integer(text: str) -> int | None:
    found = _INTEGER.fullmatch(text)
    return int(found[1]) if found else None


def _certificate_id(text: str) -> int | None:
    found = _CERTIFICATE_ID.fullmatch(text)
    return int(found[1]) if found else None


def _order_number(text: str) -> str | None:
    return _name(text, ORDER_NUMBER_MAX)


def _event_type(text: str) -> str | None:
    return _name(text, _NAME_MAX)


def _name(text: str, longest: int) -> str | None:
    name = text.strip()
    return name if name.isprintable() and "\ufffd" not in name and len(name) <= longest else None


def _domains(text: str) -> tuple[str, ...]:
    return tuple(filter(None, _BETWEEN_DOMAINS.split(text)))


FIELDS: dict[str, tuple[str, Callable[[str], object]]] = {
    "ordernumber": ("order_number", _order_number),
    "certificateid": ("certificate_id", _certificate_id),
    "eventtype": ("event_type", _event_type),
    "status": ("status", str.strip),
    "statuscode": ("status_code", _integer),
    "statusdesc": ("status_desc", str.strip),
    "removeddomains": ("removed_domains", _domains),
    "revocationreasoncode": ("revocation_reason_code", _integer),
    "revocationreasonname": ("revocation_reason_name", str.strip),
    "certificate": ("certificate", str.strip),
    "cacertificate": ("ca_certificate", str.strip),
}
"""The wire's names in lower case: the field of each, and how it is read."""


def read_notification(form: bytes) -> PushNotification:
    """Read a query string or a form's body.

    Raises `ValueError` that says what is missing or cannot be read: the names of the order and the type of the event
    must be there, and a name that is there must be one.
    """
    try:
        # Texts for people come in windows-1252, too: only what names the order must be whole.
        pairs = parse_qsl(form.decode(errors="replace"), max_num_fields=_FIELDS_MAX)
    except ValueError:
        raise ValueError(f"a notification has at most {_FIELDS_MAX} fields") from None
    values: dict[str, object] = {}
    extra: dict[str, tuple[str, ...]] = {}
    for name, text in pairs:
        field, read = FIELDS.get(name.lower(), (None, str))
        if not text.strip():
            continue
        value = read(text)
        if field is not None and value is not None and field not in values:
            values[field] = value
        elif field in ("order_number", "certificate_id"):
            raise ValueError(f"{name} cannot be read, or came twice")
        else:
            extra[name] = (*extra.get(name, ()), text)
    if "event_type" not in values or not values.keys() & {"order_number", "certificate_id"}:
        raise ValueError(f"{_REQUIRED} are required")
    return PushNotification.model_validate({**values, "extra": extra})
