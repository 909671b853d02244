"""An instant model: a raw asyncio server of chat completions, in a process of its own.

`python bench/upstream.py` prints its port. What it does is read from the last message: `{"tokens": 50, "every_s": 0.02,
"wait_s": 0}`; each token is the time at which it was sent.
"""

import asyncio
import json
import time

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"


def piece(delta: dict[str, str], reason: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": reason}
    chunk = {"id": "c", "object": "chat.completion.chunk", "model": "m", "choices": [choice]}
    if reason:
        chunk["usage"] = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
    data = f"data: {json.dumps(chunk)}\n\n".encode()
    return f"{len(data):x}\r\n".encode() + data + b"\r\n"


async def answer(writer: asyncio.StreamWriter, body: bytes) -> None:
    wish = json.loads(json.loads(body)["messages"][-1]["content"])
    writer.write(HEAD)
    await asyncio.sleep(wish.get("wait_s", 0))
    for _ in range(wish.get("tokens", 3)):
        writer.write(piece({"content": f"{time.time():.6f} "}))
        await writer.drain()
        if wish.get("every_s"):
            await asyncio.sleep(wish["every_s"])
    done = b"data: [DONE]\n\n"
    writer.write(piece({}, "stop") + f"{len(done):x}\r\n".encode() + done + b"\r\n0\r\n\r\n")
    await writer.drain()


async def serve_one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while head := await reader.readuntil(b"\r\n\r\n"):
            lines = head.lower().split(b"\r\n")
            size = next(int(line.split(b":")[1]) for line in lines if line.startswith(b"content-length"))
            await answer(writer, await reader.readexactly(size))
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()


async def main() -> None:
    server = await asyncio.start_server(serve_one, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
