"""The pytest plugin, in a test run of somebody else's, where every warning is an error."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

CONFTEST = """
import pytest

pytest_plugins = ["collectssl_async.sandbox.pytest_plugin"]

@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request):
    return request.param
"""

COLLECTS = """
import pytest

async def collect(sandbox, client):
    order = sandbox.place_order("shop.example.com", names=["a.example"])
    bundle = await client.wait_for_certificate(order.order_number)
    assert bundle.dns_names == ("shop.example.com", "a.example")
    assert bundle.matches(order.private_key)
    assert [call.answer for call in sandbox.calls] == [1, 2]

@pytest.mark.asyncio
async def test_pytest_asyncio(collectssl_sandbox, collectssl_client):
    await collect(collectssl_sandbox, collectssl_client)

@pytest.mark.anyio
async def test_anyio(collectssl_sandbox, collectssl_client):
    await collect(collectssl_sandbox, collectssl_client)

@pytest.mark.anyio
async def test_a_client_may_be_closed(collectssl_sandbox, collectssl_client):
    async with collectssl_client:
        await collect(collectssl_sandbox, collectssl_client)
"""

WITHOUT_A_LOOP = """
import anyio
import httpx
import pytest

def test_a_server(collectssl_server):
    with httpx.Client(verify=collectssl_server.ssl_context, trust_env=False) as http:
        assert http.get(collectssl_server.endpoint).text.count("-17") == 1

@pytest.mark.parametrize("library", ["asyncio", "trio"])
def test_a_loop_of_its_own(collectssl_sandbox, collectssl_client, library):
    order = collectssl_sandbox.place_order("a.example")
    anyio.run(collectssl_client.status, order.order_number, backend=library)

def test_a_sandbox_without_a_server(collectssl_sandbox):
    assert collectssl_sandbox.place_order("a.example").order_number
"""

AS_NEW = """
import pytest

@pytest.mark.parametrize("run", range(3))
def test_it(collectssl_sandbox, run):
    sandbox = collectssl_sandbox
    assert (sandbox.calls, sandbox.locked, sandbox.latency) == ([], False, 0)
    assert sandbox.place_order("a.example").order_number == "41000001"
    assert sandbox.seed == f"test_it.py::test_it[{run}]"
    sandbox.latency = 9
    sandbox.fail_next("timeout", times=5)
    sandbox.switches = ()
"""

GIVES_UP = """
import anyio
import pytest

@pytest.mark.anyio
@pytest.mark.parametrize("run", range(3))
async def test_it(collectssl_sandbox, collectssl_client, run):
    order = collectssl_sandbox.place_order("a.example")
    await collectssl_client.status(order.order_number)
    collectssl_sandbox.fail_next("timeout")
    with anyio.move_on_after(0.05) as scope:
        await collectssl_client.status(order.order_number)
    assert scope.cancelled_caught
"""


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What pytest says of each test of all the modules above, run in one go; and how long it took in the end."""
    folder = tmp_path_factory.mktemp("project")
    modules = {"collects": COLLECTS, "without_a_loop": WITHOUT_A_LOOP, "it": AS_NEW, "gives_up": GIVES_UP}
    (folder / "conftest.py").write_text(CONFTEST)
    (folder / "pytest.ini").write_text(
        "[pytest]\nasyncio_mode = strict\nasyncio_default_fixture_loop_scope = function\n"
    )
    for name, code in modules.items():
        (folder / f"test_{name}.py").write_text(code)
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "pytest", "-W", "error", "-vv", "-p", "no:cacheprovider", "."],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    lines = re.findall(r"^(\S+::\S+) (PASSED|FAILED|ERROR|SKIPPED)", done.stdout, re.MULTILINE)
    return {**dict(lines), "all": done.stdout.splitlines()[-1] if not done.returncode else done.stdout + done.stderr}


@pytest.mark.parametrize(
    "name",
    [
        "test_collects.py::test_pytest_asyncio",
        *(f"test_collects.py::test_anyio[{library}]" for library in ("asyncio", "trio")),
        *(f"test_collects.py::test_a_client_may_be_closed[{library}]" for library in ("asyncio", "trio")),
    ],
)
def test_a_client_works_on_either_library_under_either_plugin(reports: dict[str, str], name: str) -> None:
    assert reports[name] == "PASSED", reports["all"]


@pytest.mark.parametrize(
    "name",
    ["test_a_server", "test_a_sandbox_without_a_server"]
    + [f"test_a_loop_of_its_own[{library}]" for library in ("asyncio", "trio")],
)
def test_no_loop_is_needed(reports: dict[str, str], name: str) -> None:
    assert reports[f"test_without_a_loop.py::{name}"] == "PASSED", reports["all"]


@pytest.mark.parametrize("run", range(3))
def test_a_test_sees_nothing_of_the_one_before(reports: dict[str, str], run: int) -> None:
    assert reports[f"test_it.py::test_it[{run}]"] == "PASSED", reports["all"]


@pytest.mark.parametrize("library", ["asyncio", "trio"])
def test_a_call_that_is_given_up_holds_up_no_other_test(reports: dict[str, str], library: str) -> None:
    assert [reports[f"test_gives_up.py::test_it[{library}-{run}]"] for run in range(3)] == ["PASSED"] * 3, reports[
        "all"
    ]


def test_nothing_warns_and_all_is_quickly_done(reports: dict[str, str]) -> None:
    said = re.fullmatch(r"=+ 18 passed in ([0-9.]+)s =+", reports["all"])
    assert said, reports["all"]
    assert float(said[1]) < 8  # a call that is waited for takes ten seconds


def test_pytest_does_not_load_the_plugin_by_itself() -> None:
    code = "import sys, pytest; pytest.main(['--version']); sys.exit('collectssl_async' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, check=False).returncode == 0
