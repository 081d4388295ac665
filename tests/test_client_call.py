"""One call over real TLS: what goes out, what comes back, what is told the guard, and what is never sent twice."""

from __future__ import annotations

import gc
import socket
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

import anyio
import anyio.lowlevel
import pytest

from collectssl_async import (
    AuthenticationError,
    CallTimeoutError,
    CollectSSLClient,
    CollectSSLRequest,
    ConfigurationError,
    Credentials,
    GuardLostError,
    InvalidArgumentError,
    MalformedResponseError,
    NotReadyError,
    OrderRef,
    QueryType,
    ServerUnavailableError,
    StatusCode,
    TransportError,
)

from .tls_server import TLSServer, answer, cut, echo, silence

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Generator
    from types import ModuleType, TracebackType

pytestmark = [pytest.mark.anyio, pytest.mark.http]

CREDENTIALS = Credentials(login_name="partner", login_password="Sw0rd+fish&co")
handshake_cancelled = pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
"""httpcore leaves the socket of a TLS handshake that was cancelled to the garbage collector."""

REQUEST = CollectSSLRequest(order_number="10203040", query_type=QueryType.STATUS_ONLY)


class RecordingGuard:
    """A guard that lets everyone in and writes down what it is told."""

    def __init__(self, *, lost: bool = False) -> None:
        self.told: list[str] = []
        self._lost = lost

    def hold(self, resource: str) -> RecordingGuard:
        self.told.append(f"hold {resource}")
        return self

    async def __aenter__(self) -> RecordingGuard:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.told.append("leave")

    def check(self) -> None:
        self.told.append("check")
        if self._lost:
            raise GuardLostError("lost")

    def finished(self) -> None:
        self.told.append("finished")


@pytest.fixture
def server() -> Generator[TLSServer, None, None]:
    with TLSServer() as server:
        yield server


@pytest.fixture
def guard() -> RecordingGuard:
    return RecordingGuard()


@pytest.fixture
async def http_client(server: TLSServer, http_library: ModuleType) -> AsyncGenerator[Any, None]:
    async with http_library.AsyncClient(verify=server.ssl_context, trust_env=False) as http_client:
        yield http_client


@pytest.fixture
def client(server: TLSServer, http_client: Any, guard: RecordingGuard) -> CollectSSLClient:
    return CollectSSLClient(CREDENTIALS, endpoint=server.endpoint, http_client=http_client, guard=guard, timeout=20)


# --- what goes out ----------------------------------------------------------------------------------------------------


async def test_a_call_is_one_form_post(server: TLSServer, client: CollectSSLClient) -> None:
    server.script = [answer(b"0\n")]
    response = await client.collect(REQUEST)
    assert response.status is StatusCode.PROCESSING
    [sent] = server.requests
    assert sent.head.startswith("POST /products/download/CollectSSL HTTP/1.1\r\n")
    assert "\r\nContent-Type: application/x-www-form-urlencoded\r\n" in sent.head
    assert parse_qsl(sent.body.decode()) == [
        ("loginName", "partner"),
        ("loginPassword", "Sw0rd+fish&co"),
        ("orderNumber", "10203040"),
        ("queryType", "0"),
    ]


async def test_status_asks_for_everything_but_the_certificate(server: TLSServer, client: CollectSSLClient) -> None:
    server.script = [answer(b"errorCode=0")]
    await client.status(OrderRef(certificate_id=77))
    assert dict(parse_qsl(server.requests[0].body.decode())) == {
        "loginName": "partner",
        "loginPassword": "Sw0rd+fish&co",
        "certificateID": "77",
        "queryType": "0",
        "responseFormat": "1",
        "showValidityPeriod": "Y",
        "showFQDN": "Y",
        "showExtStatus": "Y",
        "showMDCDomainDetails": "Y",
        "showMDCDomainDetails2": "Y",
        "showStatusDetails": "Y",
    }


async def test_download_of_an_order_in_work_raises_and_shows_the_reply(
    server: TLSServer, client: CollectSSLClient
) -> None:
    server.script = [answer(b"errorCode=1")]
    with pytest.raises(NotReadyError) as caught:
        await client.download("10203040")
    assert caught.value.response.status is StatusCode.AVAILABLE
    assert dict(parse_qsl(server.requests[0].body.decode()))["queryType"] == "1"


async def test_the_guard_is_asked_before_the_first_byte_and_told_after_the_last(
    server: TLSServer, client: CollectSSLClient, guard: RecordingGuard
) -> None:
    server.script = [answer(b"0\n")]
    await client.collect(REQUEST)
    assert guard.told == [f"hold {server.endpoint}", "check", "finished", "leave"]


async def test_a_hold_lost_before_the_first_byte_sends_nothing(server: TLSServer, http_client: Any) -> None:
    guard = RecordingGuard(lost=True)
    client = CollectSSLClient(CREDENTIALS, endpoint=server.endpoint, http_client=http_client, guard=guard)
    with pytest.raises(GuardLostError):
        await client.collect(REQUEST)
    assert server.requests == []
    assert guard.told[-2:] == ["finished", "leave"]


