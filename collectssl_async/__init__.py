"""Async client for Sectigo's CollectSSL: one call at a time, polite waiting, certificates ready to deploy."""

from .errors import (
    APIError,
    AuthenticationError,
    AutoApplyPermissionError,
    AwaitingPaymentError,
    CallTimeoutError,
    CertificateError,
    CertificateReplacedError,
    CertificateRevokedError,
    ChainError,
    CollectSSLError,
    ConfigurationError,
    GuardError,
    GuardLostError,
    GuardTimeoutError,
    InsecureRequestError,
    InvalidArgumentError,
    KeyMismatchError,
    MalformedResponseError,
    MethodNotAllowedError,
    MissingArgumentError,
    NotReadyError,
    OrderRejectedError,
    ServerUnavailableError,
    TransportError,
    UnknownAPIError,
    UnrecognisedArgumentError,
    VoucherPermissionError,
    WaitTimeoutError,
)
from .guards import Guard, Hold, ProcessGuard
from .polling import PollPolicy, PollState, PollUpdate
