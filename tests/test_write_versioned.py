"""The versioned layout: a folder for each issue, `current` swapped in one step; what is kept and carried along."""

from __future__ import annotations

import os
import shutil
import ssl
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from collectssl_async import _versions
from collectssl_async.certificates import CertificateBundle, WrittenFiles
from collectssl_async.errors import CertificateError, KeyMismatchError

from . import pki
from .disk import state

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PKI = pki.hierarchy("shop.example.com")
BUNDLE = CertificateBundle.from_payload(pki.payload(*PKI))
KEY = PKI.leaf.key
NEXT = PKI.issuing.leaf("shop.example.com")
RENEWED = CertificateBundle.from_payload(pki.payload(NEXT, PKI.issuing, PKI.new_root))
SAME_KEY = CertificateBundle.from_payload(
    pki.payload(PKI.issuing.leaf("shop.example.com", key=KEY), PKI.issuing, PKI.new_root)
)
ALL_FILES = ["cert.pem", "chain.pem", "fullchain.pem", "privkey.pem"]


@pytest.fixture(autouse=True)
def umask() -> Iterator[None]:
    """No test may depend on it, so each runs under one that nobody would choose."""
    before = os.umask(0o027)
    yield
    os.umask(before)


@pytest.fixture
def deployed(tmp_path: Path) -> Path:
    """A directory with one issue and its key."""
    write(BUNDLE, tmp_path, private_key=KEY)
    return tmp_path


def write(bundle: CertificateBundle, directory: Path, **arguments: Any) -> WrittenFiles:
    return bundle.write(directory, layout="versioned", **arguments)


def versions(directory: Path) -> list[str]:
    return sorted(each.name for each in directory.iterdir() if each.name != "current")


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


# --- what is written --------------------------------------------------------------------------------------------------


def test_paths_go_through_the_link(tmp_path: Path) -> None:
    current = tmp_path / "current"
    assert write(BUNDLE, tmp_path, private_key=KEY) == WrittenFiles(
        certificate=current / "cert.pem",
        chain=current / "chain.pem",
        fullchain=current / "fullchain.pem",
        private_key=current / "privkey.pem",
        combined=None,
        changed=True,
    )


def test_folder_holds_the_texts_of_the_bundle(deployed: Path) -> None:
    assert {each.name: each.read_bytes() for each in (deployed / "current").iterdir()} == {
        "cert.pem": BUNDLE.certificate_pem.encode(),
        "chain.pem": BUNDLE.chain_pem.encode(),
        "fullchain.pem": BUNDLE.fullchain_pem.encode(),
        "privkey.pem": PKI.leaf.key_pem,
    }


def test_without_a_key_there_is_none(tmp_path: Path) -> None:
    assert write(BUNDLE, tmp_path).private_key is None
    assert not (tmp_path / "current" / "privkey.pem").exists()


def test_without_intermediates_there_is_no_chain_though_there_was_one(deployed: Path) -> None:
    alone = CertificateBundle.from_payload(pki.payload(PKI.leaf))
    assert write(alone, deployed).chain is None
    assert sorted(each.name for each in (deployed / "current").iterdir()) == [
        "cert.pem",
        "fullchain.pem",
        "privkey.pem",
    ]


def test_folder_is_named_by_the_time_in_utc_and_the_fingerprint(deployed: Path) -> None:
    (name,) = versions(deployed)
    stamp, issue = name.split("-")
    assert datetime.now(UTC) - datetime.strptime(stamp, "%Y%m%dT%H%M%S%z") < timedelta(minutes=5)
    assert issue == BUNDLE.fingerprint_sha256[:16]


def test_link_is_relative_so_that_the_directory_can_be_moved(deployed: Path) -> None:
    moved = deployed.rename(deployed.parent / "moved")
    assert (moved / "current" / "cert.pem").read_text() == BUNDLE.certificate_pem


