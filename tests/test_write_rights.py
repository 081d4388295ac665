"""Writing as a user whom modes and owners hold back, and to a disk without room: refused, and nothing is touched."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest

from collectssl_async.certificates import CertificateBundle
from collectssl_async.errors import CertificateError

from . import pki
from .disk import NOBODY, as_nobody, no_room, public_folder, state

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

PKI = pki.hierarchy("shop.example.com")
BUNDLE = CertificateBundle.from_payload(pki.payload(*PKI))
KEY = PKI.leaf.key
NEXT = PKI.issuing.leaf("shop.example.com")
RENEWED = CertificateBundle.from_payload(pki.payload(NEXT, PKI.issuing, PKI.new_root))

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root becomes somebody else")


@pytest.fixture(params=["flat", "versioned"])
def layout(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture
def folder() -> Iterator[Path]:
    with public_folder() as made:
        yield made


def give_away(folder: Path) -> None:
    """Make everything nobody's."""
    for each in (folder, *folder.rglob("*")):
        os.chown(each, NOBODY, NOBODY, follow_symlinks=False)


def refusal(folder: Path, circumstances: AbstractContextManager[None], below: str = "", **arguments: Any) -> str:
    """Return why a write of the renewed certificate is refused, having seen that it touched nothing."""
    before = state(folder)
    with circumstances, pytest.raises(CertificateError) as caught:
        RENEWED.write(folder / below, **arguments)
    assert state(folder) == before
    return str(caught.value)


@needs_root
def test_folder_that_may_only_be_read_is_refused(folder: Path, layout: Any) -> None:
    BUNDLE.write(folder, layout=layout)
    give_away(folder)
    folder.chmod(0o555)
    said = refusal(folder, as_nobody(), layout=layout)
    assert said.startswith(f"'{folder}")
    assert said.endswith("cannot be written: Permission denied: run as a user who may, or choose another directory")


@needs_root
def test_same_certificate_again_needs_no_right_to_write(folder: Path, layout: Any) -> None:
    BUNDLE.write(folder, layout=layout)
    with as_nobody():
        assert not BUNDLE.write(folder, layout=layout).changed


@needs_root
def test_folder_that_cannot_be_made_is_refused(folder: Path, layout: Any) -> None:
    said = refusal(folder, as_nobody(), "a/b", layout=layout)
    assert said == (
        f"'{folder}/a/b' cannot be used as a directory: Permission denied: "
        "run as a user who may, or choose another directory"
    )


@needs_root
def test_key_that_may_not_be_read_is_refused(folder: Path, layout: Any) -> None:
    written = BUNDLE.write(folder, private_key=KEY, layout=layout)
    said = refusal(folder, as_nobody(), layout=layout)
    assert said.startswith(f"'{written.private_key}' cannot be read: Permission denied: run as a user who may")


@needs_root
def test_owner_who_cannot_be_kept_is_refused(folder: Path, layout: Any) -> None:
    written = BUNDLE.write(folder, layout=layout)
    give_away(folder)
    os.chown(written.certificate, 0, 0)
    said = refusal(folder, as_nobody(), layout=layout)
    assert "cert.pem' cannot be written: Operation not permitted: run as a user who may" in said


@needs_root
def test_umask_that_takes_everything_is_no_matter(folder: Path, layout: Any) -> None:
    give_away(folder)
    before = os.umask(0o777)
    try:
        with as_nobody():
            assert BUNDLE.write(folder, private_key=KEY, layout=layout).changed
    finally:
        os.umask(before)


@needs_root
def test_old_folders_of_another_user_do_not_stop_a_renewal(folder: Path, layout: Any) -> None:
    BUNDLE.write(folder, layout=layout)
    RENEWED.write(folder, layout=layout, keep=2)
    give_away(folder)
    for old in set(folder.glob("2*")) - {(folder / "current").resolve()}:
        os.chown(old, 0, 0)
        old.chmod(0o755)
    with as_nobody():
        assert CertificateBundle.from_payload(pki.payload(PKI.leaf)).write(folder, layout=layout, keep=1).changed


@needs_root
def test_folder_that_may_be_written_but_not_read_has_flat_files(folder: Path) -> None:
    BUNDLE.write(folder)
    give_away(folder)
    folder.chmod(0o333)
    with as_nobody():
        assert RENEWED.write(folder, private_key=NEXT.key).changed
    assert (folder / "fullchain.pem").read_text() == RENEWED.fullchain_pem


def test_disk_without_room_is_told(folder: Path, layout: Any) -> None:
    BUNDLE.write(folder, private_key=KEY, layout=layout, combined=True)
    said = refusal(folder, no_room(), private_key=NEXT.key, layout=layout)
    assert "privkey.pem' cannot be written: File too large: raise the limit on file sizes (ulimit -f)" in said


def test_disk_without_room_gets_no_new_directory(folder: Path, layout: Any) -> None:
    refusal(folder, no_room(), "outer/inner", private_key=NEXT.key, layout=layout)
