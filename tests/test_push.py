"""What the receiver takes and refuses, and what a notification says. Who is woken by one is tested with the waits."""

from __future__ import annotations

import base64
import gc
import logging
import sys
import weakref
from contextlib import aclosing, asynccontextmanager
from typing import TYPE_CHECKING, Any

import anyio
import httpx
import pytest
from starlette.applications import Starlette
from starlette.routing import Mount, Route

from collectssl_async import ConfigurationError, OrderRef
from collectssl_async._notifications import FIELDS
from collectssl_async.push import MAX_BODY, SECTIGO_PUSH_HOST, PushNotification, PushReceiver, PushStatusCode
from collectssl_async.sandbox import Sandbox
from collectssl_async.sandbox.events import CERTIFICATE_EVENTS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from collectssl_async._hints import Hint

pytestmark = pytest.mark.anyio

GOOD = {"orderNumber": "1234567", "certificateID": "9876543", "eventType": "Certificate"}
PASSWORD = "s3cret-of-the-push"
LOGIN = httpx.BasicAuth("sectigo", PASSWORD)


@asynccontextmanager
async def calling(app: Any, host: str | None = SECTIGO_PUSH_HOST) -> AsyncIterator[httpx.AsyncClient]:
    """Yield a client whose calls come from `host`."""

    async def from_host(scope: Any, receive: Any, send: Any) -> None:
        await app({**scope, "client": None if host is None else (host, 50_000)}, receive, send)

    async with httpx.AsyncClient(transport=httpx.ASGITransport(from_host), base_url="http://us.example") as client:
        yield client


async def answer_to(receiver: PushReceiver, *, host: str | None = SECTIGO_PUSH_HOST, **call: Any) -> httpx.Response:
    """Send one request, by default a good notification, and return the answer."""
    async with calling(receiver, host) as client:
        return await client.request(**{"method": "GET", "url": "/", **call})


async def taken(receiver: PushReceiver, **call: Any) -> PushNotification:
    """Send one notification and return what it was read as."""
    async with aclosing(receiver.notifications()) as notifications:
        answer = await answer_to(receiver, **call)
        assert answer.status_code == 204
        return await anext(notifications)


# --- who may call -----------------------------------------------------------------------------------------------------


async def test_a_good_notification_is_answered_with_success() -> None:
    assert (await answer_to(PushReceiver(), params=GOOD)).status_code == 204


@pytest.mark.parametrize("host", ["91.199.212.133", "127.0.0.1", "::1", "::ffff:91.199.212.133", "testclient", None])
async def test_another_host_is_refused(host: str | None) -> None:
    assert (await answer_to(PushReceiver(), host=host, params=GOOD)).status_code == 403


@pytest.mark.parametrize(
    ("allowed", "host"),
    [
        (SECTIGO_PUSH_HOST, f"::ffff:{SECTIGO_PUSH_HOST}"),
        ("203.0.113.0/24", "203.0.113.77"),
        ("2001:db8::/32", "2001:db8::7"),
        ("fe80::/10", "fe80::1%eth0"),
        ("testclient", "testclient"),
    ],
)
async def test_an_allowed_host_is_known_in_every_form(allowed: str, host: str) -> None:
    receiver = PushReceiver(allowed_hosts=(allowed,))
    assert (await answer_to(receiver, host=host, params=GOOD)).status_code == 204


async def test_every_host_may_call_that_knows_the_password_where_none_is_named() -> None:
    receiver = PushReceiver(username="sectigo", password=PASSWORD, allowed_hosts=None)
    assert (await answer_to(receiver, host="203.0.113.77", params=GOOD, auth=LOGIN)).status_code == 204


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "Basic",
        "Basic %%%",
        "Basic " + base64.b64encode(b"sectigo:wrong").decode(),
        "Basic " + base64.b64encode(b"sectigo").decode(),
        "Basic " + base64.b64encode(f"other:{PASSWORD}".encode()).decode(),
        "Bearer " + base64.b64encode(f"sectigo:{PASSWORD}".encode()).decode(),
        "Basic " + base64.b64encode(f"sectigo:{PASSWORD}".encode()).decode() + "é",
    ],
)
async def test_wrong_credentials_are_refused_and_asked_for(header: str | None) -> None:
    receiver = PushReceiver(username="sectigo", password=PASSWORD)
    headers = {} if header is None else {"Authorization": header.encode()}
    answer = await answer_to(receiver, params=GOOD, headers=headers)
    assert (answer.status_code, answer.headers["www-authenticate"].split()[0]) == (401, "Basic")


