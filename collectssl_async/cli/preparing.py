"""What is looked at before any call: who calls, the order's name, the files that options name, where results will go.

Nothing here touches the network or leaves anything behind, so a mistake costs neither a call nor a wait.
"""

from __future__ import annotations

import os
import ssl
import sys
import tempfile
from pathlib import Path

import typer
from pydantic import SecretStr, ValidationError

from .._pkcs12 import problem_of_password
from ..credentials import Credentials
from ..errors import CertificateError, ConfigurationError
from ..models import OrderRef
from .exits import CredentialsError

LOGIN_NAME = "COLLECTSSL_LOGIN_NAME"
LOGIN_PASSWORD = "COLLECTSSL_LOGIN_PASSWORD"  # noqa: S105 - a variable's name
LOGIN_PASSWORD_FILE = "COLLECTSSL_LOGIN_PASSWORD_FILE"  # noqa: S105 - a variable's name
PKCS12_PASSWORD = "COLLECTSSL_PKCS12_PASSWORD"  # noqa: S105 - a variable's name
PKCS12_PASSWORD_FILE = "COLLECTSSL_PKCS12_PASSWORD_FILE"  # noqa: S105 - a variable's name
PUSH_PASSWORD = "COLLECTSSL_PUSH_PASSWORD"  # noqa: S105 - a variable's name
PUSH_PASSWORD_FILE = "COLLECTSSL_PUSH_PASSWORD_FILE"  # noqa: S105 - a variable's name

_NAMED_BY = {
    "order_number": "ORDER",
    "certificate_id": "--certificate-id",
    "base_order_number": "--base-order-number",
}


def named_order(order_number: str | None, certificate_id: int | None, base_order_number: int | None) -> OrderRef:
    """Return the order that the command line names. Raises typer's error for wrong usage."""
    if order_number is None and certificate_id is None and base_order_number is None:
        *others, last = _NAMED_BY.values()
        raise typer.BadParameter(f"name the order: {', '.join(others)} or {last}", param_hint="ORDER")
    try:
        return OrderRef(order_number=order_number, certificate_id=certificate_id, base_order_number=base_order_number)
    except ValidationError as error:
        problem = error.errors()[0]
        message = problem["msg"].removeprefix("Value error, ")
        raise typer.BadParameter(message, param_hint=_NAMED_BY[str(problem["loc"][0])]) from None


def find_credentials(login_name: str | None) -> Credentials:
    """Return the account's credentials: from the environment, and where that is silent from whoever sits there.

    Raises `CredentialsError` that says what to set.
    """
    somebody_there = sys.stdin.isatty() and sys.stderr.isatty()
    try:
        if not login_name:
            if not somebody_there:
                raise CredentialsError(f"no login name: set {LOGIN_NAME}, or give --login-name")
            login_name = _asked_for("Login name")
        if os.environ.get(LOGIN_PASSWORD) or os.environ.get(LOGIN_PASSWORD_FILE):
            os.environ[LOGIN_NAME] = login_name  # the option wins over the variable
            return Credentials.from_env()
        if not somebody_there:
            raise CredentialsError(
                f"no password: set {LOGIN_PASSWORD}, or {LOGIN_PASSWORD_FILE} to the path of a file that holds it"
            )
        return Credentials(login_name=login_name, login_password=SecretStr(_asked_for("Login password", hidden=True)))
    except ConfigurationError as error:
        raise CredentialsError(str(error)) from None


def find_pkcs12_password(*, new: bool = False) -> SecretStr:
    """Return the password of PKCS#12 files: from the environment, and where that is silent from whoever sits there.

    A `new` one is asked for twice, and looked at. Raises `ConfigurationError` that says what to set.
    """
    password = _pkcs12_password(new=new)
    if new and (problem := problem_of_password(password.get_secret_value())):
        raise ConfigurationError(f"PKCS#12: {problem}")
    return password


