"""The sandbox by the clock: a call over TLS, a certificate, the way to the first call, the start of a test.

There is nothing to compare it with; the targets are what a test suite on it can bear.
"""

from __future__ import annotations

import contextlib
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import anyio
import httpx

from collectssl_async.sandbox import Sandbox

from .measuring import Row, cost_of

ROUNDS, CALLS, CERTIFICATES, STARTS, TESTS = 31, 50, 200, 7, 100
ROOT = Path(__file__).parents[2]

READY = """
import time
began = time.perf_counter()
from collectssl_async.sandbox import Sandbox
with Sandbox().serve():
    print(time.perf_counter() - began)
"""
CONFTEST = """
import statistics, time
import pytest

pytest_plugins = ["collectssl_async.sandbox.pytest_plugin"]
took = []

@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item):
    began = time.perf_counter()
    result = yield
    took.append(time.perf_counter() - began)
    return result

def pytest_unconfigure(config):
    print("took", took[0], statistics.median(took[1:]))
"""
INI = "[pytest]\nasyncio_default_fixture_loop_scope = function\n"
TEST = f"""
import pytest

@pytest.mark.parametrize("run", range({TESTS}))
def test_it(collectssl_client, run):
    pass
"""


async def call_over_tls(*, strict: bool) -> float:
    """Return the median of what a call takes one client, in seconds."""
    sandbox = Sandbox(seed=1, strict=strict)
    order = sandbox.place_order("shop.example.com")
    credentials = sandbox.credentials
    form = {
        "loginName": credentials.login_name,
        "loginPassword": credentials.login_password.get_secret_value(),
        "orderNumber": order.order_number,
        "queryType": "1",
        "responseFormat": "1",
    }
    async with contextlib.AsyncExitStack() as stack:
        server = await stack.enter_async_context(sandbox.serve())
        http = await stack.enter_async_context(httpx.AsyncClient(verify=server.ssl_context, trust_env=False))

        async def collect(times: int) -> None:
            for _ in range(times):
                await http.post(server.endpoint, data=form)

        await collect(CALLS)
        return statistics.median([(await cost_of(collect, CALLS)).wall for _ in range(ROUNDS)])


def certificate() -> float:
    """Return the median of what placing an order and issuing its certificate take, in seconds."""
    sandbox = Sandbox()
    took = []
    for _ in range(CERTIFICATES):
        began = time.perf_counter()
        sandbox.place_order("shop.example.com", issue_after=None).issue()
        took.append(time.perf_counter() - began)
    return statistics.median(took)


def ready() -> float:
    """Return the median of the seconds from the import to the first call that would be answered."""
    run = [sys.executable, "-c", READY]
    return statistics.median(float(subprocess.check_output(run, cwd=ROOT, text=True)) for _ in range(STARTS))


def starts_of_tests() -> tuple[float, float]:
    """Return the seconds that pytest takes to set up the first test with a client, and the median of all others."""
    with tempfile.TemporaryDirectory() as name:
        for file, code in (("conftest.py", CONFTEST), ("test_it.py", TEST), ("pytest.ini", INI)):
            (Path(name) / file).write_text(code)
        command = [sys.executable, "-m", "pytest", "-q", "-s", "-p", "no:cacheprovider", f"--rootdir={name}", name]
        said = subprocess.check_output(command, cwd=ROOT, text=True)
    _, first, others = next(line for line in said.splitlines() if line.startswith("took")).split()
    return float(first), float(others)


def run() -> list[Row]:
    first, others = starts_of_tests()
    return [
        Row("sandbox: a call over TLS, strict", anyio.run(lambda: call_over_tls(strict=True)), target="<= 3.33 ms"),
        Row("sandbox: a call over TLS, plain", anyio.run(lambda: call_over_tls(strict=False)), target="<= 3.33 ms"),
        Row("sandbox: an EC certificate", certificate(), target="<= 2 ms"),
        Row("sandbox: from import to ready", ready(), target="<= 1 s"),
        Row("sandbox: start of the first test", first),
        Row("sandbox: start of every other test", others, target="<= 20 ms"),
    ]
