"""`collectssl inspect`: directories of either layout, and what cannot be read."""

from __future__ import annotations

import errno
import json
import os
import shutil
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pytest

from collectssl_async import containers
from collectssl_async.cli.hooks import PENDING_FILE

from .. import pki
from ..packing import pem
from .desk import BUNDLE, FORMATS, OTHER_ROOT, PKI, Desk, packed_pkcs12

if TYPE_CHECKING:
    from collections.abc import Callable

# --- directories ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("layout", ["flat", "versioned"])
def test_a_directory_that_collect_wrote_is_one_thing(desk: Desk, layout: Any) -> None:
    BUNDLE.write(desk.folder / "tls", private_key=PKI.leaf.key, layout=layout, combined=True)
    found = desk.document(desk.folder / "tls")
    assert found["holds"].startswith(f"directory, {layout}")
    assert found["private_key"] == {"key": "EC secp256r1", "source": "privkey.pem", "matches": True}
    assert found["trusted"] is True
    assert (found["notes"], found["problems"]) == ([], [])


@pytest.mark.parametrize(
    ("change", "note"),
    [
        (lambda tls: (tls / "cert.pem").write_text(OTHER_ROOT.pem), "cert.pem does not hold the same as fullchain.pem"),
        (
            lambda tls: (tls / "chain.pem").write_text(OTHER_ROOT.pem),
            "chain.pem does not hold the same as fullchain.pem",
        ),
        (lambda tls: (tls / "chain.pem").unlink(), "chain.pem is missing"),
        (lambda tls: (tls / "fullchain.pem").unlink(), "fullchain.pem is missing"),
        (lambda tls: (tls / PENDING_FILE).touch(), "the deploy hook has not succeeded for these files yet"),
    ],
)
def test_what_does_not_fit_in_a_directory_is_noted(desk: Desk, change: Callable[[Path], object], note: str) -> None:
    BUNDLE.write(desk.folder / "tls", private_key=PKI.leaf.key)
    change(desk.folder / "tls")
    found = desk.document(desk.folder / "tls")
    assert found["notes"] == [note]
    assert found["leaf"]["name"] == "shop.example.com"


def test_a_key_in_a_directory_that_is_not_the_certificates_is_told(desk: Desk) -> None:
    BUNDLE.write(desk.folder / "tls")
    (desk.folder / "tls" / "privkey.pem").write_bytes(OTHER_ROOT.key_pem)
    assert desk.shown(desk.folder / "tls")["private key"] == "does not match: EC secp256r1 (privkey.pem)"


def test_the_key_of_a_directory_may_be_in_its_combined_file(desk: Desk) -> None:
    BUNDLE.write(desk.folder / "tls", private_key=PKI.leaf.key, combined=True)
    (desk.folder / "tls" / "privkey.pem").unlink()
    assert desk.shown(desk.folder / "tls")["private key"] == "matches: EC secp256r1 (combined.pem)"


def test_a_directory_of_other_files_is_gone_through_by_their_names(desk: Desk) -> None:
    folder = desk.folder / "mixed"
    folder.mkdir()
    for name in ("b.crt", "a.DER", "notes.txt", ".hidden.pem"):
        (folder / name).write_bytes(PKI.leaf.der)
    files = json.loads(desk.run("--json", folder).out)["files"]
    assert [Path(each["path"]).name for each in files] == ["a.DER", "b.crt"]


def make_cut_off(path: Path) -> None:
    BUNDLE.write(path, layout="versioned")
    shutil.rmtree((path / "current").resolve())


def make_dead_link(path: Path) -> None:
    path.mkdir()
    (path / "it.pem").symlink_to("gone")


def make_large(path: Path) -> None:
    path.touch()
    os.truncate(path, 65 * 1024 * 1024)


def test_what_stands_beside_the_files_of_a_layout_is_named(desk: Desk) -> None:
    layouts: tuple[Literal["flat", "versioned"], ...] = ("flat", "versioned")
    for layout in layouts:
        BUNDLE.write(desk.folder / layout, layout=layout)
        (desk.folder / layout / "certificate.zip").write_bytes(FORMATS["ZIP"])
        assert desk.document(desk.folder / layout)["notes"] == ["not looked at: certificate.zip"]


