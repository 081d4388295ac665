"""Versioned writes that are refused or fail, and both layouts in one directory: nothing is touched then."""

from __future__ import annotations

import errno
import os
import shutil
from typing import TYPE_CHECKING, Any

import pytest

from collectssl_async.certificates import CertificateBundle, WrittenFiles
from collectssl_async.errors import CertificateError, ConfigurationError

from . import pki
from .disk import state

if TYPE_CHECKING:
    from pathlib import Path

PKI = pki.hierarchy("shop.example.com")
BUNDLE = CertificateBundle.from_payload(pki.payload(*PKI))
KEY = PKI.leaf.key
NEXT = PKI.issuing.leaf("shop.example.com")
RENEWED = CertificateBundle.from_payload(pki.payload(NEXT, PKI.issuing, PKI.new_root))
ALL_FILES = ["cert.pem", "chain.pem", "fullchain.pem", "privkey.pem"]


@pytest.fixture
def deployed(tmp_path: Path) -> Path:
    """A directory with one issue and its key."""
    write(BUNDLE, tmp_path, private_key=KEY)
    return tmp_path


def write(bundle: CertificateBundle, directory: Path, **arguments: Any) -> WrittenFiles:
    return bundle.write(directory, layout="versioned", **arguments)


# --- what is refused --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"layout": "nested"}, "layout must be one of 'flat', 'versioned', not 'nested'"),
        ({"layout": None}, "layout must be one of 'flat', 'versioned', not None"),
        ({"layout": ["flat"]}, "layout must be one of 'flat', 'versioned', not ['flat']"),
        ({"keep": 0}, "keep must be a number of folders, 1 or more, not 0"),
        ({"keep": -1, "layout": "versioned"}, "keep must be a number of folders, 1 or more, not -1"),
        ({"keep": True}, "keep must be a number of folders, 1 or more, not True"),
        ({"keep": 2.0}, "keep must be a number of folders, 1 or more, not 2.0"),
        ({"keep": None}, "keep must be a number of folders, 1 or more, not None"),
    ],
)
def test_wrong_choice_is_told_before_anything_is_touched(tmp_path: Path, arguments: Any, said: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        BUNDLE.write(tmp_path / "new", **arguments)
    assert str(caught.value) == said
    assert state(tmp_path) == {}


def test_folder_in_the_place_of_the_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "current").mkdir()
    with pytest.raises(CertificateError, match=r"/current' is not a symbolic link, and no write made it: move it away"):
        write(BUNDLE, tmp_path)
    assert list(state(tmp_path)) == ["current"]


@pytest.mark.parametrize("target", ["release-5", "..", "current", "/", "nowhere", f"other/20250101T000000Z-{'0' * 16}"])
def test_link_that_no_write_made_is_refused(tmp_path: Path, target: str) -> None:
    (tmp_path / "release-5").mkdir()
    (tmp_path / "current").symlink_to(target)
    before = state(tmp_path)
    with pytest.raises(CertificateError, match=f"/current' is a symbolic link to '{target}', and no write made it"):
        write(BUNDLE, tmp_path)
    assert state(tmp_path) == before


@pytest.mark.parametrize("name", ALL_FILES)
def test_link_in_the_place_of_a_file_is_refused(deployed: Path, name: str) -> None:
    (deployed / "current" / name).rename(deployed / "elsewhere")
    (deployed / "current" / name).symlink_to("../elsewhere")
    before = state(deployed)
    with pytest.raises(CertificateError, match=f"/current/{name}' is a symbolic link, not a file"):
        write(RENEWED, deployed, private_key=NEXT.key)
    assert state(deployed) == before


def test_directory_of_flat_files_is_refused(tmp_path: Path) -> None:
    BUNDLE.write(tmp_path, private_key=KEY)
    before = state(tmp_path)
    with pytest.raises(CertificateError) as caught:
        write(BUNDLE, tmp_path, private_key=KEY)
    assert str(caught.value) == (
        f"'{tmp_path}/cert.pem' is of the flat layout, and servers that name it would not see what the versioned one "
        "writes: choose another directory or layout='flat', or move it away"
    )
    assert state(tmp_path) == before


def test_flat_files_are_refused_in_a_versioned_directory(deployed: Path) -> None:
    before = state(deployed)
    with pytest.raises(CertificateError, match=r"/current' is of the versioned layout.*or layout='versioned'"):
        BUNDLE.write(deployed, private_key=KEY)
    assert state(deployed) == before


def test_key_in_the_directory_is_the_users_own(tmp_path: Path) -> None:
    (tmp_path / "privkey.pem").write_bytes(NEXT.key_pem)
    assert write(BUNDLE, tmp_path, private_key=KEY).changed
    assert (tmp_path / "privkey.pem").read_bytes() == NEXT.key_pem


def test_what_others_call_current_is_no_matter_to_the_flat_layout(tmp_path: Path) -> None:
    (tmp_path / "current").symlink_to("release-5")
    assert BUNDLE.write(tmp_path).changed


# --- the system refuses -----------------------------------------------------------------------------------------------

FAILURES = [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()]
STEPS = ["mkdir", "open", "fchmod", "chmod", "fsync", "rename", "symlink", "replace"]


@pytest.mark.parametrize("failure", FAILURES, ids=repr)
@pytest.mark.parametrize("step", STEPS)
def test_failure_before_the_swap_touches_nothing(
    deployed: Path, monkeypatch: pytest.MonkeyPatch, step: str, failure: BaseException
) -> None:
    before = state(deployed)
    real, calls = getattr(os, step), 0
    last = count_calls(step, deployed)

    def failing(*arguments: object, **named: object) -> object:
        nonlocal calls
        calls += 1
        if calls == last:
            raise failure
        return real(*arguments, **named)

    monkeypatch.setattr(os, step, failing)
    with pytest.raises((CertificateError, KeyboardInterrupt)):
        write(RENEWED, deployed, private_key=NEXT.key)
    monkeypatch.undo()
    assert calls == last
    assert state(deployed) == before


def count_calls(step: str, directory: Path) -> int:
    """Return how often a write calls a function of the system before `current` is swapped."""
    copy = directory.parent / f"{directory.name}-copy"
    shutil.copytree(directory, copy, symlinks=True)
    calls, swapped = 0, False
    with pytest.MonkeyPatch.context() as patch:
        real, real_replace = getattr(os, step), os.replace

        def counted(*arguments: object, **named: object) -> object:
            nonlocal calls
            calls += not swapped
            return real(*arguments, **named)

        def replace(*arguments: Any) -> None:
            nonlocal swapped, calls
            calls += step == "replace"
            swapped = True
            real_replace(*arguments)

        patch.setattr(os, step, counted)
        patch.setattr(os, "replace", replace)
        write(RENEWED, copy, private_key=NEXT.key)
    return calls
