"""How soon a certificate is found and how many calls that takes: ours beside what people write. Prints README's table.

    python -m tests.benchmarks.detection [ORDERS]

Assumed: orders are placed evenly over 30 days; 80 % are DV, issued after a median of 4 minutes, 15 % OV, 1.5 days,
5 % EV, 9 days, each spread log-normally; a call takes a second; a notification comes 5 seconds after the issue, and one
in fifty never. Ours is the `Watcher` itself on a clock that jumps, with every call queued for the one line. The others
are the loops' arithmetic, with the line to themselves: where they need more than it has, they could not be run.
"""

from __future__ import annotations

import asyncio
import random
import statistics
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import parse_qs

import anyio
import httpx

from collectssl_async import CollectSSLClient, Credentials, PollPolicy
from collectssl_async._hints import Hint, HintBoard
from collectssl_async.watch import Watcher

from ..clocks import VirtualClockLoop
from ..scripted import CERTIFICATE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

DAY = 86_400.0
MONTH = 30 * DAY
CALL = 1.0  # seconds
NOTIFIED_AFTER = 5.0  # seconds
LOST = 0.02


class Product(NamedTuple):
    """A kind of order: its share of all, and how long issuing takes, log-normally distributed (seconds)."""

    name: str
    share: float
    median: float
    sigma: float


PRODUCTS = (
    Product("DV", 0.80, 240.0, 1.0),
    Product("OV", 0.15, 1.5 * DAY, 0.7),
    Product("EV", 0.05, 9 * DAY, 0.5),
)


@dataclass(slots=True)
class Order:
    """When an order is placed and issued, and what came of it. Seconds from the month's beginning."""

    number: str
    product: str
    placed: float
    issued: float
    calls: int = 0
    found: float = 0.0


@dataclass(slots=True)
class Run:
    """One way's results."""

    name: str
    orders: list[Order] = field(repr=False)

    @property
    def calls(self) -> float:
        return statistics.mean(order.calls for order in self.orders)

    @property
    def load(self) -> float:
        """The share of the time in which the line is in use."""
        span = max(order.found for order in self.orders) - min(order.placed for order in self.orders)
        return sum(order.calls for order in self.orders) * CALL / span

    def delays(self, product: str) -> tuple[float, float]:
        """Return the mean and the 95th percentile of the seconds from the issue to the certificate."""
        delays = [order.found - order.issued for order in self.orders if order.product == product]
        return statistics.mean(delays), statistics.quantiles(delays, n=20)[-1]


def drawn(count: int) -> list[Order]:
    """Draw the orders, the same ones every time."""
    chance = random.Random(2026)
    orders = []
    for number in range(count):
        (product,) = chance.choices(PRODUCTS, [each.share for each in PRODUCTS])
        placed = chance.uniform(0, MONTH)
        taking = product.median * chance.lognormvariate(0, product.sigma)
        orders.append(Order(str(10_000_000 + number), product.name, placed, placed + taking))
    return sorted(orders, key=lambda order: order.placed)


# --- what people write ------------------------------------------------------------------------------------------------


def every(seconds: float) -> Callable[[], Iterator[float]]:
    def pauses() -> Iterator[float]:
        while True:
            yield seconds

    return pauses


def growing(first: float, factor: float, longest: float) -> Callable[[], Iterator[float]]:
    def pauses() -> Iterator[float]:
        pause = first
        while True:
            yield pause
            pause = min(pause * factor, longest)

    return pauses


def by_hand(orders: list[Order], pauses: Callable[[], Iterator[float]]) -> None:
    """Let a loop of its own ask for each order, the first time when it is placed."""
    for order in orders:
        now, pausing = order.placed, pauses()
        order.calls = 1
        while now < order.issued:
            now += next(pausing)
            order.calls += 1
        order.found = now + CALL


# --- ours -------------------------------------------------------------------------------------------------------------


def ours(orders: list[Order], policy: PollPolicy | None, *, push: bool) -> None:
    """Let one watcher ask for all of them."""
    with asyncio.Runner(loop_factory=VirtualClockLoop) as runner:
        runner.run(_watched(orders, policy, push=push))


async def _watched(orders: list[Order], policy: PollPolicy | None, *, push: bool) -> None:
    began = anyio.current_time()
    by_number = {order.number: order for order in orders}
    board, chance = HintBoard(), random.Random(1)

    async def answer(request: httpx.Request) -> httpx.Response:
        asked = parse_qs(request.content.decode())
        order = by_number[asked["orderNumber"][0]]
        order.calls += 1
        issued = anyio.current_time() - began >= order.issued
        await anyio.sleep(CALL)
        if issued and asked["queryType"] == ["1"]:
            order.found = anyio.current_time() - began
            return httpx.Response(200, content=CERTIFICATE)
        return httpx.Response(200, content=f"errorCode={int(issued)}")

    async def place(watcher: Watcher) -> None:
        for order in orders:
            await anyio.sleep_until(began + order.placed)
            await watcher.add(order.number)

    async def notify() -> None:
        for order in sorted(orders, key=lambda each: each.issued):
            await anyio.sleep_until(began + order.issued + NOTIFIED_AFTER)
            if chance.random() >= LOST:
                board.post(Hint(order.number, None))

    async with (
        httpx.AsyncClient(transport=httpx.MockTransport(answer)) as http,
        anyio.create_task_group() as tasks,
    ):
        client = CollectSSLClient(Credentials(login_name="partner", login_password="secret"), http_client=http)
        watcher = Watcher(client, policy=policy, push=board if push else None, stop_when_empty=False)
        tasks.start_soon(place, watcher)
        if push:
            tasks.start_soon(notify)
        for _ in orders:
            outcome = await anext(watcher)
            assert outcome.error is None, outcome.error
        tasks.cancel_scope.cancel()


WAYS: dict[str, Callable[[list[Order]], None]] = {
    "`Watcher`, the default": lambda orders: ours(orders, None, push=False),
    "`Watcher`, `PollPolicy.gentle()`": lambda orders: ours(orders, PollPolicy.gentle(), push=False),
    "`Watcher` with push": lambda orders: ours(orders, None, push=True),
    "a loop: every 60 s": lambda orders: by_hand(orders, every(60)),
    "a loop: 5 s, times 3, up to 5 min": lambda orders: by_hand(orders, growing(5, 3, 300)),
    "a loop: every 3 h": lambda orders: by_hand(orders, every(3 * 3600)),
}


def duration(seconds: float) -> str:
    """Return a duration in the unit that people would say it in."""
    for size, unit in ((3600.0, "h"), (60.0, "min")):
        if seconds >= 1.5 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} s"


def cells(run: Run) -> list[str]:
    delays = ["{}, {}".format(*map(duration, run.delays(product.name))) for product in PRODUCTS]
    load = f"{run.load:.1%}" if run.load < 1 else f"{run.load:.0%}: not possible"
    return [run.name, f"{run.calls:.1f}", *delays, load]


def main(count: int) -> None:
    rows = [["way", "calls an order", *(f"{product.name}: mean, 95 %" for product in PRODUCTS), "line in use"]]
    rows.append(["---"] * len(rows[0]))
    for name, way in WAYS.items():
        orders = drawn(count)
        way(orders)
        rows.append(cells(Run(name, orders)))
    for row in rows:
        print("| " + " | ".join(row) + " |", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 10_000)
