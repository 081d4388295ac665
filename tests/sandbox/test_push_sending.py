"""Notifications: how often each is sent, to whom, with which login, and what is left of the thread that does it."""

from __future__ import annotations

import gc
import logging
import socket
import ssl
import threading
import time
import weakref
from base64 import b64encode
from typing import TYPE_CHECKING, Any

import pytest

from collectssl_async.sandbox import Sandbox, SandboxNotification
from collectssl_async.sandbox.authority import new_private_key, pem, private_pem

from .calling import wait_until
from .receiving import Partner, by_hand, push_threads

if TYPE_CHECKING:
    from pathlib import Path


PASSWORD = "p4ss:w\u00f6rd"


# --- tries ------------------------------------------------------------------------------------------------------------


def ended(sandbox: Sandbox) -> list[SandboxNotification]:
    wait_until(lambda: all(each.ended for each in sandbox.notifications))
    return sandbox.notifications


@pytest.mark.parametrize("answer", [200, 201, 204, 299])
def test_success_of_any_kind_is_the_end(partner: Partner, answer: int) -> None:
    sandbox, order = by_hand(partner)
    partner.answers.append(answer)
    order.reject()
    partner.take()
    [notification] = ended(sandbox)
    assert (notification.tries, notification.answer, notification.delivered) == (1, answer, True)


@pytest.mark.parametrize("answer", [302, 400, 401, 500])
def test_any_other_answer_is_tried_three_times_in_all(partner: Partner, answer: int) -> None:
    sandbox, order = by_hand(partner)
    partner.answers.extend([answer] * 3)
    order.reject()
    assert partner.events(3) == ["Certificate 7"] * 3
    [notification] = ended(sandbox)
    assert (notification.tries, notification.answer, notification.delivered) == (3, answer, False)


def test_a_try_that_succeeds_is_the_last(partner: Partner) -> None:
    sandbox, order = by_hand(partner)
    partner.answers.extend([503, 200])
    order.reject()
    partner.events(2)
    [notification] = ended(sandbox)
    assert (notification.tries, notification.answer) == (2, 200)


def test_the_order_of_events_is_kept_though_one_is_tried_again(partner: Partner) -> None:
    sandbox, order = by_hand(partner)
    partner.answers.extend([500, 500, 500])
    order.step("dcv", 1)
    order.reject()
    assert partner.events(4) == ["DCV", "DCV", "DCV", "Certificate 7"]
    assert [each.event for each in ended(sandbox)] == ["DCV", "Certificate"]


def test_a_receiver_that_hangs_up_has_failed(partner: Partner) -> None:
    sandbox, order = by_hand(partner)
    gone = threading.Event()
    gone.set()
    partner.answers.extend([gone, 200])
    order.reject()
    partner.events(2)
    assert [(each.tries, each.answer) for each in ended(sandbox)] == [(2, 200)]


def test_a_receiver_that_is_not_there_is_said_in_words() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    sandbox = Sandbox(push_url=f"http://127.0.0.1:{port}/")
    sandbox.place_order("a.example", issue_after=None).reject()
    [notification] = ended(sandbox)
    assert notification.tries == 3
    assert "ConnectionRefusedError" in str(notification.answer)


def test_whoever_moves_an_order_does_not_wait_for_the_receiver(partner: Partner) -> None:
    sandbox, order = by_hand(partner)
    answered = threading.Event()
    partner.answers.append(answered)
    order.reject()
    partner.take()
    assert [(each.tries, each.answer, each.ended) for each in sandbox.notifications] == [(0, None, False)]
    answered.set()
    partner.take()
    assert ended(sandbox)[0].delivered


# --- login, URL -------------------------------------------------------------------------------------------------------


def test_the_login_is_sent_as_basic_authentication(partner: Partner) -> None:
    _, order = by_hand(partner, push_username="us\u00e9r", push_password=PASSWORD)
    order.reject()
    assert partner.take().authorization == "Basic " + b64encode(f"us\u00e9r:{PASSWORD}".encode()).decode()


def test_a_query_of_the_url_s_own_stays(partner: Partner) -> None:
    sandbox = Sandbox(push_url=f"{partner.url}?tenant=7", push_certificates=True)
    plain = Sandbox(push_url=f"{partner.url}?tenant=7")
    for each in (sandbox, plain):
        each.place_order("a.example", issue_after=None).reject()
        assert partner.take().query["tenant"] == "7"


