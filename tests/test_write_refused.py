"""Writes that are refused or fail: one clear line that says what to change, and nothing half-done is left behind."""

from __future__ import annotations

import errno
import itertools
import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING
from unittest.mock import Mock

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, PrivateFormat

from collectssl_async.certificates import CertificateBundle
from collectssl_async.errors import CertificateError, KeyMismatchError

from . import pki
from .disk import no_room, state

if TYPE_CHECKING:
    from collections.abc import Callable

PKI = pki.hierarchy("shop.example.com")
BUNDLE = CertificateBundle.from_payload(pki.payload(*PKI))
KEY = PKI.leaf.key
NEXT = PKI.issuing.leaf("shop.example.com")
RENEWED = CertificateBundle.from_payload(pki.payload(NEXT, PKI.issuing, PKI.new_root))
ALL_FILES = ["cert.pem", "chain.pem", "fullchain.pem", "privkey.pem"]


@pytest.fixture
def deployed(tmp_path: Path) -> Path:
    """A directory with a certificate, its chain and its key."""
    BUNDLE.write(tmp_path / "deployed", private_key=KEY)
    return tmp_path / "deployed"


def refusal(
    bundle: CertificateBundle, directory: str | Path, private_key: pki.PrivateKey | bytes | None = None
) -> CertificateError:
    """Return the error of a write that is refused, after a look at its form."""
    with pytest.raises(CertificateError) as caught:
        bundle.write(directory, private_key=private_key)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 400
    return caught.value


# --- keys that do not fit ---------------------------------------------------------------------------------------------


def test_key_that_does_not_match_touches_nothing(deployed: Path) -> None:
    before = state(deployed)
    error = refusal(RENEWED, deployed, KEY)
    assert isinstance(error, KeyMismatchError)
    assert "private_key does not belong to the certificate for shop.example.com" in str(error)
    assert state(deployed) == before


def test_key_that_does_not_match_makes_no_directory(tmp_path: Path) -> None:
    assert isinstance(refusal(BUNDLE, tmp_path / "new", pki.new_key()), KeyMismatchError)
    assert state(tmp_path) == {}


def test_garbage_for_a_key_touches_nothing(deployed: Path) -> None:
    before = state(deployed)
    assert "private_key is not a private key in PEM" in str(refusal(RENEWED, deployed, b""))
    assert state(deployed) == before


def test_key_already_there_that_does_not_match_touches_nothing(deployed: Path) -> None:
    before = state(deployed)
    error = refusal(RENEWED, deployed)
    assert isinstance(error, KeyMismatchError)
    assert f"'{deployed}/privkey.pem' does not belong to the certificate for shop.example.com" in str(error)
    assert "hand in the certificate's private_key, or move the file away" in str(error)
    assert state(deployed) == before


def test_mismatch_names_the_serial_number_of_a_certificate_without_names(tmp_path: Path) -> None:
    leaf = PKI.issuing.leaf()
    bundle = CertificateBundle.from_payload(pki.payload(leaf, PKI.issuing))
    assert f"serial number {leaf.certificate.serial_number:x}" in str(refusal(bundle, tmp_path, KEY))


ENCRYPTED = KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret"))


@pytest.mark.parametrize(("content", "said"), [(ENCRYPTED, "is encrypted"), (b"\xff", "is not a private key in PEM")])
def test_key_already_there_that_cannot_be_read_is_refused(deployed: Path, content: bytes, said: str) -> None:
    (deployed / "privkey.pem").write_bytes(content)
    before = state(deployed)
    error = refusal(BUNDLE, deployed)
    assert str(error).startswith(f"'{deployed}/privkey.pem' {said}")
    assert str(error).endswith("; or hand in the certificate's private_key, or move the file away")
    assert state(deployed) == before


@pytest.mark.parametrize("content", [ENCRYPTED, b"garbage"])
def test_key_already_there_that_cannot_be_read_gives_way_to_the_one_handed_in(deployed: Path, content: bytes) -> None:
    (deployed / "privkey.pem").write_bytes(content)
    assert BUNDLE.write(deployed, private_key=KEY).changed
    assert (deployed / "privkey.pem").read_bytes() == PKI.leaf.key_pem


def test_key_that_cannot_be_exported_is_refused(tmp_path: Path) -> None:
    kept = Mock(spec=ec.EllipticCurvePrivateKey)
    kept.public_key.return_value = KEY.public_key()
    kept.private_bytes.side_effect = NotImplementedError("the module keeps it")
    assert BUNDLE.matches(kept)
    error = refusal(BUNDLE, tmp_path / "new", kept)
    assert str(error) == "private_key cannot be exported (NotImplementedError): write without it"
    assert (error.__cause__, error.__context__) == (None, None)
    assert state(tmp_path) == {}


# --- things in the way ------------------------------------------------------------------------------------------------

