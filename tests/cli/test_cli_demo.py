"""`collectssl demo`: in a hostile environment it ends with files that a TLS server loads, and spoils no others."""

from __future__ import annotations

import os
import re
import signal
import ssl
import stat
import subprocess
import sys
import time
from typing import TYPE_CHECKING, NamedTuple

import pytest

from collectssl_async import CertificateBundle, PollPolicy
from collectssl_async.cli import demo
from collectssl_async.sandbox import Sandbox
from collectssl_async.sandbox.authority import Authority

from .harness import START, Ended, run, start

if TYPE_CHECKING:
    from pathlib import Path

FILES = ["cert.pem", "chain.pem", "fullchain.pem", "privkey.pem", "sandbox-root.pem"]

HOSTILE = {
    "HTTPS_PROXY": "http://127.0.0.1:9",
    "ALL_PROXY": "http://127.0.0.1:9",
    "SSL_CERT_FILE": os.devnull,
    "COLLECTSSL_ENDPOINT": "https://127.0.0.1:9/",
    "COLLECTSSL_LOGIN_NAME": "x" * 65,
    "COLLECTSSL_LOGIN_PASSWORD_FILE": "/missing",
}
"""What would break a command that looked at it."""


class Shown(NamedTuple):
    ended: Ended
    directory: Path
    seconds: float


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Shown:
    directory = tmp_path_factory.mktemp("demo") / "my demo"
    began = time.monotonic()
    done = subprocess.run(
        [*START, "demo", "--output", directory],
        env={**os.environ, **HOSTILE},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    return Shown(Ended(done.returncode, done.stdout, done.stderr), directory, time.monotonic() - began)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Issue the demo's order at once."""
    monkeypatch.setattr(demo, "_ISSUED_AFTER", 0.0)
    monkeypatch.setattr(demo, "_POLICY", PollPolicy(min_interval=0.01, max_interval=0.01))


def test_it_succeeds_in_time_whatever_the_environment_says(shown: Shown) -> None:
    assert (shown.ended.code, shown.ended.err) == (0, "")
    assert shown.seconds < 10


def test_it_shows_the_order_on_its_way(shown: Shown) -> None:
    statuses = re.findall(r"shop\.example\.com: ([012]) ", shown.ended.out)
    assert statuses[0] == "0"
    assert statuses[-2:] == ["1", "2"]
    assert len(re.findall(r"done ([1-4])/4", shown.ended.out)) == len(statuses)


def test_it_leaves_the_files_and_names_them(shown: Shown) -> None:
    assert sorted(file.name for file in shown.directory.iterdir()) == FILES
    for name in FILES:
        assert f"wrote     {shown.directory / name}\n" in shown.ended.out


def test_it_says_what_to_type_next(shown: Shown) -> None:
    quoted = [f"'{shown.directory / name}'" for name in ("sandbox-root.pem", "chain.pem", "cert.pem")]
    assert "openssl verify -CAfile {} -untrusted {} {}".format(*quoted) in shown.ended.out


def test_its_key_is_its_owners_alone(shown: Shown) -> None:
    assert stat.S_IMODE((shown.directory / "privkey.pem").stat().st_mode) == 0o600


def test_a_server_loads_its_files_and_a_client_that_trusts_the_root_connects_by_name(shown: Shown) -> None:
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    serving.load_cert_chain(shown.directory / "fullchain.pem", shown.directory / "privkey.pem")
    calling = ssl.create_default_context(cafile=shown.directory / "sandbox-root.pem")
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    server = serving.wrap_bio(to_server, to_client, server_side=True)
    client = calling.wrap_bio(to_client, to_server, server_hostname="www.shop.example.com")
    for side in (client, server, client, server):
        try:
            side.do_handshake()
        except ssl.SSLWantReadError:
            continue
    assert client.getpeercert()


@pytest.mark.usefixtures("quick")
def test_an_earlier_demos_files_are_replaced(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "demo", "--output", tmp_path).code == 0
    before = {name: (tmp_path / name).read_bytes() for name in FILES}
    (tmp_path / "notes").touch()
    assert run(capsys, "demo", "--output", tmp_path).code == 0
    assert all((tmp_path / name).read_bytes() != before[name] for name in FILES)
    assert (tmp_path / "notes").exists()


@pytest.mark.parametrize("name", ["privkey.pem", ".hidden"])
def test_other_files_are_refused_and_not_touched(tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    (tmp_path / name).write_text("precious")
    ended = run(capsys, "demo", "--output", tmp_path)
    assert ended.code == 2
    assert "holds files that are no demo's (there is no sandbox-root.pem): name a new directory" in ended.err
    assert [(file.name, file.read_text()) for file in tmp_path.iterdir()] == [(name, "precious")]


def test_a_directory_that_cannot_be_made_fails_at_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").touch()
    ended = run(capsys, "demo", "--output", tmp_path / "file")
    assert (ended.code, ended.out) == (1, "")
    assert "Not a directory" in ended.err


@pytest.mark.usefixtures("quick")
def test_without_a_directory_nothing_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    ended = run(capsys, "demo")
    assert ended.code == 0
    assert "Nothing was written. To have the files: collectssl demo --output DIR" in ended.out
    assert list(tmp_path.iterdir()) == []


def test_without_the_extra_one_line_names_it(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "starlette.applications", None)
    ended = run(capsys, "demo", "--output", tmp_path / "new")
    assert (ended.code, ended.out) == (2, "")
    assert "pip install 'collectssl-async[sandbox]'" in ended.err
    assert not (tmp_path / "new").exists()


@pytest.mark.usefixtures("quick")
def test_a_chain_that_does_not_lead_to_the_root_fails_and_leaves_nothing(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    verify = CertificateBundle.verify
    monkeypatch.setattr(CertificateBundle, "verify", lambda bundle, roots: verify(bundle, [Authority().root]))
    ended = run(capsys, "demo", "--output", tmp_path / "new")
    assert ended.code == 1
    assert "is among the roots" in ended.err
    assert not (tmp_path / "new").exists()


def test_a_service_that_fails_ends_it_soon(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def failing() -> Sandbox:
        sandbox = Sandbox()
        sandbox.fail_next(503, times=100)
        return sandbox

    monkeypatch.setattr(demo, "Sandbox", failing)
    ended = run(capsys, "demo", "--output", tmp_path / "new")
    assert ended.code == 6
    assert not (tmp_path / "new").exists()


def test_an_interrupted_demo_leaves_nothing(tmp_path: Path) -> None:
    with start("demo", "--output", tmp_path / "new") as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("sandbox ")
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=20)
    assert (process.returncode, err) == (130, "collectssl: interrupted\n")
    assert not (tmp_path / "new").exists()
