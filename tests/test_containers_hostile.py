"""Containers from hostile hands: whatever the bytes, certificates or an error of the package, and little memory."""

from __future__ import annotations

import tracemalloc
from base64 import b64encode
from typing import TYPE_CHECKING

import pytest
from cryptography.x509 import load_der_x509_certificate
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from collectssl_async import CollectSSLError, containers
from collectssl_async.models import ResponseType

from . import hostile
from .hostile import BUSY, CERTIFICATES, MEBIBYTE, RUBBISH, SIZE
from .packing import base64_lines, chain, pack_netscape, pack_pkcs7, pack_zip, pem

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

LIMIT = 16 * MEBIBYTE

PACKERS: dict[str, Callable[[Sequence[bytes]], bytes]] = {
    "zip": lambda ders: pack_zip({f"{number}.crt": der for number, der in enumerate(ders)}),
    "zip of PEM": lambda ders: pack_zip({"all.pem": "".join(map(pem, ders)).encode()}),
    "pkcs7": pack_pkcs7,
    "pkcs7 in BER": lambda ders: pack_pkcs7(ders, indefinite=True),
    "netscape": pack_netscape,
    "pem": lambda ders: "".join(map(pem, ders)).encode(),
    "pem, odd": lambda ders: (
        "".join(pem(der, line_break="\r\n", width=76) for der in ders).replace("-----", "\u2014").encode()
    ),
    "pkcs7 in PEM": lambda ders: pem(pack_pkcs7(ders), label="PKCS7").encode(),
}
WRAPPERS: dict[str, Callable[[bytes], bytes]] = {
    "as it is": lambda data: data,
    "base64": lambda data: base64_lines(data).encode(),
    "base64 in one line": b64encode,
    "plus signs lost": lambda data: b64encode(data).replace(b"+", b" "),
    "line breaks lost": lambda data: base64_lines(data, line_break=" ").encode(),
    "under a label": lambda data: pem(data, label="CERTIFICATE").encode(),
    "trusted": lambda data: pem(data, label="TRUSTED CERTIFICATE").encode(),
    "in a ZIP": lambda data: pack_zip({"inner": data}),
    "under a heading": lambda data: b"Bag Attributes\n  friendlyName: caf\xe9\n" + data,
}


# --- memory -----------------------------------------------------------------------------------------------------------


def read_watched(data: bytes) -> tuple[int, int]:
    """Return how many certificates were read, 0 for an error, and the bytes that took at its highest."""
    tracemalloc.start()
    try:
        found = len(containers.read(data, max_certificates=None).certificates)
    except CollectSSLError:
        found = 0
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    return found, peak


@pytest.mark.parametrize("make", RUBBISH.values(), ids=RUBBISH.keys())
def test_rubbish_is_refused_and_takes_little_memory(make: Callable[[], bytes]) -> None:
    found, peak = read_watched(make())
    assert found == 0
    assert peak < LIMIT


@pytest.mark.parametrize("make", BUSY.values(), ids=BUSY.keys())
def test_rubbish_of_many_parts_is_refused_and_takes_little_memory(
    make: Callable[[], bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hostile, "SIZE", MEBIBYTE)
    found, peak = read_watched(make())
    assert found == 0
    assert peak < LIMIT * MEBIBYTE / SIZE


@pytest.mark.parametrize("make", CERTIFICATES.values(), ids=CERTIFICATES.keys())
def test_thousands_of_certificates_are_read_without_a_limit_and_take_little_memory(make: Callable[[], bytes]) -> None:
    found, peak = read_watched(make())
    assert found > 800
    assert peak < LIMIT


# --- fuzzing ----------------------------------------------------------------------------------------------------------


def certificates_or_error(source: bytes | str) -> containers.Container | None:
    """Read a source; what comes back holds certificates that load."""
    try:
        found = containers.read(source, max_certificates=None)
    except CollectSSLError:
        return None
    for certificate in found.certificates:
        load_der_x509_certificate(certificate)
    assert found.certificates
    return found


chosen = st.lists(st.sampled_from(chain()), min_size=1, max_size=4)
packed = st.builds(lambda pack, ders: PACKERS[pack](ders), st.sampled_from(sorted(PACKERS)), chosen)
wrapped = st.builds(
    lambda data, names: [data := WRAPPERS[name](data) for name in names][-1] if names else data,
    packed,
    st.lists(st.sampled_from(sorted(WRAPPERS)), max_size=2),
)


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """A container with bytes changed, cut out, repeated or taken from another one."""
    data = bytearray(draw(wrapped))
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, max(0, len(data) - 1)))
        length = draw(st.sampled_from((0, 1, 2, 16, 64, 1_000)))
        match draw(st.sampled_from(("change", "cut", "repeat", "insert", "truncate"))):
            case "change":
                data[at : at + length] = draw(st.binary(min_size=length, max_size=length))
            case "cut":
                del data[at : at + length]
            case "repeat":
                data[at:at] = data[at : at + length]
            case "insert":
                data[at:at] = draw(wrapped)[:length]
            case "truncate":
                del data[at:]
    return bytes(data)


fuzzing = settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True)


@pytest.mark.parametrize("pack", PACKERS)
def test_a_container_cut_short_anywhere_gives_certificates_or_an_error(pack: str) -> None:
    data = PACKERS[pack](chain()[2:])
    for length in range(len(data)):
        certificates_or_error(data[:length])


@fuzzing
@given(mutated())
def test_a_broken_container_gives_certificates_or_an_error(data: bytes) -> None:
    certificates_or_error(data)


@fuzzing
@given(mutated().map(lambda data: data.decode("latin-1")) | st.text(max_size=200))
def test_a_broken_text_gives_certificates_or_an_error(text: str) -> None:
    certificates_or_error(text)


@fuzzing
@given(
    st.sampled_from([b"", b"PK\x03\x04", b"PK\x05\x06", b"0\x82", b"-----BEGIN CERTIFICATE-----", b"MIIB"]),
    st.binary(max_size=200),
)
def test_any_bytes_give_certificates_or_an_error(beginning: bytes, data: bytes) -> None:
    certificates_or_error(beginning + data)


@fuzzing
@given(st.sampled_from(sorted(PACKERS)), st.sampled_from(["as it is", "base64", "base64 in one line"]), chosen)
def test_what_is_whole_is_read_in_its_order_and_kept_as_received(pack: str, wrap: str, ders: list[bytes]) -> None:
    data = PACKERS[pack](ders)
    found = certificates_or_error(WRAPPERS[wrap](data))
    assert found is not None
    assert found.certificates == tuple(ders)
    if found.response_type is not ResponseType.INDIVIDUAL and "in PEM" not in pack:
        assert found.data == data
