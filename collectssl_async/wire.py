"""The protocol without the network: a request becomes form fields, the bytes of a reply become a response or an error.

No I/O, no clock, no state. Whoever calls this sends the fields and hands over the whole body. What reads replies stands
in `_decoding.py` and below, and loads with the first reply: it is a third of the package's import time.
"""

from __future__ import annotations

from enum import IntEnum
from functools import cache
from typing import TYPE_CHECKING

from .parameters import LOGIN_NAME, LOGIN_PASSWORD, REQUEST_PARAMETERS

if TYPE_CHECKING:
    from collections.abc import Callable

    from .credentials import Credentials
    from .errors import APIError
    from .models import CollectSSLRequest, CollectSSLResponse


def encode_request(request: CollectSSLRequest, credentials: Credentials) -> list[tuple[str, str]]:
    """Return the form fields in the order of the reference's "Request parameters", the login first.

    Only what was set is among them: the API refuses parameters that it does not know.
    """
    fields = [
        (LOGIN_NAME, credentials.login_name),
        (LOGIN_PASSWORD, credentials.login_password.get_secret_value()),
    ]
    for name, field in REQUEST_PARAMETERS.items():
        value = getattr(request, field)
        if value is True:
            fields.append((name, "Y"))
        elif value is not None and value is not False:  # an enumeration's 0 is sent
            fields.append((name, str(int(value)) if isinstance(value, IntEnum) else str(value)))
    return fields


def decode_response(request: CollectSSLRequest, *, content_type: str | None, body: bytes) -> CollectSSLResponse:
    """Return what a reply says. `request` tells what lines without a name can mean; nothing else of it is relied on.

    Either text format may come whatever was asked for, and text where binary was. Raises `APIError` for an error of the
    API and `MalformedResponseError` for anything that the reference does not document. `content_type` is a hint at
    most: it has been seen to be wrong.
    """
    return _readers()[0](request, content_type=content_type, body=body)


def decode_error(*, body: bytes) -> APIError | None:
    """Return the API's error that a body holds, None for anything else. Meant for HTTP statuses other than 200."""
    return _readers()[1](body)


@cache  # an import statement costs some microseconds even when there is nothing to load
def _readers() -> tuple[Callable[..., CollectSSLResponse], Callable[[bytes], APIError | None]]:
    from ._decoding import decode_error, decode_response

    return decode_response, decode_error
