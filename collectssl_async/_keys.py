"""Private keys as they are handed in: an object of cryptography, or PEM. No exception holds anything of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, get_args

from .errors import CertificateError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes

_INSTEAD_OF_A_KEY: tuple[tuple[bytes, str], ...] = (
    (b"ENCRYPTED", "is encrypted: decrypt it first, with `openssl pkey` for one"),
    (b"BEGIN OPENSSH PRIVATE KEY", "is in OpenSSH's own format: convert it with `ssh-keygen -p -m PKCS8`"),
    (b"PRIVATE KEY", "is damaged, or of a kind that is not supported: the PEM must hold the whole key"),
    (b"PUBLIC KEY", "is a public key: the private one is needed"),
    (b"CERTIFICATE REQUEST", "is a request (CSR): the private key that it was made with is needed"),
    (b"CERTIFICATE", "is a certificate: the private key is needed"),
)
"""What PEM that cannot be loaded turns out to be, and what to do about it. The first that is found counts."""


def load_private_key(given: PrivateKeyTypes | bytes | str, *, what: str = "private_key") -> PrivateKeyTypes:
    """Return the key; `what` names it in the message of the `CertificateError` that is raised when it is none."""
    from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    if not isinstance(given, bytes | str):
        if not any(isinstance(given, kind) for kind in get_args(PrivateKeyTypes)):
            raise CertificateError(f"{what} must be a private key of cryptography or PEM, not {type(given).__name__}")
        return given
    pem = given.encode(errors="replace") if isinstance(given, str) else given
    try:
        return load_pem_private_key(pem, password=None)
    except Exception:  # noqa: BLE001 - what cryptography raises for a key it cannot use has no common class
        path = ": hand in the key itself, not the path of its file" if isinstance(given, str) else ""
        instead = (text for sign, text in _INSTEAD_OF_A_KEY if sign in pem)
        problem = next(instead, f"is not a private key in PEM{path}")
    # Raised out here and without them, so that neither the error's context nor a frame of its traceback holds the key.
    del given, pem
    raise CertificateError(f"{what} {problem}")


def private_key_pem(key: PrivateKeyTypes) -> bytes:
    """Return the key in unencrypted PKCS#8. Raises `CertificateError` for one that cannot be had, in an HSM say."""
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    try:
        return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    except Exception as error:  # noqa: BLE001 - the object may be anybody's, and so may its exceptions
        problem = type(error).__name__
    raise CertificateError(f"private_key cannot be exported ({problem}): write without it")