def test_a_directory_of_many_orders_is_gone_through_by_its_directories(desk: Desk) -> None:
    folder = desk.folder / "orders"
    for name in ("b", "a"):
        BUNDLE.write(folder / name)
    (folder / "logs").mkdir()
    files = json.loads(desk.run("--json", folder).out)["files"]
    assert [(Path(each["path"]).name, each["holds"]) for each in files] == [
        ("a", "directory, flat"),
        ("b", "directory, flat"),
    ]


# --- what cannot be read ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"hello", "neither PEM nor base64 of certificates"),
        (b"", "neither PEM nor base64 of certificates"),
        (FORMATS["PKCS#7"][:-9], "PKCS7 data that cannot be read (cut short)"),
        (FORMATS["ZIP"][:-9], "a ZIP archive that cannot be read"),
        (pem(b"\x30\x03\x02\x01\x00").encode(), "a PEM block that holds no certificate"),
        (FORMATS["PKCS#12"][:-9], "PKCS#12 that cannot be opened"),
        (packed_pkcs12("another"), "PKCS#12 that cannot be opened: the password is not this one"),
        (PKI.leaf.key_pem.replace(b"M", b"N"), "the private key is damaged"),
        (pem(b"0", label="CERTIFICATE REQUEST").encode(), "it holds no certificate, but PEM of CERTIFICATE REQUEST"),
        (PKI.leaf.der + PKI.issuing.der, "DER data that cannot be read (something follows it)"),
    ],
    ids=[
        "text",
        "empty",
        "cut PKCS#7",
        "cut ZIP",
        "no certificate",
        "cut PKCS#12",
        "wrong password",
        "damaged key",
        "request",
        "two in DER",
    ],
)
@pytest.mark.usefixtures("password")
def test_an_unreadable_file_is_named_with_a_reason_and_the_others_are_shown(
    desk: Desk, content: bytes, reason: str
) -> None:
    good, bad = desk.file("good.pem", FORMATS["PEM"]), desk.file("bad", content)
    ended = desk.run(bad, good)
    assert ended.code == 1
    assert f"problem  {reason}" in ended.out
    assert "leaf           shop.example.com" in ended.out
    assert ended.err.startswith(f"collectssl: '{bad}' cannot be read: {reason}")
    assert ended.err.count("\n") == 1


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda path: None, "No such file or directory"),
        (Path.mkdir, "no file in it is called like one of certificates"),
        (os.mkfifo, "it is no file"),
        (make_large, "it is larger than 64 MiB"),
        (make_cut_off, "current leads nowhere"),
        (make_dead_link, "No such file or directory"),
    ],
)
def test_what_is_no_file_is_told(desk: Desk, make: Callable[[Path], object], reason: str) -> None:
    make(desk.folder / "it")
    found = desk.document(desk.folder / "it", code=1)
    assert (found["holds"], found["problems"]) == (None, [reason])


def test_a_path_that_may_not_be_looked_at_hides_no_other(desk: Desk) -> None:
    ended = desk.run("--json", desk.folder / ("a" * 300), desk.file("good.pem", FORMATS["PEM"]))
    bad, good = json.loads(ended.out)["files"]
    assert (ended.code, bad["problems"], good["problems"]) == (1, ["File name too long"], [])


