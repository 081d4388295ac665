"""`CollectSSLClient`: a guard around a transport around the wire, and the wait. The only file that touches httpx.

httpx's exceptions, requests and responses hold the form with the password. None leaves `_try`: failures come back as
values and are raised where no local knows the form.
"""

from __future__ import annotations

import inspect
import logging
import math
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn, Self, TypeVar
from urllib.parse import quote_plus, urlsplit

import anyio
import httpx

from ._failures import read_failure
from ._reply import Reply, understand
from ._requests import certificate_request, status_request
from ._waiting import Replies, Wait
from .certificates import CertificateBundle
from .credentials import Credentials
from .errors import (
    AuthenticationError,
    CallTimeoutError,
    CollectSSLError,
    ConfigurationError,
    MalformedResponseError,
    NotReadyError,
    WaitTimeoutError,
)
from .guards import ProcessGuard
from .guards._runtime import current_loop
from .models import OrderRef
from .polling import PollPolicy
from .wire import encode_request

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from types import TracebackType

    import httpx2

    from ._hints import Hints
    from .guards import Guard, Hold
    from .guards._runtime import Loop
    from .models import CollectSSLRequest, CollectSSLResponse
    from .polling import PollState, PollUpdate

    HTTPClient = httpx.AsyncClient | httpx2.AsyncClient
    HTTPResponse = httpx.Response | httpx2.Response

ENDPOINT = "https://secure.trust-provider.com/products/download/CollectSSL"
"""The live service. Reference: "Endpoint: CollectSSL"."""

MAX_BODY = 5 * 1024 * 1024
"""Bytes of the longest reply that is read."""

_KEEP_ALIVE = 2.0  # seconds: a connection that idles longer may be half dead, and a call on it would count as abandoned
_HEADERS = {
    "Content-Type": "application/x-www-form-urlencoded",
    "Accept-Encoding": "identity",  # a small compressed reply may be a large one
}

_Error = TypeVar("_Error", bound=BaseException)

logger = logging.getLogger("collectssl_async")


