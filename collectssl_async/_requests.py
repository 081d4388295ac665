"""The two requests that the client makes by itself. What else can be asked is the user's to say."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from .models import CollectSSLRequest, QueryType, ResponseFormat, ResponseType

if TYPE_CHECKING:
    from .models import OrderRef

_remembered = lru_cache(maxsize=128)  # a wait asks for the same order over and over


def status_request(order: OrderRef) -> CollectSSLRequest:
    """Return the request for all that the API tells of an order, without its certificate."""
    return _status_request(order.order_number, order.certificate_id, order.base_order_number)


def certificate_request(order: OrderRef) -> CollectSSLRequest:
    """Return the request for the certificate and its chain, each certificate by itself and the leaf by its name."""
    return _certificate_request(order.order_number, order.certificate_id, order.base_order_number)


@_remembered
def _status_request(number: str | None, certificate_id: int | None, base_number: int | None) -> CollectSSLRequest:
    return CollectSSLRequest(
        order_number=number,
        certificate_id=certificate_id,
        base_order_number=base_number,
        query_type=QueryType.STATUS_ONLY,
        response_format=ResponseFormat.URL_ENCODED,
        show_validity_period=True,
        show_fqdn=True,
        show_ext_status=True,
        show_mdc_domain_details=True,
        show_mdc_domain_details2=True,
        show_status_details=True,
    )


@_remembered
def _certificate_request(number: str | None, certificate_id: int | None, base_number: int | None) -> CollectSSLRequest:
    return CollectSSLRequest(
        order_number=number,
        certificate_id=certificate_id,
        base_order_number=base_number,
        query_type=QueryType.CERTIFICATE_AND_CHAIN,
        response_type=ResponseType.INDIVIDUAL,
        response_format=ResponseFormat.URL_ENCODED,
    )
