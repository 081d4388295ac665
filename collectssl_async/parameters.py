"""The wire's names: which parameter is which field, in a request and in a reply.

Tables only. `wire.py` reads and writes by them; the sandbox answers by them.
"""

from __future__ import annotations

from enum import IntEnum, auto
from typing import NamedTuple

ERROR_CODE = "errorCode"
ERROR_MESSAGE = "errorMessage"
ERROR_ITEM = "errorItem"
LOGIN_NAME = "loginName"
LOGIN_PASSWORD = "loginPassword"  # noqa: S105 - a parameter's name

REQUEST_PARAMETERS: dict[str, str] = {
    "orderNumber": "order_number",
    "certificateID": "certificate_id",
    "baseOrderNumber": "base_order_number",
    "queryType": "query_type",
    "responseType": "response_type",
    "responseEncoding": "response_encoding",
    "showValidityPeriod": "show_validity_period",
    "showFQDN": "show_fqdn",
    "showExtStatus": "show_ext_status",
    "responseFormat": "response_format",
    "showMDCDomainDetails": "show_mdc_domain_details",
    "showMDCDomainDetails2": "show_mdc_domain_details2",
    "showStatusDetails": "show_status_details",
    "behaviourVersion": "behaviour_version",
}
"""`CollectSSLRequest`'s fields by wire name, in the order of the reference's "Request parameters"."""


class Kind(IntEnum):
    """How a reply parameter's value is read."""

    TEXT = auto()
    TIMESTAMP = auto()  # UNIX time, seconds
    DAYS = auto()
    STEP = auto()
    DOMAINS = auto()
    CONTAINER = auto()
    CA_CERTIFICATE = auto()
    LEAF_CERTIFICATE = auto()


class ReplyParameter(NamedTuple):
    """Where a reply parameter's value goes: a dotted path below `CollectSSLResponse`, and how it is read."""

    field: str
    kind: Kind


REPLY_PARAMETERS: dict[str, ReplyParameter] = {
    "notBefore": ReplyParameter("validity.start", Kind.TIMESTAMP),
    "notAfter": ReplyParameter("validity.end", Kind.TIMESTAMP),
    "certificateDuration": ReplyParameter("validity.days", Kind.DAYS),
    "productTermStartDate": ReplyParameter("product_term.start", Kind.TIMESTAMP),
    "productTermEndDate": ReplyParameter("product_term.end", Kind.TIMESTAMP),
    "productTermDuration": ReplyParameter("product_term.days", Kind.DAYS),
    "fqdn": ReplyParameter("fqdn", Kind.TEXT),
    "zipFile": ReplyParameter("payload", Kind.CONTAINER),
    "netscapeCertificateSequence": ReplyParameter("payload", Kind.CONTAINER),
    "pkcs7": ReplyParameter("payload", Kind.CONTAINER),
    "caCertificate": ReplyParameter("payload", Kind.CA_CERTIFICATE),
    "certificate": ReplyParameter("payload", Kind.LEAF_CERTIFICATE),
    "certificateStatus": ReplyParameter("certificate_status", Kind.TEXT),
    "validationStatus": ReplyParameter("validation_status", Kind.TEXT),
    "mdcDomainDetails": ReplyParameter("mdc_domain_details", Kind.DOMAINS),
    "mdcDomainDetails2": ReplyParameter("mdc_domain_details2", Kind.DOMAINS),
    "csrStatus": ReplyParameter("steps.csr", Kind.STEP),
    "dcvStatus": ReplyParameter("steps.dcv", Kind.STEP),
    # Spelt ovCallbackStatus and ovCallBackStatus in the same reference: names are compared without regard to case.
    "ovCallbackStatus": ReplyParameter("steps.ov_callback", Kind.STEP),
    "organizationValidationStatus": ReplyParameter("steps.organization_validation", Kind.STEP),
    "freeDVUPStatus": ReplyParameter("steps.free_dv_upgrade", Kind.STEP),
    "evClickThroughStatus": ReplyParameter("steps.ev_click_through", Kind.STEP),
    "brandValStatus": ReplyParameter("steps.brand_validation", Kind.STEP),
    "evLegalExistence": ReplyParameter("steps.ev_legal_existence", Kind.STEP),
    "evAssumedName": ReplyParameter("steps.ev_assumed_name", Kind.STEP),
    "evPhysicalExistence": ReplyParameter("steps.ev_physical_existence", Kind.STEP),
    "evOperationalExistence": ReplyParameter("steps.ev_operational_existence", Kind.STEP),
    "evSignerApproverRequester": ReplyParameter("steps.ev_signer_approver_requester", Kind.STEP),
    "evSignerSecondApproval": ReplyParameter("steps.ev_signer_second_approval", Kind.STEP),
    "maStatus": ReplyParameter("steps.enterprise_authentication", Kind.STEP),
    "caaStatus": ReplyParameter("caa_status", Kind.TEXT),
}
"""`CollectSSLResponse`'s fields by wire name. Reference: "Response parameters" and the URL-encoded format."""
