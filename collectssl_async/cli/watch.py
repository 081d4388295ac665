"""`collectssl watch`: one watcher, many orders, and each one's files as soon as it ends.

Which orders they are is read in `orders.py`, how they are shown is `board.py`'s business, how files come is
`deploying.py`'s, and which orders are done `finishing.py`'s.
"""

from __future__ import annotations

import sys
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import typer

from ..errors import APIError, CertificateError, CollectSSLError
from ..polling import PollPolicy
from ..stores import MemoryStore, SQLiteStore
from ..watch import Watcher
from .board import Board
from .deploying import check, deploy_bundle, say_hook
from .exits import Exit, HookError, explanation_of
from .finishing import COLLECTED_FILE, HoldingStore, remember, was_collected
from .orders import is_folder_name
from .output import put_json_line
from .serving import served
from .wording import bundle_document, one_line

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from ..certificates import CertificateBundle
    from ..models import OrderRef
    from ..watch import WatchOutcome
    from .calls import Account
    from .deploying import Deployed, Deployment
    from .orders import WatchedOrder
    from .serving import Push


_ANY_POLICY = PollPolicy()
"""Policies agree on which failures are waited out, and these say nothing of the order."""


@dataclass(frozen=True, slots=True)
class Watch:
    """What `watch` was asked to do; `wanted` is what is made of each certificate, in a folder of the directory."""

    orders: Sequence[WatchedOrder]
    wanted: Deployment
    store: Path | None
    policy: PollPolicy | None
    push: Push | None
    as_json: bool


def check_watch(watch: Watch) -> None:
    """Raise typer's error for what would be found wrong only when a wait has ended, or for nothing to wait for."""
    if not watch.orders and watch.store is None:
        raise typer.BadParameter("name an order, a file with orders, or --store", param_hint="FILE|ORDER")
    without = (each for each in watch.orders if each.private_key is None)
    if watch.wanted.combined and (order := next(without, None)) is not None:
        raise typer.BadParameter(f"--combined needs a key for every order: name one for {order.order} in FILE")


async def watch_orders(watch: Watch, account: Account) -> Exit:
    """Wait for all orders, those that an earlier run left in the store among them, and write their files.

    Returns `REFUSED` when the API refused one, `FAILED` when one failed otherwise, such as for want of room for its
    files. Raises what stops the watcher, credentials that are refused for one.
    """
    board = Board({str(each.order): each.name or "" for each in watch.orders}, sys.stderr)
    store = HoldingStore(MemoryStore() if watch.store is None else SQLiteStore(watch.store))
    async with AsyncExitStack() as opened:
        if watch.push is not None:
            await opened.enter_async_context(served(watch.push, board.said))
        client = await opened.enter_async_context(account.client())
        push = None if watch.push is None else watch.push.receiver
        watcher = Watcher(client, policy=watch.policy, store=store, push=push, on_update=board.take)
        # Left first, also when a signal stops us: then the store has all, and no call can come any more.
        await opened.enter_async_context(watcher)
        return await _Run(watch, watcher, store, board).run()


class _Run:
    """One run of the command."""

    def __init__(self, watch: Watch, watcher: Watcher, store: HoldingStore, board: Board) -> None:
        self._watch = watch
        self._watcher = watcher
        self._store = store
        self._board = board
        self._named = {str(each.order): each for each in watch.orders}
        self._folders = {each.folder.casefold() for each in watch.orders}
        self._code = Exit.DONE

    async def run(self) -> Exit:
        directory = self._watch.wanted.directory
        new = [each.order for each in self._watch.orders if not was_collected(each.order, directory / each.folder)]
        await self._watcher.add(*new)
        states = await self._watcher.states()
        self._board.wait_for(states)
        self._say_what_is_unexpected(
            before=len(self._watch.orders) - len(new),
            unnamed=sum(str(state.order) not in self._named for state in states),
        )
        with self._board.shown():
            async for outcome in self._watcher:
                await self._end(outcome)
        if not self._watch.as_json:
            self._board.said(self._board.summary)
        return self._code

    def _say_what_is_unexpected(self, *, before: int, unnamed: int) -> None:
        if before:
            self._board.said(f"{before} collected before: {COLLECTED_FILE} in their folders says so")
        if unnamed:
            self._board.said(f"{unnamed} from the store alone: their folders are the order numbers, without a key")

    async def _end(self, outcome: WatchOutcome) -> None:
        """Do what remains for an order that has ended. Cancelled, the next run is handed the outcome again."""
        order, bundle = outcome.order, outcome.bundle
        if bundle is None:
            error = outcome.error or CertificateError("it ended without a certificate")
            if _ANY_POLICY.waits_out(error):
                self._store.wait_again(order, outcome.state)
            self._tell_failure(order, error)
            return
        try:
            folder = self._folder_of(order)
            deployed = await self._deploy(order, bundle, folder)
        except (CollectSSLError, OSError) as error:
            self._store.hold(order)
            self._tell_failure(order, error)
        else:
            self._tell(order, bundle, folder, deployed)

    def _folder_of(self, order: OrderRef) -> Path:
        """Return where the files of an order go. Raises `CertificateError` for one that has no place of its own."""
        named = self._named.get(str(order))
        name = str(order) if named is None else named.folder
        if not is_folder_name(name) or (named is None and name.casefold() in self._folders):
            raise CertificateError(f"{one_line(name)!r} cannot be its folder: list the order in FILE, with a name")
        return self._watch.wanted.directory / name

    async def _deploy(self, order: OrderRef, bundle: CertificateBundle, folder: Path) -> Deployed:
        """Write the files of an order and run the hook. The order is done when that has gone well, and not before."""
        wanted, named = replace(self._watch.wanted, directory=folder), self._named.get(str(order))
        if named is not None and named.private_key is not None:
            wanted = replace(wanted, private_key=named.private_key, key_source=named.key_source or wanted.key_source)
        deployed = await deploy_bundle(order, bundle, wanted)
        if deployed.hook is not None and deployed.hook.failed:
            self._store.hold(order)
        else:
            remember(order, folder)
        return deployed

    def _tell(self, order: OrderRef, bundle: CertificateBundle, folder: Path, deployed: Deployed) -> None:
        """Tell what was written. A result that cannot be told stops the command."""
        done = f"{'wrote' if deployed.changed else 'unchanged'} {folder}"
        told = f"collected, valid until {bundle.not_after:%Y-%m-%d}, {done}"
        hook = deployed.hook
        line = self._board.ended(str(order), told, well=hook is None or not hook.failed)
        if self._watch.as_json:
            put_json_line(bundle_document(order, bundle, deployed))
        else:
            self._board.result(line)
            if hook is not None:
                say_hook(hook, self._board.said)
        try:
            check(deployed, folder)
        except HookError as error:
            self._code = Exit.FAILED
            self._board.said(f"{one_line(str(order))}: {one_line(str(error))}")

    def _tell_failure(self, order: OrderRef, error: Exception) -> None:
        """Tell what ended an order, or why its files are not there."""
        if self._code is not Exit.FAILED:
            self._code = Exit.REFUSED if isinstance(error, APIError) else Exit.FAILED
        message = explanation_of(error)
        line = self._board.ended(str(order), message, well=False)
        if self._watch.as_json:
            code = error.code if isinstance(error, APIError) else None
            told = {"error": type(error).__name__, "message": one_line(message), "code": code}
            put_json_line({**order.model_dump(mode="json"), **told})
        else:
            self._board.result(line)
