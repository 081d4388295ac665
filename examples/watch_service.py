"""A service that waits for orders and writes their files, started and stopped by systemd or the like.

    python examples/watch_service.py ORDERS.DB DIRECTORY [ORDER...]   the account's credentials are in the environment
    python examples/watch_service.py                                  shows itself on a sandbox, a restart included

SIGTERM stops it. Started again it goes on with the orders in ORDERS.DB and asks for none of them early; an outcome that
it had not dealt with is handed over again, without a call. `collectssl-watch.service` beside this file is a unit for
`collectssl watch`, which does more, and with another ExecStart for this script.

Exit codes: 0 stopped, or every order has ended; 1 what another start may mend; 2 wrong usage; 5 wrong credentials,
which no start mends: tried again and again they lock the account.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

from collectssl_async import (
    ENDPOINT,
    AuthenticationError,
    CollectSSLClient,
    CollectSSLError,
    ConfigurationError,
    FileGuard,
    PollPolicy,
    PollUpdate,
    SQLiteStore,
    Watcher,
)


def show(update: PollUpdate) -> None:
    """Tell what a poll brought."""
    state = update.state
    said = update.error or f"status {state.last_status} after {state.polls} polls"
    print(f"order {state.order}: {said}", flush=True)


async def watch(
    client: CollectSSLClient, store: Path, directory: Path, orders: list[str], policy: PollPolicy | None = None
) -> None:
    """Wait for these orders and those in the store, and write each one's files; return when all have ended."""
    async with Watcher(client, store=SQLiteStore(store), policy=policy, on_update=show) as watcher:
        await watcher.add(*(order for order in orders if not (directory / order).exists()))
        print(f"waiting for {len(await watcher.orders())} orders", flush=True)
        async for outcome in watcher:
            if outcome.bundle is None:
                print(f"order {outcome.order}: {outcome.error}", file=sys.stderr, flush=True)
            else:
                # Where that fails, the run ends: the outcome stays in the store, and the next run has it again.
                await asyncio.to_thread(outcome.bundle.write, directory / str(outcome.order))
                print(f"order {outcome.order}: collected {outcome.bundle}", flush=True)


async def until_stopped(
    client: CollectSSLClient, store: Path, directory: Path, orders: list[str], policy: PollPolicy | None = None
) -> None:
    """Watch until SIGTERM or Ctrl-C, or until all orders have ended."""
    async with client:
        watching = asyncio.create_task(watch(client, store, directory, orders, policy))
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, watching.cancel)
        await asyncio.wait([watching])
        print("stopped" if watching.cancelled() else "every order has ended", flush=True)
        if not watching.cancelled():
            watching.result()


def main(arguments: list[str]) -> int:
    """Run the service and return its exit code."""
    store, directory, *orders = *arguments, *([""] * (2 - len(arguments)))
    if not (store and directory and all(order.isalnum() for order in orders)):
        print("usage: watch_service.py ORDERS.DB DIRECTORY [ORDER...]", file=sys.stderr)
        return 2
    try:
        # The next process must know of a call that this one was stopped in.
        guard = None if os.environ.get("COLLECTSSL_GUARD") else FileGuard()
        client = CollectSSLClient.from_env(endpoint=os.environ.get("COLLECTSSL_ENDPOINT", ENDPOINT), guard=guard)
        asyncio.run(until_stopped(client, Path(store), Path(directory), orders))
    except AuthenticationError as error:
        print(error, file=sys.stderr)
        return 5
    except ConfigurationError as error:
        print(error, file=sys.stderr)
        return 2
    except (CollectSSLError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


async def show_itself() -> None:
    """Place three orders with a sandbox, stop the service while it waits for them, and start it again."""
    from tempfile import TemporaryDirectory

    import httpx

    from collectssl_async.sandbox import Sandbox

    sandbox, policy = Sandbox(), PollPolicy(min_interval=0.2, max_interval=0.2)
    orders = [sandbox.place_order(f"{n}.example.com", issue_after_polls=n).order_number for n in (1, 4, 6)]
    with sandbox.serve() as server, TemporaryDirectory() as folder:
        for stopped_after in (0.5, None):
            print("--- the service starts")
            if stopped_after is not None:
                asyncio.get_running_loop().call_later(stopped_after, os.kill, os.getpid(), signal.SIGTERM)
            async with httpx.AsyncClient(verify=server.ssl_context, trust_env=False) as http:
                client = CollectSSLClient(sandbox.credentials, endpoint=server.endpoint, http_client=http)
                await until_stopped(client, Path(folder, "orders.db"), Path(folder), orders, policy)


if __name__ == "__main__":
    if len(sys.argv) == 1:
        asyncio.run(show_itself())
    else:
        sys.exit(main(sys.argv[1:]))
