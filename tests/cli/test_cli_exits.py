"""Every exit code of the command line, provoked: one line that says what to change, and nothing half-done."""

from __future__ import annotations

import errno
import json
import os
import stat
import sys
from typing import TYPE_CHECKING

import pytest

from collectssl_async.cli import demo
from collectssl_async.errors import API_ERRORS, AuthenticationError

from .harness import key_file, run

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from .harness import Ended, Service

REFUSALS = sorted(code for code, known in API_ERRORS.items() if known.error is not AuthenticationError)


def assert_one_line(ended: Ended, *parts: str) -> None:
    assert ended.out == ""
    assert ended.err.count("\n") == 1
    assert ended.err.startswith("collectssl: ")
    for part in parts:
        assert part in ended.err


# --- 1: failed --------------------------------------------------------------------------------------------------------


def test_a_key_of_another_certificate_fails_and_writes_nothing(service: Service, tmp_path: Path) -> None:
    order, other = service.sandbox.place_order("a.example.com"), service.sandbox.place_order("b.example.com")
    key = key_file(other, tmp_path)
    ended = service.run("collect", order.order_number, "-o", tmp_path / "tls", "--private-key", key)
    assert ended.code == 1
    assert "the key in --private-key does not belong to the certificate for a.example.com" in ended.err
    assert not (tmp_path / "tls").exists()


def test_a_directory_that_cannot_be_made_fails_before_any_call(service: Service, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    ended = service.run("collect", "1", "-o", tmp_path / "file" / "tls")
    assert ended.code == 1
    assert_one_line(ended, f"no files can be written to '{tmp_path}/file/tls'", "choose another directory")
    assert service.sandbox.calls == []


# --- 2: usage ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        ((), "Missing command"),
        (("collectt",), "collectt"),
        (("status",), "name the order: ORDER, --certificate-id or --base-order-number"),
        (("status", ""), "ORDER: String should have at least 1 character"),
        (("status", "1\n"), "ORDER: must not contain control characters"),
        (("status", "--certificate-id", "9" * 17), "--certificate-id: Input should be less than"),
        (("status", "1", "--timeout", "0"), "must be a number of seconds above 0"),
        (("status", "1", "--timeout", "nan"), "must be a number of seconds above 0"),
        (("status", "1", "--password", "x"), "--password"),
        (("collect", "1"), "'--output' / '-o'"),
        (("collect", "1", "-o", "new", "--interval", "-1"), "must be a number of seconds above 0"),
        (("collect", "1", "-o", "new", "--private-key", "missing"), "'missing' cannot be read: No such file"),
        (("collect", "1", "-o", "new", "--private-key", os.devnull), "is not a private key in PEM"),
        (("status", "1", "--ca-file", "missing"), "'missing' cannot be used: No such file"),
        (("status", "1", "--ca-file", __file__), "holds no CA certificate in PEM"),
    ],
)
def test_a_wrong_command_line_is_told_in_one_line(
    capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], part: str
) -> None:
    ended = run(capsys, *arguments)
    assert ended.code == 2
    assert_one_line(ended, part, " --help")


@pytest.mark.usefixtures("service")
def test_an_endpoint_without_tls_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    ended = run(capsys, "status", "1", "--endpoint", "http://127.0.0.1/CollectSSL")
    assert ended.code == 2
    assert_one_line(ended, "endpoint must be an https URL")


@pytest.mark.parametrize("library", ["typer", "rich"])
def test_without_the_extra_one_line_names_it(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, library: str
) -> None:
    for name in [name for name in sys.modules if name.startswith(("collectssl_async.cli.", "rich.", "typer."))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, library, None)
    ended = run(capsys, "status", "1")
    assert ended.code == 2
    assert_one_line(ended, library, "pip install 'collectssl-async[cli]'")


def test_another_missing_module_is_no_missing_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    from collectssl_async.cli import main

    monkeypatch.delitem(sys.modules, "collectssl_async.cli.app")
    monkeypatch.setitem(sys.modules, "collectssl_async.client", None)
    with pytest.raises(ModuleNotFoundError, match=r"collectssl_async\.client"):
        main(["status", "1"])


# --- 3: not ready yet -------------------------------------------------------------------------------------------------


def test_an_order_that_is_not_issued_yet_is_not_ready(service: Service, tmp_path: Path) -> None:
    order = service.sandbox.place_order("a.example.com", issue_after=None)
    ended = service.run("collect", order.order_number, "-o", tmp_path / "tls")
    assert ended.code == 3
    assert_one_line(ended, "has no certificate yet", "--wait")
    assert not (tmp_path / "tls").exists()


def test_a_wait_whose_time_is_up_is_not_ready(service: Service, tmp_path: Path) -> None:
    order = service.sandbox.place_order("a.example.com", issue_after=None)
    ended = service.run("collect", order.order_number, "-o", tmp_path / "tls", "--wait", "--timeout", "0.01")
    assert ended.code == 3
    assert "has no certificate after 0.01 s: wait again" in ended.err.splitlines()[-1]
    assert not (tmp_path / "tls").exists()


# --- 4: refused by the API --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", REFUSALS)
def test_a_refusal_of_the_api_is_told_with_its_code(service: Service, code: int) -> None:
    service.sandbox.fail_next(code)
    ended = service.run("status", "1")
    assert ended.code == 4
    assert_one_line(ended, f"{code}: ")


def test_an_error_as_json_goes_to_stderr(service: Service) -> None:
    ended = service.run("status", "12345", "--json")
    assert ended.out == ""
    document = json.loads(ended.err)
    assert document.pop("message").startswith("-4: ")
    assert document == {"error": "InvalidArgumentError", "exit_code": 4, "code": -4}


