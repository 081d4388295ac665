"""What a lock file may not be, what the system may refuse, where the files stand: told at once, with the way out."""

from __future__ import annotations

import errno
import os
import resource as limits
import stat
import sys
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from collectssl_async import ConfigurationError, GuardError
from collectssl_async.guards import FileGuard, _lock_place

from .files import Files, turn

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    """One library: nothing here waits."""
    return "asyncio"


# --- what the system refuses ------------------------------------------------------------------------------------------


def spoil(files: Files, how: str) -> None:
    """Put something into the lock file's place."""
    if how == "missing folder":
        files.lock.parent.rmdir()
    elif how == "folder is a file":
        files.lock.parent.rmdir()
        files.lock.parent.touch()
    elif how == "folder":
        files.lock.mkdir()
    elif how == "link":
        files.lock.symlink_to(files.lock.with_name("elsewhere"))
    elif how == "pipe":
        os.mkfifo(files.lock)
    elif how == "second name":
        files.lock.with_name("precious").write_text("precious")
        files.lock.hardlink_to(files.lock.with_name("precious"))


@pytest.mark.parametrize(
    ("how", "kind", "words"),
    [
        ("missing folder", GuardError, "its folder is missing: make it"),
        ("folder is a file", ConfigurationError, "its folder is a file"),
        ("folder", ConfigurationError, "a folder stands in its place"),
        ("link", ConfigurationError, "symbolic link"),
        ("pipe", ConfigurationError, "no plain file"),
        ("second name", ConfigurationError, "second name"),
    ],
)
async def test_what_can_be_no_lock_file_is_refused_at_once(
    files: Files, how: str, kind: type[Exception], words: str
) -> None:
    spoil(files, how)
    with anyio.fail_after(2), pytest.raises(kind, match=words) as refused:
        await turn(FileGuard(files.prefix), files.url)
    assert str(files.lock.with_suffix("")) in str(refused.value)
    assert how != "second name" or files.lock.read_text() == "precious"