class CollectSSLClient:
    """Calls CollectSSL for one account, one call at a time, and waits for orders.

    `endpoint` is an https URL. `http_client` is an `httpx.AsyncClient` or `httpx2.AsyncClient` that stays yours to
    close; by default the client makes and closes one of its own. `guard` keeps calls apart (default: a
    `ProcessGuard`, shared by the whole process). `timeout` is seconds for one call, from sending to the last byte,
    without the wait for the guard; it replaces the timeouts of an `http_client` handed in.

    A client belongs to one event loop; what loops share is the guard. Raises `ConfigurationError` for an endpoint that
    is not https and for a timeout that is not a positive number. Cannot be pickled.
    """

    def __init__(
        self,
        credentials: Credentials,
        *,
        endpoint: str = ENDPOINT,
        http_client: HTTPClient | None = None,
        guard: Guard | None = None,
        timeout: float = 60.0,
    ) -> None:
        if not isinstance(credentials, Credentials):
            raise ConfigurationError(f"credentials must be a Credentials, not {type(credentials).__name__}")
        if not (isinstance(timeout, int | float) and math.isfinite(timeout) and timeout > 0):
            raise ConfigurationError(f"timeout must be a number of seconds above 0, not {timeout!r}")
        self._credentials = credentials
        self._endpoint = _checked_endpoint(endpoint)
        self._timeout = timeout
        self._guard: Guard = guard if guard is not None else ProcessGuard()
        self._owns_http = http_client is None
        self._http: HTTPClient = _new_http_client() if http_client is None else http_client
        self._url: Any = self._endpoint  # what a request made of it is reused: parsing it takes httpx 25 us
        self._loop: Loop | None = None
        self._closed = False
        self._refused: AuthenticationError | None = None

    @classmethod
    def from_env(
        cls,
        *,
        endpoint: str = ENDPOINT,
        http_client: HTTPClient | None = None,
        guard: Guard | None = None,
        timeout: float = 60.0,
    ) -> Self:
        """Return a client with `Credentials.from_env()`, and the guard that COLLECTSSL_GUARD names unless one is given.

        See `guard_from_url` for what it may name. Raises `ConfigurationError` that names the variable.
        """
        from .guards import guard_from_env

        guard = guard if guard is not None else guard_from_env()
        return cls(Credentials.from_env(), endpoint=endpoint, http_client=http_client, guard=guard, timeout=timeout)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(endpoint={self._endpoint!r})"

    def __reduce_ex__(self, protocol: Any) -> NoReturn:
        raise TypeError("CollectSSLClient cannot be pickled: it holds connections and a password")

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections that the client opened; an `http_client` that was handed in stays open."""
        self._closed = True
        if self._owns_http:
            await self._http.aclose()

    # --- one call ---

    async def collect(self, request: CollectSSLRequest) -> CollectSSLResponse:
        """Make exactly one call and return its reply. Nobody else calls from here until the last byte is read.

        Raises `APIError` where the API refuses, `TransportError` where the network fails, `MalformedResponseError`
        where the reply is not what the API documents, `GuardError` where the guard cannot keep calls apart.
        Reference: "Request parameters".
        """
        return await self._call(request)

    async def status(self, order: OrderRef | str) -> CollectSSLResponse:
        """Return all that the API tells of an order, without its certificate. Raises what `collect` raises."""
        return await self._call(status_request(OrderRef.of(order)))

    async def download(self, order: OrderRef | str) -> CertificateBundle:
        """Collect an issued certificate with its chain.

        Raises `NotReadyError` when it is not issued yet, `CertificateError` when what came cannot be used, and what
        `collect` raises.
        """
        order = OrderRef.of(order)
        response = await self._call(certificate_request(order))
        if response.payload is None:
            raise NotReadyError(f"order {order} has no certificate yet: status {response.status}", response=response)
        return CertificateBundle.from_payload(response.payload)

    # --- waiting ---

    def poll(
        self, order: OrderRef | str, *, policy: PollPolicy | None = None, state: PollState | None = None
    ) -> Replies:
        """Iterate over the replies as they come: 0, 0, 1, 2. The one that carries the certificate is the last.

        Failures are waited out as `PollPolicy` says, and are not shown. Raises what ends the wait, and `ValueError` for
        the state of another order.
        """
        return Replies(Wait(self._ask, OrderRef.of(order), policy or PollPolicy(), state))

    async def wait_for_certificate(
        self,
        order: OrderRef | str,
        *,
        policy: PollPolicy | None = None,
        timeout: float | None = None,
        state: PollState | None = None,
        on_update: Callable[[PollUpdate], Awaitable[object] | object] | None = None,
        push: Hints | None = None,
    ) -> CertificateBundle:
        """Wait until the certificate can be collected, and return it.

        `timeout` is seconds from now. At the deadline the order is asked for once more, if `min_interval` has passed
        since the last time; a call under way is finished, not cut; then `WaitTimeoutError` carries the state from which
        another wait goes on. `on_update`, a function or a coroutine function, is given a `PollUpdate` after every poll.
        `push`, a `PushReceiver`, lets a notification end a pause, and `policy` is `PollPolicy.gentle()` unless given.
        Raises what ends the wait, `CertificateError` when what came cannot be used, and `ValueError` for the state of
        another order.
        """
        if timeout is not None and not timeout >= 0:
            raise ValueError(f"timeout must be a number of seconds, 0 or more, or None, not {timeout!r}")
        policy = policy or (PollPolicy() if push is None else PollPolicy.gentle())
        wait = Wait(self._ask, OrderRef.of(order), policy, state)
        stop_listening = None if push is None else push.listen(wait.hear, wait.state.order)
        try:
            return await self._wait(wait, policy, timeout, on_update)
        finally:
            if stop_listening is not None:
                stop_listening()

    async def _wait(
        self,
        wait: Wait,
        policy: PollPolicy,
        timeout: float | None,
        on_update: Callable[[PollUpdate], Awaitable[object] | object] | None,
    ) -> CertificateBundle:
        deadline = math.inf if timeout is None else anyio.current_time() + timeout
        asked_at_deadline = False
        while True:
            too_late = wait.due > deadline
            if not await wait.rest(min(wait.due, deadline)):
                continue
            if too_late:
                if asked_at_deadline or wait.asked_within(policy.min_interval):
                    raise WaitTimeoutError(
                        f"order {wait.state.order} has no certificate after {timeout:g} s", state=wait.state
                    )
                asked_at_deadline = True
            update = await wait.ask()
            if on_update is not None:
                outcome = on_update(update)
                if inspect.isawaitable(outcome):
                    await outcome
            if update.response is not None and update.response.payload is not None:
                return CertificateBundle.from_payload(update.response.payload)

    async def _ask(self, order: OrderRef, *, collect: bool) -> CollectSSLResponse:
        return await self._call(certificate_request(order) if collect else status_request(order), waiting=True)

    # --- the call itself ---

    async def _call(self, request: CollectSSLRequest, *, waiting: bool = False) -> CollectSSLResponse:
        self._check_usable()
        async with self._guard.hold(self._endpoint) as hold:
            # Looked at inside the hold: of many waits that queue here, only the first may try a wrong password.
            if waiting and self._refused is not None:
                hold.finished()
                outcome: CollectSSLResponse | CollectSSLError = AuthenticationError(*self._refused.args)
            else:
                outcome = understand(request, await self._exchange(request, hold), self._credentials)
            if isinstance(outcome, AuthenticationError):
                self._refused = outcome
            elif not isinstance(outcome, CollectSSLError):
                self._refused = None
        if isinstance(outcome, CollectSSLError):
            logger.debug("%s: %s", self._endpoint, outcome)
            raise outcome
        return outcome

    def _check_usable(self) -> None:
        if self._closed or self._http.is_closed:
            raise ConfigurationError("the client is closed: make calls inside its `async with` block")
        if self._owns_http:  # its idle connections belong to the loop that opened them
            loop = current_loop()
            if self._loop is not None and self._loop is not loop:
                raise ConfigurationError("the client is used on a second event loop: make one client for each loop")
            self._loop = loop

    async def _exchange(self, request: CollectSSLRequest, hold: Hold) -> Reply | CollectSSLError:
        """Make the call. It is made again only when no connection could be made, so that nothing was sent."""
        sending = _Sending(hold)
        try:
            with anyio.move_on_after(self._timeout) as sending.scope:
                outcome = await self._try(request, sending)
                if isinstance(outcome, _Unsent) and outcome.again:
                    outcome = await self._try(request, sending)
                if isinstance(outcome, _Unsent):
                    hold.finished()
                    return outcome.error
                if isinstance(outcome, CollectSSLError):
                    return outcome
                if not sending.too_large:
                    hold.finished()
                    return outcome
        except BaseException as error:  # noqa: BLE001 - a cancellation: the frames below us hold the form
            raise _without_frames(error)  # noqa: B904 - it is the same exception
        if sending.too_large:
            return MalformedResponseError(f"the reply is longer than {MAX_BODY} bytes")
        if sending.unsent:
            hold.finished()
        return CallTimeoutError(f"no whole reply within {self._timeout:g} s")

    async def _try(self, request: CollectSSLRequest, sending: _Sending) -> Reply | _Unsent | CollectSSLError:
        try:
            response = await self._http.send(
                self._form(request, sending), stream=True, auth=None, follow_redirects=False
            )
            try:
                return await _read(response, sending)
            finally:
                await response.aclose()
        except CollectSSLError as error:  # the hold was lost just before the first byte
            return _Unsent(_without_frames(error), again=False)
        except Exception as error:  # noqa: BLE001 - a transport handed in may raise anything
            failure, before_sending = read_failure(error, self._credentials)
            return _Unsent(failure, again=True) if before_sending and not sending.started else failure

    def _form(self, request: CollectSSLRequest, sending: _Sending) -> Any:
        form = self._http.build_request(
            "POST",
            self._url,
            content="&".join(
                f"{name}={quote_plus(value)}" for name, value in encode_request(request, self._credentials)
            ).encode(),
            headers=_HEADERS,
            timeout=None,
            extensions={"trace": sending.trace},
        )
        self._url = form.url
        return form


class _Unsent(NamedTuple):
    """A failure before anything was sent; `again` where another connection may succeed."""

    error: CollectSSLError
    again: bool


class _Sending:
    """How far a call has come, as httpcore's trace extension tells it. A transport without traces tells nothing."""

    __slots__ = ("_hold", "_traced", "scope", "started", "too_large")

    def __init__(self, hold: Hold) -> None:
        self._hold = hold
        self._traced = False
        self.scope: anyio.CancelScope | None = None
        self.started = False
        self.too_large = False

    @property
    def unsent(self) -> bool:
        """Whether it is proven that no byte of the call went out."""
        return self._traced and not self.started

    async def trace(self, event: str, info: dict[str, Any]) -> None:
        """Ask the guard just before the first byte of the form; a proxy's CONNECT is not it."""
        self._traced = True
        if event.endswith(".send_request_headers.started") and info["request"].method != b"CONNECT":
            self._hold.check()
            self.started = True
            info["request"].extensions.pop("trace", None)  # no later event matters, and each costs 2 us


