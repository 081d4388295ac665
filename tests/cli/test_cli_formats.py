"""`collect --format`: the service's container as it was received, or PKCS#12, with one collection each."""

from __future__ import annotations

import json
import stat
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.serialization import pkcs12

from collectssl_async import containers

from .desk import PASSWORD
from .harness import key_file, run

if TYPE_CHECKING:
    from pathlib import Path

    from collectssl_async.sandbox import SandboxOrder

    from .harness import Service

FILES = {"zip": "certificate.zip", "pkcs7": "certificate.p7b", "netscape": "certificate.nseq"}

formats = pytest.mark.parametrize(("asked", "name"), FILES.items())


@pytest.fixture
def order(service: Service) -> SandboxOrder:
    return service.sandbox.place_order("a.example.com")


def collections(service: Service) -> list[int | str | None]:
    """What the service answered, the statuses that a wait asked for among it."""
    return [call.answer for call in service.sandbox.calls]


# --- the service's containers -----------------------------------------------------------------------------------------


@formats
def test_a_container_is_written_and_nothing_else_with_one_call(
    service: Service, order: SandboxOrder, tmp_path: Path, asked: str, name: str
) -> None:
    ended = service.run("collect", order.order_number, "-o", tmp_path, "--format", asked)
    assert (ended.code, ended.out) == (0, f"{tmp_path / name}\n")
    assert [file.name for file in tmp_path.iterdir()] == [name]
    assert collections(service) == [2]
    found = containers.read((tmp_path / name).read_bytes())
    assert (found.response_type.name.lower(), len(found.certificates)) == (asked, 4)


@formats
def test_a_wait_collects_the_container_with_the_one_call_that_brings_it(
    service: Service, tmp_path: Path, asked: str, name: str
) -> None:
    order = service.sandbox.place_order("a.example.com", issue_after=None, issue_after_polls=2)
    arguments = ("-o", tmp_path, "--format", asked, "--wait", "--interval", "0.001")
    assert service.run("collect", order.order_number, *arguments).code == 0
    assert collections(service) == [0, 0, 1, 2]
    assert [file.name for file in tmp_path.iterdir()] == [name]


@formats
def test_the_same_certificates_are_left_as_they_are(
    service: Service, order: SandboxOrder, tmp_path: Path, asked: str, name: str
) -> None:
    # The service varies names, order and line ends of what it packs from reply to reply.
    service.run("collect", order.order_number, "-o", tmp_path, "--format", asked)
    before = (tmp_path / name).read_bytes()
    for _ in range(3):
        assert service.run("collect", order.order_number, "-o", tmp_path, "--format", asked).out == "unchanged\n"
    assert (tmp_path / name).read_bytes() == before


@formats
def test_another_certificate_replaces_it(
    service: Service, order: SandboxOrder, tmp_path: Path, asked: str, name: str
) -> None:
    (tmp_path / name).write_bytes(b"rubbish")
    service.run("collect", order.order_number, "-o", tmp_path, "--format", asked)
    before = containers.read((tmp_path / name).read_bytes()).certificates
    other = service.sandbox.place_order("b.example.com")
    ended = service.run("collect", other.order_number, "-o", tmp_path, "--format", asked)
    assert ended.out == f"{tmp_path / name}\n"
    assert set(containers.read((tmp_path / name).read_bytes()).certificates) != set(before)


def test_json_names_the_container(service: Service, order: SandboxOrder, tmp_path: Path) -> None:
    ended = service.run("collect", order.order_number, "-o", tmp_path, "--format", "zip", "--json")
    document = json.loads(ended.out)
    assert document["container"] == str(tmp_path / "certificate.zip")
    assert "fullchain" not in document


def test_the_hook_is_told_of_the_container_and_runs_when_it_changed(
    service: Service, order: SandboxOrder, tmp_path: Path
) -> None:
    told = tmp_path / "told"
    arguments = (
        "-o",
        tmp_path / "tls",
        "--format",
        "pkcs7",
        "--deploy-hook",
        f'echo "$COLLECTSSL_CONTAINER" >> {told}',
    )
    for _ in range(2):
        service.run("collect", order.order_number, *arguments)
    assert told.read_text() == f"{tmp_path / 'tls' / 'certificate.p7b'}\n"


def test_an_order_that_is_not_issued_is_not_ready_in_any_format(service: Service, tmp_path: Path) -> None:
    order = service.sandbox.place_order("a.example.com", issue_after=None)
    ended = service.run("collect", order.order_number, "-o", tmp_path / "tls", "--format", "zip")
    assert ended.code == 3
    assert "has no certificate yet" in ended.err


def test_a_key_that_does_not_match_is_refused_though_it_is_not_written(
    service: Service, order: SandboxOrder, tmp_path: Path
) -> None:
    key = key_file(service.sandbox.place_order("b.example.com"), tmp_path)
    ended = service.run("collect", order.order_number, "-o", tmp_path / "tls", "--format", "zip", "--private-key", key)
    assert ended.code == 1
    assert "the key in --private-key does not belong" in ended.err
    assert not (tmp_path / "tls").exists()


