"""The server: over TLS, on loopback, from any library, and nothing left of it afterwards."""

from __future__ import annotations

import asyncio
import gc
import logging
import socket
import ssl
import stat
import subprocess
import sys
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import anyio
import httpx
import pytest

from collectssl_async.errors import ConfigurationError
from collectssl_async.sandbox import Sandbox, SandboxServer

from .calling import Caller, wait_until


def sandbox_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "collectssl-sandbox"]


def open_files() -> set[str]:
    return {path.name for path in Path("/dev/fd").iterdir()}


def address(server: SandboxServer) -> tuple[str, int]:
    url = urlsplit(server.endpoint)
    assert url.hostname is not None
    assert url.port is not None
    return url.hostname, url.port


def test_the_endpoint_is_https_on_loopback() -> None:
    with Sandbox().serve() as server:
        assert server.endpoint == f"https://127.0.0.1:{address(server)[1]}/products/download/CollectSSL"


@pytest.mark.anyio
async def test_a_server_runs_beside_either_library() -> None:
    sandbox = Sandbox(strict=False)
    async with sandbox.serve() as server, httpx.AsyncClient(verify=server.ssl_context, trust_env=False) as http:
        reply = await http.post(server.endpoint)
    assert reply.text.startswith("-3")


@pytest.mark.anyio
async def test_a_cancelled_caller_leaves_no_server_behind() -> None:
    before = sandbox_threads()
    with anyio.CancelScope() as scope:
        scope.cancel()
        async with Sandbox().serve() as server:
            file = anyio.Path(server.ca_file)
            await anyio.sleep_forever()
    assert sandbox_threads() == before
    assert not await file.exists()


def test_a_client_that_trusts_the_ca_file_alone_connects_by_name() -> None:
    with Sandbox().serve() as server:
        context = ssl.create_default_context(cafile=server.ca_file)
        # What Python 3.13 and newer check by default.
        context.verify_flags |= ssl.VERIFY_X509_STRICT
        for name in ("localhost", "127.0.0.1"):
            with (
                socket.create_connection(address(server)) as raw,
                context.wrap_socket(raw, server_hostname=name) as connection,
            ):
                assert connection.version() == "TLSv1.3"


def test_a_client_that_does_not_know_the_root_refuses_it() -> None:
    with Sandbox().serve() as server, Sandbox().serve() as other, socket.create_connection(address(server)) as raw:
        with pytest.raises(ssl.SSLCertVerificationError):
            other.ssl_context.wrap_socket(raw, server_hostname="127.0.0.1")


def test_nothing_is_left_of_a_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    before = (sandbox_threads(), open_files())
    with Sandbox().serve() as server:
        where = address(server)
        assert len(sandbox_threads()) == len(before[0]) + 1
    gc.collect()
    assert (sandbox_threads(), open_files(), list(tmp_path.iterdir())) == (*before, [])
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(where)


def test_while_it_runs_the_root_is_the_only_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    sandbox = Sandbox()
    with sandbox.serve() as server:
        assert list(tmp_path.iterdir()) == [server.ca_file]
        assert server.ca_file.read_text() == sandbox.root_pem


def test_the_key_s_file_is_for_this_user_only_while_it_is_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    modes = []

    class Watched(ssl.SSLContext):
        def load_cert_chain(self, certfile: Path) -> None:  # type: ignore[override]  # as it is called
            assert "PRIVATE KEY" in certfile.read_text()
            modes.append(stat.S_IMODE(certfile.stat().st_mode))
            super().load_cert_chain(certfile)

    monkeypatch.setattr(ssl, "SSLContext", Watched)
    with Sandbox().serve() as server:
        assert list(tmp_path.iterdir()) == [server.ca_file]
    assert modes == [0o600]


def test_a_server_stops_though_a_call_is_in_work(caplog: pytest.LogCaptureFixture) -> None:
    sandbox = Sandbox(latency=3600)
    with sandbox.serve() as server:
        caller = Caller(sandbox, server.endpoint, server.ssl_context)
        thread = ThreadPoolExecutor(max_workers=1)
        answer = thread.submit(caller.post)
        wait_until(lambda: bool(sandbox.calls))
    with thread:
        assert isinstance(answer.exception(), httpx.RemoteProtocolError)
    caller.http.close()
    assert (sandbox.calls[0].abandoned, sandbox.calls[0].end is not None) == (True, True)
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


def test_a_server_stops_though_a_handshake_is_under_way() -> None:
    sandbox = Sandbox()
    with sandbox.serve() as server:
        half = socket.create_connection(address(server))
        caller = Caller(sandbox, server.endpoint, server.ssl_context)
        with caller.http:
            caller.post()  # the server takes connections in turn, so it has the other one by now
    with half:
        half.settimeout(10)
        assert half.recv(1) == b""
    gc.collect()  # a transport that was left open would warn now


