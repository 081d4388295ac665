"""Calls the sandbox the way a stranger would: httpx and form fields, nothing of the package's own reading."""

from __future__ import annotations

import time
from base64 import b64decode
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

import httpx
from cryptography import x509

from collectssl_async.parameters import REQUEST_PARAMETERS

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable

    from collectssl_async.sandbox import Sandbox, SandboxOrder

EVERYTHING = dict.fromkeys([name for name in REQUEST_PARAMETERS if name.startswith("show")], "Y")


class Clock:
    """A sandbox's clock that stands still until a test moves it."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Caller:
    """One user of the sandbox, over real TLS. Parameters are sent as given, None leaves one out."""

    def __init__(self, sandbox: Sandbox, endpoint: str, context: ssl.SSLContext) -> None:
        self.sandbox = sandbox
        self.endpoint = endpoint
        self.context = context
        self.http = httpx.Client(verify=context, trust_env=False, timeout=20)

    def login(self) -> dict[str, str]:
        credentials = self.sandbox.credentials
        return {"loginName": credentials.login_name, "loginPassword": credentials.login_password.get_secret_value()}

    def form(self, order: SandboxOrder | None = None, **parameters: str | int | None) -> dict[str, str]:
        form: dict[str, str | int | None] = {**self.login(), "queryType": 0}
        if order is not None:
            form["orderNumber"] = order.order_number
        form.update(parameters)
        return {name: str(value) for name, value in form.items() if value is not None}

    def post(self, order: SandboxOrder | None = None, **parameters: str | int | None) -> httpx.Response:
        return self.http.post(self.endpoint, data=self.form(order, **parameters))

    def lines(self, order: SandboxOrder | None = None, **parameters: str | int | None) -> list[str]:
        """The lines of a newline-delimited reply."""
        return self.post(order, **parameters).text.splitlines()

    def pairs(self, order: SandboxOrder | None = None, **parameters: str | int | None) -> dict[str, list[str]]:
        """The parameters of a URL-encoded reply."""
        reply = self.post(order, **{"responseFormat": 1, **parameters})
        assert reply.headers["content-type"].startswith("application/x-www-form-urlencoded")
        return parse_qs(reply.text, keep_blank_values=True, strict_parsing=True)

    def status(self, order: SandboxOrder, **parameters: str | int | None) -> int:
        """The status or the error code of a newline-delimited reply."""
        return int(self.lines(order, **parameters)[0])

    def leaf(self, order: SandboxOrder, **parameters: str | int | None) -> x509.Certificate:
        """The certificate of an issued order."""
        pairs = self.pairs(order, **{"queryType": 2, **parameters})
        return x509.load_der_x509_certificate(b64decode(pairs["certificate"][0]))


def dns_names(certificate: x509.Certificate) -> list[str]:
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return names.get_values_for_type(x509.DNSName)


def wait_until(condition: Callable[[], bool]) -> None:
    """Return once another thread has made it true."""
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline, "it never became true"
        time.sleep(0.0005)
