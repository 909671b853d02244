"""What happens to every request: its id, its time, its limits."""

import asyncio
import time
from collections.abc import MutableMapping
from typing import Any
from uuid import uuid4

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from understudy.api.errors import answer

OPENAI_VERSION = "2020-10-01"
SLOWEST_BYTES_PER_S = 16 * 1024
"""A body may take longer than its timeout if it comes at this rate."""
_LAST = {"connection": "close"}  # what is left of the body will not be read
_BETA_PATHS = ("/v1/assistants", "/v1/threads")
_BETA_MISSING = (
    "You must provide the 'OpenAI-Beta' header to access the Assistants API. "
    "Please try again by setting the header 'OpenAI-Beta: assistants=v2'."
)


class ResponseHeaders:
    """Put the hosted API's headers on every answer, and its request id into the scope."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()
        scope["request_id"] = f"req_{uuid4().hex}"

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                _add_headers(message, scope, began)
            await send(message)

        await self._app(scope, receive, send_with_headers)


def _add_headers(message: MutableMapping[str, Any], scope: Scope, began: float) -> None:
    headers = MutableHeaders(raw=message.setdefault("headers", []))
    headers["x-request-id"] = scope["request_id"]
    headers["openai-version"] = OPENAI_VERSION
    headers["openai-processing-ms"] = str(round((time.perf_counter() - began) * 1000))
    headers["x-content-type-options"] = "nosniff"


class BodyLimit:
    """Refuse bodies that are too large before they are held in memory, and those that come too slowly."""

    def __init__(self, app: ASGIApp, max_bytes: int, timeout_s: float) -> None:
        self._app = app
        self._max_bytes = max_bytes
        self._timeout_s = timeout_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        try:
            body = await self._read(receive)
        except TimeoutError:
            text = f"The request's body did not come within {self._timeout_s:g} s; send it faster, or send less."
            await answer(408, text, headers=_LAST)(scope, receive, send)
            return
        if body is None:
            return
        if len(body) > self._max_bytes:
            text = f"The request's body is larger than this server takes ({self._max_bytes} bytes)."
            await answer(413, text, headers=_LAST)(scope, receive, send)
            return
        await self._app(scope, _replayed(bytes(body), receive), send)

    async def _read(self, receive: Receive) -> bytearray | None:
        """Return the body as far as it may go; None if the client left."""
        body = bytearray()
        async with asyncio.timeout(self._timeout_s) as limit:
            deadline = limit.when() or 0.0
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    return None
                body += message.get("body", b"")
                if len(body) > self._max_bytes or not message.get("more_body", False):
                    return body
                limit.reschedule(deadline + len(body) / SLOWEST_BYTES_PER_S)


def _replayed(body: bytes, receive: Receive) -> Receive:
    given = False

    async def receive_again() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return receive_again


class BetaHeader:
    """Ask for `OpenAI-Beta: assistants=v2` as the hosted API did; only where a setting wants it."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"].startswith(_BETA_PATHS):
            given = ",".join(Headers(scope=scope).getlist("openai-beta"))
            if "assistants=v2" not in [value.strip() for value in given.split(",")]:
                await answer(400, _BETA_MISSING, code="invalid_beta")(scope, receive, send)
                return
        await self._app(scope, receive, send)
