"""One management API with its sandbox, spoken to over a real socket as a test in any language would."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import httpx
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509.oid import NameOID

from collectssl_async import CollectSSLRequest, QueryType
from collectssl_async.sandbox.authority import new_private_key

from ..calling import Caller, Clock, wait_until

if TYPE_CHECKING:
    from collectssl_async.sandbox import Sandbox, SandboxOrder, SandboxServer


class Desk:
    """A sandbox's management API and endpoint, for one test."""

    def __init__(self, sandbox: Sandbox, server: SandboxServer, clock: Clock) -> None:
        self.sandbox = sandbox
        self.server = server
        self.clock = clock
        self.caller = Caller(sandbox, server.endpoint, server.ssl_context)
        self.http = httpx.Client(base_url=server.management, trust_env=False, timeout=20)

    def ask(self, method: str, path: str, body: object = None) -> Any:
        reply = self.http.request(method, path, json=body)
        assert reply.is_success, reply.text
        return reply.json()

    def place(self, **fields: object) -> dict[str, Any]:
        order: dict[str, Any] = self.ask("POST", "/orders", {"fqdn": "shop.example.com", **fields})
        return order

    def order(self, number: str) -> SandboxOrder:
        request = CollectSSLRequest(order_number=number, query_type=QueryType.STATUS_ONLY)
        return self.sandbox.service.book.find(request)[0]

    def refused(self, method: str, path: str, body: object = None, status: int = 400) -> dict[str, Any]:
        reply = self.http.request(method, path, json=body)
        assert reply.status_code == status, reply.text
        answer: dict[str, Any] = reply.json()
        return answer

    def send(self, method: str, path: str, content: bytes, **headers: str) -> httpx.Response:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.http.request(method, path, content=content, headers={"content-type": "application/json", **named})

    def open_call(self) -> socket.socket:
        """Begin a call that is in work until its socket is closed."""
        url = urlsplit(self.server.endpoint)
        before = len(self.sandbox.calls)
        raw = socket.create_connection((url.hostname, url.port))
        connection = self.server.ssl_context.wrap_socket(raw, server_hostname=url.hostname)
        connection.sendall(f"POST {url.path} HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n".encode())
        wait_until(lambda: len(self.sandbox.calls) > before)
        return connection


def csr_for(*names: str) -> tuple[str, Any]:
    key = new_private_key()
    builder = x509.CertificateSigningRequestBuilder().subject_name(
        x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0])])
    )
    alternatives = x509.SubjectAlternativeName([x509.DNSName(name) for name in names])
    request = builder.add_extension(alternatives, critical=False).sign(key, hashes.SHA256())
    return request.public_bytes(serialization.Encoding.PEM).decode(), key.public_key()