def test_garbage_instead_of_tls_does_not_stop_it(caller: Caller, sandbox: Sandbox) -> None:
    url = urlsplit(caller.endpoint)
    with socket.create_connection((url.hostname, url.port)) as raw:
        raw.sendall(b"GET / HTTP/1.1\r\n\r\n" * 10)
        while raw.recv(1000):
            pass
    assert caller.status(sandbox.place_order("shop.example.com")) == 1


def test_stopping_cancels_only_its_own_calls() -> None:
    sandbox = Sandbox(strict=False)
    with sandbox.serve() as staying:
        with sandbox.serve() as server:
            assert server.endpoint != staying.endpoint
        caller = Caller(sandbox, staying.endpoint, staying.ssl_context)
        with caller.http:
            assert caller.status(sandbox.place_order("shop.example.com")) == 1


def test_a_server_can_be_run_again_on_the_port_that_it_had() -> None:
    server = Sandbox().serve()
    with server:
        first = server.endpoint
    with server:
        assert server.endpoint == first


def test_a_port_that_is_taken_is_said_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with Sandbox().serve() as server, pytest.raises(OSError, match="in use"):
        with Sandbox().serve(port=address(server)[1]):
            pass
    assert list(tmp_path.iterdir()) == []


def test_a_server_that_cannot_start_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    before = (sandbox_threads(), open_files())

    async def broken(*_: object) -> None:
        raise RuntimeError("cannot start")

    monkeypatch.setattr("uvicorn.Server.startup", broken)
    with pytest.raises(RuntimeError, match="cannot start"):
        Sandbox().serve().__enter__()
    gc.collect()
    assert (sandbox_threads(), open_files(), list(tmp_path.iterdir())) == (*before, [])


def test_a_server_that_crashes_is_heard_of(monkeypatch: pytest.MonkeyPatch) -> None:
    crashes: list[threading.ExceptHookArgs] = []
    crashed = threading.Event()

    async def broken(_: object) -> None:
        crashed.set()
        raise RuntimeError("crashed")

    before = sandbox_threads()
    monkeypatch.setattr(threading, "excepthook", crashes.append)
    monkeypatch.setattr("collectssl_async.sandbox.connections.StoppableServer.main_loop", broken)
    with Sandbox().serve():
        assert crashed.wait(10)
    assert [str(crash.exc_value) for crash in crashes] == ["crashed"]
    assert sandbox_threads() == before


def test_a_server_runs_once_at_a_time() -> None:
    with Sandbox().serve() as server, pytest.raises(RuntimeError, match="runs already"):
        server.__enter__()


def test_a_server_that_does_not_run_has_no_ca_file() -> None:
    with pytest.raises(RuntimeError, match="does not run"):
        _ = Sandbox().serve().ca_file


def test_leaving_a_server_that_never_ran_does_nothing() -> None:
    Sandbox().serve().__exit__(None, None, None)


def test_the_caller_s_logging_is_left_alone() -> None:
    loggers = [logging.getLogger(name) for name in ("", "uvicorn", "uvicorn.error", "uvicorn.access")]
    before = [(list(each.handlers), each.level, each.propagate) for each in loggers]
    with Sandbox().serve():
        pass
    assert [(list(each.handlers), each.level, each.propagate) for each in loggers] == before


def test_calls_are_not_logged(caller: Caller, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        caller.http.get(caller.endpoint, params=caller.login())
    assert [record for record in caplog.records if record.name.startswith("uvicorn")] == []


def test_replies_are_sent_without_delay(caller: Caller, sandbox: Sandbox) -> None:
    # With Nagle's algorithm each call of two writes takes 40 ms: fifty of them two seconds.
    sandbox.switches = ["chunked"]
    order = sandbox.place_order("shop.example.com")
    took = [caller.post(order, queryType=1).elapsed.total_seconds() for _ in range(50)]
    assert sorted(took)[25] < 0.03


@pytest.mark.parametrize("library", ["starlette", "uvicorn"])
def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch, library: str) -> None:
    sandbox = Sandbox()
    for name in (library, *(name for name in list(sys.modules) if name.startswith(f"{library}."))):
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.delitem(sys.modules, "collectssl_async.sandbox.connections", raising=False)
    with pytest.raises(ConfigurationError, match=rf"{library}.*collectssl-async\[sandbox\]"):
        sandbox.serve()
    assert sandbox.place_order("shop.example.com").order_number


def test_the_sandbox_loads_no_server_before_one_is_asked_for() -> None:
    code = (
        "import sys; from collectssl_async.sandbox import Sandbox; Sandbox().place_order('a.example');"
        "print([name for name in ('starlette', 'uvicorn') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_call_that_is_cancelled_while_the_server_runs_is_not_taken_for_a_stop() -> None:
    from collectssl_async.sandbox.connections import StoppableServer

    async def cancelled(*_: object) -> None:
        raise asyncio.CancelledError

    async def run() -> None:
        server = StoppableServer(cancelled, ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), lambda: None)
        await server.config.loaded_app({}, None, None)

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(run())
