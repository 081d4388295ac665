"""The one account of the sandbox: its credentials, and the lock that wrong logins put on it."""

from __future__ import annotations

import hmac
import secrets
from typing import TYPE_CHECKING

from pydantic import SecretStr

from ..credentials import Credentials
from ..parameters import LOGIN_NAME, LOGIN_PASSWORD
from .request import refusal

if TYPE_CHECKING:
    from .request import Form

FAILURES_MAX = 10
"""Wrong logins in a row until the account is locked for everyone."""


class Account:
    """Credentials made up for this sandbox, and how often somebody failed to give them."""

    def __init__(self) -> None:
        self.credentials = Credentials(
            login_name=f"sandbox-{secrets.token_hex(4)}", login_password=SecretStr(secrets.token_urlsafe(18))
        )
        self._failures = 0

    @property
    def locked(self) -> bool:
        """Whether even the right password is refused."""
        return self._failures >= FAILURES_MAX

    def unlock(self) -> None:
        """Let the account be used again, and forget the failures."""
        self._failures = 0

    def check(self, form: Form) -> None:
        """Raise -16 unless these are the credentials and the account is not locked."""
        if not self.locked:
            expected = (self.credentials.login_name, self.credentials.login_password.get_secret_value())
            given = (form.text(LOGIN_NAME) or "", form.text(LOGIN_PASSWORD) or "")
            # Both are compared, so that the time taken does not tell which of them was wrong.
            right = [hmac.compare_digest(*map(str.encode, pair)) for pair in zip(expected, given, strict=True)]
            if all(right):
                self._failures = 0
                return
            self._failures += 1
        raise refusal(-16)