IN_THE_WAY: dict[str, tuple[Callable[[Path], None], str]] = {
    "a link": (lambda path: path.symlink_to("elsewhere"), "is a symbolic link, not a file"),
    "a dangling link": (lambda path: path.symlink_to("nowhere"), "is a symbolic link, not a file"),
    "a directory": (lambda path: path.mkdir(), "is a directory, not a file"),
    "a pipe": (os.mkfifo, "is a device, pipe or socket, not a file"),
}


@pytest.mark.parametrize("name", ALL_FILES)
@pytest.mark.parametrize(("put", "said"), IN_THE_WAY.values(), ids=IN_THE_WAY.keys())
def test_what_is_no_file_in_a_files_place_is_refused(
    deployed: Path, name: str, put: Callable[[Path], None], said: str
) -> None:
    (deployed / "elsewhere").write_text("not ours")
    (deployed / name).unlink()
    put(deployed / name)
    before = state(deployed)
    assert f"'{deployed / name}' {said}: move it away" in str(refusal(RENEWED, deployed, NEXT.key))
    assert state(deployed) == before


def test_link_in_the_place_of_the_key_is_refused_without_a_key_too(deployed: Path) -> None:
    (deployed / "privkey.pem").rename(deployed / "elsewhere")
    (deployed / "privkey.pem").symlink_to("elsewhere")
    assert "privkey.pem' is a symbolic link" in str(refusal(BUNDLE, deployed))


def test_link_in_the_place_of_a_chain_that_is_to_go_is_refused(deployed: Path) -> None:
    (deployed / "chain.pem").rename(deployed / "elsewhere")
    (deployed / "chain.pem").symlink_to("elsewhere")
    alone = CertificateBundle.from_payload(pki.payload(PKI.leaf))
    assert "chain.pem' is a symbolic link" in str(refusal(alone, deployed))


@pytest.mark.parametrize("below", ["file", "file/certs", "link"])
def test_file_where_the_directory_should_be_is_refused(tmp_path: Path, below: str) -> None:
    (tmp_path / "file").write_text("not ours")
    (tmp_path / "link").symlink_to("nowhere")
    before = state(tmp_path)
    said = str(refusal(BUNDLE, tmp_path / below, KEY))
    assert said.startswith(f"'{tmp_path / below}' cannot be used as a directory: ")
    assert said.endswith("a file stands where a directory is needed: move it away, or choose another directory")
    assert state(tmp_path) == before


@pytest.mark.parametrize("directory", ["/proc/certs/new", "/proc/self", "zero\0byte", "a" * 256])
def test_directory_that_the_system_does_not_take_is_refused(directory: str) -> None:
    assert str(refusal(BUNDLE, directory, KEY)).endswith(": choose another directory")


# --- the system refuses -----------------------------------------------------------------------------------------------


def test_write_without_room_touches_nothing(deployed: Path) -> None:
    (deployed / "privkey.pem").chmod(0o644)
    before = state(deployed)
    with no_room():
        said = str(refusal(RENEWED, deployed, NEXT.key))
    assert (
        said == f"'{deployed}/privkey.pem' cannot be written: File too large: raise the limit on file sizes (ulimit -f)"
    )
    assert state(deployed) == before


def test_write_without_room_leaves_no_new_directory(tmp_path: Path) -> None:
    with no_room():
        refusal(BUNDLE, tmp_path / "outer" / "inner", KEY)
    assert state(tmp_path) == {}


@pytest.mark.parametrize(
    ("number", "advice"),
    [
        (errno.ENOSPC, "free some space, or choose another directory"),
        (errno.EROFS, "choose a directory that is not mounted read-only"),
        (errno.EACCES, "run as a user who may, or choose another directory"),
        (errno.EIO, "choose another directory"),
    ],
)
def test_reason_of_the_system_is_told_with_what_to_change(
    deployed: Path, monkeypatch: pytest.MonkeyPatch, number: int, advice: str
) -> None:
    def refuse(*_: object) -> int:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fchmod", refuse)
    said = str(refusal(RENEWED, deployed, NEXT.key))
    assert said == f"'{deployed}/privkey.pem' cannot be written: {os.strerror(number)}: {advice}"


def test_file_that_cannot_be_compared_is_refused(deployed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: Path) -> bytes:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(Path, "read_bytes", refuse)
    assert "cannot be read: Permission denied: run as a user who may" in str(refusal(RENEWED, deployed, NEXT.key))


def test_key_that_cannot_be_closed_to_others_is_refused_before_anything_is_replaced(
    deployed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (deployed / "privkey.pem").chmod(0o644)
    (deployed / "cert.pem").write_text("older")
    before = state(deployed)
    real = os.fchmod

    def refuse(descriptor: int, mode: int) -> None:
        if mode == 0o600:
            raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))
        real(descriptor, mode)

    monkeypatch.setattr(os, "fchmod", refuse)
    said = str(refusal(BUNDLE, deployed))
    assert "privkey.pem' cannot be closed to group and others: Operation not permitted" in said
    assert state(deployed) == before


