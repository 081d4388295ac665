"""The two requests that the client makes by itself. What else can be asked is the user's to say."""

from __future__ import annotations

from functools import lru_cache

from .models import CollectSSLRequest, OrderRef, QueryType, ResponseFormat, ResponseType


@lru_cache(maxsize=128)  # a wait asks for the same order over and over
def status_request(order: OrderRef) -> CollectSSLRequest:
    """Return the request for all that the API tells of an order, without its certificate."""
    return CollectSSLRequest(
        order_number=order.order_number,
        certificate_id=order.certificate_id,
        base_order_number=order.base_order_number,
        query_type=QueryType.STATUS_ONLY,
        response_format=ResponseFormat.URL_ENCODED,
        show_validity_period=True,
        show_fqdn=True,
        show_ext_status=True,
        show_mdc_domain_details=True,
        show_mdc_domain_details2=True,
        show_status_details=True,
    )


@lru_cache(maxsize=128)
def certificate_request(order: OrderRef) -> CollectSSLRequest:
    """Return the request for the certificate and its chain, each certificate by itself and the leaf by its name."""
    return CollectSSLRequest(
        order_number=order.order_number,
        certificate_id=order.certificate_id,
        base_order_number=order.base_order_number,
        query_type=QueryType.CERTIFICATE_AND_CHAIN,
        response_type=ResponseType.INDIVIDUAL,
        response_format=ResponseFormat.URL_ENCODED,
    )
