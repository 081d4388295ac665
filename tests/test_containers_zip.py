"""ZIP archives: members of any name and format, limits that headers cannot lie away, and what breaks them."""

from __future__ import annotations

import io
import struct
import zipfile
from base64 import b64encode

import pytest

from collectssl_async import containers
from collectssl_async.models import ResponseType

from .packing import (
    base64_lines,
    chain,
    pack_pkcs7,
    pack_zip,
    pem,
)
from .reading import README, certificates, refused
from .replies import numbered

ROOT, ISSUING, LEAF = chain()


@numbered(
    "members",
    [
        {"root.crt": pem(ROOT), "ca.crt": pem(ISSUING), "leaf.crt": pem(LEAF)},
        {"a": ROOT, "b.txt": ISSUING, "c.exe": LEAF},
        {"x.ca-bundle": pem(ROOT) + pem(ISSUING), "x.crt": pem(LEAF, line_break="\r\n")},
        {"../../etc/passwd": pem(ROOT), "/abs": ISSUING, "C:\\x": pem(LEAF)},
        {"chain.p7b": pack_pkcs7(chain())},
        {"chain.p7b": pem(pack_pkcs7(chain()), label="PKCS7")},
        {"README.txt": README, "a": ROOT, "b": ISSUING, "c": LEAF, "empty": b"", "logo.gif": b"GIF89a\0\xff"},
        {"a": base64_lines(ROOT), "b": pem(ISSUING), "c": "\ufeff" + pem(LEAF)},
        {"caf\u00e9.crt": ROOT, "\u8a3c\u660e.crt": ISSUING, "c": LEAF},
        {"all": "".join(map(pem, chain())), "key.pem": pem(b"\x30\x03\x02\x01\x00", label="PRIVATE KEY")},
        {"folder/": b"", "folder/a": ROOT, "folder/b/c": ISSUING, "d": LEAF, "inner.zip": pack_zip({"x": LEAF})},
    ],
)
@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_archive_of_any_names_and_formats(members: dict[str, bytes | str], compression: int) -> None:
    packed = {name: data.encode() if isinstance(data, str) else data for name, data in members.items()}
    data = pack_zip(packed, compression=compression)
    found = containers.read(data)
    assert (found.response_type, found.data, found.certificates) == (ResponseType.ZIP, data, chain())


@numbered(
    "readme",
    [
        "Copy all from -----BEGIN CERTIFICATE----- to -----END CERTIFICATE-----.",
        "-----BEGIN CERTIFICATE-----\n(your certificate: shop.crt)\n-----END CERTIFICATE-----\n",
        "The file begins with -----BEGIN CERTIFICATE-----.",
    ],
)
def test_readme_that_quotes_boundaries_is_passed_over(readme: str) -> None:
    data = pack_zip({"README": readme.encode(), "a": ROOT, "b": ISSUING, "c": LEAF})
    assert certificates(data) == chain()


@numbered("broken", [pem(LEAF)[:-40], pem(LEAF[:-1]), LEAF[:-1], LEAF + b"x", pem(LEAF, width=32).replace("a", "!")])
def test_broken_certificate_in_an_archive_is_refused(broken: bytes | str) -> None:
    member = broken.encode() if isinstance(broken, str) else broken
    refused(pack_zip({"a": ROOT, "b": member}))


@numbered("members", [{}, {"README": README.encode()}, {"folder/": b""}])
def test_archive_without_certificates_is_refused(members: dict[str, bytes]) -> None:
    refused(pack_zip(members))


def test_thirty_two_members_are_read_and_more_refused() -> None:
    members = {str(number): README.encode() for number in range(31)} | {"x": LEAF}
    assert certificates(pack_zip(members)) == (LEAF,)
    refused(pack_zip(members | {"y": b""}))


def test_more_members_than_the_end_record_admits_are_refused() -> None:
    data = bytearray(pack_zip({str(number): README.encode() for number in range(33)} | {"a": LEAF}))
    struct.pack_into("<2H", data, len(data) - 14, 1, 1)
    refused(bytes(data))


