"""nginx serves what is written and is told to load it anew while clients connect all the time: none is let down."""

from __future__ import annotations

import contextlib
import json
import shlex
import shutil
import socket
import ssl
import subprocess
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from collectssl_async.certificates import CertificateBundle
from collectssl_async.sandbox import Sandbox
from tests import pki
from tests.cli.harness import key_file, start

from .programs import run

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from collectssl_async._layouts import Layout
    from collectssl_async.sandbox import SandboxServer

HOST = "shop.example.com"
ISSUES = 12
COLLECTED = 4
CLIENTS = 4

SECONDS = 20
"""Until nginx counts as hung; a start or a reload takes a small part of one."""

CONFIGURATION = """\
daemon off;
worker_processes 2;
pid {prefix}/nginx.pid;
error_log {prefix}/error.log info;
events {{ worker_connections 64; }}
http {{
  access_log off;
  client_body_temp_path {prefix}/body;
  proxy_temp_path {prefix}/proxy;
  fastcgi_temp_path {prefix}/fastcgi;
  uwsgi_temp_path {prefix}/uwsgi;
  scgi_temp_path {prefix}/scgi;
  server {{
    listen 127.0.0.1:{port} ssl;
    ssl_certificate {certificate};
    ssl_certificate_key {key};
    return 200 "served";
  }}
}}
"""


@dataclass
class Site:
    """What nginx serves: a CA, its latest certificate, and the directory in which its files are."""

    directory: Path
    ca: pki.Hierarchy = field(default_factory=pki.hierarchy)

    def issue(self) -> tuple[CertificateBundle, pki.Identity]:
        """Return a fresh certificate, with a key of its own."""
        leaf = self.ca.issuing.leaf(HOST)
        return CertificateBundle.from_payload(pki.payload(leaf, self.ca.issuing, self.ca.new_root)), leaf


@dataclass
class Nginx:
    """A running nginx, and where it can be reached."""

    configuration: Path
    port: int

    @property
    def hook(self) -> list[str]:
        """What a deploy hook runs."""
        return ["nginx", "-p", str(self.configuration.parent), "-c", str(self.configuration), "-s", "reload"]


