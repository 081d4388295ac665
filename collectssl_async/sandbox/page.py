"""The status page: three files, served as they are.

The page asks `/state` of the management API every second, and its buttons send what anybody may send there.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from starlette.responses import Response
from starlette.routing import Route

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.routing import BaseRoute

FILES = {
    "/": ("page.html", "text/html; charset=utf-8"),
    "/page.css": ("page.css", "text/css; charset=utf-8"),
    "/page.js": ("page.js", "text/javascript; charset=utf-8"),
}
"""What is served of the page, and its content type. No script, style or font comes from anywhere else."""

CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

_DIRECTORY = Path(__file__).with_name("page")


def page_routes() -> list[BaseRoute]:
    """Return the routes of the page's files."""
    return [_file(path, *what) for path, what in FILES.items()]


def _file(path: str, name: str, media_type: str) -> Route:
    content = (_DIRECTORY / name).read_bytes()

    async def show(_: Request) -> Response:
        return Response(
            content, headers={"content-type": media_type, "content-security-policy": CONTENT_SECURITY_POLICY}
        )

    return Route(path, show)
