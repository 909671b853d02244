"""An upstream on a real socket, scripted byte by byte, so that cuts, hangs and garbage are real too."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

Json = dict[str, Any]


@dataclass
class Reply:
    """What the upstream sends: a head, then pieces; numbers among the pieces are pauses in seconds."""

    pieces: Sequence[bytes | float]
    status: int = 200
    content_type: str = "text/event-stream"
    headers: tuple[str, ...] = ()


Script = Callable[[Json], Reply]


@dataclass
class FakeUpstream:
    """Records what it was asked and notes when a client goes away before the end."""

    replies: list[Reply | Script]
    base_url: str = ""
    requests: list[Json] = field(default_factory=list)
    heads: list[str] = field(default_factory=list)
    aborted: asyncio.Event = field(default_factory=asyncio.Event)
    most_at_once: int = 0
    _now: int = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._now += 1
        self.most_at_once = max(self.most_at_once, self._now)
        try:
            await self._answer(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            self.aborted.set()
        finally:
            self._now -= 1
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        length = next(
            int(line.split(":")[1]) for line in head.splitlines() if line.lower().startswith("content-length")
        )
        body = json.loads(await reader.readexactly(length))
        self.heads.append(head)
        self.requests.append(body)
        reply = self.replies[min(len(self.requests), len(self.replies)) - 1]
        reply = reply(body) if callable(reply) else reply
        lines = [f"HTTP/1.1 {reply.status} X", f"content-type: {reply.content_type}", "connection: close"]
        writer.write("\r\n".join([*lines, *reply.headers, "", ""]).encode())
        gone = asyncio.create_task(reader.read(1))
        try:
            for piece in reply.pieces:
                if isinstance(piece, bytes):
                    writer.write(piece)
                    await writer.drain()
                else:
                    await asyncio.wait({gone}, timeout=piece)
                if gone.done():
                    self.aborted.set()
                    return
        finally:
            gone.cancel()
            with suppress(asyncio.CancelledError, ConnectionError):
                await gone


def framed(piece: bytes) -> bytes:
    """Return a piece as HTTP's chunked encoding has it."""
    return b"%x\r\n%b\r\n" % (len(piece), piece)


@asynccontextmanager
async def upstream(*replies: Reply | Script) -> AsyncIterator[FakeUpstream]:
    """Run a fake upstream that gives one reply per request, the last one again and again."""
    fake = FakeUpstream(list(replies))
    server = await asyncio.start_server(fake.serve, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    fake.base_url = f"http://{host}:{port}/v1"
    try:
        yield fake
    finally:
        server.close()
        await server.wait_closed()


def event(payload: Any) -> bytes:
    return b"data: " + json.dumps(payload).encode() + b"\n\n"


def chunk(delta: Json | None = None, finish: str | None = None, **extra: Any) -> bytes:
    return event({"choices": [{"index": 0, "delta": delta or {}, "finish_reason": finish}], **extra})


DONE = b"data: [DONE]\n\n"
USAGE = {
    "prompt_tokens": 11,
    "completion_tokens": 7,
    "total_tokens": 18,
    "prompt_tokens_details": {"cached_tokens": 3},
    "completion_tokens_details": {"reasoning_tokens": 2},
}


def text_reply(*texts: str) -> Reply:
    chunks = [chunk({"content": text}) for text in texts]
    return Reply([*chunks, chunk(finish="stop"), event({"choices": [], "usage": USAGE}), DONE])


def error_reply(status: int, message: str, **extra: Any) -> Reply:
    body = json.dumps({"error": {"message": message, "type": "x", "param": None, "code": None, **extra}}).encode()
    return Reply([body], status=status, content_type="application/json", headers=("retry-after-ms: 1",))
