"""Serve the page: its files, and the policy under which a browser runs them (ADR 0012).

The page holds its user's key and shows what models, tools and strangers' files say, so the policy leaves no way for a
text to become code: scripts and styles come from files of this folder only, nothing is evaluated, nothing is inline,
what a script writes into the document must have gone through the sanitiser (Trusted Types), and nothing is fetched
from anywhere but this server.
"""

from collections.abc import Mapping
from pathlib import Path

from starlette.datastructures import MutableHeaders
from starlette.responses import FileResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

STATIC = Path(__file__).parent / "static"
FOLDER = "/playground"

POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' blob:",
        "connect-src 'self'",
        "worker-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types dompurify understudy-key",
    )
)
HEADERS = {
    "content-security-policy": POLICY,
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-frame-options": "DENY",
    "cache-control": "no-cache",  # it is asked each time whether the file has changed: answers are short
}


def paths() -> frozenset[str]:
    """Return every path that the page needs: they are served to who has not shown a key yet."""
    files = (file.relative_to(STATIC).as_posix() for file in STATIC.rglob("*") if file.is_file())
    return frozenset({"/", *(f"{FOLDER}/{name}" for name in files)})


def routes() -> list[BaseRoute]:
    """Return the routes of the page at `/` and of its files. None of them is in the API's document."""
    files = StaticFiles(directory=STATIC)
    return [Route("/", _index, methods=["GET"]), Mount(FOLDER, _WithHeaders(files, HEADERS))]


async def _index(_: object) -> Response:
    return FileResponse(STATIC / "index.html", headers=HEADERS)


class _WithHeaders:
    def __init__(self, app: ASGIApp, headers: Mapping[str, str]) -> None:
        self._app = app
        self._headers = headers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(raw=message.setdefault("headers", [])).update(self._headers)
            await send(message)

        await self._app(scope, receive, send_with_headers)
