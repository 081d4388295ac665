"""A bundle as PKCS#12: what is in the file, what is refused, and that no error shows the key or the password."""

from __future__ import annotations

import traceback
from typing import TYPE_CHECKING, Any
from unittest.mock import Mock

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, PrivateFormat, pkcs12

from collectssl_async._keys import load_private_key
from collectssl_async._pkcs12 import pack
from collectssl_async.certificates import CertificateBundle
from collectssl_async.errors import CertificateError, KeyMismatchError

from . import pki

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.serialization.pkcs12 import PKCS12KeyAndCertificates

PKI = pki.hierarchy("shop.example.com", "www.example.com")
KEY = PKI.leaf.key
PASSWORD = "correct horse 'battery' \"staple\" ~!$"


@pytest.fixture
def bundle() -> CertificateBundle:
    return CertificateBundle.from_payload(pki.payload(*PKI))


def read(file: bytes, password: str = PASSWORD) -> PKCS12KeyAndCertificates:
    return pkcs12.load_pkcs12(file, password.encode())


def test_file_holds_leaf_and_intermediates_in_order_and_no_root(bundle: CertificateBundle) -> None:
    found = read(bundle.to_pkcs12(KEY, PASSWORD))
    assert found.cert is not None
    assert found.cert.certificate == bundle.certificate
    assert [each.certificate for each in found.additional_certs] == list(bundle.intermediates)


@pytest.mark.parametrize("kind", ["ec", "rsa", "ed25519"])
def test_file_holds_the_key_of_every_kind(kind: pki.KeyKind) -> None:
    leaf = PKI.issuing.leaf("a.example", kind=kind)
    bundle = CertificateBundle.from_payload(pki.payload(leaf, PKI.issuing))
    found = read(bundle.to_pkcs12(leaf.key_pem, PASSWORD)).key
    assert found is not None
    assert bundle.matches(found)


def test_file_of_a_leaf_alone_holds_no_other_certificate() -> None:
    bundle = CertificateBundle.from_payload(pki.payload(PKI.leaf))
    assert read(bundle.to_pkcs12(KEY, PASSWORD)).additional_certs == []


@pytest.mark.parametrize("password", [PASSWORD, "x", "1" * 1023, "".join(map(chr, range(32, 127)))])
def test_password_opens_the_file_as_text_and_as_bytes(bundle: CertificateBundle, password: str) -> None:
    for given in (password, password.encode()):
        assert read(bundle.to_pkcs12(KEY, given), password).key is not None


def test_another_password_does_not_open_the_file(bundle: CertificateBundle) -> None:
    with pytest.raises(ValueError, match="Invalid password"):
        read(bundle.to_pkcs12(KEY, PASSWORD), "another")


def test_nothing_of_the_key_stands_in_the_file_in_the_clear(bundle: CertificateBundle) -> None:
    assert isinstance(KEY, ec.EllipticCurvePrivateKey)
    secret = KEY.private_numbers().private_value.to_bytes(32, "big")
    assert secret not in bundle.to_pkcs12(KEY, PASSWORD)


STRONG = {"PBES2": "2a864886f70d01050d", "AES-256-CBC": "60864801650304012a", "HMAC-SHA-256": "2a864886f70d0209"}
WEAK = {
    "3DES": "2a864886f70d010c0103",
    "RC2": "2a864886f70d010c0106",
    "HMAC-SHA-1": "2a864886f70d0207",
    "SHA-1": "2b0e03021a",
}


