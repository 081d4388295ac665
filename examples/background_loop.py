"""Waits for several orders in the background of an asyncio service, and goes on where it was after a restart.

    python examples/background_loop.py FOLDER ORDER...   the account's credentials are in the environment
    python examples/background_loop.py                   shows itself on a sandbox, a restart included

FOLDER/ORDER.json holds how a wait stands after every poll, FOLDER/ORDER/ the files of a certificate that has come.
Nothing has to be done when the service stops: a process that is killed leaves the state of its last poll.
"""

from __future__ import annotations

import asyncio
import os
import sys
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx

from collectssl_async import ENDPOINT, CollectSSLClient, CollectSSLError, PollPolicy, PollState, PollUpdate


class Waits:
    """One wait for each order. Where one ends, well or badly, the others go on."""

    def __init__(self, client: CollectSSLClient, folder: Path, policy: PollPolicy | None = None) -> None:
        self._client = client
        self._folder = folder
        self._policy = policy

    async def run(self, orders: list[str]) -> None:
        """Return when every order has ended."""
        async with asyncio.TaskGroup() as waits:
            for order in orders:
                waits.create_task(self._wait_for(order))

    async def _wait_for(self, order: str) -> None:
        if (self._folder / order).exists():  # an earlier run collected it
            return
        try:
            bundle = await self._client.wait_for_certificate(
                order, policy=self._policy, state=self._load(order), on_update=self._keep
            )
            await asyncio.to_thread(bundle.write, self._folder / order)  # it waits for the disk
            print(f"order {order}: collected {bundle}")
        except (CollectSSLError, OSError, ValueError) as error:  # a refusal, a full disk, a damaged state
            print(f"order {order}: {type(error).__name__}: {error}", file=sys.stderr)

    def _load(self, order: str) -> PollState | None:
        file = self._folder / f"{order}.json"
        return PollState.model_validate_json(file.read_bytes()) if file.exists() else None

    def _keep(self, update: PollUpdate) -> None:
        """Replace the file whole: a crash leaves the state before this poll, or after it."""
        print(f"order {update.state.order}: status {update.state.last_status} after {update.state.polls} polls")
        file = self._folder / f"{update.state.order}.json"
        unfinished = file.with_suffix(".new")
        unfinished.write_text(update.state.model_dump_json())
        unfinished.replace(file)


async def serve(waits: Waits, orders: list[str]) -> None:
    """Stand for the service: do its own work, and let the waits run beside it."""
    background = asyncio.create_task(waits.run(orders))
    try:
        while not background.done():
            print("the service is at work")
            await asyncio.sleep(0.25)
    finally:
        background.cancel()
        await asyncio.wait([background])


async def serve_from_environment(folder: Path, orders: list[str]) -> None:
    """Wait for orders at the live service, or at what COLLECTSSL_ENDPOINT names."""
    async with CollectSSLClient.from_env(endpoint=os.environ.get("COLLECTSSL_ENDPOINT", ENDPOINT)) as client:
        await serve(Waits(client, folder), orders)


async def show_itself() -> None:
    """Place three orders with a sandbox, stop the service while it waits for them, and start it again."""
    from collectssl_async.sandbox import Sandbox

    sandbox, policy = Sandbox(), PollPolicy(min_interval=0.2, max_interval=0.2)
    orders = [sandbox.place_order(f"{n}.example.com", issue_after_polls=n).order_number for n in (1, 4, 6)]
    with sandbox.serve() as server, TemporaryDirectory() as folder:
        for stopped_after in (0.5, None):
            print("--- the service starts")
            async with httpx.AsyncClient(verify=server.ssl_context, trust_env=False) as http:
                client = CollectSSLClient(sandbox.credentials, endpoint=server.endpoint, http_client=http)
                with suppress(TimeoutError):
                    await asyncio.wait_for(serve(Waits(client, Path(folder), policy), orders), stopped_after)


if __name__ == "__main__":
    if len(sys.argv) == 1:
        asyncio.run(show_itself())
    else:
        Path(sys.argv[1]).mkdir(parents=True, exist_ok=True)
        asyncio.run(serve_from_environment(Path(sys.argv[1]), sys.argv[2:]))
