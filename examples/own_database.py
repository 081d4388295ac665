"""Keeps how every wait stands in a column of the shop's own table of orders, and goes on from there.

    python examples/own_database.py SHOP.DB   the account's credentials are in the environment
    python examples/own_database.py           shows itself on a sandbox, a restart included

SQLite stands for whatever database the shop has: the state is a JSON text, written in the transaction that the shop
likes. An order is a row without `fullchain`; what ended badly has its `problem`.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
import sys
from contextlib import closing, suppress

import httpx

from collectssl_async import ENDPOINT, CollectSSLClient, CollectSSLError, PollPolicy, PollState, PollUpdate

TABLE = """
CREATE TABLE IF NOT EXISTS orders (
    number TEXT PRIMARY KEY, domain TEXT NOT NULL, poll_state TEXT, fullchain TEXT, problem TEXT
)
"""


class Shop:
    """The shop's database, as far as certificates are concerned."""

    def __init__(self, path: str) -> None:
        self._database = sqlite3.connect(path)
        self._database.execute(TABLE)

    def close(self) -> None:
        """Let go of the database."""
        self._database.close()

    def order(self, number: str, domain: str) -> None:
        """Take an order for a certificate."""
        with self._database:
            self._database.execute("INSERT INTO orders (number, domain) VALUES (?, ?)", (number, domain))

    def waiting(self) -> dict[str, PollState | None]:
        """Return the orders that have neither a certificate nor a problem, each with how its wait stands."""
        rows = self._database.execute(
            "SELECT number, poll_state FROM orders WHERE fullchain IS NULL AND problem IS NULL"
        )
        return {number: None if text is None else PollState.model_validate_json(text) for number, text in rows}

    def put(self, number: str, column: str, text: str) -> None:
        """Set one column of an order."""
        with self._database:
            self._database.execute(f"UPDATE orders SET {column} = ? WHERE number = ?", (text, number))  # noqa: S608


async def wait_for_all(client: CollectSSLClient, shop: Shop, policy: PollPolicy | None = None) -> None:
    """Wait for every order that the shop waits for; return when all have ended."""
    async with asyncio.TaskGroup() as waits:
        for number, state in shop.waiting().items():
            waits.create_task(wait_for(number, state, client, shop, policy))


async def wait_for(
    number: str, state: PollState | None, client: CollectSSLClient, shop: Shop, policy: PollPolicy | None
) -> None:
    """Wait for one order, and keep what comes of it."""

    def keep(update: PollUpdate) -> None:
        print(f"order {number}: status {update.state.last_status} after {update.state.polls} polls")
        shop.put(number, "poll_state", update.state.model_dump_json())

    try:
        bundle = await client.wait_for_certificate(number, policy=policy, state=state, on_update=keep)
    except CollectSSLError as error:
        print(f"order {number}: {type(error).__name__}: {error}", file=sys.stderr)
        shop.put(number, "problem", f"{type(error).__name__}: {error}")
    else:
        shop.put(number, "fullchain", bundle.fullchain_pem)
        print(f"order {number}: collected {bundle}")


async def serve_from_environment(path: str) -> None:
    """Wait for the shop's orders at the live service, or at what COLLECTSSL_ENDPOINT names."""
    endpoint = os.environ.get("COLLECTSSL_ENDPOINT", ENDPOINT)
    with closing(Shop(path)) as shop:
        async with CollectSSLClient.from_env(endpoint=endpoint) as client:
            await wait_for_all(client, shop)


async def show_itself() -> None:
    """Place three orders with a sandbox, stop the service while it waits for them, and start it again."""
    from collectssl_async.sandbox import Sandbox

    sandbox, policy = Sandbox(), PollPolicy(min_interval=0.2, max_interval=0.2)
    shop = Shop(":memory:")
    for polls in (1, 4, 6):
        placed = sandbox.place_order(f"{polls}.example.com", issue_after_polls=polls)
        shop.order(placed.order_number, placed.fqdn)
    with sandbox.serve() as server, closing(shop):
        for stopped_after in (0.5, None):
            print("--- the service starts")
            async with httpx.AsyncClient(verify=server.ssl_context, trust_env=False) as http:
                client = CollectSSLClient(sandbox.credentials, endpoint=server.endpoint, http_client=http)
                with suppress(TimeoutError):
                    await asyncio.wait_for(wait_for_all(client, shop, policy), stopped_after)


if __name__ == "__main__":
    if len(sys.argv) == 1:
        asyncio.run(show_itself())
    else:
        asyncio.run(serve_from_environment(sys.argv[1]))
