"""Files that hold certificates: formats told apart by structure, limits, and what breaks them."""

from __future__ import annotations

import warnings
from base64 import b64encode

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, pkcs7
from cryptography.x509 import load_der_x509_certificate

from collectssl_async import containers
from collectssl_async.errors import MalformedResponseError
from collectssl_async.models import ResponseType

from . import pki
from .packing import (
    DATA,
    NETSCAPE_SEQUENCE,
    SIGNED_DATA,
    base64_lines,
    chain,
    pack_netscape,
    pack_pkcs7,
    pack_zip,
    pem,
    tlv,
)
from .reading import certificates, refused
from .replies import numbered

ROOT, ISSUING, LEAF = chain()


# --- files ------------------------------------------------------------------------------------------------------------


@numbered(
    "source",
    [
        "".join(map(pem, chain())),
        "".join(map(pem, chain())).encode(),
        b"\xef\xbb\xbf" + "".join(map(pem, chain())).encode(),
        ("Bag Attributes\n  friendlyName: Caf\u00e9\n" + "subject=CN = x\n\n".join(map(pem, chain()))).encode(
            "latin-1"
        ),
        pem(pack_pkcs7(chain()), label="PKCS7"),
        base64_lines(pack_zip({"a": ROOT, "b": ISSUING, "c": LEAF})),
        base64_lines(pack_netscape(chain())).encode(),
        b64encode("".join(map(pem, chain())).encode()),
        pack_zip({"a": ROOT, "b": ISSUING, "c": LEAF}),
        pack_pkcs7(chain()),
        pack_netscape(chain()) + b"\r\n",
        pem(pack_pkcs7(chain()[:2])) + pem(LEAF),
    ],
)
def test_whatever_holds_certificates_is_read_in_its_order(source: bytes | str) -> None:
    assert certificates(source) == chain()


def test_without_a_limit_many_certificates_are_read() -> None:
    assert len(certificates(pem(ROOT) * 40, max_certificates=None)) == 40


def test_the_limit_can_be_lower() -> None:
    with pytest.raises(MalformedResponseError, match="more than 2 certificates"):
        certificates(pack_pkcs7(chain()), max_certificates=2)


@numbered(
    "source",
    [
        b"",
        "",
        "hello",
        b"\xff\xfe\x00",
        b"0",
        b"0\x82",
        b64encode(b"hello"),
        b64encode(b64encode(pem(LEAF).encode())),
        b64encode(b"-----BEGIN PRIVATE KEY-----\nMIIB\n-----END PRIVATE KEY-----\n"),
        pem(b"\x30\x03\x02\x01\x00", label="PRIVATE KEY"),
        "MIIC====",
        "MII=C",
        "A",
        "MIIC\u00e9",
        "-----BEGIN CERTIFICATE-----",
        "BEGIN CERTIFICATE-----\nMIIC\n-----END CERTIFICATE-----",
        "-----BEGIN " + "X" * 100 + "-----",
        "BEGIN" * 10_001,
        pem(LEAF).replace("-----END", "-----FIN"),
    ],
)
def test_what_holds_no_certificate_is_refused(source: bytes | str) -> None:
    refused(source)


def test_a_message_says_what_it_was_and_quotes_little() -> None:
    error = refused("not a certificate\n" + "x" * 1_000)
    assert len(error.excerpt) <= 200
    assert error.excerpt.startswith("not a certificate xxx")


# --- PEM --------------------------------------------------------------------------------------------------------------


def test_a_foreign_block_without_an_end_hides_nothing_below_it() -> None:
    assert certificates("-----BEGIN RSA PRIVATE KEY-----\n" + pem(LEAF)) == (LEAF,)


def test_a_foreign_block_that_ends_oddly_hides_nothing_below_it() -> None:
    assert certificates("-----BEGIN DH PARAMETERS-----\nEND\n" + pem(LEAF)) == (LEAF,)


def test_blocks_end_where_their_boundaries_end() -> None:
    text = b"x " + pem(LEAF).rstrip("\n").encode() + b" y"
    (block,) = containers.pem_blocks(text)
    assert (text[: block.start], text[block.end :]) == (b"x ", b" y")


def test_more_boundaries_than_any_file_has_are_refused() -> None:
    with pytest.raises(MalformedResponseError, match="too many PEM boundaries"):
        list(containers.pem_blocks(b"BEGIN" * 10_001))


def test_words_that_begin_are_no_boundary() -> None:
    assert list(containers.pem_blocks(b"BEGIN HERE- and -BEGIN there- and - BEGIN")) == []


@pytest.mark.parametrize("encoding", ["utf-8", "windows-1252"])
def test_boundaries_of_long_dashes_are_read_in_either_encoding(encoding: str) -> None:
    assert certificates(pem(LEAF).replace("-----", "\u2014\u2014").encode(encoding)) == (LEAF,)


