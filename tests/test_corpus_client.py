"""Every reply of the corpus through the client, over a mocked transport: the whole way from request to bundle."""

from __future__ import annotations

import base64
import hashlib
import json
from pathlib import Path
from typing import Any

import httpx
import pytest
import respx
from cryptography.hazmat.primitives.serialization import Encoding

from collectssl_async import (
    ENDPOINT,
    CertificateBundle,
    CollectSSLClient,
    CollectSSLError,
    CollectSSLRequest,
    Credentials,
)
from collectssl_async import errors as error_classes

CASES = [json.loads(path.read_text()) for path in sorted((Path(__file__).parent / "corpus").glob("*.json"))]


def sha256(certificate: Any) -> str:
    return hashlib.sha256(certificate.public_bytes(Encoding.DER)).hexdigest()


@pytest.mark.asyncio
@respx.mock
@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
async def test_each_reply_means_what_the_corpus_says(case: dict[str, Any]) -> None:
    reply, expect = case["reply"], case.get("expect", {})
    route = respx.post(ENDPOINT).mock(
        return_value=httpx.Response(
            reply["http_status"],
            content=base64.b64decode(reply["body_base64"]),
            headers={"Content-Type": reply["content_type"], **reply["headers"]},
        )
    )
    request = CollectSSLRequest.model_validate(case["request"])
    async with CollectSSLClient(Credentials(login_name="partner", login_password="secret")) as client:
        if "error" in case:
            with pytest.raises(CollectSSLError) as caught:
                await client.collect(request)
            expected = dict(case["error"])
            assert type(caught.value) is getattr(error_classes, expected.pop("type"))
            assert {name: getattr(caught.value, name) for name in expected} == expected
        else:
            response = await client.collect(request)
            assert response.status == expect["status"]
            if "certificate_sha256" in expect:
                assert response.payload is not None
                bundle = CertificateBundle.from_payload(response.payload)
                assert sha256(bundle.certificate) == bundle.fingerprint_sha256 == expect["certificate_sha256"]
                assert [sha256(certificate) for certificate in bundle.chain] == expect["chain_sha256"]
    assert route.call_count == 1
