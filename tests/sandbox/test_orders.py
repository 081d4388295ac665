"""Orders: how they are placed, how they move, how they end."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from collectssl_async.sandbox.movement import Movement

from .calling import dns_names

if TYPE_CHECKING:
    from collectssl_async.sandbox import Sandbox

    from .calling import Caller, Clock


@cache
def make_csr(*names: str) -> tuple[rsa.RSAPrivateKey, x509.CertificateSigningRequest]:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    if names:
        alternatives = x509.SubjectAlternativeName([x509.DNSName(name) for name in names])
        builder = builder.add_extension(alternatives, critical=False)
    return key, builder.sign(key, hashes.SHA256())


# --- movement ---------------------------------------------------------------------------------------------------------


def test_an_order_is_issued_at_once_unless_told_otherwise(caller: Caller, sandbox: Sandbox) -> None:
    assert caller.status(sandbox.place_order("shop.example.com")) == 1


def test_an_issued_order_is_available_when_asked_and_attached_when_collected(caller: Caller, sandbox: Sandbox) -> None:
    order = sandbox.place_order("shop.example.com")
    assert [caller.status(order, queryType=kind) for kind in (0, 1, 2, 3, 0)] == [1, 2, 2, 2, 1]


def test_an_order_that_is_processed_has_nothing_to_collect(caller: Caller, sandbox: Sandbox) -> None:
    order = sandbox.place_order("shop.example.com", issue_after=None)
    assert [caller.lines(order, queryType=kind) for kind in (0, 1, 2, 3)] == [["0"]] * 4


def test_an_order_moves_when_its_time_has_come(caller: Caller, sandbox: Sandbox, clock: Clock) -> None:
    order = sandbox.place_order("shop.example.com", issue_after=60)
    seen = [caller.status(order)]
    clock.now += 59.9
    seen.append(caller.status(order))
    clock.now += 0.1
    seen.append(caller.status(order))
    assert seen == [0, 0, 1]


def test_an_order_moves_after_so_many_polls_were_told_not_yet(caller: Caller, sandbox: Sandbox) -> None:
    order = sandbox.place_order("shop.example.com", issue_after_polls=3)
    assert [caller.status(order) for _ in range(5)] == [0, 0, 0, 1, 1]


def test_an_order_with_both_conditions_waits_for_both(caller: Caller, sandbox: Sandbox, clock: Clock) -> None:
    order = sandbox.place_order("shop.example.com", issue_after=60, issue_after_polls=1)
    clock.now += 60
    assert [caller.status(order) for _ in range(2)] == [0, 1]


def test_polls_alone_move_an_order_without_a_time(caller: Caller, sandbox: Sandbox) -> None:
    order = sandbox.place_order("shop.example.com", issue_after=None, issue_after_polls=1)
    assert [caller.status(order) for _ in range(2)] == [0, 1]


def test_an_order_by_hand_moves_by_hand_alone(caller: Caller, sandbox: Sandbox, clock: Clock) -> None:
    order = sandbox.place_order("shop.example.com", issue_after=None)
    clock.now += 1e9
    before = caller.status(order)
    order.issue()
    assert (before, caller.status(order)) == (0, 1)


def test_a_clock_that_goes_back_does_not_undo_an_issue(caller: Caller, sandbox: Sandbox, clock: Clock) -> None:
    order = sandbox.place_order("shop.example.com")
    clock.now -= 100
    assert caller.status(order) == 1


def test_issuing_twice_keeps_the_certificate(caller: Caller, sandbox: Sandbox) -> None:
    order = sandbox.place_order("shop.example.com")
    first = caller.leaf(order)
    order.issue()
    assert caller.leaf(order) == first


@pytest.mark.parametrize(
    ("after", "elapsed", "stages", "pause"),
    [
        (90, 0, 3, 30),
        (90, 29, 3, 1),
        (90, 30, 3, 30),
        (90, 89, 3, 1),
        (90, 90, 3, None),
        (None, 0, 3, None),
        (0, 0, 3, None),
    ],
)
def test_an_order_says_when_its_next_stage_ends(
    after: float | None, elapsed: float, stages: int, pause: float | None
) -> None:
    assert Movement(after, None).pause(elapsed, stages) == pause


# --- names, keys, CSRs ------------------------------------------------------------------------------------------------


def test_the_certificate_has_the_order_s_key(caller: Caller, sandbox: Sandbox) -> None:
    order = sandbox.place_order("shop.example.com")
    assert isinstance(order.private_key, ec.EllipticCurvePrivateKey)
    assert caller.leaf(order).public_key() == order.private_key.public_key()


def test_fqdn_is_the_first_name_and_no_name_comes_twice(caller: Caller, sandbox: Sandbox) -> None:
    order = sandbox.place_order("shop.example.com", names=["a.example", "shop.example.com", "*.b.example", "a.example"])
    assert dns_names(caller.leaf(order)) == ["shop.example.com", "a.example", "*.b.example"]
    assert order.fqdn == "shop.example.com"


def test_the_key_of_a_csr_is_what_gets_signed(caller: Caller, sandbox: Sandbox) -> None:
    key, csr = make_csr()
    order = sandbox.place_order("shop.example.com", csr=csr)
    assert caller.leaf(order).public_key() == key.public_key()
    assert order.private_key is None


def test_a_csr_s_names_count_where_none_are_given(caller: Caller, sandbox: Sandbox) -> None:
    _, csr = make_csr("www.example.com", "shop.example.com")
    taken = sandbox.place_order("shop.example.com", csr=csr)
    given = sandbox.place_order("shop.example.com", csr=csr, names=["a.example"])
    assert dns_names(caller.leaf(taken)) == ["shop.example.com", "www.example.com"]
    assert dns_names(caller.leaf(given)) == ["shop.example.com", "a.example"]


@pytest.mark.parametrize("encoding", [serialization.Encoding.PEM, serialization.Encoding.DER])
def test_a_csr_comes_as_pem_or_der(caller: Caller, sandbox: Sandbox, encoding: serialization.Encoding) -> None:
    key, csr = make_csr()
    order = sandbox.place_order("shop.example.com", csr=csr.public_bytes(encoding))
    assert caller.leaf(order).public_key() == key.public_key()


def test_a_csr_comes_as_text(caller: Caller, sandbox: Sandbox) -> None:
    key, csr = make_csr()
    order = sandbox.place_order("shop.example.com", csr=csr.public_bytes(serialization.Encoding.PEM).decode())
    assert caller.leaf(order).public_key() == key.public_key()


def test_a_csr_that_its_key_did_not_sign_is_refused(sandbox: Sandbox) -> None:
    _, csr = make_csr()
    forged = bytearray(csr.public_bytes(serialization.Encoding.DER))
    forged[-1] ^= 1
    with pytest.raises(ValueError, match="not signed by its own key"):
        sandbox.place_order("shop.example.com", csr=bytes(forged))


def test_a_name_that_fills_no_common_name_is_issued_without_one(caller: Caller, sandbox: Sandbox) -> None:
    name = ".".join(["a" * 60, "b" * 60, "example"])
    certificate = caller.leaf(sandbox.place_order(name))
    assert (dns_names(certificate), len(list(certificate.subject))) == ([name], 0)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"fqdn": ""}, "no DNS name"),
        ({"fqdn": "bücher.example"}, "xn-- form"),
        ({"fqdn": "shop.example.com", "names": ["a b"]}, "'a b' is no DNS name"),
        ({"fqdn": "a." * 127 + "b"}, "no DNS name"),
        ({"fqdn": "shop.example.com", "product": "xv"}, "'dv', 'ov', 'ev'"),
        ({"fqdn": "shop.example.com", "issue_after": -1}, "issue_after"),
        ({"fqdn": "shop.example.com", "issue_after": float("nan")}, "issue_after"),
        ({"fqdn": "shop.example.com", "issue_after_polls": -1}, "issue_after_polls"),
        ({"fqdn": "shop.example.com", "csr": "-----BEGIN NOTHING-----"}, "cannot be read"),
    ],
)
def test_what_cannot_be_ordered_is_refused(sandbox: Sandbox, arguments: dict[str, object], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        sandbox.place_order(**arguments)  # type: ignore[arg-type]  # wrong on purpose


def test_names_given_as_one_text_are_refused(sandbox: Sandbox) -> None:
    with pytest.raises(TypeError, match="sequence of names"):
        sandbox.place_order("shop.example.com", names="a.example")


# --- ends -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("end", "code"), [("reject", -20), ("revoke", -21), ("await_payment", -22)])
@pytest.mark.parametrize("query_type", [0, 1])
def test_an_order_that_ended_is_answered_with_its_code(
    caller: Caller, sandbox: Sandbox, end: str, code: int, query_type: int
) -> None:
    order = sandbox.place_order("shop.example.com")
    getattr(order, end)()
    assert caller.status(order, queryType=query_type) == code


def test_a_paid_order_is_issued(caller: Caller, sandbox: Sandbox) -> None:
    order = sandbox.place_order("shop.example.com", issue_after=None)
    order.await_payment()
    order.issue()
    assert caller.status(order) == 1


def test_a_refused_poll_does_not_count(caller: Caller, sandbox: Sandbox) -> None:
    order = sandbox.place_order("shop.example.com", issue_after_polls=1)
    caller.status(order, queryType=9)
    assert [caller.status(order) for _ in range(2)] == [0, 1]


# --- reissue ----------------------------------------------------------------------------------------------------------


def test_a_reissue_keeps_the_order_number_and_changes_the_rest(caller: Caller, sandbox: Sandbox) -> None:
    order = sandbox.place_order("shop.example.com")
    before = (order.order_number, order.certificate_id, caller.leaf(order).public_key())
    order.replace()
    after = (order.order_number, order.certificate_id, caller.leaf(order).public_key())
    assert [old == new for old, new in zip(before, after, strict=True)] == [True, False, False]


def test_a_replaced_certificate_comes_by_its_id(caller: Caller, sandbox: Sandbox) -> None:
    order = sandbox.place_order("shop.example.com")
    old_id, old = order.certificate_id, caller.leaf(order)
    order.replace()
    assert caller.leaf(order, orderNumber=None, certificateID=old_id) == old
    assert caller.leaf(order, certificateID=old_id, behaviourVersion=0) == old


def test_a_replaced_certificate_is_refused_to_who_asked_to_be_told(caller: Caller, sandbox: Sandbox) -> None:
    order = sandbox.place_order("shop.example.com")
    old_id = order.certificate_id
    order.replace()
    assert caller.status(order, certificateID=old_id, behaviourVersion=1) == -23
    assert caller.status(order, behaviourVersion=1) == 1


def test_a_reissue_moves_as_the_order_did(caller: Caller, sandbox: Sandbox, clock: Clock) -> None:
    order = sandbox.place_order("shop.example.com", issue_after=60)
    clock.now += 60
    assert caller.status(order) == 1
    order.replace()
    seen = [caller.status(order)]
    clock.now += 60
    assert [*seen, caller.status(order)] == [0, 1]


def test_a_certificate_replaced_before_it_was_issued_never_is(caller: Caller, sandbox: Sandbox, clock: Clock) -> None:
    order = sandbox.place_order("shop.example.com", issue_after=60)
    old_id = order.certificate_id
    order.replace()
    clock.now += 60
    assert caller.status(order, certificateID=old_id) == 0


def test_a_reissue_signs_the_csr_that_is_handed_in(caller: Caller, sandbox: Sandbox) -> None:
    order = sandbox.place_order("shop.example.com")
    key, csr = make_csr()
    order.replace(csr)
    assert caller.leaf(order).public_key() == key.public_key()
    assert order.private_key is None


def test_an_order_says_what_it_is_for(sandbox: Sandbox) -> None:
    order = sandbox.place_order("shop.example.com", names=["a.example"])
    assert repr(order) == f"SandboxOrder({order.order_number!r}, shop.example.com, a.example)"