def _pkcs12_password(*, new: bool) -> SecretStr:
    file = os.environ.get(PKCS12_PASSWORD_FILE)
    if os.environ.get(PKCS12_PASSWORD):
        if file:
            raise ConfigurationError(f"{PKCS12_PASSWORD} and {PKCS12_PASSWORD_FILE} are both set: unset one of them")
        return SecretStr(os.environ[PKCS12_PASSWORD])
    if file:
        return _password_in(file)
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise ConfigurationError(
            f"PKCS#12 needs a password: set {PKCS12_PASSWORD}, or {PKCS12_PASSWORD_FILE} to the path of a file "
            "that holds it"
        )
    return SecretStr(_asked_for("PKCS#12 password", hidden=True, confirm=new))


def _password_in(file: str) -> SecretStr:
    """Read a password file. Errors are raised outside `except`: a UnicodeDecodeError keeps the bytes it chokes on."""
    try:
        password = SecretStr(_text_of(Path(file).read_bytes()))
        if password.get_secret_value():
            return password
        problem = "it is empty"
    except OSError as error:
        problem = error.strerror or type(error).__name__
    except UnicodeDecodeError:
        problem = "it is not UTF-8 text"
    raise ConfigurationError(f"{PKCS12_PASSWORD_FILE} cannot be used, {file!r}: {problem}")


def _text_of(line: bytes) -> str:
    return line.decode().removesuffix("\n").removesuffix("\r")


def find_push_password() -> str:
    """Return the push username's password. Raises `CredentialsError`, which does not hold it."""
    told, file = bool(os.environ.get(PUSH_PASSWORD)), os.environ.get(PUSH_PASSWORD_FILE)
    if told == bool(file):
        raise CredentialsError(
            f"--push-username needs a password: set either {PUSH_PASSWORD}, or {PUSH_PASSWORD_FILE} to the path of a "
            "file that holds it"
        )
    try:
        # In no variable: an error shows the locals of its frames.
        return _text_of(Path(file).read_bytes() if file else os.environb[PUSH_PASSWORD.encode()])
    except OSError as error:
        problem = f"{PUSH_PASSWORD_FILE} cannot be read, {file!r}: {error.strerror}"
    except UnicodeDecodeError:
        problem = f"{PUSH_PASSWORD_FILE if file else PUSH_PASSWORD} is not UTF-8 text"
    raise CredentialsError(problem)


def _asked_for(what: str, *, hidden: bool = False, confirm: bool = False) -> str:
    answer: str = typer.prompt(what, hide_input=hidden, confirmation_prompt=confirm, err=True)
    return answer


def trusting(ca_file: Path) -> ssl.SSLContext:
    """Return a context that trusts the CAs in a PEM file and no others. Raises typer's error for wrong usage."""
    try:
        return ssl.create_default_context(cafile=ca_file)
    except ssl.SSLError:
        problem = "it holds no CA certificate in PEM"
    except OSError as error:
        problem = error.strerror or type(error).__name__
    raise typer.BadParameter(f"{str(ca_file)!r} cannot be used: {problem}", param_hint="--ca-file")


def read_private_key(file: Path) -> bytes:
    """Return the PEM of a usable private key. Raises typer's error for wrong usage; it holds nothing of the key."""
    from .._keys import load_private_key

    try:
        pem = file.read_bytes()
        load_private_key(pem, what=repr(str(file)))
    except OSError as error:
        problem = f"{str(file)!r} cannot be read: {error.strerror}"
    except CertificateError as error:
        problem = str(error)
    else:
        return pem
    raise typer.BadParameter(problem, param_hint="--private-key")


def check_directory(directory: Path) -> None:
    """Raise `CertificateError` if no file can be made in a directory, or in the one that it would be made in."""
    try:
        nearest = next((each for each in (directory, *directory.parents) if each.exists()), directory)
        with tempfile.TemporaryFile(dir=nearest):
            return
    except OSError as error:
        problem = error.strerror
    raise CertificateError(f"no files can be written to {str(directory)!r}: {problem}: choose another directory")
