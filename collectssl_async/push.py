"""`PushReceiver`: an ASGI app that takes Sectigo's push notifications and wakes those who wait for the order named.

What a notification says is read in `_notifications.py`, who waits for what is kept in `_hints.py`. A notification is a
hint: every certificate that is handed over was collected. Reference: "Certificate issuance push".
"""

from __future__ import annotations

import logging
import weakref
from collections import deque
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, Self

import anyio

from ._callers import SECTIGO_PUSH_HOST, Hosts, Login
from ._hints import HintBoard
from ._notifications import PushNotification, PushStatusCode, read_notification
from .errors import ConfigurationError
from .guards._runtime import current_loop, is_closed

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, MutableMapping

    from starlette.requests import Request

    from ._hints import Heard
    from .guards._runtime import Loop
    from .models import OrderRef

    Scope = MutableMapping[str, Any]
    Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
    Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

__all__ = ["SECTIGO_PUSH_HOST", "PushNotification", "PushReceiver", "PushStatusCode"]

MAX_BODY = 1024 * 1024
"""Bytes of the longest notification that is read."""

UNREAD = 1_000
"""How many notifications wait for one reader of `notifications()`; the oldest give way."""

UNREAD_BYTES = 16 * MAX_BODY
"""How many bytes of them."""

logger = logging.getLogger("collectssl_async")