def test_an_odd_character_ahead_of_a_block_changes_nothing() -> None:
    assert certificates("\U0001f512 \u0116\n" + pem(LEAF)) == (LEAF,)


# --- PKCS#7 and Netscape sequence -------------------------------------------------------------------------------------


def test_pkcs7_made_by_cryptography() -> None:
    data = pkcs7.serialize_certificates([load_der_x509_certificate(der) for der in chain()], Encoding.DER)
    found = containers.read(data)
    assert (found.response_type, found.data) == (ResponseType.PKCS7, data)
    assert set(found.certificates) == set(chain())


@pytest.mark.parametrize("indefinite", [False, True])
def test_other_members_of_the_set_are_passed_over(indefinite: bool) -> None:
    others = tlv(0xA0, tlv(0x30, b"\2\1\1")) + tlv(0xA2, b"", indefinite=True)
    assert certificates(pack_pkcs7(chain(), indefinite=indefinite, others=others)) == chain()


@numbered(
    "data",
    [
        pack_pkcs7([]),
        pack_netscape([]),
        tlv(0x30, SIGNED_DATA),
        tlv(0x30, NETSCAPE_SEQUENCE),
        tlv(0x30, SIGNED_DATA + tlv(0xA0, b"")),
        tlv(0x30, NETSCAPE_SEQUENCE + tlv(0xA0, b"")),
        tlv(0x30, DATA + tlv(0xA0, tlv(0x04, b"x"))),
    ],
)
def test_container_without_certificates_is_refused(data: bytes) -> None:
    refused(pem(data))


@numbered(
    "data",
    [
        pack_pkcs7([tlv(0x30, b"no certificate")]),
        pack_netscape([LEAF[:50]]),
        tlv(0x30, SIGNED_DATA + tlv(0xA0, b"\x30\x05")),
        tlv(0x30, SIGNED_DATA + tlv(0xA0, b"\x30\x82")),
        tlv(0x30, SIGNED_DATA + b"\x1f\x20\x00"),
        tlv(0x30, SIGNED_DATA + tlv(0xA0, b"\x30\x20") + bytes(0x20)),
        tlv(0x30, SIGNED_DATA + b"\xa0\x85\0\0\0\0\1"),
        tlv(0x30, SIGNED_DATA + tlv(0xA0, tlv(0x30, tlv(0xA0, b"\x30\x7f")))) + b"\0" * 200,
        b"\x30\x80" + SIGNED_DATA + b"\xa0\x80" * 20,
        b"\x30\x80" + SIGNED_DATA,
        b"\x30\x80" + SIGNED_DATA + b"\x05\0" * 5_000,
        pack_pkcs7([b"\x30\0" * 5_000]),
        SIGNED_DATA,
    ],
)
def test_broken_structure_is_refused(data: bytes) -> None:
    refused(data)
    refused(pem(data))


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"\x30\x80" + SIGNED_DATA + b"\xa0\x80" * 20, "nested too deeply"),
        (b"\x30\x80" + SIGNED_DATA + b"\x05\0" * 5_000, "too many elements"),
        (pack_pkcs7([], others=b"\x05\0" * 5_000), "too many elements"),
        (tlv(0x30, SIGNED_DATA + tlv(0xA0, b"\x30\x20") + bytes(0x20)), "ends after its parent"),
        (pack_pkcs7(chain())[:-1], "cut short"),
        (pack_pkcs7(chain()) + b"x", "something follows"),
    ],
    ids=["deep", "many", "many members", "overrun", "cut", "more"],
)
def test_what_is_wrong_with_a_structure_is_said(data: bytes, reason: str) -> None:
    assert reason in refused(data).args[0]


# --- certificates -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("first", [0x80, 0xFF])
def test_a_negative_serial_number_neither_fails_nor_warns(first: int) -> None:
    identity = pki.root()
    number = identity.certificate.serial_number
    plain = tlv(0x02, number.to_bytes(number.bit_length() // 8 + 1, "big"))
    odd = pki.altered(identity, plain, plain[:2] + bytes([first]) + plain[3:])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert certificates(odd) == (odd,)


def test_version_1_certificate_is_read() -> None:
    der = pki.version_1(pki.root(kind="rsa")).der
    assert certificates(der) == (der,)


def test_version_that_does_not_exist_is_refused() -> None:
    refused(pki.altered(pki.root(), bytes.fromhex("a003020102"), bytes.fromhex("a003020109")))


@pytest.mark.parametrize("kind", ["rsa", "ed25519"])
def test_any_kind_of_key(kind: pki.KeyKind) -> None:
    der = pki.root(kind=kind).der
    assert certificates(pem(der)) == (der,)
