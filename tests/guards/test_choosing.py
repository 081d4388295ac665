"""The guard that a deployment names in a variable."""

from __future__ import annotations

import traceback
from typing import TYPE_CHECKING

import pytest

from collectssl_async import CollectSSLClient, ConfigurationError, ProcessGuard
from collectssl_async.guards import FileGuard, PostgresGuard, RedisGuard, guard_from_url

if TYPE_CHECKING:
    from pathlib import Path

PASSWORD = "s3cret-of-the-store"


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("process", ProcessGuard),
        ("file", FileGuard),
        (" File\n", FileGuard),
        ("file:/srv/app/guard", FileGuard),
        ("file:///srv/app/guard", FileGuard),
        (f"redis://:{PASSWORD}@redis.example:6379/0", RedisGuard),
        (f"rediss://user:{PASSWORD}@redis.example", RedisGuard),
        (f"postgresql://user:{PASSWORD}@db.example/app", PostgresGuard),
        (f"postgres://user:{PASSWORD}@db.example/app", PostgresGuard),
    ],
)
def test_each_kind_has_its_word(text: str, kind: type) -> None:
    guard = guard_from_url(text)
    assert type(guard) is kind
    assert PASSWORD not in repr(guard)


def test_a_path_is_taken_as_it_stands(tmp_path: Path) -> None:
    assert repr(guard_from_url(f"file:{tmp_path}/a%20b")) == repr(FileGuard(tmp_path / "a%20b"))
    assert repr(guard_from_url(f"file://{tmp_path}/guard")) == repr(FileGuard(tmp_path / "guard"))


@pytest.mark.parametrize("text", ["file:", "file:guard", "file://host/guard", "file:~/guard"])
def test_a_path_that_depends_on_where_one_stands_is_refused(text: str) -> None:
    with pytest.raises(ConfigurationError, match="COLLECTSSL_GUARD must have an absolute path"):
        guard_from_url(text)


@pytest.mark.parametrize(
    "text",
    ["", PASSWORD, f"mysql://user:{PASSWORD}@db.example/app", f"redis {PASSWORD}", "process:", "filed", "redis"],
)
def test_what_names_no_guard_is_refused_with_what_is_allowed(text: str) -> None:
    with pytest.raises(ConfigurationError, match=r"COLLECTSSL_GUARD .* process, file, file:/path/prefix, redis://"):
        guard_from_url(text)


@pytest.mark.parametrize(
    "text",
    [
        PASSWORD,
        f"mysql://user:{PASSWORD}@db.example/app",
        f"redis:{PASSWORD}",
        f"redis://:{PASSWORD}@redis.example:port/0",
    ],
)
def test_no_password_is_told_by_a_refusal_nor_by_its_frames(text: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        guard_from_url(text)
    frames = [frame for frame, _ in traceback.walk_tb(refused.tb) if "/collectssl_async/" in frame.f_code.co_filename]
    assert frames
    assert PASSWORD not in str(refused.value)
    told = [each for frame in frames for each in frame.f_locals.values() if isinstance(each, str)]
    assert not any(PASSWORD in each for each in told)


@pytest.fixture(autouse=True)
def account(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLLECTSSL_LOGIN_NAME", "partner")
    monkeypatch.setenv("COLLECTSSL_LOGIN_PASSWORD", "secret")


def test_a_client_from_the_environment_takes_the_guard_that_is_named_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLLECTSSL_GUARD", "file:/srv/app/guard")
    assert isinstance(CollectSSLClient.from_env()._guard, FileGuard)


@pytest.mark.parametrize("said", [None, ""])
def test_a_client_from_an_environment_that_names_none_keeps_to_its_process(
    monkeypatch: pytest.MonkeyPatch, said: str | None
) -> None:
    if said is not None:
        monkeypatch.setenv("COLLECTSSL_GUARD", said)
    assert isinstance(CollectSSLClient.from_env()._guard, ProcessGuard)


def test_an_argument_wins_over_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLLECTSSL_GUARD", "nonsense")
    guard = ProcessGuard()
    assert CollectSSLClient.from_env(guard=guard)._guard is guard


def test_a_wrong_guard_in_the_environment_is_named_before_any_call(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLLECTSSL_GUARD", "nonsense")
    with pytest.raises(ConfigurationError, match="COLLECTSSL_GUARD"):
        CollectSSLClient.from_env()
