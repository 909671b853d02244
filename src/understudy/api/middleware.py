"""What happens to every request: its id, its time, its limits."""

import asyncio
import secrets
import time
from collections.abc import Callable, MutableMapping
from contextlib import suppress
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from understudy.api.errors import answer
from understudy.errors import TooSlow

OPENAI_VERSION = "2020-10-01"
SLOWEST_BYTES_PER_S = 16 * 1024
"""A body may take longer than its timeout if it comes at this rate."""
LINGER_S = 20.0
"""How long the rest of a body is read that was answered before its end."""
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
        scope["request_id"] = f"req_{secrets.token_hex(16)}"

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                _add_headers(message, scope, began)
            await send(message)

        await self._app(scope, receive, send_with_headers)


def _add_headers(message: MutableMapping[str, Any], scope: Scope, began: float) -> None:
    message.setdefault("headers", []).extend(
        (
            (b"x-request-id", scope["request_id"].encode()),
            (b"openai-version", OPENAI_VERSION.encode()),
            (b"openai-processing-ms", b"%d" % round((time.perf_counter() - began) * 1000)),
            (b"x-content-type-options", b"nosniff"),
        )
    )


class BodyLimit:
    """Refuse bodies that are too large before they are held in memory, and those that come too slowly.

    Forms with files are passed on as they come: their routes have limits of their own.
    """

    def __init__(
        self, app: ASGIApp, max_bytes: int, timeout_s: float, streamed: Callable[[Scope], bool] = lambda _: False
    ) -> None:
        self._app = app
        self._max_bytes = max_bytes
        self._timeout_s = timeout_s
        self._streamed = streamed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not _has_body(scope):
            await self._app(scope, receive, send)
            return
        if self._streamed(scope):
            passing = PassingBody(receive, send, self._timeout_s)
            await self._app(scope, passing.receive, passing.send)
            return
        try:
            body = await self._read(receive)
        except TimeoutError:
            await answer(408, too_slow(self._timeout_s), headers=_LAST)(scope, receive, send)
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


def _has_body(scope: Scope) -> bool:
    """A request that tells neither a length nor an encoding has none (RFC 9112, section 6.3): nothing to wait for."""
    return any(name in (b"content-length", b"transfer-encoding") for name, _ in scope["headers"])


def too_slow(timeout_s: float) -> str:
    """What the client of a body is told that came too slowly."""
    return f"The request's body did not come within {timeout_s:g} s; send it faster, or send less."


class PassingBody:
    """A body that is read where it is used, as slowly as bodies may come.

    If it is answered before its end, the rest is read for a while, and the connection closed: a client that is still
    sending would otherwise find it broken before it has seen the answer.
    """

    def __init__(self, receive: Receive, send: Send, timeout_s: float) -> None:
        self._receive = receive
        self._send = send
        self._timeout_s = timeout_s
        self._deadline = asyncio.get_running_loop().time() + timeout_s
        self._whole = False
        self._too_slow = False

    async def receive(self) -> Message:
        """Return the next piece. Raises TooSlow."""
        if self._whole:
            return await self._receive()
        try:
            async with asyncio.timeout_at(self._deadline):
                message = await self._receive()
        except TimeoutError:
            self._too_slow = True  # nobody waits for the rest
            raise TooSlow(too_slow(self._timeout_s)) from None
        self._whole = not message.get("more_body", False)
        self._deadline += len(message.get("body", b"")) / SLOWEST_BYTES_PER_S
        return message

    async def send(self, message: Message) -> None:
        """Send a piece of the answer."""
        if message["type"] == "http.response.start" and not self._whole:
            MutableHeaders(raw=message["headers"])["connection"] = "close"
        if message["type"] != "http.response.body" or message.get("more_body", False) or self._whole:
            await self._send(message)
            return
        await self._send({**message, "more_body": True})
        if not self._too_slow:
            await self._drain()
        await self._send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _drain(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(LINGER_S):
                while not self._whole:
                    message = await self._receive()
                    self._whole = not message.get("more_body", False)


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
