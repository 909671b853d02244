"""The model: `mock-TOKENS-TOKENS_PER_SECOND-FIRST_MS` streams so many tokens, each of which says when it was sent."""

import asyncio
import json
import time

import uvloop

from bench.http import serve, whole

_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
_USAGE = {"prompt_tokens": 5, "completion_tokens": 5, "total_tokens": 10}


def _chunk(delta: dict[str, str], finish: str | None = None) -> str:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    told = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "mock", "choices": [choice]}
    return json.dumps(told)


def _framed(payload: str) -> bytes:
    line = f"data: {payload}\n\n".encode()
    return b"%x\r\n%b\r\n" % (len(line), line)


_BEFORE, _, _AFTER = _chunk({"content": "MOMENT"}).partition("MOMENT")
_USED = json.dumps({"id": "c", "object": "chat.completion.chunk", "choices": [], "usage": _USAGE})
_END = _framed(_chunk({}, "stop")) + _framed(_USED) + _framed("[DONE]") + b"0\r\n\r\n"


async def _answer(method: str, path: str, body: bytes, writer: asyncio.StreamWriter) -> None:
    if method != "POST":
        writer.write(whole(b'{"object":"list","data":[]}'))
        return
    _, tokens, rate, first_ms = json.loads(body)["model"].split("-")
    await asyncio.sleep(int(first_ms) / 1000)
    writer.write(_HEAD)
    due = time.monotonic()
    for _ in range(int(tokens)):
        if int(rate):
            due += 1 / int(rate)
            await asyncio.sleep(due - time.monotonic())
        writer.write(_framed(f"{_BEFORE}{time.monotonic_ns()} {_AFTER}"))
    writer.write(_END)


if __name__ == "__main__":
    uvloop.run(serve(_answer))
