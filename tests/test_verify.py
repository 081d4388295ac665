"""Verification as a user asks for it: what may be handed in, which name stands for none, and what a refusal says."""

from __future__ import annotations

import ipaddress
import pickle
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import certifi
import pytest
from cryptography import x509
from cryptography.x509 import verification
from hypothesis import given, settings
from hypothesis import strategies as st

from collectssl_async._verify import verify_chain
from collectssl_async.certificates import CertificateBundle
from collectssl_async.errors import CertificateError, ChainError

from . import pki

PKI = pki.hierarchy("shop.example.com", "*.example.net")
OLD, NEW = PKI.old_root.certificate, PKI.new_root.certificate
STRANGER = pki.root("Stranger")
PUBLIC = Path(certifi.where()).read_bytes()
"""Real roots, six of them with a serial number that `cryptography` warns about."""


def bundle_of(*certificates: pki.Identity) -> CertificateBundle:
    return CertificateBundle.from_payload(pki.payload(*certificates))


def under(issuer: pki.Identity, *names: str) -> CertificateBundle:
    return bundle_of(issuer.leaf(*names), issuer)


@pytest.fixture
def bundle() -> CertificateBundle:
    return bundle_of(*PKI)


# --- what comes back --------------------------------------------------------------------------------------------------


def test_way_goes_from_the_leaf_to_the_trusted_root(bundle: CertificateBundle) -> None:
    assert bundle.verify([OLD]) == (bundle.certificate, *bundle.intermediates, OLD)


def test_way_ends_at_the_first_root_that_is_trusted(bundle: CertificateBundle) -> None:
    assert bundle.verify([OLD, NEW]) == (bundle.certificate, PKI.issuing.certificate, NEW)


def test_leaf_that_is_trusted_itself_is_the_whole_way(bundle: CertificateBundle) -> None:
    assert bundle.verify([bundle.certificate]) == (bundle.certificate,)


def test_root_that_came_is_not_trusted_for_coming(bundle: CertificateBundle) -> None:
    assert bundle.root == OLD
    with pytest.raises(ChainError, match="no certificate of its issuer CN=Test Old Root"):
        bundle.verify([STRANGER.certificate])


def test_what_the_verifier_does_not_accept_is_never_accepted(
    bundle: CertificateBundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Refuses:
        def __getattr__(self, name: str) -> Any:
            return lambda *_: self

        def verify(self, *_: object) -> None:
            raise verification.VerificationError("for its own reasons\nand more")

    monkeypatch.setattr(verification, "PolicyBuilder", Refuses)
    with pytest.raises(ChainError) as caught:
        bundle.verify([OLD])
    assert str(caught.value) == (
        "the chain of CN=shop.example.com was refused by the verifier: for its own reasons and more"
    )


def test_line_of_twins_does_not_take_for_ever() -> None:
    # All of one name and key, told apart by key identifiers that the verifier does not compare.
    key, above, line = pki.new_key(), pki.root("Root"), list[bytes]()
    for number in range(31):
        authority, own = x509.AuthorityKeyIdentifier(bytes([number]), None, None), bytes([number + 1])
        extensions = [*pki.ca_extensions(), x509.SubjectKeyIdentifier(own), authority]
        above = pki.issue(pki.name("Twin"), key, above, pki.CA_START, pki.CA_END, extensions, key_ids=False)
        line.append(above.der)
    with pytest.raises(ChainError, match=r"^the intermediate CN=Twin,"):
        verify_chain(
            above.leaf("a.example").der, tuple(line[::-1]), [pki.root("Twin").certificate], at=None, hostname=None
        )


# --- roots ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "roots",
    [
        [OLD, STRANGER.certificate],
        (OLD,),
        {OLD},
        PKI.old_root.pem,
        PKI.old_root.pem.encode(),
        STRANGER.pem + "# the old one\r\n" + PKI.old_root.pem.replace("\n", "\r\n"),
    ],
    ids=["list", "tuple", "set", "text", "bytes", "several, CRLF"],
)
def test_roots_are_certificates_or_pem(bundle: CertificateBundle, roots: Any) -> None:
    assert bundle.verify(roots)[-1] == OLD


def test_roots_may_be_a_generator(bundle: CertificateBundle) -> None:
    assert bundle.verify(each for each in (STRANGER.certificate, OLD))[-1] == OLD


NO_ROOTS: dict[str, tuple[Any, str]] = {
    "nothing": ([], "roots holds no certificate to trust"),
    "empty text": ("", "roots cannot be read"),
    "path": ("/etc/ssl/ca.pem", "hand in the PEM itself, not the path of its file"),
    "path object": (
        Path("ca.pem"),
        "roots must be certificates of cryptography, or PEM as bytes or str, not PosixPath",
    ),
    "certificate": (OLD, "roots must be certificates of cryptography, or PEM as bytes or str, not Certificate"),
    "list of PEM": ([PKI.old_root.pem], "roots must be certificates of cryptography, not str"),
    "list of None": ([None], "roots must be certificates of cryptography, not NoneType"),
    "key": (PKI.leaf.key_pem, "roots cannot be read"),
    "damaged": (PKI.old_root.pem.replace("MII", "NII"), "roots cannot be read"),
    "number": (7, "roots must be certificates of cryptography, or PEM as bytes or str, not int"),
}


