"""The model: `mock-TOKENS-TOKENS_PER_SECOND-FIRST_MS` streams so many tokens, each of which says when it was sent."""

import asyncio
import json
import time

from bench.http import serve, whole

_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
_USAGE = {"prompt_tokens": 5, "completion_tokens": 5, "total_tokens": 10}


def _chunk(delta: dict[str, str], finish: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    told = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "mock", "choices": [choice]}
    return _framed(json.dumps(told))


def _framed(payload: str) -> bytes:
    line = f"data: {payload}\n\n".encode()
    return b"%x\r\n%b\r\n" % (len(line), line)


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
        writer.write(_chunk({"content": f"{time.monotonic_ns()} "}))
    usage = json.dumps({"id": "c", "object": "chat.completion.chunk", "choices": [], "usage": _USAGE})
    writer.write(_chunk({}, "stop") + _framed(usage) + _framed("[DONE]") + b"0\r\n\r\n")


if __name__ == "__main__":
    asyncio.run(serve(_answer))
