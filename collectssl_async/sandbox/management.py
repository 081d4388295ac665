"""The management API: plain HTTP and JSON on loopback, for tests in any language and for the status page.

Whoever reaches it commands the sandbox, so it listens to local callers alone: a browser that was led here by a foreign
page is refused. What the sandbox looks like is `overview.py`'s business, what a body may hold `bodies.py`'s.
"""

from __future__ import annotations

from contextlib import contextmanager
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from pydantic import ValidationError
from starlette.applications import Starlette
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from .authority import names_in, read_csr
from .bodies import Body, NewCSR, NewFault, NewOrder, Reset, Settings, StepValue, what_is_wrong
from .overview import Insides, armed_faults, call_view, forget_calls, order_view, order_views, settings, whole_state
from .page import page_routes
from .request import BODY_MAX
from .steps import check_value, wire_name
from .variations import STRICT, check_switches

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from starlette.routing import BaseRoute
    from starlette.types import Message, Receive, Scope, Send

    from .orders import SandboxOrder
    from .overview import Server
    from .sandbox import Sandbox

    Handler = Callable[[Request], Awaitable[Response]]

_B = TypeVar("_B", bound=Body)

_TEXT_MAX = 40  # characters of an unknown order's number

_HARDENED = {
    "cache-control": "no-store",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}


class Refusal(HTTPException):
    """A request that is refused: the HTTP status, why, and which fields of the body are at fault."""

    def __init__(self, status: int, why: str, *fields: str) -> None:
        super().__init__(status, why)
        self.fields = fields


class LocalOnly:
    """Hands on what a local program or our own page sent, and refuses with 403 what a browser sent for another page.

    A host name that is not this machine's is one that was pointed here (DNS rebinding), a foreign `Origin` a form or a
    script elsewhere. `any_host` leaves the first check out, for a sandbox that is meant to be reached by name.
    """

    def __init__(self, app: Starlette, *, any_host: bool = False) -> None:
        self._app = app
        self._any_host = any_host

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers(scope=scope)
        host, origin = headers.get("host", ""), headers.get("origin")
        if not self._any_host and not _is_loopback(host):
            why = "this API is for local callers only: the Host header must be localhost or a loopback address"
            await JSONResponse({"error": why}, 403)(scope, receive, send)
        elif origin not in (None, f"http://{host}"):
            why = "this API takes no requests from other pages: the Origin header must be absent or its own"
            await JSONResponse({"error": why}, 403)(scope, receive, send)
        else:
            await self._app(scope, receive, _hardened(send))


def _is_loopback(host: str) -> bool:
    try:
        name = urlsplit(f"//{host}").hostname or ""
        return name == "localhost" or ip_address(name).is_loopback
    except ValueError:
        return False


def _hardened(send: Send) -> Send:
    async def send_with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            MutableHeaders(scope=message).update(_HARDENED)
        await send(message)

    return send_with_headers


def make_management(sandbox: Sandbox, server: Server, *, any_host: bool) -> LocalOnly:
    """Return the app: the API, and the page beside it."""
    handlers: dict[type[Exception] | int, Callable[[Request, Any], Response]] = {
        HTTPException: _refused,
        ClientDisconnect: lambda *_: Response(status_code=400),  # nobody is there to read it
    }
    app = Starlette(routes=[*_Commands(sandbox, server).routes(), *page_routes()], exception_handlers=handlers)
    app.router.redirect_slashes = False
    return LocalOnly(app, any_host=any_host)