def test_a_receiver_s_certificate_may_be_the_sandbox_s(tmp_path: Path) -> None:
    sandbox = Sandbox()
    key = new_private_key()
    leaf = sandbox.authority.issue(("localhost",), key.public_key(), addresses=("127.0.0.1",))
    file = tmp_path / "server.pem"
    file.write_bytes(private_pem(key) + pem(leaf, sandbox.authority.issuing_ca).encode())
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(file)
    with Partner(tls) as partner:
        stranger = Sandbox(push_url=partner.url)
        stranger.place_order("a.example", issue_after=None).reject()
        assert "SSLCertVerificationError" in str(ended(stranger)[0].answer)
        own = Sandbox(push_url=partner.url)
        own._outbox._receiver._root_pem = sandbox.root_pem  # type: ignore[union-attr]  # it has a push_url
        own.place_order("a.example", issue_after=None).reject()
        assert partner.events(1) == ["Certificate 7"]
        assert ended(own)[0].delivered


@pytest.mark.parametrize(
    "url",
    [
        "ftp://a.example/",
        "a.example",
        "http://",
        "http://a.example:0/",
        "http://a.example:99999/",
        "http://user:s3cret@a.example/",
        "http://a.example/s3cret path",
        "http://b\u00fccher.example/",
    ],
)
def test_a_url_that_cannot_be_called_is_refused_and_not_quoted(url: str) -> None:
    with pytest.raises(ValueError, match="push_url must be an http or https URL") as refused:
        Sandbox(push_url=url)
    assert url not in str(refused.value)
    assert "s3cret" not in str(refused.value)


@pytest.mark.parametrize(
    ("login", "says"),
    [
        ({"push_username": "user"}, "go together"),
        ({"push_password": "s3cret"}, "go together"),
        ({"push_username": "us:er", "push_password": "s3cret"}, "colon"),
    ],
)
def test_a_login_that_cannot_be_sent_is_refused(login: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says) as refused:
        Sandbox(push_url="http://a.example/", **login)
    assert "s3cret" not in str(refused.value)


def test_the_password_is_in_no_log_and_no_repr(partner: Partner, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        sandbox, order = by_hand(partner, push_username="user", push_password="s3cret", push_certificates=True)
        partner.answers.extend([401, 401, 401])
        order.issue()
        partner.events(7)
        notifications = ended(sandbox)
    token = b64encode(b"user:s3cret").decode()
    said = [repr(sandbox), repr(vars(sandbox)), repr(notifications), caplog.text]
    assert not any(secret in text for text in said for secret in ("s3cret", token))
    assert "BEGIN" not in repr(notifications)


# --- threads ----------------------------------------------------------------------------------------------------------


def test_without_a_url_there_is_nothing_to_send_and_no_thread() -> None:
    sandbox = Sandbox()
    order = sandbox.place_order("a.example", issue_after=3600)
    order.issue()
    order.notify(3)
    assert (sandbox.notifications, push_threads()) == ([], [])


def test_the_thread_ends_when_nothing_is_left_to_send(partner: Partner) -> None:
    sandbox, order = by_hand(partner)
    for _ in range(3):
        order.notify(6)
        partner.take()
        wait_until(lambda: not push_threads())
    assert len(ended(sandbox)) == 3


def test_reset_forgets_orders_that_are_still_to_move(partner: Partner) -> None:
    sandbox = Sandbox(push_url=partner.url)
    sandbox.place_order("a.example", issue_after=3600)
    assert push_threads()
    sandbox.reset()
    wait_until(lambda: not push_threads())


def test_reset_breaks_off_what_is_being_sent(partner: Partner) -> None:
    sandbox, order = by_hand(partner)
    answered = threading.Event()
    partner.answers.append(answered)
    order.reject()
    order.notify(3)
    partner.take()
    began = time.monotonic()
    sandbox.reset()
    wait_until(lambda: not push_threads())
    answered.set()
    assert (sandbox.notifications, partner.nothing_more()) == ([], True)
    assert time.monotonic() - began < 2


def test_orders_from_before_a_reset_are_not_announced(partner: Partner) -> None:
    sandbox = Sandbox(push_url=partner.url)
    order = sandbox.place_order("a.example", issue_after=3600)
    sandbox.reset()
    wait_until(lambda: not push_threads())
    order.issue()
    order.replace()
    assert (sandbox.notifications, push_threads(), partner.nothing_more()) == ([], [], True)


def test_nothing_is_left_of_a_sandbox_that_nobody_holds(partner: Partner) -> None:
    sandbox = Sandbox(push_url=partner.url)
    sandbox.place_order("a.example", issue_after=3600)
    gone = weakref.ref(sandbox)
    del sandbox
    gc.collect()
    assert gone() is None
    wait_until(lambda: not push_threads())
