"""Files on the disk: which, in which order, with which mode and owner. What is refused is `test_write_refused.py`."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from collectssl_async.certificates import CertificateBundle, WrittenFiles
from collectssl_async.errors import CertificateError

from . import pki

if TYPE_CHECKING:
    from collections.abc import Iterator

PKI = pki.hierarchy("shop.example.com")
BUNDLE = CertificateBundle.from_payload(pki.payload(*PKI))
KEY = PKI.leaf.key
NEXT = PKI.issuing.leaf("shop.example.com")
RENEWED = CertificateBundle.from_payload(pki.payload(NEXT, PKI.issuing, PKI.cross_root, PKI.old_root))
ALL_FILES = ["cert.pem", "chain.pem", "fullchain.pem", "privkey.pem"]


@pytest.fixture(autouse=True)
def umask() -> Iterator[None]:
    """No test may depend on it, so each runs under one that nobody would choose."""
    before = os.umask(0o027)
    yield
    os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def names(directory: Path) -> list[str]:
    return sorted(each.name for each in directory.iterdir())


def contents(directory: Path) -> dict[str, tuple[bytes, int, int]]:
    """All of a directory that a write could touch: contents, inodes, modes."""
    return {
        each.name: (each.read_bytes(), each.stat().st_ino, mode(each)) for each in directory.iterdir() if each.is_file()
    }


# --- what is written --------------------------------------------------------------------------------------------------


def test_files_hold_the_texts_of_the_bundle(tmp_path: Path) -> None:
    BUNDLE.write(tmp_path, private_key=KEY)
    assert {name: (tmp_path / name).read_bytes() for name in names(tmp_path)} == {
        "cert.pem": BUNDLE.certificate_pem.encode(),
        "chain.pem": BUNDLE.chain_pem.encode(),
        "fullchain.pem": BUNDLE.fullchain_pem.encode(),
        "privkey.pem": PKI.leaf.key_pem,
    }


def test_paths_of_the_files_are_told(tmp_path: Path) -> None:
    assert BUNDLE.write(tmp_path, private_key=KEY) == WrittenFiles(
        certificate=tmp_path / "cert.pem",
        chain=tmp_path / "chain.pem",
        fullchain=tmp_path / "fullchain.pem",
        private_key=tmp_path / "privkey.pem",
        combined=None,
        changed=True,
    )


def test_without_a_key_none_is_written(tmp_path: Path) -> None:
    assert BUNDLE.write(tmp_path).private_key is None
    assert names(tmp_path) == ["cert.pem", "chain.pem", "fullchain.pem"]


def test_directory_may_be_text_and_is_made_with_its_parents(tmp_path: Path) -> None:
    written = BUNDLE.write(str(tmp_path / "a" / "b"))
    assert written.certificate == tmp_path / "a" / "b" / "cert.pem"
    assert written.certificate.is_file()


def test_directory_may_be_relative(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert BUNDLE.write("certs").fullchain == Path("certs/fullchain.pem")
    assert names(tmp_path / "certs") == ["cert.pem", "chain.pem", "fullchain.pem"]


def test_directory_may_be_a_symbolic_link(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    assert BUNDLE.write(tmp_path / "link").certificate == tmp_path / "link" / "cert.pem"
    assert (tmp_path / "real" / "cert.pem").is_file()
    assert (tmp_path / "link").is_symlink()


def test_link_that_is_swapped_meanwhile_does_not_spread_the_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("old", "new"):
        (tmp_path / name).mkdir()
    (tmp_path / "link").symlink_to("old")
    real = os.fchmod

    def swap(descriptor: int, wanted: int) -> None:
        (tmp_path / "link").unlink()
        (tmp_path / "link").symlink_to("new")
        real(descriptor, wanted)

    monkeypatch.setattr(os, "fchmod", swap)
    BUNDLE.write(tmp_path / "link", private_key=KEY)
    assert (names(tmp_path / "old"), names(tmp_path / "new")) == (ALL_FILES, [])


@pytest.mark.parametrize("private_format", [PrivateFormat.PKCS8, PrivateFormat.TraditionalOpenSSL])
def test_key_given_as_pem_is_written_as_pkcs8(tmp_path: Path, private_format: PrivateFormat) -> None:
    pem = KEY.private_bytes(Encoding.PEM, private_format, NoEncryption())
    BUNDLE.write(tmp_path, private_key=pem.decode())
    assert (tmp_path / "privkey.pem").read_bytes() == PKI.leaf.key_pem


def test_without_intermediates_there_is_no_chain_file(tmp_path: Path) -> None:
    leaf = PKI.new_root.leaf("direct.example.com")
    written = CertificateBundle.from_payload(pki.payload(leaf, PKI.new_root)).write(tmp_path)
    assert written.chain is None
    assert names(tmp_path) == ["cert.pem", "fullchain.pem"]


def test_chain_of_an_earlier_certificate_is_removed(tmp_path: Path) -> None:
    BUNDLE.write(tmp_path)
    alone = CertificateBundle.from_payload(pki.payload(PKI.leaf))
    assert alone.write(tmp_path).changed
    assert names(tmp_path) == ["cert.pem", "fullchain.pem"]
    assert not alone.write(tmp_path).changed


# --- order and durability ---------------------------------------------------------------------------------------------


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What reaches the system, in order: files and folders synced, files put in place."""
    seen: list[str] = []
    real_sync, real_replace = os.fsync, os.replace

    def fsync(descriptor: int) -> None:
        name = Path(f"/proc/self/fd/{descriptor}").readlink().name
        seen.append("sync " + (name.split(".pem.")[0].lstrip(".") + ".pem*" if name.startswith(".") else name))
        real_sync(descriptor)

    def replace(source: Path, target: Path) -> None:
        seen.append(f"replace {Path(target).name}")
        real_replace(source, target)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "replace", replace)
    return seen


