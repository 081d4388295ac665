"""Collects one certificate from a script: order number in, files out, an exit code that says how it went.

    python examples/automation.py ORDER DIRECTORY   the account's credentials are in the environment
    python examples/automation.py                   shows itself on a sandbox, in a temporary directory

Exit codes are those of the `collectssl` command: 0 done, 1 failed, 2 usage, 3 not issued yet, 4 refused by the API,
5 wrong credentials, 6 network. After 3 and 6 it is worth trying again.
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx

from collectssl_async import (
    ENDPOINT,
    APIError,
    AuthenticationError,
    CollectSSLClient,
    CollectSSLError,
    ConfigurationError,
    MalformedResponseError,
    PollPolicy,
    PollUpdate,
    TransportError,
    WaitTimeoutError,
)

LONGEST_WAIT = 2 * 3600.0  # seconds

EXIT_CODES: dict[type[Exception], int] = {
    CollectSSLError: 1,
    ConfigurationError: 2,
    ValueError: 2,  # what cannot be an order number
    WaitTimeoutError: 3,
    APIError: 4,
    AuthenticationError: 5,
    MalformedResponseError: 6,
    TransportError: 6,
}


async def collect(client: CollectSSLClient, order: str, directory: Path, policy: PollPolicy | None = None) -> None:
    """Wait for an order and write its files. A `privkey.pem` that is there already must be the certificate's."""
    bundle = await client.wait_for_certificate(order, policy=policy, timeout=LONGEST_WAIT, on_update=report)
    files = bundle.write(directory)
    print(f"{'wrote' if files.changed else 'unchanged'}: {files.fullchain}, valid until {bundle.not_after:%Y-%m-%d}")
    # What has to load the files again is told here: `systemctl reload nginx`, if files.changed.


def report(update: PollUpdate) -> None:
    """Say on stderr what a poll brought: a status, or a failure after which it is tried again."""
    what = update.error if update.status is None else f"status {update.status}"
    print(f"poll {update.state.polls}: {what}", file=sys.stderr)


async def collect_from_service(order: str, directory: Path) -> None:
    """Collect from the live service, or from what COLLECTSSL_ENDPOINT names."""
    async with CollectSSLClient.from_env(endpoint=os.environ.get("COLLECTSSL_ENDPOINT", ENDPOINT)) as client:
        await collect(client, order, directory)


async def show_itself() -> None:
    """Place an order with a sandbox that issues it after two polls, and collect it."""
    from collectssl_async.sandbox import Sandbox

    sandbox = Sandbox()
    order = sandbox.place_order("shop.example.com", issue_after_polls=2)
    async with (
        sandbox.serve() as server,
        httpx.AsyncClient(verify=server.ssl_context, trust_env=False) as http,
        CollectSSLClient(sandbox.credentials, endpoint=server.endpoint, http_client=http) as client,
    ):
        with TemporaryDirectory() as directory:
            await collect(client, order.order_number, Path(directory), PollPolicy(min_interval=0.2))


def main(arguments: list[str]) -> int:
    """Return the exit code."""
    if len(arguments) not in (0, 2):
        print("usage: automation.py [ORDER DIRECTORY]", file=sys.stderr)
        return 2
    try:
        asyncio.run(collect_from_service(arguments[0], Path(arguments[1])) if arguments else show_itself())
    except (CollectSSLError, ValueError) as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return next(EXIT_CODES[kind] for kind in type(error).__mro__ if kind in EXIT_CODES)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