def test_a_wrong_command_line_as_json_goes_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    ended = run(capsys, "status", "--json")
    assert (ended.out, json.loads(ended.err)["exit_code"]) == ("", 2)


# --- 5: credentials ---------------------------------------------------------------------------------------------------


def unset(name: str) -> Callable[[pytest.MonkeyPatch, Path], None]:
    return lambda environment, directory: environment.delenv(f"COLLECTSSL_{name}")


def point_to(make: Callable[[Path], object], *, both: bool = False) -> Callable[[pytest.MonkeyPatch, Path], None]:
    def change(environment: pytest.MonkeyPatch, directory: Path) -> None:
        make(directory / "password")
        environment.setenv("COLLECTSSL_LOGIN_PASSWORD_FILE", str(directory / "password"))
        if not both:
            environment.delenv("COLLECTSSL_LOGIN_PASSWORD")

    return change


@pytest.mark.parametrize(
    ("change", "part"),
    [
        (unset("LOGIN_NAME"), "no login name: set COLLECTSSL_LOGIN_NAME, or give --login-name"),
        (unset("LOGIN_PASSWORD"), "no password: set COLLECTSSL_LOGIN_PASSWORD, or COLLECTSSL_LOGIN_PASSWORD_FILE"),
        (point_to(lambda file: None), "COLLECTSSL_LOGIN_PASSWORD_FILE cannot be read"),
        (point_to(lambda file: file.write_bytes(b"\xff")), "it is not UTF-8 text"),
        (point_to(lambda file: file.write_text("x" * 129)), "login_password must have 1 to 128 characters"),
        (point_to(lambda file: file.touch(), both=True), "both set: unset one of them"),
    ],
)
def test_credentials_that_cannot_be_used_are_told_before_any_call(
    service: Service,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    change: Callable[[pytest.MonkeyPatch, Path], None],
    part: str,
) -> None:
    change(monkeypatch, tmp_path)
    ended = service.run("status", "1")
    assert ended.code == 5
    assert_one_line(ended, part)
    assert service.sandbox.calls == []


def test_a_wrong_password_is_no_other_refusal(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLLECTSSL_LOGIN_PASSWORD", "Wr0ng-Passw0rd")
    ended = service.run("status", "1")
    assert ended.code == 5
    assert_one_line(ended, "-16: ", "wrong logins lock the account")
    assert "Wr0ng-Passw0rd" not in ended.err


def test_the_password_comes_from_a_file_and_the_name_from_an_option(
    service: Service, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    order = service.sandbox.place_order("a.example.com")
    (tmp_path / "password").write_text(f"{service.password}\n")
    monkeypatch.delenv("COLLECTSSL_LOGIN_PASSWORD")
    monkeypatch.setenv("COLLECTSSL_LOGIN_PASSWORD_FILE", str(tmp_path / "password"))
    monkeypatch.setenv("COLLECTSSL_LOGIN_NAME", "somebody-else")
    name = service.sandbox.credentials.login_name
    assert service.run("status", order.order_number, "--login-name", name).code == 0


# --- 6: network -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("fault", "part"), [(503, "HTTP 503"), (302, "302"), ("html", "--endpoint")])
def test_an_answer_that_is_not_the_apis_counts_as_the_networks(service: Service, fault: int | str, part: str) -> None:
    service.sandbox.fail_next(fault)  # type: ignore[arg-type]  # one of the literals
    ended = service.run("status", "1")
    assert ended.code == 6
    assert_one_line(ended, part)


@pytest.mark.parametrize(("fault", "part"), [("timeout", "no whole reply within 0.5 s"), ("disconnect", "--endpoint")])
def test_no_answer_is_the_networks_fault(service: Service, fault: str, part: str) -> None:
    # A server of its own: an abandoned call keeps its endpoint closed for a while.
    with service.sandbox.serve() as server:
        service.sandbox.fail_next(fault)  # type: ignore[arg-type]  # one of the literals
        ended = run(
            service.capsys,
            *("status", "1", "--timeout", "0.5", "--endpoint", server.endpoint, "--ca-file", server.ca_file),
        )
    assert ended.code == 6
    assert_one_line(ended, part)


@pytest.mark.usefixtures("service")
def test_a_server_whose_ca_is_not_trusted_is_not_called(service: Service, capsys: pytest.CaptureFixture[str]) -> None:
    ended = run(capsys, "status", "1")
    assert ended.code == 6
    assert_one_line(ended, "CERTIFICATE_VERIFY_FAILED", "--ca-file")
    assert service.sandbox.calls == []


# --- what else may happen ---------------------------------------------------------------------------------------------


def test_files_are_left_as_they_are_when_the_wait_fails(service: Service, tmp_path: Path) -> None:
    first, second = service.sandbox.place_order("a.example.com"), service.sandbox.place_order("b.example.com")
    service.run("collect", first.order_number, "-o", tmp_path, "--private-key", key_file(first, tmp_path))
    before = {file.name: (file.read_bytes(), stat.S_IMODE(file.stat().st_mode)) for file in tmp_path.iterdir()}
    ended = service.run("collect", second.order_number, "-o", tmp_path, "--wait")
    assert ended.code == 1
    assert {file.name: (file.read_bytes(), stat.S_IMODE(file.stat().st_mode)) for file in tmp_path.iterdir()} == before


def test_what_the_system_refuses_elsewhere_is_told_with_its_path(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(directory: Path) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(directory))

    monkeypatch.setattr(demo, "check_output", refuse)
    ended = run(capsys, "demo", "--output", "/locked")
    assert ended.code == 1
    assert_one_line(ended, "Permission denied: '/locked'")
