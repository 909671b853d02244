"""The limit: a server that stores nothing and answers with constants, so that only the client's own cost is left.

`python bench/constants.py` prints its address, on a line as the real server's.
"""

import asyncio
import json

IDS = {"id": "x_1", "object": "o", "created_at": 1, "metadata": {}, "status": "completed", "thread_id": "thread_1"}
BODY = json.dumps(IDS).encode()
HEAD = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nopenai-poll-after-ms: 1\r\n"
ANSWER = f"{HEAD}content-length: {len(BODY)}\r\n\r\n".encode() + BODY


async def serve_one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while head := await reader.readuntil(b"\r\n\r\n"):
            lines = head.lower().split(b"\r\n")
            sizes = [int(line.split(b":")[1]) for line in lines if line.startswith(b"content-length")]
            await reader.readexactly(sum(sizes))
            writer.write(ANSWER)
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()


async def main() -> None:
    server = await asyncio.start_server(serve_one, "127.0.0.1", 0)
    print(f"constants on http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
