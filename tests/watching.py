"""A service with many orders for tests of the watcher: each order answers by a script of its own, calls are noted."""

from __future__ import annotations

import inspect
import itertools
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import parse_qs, quote_plus

import anyio
import httpx

from collectssl_async import CollectSSLClient, Credentials, OrderRef, PollPolicy
from collectssl_async._kept import Kept

from . import pki

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from collectssl_async.watch import Watcher, WatchOutcome

    Answer = str | Exception | httpx.Response | Callable[["Call"], Any]

EVEN = PollPolicy(jitter=0)
CHAIN = pki.hierarchy("shop.example.com")

PROCESSING, AVAILABLE = "errorCode=0", "errorCode=1"
DOWN = httpx.Response(503)
REJECTED = "-20\nThe certificate request has been rejected!"
WRONG_LOGIN = "-16\nIncorrect login details"


def base64_of(identity: pki.Identity) -> str:
    return quote_plus("".join(identity.pem.splitlines()[1:-1]))


CERTIFICATE = "errorCode=2&" + "&".join(
    [f"caCertificate={base64_of(ca)}" for ca in (CHAIN.new_root, CHAIN.issuing)]
    + [f"certificate={base64_of(CHAIN.leaf)}"]
)

_endpoints = itertools.count()


class Call(NamedTuple):
    """One call: when it came on the loop's clock, for which order number or certificate ID, and its `queryType`."""

    time: float
    order: str
    query: str


class Service:
    """Answers each order by its script, whose last answer is given for ever; orders without one by `otherwise`."""

    def __init__(self, otherwise: Answer = PROCESSING, /, **scripts: Sequence[Answer]) -> None:
        self.otherwise = otherwise
        self.scripts = {name.removeprefix("o"): list(script) for name, script in scripts.items()}
        self.calls: list[Call] = []
        # An endpoint of its own: what a test abandons must not keep the next one out.
        self.endpoint = f"https://watching-{next(_endpoints)}.example/CollectSSL"

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        form = parse_qs(request.content.decode())
        [order] = form.get("orderNumber") or form["certificateID"]
        call = Call(anyio.current_time(), order, form["queryType"][0])
        self.calls.append(call)
        script = self.scripts.get(order, [self.otherwise])
        answer = script.pop(0) if len(script) > 1 else script[0]
        if callable(answer):
            answer = answer(call)
            if inspect.isawaitable(answer):
                answer = await answer
        if isinstance(answer, Exception):
            raise answer
        return answer if isinstance(answer, httpx.Response) else httpx.Response(200, content=answer)

    def client(self, **options: Any) -> CollectSSLClient:
        return CollectSSLClient(
            Credentials(login_name="partner", login_password="secret"),
            endpoint=self.endpoint,
            http_client=httpx.AsyncClient(transport=httpx.MockTransport(self)),
            **options,
        )

    @property
    def orders(self) -> str:
        """The orders asked for, one after the other."""
        return " ".join(call.order for call in self.calls)

    def times(self, order: str) -> list[float]:
        """Return when an order was asked for, in seconds since the first call."""
        return [round(call.time - self.calls[0].time, 3) for call in self.calls if call.order == order]


async def outcomes_of(watcher: Watcher) -> list[WatchOutcome]:
    """Iterate to the end."""
    return [outcome async for outcome in watcher]


async def tell(watcher: Watcher, told: Callable[[str], object]) -> None:
    """Iterate to the end, and tell of every order as it comes."""
    async for outcome in watcher:
        told(str(outcome.order))


def issued_after(seconds: float) -> Answer:
    """Return an answer that is 0 until so long after the first call, then 1 and the certificate."""
    first: list[float] = []

    def answer(call: Call) -> str:
        first.append(call.time)
        if call.time < first[0] + seconds:
            return PROCESSING
        return AVAILABLE if call.query == "0" else CERTIFICATE

    return answer


def kept(order: str, now: float, **fields: Any) -> Kept:
    """Return an order as a store has it."""
    return Kept(order, **{"started_at": now, "next_poll_at": now, **fields})


def names(orders: Collection[OrderRef]) -> list[str]:
    return [str(order) for order in orders]
