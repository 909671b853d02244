"""A raw client: as little as HTTP needs, so that the server is the limit."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlsplit


class Raw:
    """One connection, kept open."""

    def __init__(self, url: str) -> None:
        self._place = (urlsplit(url).hostname, urlsplit(url).port)
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def _send(self, method: str, path: str, body: Any, headers: str) -> asyncio.StreamReader:
        self._streams = self._streams or await asyncio.open_connection(*self._place)
        reader, writer = self._streams
        data = b"" if body is None else json.dumps(body).encode()
        head = f"{method} /v1{path} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer k\r\n{headers}"
        writer.write(f"{head}content-length: {len(data)}\r\n\r\n".encode() + data)
        return reader

    async def call(self, method: str, path: str, body: Any = None, headers: str = "") -> Any:
        """Send a request and return the decoded answer."""
        reader = await self._send(method, path, body, headers)
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        size = next(int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.startswith(b"content-length"))
        return json.loads(await reader.readexactly(size))

    async def stream(self, path: str, body: Any) -> AsyncIterator[bytes]:
        """Send a request and yield the lines of its event stream; the connection closes with it."""
        reader = await self._send("POST", path, body, "")
        async for line in reader:
            yield line
            if line.startswith(b"data: [DONE]"):
                break
        self.close()

    def close(self) -> None:
        if self._streams:
            self._streams[1].close()
            self._streams = None