def test_encryption_is_what_openssl_3_would_take(bundle: CertificateBundle) -> None:
    # The names of the algorithms stand in the clear; 0x06 and a length before each.
    file = bundle.to_pkcs12(KEY, PASSWORD)
    found = {name for name, oid in {**STRONG, **WEAK}.items() if bytes([6, len(oid) // 2]) + bytes.fromhex(oid) in file}
    assert found == set(STRONG)


# --- the entry's name -------------------------------------------------------------------------------------------------


def name_in(file: bytes) -> bytes | None:
    found = read(file).cert
    assert found is not None
    return found.friendly_name


def test_entry_is_called_by_the_first_name_of_the_leaf(bundle: CertificateBundle) -> None:
    assert name_in(bundle.to_pkcs12(KEY, PASSWORD)) == b"shop.example.com"


def test_entry_of_a_leaf_without_names_has_none() -> None:
    leaf = PKI.issuing.leaf()
    bundle = CertificateBundle.from_payload(pki.payload(leaf, PKI.issuing))
    assert name_in(bundle.to_pkcs12(leaf.key, PASSWORD)) is None


@pytest.mark.parametrize("name", ["shop", "Gesch\u00e4ft", "\u5e97", "x" * 10_000])
def test_entry_takes_any_name_that_can_be_printed(bundle: CertificateBundle, name: str) -> None:
    assert name_in(bundle.to_pkcs12(KEY, PASSWORD, name)) == name.encode()


NO_NAMES: list[Any] = ["", "two\nlines", "\0", "\udcff", "\U0001f600", 7, b"shop"]


@pytest.mark.parametrize("name", NO_NAMES)
def test_name_that_cannot_be_shown_is_refused(bundle: CertificateBundle, name: Any) -> None:
    with pytest.raises(CertificateError, match=r"^name must be "):
        bundle.to_pkcs12(KEY, PASSWORD, name)


# --- what is refused --------------------------------------------------------------------------------------------------

NO_PASSWORDS: dict[str, tuple[Any, str]] = {
    "empty": ("", "password is empty"),
    "empty bytes": (b"", "password is empty"),
    "other letters": ("pa\u00dfwort", "password must be 1 to 1,023 printable characters of ASCII"),
    "no text": (b"pass\xff", "password must be 1 to 1,023 printable characters of ASCII"),
    "half a character": ("pass\udcff", "password must be 1 to 1,023 printable characters of ASCII"),
    "zero byte": ("pass\0word", "password must be 1 to 1,023 printable characters of ASCII"),
    "line feed": ("password\n", "password must be 1 to 1,023 printable characters of ASCII"),
    "too long": ("p" * 1024, "password must be 1 to 1,023 printable characters of ASCII"),
    "none": (None, "password must be str or bytes, not NoneType"),
    "number": (1234567, "password must be str or bytes, not int"),
}


@pytest.mark.parametrize(("password", "said"), NO_PASSWORDS.values(), ids=NO_PASSWORDS.keys())
def test_password_that_not_every_program_takes_is_refused(bundle: CertificateBundle, password: Any, said: str) -> None:
    with pytest.raises(CertificateError) as caught:
        bundle.to_pkcs12(KEY, password)
    assert str(caught.value).startswith(said)


def test_key_of_another_certificate_is_refused(bundle: CertificateBundle) -> None:
    with pytest.raises(KeyMismatchError, match="private_key does not belong to the certificate for shop"):
        bundle.to_pkcs12(pki.new_key(), PASSWORD)


def test_encrypted_key_is_refused_even_with_its_own_password(bundle: CertificateBundle) -> None:
    pem = KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(PASSWORD.encode()))
    with pytest.raises(CertificateError, match="private_key is encrypted: decrypt it first"):
        bundle.to_pkcs12(pem, PASSWORD)


def in_a_device() -> Mock:
    """A key that signs, and whose bytes stay where they are."""
    kept = Mock(spec=ec.EllipticCurvePrivateKey)
    kept.public_key.return_value = KEY.public_key()
    return kept


def test_key_that_cannot_be_exported_is_refused(bundle: CertificateBundle) -> None:
    with pytest.raises(CertificateError, match=r"^private_key cannot be exported \(TypeError\)$"):
        bundle.to_pkcs12(in_a_device(), PASSWORD)


# --- secrets ----------------------------------------------------------------------------------------------------------

SECRET = "s3cr3t-p\u00e4ssw\u00f6rd"
FAILURES: dict[str, tuple[Any, str | bytes, Any]] = {
    "password": (KEY, SECRET, None),
    "password in bytes": (KEY, SECRET.encode(), None),
    "half a character": (KEY, "s3cr3t-\udcff", None),
    "name": (KEY, "s3cr3t-password", "\n"),
    "key": (in_a_device(), "s3cr3t-password", None),
}


@pytest.mark.parametrize(("key", "password", "name"), FAILURES.values(), ids=FAILURES.keys())
def test_error_shows_no_password_not_even_in_a_local_of_its_frames(key: Any, password: Any, name: Any) -> None:
    leaf = PKI.leaf.der
    with pytest.raises(CertificateError) as caught:
        pack(leaf, (), key, password=password, name=name)
    assert (caught.value.__cause__, caught.value.__context__) == (None, None)
    frames = [frame for frame, _ in traceback.walk_tb(caught.value.__traceback__)][1:]
    assert frames
    for frame in frames:
        assert "s3cr3t" not in repr(frame.f_locals)
    assert "s3cr3t" not in str(caught.value)


def test_error_of_a_key_shows_none_of_it_in_a_local_of_its_frame() -> None:
    pem = KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(PASSWORD.encode()))
    with pytest.raises(CertificateError) as caught:
        load_private_key(pem)
    *_, frame = [frame for frame, _ in traceback.walk_tb(caught.value.__traceback__)]
    assert pem.splitlines()[1].decode() not in repr(frame.f_locals)


def test_certificate_that_warns_is_packed_all_the_same() -> None:
    root, issuing = pki.root(), pki.root("Issuing")
    between = pki.with_serial(root.cross_sign(issuing), -5, root)
    leaf = issuing.leaf("a.example")
    bundle = CertificateBundle.from_payload(pki.payload(leaf, between))
    with pytest.warns(UserWarning, match="serial number which wasn't positive"):
        file = bundle.to_pkcs12(leaf.key, PASSWORD)
    with pytest.warns(UserWarning, match="serial number which wasn't positive"):
        assert read(file).additional_certs[0].certificate == x509.load_der_x509_certificate(between)