@pytest.mark.parametrize(("roots", "said"), NO_ROOTS.values(), ids=NO_ROOTS.keys())
def test_what_holds_no_root_is_refused_in_one_clear_line(bundle: CertificateBundle, roots: Any, said: str) -> None:
    with pytest.raises(CertificateError) as caught:
        bundle.verify(roots)
    assert said in str(caught.value)
    assert str(caught.value).isprintable()
    assert not isinstance(caught.value, ChainError)


def unreadable() -> x509.Certificate:
    """A root with a name that is no text: it loads, and fails when it is looked at."""
    other = pki.root("Upper").ca("Broken")
    return x509.load_der_x509_certificate(pki.altered(other, b"Broken", b"Br\xff\xfeen"))


def test_root_that_cannot_be_read_is_passed_over(bundle: CertificateBundle) -> None:
    assert bundle.verify([unreadable(), OLD])[-1] == OLD


def test_nothing_but_roots_that_cannot_be_read_is_refused(bundle: CertificateBundle) -> None:
    with pytest.raises(
        CertificateError, match=r"roots holds no certificate to trust: the certificate cannot be read: ."
    ):
        bundle.verify([unreadable()])


def test_public_roots_beside_the_own_one_cause_no_warning(bundle: CertificateBundle) -> None:
    assert bundle.verify(PUBLIC + PKI.old_root.pem.encode())[-1] == OLD


def test_public_roots_do_not_vouch_for_a_certificate_of_nobody_they_know(bundle: CertificateBundle) -> None:
    with pytest.raises(ChainError, match="no certificate of its issuer CN=Test Old Root"):
        bundle.verify(PUBLIC)


def test_root_with_the_serial_number_0_is_trusted_with_a_warning() -> None:
    root = pki.root("Root")
    with pytest.warns(UserWarning, match="serial number which wasn't positive"):
        old = x509.load_der_x509_certificate(pki.with_serial(root, 0))
    with pytest.warns(UserWarning, match="serial number which wasn't positive"):
        assert bundle_of(root.leaf("a.example")).verify([old])[-1] == old


# --- time -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("zone", [UTC, timezone(timedelta(hours=14)), timezone(timedelta(hours=-12))])
def test_moment_is_the_same_in_every_zone(bundle: CertificateBundle, zone: timezone) -> None:
    assert bundle.verify([OLD], at=bundle.not_after.astimezone(zone))
    with pytest.raises(ChainError, match="it expired at"):
        bundle.verify([OLD], at=(bundle.not_after + timedelta(seconds=1)).astimezone(zone))


def test_expiry_is_said_in_utc_with_the_moment_it_was_judged_at(bundle: CertificateBundle) -> None:
    at = datetime(2040, 1, 2, 3, 4, 5, tzinfo=timezone(timedelta(hours=2)))
    said = f"it expired at {bundle.not_after:%Y-%m-%d %H:%M:%S} UTC, judged at 2040-01-02 01:04:05 UTC"
    with pytest.raises(ChainError) as caught:
        bundle.verify([OLD], at=at)
    assert str(caught.value) == f"the leaf CN=shop.example.com: {said}"


@pytest.mark.parametrize("at", [datetime(2026, 1, 1), "2026-01-01", 0, datetime(2026, 1, 1).date()])  # noqa: DTZ001 - the naive one is what is refused
def test_time_without_a_zone_is_refused(bundle: CertificateBundle, at: Any) -> None:
    with pytest.raises(CertificateError, match="at must be a datetime with its time zone"):
        bundle.verify([OLD], at=at)


# --- host -------------------------------------------------------------------------------------------------------------

FIRST_NAMES: dict[str, tuple[str, ...]] = {
    "a name": ("a.example", "b.example"),
    "a wildcard": ("*.a.example",),
    "a wildcard below a wildcard, then a name": ("*.*.example", "a.example"),
    "an underscore, then a name": ("_a.example", "a.example"),
    "a number, then a name": ("192.0.2.1", "a.example"),
    "a name without dots": ("localhost",),
}


@pytest.mark.parametrize("names", FIRST_NAMES.values(), ids=FIRST_NAMES.keys())
def test_without_a_hostname_the_first_name_that_a_host_can_have_will_do(names: tuple[str, ...]) -> None:
    assert under(PKI.new_root, *names).verify([NEW])


def test_without_a_hostname_an_address_will_do() -> None:
    address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("2001:db8::1"))])
    assert bundle_of(PKI.new_root.leaf(subject=pki.name("a"), extensions=[address])).verify([NEW])


NO_HOSTS = [
    "a:443",
    "https://a.example",
    "*.example.net",
    "b\u00fccher.example",
    "",
    ".",
    "a..b",
    "-a.b",
    "a" * 64,
    7,
    b"a",
]