STEPS = {"open": 10, "fchmod": 4, "fsync": 8, "replace": 4}
"""How often a write of four files calls each function of the system."""
STEPS_BEFORE = {"open": 6, "fchmod": 4, "fsync": 4, "replace": 1}
"""How often until the first file is in its place: the folder is opened, four files, and the note of what is to come."""
BEFORE_THE_FIRST_PLACE = [(step, nth) for step, times in STEPS_BEFORE.items() for nth in range(times)]
AMONG_THE_PLACES = [
    (step, nth) for step, times in STEPS.items() for nth in range(times) if (step, nth) not in BEFORE_THE_FIRST_PLACE
]
FAILURES = [OSError(errno.EIO, "broken"), KeyboardInterrupt()]


def fail_at(monkeypatch: pytest.MonkeyPatch, step: str, nth: int, failure: BaseException) -> None:
    """Make a function of the system fail when it is called for the nth time, counted from 0."""
    calls, real = itertools.count(), getattr(os, step)

    def failing(*arguments: object, **named: object) -> object:
        if next(calls) == nth:
            raise failure
        return real(*arguments, **named)

    monkeypatch.setattr(os, step, failing)


@pytest.mark.parametrize("failure", FAILURES, ids=repr)
@pytest.mark.parametrize(("step", "nth"), BEFORE_THE_FIRST_PLACE)
def test_failure_before_the_first_file_is_in_place_touches_nothing(
    deployed: Path, monkeypatch: pytest.MonkeyPatch, step: str, nth: int, failure: BaseException
) -> None:
    before = state(deployed)
    fail_at(monkeypatch, step, nth, failure)
    with pytest.raises((CertificateError, KeyboardInterrupt)):
        RENEWED.write(deployed, private_key=NEXT.key)
    monkeypatch.undo()
    assert state(deployed) == before


@pytest.mark.parametrize("failure", FAILURES, ids=repr)
@pytest.mark.parametrize(("step", "nth"), AMONG_THE_PLACES)
def test_failure_among_the_places_leaves_whole_files_that_the_next_write_completes(
    deployed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str, nth: int, failure: BaseException
) -> None:
    old = texts(deployed)
    RENEWED.write(tmp_path / "renewed", private_key=NEXT.key)
    new = texts(tmp_path / "renewed")
    fail_at(monkeypatch, step, nth, failure)
    with pytest.raises((CertificateError, KeyboardInterrupt)):
        RENEWED.write(deployed, private_key=NEXT.key)
    monkeypatch.undo()
    left = texts(deployed)
    assert sorted(left) == ALL_FILES
    assert all(text in (old[name], new[name]) for name, text in left.items())
    assert left["privkey.pem"] == new["privkey.pem"]
    assert RENEWED.write(deployed).changed
    assert texts(deployed) == new
    assert sorted(each.name for each in deployed.iterdir()) == ALL_FILES


def texts(directory: Path) -> dict[str, str]:
    return {each.name: each.read_text() for each in directory.glob("[!.]*")}


@pytest.mark.parametrize(("step", "nth"), [(step, nth) for step, nth in AMONG_THE_PLACES if nth < STEPS[step] - 1])
def test_failure_before_the_last_place_leaves_nothing_hidden(
    deployed: Path, monkeypatch: pytest.MonkeyPatch, step: str, nth: int
) -> None:
    fail_at(monkeypatch, step, nth, OSError(errno.EIO, "broken"))
    refusal(RENEWED, deployed, NEXT.key)
    monkeypatch.undo()
    assert sorted(each.name for each in deployed.iterdir()) == ALL_FILES


def test_temporary_file_that_cannot_be_removed_does_not_hide_the_failure(
    deployed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EIO, "the disk is gone")

    monkeypatch.setattr(os, "fchmod", refuse)
    monkeypatch.setattr(os, "unlink", refuse)
    assert "the disk is gone" in str(refusal(RENEWED, deployed, NEXT.key))


def test_removal_of_an_old_chain_that_fails_is_told(deployed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.unlink

    def refuse(path: Path) -> None:
        if Path(path).name == "chain.pem":
            raise OSError(errno.EROFS, os.strerror(errno.EROFS))
        real(path)

    monkeypatch.setattr(os, "unlink", refuse)
    alone = CertificateBundle.from_payload(pki.payload(PKI.leaf))
    assert "chain.pem' cannot be written: Read-only file system" in str(refusal(alone, deployed))


def test_folder_whose_sync_fails_is_told(deployed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.fsync

    def refuse(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", refuse)
    assert "privkey.pem' cannot be written: Input/output error" in str(refusal(RENEWED, deployed, NEXT.key))
