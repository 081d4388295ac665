"""Sends a reply: whole, in pieces, byte by byte, or as much of it as goes out before the connection is cut.

An ASGI app can neither cut a connection nor ask whether the caller is still there: our own server's connections hand
out both in the scope's state; under any other server a cut connection is a `ConnectionResetError`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import anyio

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, MutableMapping

    from .replies import Reply

    Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
    Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

CONNECTION = "sandbox_connection"
"""Where the scope's state has the `Connection`."""


class Connection(Protocol):
    """What a server of ours knows of the connection that a call came on."""

    gone: bool

    def cut(self) -> None:
        """Close the connection at once."""


async def send_reply(reply: Reply, connection: Connection | None, receive: Receive, send: Send) -> bool:
    """Send a reply, and return whether the caller had left before its last byte.

    Raises `ConnectionResetError` for a reply that is cut where the connection cannot be.
    """
    if reply.hang:
        await _caller_has_left(receive)
        return True
    left = _has_left(connection)
    if reply.cut != 0:
        await send({"type": "http.response.start", "status": reply.status, "headers": _headers(reply)})
        left = await _send_body(reply, connection, send) or left
    if reply.cut is not None:
        if connection is None:
            raise ConnectionResetError("the sandbox cut the connection, as it was told to")
        connection.cut()
        await _caller_has_left(receive)  # a server complains of an app that returns without a whole reply
    return left


def _has_left(connection: Connection | None) -> bool:
    return connection is not None and connection.gone


def _headers(reply: Reply) -> list[tuple[bytes, bytes]]:
    headers = [(b"content-type", reply.content_type.encode("latin-1"))] if reply.content_type else []
    headers += [(name.encode(), value.encode()) for name, value in reply.headers]
    if not reply.chunked:
        headers.append((b"content-length", str(len(reply.body)).encode()))
    if reply.close:
        headers.append((b"connection", b"close"))
    return headers


async def _send_body(reply: Reply, connection: Connection | None, send: Send) -> bool:
    """Send the body and return False; True if the caller left a slow one."""
    body = reply.body if reply.cut is None else reply.body[: int(len(reply.body) * reply.cut)]
    half = (len(body) + 1) // 2
    step = max(1 if reply.pace else half if reply.chunked else len(body), 1)
    for start in range(0, len(body), step):
        if reply.pace:
            await anyio.sleep(reply.pace)
            if _has_left(connection):
                return True
        await send({"type": "http.response.body", "body": body[start : start + step], "more_body": True})
    if reply.cut is None:
        await send({"type": "http.response.body", "body": b"", "more_body": False})
    return False


async def _caller_has_left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
