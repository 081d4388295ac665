"""What OpenSSL and unzip make of a reply with certificates: a reader for each of its types, formats and encodings."""

from __future__ import annotations

import ssl
from base64 import b64decode
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

from .programs import in_pem, run

if TYPE_CHECKING:
    from collections.abc import Callable

    from collectssl_async.sandbox import SandboxOrder

    from .peer import Peer

    Received = list[bytes]
    """Certificates in DER, in no order that means anything."""

    Reader = Callable[[Peer, SandboxOrder], Received]


def pkcs7_in_text(peer: Peer, order: SandboxOrder) -> Received:
    """Read a reply as it was saved: what stands before the armour is passed over."""
    saved = peer.curl(order, queryType=1, responseType=2)
    return in_pem(run("openssl", "pkcs7", "-print_certs", stdin=saved))


def pkcs7_in_a_parameter(peer: Peer, order: SandboxOrder) -> Received:
    data = parameter(peer, order, "pkcs7", responseType=2)
    return in_pem(run("openssl", "pkcs7", "-inform", "DER", "-print_certs", stdin=data))


def pkcs7_in_binary(peer: Peer, order: SandboxOrder) -> Received:
    data = peer.curl(order, queryType=1, responseType=2, responseEncoding=1)
    return in_pem(run("openssl", "pkcs7", "-inform", "DER", "-print_certs", stdin=data))


def netscape_in_text(peer: Peer, order: SandboxOrder) -> Received:
    saved = peer.curl(order, queryType=1, responseType=1)
    return in_pem(run("openssl", "nseq", stdin=saved))


def netscape_in_a_parameter(peer: Peer, order: SandboxOrder) -> Received:
    data = parameter(peer, order, "netscapeCertificateSequence", responseType=1)
    return in_pem(run("openssl", "nseq", stdin=ssl.DER_cert_to_PEM_cert(data).encode()))


def zip_in_text(peer: Peer, order: SandboxOrder) -> Received:
    _, _, text = peer.curl(order, queryType=1, responseType=0).partition(b"\n")
    return unzipped(peer, b64decode(text))


def zip_in_a_parameter(peer: Peer, order: SandboxOrder) -> Received:
    return unzipped(peer, parameter(peer, order, "zipFile", responseType=0))


def zip_in_binary(peer: Peer, order: SandboxOrder) -> Received:
    return unzipped(peer, peer.curl(order, queryType=1, responseType=0, responseEncoding=1))


def individually_in_text(peer: Peer, order: SandboxOrder) -> Received:
    """Read a reply as it was saved, as one reads any file of certificates."""
    saved = peer.directory / "saved.txt"
    saved.write_bytes(peer.curl(order, queryType=1, responseType=3))
    gathered = run("openssl", "crl2pkcs7", "-nocrl", "-certfile", saved)
    return in_pem(run("openssl", "pkcs7", "-print_certs", stdin=gathered))


def individually_in_parameters(peer: Peer, order: SandboxOrder) -> Received:
    values = parameters(peer, order, responseType=3)
    found = (b64decode(value) for name in ("caCertificate", "certificate") for value in values[name])
    return [each for data in found for each in in_pem(run("openssl", "x509", "-inform", "DER", stdin=data))]


def parameters(peer: Peer, order: SandboxOrder, **asked: int) -> dict[str, list[str]]:
    body = peer.curl(order, queryType=1, responseFormat=1, **asked)
    return parse_qs(body.decode(), strict_parsing=True)


def parameter(peer: Peer, order: SandboxOrder, name: str, **asked: int) -> bytes:
    """Return what one parameter holds in base64."""
    (value,) = parameters(peer, order, **asked)[name]
    return b64decode(value)


def unzipped(peer: Peer, data: bytes) -> Received:
    """Return the certificates of an archive, whether they are PEM or DER; a readme is none."""
    archive, directory = peer.directory / "reply.zip", peer.directory / "unzipped"
    archive.write_bytes(data)
    run("unzip", "-tq", archive)
    run("unzip", "-q", archive, "-d", directory)
    members = [file for file in directory.rglob("*") if file.is_file() and file.name != "README.txt"]
    return [each for file in members for each in in_pem(run("openssl", "x509", "-in", file))]


READERS = [
    pkcs7_in_text,
    pkcs7_in_a_parameter,
    pkcs7_in_binary,
    netscape_in_text,
    netscape_in_a_parameter,
    zip_in_text,
    zip_in_a_parameter,
    zip_in_binary,
    individually_in_text,
    individually_in_parameters,
]