# --- what comes back --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", ["200 OK", "400 Bad Request", "500 Internal Server Error", "302 Found"])
async def test_a_body_that_is_an_api_error_raises_it_whatever_the_http_status(
    server: TLSServer, client: CollectSSLClient, guard: RecordingGuard, status: str
) -> None:
    server.script = [answer(b"-4\nThe value of the 'orderNumber' argument is invalid!\n", status=status)]
    with pytest.raises(InvalidArgumentError) as caught:
        await client.collect(REQUEST)
    assert (caught.value.code, caught.value.item) == (-4, "orderNumber")
    assert guard.told[-2:] == ["finished", "leave"]


@pytest.mark.parametrize(
    ("status", "headers", "retry_after"),
    [
        ("503 Service Unavailable", "Retry-After: 120\r\n", 120.0),
        ("503 Service Unavailable", "Retry-After: Mon, 01 Jan 2001 00:00:00 GMT\r\n", 0.0),
        ("503 Service Unavailable", "Retry-After: soon\r\n", None),
        ("503 Service Unavailable", "Retry-After: -5\r\n", None),
        ("429 Too Many Requests", "Retry-After: 1.5\r\n", 1.5),
        ("500 Internal Server Error", "", None),
    ],
)
async def test_an_unavailable_service_says_for_how_long(
    server: TLSServer, client: CollectSSLClient, status: str, headers: str, retry_after: float | None
) -> None:
    server.script = [answer(b"Service Unavailable", status=status, headers=headers)]
    with pytest.raises(ServerUnavailableError) as caught:
        await client.collect(REQUEST)
    assert (caught.value.status_code, caught.value.retry_after) == (int(status[:3]), retry_after)


@pytest.mark.parametrize(
    "status", ["301 Moved", "302 Found", "307 Temporary Redirect", "308 Permanent Redirect", "404 Not Found", "403 No"]
)
async def test_redirects_and_client_errors_are_malformed_and_never_followed(
    server: TLSServer, client: CollectSSLClient, guard: RecordingGuard, status: str
) -> None:
    server.script = [answer(b"moved", status=status, headers=f"Location: {server.endpoint}/elsewhere\r\n")]
    with pytest.raises(MalformedResponseError) as caught:
        await client.collect(REQUEST)
    assert caught.value.status_code == int(status[:3])
    assert len(server.requests) == 1
    assert guard.told[-2:] == ["finished", "leave"]


async def test_an_html_page_is_malformed_and_quoted(server: TLSServer, client: CollectSSLClient) -> None:
    server.script = [answer(b"<html><title>Scheduled\nmaintenance</title></html>", content_type="text/html")]
    with pytest.raises(MalformedResponseError) as caught:
        await client.collect(REQUEST)
    assert caught.value.excerpt == "<html><title>Scheduled maintenance</title></html>"
    assert caught.value.status_code == 200


async def test_wrong_credentials_are_refused_in_one_call(server: TLSServer, client: CollectSSLClient) -> None:
    server.script = [answer(b"-16\nIncorrect login details")]
    with pytest.raises(AuthenticationError):
        await client.collect(REQUEST)
    assert len(server.requests) == 1


@pytest.mark.parametrize("chunked", [False, True])
async def test_a_reply_longer_than_five_mebibytes_is_cut_off_and_abandoned(
    server: TLSServer, client: CollectSSLClient, guard: RecordingGuard, chunked: bool
) -> None:
    part = b"x" * 65536
    if chunked:
        head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        pieces = b"".join(b"10000\r\n" + part + b"\r\n" for _ in range(81))
    else:
        head = b"HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n"
        pieces = part * 81
    server.script = [silence(head + pieces)]
    with pytest.raises(MalformedResponseError, match="longer than 5242880 bytes"):
        await client.collect(REQUEST)
    assert "finished" not in guard.told


async def test_a_reply_of_just_five_mebibytes_is_read(server: TLSServer, client: CollectSSLClient) -> None:
    body = b"0\n" + b"x" * (5 * 1024 * 1024 - 2)
    server.script = [answer(body)]
    assert (await client.collect(REQUEST)).status is StatusCode.PROCESSING