@pytest.mark.parametrize("hostname", NO_HOSTS)
def test_what_no_host_is_called_is_refused(bundle: CertificateBundle, hostname: Any) -> None:
    with pytest.raises(
        CertificateError, match=r"hostname must be a DNS name in ASCII \(xn--...\) or an IP address, not"
    ):
        bundle.verify([OLD], hostname=hostname)


NAMED = ["shop.example.com", "SHOP.example.com", "shop.example.com.", "a.example.net", "A.Example.Net"]


@pytest.mark.parametrize("hostname", NAMED)
def test_host_that_the_leaf_names_is_accepted(bundle: CertificateBundle, hostname: str) -> None:
    assert bundle.verify([OLD], hostname=hostname)


@pytest.mark.parametrize("hostname", NAMED)
def test_host_that_the_leaf_names_is_no_fault_of_a_leaf_that_has_others(
    bundle: CertificateBundle, hostname: str
) -> None:
    with pytest.raises(ChainError, match=r"^the leaf CN=shop\.example\.com: it expired at [^;]*$"):
        bundle.verify([OLD], at=bundle.not_after + timedelta(days=1), hostname=hostname)


def test_names_of_the_leaf_are_told_but_not_all_of_a_hundred() -> None:
    names = [f"host{number}.example" for number in range(100)]
    with pytest.raises(ChainError, match=r"not for a\.example but for host0\.example, .*, host9\.example and 90 more$"):
        under(PKI.new_root, *names).verify([NEW], hostname="a.example")


def test_leaf_whose_names_no_host_can_have_is_refused() -> None:
    with pytest.raises(ChainError, match=r"it is for _a\.example, and no host can be called so$"):
        under(PKI.new_root, "_a.example").verify([NEW])


# --- refusals ---------------------------------------------------------------------------------------------------------


def test_everything_that_is_wrong_with_a_certificate_is_said_at_once() -> None:
    leaf = pki.issue(pki.name("old"), pki.new_key(), PKI.new_root, pki.CA_START, pki.LEAF_START, (), key_ids=False)
    with pytest.raises(ChainError, match=r"it expired at .*; it names no host .*; it has no authority key identifier$"):
        bundle_of(leaf).verify([NEW])


@pytest.mark.parametrize("serial", [0, -5])
def test_leaf_whose_serial_number_is_not_positive_is_refused_without_a_warning(serial: int) -> None:
    leaf = pki.with_serial(PKI.new_root.leaf("a.example"), serial, PKI.new_root)
    with pytest.raises(ChainError, match=r"^the leaf CN=a\.example: its serial number is not positive$"):
        verify_chain(leaf, (), [NEW], at=None, hostname=None)


def test_root_of_version_1_is_not_blamed_for_what_that_version_lacks() -> None:
    root = pki.version_1(pki.root("Old"))
    with pytest.raises(ChainError, match=r"^the root CN=Old,\S+ \S+ it is of X\.509 version 1, [^;]*$"):
        under(root, "a.example").verify([root.certificate])


def test_leaf_without_a_subject_is_called_by_its_first_host() -> None:
    leaf = PKI.new_root.leaf("a.example", "b.example", subject=x509.Name([]))
    with pytest.raises(ChainError, match=r"^the leaf a\.example: it is not for c\.example"):
        bundle_of(leaf).verify([NEW], hostname="c.example")


def test_intermediate_is_told_from_its_twin_by_its_issuer() -> None:
    ended = pki.root("Old").cross_sign(PKI.new_root, end=pki.LEAF_END - timedelta(days=1))
    with pytest.raises(ChainError, match=r"^the intermediate CN=Test New Root,.* \(issued by CN=Old,.*\): "):
        under(ended, "a.example").verify([STRANGER.certificate])


def test_refusal_stands_alone(bundle: CertificateBundle) -> None:
    with pytest.raises(ChainError) as caught:
        bundle.verify([STRANGER.certificate])
    assert (caught.value.__cause__, caught.value.__context__) == (None, None)
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


@pytest.mark.parametrize("name", ["line\nbreak\x1b[31m", "x" * 64])
def test_refusal_is_one_line_of_bounded_length(name: str) -> None:
    root = pki.root(name)
    with pytest.raises(ChainError) as caught:
        under(root.ca(name), "a.example").verify([STRANGER.certificate])
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 600


CHAIN = (PKI.leaf, PKI.issuing, PKI.cross_root)


@settings(max_examples=200, deadline=None)
@given(which=st.integers(0, len(CHAIN) - 1), place=st.integers(0, 10_000), value=st.integers(1, 255))
def test_chain_with_a_signed_byte_changed_is_never_accepted(which: int, place: int, value: int) -> None:
    ders = [bytearray(each.der) for each in CHAIN]
    signed = CHAIN[which].certificate.tbs_certificate_bytes
    ders[which][CHAIN[which].der.index(signed) + place % len(signed)] ^= value
    leaf, *intermediates = map(bytes, ders)
    with pytest.raises(CertificateError):
        verify_chain(leaf, tuple(intermediates), [OLD], at=None, hostname=None)
