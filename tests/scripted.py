"""A service that answers by a script on whatever clock the test runs, and writes down when it was called."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, quote_plus

import anyio
import httpx

from collectssl_async import CollectSSLClient, Credentials, PollPolicy

from . import pki

if TYPE_CHECKING:
    from collections.abc import Callable

    Answer = str | bytes | Exception | httpx.Response | Callable[[], Any]

EVEN = PollPolicy(jitter=0)
CHAIN = pki.hierarchy("shop.example.com")


def base64_of(identity: pki.Identity) -> str:
    return quote_plus("".join(identity.pem.splitlines()[1:-1]))


CERTIFICATE = "errorCode=2&" + "&".join(
    [f"caCertificate={base64_of(ca)}" for ca in (CHAIN.new_root, CHAIN.issuing)]
    + [f"certificate={base64_of(CHAIN.leaf)}"]
)

_endpoints = itertools.count()


class Service:
    """Answers calls by a script, whose last answer is given for ever, and writes down when and for what they came."""

    def __init__(self, *script: Answer) -> None:
        self._script = list(script)
        self.times: list[float] = []
        self.query_types: list[str] = []
        # An endpoint of its own: what a test abandons must not keep the next one out.
        self.endpoint = f"https://waiting-{next(_endpoints)}.example/CollectSSL"

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        self.times.append(anyio.current_time())
        self.query_types.append(parse_qs(request.content.decode())["queryType"][0])
        answer = self._script.pop(0) if len(self._script) > 1 else self._script[0]
        if callable(answer):
            answer = await answer()
        if isinstance(answer, Exception):
            raise answer
        if isinstance(answer, httpx.Response):
            return answer
        return httpx.Response(200, content=answer)

    def client(self, **options: Any) -> CollectSSLClient:
        return CollectSSLClient(
            Credentials(login_name="partner", login_password="secret"),
            endpoint=self.endpoint,
            http_client=httpx.AsyncClient(transport=httpx.MockTransport(self)),
            **options,
        )

    @property
    def gaps(self) -> list[float]:
        return [round(later - earlier, 3) for earlier, later in itertools.pairwise(self.times)]


def status(code: int) -> str:
    return f"errorCode={code}"