async def test_right_credentials_are_taken() -> None:
    receiver = PushReceiver(username="sectigo", password=PASSWORD)
    assert (await answer_to(receiver, params=GOOD, auth=LOGIN)).status_code == 204


async def test_credentials_beyond_ascii_are_taken() -> None:
    receiver = PushReceiver(username="sectigo", password="pässword")
    token = base64.b64encode("sectigo:pässword".encode()).decode()
    assert (await answer_to(receiver, params=GOOD, headers={"Authorization": f"basic {token}"})).status_code == 204


async def test_what_is_refused_is_logged_without_the_credentials(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    receiver = PushReceiver(username="sectigo", password=PASSWORD)
    token = base64.b64encode(b"sectigo:a-near-miss").decode()
    await answer_to(receiver, params=GOOD, headers={"Authorization": f"Basic {token}"})
    assert "wrong" in caplog.text
    assert token not in caplog.text
    assert "a-near-miss" not in caplog.text


def test_the_password_cannot_be_read_from_the_receiver() -> None:
    receiver = PushReceiver(username="sectigo", password=PASSWORD)
    login: Any = receiver._login
    assert PASSWORD not in repr(vars(receiver)) + repr(vars(login))


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"username": "sectigo"}, "go together"),
        ({"password": PASSWORD}, "go together"),
        ({"username": "", "password": PASSWORD}, "neither may be empty"),
        ({"username": "a:b", "password": PASSWORD}, "colon"),
        ({"allowed_hosts": ()}, "nobody could call"),
        ({"allowed_hosts": None}, "lets everybody in"),
        ({"allowed_hosts": SECTIGO_PUSH_HOST}, "several addresses"),
        ({"allowed_hosts": ("push.sectigo.example",)}, "IP addresses or networks"),
        ({"allowed_hosts": ("91.199.212.132/8",)}, "IP addresses or networks"),
        ({"allowed_hosts": ("localhost",)}, "IP addresses or networks"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(settings: dict[str, Any], problem: str) -> None:
    with pytest.raises(ConfigurationError, match=problem) as caught:
        PushReceiver(**settings)
    traceback = caught.value.__traceback__
    while traceback is not None:
        if traceback.tb_frame.f_globals["__name__"].startswith("collectssl_async"):
            assert PASSWORD not in repr(traceback.tb_frame.f_locals)
        traceback = traceback.tb_next


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "starlette", None)
    with pytest.raises(ConfigurationError, match=r"collectssl-async\[push\]"):
        PushReceiver()


# --- what is read -----------------------------------------------------------------------------------------------------


async def test_every_documented_field_is_read_from_a_query_string() -> None:
    fields = GOOD | {
        "status": "issued",
        "statusCode": "9",
        "statusDesc": "Issued but not yet collected",
        "removedDomains": "a.example.com, b.example.com",
        "revocationReasonCode": "4",
        "revocationReasonName": "superseded",
        "certificate": "-----BEGIN CERTIFICATE-----",
        "caCertificate": "-----BEGIN CERTIFICATE-----\n",
    }
    assert {name.lower() for name in fields} == FIELDS.keys()
    assert await taken(PushReceiver(), params=fields) == PushNotification(
        order_number="1234567",
        certificate_id=9876543,
        event_type="Certificate",
        status="issued",
        status_code=PushStatusCode.ISSUED_NOT_COLLECTED,
        status_desc="Issued but not yet collected",
        removed_domains=("a.example.com", "b.example.com"),
        revocation_reason_code=4,
        revocation_reason_name="superseded",
        certificate="-----BEGIN CERTIFICATE-----",
        ca_certificate="-----BEGIN CERTIFICATE-----",
    )


async def test_a_form_says_the_same_as_a_query_string() -> None:
    receiver = PushReceiver()
    assert await taken(receiver, method="POST", data=GOOD) == await taken(receiver, params=GOOD)


@pytest.mark.parametrize("code", sorted(CERTIFICATE_EVENTS))
async def test_every_status_code_that_is_sent_has_a_name(code: int) -> None:
    notification = await taken(PushReceiver(), params=GOOD | {"statusCode": str(code)})
    assert notification.status_code is PushStatusCode(code)


async def test_an_unknown_status_code_stays_a_number() -> None:
    assert (await taken(PushReceiver(), params=GOOD | {"statusCode": "77"})).status_code == 77


@pytest.mark.parametrize(("name", "text"), [("statusCode", "nine"), ("revocationReasonCode", "1_0"), ("novelty", "x")])
async def test_what_cannot_be_read_or_is_not_documented_is_kept(name: str, text: str) -> None:
    assert (await taken(PushReceiver(), params=GOOD | {name: text})).extra == {name: (text,)}


