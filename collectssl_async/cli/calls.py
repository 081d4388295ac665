"""`status` and `collect`: one client, one order, and what comes of it shown or written."""

from __future__ import annotations

import sys
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import httpx

from ..client import CollectSSLClient
from .display import shown_wait
from .output import put, put_json, put_rows, say
from .wording import bundle_document, bundle_text, status_document, status_rows

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator
    from pathlib import Path

    from ..certificates import CertificateBundle, WrittenFiles
    from ..credentials import Credentials
    from ..models import OrderRef
    from ..polling import PollPolicy

CALL_TIMEOUT = 60.0
"""Seconds for one call, where nothing else is said."""


@dataclass(frozen=True, slots=True)
class Account:
    """Who calls and where: what a client is made from. `tls` is None where the public CAs are trusted."""

    credentials: Credentials
    endpoint: str
    tls: ssl.SSLContext | None = None
    timeout: float = CALL_TIMEOUT
    from_env: bool = True

    @asynccontextmanager
    async def client(self) -> AsyncIterator[CollectSSLClient]:
        """Yield a client and close all that was opened for it. `from_env` lets proxies be read from the environment."""
        async with AsyncExitStack() as opened:
            http = None
            if self.tls is not None:
                http = await opened.enter_async_context(httpx.AsyncClient(verify=self.tls, trust_env=self.from_env))
            yield await opened.enter_async_context(
                CollectSSLClient(self.credentials, endpoint=self.endpoint, http_client=http, timeout=self.timeout)
            )


async def show_status(order: OrderRef, account: Account, *, as_json: bool) -> None:
    """Ask for an order once and show all that the reply says."""
    async with account.client() as client:
        response = await client.status(order)
    if as_json:
        put_json(status_document(order, response))
    else:
        put_rows(status_rows(order, response))


@dataclass(frozen=True, slots=True)
class Waiting:
    """How long to wait for a certificate (seconds, None without end), and how patiently."""

    timeout: float | None
    policy: PollPolicy


async def collect_files(
    order: OrderRef,
    account: Account,
    directory: Path,
    *,
    private_key: bytes | None,
    waiting: Waiting | None,
    as_json: bool,
) -> None:
    """Collect a certificate, now or when it is there, write its files and name them."""
    async with account.client() as client:
        if waiting is None:
            bundle = await client.download(order)
        else:
            with shown_wait(order, sys.stderr) as show:
                bundle = await client.wait_for_certificate(
                    order, policy=waiting.policy, timeout=waiting.timeout, on_update=show
                )
    written = bundle.write(directory, private_key=private_key)
    _show_files(order, bundle, written, as_json=as_json)


def _show_files(order: OrderRef, bundle: CertificateBundle, written: WrittenFiles, *, as_json: bool) -> None:
    if as_json:
        put_json(bundle_document(order, bundle, written))
        return
    say(bundle_text(bundle))
    if not written.changed:
        put("unchanged")
        return
    for path in (written.certificate, written.chain, written.fullchain, written.private_key):
        if path is not None:
            put(str(path))