def test_a_file_that_may_not_be_read_hides_no_other(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    shut, good = desk.file("shut.pem", FORMATS["PEM"]), desk.file("good.pem", FORMATS["PEM"])

    def may(path: object, mode: int, **_: object) -> bool:  # root may everything
        return str(path) != str(shut)

    def read(path: Path) -> bytes:
        if path == shut:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        with path.open("rb") as file:
            return file.read()

    monkeypatch.setattr(os, "access", may)
    monkeypatch.setattr(Path, "read_bytes", read)
    ended = desk.run("--json", shut, good)
    found = json.loads(ended.out)["files"]
    assert (ended.code, [each["problems"] for each in found]) == (1, [["Permission denied"], []])


@pytest.mark.parametrize("label", ["PRIVATE KEY", "RSA PRIVATE KEY"])
def test_keys_without_an_end_take_no_time(desk: Desk, label: str) -> None:
    path = desk.file("keys.pem", f"-----BEGIN {label}-----\nAAAA\n-----END OF {label}-----\n" * 100_000)
    began = time.process_time()
    assert desk.document(path, code=1)["private_key"] is None
    assert time.process_time() - began < 5


def test_a_broken_block_hides_no_other(desk: Desk) -> None:
    broken = pem(PKI.issuing.der[:-1])
    ended = desk.run("--json", desk.file("all.pem", PKI.leaf.pem + broken + PKI.new_root.pem))
    (found,) = json.loads(ended.out)["files"]
    assert ended.code == 1
    assert found["problems"] == ["block 2: a PEM block that holds no certificate"]
    assert [each["name"] for each in found["others"]] == ["shop.example.com", "Test New Root"]
    assert "cannot be read in whole: block 2: " in json.loads(ended.err)["message"]


def test_a_block_that_does_not_end_hides_no_other(desk: Desk) -> None:
    found = desk.document(desk.file("all.pem", PKI.leaf.pem + "-----BEGIN CERTIFICATE-----\nMIIB"), code=1)
    assert found["leaf"]["name"] == "shop.example.com"
    assert found["problems"] == ["block 2: a PEM block does not end"]


def test_without_certifi_it_is_said_what_to_do(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "certifi", None)
    ended = desk.run(desk.roots)
    assert (ended.code, ended.out) == (2, "")
    assert "pip install certifi, or name a file with --roots" in ended.err


def test_an_encrypted_key_hides_no_certificate(desk: Desk) -> None:
    encrypted = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMIIB\n-----END ENCRYPTED PRIVATE KEY-----\n"
    found = desk.document(desk.file("all.pem", encrypted + PKI.leaf.pem), code=1)
    assert found["leaf"]["name"] == "shop.example.com"
    assert found["problems"][0].startswith("the private key is encrypted")


def test_pkcs12_without_a_password_needs_none(desk: Desk) -> None:
    assert desk.document(desk.file("open.p12", packed_pkcs12("")))["leaf"]["name"] == "shop.example.com"


def test_pkcs12_says_where_its_password_may_come_from(desk: Desk) -> None:
    found = desk.document(desk.file("shut.p12", FORMATS["PKCS#12"]), code=1)
    assert "set COLLECTSSL_PKCS12_PASSWORD, or COLLECTSSL_PKCS12_PASSWORD_FILE" in found["problems"][0]


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        ((), "Missing argument"),
        (("x", "--roots", "missing"), "--roots: 'missing' cannot be used: No such file"),
        (("x", "--roots", os.devnull), "cannot be used: neither PEM nor base64"),
        (("x", "--private-key", "missing"), "--private-key: 'missing' cannot be read: No such file"),
    ],
)
def test_wrong_usage_is_told_in_one_line(desk: Desk, arguments: tuple[str, ...], part: str) -> None:
    ended = desk.run(*arguments)
    assert (ended.code, ended.out) == (2, "")
    assert part in ended.err


def test_names_from_outside_cannot_command_the_terminal(desk: Desk) -> None:
    leaf = PKI.issuing.leaf("a.example.com", subject=pki.name("\x1b[2Jgone"))
    ended = desk.run(desk.file("a.pem", leaf.pem))
    assert "[2Jgone" in ended.out
    assert "\x1b" not in ended.out


def test_a_file_of_thousands_of_certificates_is_no_problem(desk: Desk) -> None:
    path = desk.file("many.pem", "".join(pem(each) for each in [PKI.new_root.der, OTHER_ROOT.der] * 2_000))
    assert len(containers.read(path.read_bytes(), max_certificates=None).certificates) == 4_000
    assert len(desk.document(path)["others"]) == 2
