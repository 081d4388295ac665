"""Starts programs of the system and hands back what they print; says which of Debian's packages a machine lacks."""

from __future__ import annotations

import re
import shutil
import ssl
import subprocess
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

PACKAGES = {
    "bash": "bash",
    "curl": "curl",
    "keytool": "openjdk-17-jre-headless",
    "nginx": "nginx-light",
    "openssl": "openssl",
    "php": "php-cli",
    "strace": "strace",
    "unzip": "unzip",
}
"""The programs that these tests start by name, and the package that has each."""

SECONDS = 30
"""Until a program counts as hung; each takes less than one."""

_PEM = re.compile("-----BEGIN CERTIFICATE-----\n.*?\n-----END CERTIFICATE-----\n", re.DOTALL)


def run(program: str, *arguments: str | Path, stdin: bytes = b"", environment: dict[str, str] | None = None) -> bytes:
    """Return what a program prints; the test fails if the program is missing or fails."""
    found = shutil.which(program)
    if found is None:
        pytest.fail(f"install Debian's package {PACKAGES[program]}")
    ended = subprocess.run(
        [found, *arguments], input=stdin, env=environment, capture_output=True, timeout=SECONDS, check=False
    )
    assert ended.returncode == 0, f"{program} failed: {ended.stderr.decode(errors='replace')}"
    return ended.stdout


def in_pem(printed: bytes) -> list[bytes]:
    """Return the certificates in a program's output, each as DER."""
    return [ssl.PEM_cert_to_DER_cert(block) for block in _PEM.findall(printed.decode())]


def verify(leaf: bytes, cas: Iterable[bytes], *, hostname: str, root: Path, directory: Path) -> None:
    """Have OpenSSL prove a server's certificate: by CAs that it does not trust, up to the root that it does."""
    untrusted, target = directory / "untrusted.pem", directory / "leaf.pem"
    untrusted.write_text("".join(map(ssl.DER_cert_to_PEM_cert, cas)))
    target.write_text(ssl.DER_cert_to_PEM_cert(leaf))
    purpose = ("-x509_strict", "-purpose", "sslserver", "-verify_hostname", hostname)
    trust = ("-no-CApath", "-no-CAstore", "-CAfile", root, "-untrusted", untrusted)
    assert run("openssl", "verify", *purpose, *trust, target).endswith(b": OK\n")
