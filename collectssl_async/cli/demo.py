"""`collectssl demo`: the whole way of an order against a sandbox on this machine.

Nothing of the environment counts here: no credentials, no proxies, no endpoint.
"""

from __future__ import annotations

import shlex
import sys
from typing import TYPE_CHECKING

import typer

from .._writing import write_files
from ..models import OrderRef
from ..polling import PollPolicy
from ..sandbox import Sandbox
from .calls import Account
from .display import shown_wait
from .output import put
from .preparing import check_directory
from .wording import bundle_text

if TYPE_CHECKING:
    from pathlib import Path

ROOT_FILE = "sandbox-root.pem"
"""The sandbox's root; a directory that holds it is one of ours."""

_NAMES = ("shop.example.com", "www.shop.example.com")
_ISSUED_AFTER = 2.4  # seconds
_POLICY = PollPolicy(
    min_interval=0.5, max_interval=0.5, jitter=0, failure_interval=0.2, max_failure_interval=0.2, max_failures=3
)
_TIMEOUT = 8.0  # seconds; nobody watches a demo for days


def check_output(directory: Path) -> None:
    """Refuse a directory whose files are not an earlier demo's, and one that cannot be written to."""
    check_directory(directory)
    if directory.is_dir() and any(directory.iterdir()) and not (directory / ROOT_FILE).is_file():
        raise typer.BadParameter(
            f"{str(directory)!r} holds files that are no demo's (there is no {ROOT_FILE}): name a new directory",
            param_hint="--output",
        )


async def show_demo(directory: Path | None) -> None:
    """Place an order, wait for it, prove its chain, and write its files where a directory is given."""
    sandbox = Sandbox()
    with sandbox.serve() as server:
        placed = sandbox.place_order(_NAMES[0], names=_NAMES, product="ov", issue_after=_ISSUED_AFTER)
        order = OrderRef.of(placed.order_number)
        put(f"sandbox   {server.endpoint}")
        put(f"order     {placed.order_number} for {', '.join(placed.names)}")
        account = Account(sandbox.credentials, server.endpoint, server.ssl_context, from_env=False)
        async with account.client() as client:
            with shown_wait(order, sys.stdout) as show:
                bundle = await client.wait_for_certificate(order, policy=_POLICY, timeout=_TIMEOUT, on_update=show)
    put(f"collected {bundle_text(bundle)}")
    bundle.verify([sandbox.root])
    put("chain     proven, from the leaf to the sandbox's root")
    if directory is None:
        put("Nothing was written. To have the files: collectssl demo --output DIR")
        return
    # The root first: it marks the directory as a demo's, should the rest not get there.
    write_files(directory, {ROOT_FILE: sandbox.root_pem.encode()}, secret=())
    written = bundle.write(directory, private_key=placed.private_key)
    for path in (written.certificate, written.chain, written.fullchain, written.private_key, directory / ROOT_FILE):
        put(f"wrote     {path}")
    root, chain, leaf = (shlex.quote(str(path)) for path in (directory / ROOT_FILE, written.chain, written.certificate))
    put("\nNext:")
    put(f"  openssl verify -CAfile {root} -untrusted {chain} {leaf}")
    put(f"  openssl x509 -in {leaf} -noout -text")
