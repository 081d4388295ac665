"""A call over TLS, beside the bare httpx post of the same form whose reply is read but not understood."""

from __future__ import annotations

import contextlib
import ssl
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import anyio
import httpx

from collectssl_async import CollectSSLClient, Credentials, OrderRef
from collectssl_async._requests import status_request
from collectssl_async.wire import encode_request

from ..pki import hierarchy
from .decoding import STATUS_REPLY
from .measuring import Row, cost_of, row, take_turns

if TYPE_CHECKING:
    from collections.abc import Iterator

ORDER = "1234567890"
REQUEST = status_request(OrderRef(order_number=ORDER))
CREDENTIALS = Credentials(login_name="benchmark", login_password="not a secret")
ROUNDS, CALLS = 151, 10


class Service(NamedTuple):
    endpoint: str
    ssl_context: ssl.SSLContext


@contextlib.contextmanager
def service() -> Iterator[Service]:
    """Run the server for as long as the context lasts."""
    chain = hierarchy("localhost")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "server.pem").write_bytes(chain.leaf.key_pem + (chain.leaf.pem + chain.issuing.pem).encode())
        (folder / "reply.txt").write_bytes(STATUS_REPLY)
        command = [sys.executable, "-m", f"{__package__}.service", name]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            port = int(process.stdout.readline())
            endpoint = f"https://localhost:{port}/products/download/CollectSSL"
            yield Service(endpoint, ssl.create_default_context(cadata=chain.new_root.pem))


async def compare(served: Service, backend: str) -> list[Row]:
    """Measure on the async library that runs."""
    fields = dict(encode_request(REQUEST, CREDENTIALS))
    async with contextlib.AsyncExitStack() as stack:
        ours, status, bare = [
            await stack.enter_async_context(httpx.AsyncClient(verify=served.ssl_context, trust_env=False))
            for _ in range(3)
        ]
        collecting = CollectSSLClient(CREDENTIALS, endpoint=served.endpoint, http_client=ours)
        asking = CollectSSLClient(CREDENTIALS, endpoint=served.endpoint, http_client=status)

        async def collect(times: int) -> None:
            for _ in range(times):
                await collecting.collect(REQUEST)

        async def ask(times: int) -> None:
            for _ in range(times):
                await asking.status(ORDER)

        async def post(times: int) -> None:
            for _ in range(times):
                await bare.post(served.endpoint, data=fields)

        collected, asked, posted = await take_turns(
            ROUNDS, lambda: cost_of(collect, CALLS), lambda: cost_of(ask, CALLS), lambda: cost_of(post, CALLS)
        )
    return [
        row(f"collect(), {backend}", "httpx post", collected, posted, at_most=1.10),
        row(f"status(), {backend}", "httpx post", asked, posted, at_most=1.10),
        row(f"status(), {backend}, client's CPU", "httpx post", asked, posted, cpu=True),
    ]


def run() -> list[Row]:
    with service() as served:
        return [
            line for backend in ("asyncio", "trio") for line in anyio.run(compare, served, backend, backend=backend)
        ]
