"""Asks and decodes in one line: what a reply's body says to a request of the given fields."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote_plus, urlencode

import pytest

from collectssl_async import wire
from collectssl_async.models import CollectSSLRequest

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from collectssl_async.models import CertificatePayload, CollectSSLResponse

EVERYTHING: dict[str, Any] = dict.fromkeys(
    (
        "show_validity_period",
        "show_fqdn",
        "show_ext_status",
        "show_mdc_domain_details",
        "show_mdc_domain_details2",
        "show_status_details",
    ),
    True,
)
"""Every flag set."""


def ask(**fields: Any) -> CollectSSLRequest:
    """Return a request for status, certificate and chain of an order, but for the given fields."""
    return CollectSSLRequest.model_validate({"order_number": "1", "query_type": 1} | fields)


def decode(body: bytes | str, *, content_type: str | None = "text/plain", **fields: Any) -> CollectSSLResponse:
    """Return what the body says to a request of the given fields."""
    raw = body.encode() if isinstance(body, str) else body
    return wire.decode_response(ask(**fields), content_type=content_type, body=raw)


def form(status: int | str, *pairs: tuple[str, str]) -> str:
    """Return a URL-encoded reply."""
    return urlencode([("errorCode", status), *pairs], quote_via=quote_plus)


def lines(*texts: int | str, line_break: str = "\n") -> str:
    """Return a newline-delimited reply."""
    return line_break.join(map(str, texts))


def numbered(names: str, values: Sequence[Any]) -> pytest.MarkDecorator:
    """Parametrize over values that make no readable names for tests."""
    return pytest.mark.parametrize(names, values, ids=[str(number) for number in range(len(values))])


def payload_of(response: CollectSSLResponse) -> CertificatePayload:
    """Return the payload that has to be there."""
    assert response.payload is not None
    return response.payload


def said(response: CollectSSLResponse) -> dict[str, Any]:
    """Return what a response says besides its status, without what it does not."""
    shown = response.model_dump(exclude={"status", "payload"}, exclude_none=True)
    return {field: value for field, value in shown.items() if value}


def unnamed(response: CollectSSLResponse) -> Iterable[str]:
    """Return the lines that nobody documented."""
    return response.extra.get("", ())
