"""How guards beyond the process are set up wrongly, and what they say: at once, the way out, and never a password."""

from __future__ import annotations

import sys
import traceback
from typing import TYPE_CHECKING, Any

import pytest
import trio

from collectssl_async import ConfigurationError, GuardError

from .kinds import PATIENCE, SHARED, GuardSpec

if TYPE_CHECKING:
    from pathlib import Path

PASSWORD = "s3cret-of-the-store"
NOBODY_THERE = {
    "redis": f"redis://somebody:{PASSWORD}@127.0.0.1:1/0",
    "postgres": f"postgresql://somebody:{PASSWORD}@127.0.0.1:1/nothing",
}
"""Stores that cannot be reached, with a login."""

LIBRARIES = {"file": "filelock", "redis": "redis", "postgres": "psycopg"}
URL = "https://refused.example/CollectSSL"


@pytest.fixture
def where(kind: str, tmp_path: Path) -> str:
    return NOBODY_THERE.get(kind) or str(tmp_path / "guard")


async def enter(spec: GuardSpec) -> None:
    async with spec.make(acquire_timeout=PATIENCE).hold(URL) as hold:
        hold.finished()


@pytest.mark.parametrize("kind", NOBODY_THERE)
def test_on_trio_a_guard_whose_client_needs_asyncio_refuses_at_once(kind: str, where: str) -> None:
    with pytest.raises(ConfigurationError, match="asyncio"):
        trio.run(enter, GuardSpec(kind, where))


@pytest.mark.parametrize("kind", SHARED)
def test_a_missing_library_is_named_with_the_extra_that_brings_it(
    kind: str, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    library = LIBRARIES[kind]
    for module in [name for name in sys.modules if name.partition(".")[0] == library]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(ConfigurationError, match=rf"{library}.*pip install 'collectssl-async\[{kind}\]'"):
        GuardSpec(kind, where).make()


@pytest.mark.parametrize("kind", NOBODY_THERE)
def test_its_repr_tells_no_password(kind: str, where: str) -> None:
    guard = GuardSpec(kind, where).make()
    assert PASSWORD not in repr(guard)
    assert PASSWORD not in repr(guard.hold(URL))


def test_the_repr_of_a_conninfo_of_words_tells_no_password() -> None:
    guard = GuardSpec("postgres", f"host=127.0.0.1 port=1 user=somebody password={PASSWORD}").make()
    assert PASSWORD not in repr(guard)


@pytest.mark.parametrize("kind", NOBODY_THERE)
@pytest.mark.asyncio
async def test_a_store_that_cannot_be_reached_is_a_guard_error_without_its_password(kind: str, where: str) -> None:
    with pytest.raises(GuardError, match=r"127\.0\.0\.1.*refused") as caught:
        await enter(GuardSpec(kind, where))
    told = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
    ours = [frame for frame in told.stack if "collectssl_async" in frame.filename]
    assert ours
    assert PASSWORD not in f"{caught.value!r}{caught.value.__cause__!r}{caught.value.__context__!r}"
    assert PASSWORD not in "".join(str(frame.locals) for frame in ours)


@pytest.mark.parametrize("kind", NOBODY_THERE)
@pytest.mark.parametrize("where", ["nonsense", "https://host.example/0", "file:///tmp/socket", 5, None])
def test_what_is_no_address_of_a_store_is_refused(kind: str, where: Any) -> None:
    with pytest.raises(ConfigurationError):
        GuardSpec(kind, where).make()


@pytest.mark.parametrize("value", [-1, 0, float("nan"), float("inf"), "10", None, True])
def test_a_lease_of_no_time_is_refused(value: Any) -> None:
    with pytest.raises(ConfigurationError, match="ttl must be"):
        GuardSpec("redis", NOBODY_THERE["redis"]).make(ttl=value)
