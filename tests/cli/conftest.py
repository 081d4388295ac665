"""One sandbox and one server for each file of tests; every test begins with neither orders nor calls."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from collectssl_async.sandbox import Sandbox

from .desk import PASSWORD, Desk
from .harness import Service, Watch

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from collectssl_async.sandbox import SandboxServer


@pytest.fixture(autouse=True)
def plain_surroundings(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test sees the endpoint, the colours or the buffering of whoever runs it."""
    for name in ("COLLECTSSL_ENDPOINT", "NO_COLOR", "FORCE_COLOR", "PYTHONIOENCODING", "PYTHONUNBUFFERED"):
        monkeypatch.delenv(name, raising=False)
    for name in ("COLLECTSSL_PKCS12_PASSWORD", "COLLECTSSL_PKCS12_PASSWORD_FILE"):
        monkeypatch.delenv(name, raising=False)
    for name in ("COLLECTSSL_GUARD", "COLLECTSSL_PUSH_PASSWORD", "COLLECTSSL_PUSH_PASSWORD_FILE"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="module")
def running() -> Iterator[tuple[Sandbox, SandboxServer]]:
    sandbox = Sandbox(seed=1)
    with sandbox.serve() as server:
        yield sandbox, server


@pytest.fixture
def service(
    running: tuple[Sandbox, SandboxServer], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Service:
    """A sandbox whose credentials and endpoint are in the environment."""
    sandbox, server = running
    sandbox.reset()
    service = Service(sandbox, server, capsys)
    for name, value in service.environment.items():
        monkeypatch.setenv(name, value)
    return service


@pytest.fixture
def desk(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Desk:
    (tmp_path / "desk").mkdir()
    return Desk(tmp_path / "desk", capsys)


@pytest.fixture
def password(monkeypatch: pytest.MonkeyPatch) -> None:
    """The password of PKCS#12 files is in the environment."""
    monkeypatch.setenv("COLLECTSSL_PKCS12_PASSWORD", PASSWORD)


@pytest.fixture
def watch(service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Watch:
    """The command for many orders; its calls are kept apart within the process."""
    monkeypatch.setenv("COLLECTSSL_GUARD", "process")
    return Watch(service, tmp_path)
