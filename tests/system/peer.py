"""Somebody who has the sandbox's address, its root and a login, and programs that know nothing of this package."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

from .programs import run

if TYPE_CHECKING:
    from pathlib import Path

    from collectssl_async.sandbox import Sandbox, SandboxOrder, SandboxServer

SAMPLE_REQUEST = r"""
curl --location 'https://secure.trust-provider.com/products/download/CollectSSL' \
--data-urlencode 'loginName=login_name' \
--data-urlencode 'loginPassword=login_password' \
--data-urlencode 'orderNumber=order_number' \
--data-urlencode 'queryType=0' \
--data-urlencode 'showStatusDetails=Y' \
--data-urlencode 'responseType=3' \
--data-urlencode 'responseFormat=1' \
--data-urlencode 'showExtStatus=Y' \
--data-urlencode 'showValidityPeriod=Y'
"""
"""Reference: "Sample request"."""

LIVE_ENDPOINT = "https://secure.trust-provider.com/products/download/CollectSSL"


class Peer:
    """One user of a sandbox's server; what the programs need beside it lies in a directory."""

    def __init__(self, sandbox: Sandbox, server: SandboxServer, directory: Path) -> None:
        self.sandbox = sandbox
        self.server = server
        self.directory = directory

    def form(self, order: SandboxOrder) -> dict[str, str]:
        credentials = self.sandbox.credentials
        return {
            "loginName": credentials.login_name,
            "loginPassword": credentials.login_password.get_secret_value(),
            "orderNumber": order.order_number,
        }

    def sample(self, order: SandboxOrder) -> tuple[str, dict[str, list[str]]]:
        """Run the reference's sample, unchanged but for host and credentials; return content type and parameters.

        What the sample does not say, whom to trust and that its headers are wanted, curl reads from its surroundings.
        """
        changes = {LIVE_ENDPOINT: self.server.endpoint}
        names = ("login_name", "login_password", "order_number")
        changes |= {f"={name}'": f"={value}'" for name, value in zip(names, self.form(order).values(), strict=True)}
        command = SAMPLE_REQUEST
        for old, new in changes.items():
            assert command.count(old) == 1, old
            command = command.replace(old, new)
        headers = self.directory / "headers.txt"
        (self.directory / ".curlrc").write_text(f'dump-header = "{headers}"\n')
        surroundings = {"CURL_HOME": str(self.directory), "CURL_CA_BUNDLE": str(self.server.ca_file)}
        body = run("bash", "-c", command, environment=os.environ | surroundings)
        fields = dict(line.lower().split(": ", 1) for line in headers.read_text().splitlines() if ": " in line)
        return fields["content-type"], parse_qs(body.decode(), strict_parsing=True)

    def curl(self, order: SandboxOrder, *options: str | Path, times: int = 1, **parameters: int) -> bytes:
        """Return what curl prints of a call, or of several: it makes one for each URL that a pattern stands for."""
        form = {**self.form(order), **parameters}
        lines = [f'data-urlencode = "{name}={value}"' for name, value in form.items()]
        usual = ("--disable", "--silent", "--show-error", "--fail", "--config", "-", "--cacert", self.server.ca_file)
        return run("curl", *usual, *options, f"{self.server.endpoint}?[1-{times}]", stdin="\n".join(lines).encode())

    def report(self, client: tuple[str | Path, ...], order: SandboxOrder) -> dict[str, Any]:
        """Return what a client of this API says of an order; it is told by standard input, as JSON."""
        task = {"endpoint": self.server.endpoint, "ca_file": str(self.server.ca_file), "form": self.form(order)}
        program, *arguments = client
        report: dict[str, Any] = json.loads(run(str(program), *arguments, stdin=json.dumps(task).encode()))
        return report
