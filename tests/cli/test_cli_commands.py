"""`status` and `collect` against the sandbox over HTTPS: what is shown and what is written when all goes well."""

from __future__ import annotations

import json
import ssl
import stat
from typing import TYPE_CHECKING

from collectssl_async import CollectSSLResponse

from .harness import key_file

if TYPE_CHECKING:
    from pathlib import Path

    from .harness import Service


# --- status -----------------------------------------------------------------------------------------------------------


def test_status_shows_what_the_reply_says(service: Service) -> None:
    order = service.sandbox.place_order("a.example.com", names=["b.example.com"], product="ov", issue_after=None)
    order.step("dcv", 2)
    ended = service.run("status", order.order_number)
    rows = dict(line.strip().split("  ", 1) for line in ended.out.splitlines())
    shown = {label: text.strip() for label, text in rows.items()}
    assert ended.code == 0
    assert shown["order"] == order.order_number
    assert shown["status"] == "0 processing"
    assert shown["steps"] == "1 of 4 done"
    assert shown["DCV"] == "in progress"
    assert shown["OV callback"] == "not completed"
    assert shown["b.example.com"] == "NOTVALIDATED"


def test_status_of_an_issued_order_shows_its_dates(service: Service) -> None:
    order = service.sandbox.place_order("a.example.com")
    ended = service.run("status", order.order_number)
    assert "1 available" in ended.out
    assert " to " in next(line for line in ended.out.splitlines() if line.startswith("valid "))


def test_status_as_json_has_the_fields_of_the_response(service: Service) -> None:
    order = service.sandbox.place_order("a.example.com", issue_after=None)
    order.show(certificate_status="Awaiting Validation (Full)", caa_status="Error 403")
    document = json.loads(service.run("status", order.order_number, "--json").out)
    named = {"order_number", "certificate_id", "base_order_number"}
    read = {"certificate_state", "validation_state", "caa_state", "caa_error_code"}
    assert set(document) == {*CollectSSLResponse.model_fields, *named, *read} - {"payload"}
    assert document["status"] == 0
    assert document["certificate_state"] == "Awaiting Validation"
    assert (document["caa_state"], document["caa_error_code"]) == ("ERROR", 403)
    assert document["steps"]["csr"] == 1


def test_an_order_is_named_by_its_certificate_id(service: Service) -> None:
    order = service.sandbox.place_order("a.example.com")
    ended = service.run("status", "--certificate-id", str(order.certificate_id), "--json")
    assert json.loads(ended.out)["fqdn"] == "a.example.com"


def test_text_from_the_api_cannot_command_the_terminal(service: Service) -> None:
    order = service.sandbox.place_order("a.example.com", issue_after=None)
    order.show(certificate_status="\x1b[2Jgone\nsecond line")
    ended = service.run("status", order.order_number)
    assert "[2Jgone second line" in ended.out
    assert "\x1b" not in ended.out


# --- collect ----------------------------------------------------------------------------------------------------------


def test_collect_writes_the_files_and_names_them(service: Service, tmp_path: Path) -> None:
    order = service.sandbox.place_order("a.example.com")
    ended = service.run("collect", order.order_number, "-o", tmp_path / "new" / "tls")
    names = ("cert.pem", "chain.pem", "fullchain.pem")
    assert ended.code == 0
    assert ended.out.splitlines() == [str(tmp_path / "new" / "tls" / name) for name in names]
    assert "certificate for a.example.com, valid until" in ended.err


def test_collect_again_says_that_nothing_changed(service: Service, tmp_path: Path) -> None:
    order = service.sandbox.place_order("a.example.com")
    service.run("collect", order.order_number, "-o", tmp_path)
    assert service.run("collect", order.order_number, "-o", tmp_path).out == "unchanged\n"


def test_collect_writes_the_key_for_its_owner_alone(service: Service, tmp_path: Path) -> None:
    order = service.sandbox.place_order("a.example.com")
    ended = service.run("collect", order.order_number, "-o", tmp_path, "--private-key", key_file(order, tmp_path))
    written = tmp_path / "privkey.pem"
    assert ended.out.splitlines()[-1] == str(written)
    assert stat.S_IMODE(written.stat().st_mode) == 0o600
    ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(tmp_path / "fullchain.pem", written)


def test_collect_as_json_tells_certificate_and_files(service: Service, tmp_path: Path) -> None:
    order = service.sandbox.place_order("a.example.com", names=["b.example.com"])
    ended = service.run("collect", order.order_number, "-o", tmp_path, "--json")
    document = json.loads(ended.out)
    assert document["status"] == 2
    assert document["dns_names"] == ["a.example.com", "b.example.com"]
    assert document["fullchain"] == str(tmp_path / "fullchain.pem")
    assert document["private_key"] is None
    assert document["changed"] is True
    assert ended.err == ""


def test_a_wait_shows_every_poll_on_stderr(service: Service, tmp_path: Path) -> None:
    order = service.sandbox.place_order("a.example.com", issue_after=None, issue_after_polls=2)
    ended = service.run("collect", order.order_number, "-o", tmp_path, "--wait", "--interval", "0.001")
    polls = [line.partition("a.example.com: ")[2].partition(",")[0] for line in ended.err.splitlines()]
    assert ended.code == 0
    assert polls[:4] == ["0 processing", "0 processing", "1 available", "2 attached"]
    assert ended.out.splitlines()[0] == str(tmp_path / "cert.pem")
