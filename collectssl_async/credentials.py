"""Who asks: the account's user name and password, and the rules that keep the password out of everything else.

No exception raised here, no local of a frame in its traceback and no pickle holds the password.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, NoReturn, Self

from pydantic import BaseModel, ConfigDict, SecretStr

from .errors import ConfigurationError

LOGIN_NAME_MAX = 64
LOGIN_PASSWORD_MAX = 128


class Credentials(BaseModel, frozen=True):
    """The account's user name (up to 64 characters) and password (up to 128), both case sensitive.

    Raises `ConfigurationError`, never pydantic's `ValidationError`, which would keep the password. Cannot be pickled.
    """

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    login_name: str
    login_password: SecretStr

    def __init__(self, *, login_name: str, login_password: SecretStr | str) -> None:
        # From here on no local of this frame holds the password in the clear: a traceback would show it.
        secret = SecretStr(login_password) if isinstance(login_password, str) else login_password
        del login_password
        problem = _text_problem("login_name", login_name, LOGIN_NAME_MAX) or (
            _text_problem("login_password", secret.get_secret_value(), LOGIN_PASSWORD_MAX)
            if isinstance(secret, SecretStr)
            else f"login_password must be text, not {type(secret).__name__}"
        )
        if problem is not None:
            if not isinstance(secret, SecretStr):
                del secret
            raise ConfigurationError(problem)
        super().__init__(login_name=login_name, login_password=secret)

    @classmethod
    def from_env(cls) -> Self:
        """Read `COLLECTSSL_LOGIN_NAME` and `COLLECTSSL_LOGIN_PASSWORD` (or `COLLECTSSL_LOGIN_PASSWORD_FILE`).

        The file's trailing line break is not part of the password. Raises `ConfigurationError` that names the variable.
        """
        name = os.environ.get("COLLECTSSL_LOGIN_NAME")
        file = os.environ.get("COLLECTSSL_LOGIN_PASSWORD_FILE")
        in_env = bool(os.environ.get("COLLECTSSL_LOGIN_PASSWORD"))
        if not name:
            raise ConfigurationError("COLLECTSSL_LOGIN_NAME is not set: set it to the account's user name")
        if in_env and file:
            raise ConfigurationError(
                "COLLECTSSL_LOGIN_PASSWORD and COLLECTSSL_LOGIN_PASSWORD_FILE are both set: unset one of them"
            )
        if not in_env and not file:
            raise ConfigurationError(
                "COLLECTSSL_LOGIN_PASSWORD is not set: set it, or COLLECTSSL_LOGIN_PASSWORD_FILE to the path of a file "
                "that holds the password"
            )
        if file:
            return cls(login_name=name, login_password=_password_from(file))
        return cls(login_name=name, login_password=SecretStr(os.environ["COLLECTSSL_LOGIN_PASSWORD"]))

    def __setattr__(self, name: str, value: Any) -> None:
        del value
        raise AttributeError(f"Credentials are frozen: {name} cannot be set")

    def __reduce_ex__(self, protocol: Any) -> NoReturn:
        raise TypeError("Credentials cannot be pickled: a pickle would hold the password in the clear")


def _text_problem(field: str, value: object, longest: int) -> str | None:
    """Say what is wrong with a credential, without quoting it."""
    if not isinstance(value, str):
        return f"{field} must be text, not {type(value).__name__}"
    if not 1 <= len(value) <= longest:
        return f"{field} must have 1 to {longest} characters, it has {len(value)}"
    if any("\ud800" <= character <= "\udfff" for character in value):
        return f"{field} must be valid Unicode text: it holds bytes that are no UTF-8"
    return None


def _password_from(file: str) -> SecretStr:
    """Read a password file. Errors are raised outside `except`: a UnicodeDecodeError keeps the bytes it chokes on."""
    try:
        return SecretStr(Path(file).read_bytes().decode().removesuffix("\n").removesuffix("\r"))
    except OSError as error:
        problem = error.strerror or type(error).__name__
    except UnicodeDecodeError:
        problem = "it is not UTF-8 text"
    raise ConfigurationError(f"COLLECTSSL_LOGIN_PASSWORD_FILE cannot be read, {file!r}: {problem}")