def test_directory_may_be_a_symbolic_link(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    written = write(BUNDLE, tmp_path / "link")
    assert written.certificate == tmp_path / "link" / "current" / "cert.pem"
    assert not write(BUNDLE, tmp_path / "link").changed
    assert (tmp_path / "real" / "current" / "cert.pem").is_file()


def test_next_issue_has_a_folder_of_its_own_that_sorts_after(deployed: Path) -> None:
    old = versions(deployed)
    assert write(RENEWED, deployed, private_key=NEXT.key).changed
    assert versions(deployed)[:1] == old
    assert [len(versions(deployed)), (deployed / "current").readlink()] == [2, Path(versions(deployed)[1])]
    assert (deployed / old[0] / "fullchain.pem").read_text() == BUNDLE.fullchain_pem


def test_names_sort_by_the_order_of_writing_though_the_clock_was_wrong(deployed: Path) -> None:
    ahead = "20991231T235959Z-" + "0" * 16
    (deployed / ahead).mkdir()
    write(RENEWED, deployed, private_key=NEXT.key)
    assert (deployed / "current").readlink().name > ahead


def test_other_certificates_of_the_same_leaf_are_another_folder(deployed: Path) -> None:
    other_chain = CertificateBundle.from_payload(pki.payload(PKI.leaf, PKI.issuing, PKI.new_root))
    assert write(other_chain, deployed).changed
    assert len(versions(deployed)) == 2


def test_folder_that_a_killed_writer_finished_is_used(deployed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_versions, "_swap", lambda *_: None)
    monkeypatch.setattr(_versions, "_take_away", lambda _: None)
    write(RENEWED, deployed, private_key=NEXT.key)
    monkeypatch.undo()
    before = versions(deployed)
    assert write(RENEWED, deployed, private_key=NEXT.key).changed
    assert versions(deployed) == before
    assert (deployed / "current").readlink() == Path(before[1])


def test_going_back_to_an_issue_uses_its_folder(deployed: Path) -> None:
    (first,) = versions(deployed)
    write(RENEWED, deployed, private_key=NEXT.key)
    assert write(BUNDLE, deployed, private_key=KEY).changed
    assert ((deployed / "current").readlink(), len(versions(deployed))) == (Path(first), 2)


def test_folder_that_somebody_altered_is_not_used(deployed: Path) -> None:
    (first,) = versions(deployed)
    write(RENEWED, deployed, private_key=NEXT.key)
    (deployed / first / "chain.pem").unlink()
    (deployed / first / "chain.pem").symlink_to("cert.pem")
    write(BUNDLE, deployed, private_key=KEY)
    assert (deployed / "current").readlink() != Path(first)
    assert (deployed / "current" / "chain.pem").read_text() == BUNDLE.chain_pem


def test_link_whose_folder_is_gone_is_mended(deployed: Path) -> None:
    (first,) = versions(deployed)
    shutil.rmtree(deployed / first)
    assert write(BUNDLE, deployed, private_key=KEY).changed
    assert (deployed / "current" / "cert.pem").read_text() == BUNDLE.certificate_pem


@pytest.mark.parametrize("form", ["./{}", "{}/", "{directory}/{}"])
def test_link_that_was_set_by_hand_to_a_folder_of_ours_is_taken_for_ours(deployed: Path, form: str) -> None:
    (first,) = versions(deployed)
    (deployed / "current").unlink()
    (deployed / "current").symlink_to(form.format(first, directory=deployed))
    assert not write(BUNDLE, deployed).changed
    assert write(RENEWED, deployed, private_key=NEXT.key).changed


# --- what is the same -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", [KEY, PKI.leaf.key_pem, None], ids=["object", "pem", "there already"])
def test_same_certificate_again_touches_nothing(deployed: Path, key: pki.PrivateKey | bytes | None) -> None:
    before = state(deployed)
    written = write(BUNDLE, deployed, private_key=key)
    assert (written.changed, written.private_key) == (False, deployed / "current" / "privkey.pem")
    assert state(deployed) == before


def test_open_key_is_closed_though_nothing_changes(deployed: Path) -> None:
    (deployed / "current" / "privkey.pem").chmod(0o644)
    assert not write(BUNDLE, deployed).changed
    assert mode(deployed / "current" / "privkey.pem") == 0o600


def test_open_key_of_the_issue_before_is_closed_too(deployed: Path) -> None:
    (first,) = versions(deployed)
    (deployed / first / "privkey.pem").chmod(0o644)
    write(RENEWED, deployed, private_key=NEXT.key)
    assert [mode(deployed / each / "privkey.pem") for each in (first, "current")] == [0o600, 0o600]


def test_open_key_in_a_folder_that_is_used_again_is_closed(deployed: Path) -> None:
    (first,) = versions(deployed)
    write(RENEWED, deployed, private_key=NEXT.key)
    (deployed / first / "privkey.pem").chmod(0o644)
    write(BUNDLE, deployed, private_key=KEY)
    assert mode(deployed / "current" / "privkey.pem") == 0o600


# --- the key ----------------------------------------------------------------------------------------------------------


def test_key_that_fits_comes_along_as_it_is(deployed: Path) -> None:
    key = deployed / "current" / "privkey.pem"
    key.write_bytes(b"made by hand\n" + PKI.leaf.key_pem)
    assert write(SAME_KEY, deployed).private_key == key
    assert key.read_bytes() == b"made by hand\n" + PKI.leaf.key_pem
    assert len(versions(deployed)) == 2


def test_key_of_the_issue_before_that_does_not_fit_touches_nothing(deployed: Path) -> None:
    before = state(deployed)
    with pytest.raises(KeyMismatchError, match=f"'{deployed}/current/privkey.pem' does not belong to the certificate"):
        write(RENEWED, deployed)
    assert state(deployed) == before


def test_wrong_key_touches_nothing(tmp_path: Path) -> None:
    with pytest.raises(KeyMismatchError):
        write(BUNDLE, tmp_path / "new", private_key=NEXT.key)
    assert state(tmp_path) == {}


def test_key_of_the_issue_before_that_cannot_be_read_touches_nothing(deployed: Path) -> None:
    (deployed / "current" / "privkey.pem").write_text("garbage")
    before = state(deployed)
    with pytest.raises(CertificateError, match=r"current/privkey\.pem' is not a private key in PEM"):
        write(BUNDLE, deployed)
    assert state(deployed) == before


# --- mode and owner ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mask", [0o000, 0o022, 0o077, 0o777])
def test_modes_of_a_first_issue_do_not_depend_on_the_umask(tmp_path: Path, mask: int) -> None:
    os.umask(mask)
    current = write(BUNDLE, tmp_path, private_key=KEY).certificate.parent
    assert [mode(current / name) for name in ALL_FILES] == [0o644, 0o644, 0o644, 0o600]
    assert mode(current) == 0o755


def test_modes_of_the_issue_before_are_kept_but_for_the_key(deployed: Path) -> None:
    current = deployed / "current"
    (current / "cert.pem").chmod(0o640)
    (current / "privkey.pem").chmod(0o440)
    current.chmod(0o750)
    write(RENEWED, deployed, private_key=NEXT.key)
    assert [mode(current / name) for name in ("cert.pem", "chain.pem", "privkey.pem")] == [0o640, 0o644, 0o400]
    assert mode(current) == 0o750


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_owners_of_the_issue_before_are_kept(deployed: Path) -> None:
    for path in (deployed / "current", deployed / "current" / "privkey.pem"):
        os.chown(path, 1234, 2345)
    write(RENEWED, deployed, private_key=NEXT.key)
    found = {name: (deployed / "current" / name).stat() for name in ("", "privkey.pem", "cert.pem")}
    assert {name: (seen.st_uid, seen.st_gid) for name, seen in found.items()} == {
        "": (1234, 2345),
        "privkey.pem": (1234, 2345),
        "cert.pem": (0, 0),
    }


def test_folder_is_nobody_elses_until_it_is_finished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.umask(0)
    seen: list[int] = []
    real = os.fchmod

    def fchmod(descriptor: int, wanted: int) -> None:
        seen.append(mode(Path(f"/proc/self/fd/{descriptor}").readlink().parent))
        real(descriptor, wanted)

    monkeypatch.setattr(os, "fchmod", fchmod)
    write(BUNDLE, tmp_path, private_key=KEY)
    assert seen == [0o700] * 4


# --- order, and what readers see --------------------------------------------------------------------------------------


def test_all_is_on_the_disk_before_the_link_is_swapped(deployed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    real_sync, real_rename, real_replace = os.fsync, os.rename, os.replace

    def fsync(descriptor: int) -> None:
        path = Path(f"/proc/self/fd/{descriptor}").readlink()
        seen.append(f"sync {'folder' if path.name.startswith('.') else path.name}")
        real_sync(descriptor)

    def rename(source: Path, target: Path) -> None:
        seen.append("rename folder")
        real_rename(source, target)

    def replace(source: Path, target: Path) -> None:
        seen.append(f"replace {target.name}")
        real_replace(source, target)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "rename", rename)
    monkeypatch.setattr(os, "replace", replace)
    write(RENEWED, deployed, private_key=NEXT.key)
    assert sorted(seen[:4]) == [f"sync {name}" for name in ALL_FILES]
    directory = f"sync {deployed.name}"
    assert seen[4:] == ["sync folder", "rename folder", directory, "replace current", directory]


def test_reader_who_follows_the_link_once_sees_fitting_files_at_any_moment(
    deployed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = 0

    def watched(real: Callable[..., object]) -> Callable[..., object]:
        def call(*arguments: object, **named: object) -> object:
            nonlocal looks
            looks += 1
            shown = (deployed / "current").resolve(strict=True)
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(shown / "fullchain.pem", shown / "privkey.pem")
            return real(*arguments, **named)

        return call

    for step in ("open", "fsync", "fchmod", "rename", "replace", "symlink", "unlink"):
        monkeypatch.setattr(os, step, watched(getattr(os, step)))
    write(RENEWED, deployed, private_key=NEXT.key)
    assert looks > 20
