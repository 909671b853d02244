"""A raw HTTP server and client on asyncio streams: what they cost is as little as Python allows."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

Answer = Callable[[str, str, bytes, asyncio.StreamWriter], Awaitable[None]]


async def _head(reader: asyncio.StreamReader) -> tuple[str, dict[str, str]]:
    first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
    return first, {name.lower(): value for name, _, value in (line.partition(": ") for line in lines if line)}


async def serve(answer: Answer) -> None:
    """Serve on a free port of loopback, print its URL, and go on until killed."""

    async def connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                first, headers = await _head(reader)
                body = await reader.readexactly(int(headers.get("content-length", 0)))
                method, path, _ = first.split(" ")
                await answer(method, path, body, writer)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    server = await asyncio.start_server(connection, "127.0.0.1", 0, backlog=2048)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    await server.serve_forever()


def whole(body: bytes) -> bytes:
    head = f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    return head.encode() + body


class Client:
    """One connection, kept open."""

    def __init__(self, url: str) -> None:
        self._host, _, port = url.removeprefix("http://").partition(":")
        self._port = int(port)
        self._writer: asyncio.StreamWriter | None = None

    async def call(self, method: str, path: str, body: Any = None, headers: str = "") -> Any:
        reader, head = await self._send(method, path, body, headers)
        answer = json.loads(await reader.readexactly(int(head["content-length"])))
        assert "error" not in answer, answer
        return answer

    async def stream(self, path: str, body: Any) -> AsyncIterator[bytes]:
        """Yield the payload of each event, up to the last."""
        reader, _ = await self._send("POST", path, body, "")
        while line := await reader.readline():
            if line.startswith(b"data: "):
                yield line[6:-1]
                if line == b"data: [DONE]\n":
                    await reader.readuntil(b"\r\n0\r\n\r\n")  # the body's end: the connection is used again
                    return

    def close(self) -> None:
        if self._writer:
            self._writer.close()

    async def _send(
        self, method: str, path: str, body: Any, headers: str
    ) -> tuple[asyncio.StreamReader, dict[str, str]]:
        if self._writer is None:
            self._reader, self._writer = await asyncio.open_connection(self._host, self._port)
        raw = b"" if body is None else json.dumps(body).encode()
        self._writer.write(
            f"{method} {path} HTTP/1.1\r\nhost: {self._host}:{self._port}\r\nauthorization: Bearer any\r\n{headers}"
            f"content-type: application/json\r\ncontent-length: {len(raw)}\r\n\r\n".encode()
            + raw
        )
        first, head = await _head(self._reader)
        assert " 200 " in first, (first, path)
        return self._reader, head
