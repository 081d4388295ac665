"""Key, leaf and intermediates in one PKCS#12 file, for what reads no PEM: Java, Windows, appliances.

Whether the key is the leaf's has been checked before. No exception holds anything of the key or the password, and no
frame of this module in its traceback does.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, cast

from ._hosts import hosts_of
from .errors import CertificateError

if TYPE_CHECKING:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
    from cryptography.hazmat.primitives.serialization.pkcs12 import PKCS12PrivateKeyTypes

_PASSWORD = re.compile(rb"[ -~]{1,1023}")
"""Programs encode other letters each in their own way, and Java reads no file with them; openssl's limit is 1,023."""


def pack(
    leaf: bytes,
    intermediates: tuple[bytes, ...],
    private_key: PrivateKeyTypes,
    *,
    password: str | bytes,
    name: str | None,
) -> bytes:
    """Return the file, encrypted with AES-256 under PBKDF2 and authenticated with SHA-256, as OpenSSL 3 makes its own.

    `name` is what programs list the entry as ("friendlyName", Java's alias, there in lower case), the leaf's first name
    if not given. The password is 1 to 1,023 characters of ASCII.

    Raises `CertificateError` for a password or a name that cannot be used, and for a key that cannot be exported.
    """
    problem = _problem_of_name(name) or problem_of_password(password)
    if not problem:
        try:
            return _serialized(leaf, intermediates, private_key, password, name)
        except Exception as error:  # noqa: BLE001 - the key may be anybody's object, and so may its exceptions
            problem = f"private_key cannot be exported ({type(error).__name__})"
    # Gone before the error is raised, so that its traceback cannot show it.
    del password
    raise CertificateError(problem)


def problem_of_password(password: str | bytes) -> str:
    """Return why a password cannot be used, nothing if it can."""
    if not isinstance(password, str | bytes):
        return f"password must be str or bytes, not {type(password).__name__}"
    given = password.encode(errors="surrogatepass") if isinstance(password, str) else password
    if not given:
        return "password is empty: a PKCS#12 file holds the private key and is never written without one"
    if not _PASSWORD.fullmatch(given):
        return "password must be 1 to 1,023 printable characters of ASCII: programs disagree on how to read others"
    return ""


def _problem_of_name(name: str | None) -> str:
    if name is None:
        return ""
    if not isinstance(name, str):
        return f"name must be str, not {type(name).__name__}"
    # A PKCS#12 file has such names in two bytes a character; OpenSSL shows none that needs four.
    fit = name and name.isprintable() and max(name) <= "\uffff"
    return "" if fit else "name must be text that can be printed, with no character beyond U+FFFF"


def _serialized(
    leaf: bytes,
    intermediates: tuple[bytes, ...],
    private_key: PrivateKeyTypes,
    password: str | bytes,
    name: str | None,
) -> bytes:
    from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, pkcs12
    from cryptography.x509 import load_der_x509_certificate

    certificate, *cas = map(load_der_x509_certificate, (leaf, *intermediates))
    called = _default_name(certificate) if name is None else name
    return pkcs12.serialize_key_and_certificates(
        None if called is None else called.encode(),
        cast("PKCS12PrivateKeyTypes", private_key),
        certificate,
        cas,
        BestAvailableEncryption(password.encode() if isinstance(password, str) else password),
    )


def _default_name(leaf: x509.Certificate) -> str | None:
    return next((str(host) for host in hosts_of(leaf)), None)