# --- PKCS#12 ----------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("password")
def test_pkcs12_holds_key_and_certificates_for_its_owner_alone(
    service: Service, order: SandboxOrder, tmp_path: Path
) -> None:
    file = tmp_path / "tls" / "certificate.p12"
    arguments = ("-o", file.parent, "--format", "pkcs12", "--private-key", key_file(order, tmp_path))
    ended = service.run("collect", order.order_number, *arguments)
    assert (ended.code, ended.out, collections(service)) == (0, f"{file}\n", [2])
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    held = pkcs12.load_pkcs12(file.read_bytes(), PASSWORD.encode())
    assert held.cert is not None
    assert held.cert.friendly_name == b"a.example.com"
    assert held.key is not None
    assert len(held.additional_certs) == 2


@pytest.mark.usefixtures("password")
def test_pkcs12_of_the_same_is_left_as_it_is_and_its_mode_mended(
    service: Service, order: SandboxOrder, tmp_path: Path
) -> None:
    file = tmp_path / "certificate.p12"
    arguments = ("-o", tmp_path, "--format", "pkcs12", "--private-key", key_file(order, tmp_path))
    service.run("collect", order.order_number, *arguments)
    before = file.read_bytes()
    file.chmod(0o644)
    assert service.run("collect", order.order_number, *arguments).out == "unchanged\n"
    assert (file.read_bytes(), stat.S_IMODE(file.stat().st_mode)) == (before, 0o600)


@pytest.mark.usefixtures("password")
def test_pkcs12_under_another_password_is_written_anew(
    service: Service, order: SandboxOrder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = ("-o", tmp_path, "--format", "pkcs12", "--private-key", key_file(order, tmp_path))
    service.run("collect", order.order_number, *arguments)
    monkeypatch.setenv("COLLECTSSL_PKCS12_PASSWORD", "another")
    assert service.run("collect", order.order_number, *arguments).out == f"{tmp_path / 'certificate.p12'}\n"
    assert pkcs12.load_pkcs12((tmp_path / "certificate.p12").read_bytes(), b"another").cert is not None


def test_the_password_comes_from_a_file(
    service: Service, order: SandboxOrder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "password").write_text(f"{PASSWORD}\n")
    monkeypatch.setenv("COLLECTSSL_PKCS12_PASSWORD_FILE", str(tmp_path / "password"))
    arguments = ("-o", tmp_path, "--format", "pkcs12", "--private-key", key_file(order, tmp_path))
    assert service.run("collect", order.order_number, *arguments).code == 0
    assert pkcs12.load_pkcs12((tmp_path / "certificate.p12").read_bytes(), PASSWORD.encode()).cert is not None


@pytest.mark.parametrize(
    ("environment", "part"),
    [
        ({}, "PKCS#12 needs a password: set COLLECTSSL_PKCS12_PASSWORD, or COLLECTSSL_PKCS12_PASSWORD_FILE"),
        ({"": "x", "_FILE": "password"}, "are both set: unset one of them"),
        ({"_FILE": "missing"}, "COLLECTSSL_PKCS12_PASSWORD_FILE cannot be used, 'missing': No such file"),
        ({"_FILE": "/dev/null"}, "it is empty"),
        ({"_FILE": "/usr/bin/env"}, "it is not UTF-8 text"),
        ({"": "Schl\u00fcssel"}, "PKCS#12: password must be 1 to 1,023 printable characters of ASCII"),
    ],
)
def test_a_password_that_cannot_be_used_is_told_before_any_call(
    service: Service,
    order: SandboxOrder,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    environment: dict[str, str],
    part: str,
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(f"COLLECTSSL_PKCS12_PASSWORD{name}", value)
    arguments = ("-o", tmp_path, "--format", "pkcs12", "--private-key", key_file(order, tmp_path))
    ended = service.run("collect", order.order_number, *arguments)
    assert ended.code == 2
    assert part in ended.err
    assert service.sandbox.calls == []


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (("--format", "pkcs12"), "--format pkcs12 needs --private-key"),
        (("--format", "zip", "--layout", "versioned"), "--layout versioned is for PEM files"),
        (("--format", "zip", "--combined"), "--combined is a PEM file"),
        (("--format", "jks"), "--format"),
    ],
)
def test_options_that_contradict_each_other_are_told_before_any_call(
    service: Service, tmp_path: Path, arguments: tuple[str, ...], part: str
) -> None:
    ended = run(service.capsys, "collect", "1", "-o", tmp_path, *arguments)
    assert ended.code == 2
    assert part in ended.err


# --- PEM, as options have it ------------------------------------------------------------------------------------------


def test_the_versioned_layout_keeps_as_many_issues_as_are_asked_for(service: Service, tmp_path: Path) -> None:
    for name in ("a.example.com", "b.example.com", "c.example.com"):
        order = service.sandbox.place_order(name)
        service.run("collect", order.order_number, "-o", tmp_path, "--layout", "versioned", "--keep", "2")
    assert len([each for each in tmp_path.iterdir() if not each.is_symlink()]) == 2
    assert (tmp_path / "current" / "fullchain.pem").exists()


def test_combined_holds_key_and_chain(service: Service, order: SandboxOrder, tmp_path: Path) -> None:
    key = key_file(order, tmp_path)
    ended = service.run(
        *("collect", order.order_number, "-o", tmp_path / "tls", "--private-key", key, "--combined", "--json")
    )
    combined = tmp_path / "tls" / "combined.pem"
    assert json.loads(ended.out)["combined"] == str(combined)
    assert combined.read_bytes() == key.read_bytes() + (tmp_path / "tls" / "fullchain.pem").read_bytes()
