"""What writers leave to the next: hidden files of the killed, changes that nobody was told of; and their lock."""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from collectssl_async.certificates import CertificateBundle
from collectssl_async.errors import CertificateError

from . import pki

if TYPE_CHECKING:
    from collections.abc import Iterator

PKI = pki.hierarchy("shop.example.com")
BUNDLE = CertificateBundle.from_payload(pki.payload(*PKI))
KEY = PKI.leaf.key
NEXT = PKI.issuing.leaf("shop.example.com")
RENEWED = CertificateBundle.from_payload(pki.payload(NEXT, PKI.issuing, PKI.new_root))

RANDOM = "0123456789abcdef" * 2
VERSION = "20250101T000000Z-0123456789abcdef"
LAYOUTS: tuple[dict[str, Any], ...] = ({"layout": "flat"}, {"layout": "versioned"})


@pytest.fixture(params=LAYOUTS, ids=["flat", "versioned"])
def layout(request: pytest.FixtureRequest) -> Any:
    return request.param


def hidden(directory: Path) -> list[str]:
    return sorted(each.name for each in directory.iterdir() if each.name.startswith("."))


# --- what the killed leave --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bundle", [BUNDLE, RENEWED], ids=["the same", "another"])
def test_temporary_files_of_a_killed_writer_are_removed(tmp_path: Path, bundle: CertificateBundle) -> None:
    BUNDLE.write(tmp_path)
    for name in ("cert.pem", "chain.pem", "fullchain.pem", "privkey.pem", "combined.pem"):
        (tmp_path / f".{name}.{RANDOM}.tmp").write_text("half")
    bundle.write(tmp_path)
    assert hidden(tmp_path) == []


@pytest.mark.parametrize("bundle", [BUNDLE, RENEWED], ids=["the same", "another"])
def test_temporary_folders_and_links_of_a_killed_writer_are_removed(tmp_path: Path, bundle: CertificateBundle) -> None:
    BUNDLE.write(tmp_path, layout="versioned")
    (tmp_path / f".{VERSION}.{RANDOM}.tmp").mkdir()
    (tmp_path / f".{VERSION}.{RANDOM}.tmp" / "privkey.pem").write_text("half")
    (tmp_path / f".current.{RANDOM}.tmp").symlink_to(VERSION)
    bundle.write(tmp_path, layout="versioned")
    assert hidden(tmp_path) == []


FOREIGN = (
    f".other.pem.{RANDOM}.tmp",
    f".cert.pem.{RANDOM[1:]}.tmp",
    f".cert.pem.{RANDOM.upper()}.tmp",
    f"cert.pem.{RANDOM}.tmp",
    f".cert.pem.{RANDOM}",
    f".{VERSION}.{RANDOM}.tmp",
    ".cert.pem.swp",
)


@pytest.mark.parametrize("name", FOREIGN)
def test_files_of_others_stay(tmp_path: Path, layout: dict[str, Any], name: str) -> None:
    (tmp_path / name).write_text("not ours")
    BUNDLE.write(tmp_path, **layout)
    assert (tmp_path / name).read_text() == "not ours"


def test_folders_of_others_stay(tmp_path: Path, layout: dict[str, Any]) -> None:
    for name in (f".cert.pem.{RANDOM}.tmp", f".current.{RANDOM}.tmp", f".changed.{RANDOM}", ".git"):
        (tmp_path / name).mkdir()
    before = hidden(tmp_path)
    BUNDLE.write(tmp_path, **layout)
    assert hidden(tmp_path) == before


