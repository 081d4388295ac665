"""What a file holds: certificates in DER in the order of the file, and perhaps a private key. No file is changed.

PKCS#12 is read here, everything else by `containers.py`, without a limit on the number of certificates. What the
certificates say, and whether they form a chain, is left to `describing.py`.
"""

from __future__ import annotations

import re
import stat
import warnings
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from .. import _ber, containers
from .._armour import plain_dashes
from .._keys import load_private_key
from ..errors import CertificateError, MalformedResponseError
from ..models import ResponseType

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
    from pydantic import SecretStr

MAX_FILE = 64 * 1024 * 1024
"""Bytes of a file that is looked at; no file of certificates is as large."""

_NAMES = {
    ResponseType.ZIP: "ZIP",
    ResponseType.NETSCAPE: "Netscape certificate sequence",
    ResponseType.PKCS7: "PKCS#7",
}
_PKCS12_VERSION = b"\x02\x01\x03"
_KEY = re.compile(rb"-----BEGIN ([A-Z0-9 ]{0,32}PRIVATE KEY)-----")
_LABEL = re.compile(rb"-----BEGIN ([A-Z0-9 ]{1,40})-----")


@dataclass(frozen=True, slots=True, repr=False)
class Held:
    """What a file holds. `problems` says what of it could not be read, and why."""

    kind: str
    certificates: tuple[bytes, ...] = ()
    private_key: PrivateKeyTypes | None = None
    problems: tuple[str, ...] = field(default=())


def read_file(path: Path, password: Callable[[], SecretStr]) -> Held:
    """Return what a file holds; `password` is asked for where it is PKCS#12.

    Raises `CertificateError` that says why nothing in it can be read, without the file's name.
    """
    data = _content(path)
    if is_pkcs12(data):
        return _opened(data, None) or read_pkcs12(data, password())
    key, problem = _private_key(data)
    problems = (problem,) if problem else ()
    try:
        found = containers.read(data, max_certificates=None)
    except MalformedResponseError as error:
        certificates, unread = _one_by_one(data)
        if not certificates and key is None:
            raise CertificateError(problem or (None if unread else _other_pem(data)) or str(error.args[0])) from None
        return Held("PEM", certificates, key, (*problems, *unread))
    return Held(_kind(found.response_type, data), found.certificates, key, problems)


def _content(path: Path) -> bytes:
    try:
        found = path.stat()
        if not stat.S_ISREG(found.st_mode):
            raise CertificateError("it is no file")
        if found.st_size > MAX_FILE:
            raise CertificateError(f"it is larger than {MAX_FILE // 1024**2} MiB")
        return path.read_bytes()
    except OSError as error:
        raise CertificateError(error.strerror or type(error).__name__) from None


def _kind(response_type: ResponseType, data: bytes) -> str:
    if response_type is not ResponseType.INDIVIDUAL:
        return _NAMES[response_type]
    return "DER" if containers.is_binary(data) else "PEM"


def _other_pem(data: bytes) -> str | None:
    """Say what PEM without a certificate is instead: a request or a public key, say."""
    label = _LABEL.search(data)
    return None if label is None else f"it holds no certificate, but PEM of {label[1].decode()}"


def _one_by_one(data: bytes) -> tuple[tuple[bytes, ...], tuple[str, ...]]:
    """Read the blocks of a PEM file each by itself, so that a broken one hides no other."""
    certificates: list[bytes] = []
    problems: list[str] = []
    for number, found in enumerate(_blocks(plain_dashes(data)), start=1):
        if isinstance(found, str):
            problems.append(f"block {number}: {found}")
        else:
            certificates += found.certificates
    return tuple(certificates), tuple(problems)


def _blocks(text: bytes) -> Iterator[containers.Container | str]:
    """Yield what each block for certificates holds, or why it cannot be read."""
    try:
        for block in containers.pem_blocks(text):
            if block.body is None:
                continue
            try:
                yield containers.checked(containers.read_pem(text, block))
            except MalformedResponseError as error:
                yield str(error.args[0])
    except MalformedResponseError as error:
        yield str(error.args[0])


# --- private keys -----------------------------------------------------------------------------------------------------


def _private_key(data: bytes) -> tuple[PrivateKeyTypes | None, str | None]:
    """Return the first private key in PEM, and why one that is there cannot be read."""
    pem = next(_keys_in(data), None)
    if pem is None:
        return None, None
    try:
        return load_private_key(pem, what="the private key"), None
    except CertificateError as error:
        return None, str(error)


def _keys_in(data: bytes) -> Iterator[bytes]:
    """Yield the blocks of private keys. None goes on beyond the next one's beginning: time."""
    for begin in _KEY.finditer(data):
        following = data.find(b"-----BEGIN ", begin.end())
        closing = b"-----END %b-----" % begin[1]
        end = data.find(closing, begin.end(), len(data) if following < 0 else following)
        if end >= 0:
            yield data[begin.start() : end + len(closing)]


# --- PKCS#12 ----------------------------------------------------------------------------------------------------------


def is_pkcs12(data: bytes) -> bool:
    """Tell PKCS#12 by its version, which nothing else in such a place has."""
    try:
        tag, inside, _ = _ber.Elements(data).header(0)
    except ValueError:
        return False
    return tag == _ber.SEQUENCE and data.startswith(_PKCS12_VERSION, inside)


def read_pkcs12(data: bytes, password: SecretStr) -> Held:
    """Return key and certificates, the key's own certificate first. Raises `CertificateError`, which quotes nothing."""
    held = _opened(data, password)
    if held is None:
        raise CertificateError("PKCS#12 that cannot be opened: the password is not this one, or the file is damaged")
    return held


def _opened(data: bytes, password: SecretStr | None) -> Held | None:
    """Return what PKCS#12 holds, None where it cannot be opened with that password, or without one."""
    from cryptography.hazmat.primitives.serialization import Encoding
    from cryptography.hazmat.primitives.serialization.pkcs12 import load_pkcs12

    try:
        with warnings.catch_warnings(action="ignore"):
            held = load_pkcs12(data, None if password is None else password.get_secret_value().encode())
    except Exception:  # noqa: BLE001 - what cryptography raises has no common class, and its text is of no help
        return None
    found = [each for each in (held.cert, *held.additional_certs) if each is not None]
    return Held("PKCS#12", tuple(each.certificate.public_bytes(Encoding.DER) for each in found), held.key)
