"""Reading a container as the tests of containers do: its certificates, or why it is refused."""

from __future__ import annotations

import pytest

from collectssl_async import containers
from collectssl_async.errors import MalformedResponseError

README = "Your certificates. Install the root first.\r\n"


def certificates(source: bytes | str, *, max_certificates: int | None = 32) -> tuple[bytes, ...]:
    return containers.read(source, max_certificates=max_certificates).certificates


def refused(source: bytes | str) -> MalformedResponseError:
    with pytest.raises(MalformedResponseError) as caught:
        containers.read(source)
    return caught.value
