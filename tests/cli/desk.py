"""What the tests of `collectssl inspect` share: one chain in every format, and a folder whose files are inspected."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, NoEncryption, pkcs12

from collectssl_async import CertificateBundle

from .. import pki
from ..packing import pack_netscape, pack_pkcs7, pack_zip, pem
from .harness import run

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from .harness import Ended

PASSWORD = "Sesame-42"
OTHER_ROOT = pki.root("Another Root")
PKI = pki.hierarchy("shop.example.com", "www.shop.example.com")
DERS = (PKI.leaf.der, PKI.issuing.der, PKI.new_root.der)
BUNDLE = CertificateBundle.from_payload(pki.payload(*DERS))


def packed_pkcs12(password: str = PASSWORD) -> bytes:
    return pkcs12.serialize_key_and_certificates(
        b"shop",
        PKI.leaf.key,
        PKI.leaf.certificate,
        [PKI.issuing.certificate, PKI.new_root.certificate],
        BestAvailableEncryption(password.encode()) if password else NoEncryption(),
    )


FORMATS: dict[str, bytes] = {
    "PEM": "".join(map(pem, DERS)).encode(),
    "DER": PKI.leaf.der,
    "ZIP": pack_zip({"a": DERS[1], "b": pem(DERS[0]).encode(), "c": DERS[2]}),
    "PKCS#7": pack_pkcs7(DERS),
    "PKCS#12": packed_pkcs12(),
    "Netscape certificate sequence": pack_netscape(DERS),
}


class Desk:
    """Files to inspect, and roots to trust."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder = folder
        self.capsys = capsys
        self.roots = self.file("roots.pem", PKI.new_root.pem)

    def file(self, name: str, content: bytes | str) -> Path:
        path = self.folder / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    def run(self, *arguments: str | Path) -> Ended:
        return run(self.capsys, "inspect", *arguments)

    def shown(self, *arguments: str | Path) -> dict[str, str]:
        """The rows of one file, by their labels."""
        ended = self.run("--roots", self.roots, *arguments)
        assert (ended.code, ended.err) == (0, "")
        return {
            label.strip(): text.strip()
            for label, _, text in (row.strip().partition("  ") for row in ended.out.splitlines())
        }

    def document(self, *arguments: str | Path, code: int = 0) -> dict[str, Any]:
        """What is said of one file, in JSON."""
        ended = self.run("--json", "--roots", self.roots, *arguments)
        assert ended.code == code
        (file,) = json.loads(ended.out)["files"]
        assert isinstance(file, dict)
        return file