class _Commands:
    """What the API does, one method for each thing."""

    def __init__(self, sandbox: Sandbox, server: Server) -> None:
        self._sandbox = sandbox
        self._server = server

    def routes(self) -> list[BaseRoute]:
        return [
            _route("/orders", GET=self.list_orders, POST=self.place_order),
            _route("/orders/{number}", GET=self.show_order),
            _route("/orders/{number}/{action}", POST=self.move_order),
            _route("/faults", GET=self.list_faults, POST=self.arm_fault),
            _route("/settings", GET=self.show_settings, PATCH=self.change_settings),
            _route("/calls", GET=self.list_calls, DELETE=self.forget_calls),
            _route("/reset", POST=self.reset),
            _route("/state", GET=self.show_state),
        ]

    async def list_orders(self, _: Request) -> Response:
        return JSONResponse(order_views(self._sandbox))

    async def place_order(self, request: Request) -> Response:
        body = await _read(request, NewOrder)
        _check_csr(body.csr)
        try:
            order = self._sandbox.place_order(**dict(body))
        except ValueError as error:  # all but the names has been checked, and the message begins with the name
            field = "fqdn" if str(error).startswith(repr(body.fqdn)) else "names"
            raise Refusal(400, f"{field}: {error}", field) from None
        return JSONResponse(order_view(self._sandbox, order), 201)

    async def show_order(self, request: Request) -> Response:
        return JSONResponse(order_view(self._sandbox, self._order(request)))

    async def move_order(self, request: Request) -> Response:
        action = request.path_params["action"]
        if action not in ACTIONS:
            raise Refusal(404, f"an order can be moved by {', '.join(ACTIONS)}, and by nothing else")
        order = self._order(request)
        model, move = ACTIONS[action]
        move(order, await _read(request, model))
        return JSONResponse(order_view(self._sandbox, order))

    def _order(self, request: Request) -> SandboxOrder:
        number = request.path_params["number"]
        order = Insides.of(self._sandbox).orders.get(number)
        if order is None:
            raise Refusal(404, f"there is no order {number[:_TEXT_MAX]!r}: GET /orders lists those that there are")
        return order

    async def list_faults(self, _: Request) -> Response:
        return JSONResponse(armed_faults(self._sandbox))

    async def arm_fault(self, request: Request) -> Response:
        body = await _read(request, NewFault)
        with _about("kind"):
            self._sandbox.fail_next(body.kind, body.times)  # type: ignore[arg-type]  # it checks the name itself
        return JSONResponse(armed_faults(self._sandbox), 201)

    async def show_settings(self, _: Request) -> Response:
        return JSONResponse(settings(self._sandbox))

    async def change_settings(self, request: Request) -> Response:
        body = await _read(request, Settings)
        given = body.model_dump(exclude_unset=True)
        if {"strict", "switches"} <= given.keys():
            raise Refusal(400, "strict and switches: give one of them, they set the same", "strict", "switches")
        if "strict" in given:
            given["switches"] = STRICT if given.pop("strict") else ()
        if "switches" in given:
            with _about("switches"):
                given["switches"] = check_switches(given["switches"])
        if given.pop("locked", None) is not None:
            self._sandbox.unlock()
        for name, value in given.items():
            setattr(self._sandbox, name, value)
        return JSONResponse(settings(self._sandbox))

    async def list_calls(self, _: Request) -> Response:
        return JSONResponse([call_view(call) for call in self._sandbox.calls])

    async def forget_calls(self, _: Request) -> Response:
        return JSONResponse({"forgotten": forget_calls(self._sandbox)})

    async def reset(self, request: Request) -> Response:
        body = await _read(request, Reset)
        self._sandbox.reset(body.seed)
        return JSONResponse(settings(self._sandbox))

    async def show_state(self, _: Request) -> Response:
        return JSONResponse(whole_state(self._sandbox, self._server))


def _replace(order: SandboxOrder, body: NewCSR) -> None:
    _check_csr(body.csr)
    order.replace(body.csr)


def _step(order: SandboxOrder, body: StepValue) -> None:
    with _about("name"):
        wire = wire_name(body.name)
    with _about("value"):
        check_value(wire, body.value)
    with _about("name"):
        order.step(wire, body.value)


ACTIONS: dict[str, tuple[type[Body], Callable[[SandboxOrder, Any], None]]] = {
    "issue": (Body, lambda order, _: order.issue()),
    "reject": (Body, lambda order, _: order.reject()),
    "revoke": (Body, lambda order, _: order.revoke()),
    "await_payment": (Body, lambda order, _: order.await_payment()),
    "replace": (NewCSR, _replace),
    "step": (StepValue, _step),
}
"""What moves an order: the body that it takes, and the move."""


def _route(path: str, **handlers: Handler) -> Route:
    async def dispatch(request: Request) -> Response:
        method = "GET" if request.method == "HEAD" else request.method
        return await handlers[method](request)

    return Route(path, dispatch, methods=list(handlers))


async def _read(request: Request, model: type[_B]) -> _B:
    """Return a request's body; no body is an object without fields."""
    data = bytearray()
    async for chunk in request.stream():
        data += chunk
        if len(data) > BODY_MAX:
            raise Refusal(413, f"the body is longer than {BODY_MAX} bytes")
    if data and request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise Refusal(415, "the body must be JSON, and say so: Content-Type: application/json")
    try:
        return model.model_validate_json(bytes(data) or b"{}")
    except ValidationError as error:
        why, fields = what_is_wrong(error, model)
    raise Refusal(400, why, *fields)


def _check_csr(csr: str | None) -> None:
    """Refuse a CSR that is broken anywhere: what is signed but cannot be read breaks only later."""
    if csr is not None:
        try:
            request = read_csr(csr)
            names_in(request)
            request.public_key()
        except (ValueError, UnsupportedAlgorithm, x509.DuplicateExtension, x509.UnsupportedGeneralNameType) as error:
            raise Refusal(400, f"csr: {error}", "csr") from None


@contextmanager
def _about(field: str) -> Iterator[None]:
    """Turn a `ValueError` into a refusal that names the field."""
    try:
        yield
    except ValueError as error:
        raise Refusal(400, f"{field}: {error}", field) from None


def _refused(request: Request, error: HTTPException) -> Response:
    said = {
        404: "there is nothing here: this is /orders, /faults, /settings, /calls, /reset, /state, and the page at /",
        405: f"{request.url.path} takes no {request.method[:_TEXT_MAX]}: see the Allow header",
    }
    fields = getattr(error, "fields", ())
    why = error.detail if isinstance(error, Refusal) else said.get(error.status_code, error.detail)
    return JSONResponse(
        {"error": why, **({"fields": fields} if fields else {})}, error.status_code, headers=error.headers
    )
