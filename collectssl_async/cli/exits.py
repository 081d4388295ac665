"""How a command ends: the exit codes, which exception means which of them, and what its user can change."""

from __future__ import annotations

from enum import IntEnum
from typing import TypeVar

from ..errors import (
    APIError,
    AuthenticationError,
    AwaitingPaymentError,
    CertificateReplacedError,
    CollectSSLError,
    ConfigurationError,
    InvalidArgumentError,
    MalformedResponseError,
    NotReadyError,
    ServerUnavailableError,
    TransportError,
    WaitTimeoutError,
)


class Exit(IntEnum):
    """The exit codes. They are an interface: scripts tell them apart."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    NOT_READY = 3
    REFUSED = 4
    CREDENTIALS = 5
    NETWORK = 6
    INTERRUPTED = 130


MEANINGS: dict[Exit, str] = {
    Exit.DONE: "done",
    Exit.FAILED: "failed: no file can be written, the key does not match, ...",
    Exit.USAGE: "usage: a wrong option, a file it names, or a missing extra",
    Exit.NOT_READY: "not ready yet: there is no certificate, or none came in time",
    Exit.REFUSED: "refused by the API",
    Exit.CREDENTIALS: "credentials: missing, unreadable or wrong (-16)",
    Exit.NETWORK: "network: no answer, or none that the API documents",
    Exit.INTERRUPTED: "interrupted by Ctrl-C or SIGTERM",
}
"""What the codes mean, as `--help` says it."""


class CredentialsError(ConfigurationError):
    """The login name or the password is missing, or cannot be used."""


class OutputError(CollectSSLError):
    """A result could not be written to stdout."""


class HookError(CollectSSLError):
    """The deploy hook failed. The files are in place, and it runs again the next time."""


class InspectionError(CollectSSLError):
    """Some of what was to be inspected cannot be read."""


EXITS: dict[type[BaseException], Exit] = {
    CollectSSLError: Exit.FAILED,
    OSError: Exit.FAILED,
    ConfigurationError: Exit.USAGE,
    NotReadyError: Exit.NOT_READY,
    WaitTimeoutError: Exit.NOT_READY,
    APIError: Exit.REFUSED,
    CredentialsError: Exit.CREDENTIALS,
    AuthenticationError: Exit.CREDENTIALS,
    TransportError: Exit.NETWORK,
    # A maintenance page, a proxy's error, a redirect: what answered was not the API, and later it may be.
    MalformedResponseError: Exit.NETWORK,
}
"""Which exit code an exception means. The closest class counts."""

ADVICE: dict[type[BaseException], str] = {
    NotReadyError: "try again later, or let --wait do it",
    WaitTimeoutError: "wait again, nothing is lost",
    AuthenticationError: "correct the login name or the password before the next try, wrong logins lock the account",
    InvalidArgumentError: "check the order's number and whose account it is in",
    AwaitingPaymentError: "pay for the order first",
    CertificateReplacedError: "collect its replacement with --certificate-id",
    TransportError: "check the network, --endpoint and --ca-file",
    ServerUnavailableError: "try again later",
    MalformedResponseError: "check --endpoint, or try again later",
}
"""What to do about it, where the exception does not say so itself. The closest class counts."""

_T = TypeVar("_T")


def exit_of(error: BaseException) -> Exit:
    """Return the exit code that an exception of `EXITS` means."""
    code = _closest(EXITS, error)
    return Exit.FAILED if code is None else code


def explanation_of(error: BaseException) -> str:
    """Return what happened and what to change."""
    advice = _closest(ADVICE, error)
    return str(error) if advice is None else f"{str(error).rstrip('.!')}: {advice}"


def _closest(table: dict[type[BaseException], _T], error: BaseException) -> _T | None:
    return next((table[kind] for kind in type(error).__mro__ if kind in table), None)
