"""How an order ended, as text in a store and back: its certificates as they were received, or its error.

JSON by table, no pickle: a store is a file that others may have written to.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from . import errors
from .certificates import CertificateBundle
from .errors import APIError, CollectSSLError, MalformedResponseError, ServerUnavailableError
from .models import CertificatePayload

if TYPE_CHECKING:
    from collections.abc import Iterator

_FIELDS: dict[type[CollectSSLError], tuple[str, ...]] = {
    APIError: ("code", "message", "item"),
    ServerUnavailableError: ("status_code", "retry_after"),
    MalformedResponseError: ("status_code", "excerpt"),
}
"""What errors say besides their text, by the class that says it; the other errors are their text alone."""


def certificates_as_text(payload: CertificatePayload) -> str:
    """Return the certificates of a reply as JSON."""
    return json.dumps({"certificates": json.loads(payload.model_dump_json())})


def error_as_text(error: CollectSSLError) -> str:
    """Return an error of this package as JSON."""
    kind = next(kind for kind in type(error).__mro__ if kind in _ERRORS.values())  # a guard may raise one of its own
    text = str(error.args[0]) if error.args else ""
    return json.dumps(
        {"error": kind.__name__, "text": text, **{name: getattr(error, name) for name in _fields_of(kind)}}
    )


def read_ending(text: str) -> CertificateBundle | CollectSSLError:
    """Return what the text was made of; a `CertificateError` where the certificates cannot be used any more.

    Raises `ValueError` for a text that nobody here wrote.
    """
    try:
        said: dict[str, Any] = json.loads(text)
        if "certificates" in said:
            return CertificateBundle.from_payload(
                CertificatePayload.model_validate_json(json.dumps(said["certificates"]))
            )
        return _error_from(_ERRORS[said["error"]], said)
    except errors.CertificateError as error:
        return error
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"no ending of an order: {type(error).__name__}") from error


def _fields_of(kind: type[CollectSSLError]) -> tuple[str, ...]:
    return next((names for parent, names in _FIELDS.items() if issubclass(kind, parent)), ())


def _error_from(kind: type[CollectSSLError], said: dict[str, Any]) -> CollectSSLError:
    fields = {name: said[name] for name in _fields_of(kind)}
    return APIError.from_code(**fields) if issubclass(kind, APIError) else kind(said["text"], **fields)


def _with_children(kind: type[CollectSSLError]) -> Iterator[type[CollectSSLError]]:
    yield kind
    for child in kind.__subclasses__():
        yield from _with_children(child)


_ERRORS = {kind.__name__: kind for kind in _with_children(CollectSSLError) if kind.__module__ == errors.__name__}