class PushReceiver:
    """Receives notifications. Mount it, or serve it by itself; hand it to `wait_for_certificate(push=…)` or `Watcher`.

    `username` and `password` are those that the partner gave Sectigo for HTTP basic authentication. `allowed_hosts`
    are the addresses, or networks such as `203.0.113.0/24`, that may call; None lets every host call that knows the
    password. The caller's address is what the server says. Behind a proxy that is the proxy's, so let the server take
    it from the proxy's header, and from that proxy alone: for uvicorn, `--proxy-headers --forwarded-allow-ips=ADDRESS`.

    Answers 204, or 401 for wrong credentials, 403 for a wrong host, 400 for what cannot be read, 413 for more than
    1 MiB, 405 for other methods than GET and POST. Repeats and unknown orders are harmless. A hint that nobody waits
    for yet is kept for a day: its identifiers only, of 10,000 at most.

    Belongs to one event loop, and to the next one when that is closed. Raises `ConfigurationError` for settings that
    let nobody in, or everybody, and where the extra `push` is missing. Reference: "Certificate issuance push".
    """

    def __init__(
        self,
        *,
        username: str | None = None,
        password: str | None = None,
        allowed_hosts: Iterable[str] | None = (SECTIGO_PUSH_HOST,),
    ) -> None:
        _check_extra()
        try:
            self._login = None if username is None and password is None else Login(username, password)
        finally:
            del password  # an exception's traceback would show it
        self._hosts = None if allowed_hosts is None else Hosts(allowed_hosts)
        if self._hosts is None and self._login is None:
            raise ConfigurationError("allowed_hosts None lets everybody in: give username and password, or addresses")
        self._board = HintBoard()
        self._readers: weakref.WeakSet[Notifications] = weakref.WeakSet()  # one that was left needs nothing more
        self._loop: Loop | None = None

    def notifications(self) -> Notifications:
        """Return an iterator over the notifications that come from now on, for whoever wants more than waits do.

        Each iterator gets all of them. One that is not read loses the oldest of 1,000 or 16 MiB, and says so in the
        log; one that nobody holds any more is closed.
        """
        self._check_loop()
        return Notifications(self._readers)

    def listen(self, heard: Heard, order: OrderRef | None = None) -> Callable[[], None]:
        """Tell `heard` which orders are named from now on, or only when `order` is; return what ends it."""
        self._check_loop()
        return self._board.listen(heard, order)

    def recall(self, order: OrderRef) -> bool:
        """Say whether a notification that nobody waited for named this order, and forget it."""
        self._check_loop()
        return self._board.recall(order)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, as ASGI has it."""
        from starlette.requests import Request
        from starlette.responses import PlainTextResponse, Response

        if scope["type"] == "lifespan":
            await _live(receive, send)
            return
        if scope["type"] != "http":
            raise RuntimeError(f"a PushReceiver serves HTTP alone, not {scope['type']}")
        request = Request(scope, receive)
        try:
            await self._accept(request)
        except _RefusalError as refused:
            caller = request.client.host if request.client is not None else "a caller without address"
            logger.warning("a push notification from %s was refused: %s", caller, refused)
            response: Response = PlainTextResponse(f"{refused}\n", refused.status, refused.headers)
        else:
            response = Response(status_code=204)
        await response(scope, receive, send)

    async def _accept(self, request: Request) -> None:
        client = request.client.host if request.client is not None else None
        if self._hosts is not None and not self._hosts.allow(client):
            raise _RefusalError(403, "this host is not in allowed_hosts")
        if self._login is not None and not self._login.accepts(request.headers.get("authorization")):
            challenge = {"WWW-Authenticate": 'Basic realm="push", charset="UTF-8"'}
            raise _RefusalError(401, "username or password is wrong", challenge)
        if request.method not in ("GET", "POST"):
            raise _RefusalError(405, "notifications come by GET or POST", {"Allow": "GET, POST"})
        form = await _form(request)
        try:
            notification = read_notification(form)
        except ValueError as error:
            raise _RefusalError(400, str(error)) from None
        self._take(notification, len(form))

    def _take(self, notification: PushNotification, size: int) -> None:
        self._check_loop()
        logger.info("notified of order %s: %s", notification.order_number, notification.event_type)
        for reader in tuple(self._readers):
            reader.put(notification, size)
        self._board.post(notification.hint)

    def _check_loop(self) -> None:
        """Raise `ConfigurationError` where waits and server run on two loops: neither could wake the other."""
        loop = current_loop()
        if self._loop is not None and self._loop is not loop:
            if not is_closed(self._loop):
                raise ConfigurationError(
                    "the PushReceiver is used on a second event loop: serve it on the one that waits"
                )
            self._readers.clear()  # nobody can read on a closed loop, nor wait
            self._board.move_to_another_loop()
        self._loop = loop


class Notifications:
    """The iterator that `notifications` returns. Close it, or leave it to `contextlib.aclosing`, when it is done."""

    def __init__(self, readers: weakref.WeakSet[Notifications]) -> None:
        self._readers = readers
        self._unread: deque[tuple[PushNotification, int]] = deque()
        self._bytes = 0
        self._changed = anyio.Event()
        readers.add(self)

    def put(self, notification: PushNotification, size: int) -> None:
        """Keep a notification of so many bytes for the reader."""
        self._unread.append((notification, size))
        self._bytes += size
        while len(self._unread) > UNREAD or self._bytes > UNREAD_BYTES:
            lost, its_size = self._unread.popleft()
            self._bytes -= its_size
            logger.warning("a notification of order %s was not read in time, and is dropped", lost.order_number)
        self._changed.set()

    def __aiter__(self) -> Self:
        return self

    async def aclose(self) -> None:
        """Take no more notifications; who waits for one is told that there are no more."""
        self._readers.discard(self)
        self._changed.set()

    async def __anext__(self) -> PushNotification:
        while not self._unread:
            if self not in self._readers:
                raise StopAsyncIteration
            self._changed = anyio.Event()
            await self._changed.wait()
        notification, size = self._unread.popleft()
        self._bytes -= size
        return notification


class _RefusalError(Exception):
    """Why a request is no notification for us."""

    def __init__(self, status: int, reason: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(reason)
        self.status = status
        self.headers = headers


async def _form(request: Request) -> bytes:
    """Return the query of a GET, the body of a POST, unless they are too long."""
    from starlette.requests import ClientDisconnect

    if request.method == "GET":
        query: bytes = request.scope["query_string"]
        if len(query) > MAX_BODY:
            raise _too_long()
        return query
    said = request.headers.get("content-length", "")
    if said.isascii() and said.isdigit() and (len(said) > len(str(MAX_BODY)) or int(said) > MAX_BODY):
        raise _too_long()
    body = bytearray()
    try:
        async with aclosing(request.stream()) as chunks:
            async for chunk in chunks:
                if len(body) + len(chunk) > MAX_BODY:
                    raise _too_long()
                body += chunk
    except ClientDisconnect:
        raise _RefusalError(400, "it broke off") from None
    return bytes(body)


def _too_long() -> _RefusalError:
    return _RefusalError(413, f"a notification has at most {MAX_BODY} bytes")


async def _live(receive: Receive, send: Send) -> None:
    """Answer a server that asks whether the app is up: nothing has to be started or stopped."""
    for event in ("startup", "shutdown"):
        while (await receive())["type"] != f"lifespan.{event}":
            pass
        await send({"type": f"lifespan.{event}.complete"})


def _check_extra() -> None:
    try:
        import starlette  # noqa: F401 - asked for here, so that a missing one shows when the receiver is made
    except ImportError:
        raise ConfigurationError("PushReceiver needs the extra: pip install 'collectssl-async[push]'") from None