def test_all_is_on_the_disk_before_the_key_is_replaced_first_and_fullchain_last(
    tmp_path: Path, calls: list[str]
) -> None:
    (tmp_path / "d").mkdir()
    BUNDLE.write(tmp_path / "d", private_key=KEY)
    order = ["privkey.pem", "cert.pem", "chain.pem", "fullchain.pem"]
    assert calls[:4] == [f"sync {name}*" for name in order]
    assert calls[4:] == [step for name in order for step in (f"replace {name}", "sync d")]


def test_new_directory_is_on_the_disk_in_its_parent(tmp_path: Path, calls: list[str]) -> None:
    BUNDLE.write(tmp_path / "outer" / "inner")
    assert {f"sync {tmp_path.name}", "sync outer"} <= set(calls[:2])


def test_folder_that_cannot_be_synced_is_no_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.fsync

    def fsync(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    assert BUNDLE.write(tmp_path).changed


def test_what_is_the_same_is_not_written_again(tmp_path: Path, calls: list[str]) -> None:
    BUNDLE.write(tmp_path, private_key=KEY)
    before = contents(tmp_path)
    calls.clear()
    assert not BUNDLE.write(tmp_path, private_key=KEY).changed
    assert contents(tmp_path) == before
    assert calls == []


def test_only_what_differs_is_written(tmp_path: Path) -> None:
    BUNDLE.write(tmp_path)
    before = contents(tmp_path)
    (tmp_path / "chain.pem").write_text("half of it")
    assert BUNDLE.write(tmp_path).changed
    after = contents(tmp_path)
    assert [name for name in after if after[name][1] != before[name][1]] == ["chain.pem"]
    assert after["chain.pem"][0] == before["chain.pem"][0]


def test_write_that_was_cut_off_is_completed_by_the_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    BUNDLE.write(tmp_path, private_key=KEY)
    real = os.replace

    def replace(source: Path, target: Path) -> None:
        if Path(target).name == "chain.pem":
            raise KeyboardInterrupt
        real(source, target)

    short = CertificateBundle.from_payload(pki.payload(NEXT, PKI.issuing))
    monkeypatch.setattr(os, "replace", replace)
    with pytest.raises(KeyboardInterrupt):
        short.write(tmp_path, private_key=NEXT.key)
    monkeypatch.undo()
    assert names(tmp_path) == ALL_FILES
    assert short.matches((tmp_path / "privkey.pem").read_bytes())
    assert (tmp_path / "fullchain.pem").read_text() == BUNDLE.fullchain_pem
    assert short.write(tmp_path).changed
    assert (tmp_path / "fullchain.pem").read_text() == short.fullchain_pem


# --- mode and owner ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mask", [0o000, 0o022, 0o077, 0o777])
def test_modes_of_new_files_do_not_depend_on_the_umask(tmp_path: Path, mask: int) -> None:
    os.umask(mask)
    BUNDLE.write(tmp_path, private_key=KEY)
    assert [mode(tmp_path / name) for name in ALL_FILES] == [0o644, 0o644, 0o644, 0o600]


@pytest.mark.parametrize("chosen", [0o640, 0o600, 0o444])
def test_mode_of_what_is_replaced_is_kept(tmp_path: Path, chosen: int) -> None:
    BUNDLE.write(tmp_path)
    (tmp_path / "cert.pem").chmod(chosen)
    RENEWED.write(tmp_path)
    assert mode(tmp_path / "cert.pem") == chosen


@pytest.mark.parametrize(("before", "after"), [(0o644, 0o600), (0o640, 0o600), (0o400, 0o400), (0o777, 0o700)])
def test_replaced_key_is_closed_to_others(tmp_path: Path, before: int, after: int) -> None:
    BUNDLE.write(tmp_path, private_key=KEY)
    (tmp_path / "privkey.pem").chmod(before)
    RENEWED.write(tmp_path, private_key=NEXT.key)
    assert mode(tmp_path / "privkey.pem") == after


@pytest.mark.parametrize("key", [KEY, None], ids=["given", "there already"])
def test_open_key_is_closed_though_nothing_changes(tmp_path: Path, key: pki.PrivateKey | None) -> None:
    BUNDLE.write(tmp_path, private_key=KEY)
    (tmp_path / "privkey.pem").chmod(0o644)
    inode = (tmp_path / "privkey.pem").stat().st_ino
    assert not BUNDLE.write(tmp_path, private_key=key).changed
    assert (mode(tmp_path / "privkey.pem"), (tmp_path / "privkey.pem").stat().st_ino) == (0o600, inode)


def test_key_that_is_there_is_closed_before_a_new_certificate_is_in_place(tmp_path: Path) -> None:
    (tmp_path / "privkey.pem").write_bytes(PKI.leaf.key_pem)
    (tmp_path / "privkey.pem").chmod(0o666)
    assert BUNDLE.write(tmp_path).private_key == tmp_path / "privkey.pem"
    assert mode(tmp_path / "privkey.pem") == 0o600


def test_no_temporary_file_is_ever_open_to_others_beyond_its_final_mode(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.umask(0)
    seen: list[int] = []
    real = os.fchmod

    def fchmod(descriptor: int, wanted: int) -> None:
        seen.append(stat.S_IMODE(os.fstat(descriptor).st_mode))
        real(descriptor, wanted)

    monkeypatch.setattr(os, "fchmod", fchmod)
    BUNDLE.write(tmp_path, private_key=KEY)
    assert seen == [0o600] * 4


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_owner_of_what_is_replaced_is_kept(tmp_path: Path) -> None:
    BUNDLE.write(tmp_path, private_key=KEY)
    os.chown(tmp_path / "cert.pem", 1234, 2345)
    os.chown(tmp_path / "privkey.pem", 1234, 2345)
    RENEWED.write(tmp_path, private_key=NEXT.key)
    owners = {name: (tmp_path / name).stat() for name in ALL_FILES}
    assert {name: (found.st_uid, found.st_gid) for name, found in owners.items()} == {
        "cert.pem": (1234, 2345),
        "chain.pem": (0, 0),
        "fullchain.pem": (0, 0),
        "privkey.pem": (1234, 2345),
    }


def test_owner_that_cannot_be_kept_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    BUNDLE.write(tmp_path)
    before = contents(tmp_path)
    real = os.fstat

    def fstat(descriptor: int) -> os.stat_result:
        found = list(real(descriptor))
        found[stat.ST_UID] += 1
        return os.stat_result(found)

    def fchown(descriptor: int, uid: int, gid: int) -> None:
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(os, "fstat", fstat)
    monkeypatch.setattr(os, "fchown", fchown)
    with pytest.raises(CertificateError, match=r"cert\.pem' cannot be written: Operation not permitted: run as a user"):
        RENEWED.write(tmp_path)
    monkeypatch.undo()
    assert contents(tmp_path) == before
