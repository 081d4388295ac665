"""A bundle as PKCS#12 in the hands of OpenSSL and of Java's keytool: key, chain and name are all there."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from collectssl_async.certificates import CertificateBundle

from .. import pki
from .programs import in_pem, run

if TYPE_CHECKING:
    from pathlib import Path

PASSWORD = "correct horse 'battery' \"staple\" ~!$"
KINDS: tuple[pki.KeyKind, ...] = ("ec", "rsa", "ed25519")


class Packed:
    """A file with the bundle that it was made of."""

    def __init__(
        self, directory: Path, kind: pki.KeyKind, *, name: str | None = None, password: str = PASSWORD
    ) -> None:
        self.hierarchy = pki.hierarchy("Shop.example.com", kind=kind)
        self.bundle = CertificateBundle.from_payload(pki.payload(*self.hierarchy))
        self.path = directory / "bundle.p12"
        self.path.write_bytes(self.bundle.to_pkcs12(self.hierarchy.leaf.key, password, name))
        self.environment = {"PASSWORD": password, "LC_ALL": "C.UTF-8"}

    @property
    def chain(self) -> list[bytes]:
        hierarchy = self.hierarchy
        return [hierarchy.leaf.der, hierarchy.issuing.der, hierarchy.cross_root.der]

    def openssl(self, *options: str) -> bytes:
        given = ("-in", self.path, "-passin", "env:PASSWORD")
        return run("openssl", "pkcs12", *given, *options, environment=self.environment)

    def keytool(self, *options: str) -> str:
        given = ("-keystore", self.path, "-storepass:env", "PASSWORD")
        return run("keytool", "-list", *given, *options, environment=self.environment).decode()


@pytest.mark.parametrize("kind", KINDS)
def test_openssl_reads_leaf_and_intermediates(tmp_path: Path, kind: pki.KeyKind) -> None:
    packed = Packed(tmp_path, kind)
    assert in_pem(packed.openssl("-nokeys", "-clcerts")) == packed.chain[:1]
    assert in_pem(packed.openssl("-nokeys", "-cacerts")) == packed.chain[1:]


@pytest.mark.parametrize("kind", KINDS)
def test_openssl_reads_the_key_of_the_leaf(tmp_path: Path, kind: pki.KeyKind) -> None:
    packed = Packed(tmp_path, kind)
    public = run("openssl", "pkey", "-pubout", stdin=packed.openssl("-nocerts", "-noenc"))
    own = packed.bundle.certificate.public_key()
    assert public == own.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


@pytest.mark.parametrize("kind", KINDS)
def test_keytool_lists_one_key_with_its_whole_chain(tmp_path: Path, kind: pki.KeyKind) -> None:
    told = Packed(tmp_path, kind).keytool("-v")
    assert "Your keystore contains 1 entry" in told
    assert "Entry type: PrivateKeyEntry" in told
    assert "Certificate chain length: 3" in told


def test_keytool_has_the_certificates_in_order(tmp_path: Path) -> None:
    packed = Packed(tmp_path, "ec")
    assert in_pem(packed.keytool("-rfc").encode()) == packed.chain


@pytest.mark.parametrize(
    ("name", "alias"), [(None, "shop.example.com"), ("My Shop", "my shop"), ("Gesch\u00e4ft", "gesch\u00e4ft")]
)
def test_keytool_lists_it_by_its_name_in_lower_case(tmp_path: Path, name: str | None, alias: str) -> None:
    assert f"Alias name: {alias}\n" in Packed(tmp_path, "ec", name=name).keytool("-v")


@pytest.mark.parametrize("password", ["x", "".join(map(chr, range(32, 127))), "1" * 1023])
def test_both_open_it_with_every_password_that_is_taken(tmp_path: Path, password: str) -> None:
    packed = Packed(tmp_path, "ec", password=password)
    assert in_pem(packed.openssl("-nokeys")) == packed.chain
    assert "Certificate chain length: 3" in packed.keytool("-v")
