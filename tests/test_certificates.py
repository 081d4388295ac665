"""What a bundle says and gives: PEM texts, names, dates, fingerprint, whose key it is; and that it is a plain value."""

from __future__ import annotations

import copy
import dataclasses
import hashlib
import ipaddress
import pickle
import subprocess
import sys
import traceback
from datetime import UTC, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import x25519
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from collectssl_async.certificates import CertificateBundle
from collectssl_async.errors import CertificateError

from . import pki

PKI = pki.hierarchy("shop.example.com", "www.shop.example.com", "*.example.net")
KEY = PKI.leaf.key


def bundle_of(*certificates: pki.Identity) -> CertificateBundle:
    return CertificateBundle.from_payload(pki.payload(*certificates))


@pytest.fixture
def bundle() -> CertificateBundle:
    return bundle_of(*PKI)


# --- PEM --------------------------------------------------------------------------------------------------------------


def test_certificate_pem_is_the_leaf(bundle: CertificateBundle) -> None:
    assert bundle.certificate_pem == PKI.leaf.pem


def test_chain_pem_is_the_intermediates_without_the_root(bundle: CertificateBundle) -> None:
    assert bundle.chain_pem == PKI.issuing.pem + PKI.cross_root.pem


def test_fullchain_pem_is_leaf_and_intermediates(bundle: CertificateBundle) -> None:
    assert bundle.fullchain_pem == PKI.leaf.pem + PKI.issuing.pem + PKI.cross_root.pem


def test_ca_bundle_pem_is_the_whole_chain(bundle: CertificateBundle) -> None:
    assert bundle.ca_bundle_pem == PKI.issuing.pem + PKI.cross_root.pem + PKI.old_root.pem


def test_leaf_alone_has_empty_chain_texts() -> None:
    alone = bundle_of(PKI.leaf)
    assert (alone.chain_pem, alone.ca_bundle_pem, alone.fullchain_pem) == ("", "", PKI.leaf.pem)


def test_pem_ends_with_a_line_feed_and_has_no_other_line_break(bundle: CertificateBundle) -> None:
    for text in (bundle.certificate_pem, bundle.chain_pem, bundle.fullchain_pem, bundle.ca_bundle_pem):
        assert text.endswith("-----END CERTIFICATE-----\n")
        assert "\r" not in text
        assert "\n\n" not in text


def test_certificates_come_back_byte_for_byte(bundle: CertificateBundle) -> None:
    given = [bundle.certificate, *bundle.chain, bundle.root]
    assert given == [each.certificate for each in (PKI.leaf, PKI.issuing, PKI.cross_root, PKI.old_root, PKI.old_root)]


# --- what the leaf says -----------------------------------------------------------------------------------------------


def test_dns_names_keep_the_order_of_the_certificate(bundle: CertificateBundle) -> None:
    assert bundle.dns_names == ("shop.example.com", "www.shop.example.com", "*.example.net")


def test_dns_names_fall_back_to_the_common_name() -> None:
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "old.example.com")])
    assert bundle_of(PKI.issuing.leaf(subject=subject), PKI.issuing).dns_names == ("old.example.com",)


def test_common_name_does_not_count_beside_a_subject_alternative_name() -> None:
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "old.example.com")])
    address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("192.0.2.1"))])
    assert bundle_of(PKI.issuing.leaf(subject=subject, extensions=[address]), PKI.issuing).dns_names == ()


def test_serial_number_and_dates_are_the_leafs(bundle: CertificateBundle) -> None:
    assert bundle.serial_number == PKI.leaf.certificate.serial_number
    assert (bundle.not_before, bundle.not_after) == (pki.LEAF_START, pki.LEAF_END)
    assert (bundle.not_before.tzinfo, bundle.not_after.tzinfo) == (UTC, UTC)


def test_fingerprint_is_the_sha256_of_the_leaf_in_lower_hex(bundle: CertificateBundle) -> None:
    assert bundle.fingerprint_sha256 == hashlib.sha256(PKI.leaf.der).hexdigest()


def test_repr_names_the_certificate_and_spares_its_bytes(bundle: CertificateBundle) -> None:
    assert "shop.example.com" in repr(bundle)
    assert bundle.fingerprint_sha256[:16] in repr(bundle)
    assert len(repr(bundle)) < 200


def test_repr_of_a_certificate_without_names_is_readable() -> None:
    assert "no name" in repr(bundle_of(PKI.issuing.leaf(), PKI.issuing))


# --- a plain value ----------------------------------------------------------------------------------------------------


def test_bundles_of_the_same_certificates_are_equal(bundle: CertificateBundle) -> None:
    again = bundle_of(*reversed(PKI))
    assert bundle == again
    assert len({bundle, again}) == 1


def test_bundles_of_another_chain_differ(bundle: CertificateBundle) -> None:
    assert bundle != bundle_of(PKI.leaf, PKI.issuing)


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_bundle_pickles(bundle: CertificateBundle, protocol: int) -> None:
    assert pickle.loads(pickle.dumps(bundle, protocol)) == bundle


