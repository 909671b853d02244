"""The server's end of the wire into a jail. All that comes from there is a stranger's.

A frame is read whole or the session is over: lengths are capped before anything is allocated, a message is a JSON
object or the wire is broken. A read is never cancelled in the midst of a frame; who wants to stop waiting aborts it.
"""

import asyncio
import json
import socket
from contextlib import suppress
from typing import Any

from understudy.sandbox.inside.frames import HEAD, MAX_MESSAGE, pack

_STEP = 1024 * 1024


class Broken(Exception):
    """The other side is gone, or has said what no honest side says."""


class Channel:
    """Frames over a connected socket. One sends and one receives at a time."""

    def __init__(self, connection: socket.socket, max_payload: int) -> None:
        """`max_payload` is the most bytes that a frame may bring beside its message."""
        self._connection = connection
        self._connection.setblocking(False)
        self._loop = asyncio.get_running_loop()
        self._max_payload = max_payload

    async def send(self, message: dict[str, Any], payload: bytes | memoryview = b"") -> None:
        """Send a frame. Raises Broken."""
        try:
            await self._loop.sock_sendall(self._connection, pack(message, len(payload)))
            if payload:
                await self._loop.sock_sendall(self._connection, payload)
        except OSError:
            raise Broken("it is gone") from None

    async def receive(self) -> tuple[dict[str, Any], bytes]:
        """Return the next message and its payload. Raises Broken."""
        try:
            message_length, payload_length = HEAD.unpack(await self._exactly(HEAD.size))
            if message_length > MAX_MESSAGE or payload_length > self._max_payload:
                raise Broken("it sent more than it may")
            message = json.loads(await self._exactly(message_length))
            payload = await self._exactly(payload_length) if payload_length else b""
        except (OSError, EOFError):
            raise Broken("it is gone") from None
        except (ValueError, RecursionError):
            raise Broken("it sent what cannot be read") from None
        if not isinstance(message, dict):
            raise Broken("it sent what cannot be read")
        return message, payload

    def abort(self) -> None:
        """Let both sides find the wire broken."""
        with suppress(OSError):
            self._connection.shutdown(socket.SHUT_RDWR)

    async def _exactly(self, length: int) -> bytes:
        content = bytearray()
        while len(content) < length:  # grows as it comes: a length alone reserves nothing
            piece = await self._loop.sock_recv(self._connection, min(length - len(content), _STEP))
            if not piece:
                raise EOFError
            content += piece
        return bytes(content)
