"""`combined.pem`, key and fullchain in one file: what is in it, where the key is from, what becomes of an old one."""

from __future__ import annotations

import ssl
import stat
from typing import TYPE_CHECKING, Any

import pytest

from collectssl_async.certificates import CertificateBundle
from collectssl_async.errors import CertificateError, KeyMismatchError

from . import pki

if TYPE_CHECKING:
    from pathlib import Path

PKI = pki.hierarchy("shop.example.com")
BUNDLE = CertificateBundle.from_payload(pki.payload(*PKI))
KEY = PKI.leaf.key
NEXT = PKI.issuing.leaf("shop.example.com")
RENEWED = CertificateBundle.from_payload(pki.payload(NEXT, PKI.issuing, PKI.new_root))
SAME_KEY = CertificateBundle.from_payload(pki.payload(PKI.issuing.leaf("shop.example.com", key=KEY), PKI.issuing))
BY_HAND = BUNDLE.fullchain_pem.encode() + PKI.leaf.key_pem
"""The same in another order, as somebody's own script may write it."""


@pytest.fixture(params=["flat", "versioned"])
def layout(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture
def shown(tmp_path: Path, layout: str) -> Path:
    return tmp_path if layout == "flat" else tmp_path / "current"


def files(directory: Path) -> dict[str, bytes]:
    return {each.name: each.read_bytes() for each in directory.iterdir()}


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_it_holds_key_and_fullchain(tmp_path: Path, layout: Any, shown: Path) -> None:
    written = BUNDLE.write(tmp_path, private_key=KEY, layout=layout, combined=True)
    assert written.combined == shown / "combined.pem"
    assert written.combined.read_bytes() == PKI.leaf.key_pem + BUNDLE.fullchain_pem.encode()
    ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(written.combined)


def test_it_is_not_there_unless_asked_for(tmp_path: Path, layout: Any, shown: Path) -> None:
    assert BUNDLE.write(tmp_path, private_key=KEY, layout=layout).combined is None
    assert not (shown / "combined.pem").exists()


def test_it_is_closed_to_others(tmp_path: Path, layout: Any, shown: Path) -> None:
    BUNDLE.write(tmp_path, private_key=KEY, layout=layout, combined=True)
    assert mode(shown / "combined.pem") == 0o600
    (shown / "combined.pem").chmod(0o644)
    assert not BUNDLE.write(tmp_path, private_key=KEY, layout=layout, combined=True).changed
    assert mode(shown / "combined.pem") == 0o600


def test_key_that_is_there_and_fits_serves(tmp_path: Path, layout: Any, shown: Path) -> None:
    BUNDLE.write(tmp_path, private_key=KEY, layout=layout)
    assert BUNDLE.write(tmp_path, layout=layout, combined=True).changed
    assert (shown / "combined.pem").read_bytes() == PKI.leaf.key_pem + BUNDLE.fullchain_pem.encode()


def test_without_a_key_it_cannot_be_made(tmp_path: Path, layout: Any) -> None:
    with pytest.raises(CertificateError, match="combined=True needs the key: hand in the certificate's private_key"):
        BUNDLE.write(tmp_path / "new", layout=layout, combined=True)
    assert files(tmp_path) == {}


@pytest.mark.parametrize("combined", [True, False])
def test_same_again_changes_nothing(tmp_path: Path, layout: Any, combined: bool) -> None:
    BUNDLE.write(tmp_path, private_key=KEY, layout=layout, combined=True)
    again = BUNDLE.write(tmp_path, layout=layout, combined=combined)
    assert (again.changed, again.combined is not None) == (False, True)


@pytest.mark.parametrize(("bundle", "key"), [(RENEWED, NEXT.key), (SAME_KEY, None)], ids=["new key", "same key"])
def test_one_that_is_there_stays_up_to_date_though_not_asked_for(
    tmp_path: Path, layout: Any, shown: Path, bundle: CertificateBundle, key: pki.PrivateKey | None
) -> None:
    BUNDLE.write(tmp_path, private_key=KEY, layout=layout, combined=True)
    written = bundle.write(tmp_path, private_key=key, layout=layout)
    assert written.combined == shown / "combined.pem"
    assert written.combined.read_bytes() == (shown / "privkey.pem").read_bytes() + bundle.fullchain_pem.encode()


def test_one_in_another_order_that_is_up_to_date_is_left_as_it_is(tmp_path: Path, layout: Any, shown: Path) -> None:
    BUNDLE.write(tmp_path, private_key=KEY, layout=layout)
    (shown / "combined.pem").write_bytes(BY_HAND)
    assert not BUNDLE.write(tmp_path, layout=layout).changed
    assert (shown / "combined.pem").read_bytes() == BY_HAND


STALE = {
    "another certificate": PKI.leaf.key_pem + RENEWED.fullchain_pem.encode(),
    "another key": NEXT.key_pem + BUNDLE.fullchain_pem.encode(),
    "no key": BUNDLE.fullchain_pem.encode(),
    "nothing of the kind": b"\xff",
}


@pytest.mark.parametrize("content", STALE.values(), ids=STALE.keys())
def test_stale_one_is_written_anew(tmp_path: Path, layout: Any, shown: Path, content: bytes) -> None:
    BUNDLE.write(tmp_path, private_key=KEY, layout=layout)
    (shown / "combined.pem").write_bytes(content)
    assert BUNDLE.write(tmp_path, layout=layout).changed
    assert (shown / "combined.pem").read_bytes() == PKI.leaf.key_pem + BUNDLE.fullchain_pem.encode()


@pytest.mark.parametrize("content", STALE.values(), ids=STALE.keys())
def test_stale_one_is_refused_without_a_key(tmp_path: Path, layout: Any, shown: Path, content: bytes) -> None:
    BUNDLE.write(tmp_path, layout=layout)
    (shown / "combined.pem").write_bytes(content)
    before = files(shown)
    with pytest.raises(KeyMismatchError) as caught:
        BUNDLE.write(tmp_path, layout=layout)
    assert str(caught.value) == (
        f"'{shown}/combined.pem' does not hold the key and chain of shop.example.com: "
        "hand in the certificate's private_key, or move the file away"
    )
    assert files(shown) == before


def test_link_in_its_place_is_refused(tmp_path: Path, layout: Any, shown: Path) -> None:
    BUNDLE.write(tmp_path, private_key=KEY, layout=layout)
    (shown / "combined.pem").symlink_to("elsewhere")
    with pytest.raises(CertificateError, match=r"combined\.pem' is a symbolic link, not a file"):
        BUNDLE.write(tmp_path, layout=layout)
