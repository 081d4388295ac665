"""`status` and `collect`: one client, one order, and what comes of it shown or written."""

from __future__ import annotations

import sys
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import httpx

from ..client import CollectSSLClient
from ..errors import NotReadyError
from ..models import ResponseType
from .deploying import check, deploy, say_hook
from .display import shown_wait
from .formats import KINDS, request_for
from .output import put, put_json, put_rows, say
from .wording import bundle_document, bundle_text, status_document, status_rows

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator

    from ..certificates import CertificateBundle
    from ..credentials import Credentials
    from ..guards import Guard
    from ..models import CertificatePayload, CollectSSLResponse, OrderRef
    from ..polling import PollPolicy, PollUpdate
    from .deploying import Deployed, Deployment

CALL_TIMEOUT = 60.0
"""Seconds for one call, where nothing else is said."""


class _Client(CollectSSLClient):
    """A client whose waits collect what the command line asked for, in the one call that brings the certificate."""

    response_type = ResponseType.INDIVIDUAL

    async def _ask(self, order: OrderRef, *, collect: bool) -> CollectSSLResponse:
        if collect and self.response_type is not ResponseType.INDIVIDUAL:
            return await self._call(request_for(order, self.response_type), waiting=True)
        return await super()._ask(order, collect=collect)


@dataclass(frozen=True, slots=True)
class Account:
    """Who calls and where: what a client is made from.

    `tls` is None where the public CAs are trusted, `guard` where the process's own keeps calls apart.
    """

    credentials: Credentials
    endpoint: str
    tls: ssl.SSLContext | None = None
    timeout: float = CALL_TIMEOUT
    from_env: bool = True
    guard: Guard | None = None

    @asynccontextmanager
    async def client(self, response_type: ResponseType = ResponseType.INDIVIDUAL) -> AsyncIterator[_Client]:
        """Yield a client that collects in that container, and close all that was opened for it.

        `from_env` lets proxies be read from the environment.
        """
        async with AsyncExitStack() as opened:
            http = None
            if self.tls is not None:
                http = await opened.enter_async_context(httpx.AsyncClient(verify=self.tls, trust_env=self.from_env))
            client = _Client(
                self.credentials,
                endpoint=self.endpoint,
                http_client=http,
                guard=self.guard,
                timeout=self.timeout,
            )
            client.response_type = response_type
            yield await opened.enter_async_context(client)


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
    order: OrderRef, account: Account, wanted: Deployment, *, waiting: Waiting | None, as_json: bool
) -> None:
    """Collect a certificate with one call, now or when it is there, write its files and name them.

    Raises `HookError` when all that is done and the deploy hook failed.
    """
    async with account.client(KINDS[wanted.format].response_type) as client:
        payload = await (_collected(client, order) if waiting is None else _waited_for(client, order, waiting))
    bundle, deployed = await deploy(order, payload, wanted)
    _show_files(order, bundle, deployed, as_json=as_json)
    check(deployed, wanted.directory)


async def _collected(client: _Client, order: OrderRef) -> CertificatePayload:
    response = await client.collect(request_for(order, client.response_type))
    if response.payload is None:
        raise NotReadyError(f"order {order} has no certificate yet: status {response.status}", response=response)
    return response.payload


async def _waited_for(client: _Client, order: OrderRef, waiting: Waiting) -> CertificatePayload:
    collected: list[CertificatePayload] = []

    def take(update: PollUpdate) -> None:
        show(update)
        if update.response is not None and update.response.payload is not None:
            collected.append(update.response.payload)

    with shown_wait(order, sys.stderr) as show:
        await client.wait_for_certificate(order, policy=waiting.policy, timeout=waiting.timeout, on_update=take)
    return collected[-1]


def _show_files(order: OrderRef, bundle: CertificateBundle, deployed: Deployed, *, as_json: bool) -> None:
    if as_json:
        put_json(bundle_document(order, bundle, deployed))
        return
    say(bundle_text(bundle))
    if deployed.hook is not None:
        say_hook(deployed.hook)
    if not deployed.changed:
        put("unchanged")
        return
    for path in deployed.files.values():
        if path is not None:
            put(str(path))