def test_what_cannot_be_removed_is_warned_of_and_does_not_stop_the_write(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    left = tmp_path / f".{VERSION}.{RANDOM}.tmp"
    (left / "folder").mkdir(parents=True)
    with caplog.at_level(logging.WARNING, "collectssl_async"):
        assert BUNDLE.write(tmp_path, layout="versioned").changed
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert f"{left.name}/folder" in record.getMessage()
    assert left.is_dir()


def test_what_is_there_is_left_alone_where_a_check_fails(tmp_path: Path) -> None:
    (tmp_path / f".cert.pem.{RANDOM}.tmp").write_text("half")
    (tmp_path / "cert.pem").symlink_to("elsewhere")
    with pytest.raises(CertificateError):
        BUNDLE.write(tmp_path)
    assert hidden(tmp_path) == [f".cert.pem.{RANDOM}.tmp"]


# --- changes that nobody was told of ----------------------------------------------------------------------------------


def test_change_of_a_writer_that_was_cut_off_at_its_end_is_told_by_the_next(
    tmp_path: Path, layout: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    BUNDLE.write(tmp_path, **layout)
    real = os.replace

    def replace(source: Path, target: Path) -> None:
        real(source, target)
        if Path(target).name in ("fullchain.pem", "current"):
            raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", replace)
    with pytest.raises(KeyboardInterrupt):
        RENEWED.write(tmp_path, **layout)
    monkeypatch.undo()
    written = RENEWED.write(tmp_path, **layout)
    assert written.fullchain.read_text() == RENEWED.fullchain_pem
    assert written.changed
    assert hidden(tmp_path) == []
    assert not RENEWED.write(tmp_path, **layout).changed


def test_change_that_failed_before_its_end_leaves_nothing(
    tmp_path: Path, layout: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    BUNDLE.write(tmp_path, **layout)
    before = sorted(tmp_path.rglob("*"))

    def replace(*_: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "replace", replace)
    with pytest.raises(CertificateError, match="cannot be written: Input/output error"):
        RENEWED.write(tmp_path, **layout)
    monkeypatch.undo()
    assert sorted(tmp_path.rglob("*")) == before
    assert not BUNDLE.write(tmp_path, **layout).changed


# --- one writer at a time ---------------------------------------------------------------------------------------------


@contextmanager
def locked(directory: Path) -> Iterator[int]:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield descriptor
    finally:
        os.close(descriptor)


def test_second_writer_waits_for_the_first(
    tmp_path: Path, layout: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    with locked(tmp_path) as descriptor:

        def sleep(_: float) -> None:
            assert list(tmp_path.iterdir()) == []
            fcntl.flock(descriptor, fcntl.LOCK_UN)

        monkeypatch.setattr(time, "sleep", sleep)
        assert BUNDLE.write(tmp_path, **layout).changed


def test_writer_does_not_wait_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(0, 1000, 10))
    monkeypatch.setattr(time, "monotonic", lambda: next(clock))
    monkeypatch.setattr(time, "sleep", lambda _: None)
    with locked(tmp_path), pytest.raises(CertificateError) as caught:
        BUNDLE.write(tmp_path)
    assert str(caught.value).startswith(f"'{tmp_path}' is locked by another process for more than 30 seconds: ")
    assert list(tmp_path.iterdir()) == []


def test_lock_is_gone_after_a_write_though_a_process_was_forked_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inherited: list[int] = []
    real = fcntl.flock

    def flock(descriptor: int, operation: int) -> None:
        if not inherited:
            inherited.append(os.dup(descriptor))
        real(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", flock)
    BUNDLE.write(tmp_path)
    with locked(tmp_path):
        os.close(inherited[0])


@pytest.mark.parametrize("number", [errno.EBADF, errno.ENOLCK, errno.EOPNOTSUPP])
def test_folder_that_cannot_be_locked_is_written_to_and_left_as_it_is_otherwise(
    tmp_path: Path, layout: dict[str, Any], monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def flock(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", flock)
    for name in (f".cert.pem.{RANDOM}.tmp", f".current.{RANDOM}.tmp"):
        (tmp_path / name).write_text("perhaps another writer's")
    before = hidden(tmp_path)
    assert BUNDLE.write(tmp_path, **layout).changed
    assert hidden(tmp_path) == before


def test_lock_that_fails_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def flock(*_: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(fcntl, "flock", flock)
    with pytest.raises(CertificateError, match="cannot be used as a directory: Input/output error"):
        BUNDLE.write(tmp_path / "new")
    assert list(tmp_path.iterdir()) == []


def test_writers_at_once_leave_the_files_of_one(tmp_path: Path, layout: dict[str, Any]) -> None:
    both = ((BUNDLE, KEY), (RENEWED, NEXT.key)) * 4
    start = threading.Barrier(len(both))

    def write(bundle: CertificateBundle, key: pki.PrivateKey) -> Path:
        start.wait(10)
        return bundle.write(tmp_path, private_key=key, **layout).certificate.parent

    with ThreadPoolExecutor(len(both)) as threads:
        (shown,) = set(threads.map(write, *zip(*both, strict=True)))
    (bundle,) = (each for each in (BUNDLE, RENEWED) if (shown / "cert.pem").read_text() == each.certificate_pem)
    assert bundle.matches((shown / "privkey.pem").read_bytes())
    assert (shown / "fullchain.pem").read_text() == bundle.fullchain_pem
    assert hidden(tmp_path) == []