def test_bundle_copies(bundle: CertificateBundle) -> None:
    assert copy.deepcopy(bundle) == bundle


@pytest.mark.parametrize("attribute", ["_leaf", "certificate", "dns_names"])
def test_bundle_cannot_be_changed(bundle: CertificateBundle, attribute: str) -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(bundle, attribute, b"")


def test_importing_the_module_leaves_cryptography_unloaded() -> None:
    program = "import sys, collectssl_async.certificates; sys.exit('cryptography' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


# --- whose key --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["ec", "rsa", "ed25519"])
def test_key_of_every_kind_matches_as_object_bytes_and_text(kind: pki.KeyKind) -> None:
    leaf = PKI.issuing.leaf("a.example", kind=kind)
    bundle = bundle_of(leaf, PKI.issuing)
    assert [bundle.matches(key) for key in (leaf.key, leaf.key_pem, leaf.key_pem.decode())] == [True, True, True]


@pytest.mark.parametrize("kind", ["ec", "rsa", "ed25519"])
def test_another_key_does_not_match(bundle: CertificateBundle, kind: pki.KeyKind) -> None:
    assert not bundle.matches(pki.new_key(kind))


def test_key_of_a_kind_that_no_certificate_has_does_not_match(bundle: CertificateBundle) -> None:
    assert not bundle.matches(x25519.X25519PrivateKey.generate())


def test_key_in_the_traditional_form_matches(bundle: CertificateBundle) -> None:
    pem = KEY.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    assert b"BEGIN EC PRIVATE KEY" in pem
    assert bundle.matches(pem)


def test_key_with_carriage_returns_and_text_around_it_matches(bundle: CertificateBundle) -> None:
    assert bundle.matches(b"Bag Attributes\r\n" + PKI.leaf.key_pem.replace(b"\n", b"\r\n") + PKI.leaf.pem.encode())


def pem_of(private_format: PrivateFormat, password: bytes = b"") -> bytes:
    encryption = BestAvailableEncryption(password) if password else NoEncryption()
    return KEY.private_bytes(Encoding.PEM, private_format, encryption)


NO_KEYS: dict[str, tuple[object, str]] = {
    "encrypted": (pem_of(PrivateFormat.PKCS8, b"secret"), "is encrypted: decrypt it first"),
    "encrypted, traditional": (pem_of(PrivateFormat.TraditionalOpenSSL, b"secret"), "is encrypted: decrypt it first"),
    "OpenSSH": (pem_of(PrivateFormat.OpenSSH), "OpenSSH's own format: convert it"),
    "damaged": (PKI.leaf.key_pem.replace(b"MIG", b"NIG"), "is damaged"),
    "cut off": (PKI.leaf.key_pem[:120], "is damaged"),
    "public": (
        KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
        "is a public key: the private one is needed",
    ),
    "certificate": (PKI.leaf.pem, "is a certificate: the private key is needed"),
    "request": (PKI.leaf.pem.replace("CERTIFICATE", "CERTIFICATE REQUEST"), "is a request (CSR): "),
    "path": ("/etc/ssl/privkey.pem", "hand in the key itself, not the path"),
    "empty": (b"", "is not a private key in PEM"),
    "no ASCII": ("schl\u00fcssel\udcff", "is not a private key in PEM"),
    "public object": (KEY.public_key(), "must be a private key of cryptography or PEM, not ECPublicKey"),
    "number": (7, "must be a private key of cryptography or PEM, not int"),
}


@pytest.mark.parametrize(("given", "said"), NO_KEYS.values(), ids=NO_KEYS.keys())
def test_what_is_no_private_key_is_refused_in_one_clear_line(
    bundle: CertificateBundle, given: pki.PrivateKey, said: str
) -> None:
    with pytest.raises(CertificateError) as caught:
        bundle.matches(given)
    assert str(caught.value).startswith("private_key ")
    assert said in str(caught.value)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(("given", "said"), NO_KEYS.values(), ids=NO_KEYS.keys())
def test_refusal_of_a_key_has_no_context_and_nothing_of_the_key(
    bundle: CertificateBundle, given: pki.PrivateKey, said: str
) -> None:
    with pytest.raises(CertificateError) as caught:
        bundle.matches(given)
    assert (caught.value.__cause__, caught.value.__context__) == (None, None)
    told = "".join(traceback.format_exception(caught.value))
    secret = given.decode() if isinstance(given, bytes) else str(given)
    assert not [line for line in secret.splitlines()[1:-1] if line and line in told], said


def test_bundle_of_an_expired_leaf_is_read_all_the_same() -> None:
    start = pki.NOW - timedelta(days=20)
    leaf = PKI.issuing.leaf("a.example", start=start, end=start + timedelta(days=1))
    assert bundle_of(leaf, PKI.issuing).not_after < pki.NOW
