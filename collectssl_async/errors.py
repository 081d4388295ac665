"""Every exception of the package, in one tree, and the table of the API's error codes.

Nothing here knows how a call is made. Messages never hold a password: who raises an error scrubs what it quotes.
Errors pickle, so that they pass between processes and through task queues.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:  # models import errors, not the reverse
    from collections.abc import Callable

    from .models import CollectSSLResponse
    from .polling import PollState


class CollectSSLError(Exception):
    """The parent of everything that this package raises on purpose."""

    def __reduce__(self) -> tuple[Callable[..., CollectSSLError], tuple[object, ...]]:
        return _revive, (type(self), self.args, dict(vars(self)))


def _revive(cls: type[CollectSSLError], args: tuple[object, ...], state: dict[str, object]) -> CollectSSLError:
    """Build an error anew without its constructor, whose keyword arguments `Exception` would not pass on."""
    error = cls.__new__(cls, *args)
    error.__dict__.update(state)
    return error


class ConfigurationError(CollectSSLError):
    """Something is set up wrongly: endpoint, credentials, an extra that is not installed. No call was made."""


class NotReadyError(CollectSSLError):
    """The order is not issued yet. `response` is what the API said instead."""

    def __init__(self, message: str, *, response: CollectSSLResponse) -> None:
        super().__init__(message)
        self.response = response


class TransportError(CollectSSLError):
    """The network failed; nothing is known of the order."""


class CallTimeoutError(TransportError):
    """The call took longer than the client's `timeout`."""


class ServerUnavailableError(TransportError):
    """HTTP 429 or 5xx. `retry_after` is in seconds, None where the server named no time."""

    def __init__(self, message: str, *, status_code: int, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.status_code = status_code
        self.retry_after = retry_after


class MalformedResponseError(CollectSSLError):
    """The reply is not what the API documents: an HTML page, a redirect, a certificate that cannot be read.

    `status_code` is the HTTP status, None where only the body was looked at; `excerpt` is the beginning of the body.
    """

    def __init__(self, message: str, *, status_code: int | None = None, excerpt: str = "") -> None:
        super().__init__(message)
        self.status_code = status_code
        self.excerpt = excerpt

    def __str__(self) -> str:
        message = super().__str__()
        return f"{message}: {self.excerpt!r}" if self.excerpt else message


class APIError(CollectSSLError):
    """The API refused: `code` (negative), `message` as sent, and the argument's name in `item` where it named one.

    Reference: "Error codes". A code that has no class of its own raises `APIError` itself.
    """

    def __init__(self, code: int, message: str, *, item: str | None = None) -> None:
        super().__init__(code, message)
        self.code = code
        self.message = message
        self.item = item

    def __str__(self) -> str:
        return f"{self.code}: {self.message}" + (f" ({self.item})" if self.item else "")

    @staticmethod
    def from_code(code: int, message: str = "", *, item: str | None = None) -> APIError:
        """Return the error of the code's own class; without a message it carries the documented text."""
        known = API_ERRORS.get(code)
        text = message or (known.text if known else "The API gave no message.")
        return (known.error if known else APIError)(code, text, item=item)


class InsecureRequestError(APIError):
    """-1: the request was not made over https."""


class UnrecognisedArgumentError(APIError):
    """-2: the API does not know a parameter that was sent."""


class MissingArgumentError(APIError):
    """-3: a required parameter is missing; `item` names it."""


class InvalidArgumentError(APIError):
    """-4: a parameter's value is invalid, an unknown order number for one; `item` names it."""


class UnknownAPIError(APIError):
    """-14: an unknown error occurred. Waiting goes on."""


class AuthenticationError(APIError):
    """-16: wrong credentials, or the account is locked. Never tried again: guesses lock accounts."""


class MethodNotAllowedError(APIError):
    """-17: the request was not a POST."""


class OrderRejectedError(APIError):
    """-20: the certificate request has been rejected."""


class CertificateRevokedError(APIError):
    """-21: the certificate has been revoked."""


class AwaitingPaymentError(APIError):
    """-22: the order has not been paid."""


class CertificateReplacedError(APIError):
    """-23: the certificate has been replaced; collect the new one by its certificate ID."""


class VoucherPermissionError(APIError):
    """-90: no permission to use the voucher."""


class AutoApplyPermissionError(APIError):
    """-91: no permission to use the AUTO-Apply service."""


class ErrorCode(NamedTuple):
    """What is known of one error code: its class, its documented text, and whether a wait goes on after it."""

    error: type[APIError]
    text: str
    waits: bool = False


API_ERRORS: dict[int, ErrorCode] = {
    -1: ErrorCode(InsecureRequestError, "Request was not made over https!"),
    -2: ErrorCode(UnrecognisedArgumentError, "Unrecognised argument!"),
    -3: ErrorCode(MissingArgumentError, "The 'xxxx' argument is missing!"),
    -4: ErrorCode(InvalidArgumentError, "The value of the 'xxxx' argument is invalid!"),
    -14: ErrorCode(UnknownAPIError, "An unknown error occurred!", waits=True),
    -16: ErrorCode(
        AuthenticationError,
        "Incorrect login details, account is locked, password has expired or your source IP is blocked.",
    ),
    -17: ErrorCode(MethodNotAllowedError, "Request used GET rather than POST!"),
    -20: ErrorCode(OrderRejectedError, "The certificate request has been rejected!"),
    -21: ErrorCode(CertificateRevokedError, "The certificate has been revoked!"),
    -22: ErrorCode(AwaitingPaymentError, "Still awaiting payment!"),
    # -23, -26 and -42 are not in the reference; they have been seen in replies.
    -23: ErrorCode(CertificateReplacedError, "The certificate has been replaced!"),
    -26: ErrorCode(APIError, "The certificate is being issued.", waits=True),
    -42: ErrorCode(APIError, "The call limit has been reached, try again later.", waits=True),
    -90: ErrorCode(VoucherPermissionError, "Permission denied for using \u201cvoucher\u201d with \u2018xxxx\u2019"),
    -91: ErrorCode(AutoApplyPermissionError, "Permission Denied. Not allowed to use the AUTO-Apply service."),
}
"""Every error code, its class, its text and whether waiting goes on. Reference: "Error codes"."""


class GuardError(CollectSSLError):
    """The concurrency guard could not promise that the call would be alone. No call was made, or it was stopped."""


class GuardTimeoutError(GuardError):
    """The turn did not come within the guard's `acquire_timeout` (seconds). No call was made."""


class GuardLostError(GuardError):
    """The hold is no longer ours: another process may already be calling."""


class StoreError(CollectSSLError):
    """The states of waiting orders could not be kept or read: a full disk, a file that is damaged or in use.

    `states` are those of the orders that wait, as far as they are known, so that they can be kept elsewhere.
    """

    def __init__(self, message: str, *, states: tuple[PollState, ...] = ()) -> None:
        super().__init__(message)
        self.states = states


class WaitTimeoutError(CollectSSLError):
    """The wait's `timeout` passed before the certificate was there. Hand `state` to the next wait to go on."""

    def __init__(self, message: str, *, state: PollState) -> None:
        super().__init__(message)
        self.state = state


class CertificateError(CollectSSLError):
    """What was collected cannot be used or written as asked: no leaf, an unreadable key, a directory in the way."""


class ChainError(CertificateError):
    """The chain does not hold: no CA that came issued the leaf, or verification refused it. Says which, and why."""


class KeyMismatchError(CertificateError):
    """The private key does not belong to the certificate."""