async def test_a_text_in_windows_1252_does_not_lose_the_notification() -> None:
    body = b"orderNumber=1&eventType=Certificate&statusDesc=CAA+\x93no\x94"
    assert (await taken(PushReceiver(), method="POST", content=body)).status_desc == "CAA \ufffdno\ufffd"


@pytest.mark.parametrize("known", [{"orderNumber": "1"}, {"certificateID": "1"}])
async def test_one_name_of_the_order_suffices(known: dict[str, str]) -> None:
    assert (await answer_to(PushReceiver(), params={"eventType": "CallBack", **known})).status_code == 204


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"garbage",
        b"\x00\xff\xfe" * 100,
        b'{"orderNumber": "1", "eventType": "Certificate"}',
        b"eventType=Certificate",
        b"orderNumber=1",
        b"orderNumber=&certificateID=&eventType=Certificate",
        b"orderNumber=1&eventType=" + b"x" * 500,
        b"orderNumber=1%00&eventType=Certificate",
        b"orderNumber=%ff&eventType=Certificate",
        b"orderNumber=" + b"1" * 129 + b"&eventType=Certificate",
        b"orderNumber=1&orderNumber=2&eventType=Certificate",
        b"orderNumber=1&certificateID=one&eventType=Certificate",
        b"orderNumber=1&certificateID=" + b"1" * 5_000 + b"&eventType=Certificate",
        b"orderNumber=1&eventType=Certificate" + b"&x=1" * 200,
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_what_is_no_notification_is_refused(method: str, content: bytes) -> None:
    receiver = PushReceiver()
    scope = {"params": httpx.QueryParams(content.decode("latin-1"))} if method == "GET" else {"content": content}
    assert (await answer_to(receiver, method=method, **scope)).status_code == 400
    assert not receiver.recall(OrderRef(order_number="1"))


async def test_a_notification_that_is_too_large_is_refused_by_its_announcement() -> None:
    headers = {"Content-Length": str(MAX_BODY + 1)}

    async def nothing() -> AsyncIterator[bytes]:
        raise AssertionError("the body was read")
        yield b""

    answer = await answer_to(PushReceiver(), method="POST", content=nothing(), headers=headers)
    assert answer.status_code == 413


async def test_a_notification_that_grows_too_large_is_refused() -> None:
    async def chunks() -> AsyncIterator[bytes]:
        yield b"orderNumber=1&eventType=Certificate&certificate="
        for _ in range(17):
            yield b"x" * 65_536

    assert (await answer_to(PushReceiver(), method="POST", content=chunks())).status_code == 413


async def test_the_largest_notification_is_taken() -> None:
    body = b"orderNumber=1&eventType=Certificate&certificate="
    body += b"x" * (MAX_BODY - len(body))
    assert (await answer_to(PushReceiver(), method="POST", content=body)).status_code == 204


@pytest.mark.parametrize("method", ["PUT", "DELETE", "HEAD"])
async def test_other_methods_are_refused(method: str) -> None:
    answer = await answer_to(PushReceiver(), method=method, params=GOOD)
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET, POST")


async def test_a_caller_that_leaves_in_the_middle_is_no_error_of_the_server() -> None:
    sent: list[Any] = []

    async def receive() -> dict[str, str]:
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "POST", "headers": [], "query_string": b"", "client": (SECTIGO_PUSH_HOST, 1)}
    await PushReceiver()(scope, receive, send)
    assert sent[0]["status"] == 400


# --- where it stands --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/push/", "/exact"])
async def test_it_can_be_mounted_and_routed(path: str) -> None:
    receiver = PushReceiver()
    app = Starlette(routes=[Mount("/push", receiver), Route("/exact", receiver)])
    async with calling(app) as client:
        assert (await client.get(path, params=GOOD)).status_code == 204


async def test_it_tells_a_server_that_it_is_up_and_down() -> None:
    asked = iter(["lifespan.startup", "lifespan.shutdown"])
    told: list[str] = []

    async def receive() -> dict[str, str]:
        return {"type": next(asked)}

    async def send(message: Any) -> None:
        told.append(message["type"])

    await PushReceiver()({"type": "lifespan"}, receive, send)
    assert told == ["lifespan.startup.complete", "lifespan.shutdown.complete"]


async def test_a_websocket_is_refused() -> None:
    async def never(*_: Any) -> Any:
        raise AssertionError("nothing is received or sent")

    with pytest.raises(RuntimeError, match="HTTP alone"):
        await PushReceiver()({"type": "websocket"}, never, never)


