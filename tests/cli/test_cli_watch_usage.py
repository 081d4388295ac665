"""What `collectssl watch` refuses before any call, and which guard each command has."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

import collectssl_async.cli.watch
from collectssl_async import ProcessGuard
from collectssl_async.cli.exits import Exit
from collectssl_async.guards import FileGuard

if TYPE_CHECKING:
    from pathlib import Path

    from collectssl_async.cli.calls import Account

    from .harness import Service, Watch


# --- usage ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ((), "name an order, a file with orders, or --store"),
        (("./missing.csv",), "'missing.csv': it cannot be read: No such file or directory"),
        (("123", "--push-host", "::1"), "--push-host, --push-username and --push-allow go with --push-port"),
        (("123", "--push-port", "0"), "--push-port"),
        (("123", "--push-port", "1", "--push-allow", "shop.example.com"), "--push-allow must be IP addresses or"),
        (("123", "--push-port", "1", "--push-username", ""), "--push-username must not be empty"),
        (("123", "--push-port", "9999", "--push-host", "192.0.2.1"), "--push-host is no address of this machine"),
        (("123", "--guard", "nobody"), "it must be process, file, "),
        (("123", "--interval", "0"), "must be a number of seconds above 0"),
        (("123", "--keep", "2"), "--keep is for --layout versioned"),
        (("123", "--combined"), "--combined needs a key for every order: name one for 123 in FILE"),
        (("123", "--deploy-hook", ""), "must be a command"),
    ],
)
def test_a_wrong_command_line_costs_no_call(
    watch: Watch, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], problem: str
) -> None:
    monkeypatch.setenv("COLLECTSSL_PUSH_PASSWORD", "secret")
    ended = watch(*arguments, stored=False)
    assert (ended.code, watch.answers, ended.err.count("\n")) == (2, [], 1)
    assert problem in ended.err


def test_a_push_username_needs_a_password(watch: Watch) -> None:
    ended = watch("123", "--push-port", "1", "--push-username", "shop")
    assert ended.code == 5
    assert "set either COLLECTSSL_PUSH_PASSWORD, or COLLECTSSL_PUSH_PASSWORD_FILE" in ended.err


@pytest.mark.parametrize(
    ("library", "extra", "arguments"),
    [
        ("filelock", "file", ("--guard", "file")),
        ("starlette", "push", ("--push-port", "1")),
        ("uvicorn", "push", ("--push-port", "1")),
    ],
)
def test_a_missing_extra_is_named(
    watch: Watch, monkeypatch: pytest.MonkeyPatch, library: str, extra: str, arguments: tuple[str, ...]
) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    ended = watch("123", *arguments)
    assert (ended.code, watch.answers) == (2, [])
    assert f"pip install 'collectssl-async[{extra}]'" in ended.err


# --- the guard --------------------------------------------------------------------------------------------------------


@pytest.fixture
def accounts(monkeypatch: pytest.MonkeyPatch) -> list[Account]:
    """The accounts that commands were run with; none of them calls."""
    seen: list[Account] = []

    async def look(_: object, account: Account, *others: object, **more: object) -> Exit:
        seen.append(account)
        return Exit.DONE

    for name in ("collectssl_async.cli.app.show_status", "collectssl_async.cli.app.collect_files"):
        monkeypatch.setattr(name, look)
    monkeypatch.setattr(collectssl_async.cli.watch, "watch_orders", look)
    return seen


@pytest.mark.parametrize(
    ("command", "kind"), [("watch", FileGuard), ("status", ProcessGuard), ("collect", ProcessGuard)]
)
def test_each_command_has_a_guard_of_its_own_kind(
    service: Service, tmp_path: Path, accounts: list[Account], command: str, kind: type
) -> None:
    output = ("-o", tmp_path) if command != "status" else ()
    assert service.run(command, "123", *output).code == 0
    assert type(accounts[0].guard) is kind


@pytest.mark.parametrize("told_by", ["option", "variable"])
@pytest.mark.parametrize("command", ["watch", "status", "collect"])
def test_every_command_takes_the_guard_that_is_named(
    service: Service,
    tmp_path: Path,
    accounts: list[Account],
    monkeypatch: pytest.MonkeyPatch,
    command: str,
    told_by: str,
) -> None:
    guard = f"file:{tmp_path}/guard"
    if told_by == "variable":
        monkeypatch.setenv("COLLECTSSL_GUARD", guard)
    output = ("-o", tmp_path) if command != "status" else ()
    assert service.run(command, "123", *output, *(("--guard", guard) if told_by == "option" else ())).code == 0
    assert f"{tmp_path}/guard" in repr(accounts[0].guard)


def test_a_run_keeps_to_the_guard(watch: Watch) -> None:
    order = watch.service.sandbox.place_order("a.example.com").order_number
    assert watch(order, "--guard", f"file:{watch.folder}/guard").code == 0
    assert list(watch.folder.glob("guard-*.lock"))
