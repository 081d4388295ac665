"""How many folders of the versioned layout stay, and which."""

from __future__ import annotations

import errno
import logging
import os
from typing import TYPE_CHECKING, Any

import pytest

from collectssl_async import _leftovers, _versions
from collectssl_async.certificates import CertificateBundle, WrittenFiles

from . import pki

if TYPE_CHECKING:
    from pathlib import Path

ISSUING = pki.root()


def write(bundle: CertificateBundle, directory: Path, **arguments: Any) -> WrittenFiles:
    return bundle.write(directory, layout="versioned", **arguments)


def versions(directory: Path) -> list[str]:
    return sorted(each.name for each in directory.iterdir() if each.name != "current")


def issues(number: int) -> list[CertificateBundle]:
    return [CertificateBundle.from_payload(pki.payload(ISSUING.leaf("a.example.com"))) for _ in range(number)]


@pytest.mark.parametrize("keep", [1, 2, 3, 5])
def test_the_latest_stay(tmp_path: Path, keep: int) -> None:
    bundles = issues(6)
    for bundle in bundles:
        write(bundle, tmp_path, keep=keep)
    held = [(tmp_path / each / "cert.pem").read_text() for each in versions(tmp_path)]
    assert held == [each.certificate_pem for each in bundles[-keep:]]


def test_three_stay_unless_told_otherwise(tmp_path: Path) -> None:
    for bundle in issues(5):
        write(bundle, tmp_path)
    assert len(versions(tmp_path)) == 3


def test_lower_number_counts_at_once(tmp_path: Path) -> None:
    *_, last = bundles = issues(3)
    for bundle in bundles:
        write(bundle, tmp_path)
    assert not write(last, tmp_path, keep=1).changed
    assert versions(tmp_path) == [(tmp_path / "current").readlink().name]


def test_folder_in_use_stays_though_it_is_the_oldest(tmp_path: Path) -> None:
    first, second, third = issues(3)
    for bundle in (first, second, third, first):
        write(bundle, tmp_path, keep=3)
    write(first, tmp_path, keep=2)
    held = [(tmp_path / each / "cert.pem").read_text() for each in versions(tmp_path)]
    assert held == [first.certificate_pem, third.certificate_pem]


def test_folders_of_others_are_neither_removed_nor_counted(tmp_path: Path) -> None:
    first, second, third = issues(3)
    write(first, tmp_path, keep=1)
    (used,) = versions(tmp_path)
    (tmp_path / used / "notes.txt").write_text("not ours")
    for name in ("archive", "20250101", "20251301T000000Z-" + "0" * 16, "20250101T000000Z-" + "G" * 16):
        (tmp_path / name).mkdir()
    (tmp_path / f"20250102T000000Z-{'0' * 16}").write_text("a file")
    (tmp_path / f"20250103T000000Z-{'0' * 16}").symlink_to("archive")
    before = versions(tmp_path)
    write(second, tmp_path, keep=2)
    write(third, tmp_path, keep=2)
    assert set(before) <= set(versions(tmp_path))
    assert len(versions(tmp_path)) == len(before) + 2


def test_old_folder_that_cannot_be_removed_hides_neither_the_change_nor_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    *old, last = issues(4)
    for bundle in old:
        write(bundle, tmp_path)
    stays = versions(tmp_path)[-1]

    def remove_folder(folder: Path) -> None:
        if stays in folder.name:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(folder))
        _leftovers.remove_folder(folder)

    monkeypatch.setattr(_versions, "remove_folder", remove_folder)
    with caplog.at_level(logging.WARNING, "collectssl_async"):
        assert write(last, tmp_path, keep=1).changed
    (record,) = caplog.records
    assert record.getMessage().startswith(f"an old folder of {tmp_path} cannot be removed: [Errno 13]")
    assert [stays in each for each in versions(tmp_path)] == [True, False]
