"""How a client is made: what is refused before any call, and what it owns."""

from __future__ import annotations

import asyncio
import gzip
import math
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from collectssl_async import (
    ENDPOINT,
    CollectSSLClient,
    ConfigurationError,
    Credentials,
    MalformedResponseError,
    ProcessGuard,
    StatusCode,
)
from collectssl_async._reply import Reply

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from collectssl_async import CollectSSLResponse

CREDENTIALS = Credentials(login_name="partner", login_password="secret")


@pytest.mark.parametrize(
    "endpoint",
    [
        "http://secure.trust-provider.com/products/download/CollectSSL",
        "secure.trust-provider.com/products/download/CollectSSL",
        "https://",
        "https:///products",
        "https://host:port/",
        "https://host:0/",
        "https://[::1/",
        "",
    ],
)
def test_an_endpoint_that_is_no_https_url_is_refused(endpoint: str) -> None:
    with pytest.raises(ConfigurationError, match="endpoint must be an https URL such as https://secure"):
        CollectSSLClient(CREDENTIALS, endpoint=endpoint)


def test_a_password_in_the_endpoint_is_refused_and_not_shown() -> None:
    with pytest.raises(ConfigurationError, match="must not hold a user name or password") as caught:
        CollectSSLClient(CREDENTIALS, endpoint="https://partner:hunter2@host.example/x")
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("timeout", [0, -1, math.nan, math.inf, "60", None])
def test_a_time_out_that_is_no_duration_is_refused(timeout: Any) -> None:
    with pytest.raises(ConfigurationError, match="timeout must be a number of seconds above 0"):
        CollectSSLClient(CREDENTIALS, timeout=timeout)


def test_credentials_of_another_kind_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="credentials must be a Credentials, not dict"):
        CollectSSLClient({"login_name": "partner"})  # type: ignore[arg-type]  # what is refused here


def test_it_shows_its_endpoint_alone() -> None:
    assert repr(CollectSSLClient(CREDENTIALS)) == f"CollectSSLClient(endpoint='{ENDPOINT}')"


def test_it_closes_the_http_client_that_it_made() -> None:
    async def main() -> bool:
        async with CollectSSLClient(CREDENTIALS) as client:
            assert not client._http.is_closed
        return client._http.is_closed

    assert asyncio.run(main())


def test_its_own_connections_are_not_kept_for_longer_than_seconds() -> None:
    http_client = CollectSSLClient(CREDENTIALS)._http
    pool = http_client._transport._pool  # type: ignore[union-attr]  # there is no other way to look
    assert pool._keepalive_expiry == 2.0


def test_a_second_loop_is_refused_by_a_client_with_connections_of_its_own() -> None:
    client = CollectSSLClient(CREDENTIALS, endpoint="https://localhost:1/x")

    async def call() -> Exception:
        with pytest.raises(Exception) as caught:  # noqa: PT011 - which one it is, is what is looked at
            await client.status("1")
        return caught.value

    asyncio.run(call())
    assert "make one client for each loop" in str(asyncio.run(call()))


class Compressed(httpx.AsyncBaseTransport):
    """Compresses replies although it was not asked to, as some proxies do."""

    def __init__(self, body: bytes) -> None:
        self._body = body

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        assert request.headers["Accept-Encoding"] == "identity"
        body = self._body

        class Body(httpx.AsyncByteStream):
            async def __aiter__(self) -> AsyncIterator[bytes]:
                yield body

        return httpx.Response(200, stream=Body(), headers={"Content-Encoding": "gzip"})


async def status_over(transport: httpx.AsyncBaseTransport) -> CollectSSLResponse:
    endpoint = "https://compressed.example/x"
    async with httpx.AsyncClient(transport=transport) as http_client:
        guard = ProcessGuard(abandon_grace=0)
        client = CollectSSLClient(CREDENTIALS, endpoint=endpoint, http_client=http_client, guard=guard)
        return await client.status("1")


@pytest.mark.asyncio
async def test_a_compressed_reply_is_unpacked() -> None:
    assert (await status_over(Compressed(gzip.compress(b"1\n")))).status is StatusCode.AVAILABLE


@pytest.mark.asyncio
async def test_a_compressed_reply_is_not_unpacked_beyond_the_limit() -> None:
    with pytest.raises(MalformedResponseError, match="longer than"):
        await status_over(Compressed(gzip.compress(b"0\n" + bytes(6 * 1024 * 1024))))


@pytest.mark.asyncio
async def test_a_reply_that_is_not_compressed_as_it_says_is_malformed() -> None:
    with pytest.raises(MalformedResponseError, match="DecodingError"):
        await status_over(Compressed(b"not gzip"))


def test_a_reply_shows_no_body() -> None:
    assert repr(Reply(200, "text/plain", None, b"secret")) == "Reply(200, 6 bytes)"
