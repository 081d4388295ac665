"""Sends notifications the way Sectigo does: GET or POST to one URL, basic authentication, three tries at most.

A thread sends them, one after the other, so that nobody who moves an order waits for a receiver; it lives only as long
as there is something to send or to wait for. What they say is `events.py`'s and the order's business.
"""

from __future__ import annotations

import http.client
import socket
import ssl
import threading
from base64 import b64encode
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, urlencode, urlsplit

from .request import FORM_TYPE

if TYPE_CHECKING:
    from .orders import SandboxOrder

TRIES = 3
"""How often a notification is sent at most; any answer but success (2xx) is a failure."""

TIMEOUT = 5.0
"""Seconds until a receiver that does not answer has failed."""

_SOONEST = 0.001  # seconds: a clock that is a little behind must not make the thread spin


@dataclass(slots=True, eq=False)
class SandboxNotification:
    """One notification. `event` is its eventType, `order` the order number, `fields` all that is sent.

    `tries` says how often it was sent, `answer` what came back the last time: an HTTP status, or what went wrong
    instead; None before the first try has ended.
    """

    event: str
    order: str
    fields: dict[str, str] = field(repr=False)
    method: str = "GET"
    tries: int = 0
    answer: int | str | None = None

    @property
    def delivered(self) -> bool:
        """Whether the receiver said that it has it."""
        return isinstance(self.answer, int) and 200 <= self.answer < 300  # noqa: PLR2004 - HTTP's success

    @property
    def ended(self) -> bool:
        """Whether it is not sent any more."""
        return self.delivered or self.tries == TRIES


class Receiver:
    """Who is notified: a URL of the partner's, and the login that it asks for, if any. The password is in no repr."""

    def __init__(self, url: str, username: str | None, password: str | None, *, root_pem: str) -> None:
        self._url = _checked_url(url)
        if (username is None) != (password is None):
            raise ValueError("push_username and push_password go together")
        if username is not None and ":" in username:
            raise ValueError("push_username may not hold a colon: basic authentication could not tell where it ends")
        token = b64encode(f"{username}:{password}".encode()).decode()
        self._headers = {} if username is None else {"Authorization": f"Basic {token}"}
        self._root_pem = root_pem

    def connect(self) -> http.client.HTTPConnection:
        """Return a connection that is not open yet. It trusts the sandbox's root beside the usual ones."""
        host = self._url.hostname or ""
        if self._url.scheme == "http":
            return http.client.HTTPConnection(host, self._url.port, timeout=TIMEOUT)
        context = ssl.create_default_context()
        context.load_verify_locations(cadata=self._root_pem)
        return http.client.HTTPSConnection(host, self._url.port, timeout=TIMEOUT, context=context)

    def call(self, connection: http.client.HTTPConnection, notification: SandboxNotification) -> int:
        """Send a notification once and return the HTTP status. Raises `OSError` and `HTTPException`."""
        path, query = self._url.path or "/", self._url.query
        form = urlencode(notification.fields)
        if notification.method == "GET":
            query = "&".join(filter(None, (query, form)))
        target = f"{path}?{query}" if query else path
        if notification.method == "GET":
            connection.request("GET", target, headers=self._headers)
        else:
            connection.request("POST", target, form.encode("ascii"), {**self._headers, "Content-Type": FORM_TYPE})
        return connection.getresponse().status


class Outbox:
    """The notifications between two resets, and the orders whose movement by time is to be announced.

    `timed` says that the sandbox's clock is real time: only then the thread can wait for an order. By any other clock
    an order is announced when it is polled or moved by hand.
    """

    def __init__(self, receiver: Receiver, lock: threading.RLock, *, certificates: bool, timed: bool) -> None:
        self.certificates = certificates
        self._receiver = receiver
        self._changed = threading.Condition(lock)
        self._timed = timed
        self._all: list[SandboxNotification] = []
        self._queue: deque[SandboxNotification] = deque()
        self._orders: dict[SandboxOrder, None] = {}
        self._connection: http.client.HTTPConnection | None = None
        self._thread: threading.Thread | None = None
        self._closed = False

    @property
    def notifications(self) -> list[SandboxNotification]:
        """Every notification in the order of the events."""
        with self._changed:
            return list(self._all)

    def send(self, notification: SandboxNotification) -> None:
        """Have it sent after those before it. Returns at once."""
        with self._changed:
            if not self._closed:
                self._all.append(notification)
                self._queue.append(notification)
                self._wake()

    def watch(self, order: SandboxOrder) -> None:
        """Announce what happens to an order as time passes."""
        with self._changed:
            if order.advance() is not None and self._timed and not self._closed:
                self._orders[order] = None
                self._wake()

    def close(self) -> None:
        """Send nothing any more: what is being sent at this moment is broken off, and the thread ends."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
            if self._connection is not None:
                _break_off(self._connection)

    def _wake(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="collectssl-sandbox-push", daemon=True)
            self._thread.start()
        self._changed.notify_all()

    def _run(self) -> None:
        while (notification := self._next()) is not None:
            self._deliver(notification)

    def _next(self) -> SandboxNotification | None:
        """Return what is to be sent next; None, once and for all, when nothing is left to wait for."""
        with self._changed:
            while not self._closed:
                pause = self._advance_orders()
                if self._queue:
                    return self._queue.popleft()
                if pause is None:
                    break
                self._changed.wait(max(pause, _SOONEST))
            self._thread = None
            return None

    def _advance_orders(self) -> float | None:
        """Move every order to where its time is; return the seconds until the next one moves by itself."""
        pauses = []
        for order in tuple(self._orders):
            pause = order.advance()
            if pause is None:
                self._orders.pop(order, None)
            else:
                pauses.append(pause)
        return min(pauses, default=None)

    def _deliver(self, notification: SandboxNotification) -> None:
        while not notification.ended:
            with self._changed:
                if self._closed:
                    return
                connection = self._connection = self._receiver.connect()
            answer: int | str
            try:
                answer = self._receiver.call(connection, notification)
            except (OSError, http.client.HTTPException) as error:
                answer = f"{type(error).__name__}: {error}"
            finally:
                connection.close()
            with self._changed:
                self._connection = None
                notification.tries += 1
                notification.answer = answer


def _break_off(connection: http.client.HTTPConnection) -> None:
    """Wake the thread that waits for an answer on it; a connection that is just being made goes on until it is."""
    if connection.sock is not None:
        with suppress(OSError):
            connection.sock.shutdown(socket.SHUT_RDWR)


def _checked_url(url: str) -> SplitResult:
    """Return the URL's parts. The message does not quote it, since it may hold a password."""
    in_ascii = all("!" <= character <= "~" for character in url)
    with suppress(ValueError):  # what is no URL at all
        parts = urlsplit(url)
        has_host = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        if in_ascii and has_host and "@" not in parts.netloc:
            return parts
    raise ValueError(
        "push_url must be an http or https URL in ASCII; a login goes into push_username and push_password"
    )
