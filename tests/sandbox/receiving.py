"""A partner's URL: takes notifications over HTTP or HTTPS, and answers as it is told to."""

from __future__ import annotations

import queue
import threading
from collections import deque
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import parse_qsl, urlsplit

from collectssl_async.sandbox import Sandbox

if TYPE_CHECKING:
    import ssl
    from types import TracebackType

    from collectssl_async.sandbox import SandboxOrder


def push_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "collectssl-sandbox-push"]


def by_hand(partner: Partner, **settings: Any) -> tuple[Sandbox, SandboxOrder]:
    sandbox = Sandbox(push_url=partner.url, **settings)
    return sandbox, sandbox.place_order("a.example", names=["b.example"], product="ev", issue_after=None)


class Received(NamedTuple):
    method: str
    query: dict[str, str]
    form: dict[str, str]
    authorization: str | None

    @property
    def fields(self) -> dict[str, str]:
        return self.form or self.query


class Partner:
    """The URL's owner. `answers` come first in, first out: an HTTP status, or an event after which it hangs up."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        partner = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                partner._take(self)

            def do_POST(self) -> None:
                partner._take(self)

            def log_message(self, *_: object) -> None:
                pass

        self.answers: deque[int | threading.Event] = deque()
        self._received: queue.SimpleQueue[Received] = queue.SimpleQueue()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        scheme = "http"
        if tls is not None:
            scheme = "https"
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        self.url = f"{scheme}://127.0.0.1:{self._server.server_address[1]}/push"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))

    def __enter__(self) -> Partner:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def take(self) -> Received:
        """Return the next one, however long it takes."""
        return self._received.get(timeout=10)

    def events(self, count: int) -> list[str]:
        """Return the next so many, each as its eventType and, if it has one, its statusCode."""
        taken = [self.take().fields for _ in range(count)]
        return [" ".join(filter(None, (each["eventType"], each.get("statusCode")))) for each in taken]

    def nothing_more(self) -> bool:
        return self._received.empty()

    def _take(self, handler: BaseHTTPRequestHandler) -> None:
        body = handler.rfile.read(int(handler.headers.get("content-length", 0)))
        self._received.put(
            Received(
                handler.command,
                dict(parse_qsl(urlsplit(handler.path).query, keep_blank_values=True)),
                dict(parse_qsl(body.decode(), keep_blank_values=True)),
                handler.headers["authorization"],
            )
        )
        answer = self.answers.popleft() if self.answers else 200
        if isinstance(answer, threading.Event):
            answer.wait(10)
            return  # the connection ends without an answer
        handler.send_response(answer)
        handler.send_header("location", "/elsewhere")
        handler.send_header("content-length", "0")
        handler.end_headers()
