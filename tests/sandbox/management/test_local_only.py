"""Who may command the sandbox: local programs and its own page, unless it was exposed on purpose."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import httpx
import pytest

from collectssl_async.errors import ConfigurationError
from collectssl_async.sandbox import Sandbox

if TYPE_CHECKING:
    from .desk import Desk


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "localhost:9", "LOCALHOST", "[::1]:80", "127.9.9.9"])
def test_a_local_caller_is_served_by_any_local_name(desk: Desk, host: str) -> None:
    assert desk.http.get("/orders", headers={"host": host}).status_code == 200


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example", "10.0.0.1", "["])
@pytest.mark.parametrize("path", ["/", "/state", "/orders", "/page.js"])
def test_a_name_that_was_pointed_here_is_refused(desk: Desk, host: str, path: str) -> None:
    reply = desk.http.get(path, headers={"host": host})
    assert (reply.status_code, "Host header" in reply.json()["error"]) == (403, True)


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://localhost:1", "https://127.0.0.1"])
def test_what_a_foreign_page_sends_is_refused(desk: Desk, origin: str) -> None:
    reply = desk.send("POST", "/orders", b'{"fqdn": "a.example"}', origin=origin)
    assert (reply.status_code, "Origin header" in reply.json()["error"]) == (403, True)
    assert desk.ask("GET", "/orders") == []


def test_what_our_own_page_sends_is_taken(desk: Desk) -> None:
    reply = desk.send("POST", "/orders", b'{"fqdn": "a.example"}', origin=desk.server.management)
    assert reply.status_code == 201


def test_a_preflight_is_not_answered_with_a_permission(desk: Desk) -> None:
    headers = {"origin": "https://evil.example", "access-control-request-method": "POST"}
    reply = desk.http.options("/orders", headers=headers)
    assert (reply.status_code, "access-control-allow-origin" in reply.headers) == (403, False)


# --- where it listens -------------------------------------------------------------------------------------------------


def test_the_endpoint_over_plain_http_answers_minus_1(desk: Desk) -> None:
    url = desk.server.management + urlsplit(desk.server.endpoint).path
    reply = desk.http.post(url, data=desk.caller.form(desk.sandbox.place_order("a.example")))
    assert reply.text.splitlines() == ["-1", "Request was not made over https!"]


def test_management_is_not_reached_at_the_endpoint(desk: Desk) -> None:
    url = urlsplit(desk.server.endpoint)
    assert desk.caller.http.get(f"https://{url.netloc}/orders").status_code == 404


def test_management_and_page_are_on_loopback(desk: Desk) -> None:
    assert desk.server.management.startswith("http://127.0.0.1:")
    assert desk.server.page == f"{desk.server.management}/"


def test_the_management_port_can_be_chosen() -> None:
    with Sandbox().serve() as server:
        port = urlsplit(server.management).port
    assert port is not None
    with Sandbox().serve(management_port=port) as server:
        assert urlsplit(server.management).port == port


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", "192.0.2.1"])
def test_a_host_that_others_reach_is_refused_without_the_flag(host: str) -> None:
    with pytest.raises(ConfigurationError, match=r"loopback only.*expose_to_network=True"):
        Sandbox().serve(host=host)


def test_a_host_that_is_no_address_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"must be an IP address such as 127\.0\.0\.1, not 'example.com'"):
        Sandbox().serve(host="example.com", expose_to_network=True)


@pytest.mark.parametrize(("host", "reached_at"), [("0.0.0.0", "127.0.0.1"), ("127.0.0.2", "127.0.0.2")])
def test_the_endpoint_is_trusted_at_the_host_that_it_listens_on(host: str, reached_at: str) -> None:
    with Sandbox().serve(host=host, expose_to_network=True) as server:
        assert urlsplit(server.endpoint).hostname == reached_at
        reply = httpx.post(server.endpoint, verify=server.ssl_context, trust_env=False)
    assert reply.status_code == 200


@pytest.mark.skipif(not socket.has_ipv6, reason="this machine has no IPv6")
@pytest.mark.parametrize(("host", "exposed"), [("::1", False), ("::", True)])
def test_it_listens_on_ipv6(host: str, exposed: bool) -> None:
    with Sandbox().serve(host=host, expose_to_network=exposed) as server:
        assert server.endpoint.startswith("https://[::1]:")
        httpx.post(server.endpoint, verify=server.ssl_context, trust_env=False)
        assert httpx.get(f"{server.management}/orders", trust_env=False).status_code == 200


def test_an_exposed_server_goes_by_any_name_but_takes_nothing_from_foreign_pages() -> None:
    with Sandbox().serve(host="0.0.0.0", expose_to_network=True) as server:
        url = f"{server.management}/orders"
        named = {"host": "sandbox:8080"}
        assert httpx.get(url, headers=named, trust_env=False).status_code == 200
        foreign = {**named, "origin": "http://evil.example"}
        assert httpx.post(url, headers=foreign, json={"fqdn": "a.example"}, trust_env=False).status_code == 403