def test_archive_that_unpacks_to_a_megabyte_is_read_and_more_refused() -> None:
    padding = 1024 * 1024 - len(LEAF)
    assert certificates(pack_zip({"a": LEAF, "b": bytes(padding)})) == (LEAF,)
    refused(pack_zip({"a": LEAF, "b": bytes(padding + 1)}))


def test_a_size_that_lies_unpacks_no_more() -> None:
    data = pack_zip({"a": bytes(64 * 1024 * 1024)})
    true, lie = struct.pack("<I", 64 * 1024 * 1024), struct.pack("<I", 10)
    assert data.count(true) == 2
    refused(data.replace(true, lie))


def test_a_directory_that_is_too_long_is_refused() -> None:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        for number in range(2):
            info = zipfile.ZipInfo(str(number))
            info.comment = b"x" * 40_000
            archive.writestr(info, LEAF)
    refused(target.getvalue())


def test_archive_with_a_comment_is_read() -> None:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        archive.writestr("a", LEAF)
        archive.comment = b"issued by a CA"
    assert certificates(target.getvalue()) == (LEAF,)
    assert certificates(b64encode(target.getvalue())) == (LEAF,)


def test_a_second_directory_in_the_style_of_zip64_is_refused() -> None:
    data = pack_zip({"a": LEAF})
    *_, size, offset, _ = struct.unpack("<4s4H2IH", data[-22:])
    record = struct.pack("<4sQ2H2I4Q", b"PK\x06\x06", 44, 45, 45, 0, 0, 1, 1, size, offset)
    locator = struct.pack("<4sIQI", b"PK\x06\x07", 0, len(data) - 22, 1)
    whole = data[:-22] + record + locator + data[-22:]
    with zipfile.ZipFile(io.BytesIO(whole)) as archive:
        assert archive.read("a") == LEAF
    refused(whole)


def with_flag(flag: int) -> bytes:
    """Return an archive whose member has a general purpose flag set."""
    data = bytearray(pack_zip({"a": LEAF}, compression=zipfile.ZIP_STORED))
    directory = data.index(b"PK\x01\x02")
    struct.pack_into("<H", data, 6, flag)
    struct.pack_into("<H", data, directory + 8, flag)
    return bytes(data)


GOOD = pack_zip({"a": LEAF}, compression=zipfile.ZIP_STORED)
DEFLATED = pack_zip({"a": pem(LEAF).encode()})


@numbered(
    "data",
    [
        with_flag(0x01),  # encrypted
        with_flag(0x20),  # a patch
        with_flag(0x40),  # strongly encrypted
        pack_zip({"a": LEAF}, compression=zipfile.ZIP_BZIP2),
        pack_zip({"a": LEAF}, compression=zipfile.ZIP_LZMA),
        GOOD.replace(LEAF[-20:], bytes(20)),  # bad checksum
        GOOD[:-1],
        GOOD[:-22],
        GOOD + b"x",
        GOOD[:30] + GOOD[31:],
        GOOD[:-22] + b"PK\x06\x07" + bytes(16) + GOOD[-22:],
        GOOD[:-6] + struct.pack("<I", 0xFFFFFFFF) + GOOD[-2:],
        DEFLATED[:60] + b"\xff" * 20 + DEFLATED[80:],
        GOOD.replace(b"PK\x01\x02", b"PK\x01\x03"),
        GOOD[:26] + b"\xff\xff" + GOOD[28:],
        b"PK\x03\x04",
        b"PK\x05\x06" + bytes(18),
        b"PK\x05\x06" + b"\xff" * 18,
    ],
)
def test_broken_archive_is_refused(data: bytes) -> None:
    refused(data)
    refused(b64encode(data))


def test_messages_about_an_archive_do_not_quote_its_names() -> None:
    data = GOOD.replace(b"PK\x01\x02", b"PK\x01\x02", 1)
    at = data.rindex(b"a", 0, -22)
    error = refused(data[:at] + b"b" + data[at + 1 :])
    assert error.args[0] == "a ZIP archive that cannot be read (BadZipFile)"
