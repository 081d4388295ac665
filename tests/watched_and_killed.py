"""Kills a watcher fifty times at random moments while its orders end, and writes down what each of its lives did.

Run as `python -m tests.watched_and_killed FOLDER`, a process without threads, whose children are forked with everything
imported. Prints JSON: one list of events a life, the last of which ran to its end. Times are the wall's.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
import httpx

from collectssl_async import CertificateBundle, PollPolicy, PollUpdate
from collectssl_async.stores import SQLiteStore
from collectssl_async.watch import Watcher

from . import pki
from .watching import AVAILABLE, CERTIFICATE, CHAIN, PROCESSING, REJECTED, Service

if TYPE_CHECKING:
    from collections.abc import Callable

    from .watching import Call

ORDERS, KILLS = 60, 50
EVENTS, MOMENT = 12, 0.005
"""A life ends after so many calls and outcomes at most, and then at any moment of so many seconds."""
POLICY = PollPolicy(min_interval=0.1, max_interval=0.4, failure_interval=0.02, max_failure_interval=0.1)


class Life:
    """One process: it watches until it is killed, or until no order is left."""

    def __init__(self, folder: Path, nth: int) -> None:
        self._store = folder / "orders.db"
        self._nth = nth
        self._log = os.open(folder / "log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND)
        self.heartbeat, self._beat = os.pipe()

    def note(self, what: str, order: object, **more: object) -> None:
        """Write one line in one piece."""
        os.write(self._log, json.dumps({"at": time.time(), "what": what, "order": str(order), **more}).encode() + b"\n")
        if what != "told":
            os.write(self._beat, b".")

    async def answer(self, call: Call) -> httpx.Response:
        self.note("called", call.order, query=call.query)
        await anyio.sleep(0.002)
        if int(call.order) * KILLS > self._nth * ORDERS:  # issued in a later life
            return httpx.Response(200, content=PROCESSING)
        if int(call.order) % 5 == 0:
            return httpx.Response(200, content=REJECTED)
        return httpx.Response(200, content=AVAILABLE if call.query == "0" else CERTIFICATE)

    def told(self, update: PollUpdate) -> None:
        self.note("told", update.state.order, due=update.state.next_poll_at.timestamp())

    async def watch(self) -> None:
        service = Service(self.answer)
        watcher = Watcher(service.client(), store=SQLiteStore(self._store), policy=POLICY, on_update=self.told)
        for state in await watcher.states():
            self.note("told", state.order, due=state.next_poll_at.timestamp())
        async for outcome in watcher:
            self.note("outcome", outcome.order, ended="error" if outcome.bundle is None else "certificate")
        self.note("done", "")

    def run(self) -> None:
        """Live, in a child, and write down the end."""
        anyio.run(self.watch, backend="trio" if self._nth % 2 else "asyncio")

    def end(self, child: int) -> None:
        """Kill the child at some moment, but for the last one."""
        os.close(self._beat)
        if self._nth < KILLS:
            for _ in range(random.randint(0, EVENTS)):
                os.read(self.heartbeat, 1)
            time.sleep(random.uniform(0, MOMENT))
            os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os.close(self.heartbeat)
        os.close(self._log)


async def begin(store: Path) -> None:
    async with Watcher(Service().client(), store=SQLiteStore(store), policy=POLICY) as watcher:
        await watcher.add(*map(str, range(ORDERS)))


def forked(run: Callable[[], object]) -> int:
    """Run in a child of its own, and return its process ID."""
    child = os.fork()
    if not child:
        run()
        os._exit(0)
    return child


def main(folder: Path) -> list[list[dict[str, Any]]]:
    import trio  # noqa: F401 - so that the children need not

    CertificateBundle.from_payload(pki.payload(CHAIN.issuing, leaf=CHAIN.leaf))
    os.waitpid(forked(lambda: anyio.run(begin, folder / "orders.db")), 0)
    lives = []
    for nth in range(KILLS + 1):
        life = Life(folder, nth)
        life.end(forked(life.run))
        lives.append([json.loads(line) for line in (folder / "log").read_text().splitlines()])
    return lives


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]))))
