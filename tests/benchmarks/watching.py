"""The watcher's cost of a call and of many orders, on a clock that jumps and a transport that answers at once.

Beside it stands what one would write by hand: a post of the same fields, and a sleep.
"""

from __future__ import annotations

import itertools
import random
import time
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import parse_qs

import anyio
import anyio.lowlevel
import httpx

from collectssl_async import CollectSSLClient, OrderRef, PollPolicy
from collectssl_async._requests import status_request
from collectssl_async.watch import Watcher
from collectssl_async.wire import encode_request

from ..clocks import virtual_backend
from ..watching import AVAILABLE, CERTIFICATE, PROCESSING
from .call import CREDENTIALS
from .measuring import Row, cost_of, row, take_turns

if TYPE_CHECKING:
    from collections.abc import Callable

FEW, MANY = 200, 10_000
ROUNDS, CALLS = 31, 200
REPLY = httpx.Headers({"Content-Type": "application/x-www-form-urlencoded"})
ISSUED_WITHIN = 300.0
"""Seconds in which the orders of the whole run are issued: between them and the end lie five calls an order."""

_endpoints = (f"https://benchmark-{number}.example/CollectSSL" for number in itertools.count())


def transport(answer: Callable[[dict[str, list[str]]], str]) -> httpx.AsyncClient:
    """Return an HTTP client whose calls are answered in this process."""

    def respond(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, headers=REPLY, content=answer(parse_qs(request.content.decode())))

    return httpx.AsyncClient(transport=httpx.MockTransport(respond))


class Steady:
    """A watcher whose orders are never ready; runs exactly as many calls as it is told. Each is preceded by a sleep."""

    def __init__(self, orders: int) -> None:
        self._left = 0
        self._scope = anyio.CancelScope()
        client = CollectSSLClient(CREDENTIALS, endpoint=next(_endpoints), http_client=transport(self._answer))
        self._orders = orders
        self._watcher = Watcher(client, policy=PollPolicy(min_interval=3600, max_interval=3600, jitter=1))

    async def prepare(self) -> None:
        """Add the orders and ask for each once, after which they are spread over an hour."""
        await self._watcher.add(*map(str, range(self._orders)))
        await self.run(self._orders)

    async def run(self, calls: int) -> None:
        self._left = calls
        with anyio.CancelScope() as self._scope:
            await anext(self._watcher)

    def _answer(self, _: dict[str, list[str]]) -> str:
        self._left -= 1
        if self._left == 0:
            self._scope.cancel()
        return PROCESSING


class Whole(NamedTuple):
    """A run of many orders from the first poll to the last certificate."""

    seconds: float
    collected: int
    calls: int
    early: int


async def compare_calls() -> list[Row]:
    few, many = Steady(FEW), Steady(MANY)
    for each in (few, many):
        await each.prepare()
    fields = dict(encode_request(status_request(OrderRef(order_number="1")), CREDENTIALS))
    bare = transport(lambda _: PROCESSING)

    async def by_hand(times: int) -> None:
        for _ in range(times):
            await bare.post("https://benchmark.example/CollectSSL", data=fields)
            await anyio.sleep(1)

    of_few, of_many, of_hand = await take_turns(
        ROUNDS, lambda: cost_of(few.run, CALLS), lambda: cost_of(many.run, CALLS), lambda: cost_of(by_hand, CALLS)
    )
    return [
        row(f"a call among {MANY} orders", f"among {FEW}", of_many, of_few, at_most=1.3),
        row(f"a call among {MANY} orders", "httpx post and a sleep", of_many, of_hand, at_most=2.0),
    ]


async def run_whole() -> Whole:
    """Let every order be issued at a moment of its own, and watch until all are collected."""
    began = anyio.current_time()
    issued = {str(number): began + random.uniform(0, ISSUED_WITHIN) for number in range(MANY)}
    policy = PollPolicy()
    due: dict[str, float] = {}
    polls = dict.fromkeys(issued, 0)
    calls = early = 0

    def answer(form: dict[str, list[str]]) -> str:
        nonlocal calls, early
        calls += 1
        now, [order], [query] = anyio.current_time(), form["orderNumber"], form["queryType"]
        if query == "1":
            return CERTIFICATE
        early += now < due.get(order, began)
        polls[order] += 1
        due[order] = now + policy.delay_after_answer(polls[order], 0.0)
        return AVAILABLE if now >= issued[order] else PROCESSING

    client = CollectSSLClient(CREDENTIALS, endpoint=next(_endpoints), http_client=transport(answer))
    watcher = Watcher(client, policy=policy)
    start = time.perf_counter()
    await watcher.add(*issued)
    collected = 0
    async for outcome in watcher:
        collected += outcome.bundle is not None
    return Whole(time.perf_counter() - start, collected, calls, early)


def run() -> list[Row]:
    rows = []
    for library in ("asyncio", "trio"):
        backend, options = virtual_backend(library)
        rows += [
            line._replace(what=f"{line.what}, {library}")
            for line in anyio.run(compare_calls, backend=backend, backend_options=options)
        ]
    backend, options = virtual_backend("asyncio")
    whole = anyio.run(run_whole, backend=backend, backend_options=options)
    what = f"{whole.collected} orders collected, {whole.calls} calls, {whole.early} early"
    return [*rows, Row(what, whole.seconds, target="<= 60 s")]