async def _read(response: HTTPResponse, sending: _Sending) -> Reply:
    body = bytearray()
    # A reply that a mock made is read already, and a compressed one must be unpacked; else the raw bytes are cheaper.
    plain = not response.is_stream_consumed and "content-encoding" not in response.headers
    async for chunk in response.aiter_raw() if plain else response.aiter_bytes():
        if len(body) + len(chunk) > MAX_BODY and sending.scope is not None:
            # Cancelled inside the transport at its next wait, so that every generator on the way is closed in order.
            sending.too_large = True
            sending.scope.cancel()
        else:
            body += chunk
    headers = response.headers
    retry_after = None if response.is_success else headers.get("retry-after")
    return Reply(response.status_code, headers.get("content-type"), retry_after, bytes(body))


def _new_http_client() -> httpx.AsyncClient:
    return httpx.AsyncClient(
        headers={"User-Agent": "collectssl-async"}, limits=httpx.Limits(keepalive_expiry=_KEEP_ALIVE)
    )


def _without_frames(error: _Error) -> _Error:
    """Return an exception without the frames and exceptions that it came through, whose locals hold the form."""
    error.__context__ = error.__cause__ = None
    return error.with_traceback(None)


def _checked_endpoint(endpoint: str) -> str:
    try:
        parts = urlsplit(endpoint)
        whole = parts.scheme.lower() == "https" and bool(parts.hostname) and (parts.port is None or parts.port > 0)
        has_login = parts.username is not None or parts.password is not None
    except ValueError:
        whole = has_login = False
    if has_login:
        raise ConfigurationError("endpoint must not hold a user name or password: they belong into Credentials")
    if not whole:
        raise ConfigurationError(f"endpoint must be an https URL such as {ENDPOINT}, not {endpoint!r}")
    return endpoint