@dataclass
class Clients:
    """Connect in loops until told to stop; `serials` are those that were served, `failures` what went wrong."""

    port: int
    trust: ssl.SSLContext
    serials: list[int] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    seen: threading.Condition = field(default_factory=threading.Condition)
    stopped: threading.Event = field(default_factory=threading.Event)

    def connect(self) -> int:
        """Shake hands, make a request, and return the serial number of the certificate that was proven."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=SECONDS) as plain:
            with self.trust.wrap_socket(plain, server_hostname=HOST) as connection:
                certificate = connection.getpeercert()
                connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
                reply = b"".join(iter(lambda: connection.recv(4096), b""))
        assert reply.endswith(b"served"), reply
        assert certificate is not None
        return int(str(certificate["serialNumber"]), 16)

    def loop(self) -> None:
        while not self.stopped.is_set():
            try:
                serial = self.connect()
            except (OSError, AssertionError) as error:
                self.failures.append(repr(error))
                continue
            with self.seen:
                self.serials.append(serial)
                self.seen.notify_all()

    @contextlib.contextmanager
    def connecting(self) -> Iterator[None]:
        threads = [threading.Thread(target=self.loop, daemon=True) for _ in range(CLIENTS)]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self.stopped.set()
            for thread in threads:
                thread.join(SECONDS)

    def wait_for(self, serial: int) -> None:
        """Wait until all clients have been served this certificate, several times over."""
        with self.seen:
            assert self.seen.wait_for(lambda: set(self.serials[-4 * CLIENTS :]) == {serial}, SECONDS), "not served"


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path / "certificates")


@contextlib.contextmanager
def serving(prefix: Path, certificate: Path, key: Path) -> Iterator[Nginx]:
    """Run nginx in the foreground with a folder, a port and a configuration of its own."""
    program = shutil.which("nginx") or pytest.fail("install Debian's package nginx-light")
    prefix.mkdir()
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    configuration = prefix / "nginx.conf"
    configuration.write_text(CONFIGURATION.format(prefix=prefix, port=port, certificate=certificate, key=key))
    command = [program, "-p", str(prefix), "-c", str(configuration)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        try:
            _reachable(process, port)
            yield Nginx(configuration, port)
        finally:
            process.terminate()
            process.wait(SECONDS)


def _reachable(process: subprocess.Popen[str], port: int) -> None:
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(ConnectionRefusedError), socket.create_connection(("127.0.0.1", port)):
            return
        time.sleep(0.02)
    process.terminate()
    pytest.fail(f"nginx does not start: {process.communicate()[0]}")


@pytest.mark.parametrize("layout", ["versioned", "flat"])
def test_no_handshake_fails_while_certificates_are_replaced_and_each_new_one_is_served(
    site: Site, tmp_path: Path, layout: Layout
) -> None:
    bundle, leaf = site.issue()
    written = bundle.write(site.directory, private_key=leaf.key, layout=layout)
    assert written.private_key is not None
    trust = ssl.create_default_context(cadata=site.ca.new_root.pem)
    with serving(tmp_path / "nginx", written.fullchain, written.private_key) as nginx:
        clients = Clients(nginx.port, trust)
        with clients.connecting():
            clients.wait_for(bundle.serial_number)
            for _ in range(ISSUES):
                bundle, leaf = site.issue()
                assert bundle.write(site.directory, private_key=leaf.key, layout=layout).changed
                run(*nginx.hook)
                clients.wait_for(bundle.serial_number)
    assert clients.failures == []
    assert len(set(clients.serials)) == 1 + ISSUES


def test_deploy_hook_has_nginx_serve_what_was_collected_and_no_handshake_fails(tmp_path: Path) -> None:
    sandbox = Sandbox()
    trust = ssl.create_default_context(cadata=sandbox.root_pem)
    directory = tmp_path / "certificates"
    with sandbox.serve() as server:
        first = collect(sandbox, server, directory)
        with serving(
            tmp_path / "nginx", directory / "current/fullchain.pem", directory / "current/privkey.pem"
        ) as nginx:
            clients = Clients(nginx.port, trust)
            with clients.connecting():
                clients.wait_for(first)
                collected = [collect(sandbox, server, directory, hook=nginx.hook) for _ in range(COLLECTED)]
                clients.wait_for(collected[-1])
    assert clients.failures == []
    assert set(collected) <= set(clients.serials)


def collect(sandbox: Sandbox, server: SandboxServer, directory: Path, *, hook: list[str] | None = None) -> int:
    """Order and collect a certificate as a user does; return its serial number."""
    order = sandbox.place_order(HOST)
    key = key_file(order, directory.parent)
    account = {
        "COLLECTSSL_LOGIN_NAME": sandbox.credentials.login_name,
        "COLLECTSSL_LOGIN_PASSWORD": sandbox.credentials.login_password.get_secret_value(),
        "COLLECTSSL_ENDPOINT": server.endpoint,
    }
    arguments: list[str | Path] = [
        "--ca-file",
        server.ca_file,
        "--private-key",
        key,
        "--layout",
        "versioned",
        "--keep",
        "2",
        "--json",
    ]
    arguments += ["--deploy-hook", shlex.join(hook)] if hook else []
    with start("collect", order.order_number, "-o", directory, *arguments, **account) as command:
        out, err = command.communicate(timeout=SECONDS)
    assert command.returncode == 0, err
    return int(json.loads(out)["serial_number"], 16)


def test_nginx_takes_the_combined_file_for_certificate_and_key(site: Site, tmp_path: Path) -> None:
    bundle, leaf = site.issue()
    written = bundle.write(site.directory, private_key=leaf.key, combined=True)
    assert written.combined is not None
    with serving(tmp_path / "nginx", written.combined, written.combined) as nginx:
        trust = ssl.create_default_context(cadata=site.ca.new_root.pem)
        assert Clients(nginx.port, trust).connect() == bundle.serial_number
