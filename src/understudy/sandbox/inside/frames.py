"""The language of the two sides: a head of two lengths, a JSON object, and bytes that may follow it.

Each side gives what it receives a cap. Nothing but JSON and plain bytes is ever read.
"""

import json
import select
import socket
import struct
from typing import Any

HEAD = struct.Struct(">II")
"""The lengths of the message and of the payload."""

MAX_MESSAGE = 4 * 1024 * 1024
PIECE = 1024 * 1024
"""Bytes of a file that travel in one frame."""


def pack(message: dict[str, Any], payload_length: int = 0) -> bytes:
    """Return the head and the message of a frame."""
    body = json.dumps(message).encode()
    return HEAD.pack(len(body), payload_length) + body


def send(connection: socket.socket, message: dict[str, Any], payload: bytes | memoryview = b"") -> None:
    """Write a frame, however long it takes."""
    connection.sendall(pack(message, len(payload)))
    if payload:
        connection.sendall(payload)


def has_news(place: int | socket.socket, within_s: float) -> bool:
    """Wait until there is something to read, or the end. `select` refuses handles beyond the first 1024."""
    poll = select.poll()
    poll.register(place, select.POLLIN)
    return bool(poll.poll(within_s * 1000))


def receive(connection: socket.socket) -> tuple[dict[str, Any], bytearray]:
    """Read a frame of the server's, which is trusted. Raises EOFError."""
    lengths = HEAD.unpack(_exactly(connection, HEAD.size))
    message = json.loads(_exactly(connection, lengths[0]))
    return message, _exactly(connection, lengths[1])


def _exactly(connection: socket.socket, length: int) -> bytearray:
    content = bytearray(length)
    view = memoryview(content)
    while view:
        count = connection.recv_into(view)
        if not count:
            raise EOFError
        view = view[count:]
    return content
