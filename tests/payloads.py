"""Containers of one chain, and replies that carry them: shared by the tests of both text formats."""

from __future__ import annotations

from base64 import b64encode
from typing import TYPE_CHECKING, Any

import pytest

from collectssl_async.models import ResponseType, StatusCode

from .packing import chain, pack_netscape, pack_pkcs7, pack_zip, pem
from .replies import decode, payload_of

if TYPE_CHECKING:
    from collectssl_async.models import CertificatePayload

ZIP = pack_zip({f"{number}.crt": pem(der).encode() for number, der in enumerate(chain())})
PKCS7 = pack_pkcs7(chain())
NETSCAPE = pack_netscape(chain())

CONTAINERS = [
    pytest.param(ResponseType.ZIP, ZIP, id="zip"),
    pytest.param(ResponseType.NETSCAPE, NETSCAPE, id="netscape"),
    pytest.param(ResponseType.PKCS7, PKCS7, id="pkcs7"),
]
FIELDS = ["zipFile", "netscapeCertificateSequence", "pkcs7"]
CERTIFICATE_FIELDS = [*FIELDS, "caCertificate", "certificate"]


def attached(body: bytes | str, **fields: Any) -> CertificatePayload:
    response = decode(body, **fields)
    assert response.status is StatusCode.ATTACHED
    return payload_of(response)


def b64(data: bytes) -> str:
    return b64encode(data).decode()
