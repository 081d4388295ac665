"""Fixtures for every test: both async libraries, in real time or on a virtual clock."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

import pytest

from .clocks import virtual_backend

if TYPE_CHECKING:
    from types import ModuleType


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--http-library", choices=["httpx", "httpx2"], default="httpx", help="whose AsyncClient to use")


@pytest.fixture
def http_library(request: pytest.FixtureRequest) -> ModuleType:
    """The library whose `AsyncClient` tests marked `http` hand in."""
    return importlib.import_module(request.config.getoption("--http-library"))


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, Any]]:
    """Run each test marked `anyio` on both libraries; a module marked `virtual_clock` does so on clocks that jump."""
    if request.node.get_closest_marker("virtual_clock"):
        return virtual_backend(request.param)
    return request.param, {}


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test sees the credentials, proxies or guards of whoever runs it."""
    for name in ("LOGIN_NAME", "LOGIN_PASSWORD", "LOGIN_PASSWORD_FILE", "ENDPOINT", "GUARD"):
        monkeypatch.delenv(f"COLLECTSSL_{name}", raising=False)
    for name in (
        "SSL_CERT_FILE",
        "SSL_CERT_DIR",
        "http_proxy",
        "https_proxy",
        "all_proxy",
        "HTTP_PROXY",
        "HTTPS_PROXY",
        "ALL_PROXY",
    ):
        monkeypatch.delenv(name, raising=False)
