"""Reads a call's form and checks it, in the order in which the service does.

What is wrong is raised as the `APIError` that the caller gets. Whether the order exists is the order book's question,
whether the password is right the account's.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import unquote_to_bytes

from ..credentials import LOGIN_NAME_MAX, LOGIN_PASSWORD_MAX
from ..errors import APIError
from ..models import (
    ORDER_NUMBER_MAX,
    BehaviourVersion,
    CollectSSLRequest,
    QueryType,
    ResponseEncoding,
    ResponseFormat,
    ResponseType,
)
from ..parameters import LOGIN_NAME, LOGIN_PASSWORD, REQUEST_PARAMETERS

if TYPE_CHECKING:
    from collections.abc import Callable

BODY_MAX = 64 * 1024
"""Bytes that a request may have."""

FORM_TYPE = "application/x-www-form-urlencoded"
LOGIN_PARAMETERS = {LOGIN_NAME: LOGIN_NAME_MAX, LOGIN_PASSWORD: LOGIN_PASSWORD_MAX}


class Rule(NamedTuple):
    """What a parameter's value looks like, and how it is read."""

    pattern: re.Pattern[str]
    read: Callable[[str], Any]


def _rule(pattern: str, read: Callable[[str], Any]) -> Rule:
    return Rule(re.compile(pattern, re.ASCII), read)


def _number_of(enumeration: Callable[[int], Any]) -> Callable[[str], Any]:
    return lambda text: enumeration(int(text))


_FLAG = _rule("[YN]", "Y".__eq__)

RULES: dict[str, Rule] = {
    # A control character is in no order number that was ever given out.
    "orderNumber": _rule(rf"[^\x00-\x1f\x7f-\x9f]{{1,{ORDER_NUMBER_MAX}}}", str),
    "certificateID": _rule("[0-9]{1,16}", int),
    "baseOrderNumber": _rule(f"[0-9]{{1,{ORDER_NUMBER_MAX}}}", int),
    "queryType": _rule("[0-3]", _number_of(QueryType)),
    "responseType": _rule("[0-3]", _number_of(ResponseType)),
    "responseEncoding": _rule("[01]", _number_of(ResponseEncoding)),
    "showValidityPeriod": _FLAG,
    "showFQDN": _FLAG,
    "showExtStatus": _FLAG,
    "responseFormat": _rule("[01]", _number_of(ResponseFormat)),
    "showMDCDomainDetails": _FLAG,
    "showMDCDomainDetails2": _FLAG,
    "showStatusDetails": _FLAG,
    "behaviourVersion": _rule("[01]", _number_of(BehaviourVersion)),
}
"""The rule of every request parameter. Reference: "Request parameters"."""

IDENTIFIERS = ("orderNumber", "certificateID", "baseOrderNumber")


class Form(NamedTuple):
    """The values of a request by parameter, None for what is not UTF-8; an empty value is no value.

    `recognised` is False if a parameter's name is not the reference's, with or without a value.
    """

    values: dict[str, list[str | None]]
    recognised: bool = True

    def text(self, name: str) -> str | None:
        """Return the first value, None if there is none that can be read."""
        return next(iter(self.values.get(name, ())), None)

    @property
    def response_format(self) -> ResponseFormat:
        """The format asked for, whatever else is wrong with the request."""
        asked = self.values.get("responseFormat")
        return ResponseFormat.URL_ENCODED if asked == ["1"] else ResponseFormat.NEWLINE


def refusal(code: int, item: str | None = None, *, note: str = "") -> APIError:
    """Return the API's error with its documented text, the argument's name filled in where -3 and -4 name one."""
    text = APIError.from_code(code).message.replace("xxxx", item or "xxxx")
    return APIError.from_code(code, f"{text} {note}".rstrip(), item=item)


def read_form(content_type: str, body: bytes) -> Form:
    """Return the form's values; a body of any other content type is read as one without parameters."""
    values: dict[str, list[str | None]] = {}
    recognised = True
    if content_type.partition(";")[0].strip().lower() == FORM_TYPE:
        for pair in filter(None, body.split(b"&")):
            raw_name, _, value = pair.partition(b"=")
            name = _decoded(raw_name)
            if name not in RULES and name not in LOGIN_PARAMETERS:
                recognised = False
            elif value:
                values.setdefault(name, []).append(_decoded(value))
    return Form(values, recognised)


def _decoded(raw: bytes) -> str | None:
    try:
        return unquote_to_bytes(raw.replace(b"+", b" ")).decode()
    except UnicodeDecodeError:
        return None


def check_transport(scheme: str, method: str) -> None:
    """Raise -1 for plain http and -17 for any method but POST."""
    if scheme != "https":
        raise refusal(-1)
    if method != "POST":
        raise refusal(-17)


def check_login_is_there(form: Form) -> None:
    """Raise -3 if a login parameter is missing."""
    for name in LOGIN_PARAMETERS:
        if name not in form.values:
            raise refusal(-3, name)


def check_parameters(form: Form) -> CollectSSLRequest:
    """Return what was asked; raise -2, then -3, then -4, the parameters in the reference's order."""
    if not form.recognised:
        raise refusal(-2)
    if not any(name in form.values for name in IDENTIFIERS):
        raise refusal(-3, IDENTIFIERS[0])
    if "queryType" not in form.values:
        raise refusal(-3, "queryType")
    for name in (*LOGIN_PARAMETERS, *RULES):
        if name in form.values and not _is_valid(name, form.values[name]):
            raise refusal(-4, name)
    fields = {
        REQUEST_PARAMETERS[name]: rule.read(form.text(name) or "")
        for name, rule in RULES.items()
        if name in form.values
    }
    _check_combination(fields)
    return CollectSSLRequest(**fields)


def _is_valid(name: str, values: list[str | None]) -> bool:
    """A parameter that came twice, or is no UTF-8, is as invalid as one of the wrong form."""
    if len(values) > 1 or values[0] is None:
        return False
    return name in LOGIN_PARAMETERS or RULES[name].pattern.fullmatch(values[0]) is not None


def _check_combination(fields: dict[str, Any]) -> None:
    """Raise -4 for a container or an encoding that this query cannot have."""
    whole = fields["query_type"] is QueryType.CERTIFICATE_AND_CHAIN
    kind = fields.get("response_type", ResponseType.INDIVIDUAL)
    if kind is not ResponseType.INDIVIDUAL and not whole:
        raise refusal(-4, "responseType")
    binary = fields.get("response_encoding") is ResponseEncoding.BINARY
    if binary and kind not in (ResponseType.ZIP, ResponseType.PKCS7):
        raise refusal(-4, "responseEncoding")