async def test_a_receiver_belongs_to_one_event_loop() -> None:
    receiver = PushReceiver()
    receiver.recall(OrderRef(order_number="1"))

    async def elsewhere() -> None:
        receiver.recall(OrderRef(order_number="1"))

    with pytest.raises(ConfigurationError, match="second event loop"):
        await anyio.to_thread.run_sync(anyio.run, elsewhere)


async def test_a_receiver_moves_to_the_next_loop_when_its_own_is_closed() -> None:
    receiver, order = PushReceiver(), OrderRef(order_number=GOOD["orderNumber"])
    early = {"orderNumber": "2", "eventType": "Certificate"}

    def heard(_: Hint) -> bool:
        raise AssertionError("its loop is closed")

    async def on_a_loop_that_ends() -> None:
        await answer_to(receiver, params=early)
        receiver.listen(heard, order)

    await anyio.to_thread.run_sync(anyio.run, on_a_loop_that_ends)
    assert (await answer_to(receiver, params=GOOD)).status_code == 204
    assert receiver.recall(order)
    assert receiver.recall(OrderRef(order_number="2"))


# --- reading on -------------------------------------------------------------------------------------------------------


async def test_every_reader_gets_every_notification() -> None:
    receiver = PushReceiver()
    async with aclosing(receiver.notifications()) as one, aclosing(receiver.notifications()) as other:
        await answer_to(receiver, params=GOOD)
        await answer_to(receiver, params=GOOD | {"eventType": "CallBack"})
        for reader in (one, other):
            assert [(await anext(reader)).event_type for _ in range(2)] == ["Certificate", "CallBack"]


async def test_a_reader_that_waits_is_given_what_comes() -> None:
    receiver = PushReceiver()
    async with aclosing(receiver.notifications()) as reader, anyio.create_task_group() as tasks:

        async def read() -> None:
            assert (await anext(reader)).order_number == "1234567"
            tasks.cancel_scope.cancel()

        tasks.start_soon(read)
        await anyio.wait_all_tasks_blocked()
        await answer_to(receiver, params=GOOD)
        await anyio.sleep_forever()


async def test_closing_ends_the_loop_that_reads() -> None:
    reader = PushReceiver().notifications()
    async with anyio.create_task_group() as tasks:

        async def read() -> None:
            assert [each async for each in reader] == []

        tasks.start_soon(read)
        await anyio.wait_all_tasks_blocked()
        await reader.aclose()


async def test_a_reader_that_does_not_read_loses_the_oldest(caplog: pytest.LogCaptureFixture) -> None:
    receiver = PushReceiver()
    async with aclosing(receiver.notifications()) as reader, calling(receiver) as client:
        for number in range(1_002):
            await client.get("/", params={"orderNumber": str(number), "eventType": "Certificate"})
        assert (await anext(reader)).order_number == "2"
    assert "order 1 was not read in time" in caplog.text


async def test_a_reader_that_was_left_is_given_no_more() -> None:
    receiver = PushReceiver()
    async with calling(receiver) as client:
        reader = receiver.notifications()
        await client.get("/", params=GOOD)
        async for _ in reader:
            break
        left = weakref.ref(reader)
        del reader
        gc.collect()
        await client.get("/", params=GOOD)
    assert left() is None


async def test_large_notifications_that_nobody_reads_are_bounded_in_bytes() -> None:
    receiver = PushReceiver()
    async with aclosing(receiver.notifications()) as reader, calling(receiver) as client:
        for number in range(20):
            body = f"orderNumber={number}&eventType=Certificate&certificate=".encode() + b"x" * (MAX_BODY - 100)
            await client.post("/", content=body)
        assert (await anext(reader)).order_number == "4"


# --- with the sandbox -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("certificates", [False, True])
async def test_what_the_sandbox_sends_is_read(certificates: bool) -> None:
    receiver = PushReceiver(username="sectigo", password=PASSWORD)
    sandbox = Sandbox(push_url="http://127.0.0.1:1/", push_certificates=certificates)
    order = sandbox.place_order("shop.example.com", issue_after=None)
    order.issue()
    sent = next(each for each in sandbox.notifications if each.event == "Certificate")
    call: dict[str, Any] = {"params": sent.fields} if sent.method == "GET" else {"data": sent.fields}
    notification = await taken(receiver, method=sent.method, auth=LOGIN, **call)
    assert (notification.order_number, notification.certificate_id) == (order.order_number, order.certificate_id)
    assert (notification.status, notification.extra) == ("issued", {})
    assert (notification.certificate is not None) is certificates
