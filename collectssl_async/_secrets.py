"""Take credentials out of a text that came from outside: an error page may echo the form that was sent to it."""

from __future__ import annotations

import base64
import html
import json
import re
from typing import TYPE_CHECKING
from urllib.parse import quote, quote_plus

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .credentials import Credentials

MASK = "**********"


def scrub_password(text: str, credentials: Credentials) -> str:
    """Return `text` with the password masked in every form that it is known to travel in."""
    return _mask(text, _forms(credentials.login_password.get_secret_value()))


def scrub(text: str, credentials: Credentials) -> str:
    """Return `text` with the user name and the password masked."""
    return _mask(scrub_password(text, credentials), _forms(credentials.login_name))


def _mask(text: str, forms: Iterator[str]) -> str:
    # Longest first: a form may hold a shorter one. Percent escapes are written in either case.
    longest_first = sorted({form for form in forms if form}, key=len, reverse=True)
    return re.sub("|".join(map(re.escape, longest_first)), MASK, text, flags=re.IGNORECASE)


def _forms(secret: str) -> Iterator[str]:
    """Every way in which a secret is commonly written: plain, quoted once and twice, escaped, base64 at any offset."""
    yield secret
    for quoted in (quote(secret), quote(secret, safe=""), quote_plus(secret)):
        yield quoted
        yield quote(quoted, safe="")
    escaped = html.escape(secret)
    yield from (escaped, escaped.replace("&#x27;", "&#39;"), html.escape(secret, quote=False))
    yield json.dumps(secret)[1:-1]
    yield json.dumps(secret, ensure_ascii=False)[1:-1]
    yield repr(secret)[1:-1]
    yield repr(secret.encode())[2:-1]
    for data in {secret.encode(), secret.encode("cp1252", "replace")}:
        for offset in range(3):
            # At an offset of 0, 1 or 2 bytes within other base64; characters that share bits with the neighbours go.
            encoded = base64.b64encode(bytes(offset) + data).decode().rstrip("=")
            end = len(encoded) - (1 if (offset + len(data)) % 3 else 0)
            core = encoded[(0, 2, 3)[offset] : end]
            if len(core) > 2:  # noqa: PLR2004 - shorter ones would mask any text
                yield from (core, core.replace("+", "-").replace("/", "_"), quote(core, safe=""))