async def test_another_users_file_is_refused(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    await turn(files.guard(), files.url)
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    with pytest.raises(ConfigurationError, match=f"belongs to user {os.getuid()}"):
        await turn(files.guard(), files.url)


@pytest.mark.parametrize(
    ("number", "kind", "words"),
    [
        (errno.EACCES, ConfigurationError, "let this user write there"),
        (errno.EPERM, ConfigurationError, "let this user write there"),
        (errno.EROFS, GuardError, "make the disk writable"),
        (errno.ENOSPC, GuardError, "make room on the disk"),
        (errno.EDQUOT, GuardError, "make room in the quota"),
        (errno.EMFILE, GuardError, "ulimit -n"),
        (errno.EIO, GuardError, "look after the disk"),
    ],
)
async def test_what_the_system_refuses_is_told_at_once_with_the_way_out(
    files: Files, monkeypatch: pytest.MonkeyPatch, number: int, kind: type[Exception], words: str
) -> None:
    opening = os.open

    def refuse(path: Any, *args: Any, **settings: Any) -> int:
        if str(path).startswith(files.prefix):
            raise OSError(number, os.strerror(number), path)
        return opening(path, *args, **settings)

    monkeypatch.setattr(os, "open", refuse)
    with anyio.fail_after(2), pytest.raises(kind, match=rf"{os.strerror(number)}.*{words}"):
        await turn(FileGuard(files.prefix), files.url)


async def test_a_file_system_without_locks_is_refused(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(descriptor: int, *, blocking: bool) -> bool:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr("filelock.lock_descriptor", refuse)
    with pytest.raises(ConfigurationError, match="on a local disk"):
        await turn(FileGuard(files.prefix), files.url)


@pytest.mark.parametrize("step", ["pread", "utime"])
async def test_a_disk_that_fails_at_a_later_step_is_told_too(
    files: Files, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    def refuse(*_: Any) -> bytes:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    files.held(files.next if step == "utime" else files.next.with_suffix(".other"))
    monkeypatch.setattr(os, step, refuse)
    with anyio.fail_after(2), pytest.raises(GuardError, match="look after the disk"):
        await turn(FileGuard(files.prefix), files.url)


@pytest.fixture
def full_disk() -> Iterator[None]:
    """No file of this process may grow, as on a disk without room; Python ignores the signal that this brings."""
    soft, hard = limits.getrlimit(limits.RLIMIT_FSIZE)
    limits.setrlimit(limits.RLIMIT_FSIZE, (0, hard))
    yield
    limits.setrlimit(limits.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.usefixtures("full_disk")
async def test_without_room_to_write_the_call_down_it_is_not_made(files: Files) -> None:
    with pytest.raises(GuardError, match="ulimit -f"):
        await turn(FileGuard(files.prefix), files.url)
    assert files.lock.stat().st_size == 0


async def test_a_call_that_could_not_be_written_down_as_finished_is_logged_and_costs_a_grace(
    files: Files, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> int:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    async with files.guard(abandon_grace=0.1).hold(files.url) as hold:
        hold.finished()
        monkeypatch.setattr(os, "pwrite", refuse)
    monkeypatch.undo()
    assert "look after the disk" in caplog.text
    assert await turn(files.guard(), files.url) >= 0.1


async def test_half_a_record_counts_as_no_room(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    writing = os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda descriptor, data, offset: writing(descriptor, data[:7], offset))
    with pytest.raises(GuardError, match="make room on the disk"):
        await turn(FileGuard(files.prefix), files.url)


@pytest.mark.parametrize("path", ["", "with\0zero", b"bytes", 5])
async def test_a_path_that_is_none_is_refused(path: Any) -> None:
    with pytest.raises(ConfigurationError, match="path must be text"):
        FileGuard(path)


async def test_without_filelock_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "filelock", None)
    with pytest.raises(ConfigurationError, match=r"pip install 'collectssl-async\[file\]'"):
        FileGuard()


# --- where the files are ----------------------------------------------------------------------------------------------


async def test_a_path_stays_what_it_was_when_the_process_goes_elsewhere(
    files: Files, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    guard = FileGuard("guard")
    monkeypatch.chdir("/")
    await turn(guard, files.url)
    assert files.lock.exists()


async def test_a_path_that_ends_in_a_slash_is_a_folder(tmp_path: Path, url: str) -> None:
    await turn(FileGuard(f"{tmp_path}/"), url)
    assert [each for each in os.listdir(tmp_path) if each.endswith(".lock") and each[0].isdigit()]  # noqa: PTH208


async def test_it_says_how_it_is_set(tmp_path: Path) -> None:
    guard = FileGuard(tmp_path / "guard", acquire_timeout=2.5)
    assert repr(guard) == f"FileGuard('{tmp_path}/guard', abandon_grace=10, acquire_timeout=2.5)"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The home directory that the user database tells."""
    monkeypatch.setattr(_lock_place, "_home", lambda _: str(tmp_path))
    return tmp_path


async def test_by_default_the_files_stand_in_a_folder_of_this_user_alone(home: Path, url: str) -> None:
    await turn(FileGuard(), url)
    folder = home / ".local/state/collectssl-async"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert list(folder.glob("*.lock"))


@pytest.mark.parametrize("how", ["open to others", "a link", "another user's"])
async def test_a_default_folder_that_others_could_write_to_is_refused(
    home: Path, url: str, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = home / ".local/state/collectssl-async"
    folder.parent.mkdir(parents=True)
    folder.mkdir(0o700)
    if how == "open to others":
        folder.chmod(0o770)
    elif how == "a link":
        folder.rename(home / "elsewhere")
        folder.symlink_to(home / "elsewhere")
    else:
        monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    with pytest.raises(ConfigurationError, match="nobody else can enter"):
        await turn(FileGuard(), url)


@pytest.mark.parametrize("where", ["/proc/nowhere", None])
async def test_a_user_without_a_home_has_a_folder_of_its_own_for_temporary_files(
    url: str, monkeypatch: pytest.MonkeyPatch, where: str | None
) -> None:
    made = list[str]()
    monkeypatch.setattr(_lock_place, "_home", lambda _: where)
    monkeypatch.setattr(_lock_place, "_make", made.append)
    monkeypatch.setattr(_lock_place, "_checked", lambda folder, _: folder)
    assert FileGuard()._place.name_of(url).startswith(f"/tmp/collectssl-async-{os.geteuid()}/")
    assert made[-1] == f"/tmp/collectssl-async-{os.geteuid()}"


async def test_no_folder_at_all_is_told(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(folder: str) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), folder)

    monkeypatch.setattr(_lock_place, "_home", lambda _: "/proc/nowhere")
    monkeypatch.setattr(_lock_place, "_make", refuse)
    with pytest.raises(ConfigurationError, match="let this user write there"):
        await turn(FileGuard(), url)


async def test_home_is_what_the_user_database_tells_whatever_the_environment_says(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import pwd

    monkeypatch.setenv("HOME", "/elsewhere")
    _lock_place._home.cache_clear()
    assert _lock_place._home(os.getuid()) == pwd.getpwuid(os.getuid()).pw_dir
    assert _lock_place._home(2**31 - 7) is None
