"""A server that stores nothing and answers with constants: against it, a client costs what it costs itself."""

import asyncio
import json

import uvloop

from bench.http import serve, whole

_RUN = {"id": "run_1", "object": "thread.run", "thread_id": "thread_1", "assistant_id": "asst_1", "status": "completed"}
_ANSWERS = {
    "assistants": whole(json.dumps({"id": "asst_1", "object": "assistant"}).encode()),
    "threads": whole(json.dumps({"id": "thread_1", "object": "thread"}).encode()),
    "messages": whole(json.dumps({"object": "list", "data": [], "has_more": False}).encode()),
}
_A_RUN = whole(json.dumps(_RUN).encode())


async def _answer(method: str, path: str, body: bytes, writer: asyncio.StreamWriter) -> None:
    writer.write(_ANSWERS.get(path.partition("?")[0].rsplit("/", 1)[1], _A_RUN))


if __name__ == "__main__":
    uvloop.run(serve(_answer))