# --- what fails -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "act",
    [
        cut(),
        cut(b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n0\n"),
        cut(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n0\n"),
        cut(b"not HTTP at all\r\n\r\n"),
    ],
)
async def test_a_connection_cut_after_sending_is_abandoned_and_never_sent_again(
    server: TLSServer, client: CollectSSLClient, guard: RecordingGuard, act: Any
) -> None:
    server.script = [act, answer(b"0\n")]
    with pytest.raises(TransportError):
        await client.collect(REQUEST)
    assert len(server.requests) == 1
    assert "finished" not in guard.told


async def test_a_stale_connection_that_drops_the_request_is_not_sent_again(
    server: TLSServer, client: CollectSSLClient, guard: RecordingGuard
) -> None:
    server.script = [answer(b"0\n"), cut(), answer(b"0\n")]
    await client.collect(REQUEST)
    with pytest.raises(TransportError):
        await client.collect(REQUEST)
    assert (len(server.requests), server.connections) == (2, 1)


async def test_a_refused_connection_is_tried_once_more_and_leaves_no_call_behind(
    http_library: ModuleType, guard: RecordingGuard, server: TLSServer
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    attempts = 0

    async def count(event: str, _: Any) -> None:
        nonlocal attempts
        attempts += event == "connection.connect_tcp.started"

    async with http_library.AsyncClient(verify=server.ssl_context, trust_env=False) as http_client:
        build = http_client.build_request

        def counting(*args: Any, extensions: dict[str, Any], **kwargs: Any) -> Any:
            trace = extensions["trace"]

            async def both(event: str, info: Any) -> None:
                await count(event, info)
                await trace(event, info)

            return build(*args, extensions={"trace": both}, **kwargs)

        http_client.build_request = counting
        client = CollectSSLClient(
            CREDENTIALS, endpoint=f"https://localhost:{port}/x", http_client=http_client, guard=guard
        )
        with pytest.raises(TransportError, match="ConnectError"):
            await client.collect(REQUEST)
    assert attempts == 2
    assert guard.told[1:] == ["finished", "leave"]


async def test_a_certificate_that_is_not_trusted_leaves_no_call_behind(
    http_library: ModuleType, server: TLSServer, guard: RecordingGuard
) -> None:
    async with http_library.AsyncClient(trust_env=False) as http_client:
        client = CollectSSLClient(CREDENTIALS, endpoint=server.endpoint, http_client=http_client, guard=guard)
        with pytest.raises(TransportError, match=r"(?i)certificate"):
            await client.collect(REQUEST)
    assert guard.told[1:] == ["finished", "leave"]


@pytest.mark.parametrize("first", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n0\n"])
async def test_a_slow_reply_times_out_as_a_whole_and_is_abandoned(
    server: TLSServer, http_client: Any, guard: RecordingGuard, first: bytes
) -> None:
    server.script = [silence(first)]
    client = CollectSSLClient(CREDENTIALS, endpoint=server.endpoint, http_client=http_client, guard=guard, timeout=0.2)
    with pytest.raises(CallTimeoutError, match=r"within 0\.2 s"):
        await client.collect(REQUEST)
    assert "finished" not in guard.told


@handshake_cancelled
async def test_a_connection_that_never_comes_about_times_out_without_a_call_left_behind(
    http_library: ModuleType, guard: RecordingGuard
) -> None:
    async def call(port: int) -> None:
        async with http_library.AsyncClient(trust_env=False) as http_client:
            endpoint = f"https://localhost:{port}/x"
            client = CollectSSLClient(CREDENTIALS, endpoint=endpoint, http_client=http_client, guard=guard, timeout=0.2)
            with pytest.raises(CallTimeoutError):
                await client.collect(REQUEST)

    with socket.create_server(("127.0.0.1", 0)) as mute:  # accepts, and never shakes hands
        await call(mute.getsockname()[1])
        await anyio.lowlevel.checkpoint()
        gc.collect()
    assert guard.told[1:] == ["finished", "leave"]


async def test_a_cancelled_call_is_abandoned(
    server: TLSServer, client: CollectSSLClient, guard: RecordingGuard
) -> None:
    server.script = [silence()]
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(client.collect, REQUEST)
        await anyio.to_thread.run_sync(server.came.acquire)
        tasks.cancel_scope.cancel()
    assert guard.told[-2:] == ["check", "leave"]


# --- the client itself ------------------------------------------------------------------------------------------------


async def test_a_client_leaves_the_http_client_open_that_was_handed_in(
    server: TLSServer, http_client: Any, client: CollectSSLClient
) -> None:
    async with client:
        pass
    assert not http_client.is_closed
    with pytest.raises(ConfigurationError, match="the client is closed"):
        await client.collect(REQUEST)


async def test_an_http_client_closed_by_its_owner_is_said_so(http_client: Any, client: CollectSSLClient) -> None:
    await http_client.aclose()
    with pytest.raises(ConfigurationError, match="the client is closed"):
        await client.collect(REQUEST)


async def test_replies_that_echo_the_form_are_scrubbed(server: TLSServer, client: CollectSSLClient) -> None:
    server.script = [echo()]
    with pytest.raises(MalformedResponseError) as caught:
        await client.collect(REQUEST)
    assert (
        caught.value.excerpt
        == "<html>You sent: loginName=**********&loginPassword=**********&orderNumber=10203040&queryType=0</html>"
    )
