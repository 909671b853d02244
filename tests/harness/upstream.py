"""A chat completions server on a real loopback socket that says what a test tells it to say.

`script(...)` queues answers; when the queue is empty `brain` answers. `requests` holds what came in.
"""

import asyncio
import contextlib
import json
import socket
import threading
import time
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any

import uvicorn
from tests.harness.replies import Answer, Body, Brain, Gate, Refusal, Reply, Scripted, default_brain

Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]

_START_S = 10.0
_WAIT_S = 10.0
_GATE_POLL_S = 0.002


class Seen:
    """One request as it arrived, and how it ended."""

    def __init__(self, body: Body, headers: dict[str, str]) -> None:
        self.body = body
        self.headers = headers
        self.gone_at: float | None = None
        self._ended = threading.Event()

    def end(self, *, gone: bool) -> None:
        if gone:
            self.gone_at = time.monotonic()
        self._ended.set()

    def wait_until_ended(self, within_s: float = _WAIT_S) -> None:
        """Wait until the reply is out or its caller has hung up."""
        assert self._ended.wait(within_s), "the upstream call is still going on"

    def wait_until_gone(self, within_s: float = _WAIT_S) -> float:
        """Wait until the caller hung up; return the moment."""
        self.wait_until_ended(within_s)
        assert self.gone_at is not None, "the upstream call ended, but its caller did not hang up"
        return self.gone_at


class Upstream:
    """The server, in a thread of its own."""

    def __init__(self) -> None:
        self.brain: Brain = default_brain
        self.requests: list[Seen] = []
        self._queue: deque[Scripted] = deque()
        self._changed = threading.Condition()
        self._closing = False
        self._generation = 0
        self._socket = socket.socket()
        self._socket.bind(("127.0.0.1", 0))
        config = uvicorn.Config(
            self._app, log_level="critical", lifespan="off", ws="none", loop="asyncio", interface="asgi3"
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, args=([self._socket],), daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._socket.getsockname()[1]}/v1"

    def start(self) -> None:
        self._thread.start()
        deadline = time.monotonic() + _START_S
        while not self._server.started:
            assert time.monotonic() < deadline, "the upstream did not start"
            time.sleep(0.01)

    def close(self) -> None:
        self._closing = True
        self._server.should_exit = True
        self._thread.join(_START_S)

    def reset(self) -> None:
        """Forget scripts and requests; replies that are still held end by a cut."""
        with self._changed:
            self._generation += 1
            self._queue.clear()
            self.requests = []
            self.brain = default_brain

    def script(self, *answers: Scripted) -> None:
        self._queue.extend(answers)

    def wait_for_request(self, number: int = 1, within_s: float = _WAIT_S) -> Seen:
        """Wait until so many requests have come; return that one."""
        with self._changed:
            arrived = self._changed.wait_for(lambda: len(self.requests) >= number, within_s)
        assert arrived, f"only {len(self.requests)} of {number} requests reached the upstream"
        return self.requests[number - 1]

    @property
    def bodies(self) -> list[Body]:
        return [seen.body for seen in self.requests]

    async def _app(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        raw = await _read(receive)
        if not scope["path"].endswith("/chat/completions"):
            listing = {"object": "list", "data": [{"id": "scripted", "object": "model"}]}
            await _send_json(send, 200, listing, {})
            return
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        seen = Seen(json.loads(raw), headers)
        answer = self._take(seen)
        await self._answer(seen, answer, receive, send)

    def _take(self, seen: Seen) -> Answer:
        with self._changed:
            self.requests.append(seen)
            self._changed.notify_all()
            answer = self._queue.popleft() if self._queue else self.brain
        return answer(seen.body) if callable(answer) else answer

    async def _answer(self, seen: Seen, answer: Answer, receive: Receive, send: Send) -> None:
        if isinstance(answer, Refusal):
            await _send_json(send, answer.status, _error(answer), dict(answer.headers))
            seen.end(gone=False)
            return
        talk = asyncio.create_task(self._talk(seen, answer, send))
        hang_up = asyncio.create_task(_until_gone(receive))
        await asyncio.wait({talk, hang_up}, return_when=asyncio.FIRST_COMPLETED)
        seen.end(gone=not talk.done())
        for task in (talk, hang_up):
            task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await talk

    async def _talk(self, seen: Seen, reply: Reply, send: Send) -> None:
        await self._hold(reply.hold)
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/event-stream")]})
        for number, delta in enumerate(reply.pieces()):
            if reply.cut_after == number:
                return
            if reply.garbage_after == number:
                await _send_line(send, "data: {this is not JSON\n\n")
            if reply.pause and reply.pause_after == number:
                await self._hold(reply.pause)
            await _send_chunk(send, seen.body, {"delta": _with_role(number, delta), "finish_reason": None})
            await asyncio.sleep(reply.delay_s)
        if reply.cut_after is not None and reply.cut_after >= len(reply.pieces()):
            return
        await self._end(seen, reply, send)

    async def _end(self, seen: Seen, reply: Reply, send: Send) -> None:
        await _send_chunk(send, seen.body, {"delta": {}, "finish_reason": reply.finish_reason})
        wanted = (seen.body.get("stream_options") or {}).get("include_usage")
        if reply.usage and wanted:
            await _send_chunk(send, seen.body, None, _usage(*reply.usage))
        await _send_line(send, "data: [DONE]\n\n")
        await send({"type": "http.response.body", "body": b""})

    async def _hold(self, gate: Gate | None) -> None:
        generation = self._generation
        while gate and not gate.is_open:
            if self._closing or generation != self._generation:
                raise asyncio.CancelledError
            await asyncio.sleep(_GATE_POLL_S)


async def _read(receive: Receive) -> bytes:
    body = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            return body


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _send_json(send: Send, status: int, body: Body, headers: dict[str, str]) -> None:
    pairs = [(b"content-type", b"application/json")] + [(k.encode(), v.encode()) for k, v in headers.items()]
    await send({"type": "http.response.start", "status": status, "headers": pairs})
    await send({"type": "http.response.body", "body": json.dumps(body).encode()})


async def _send_line(send: Send, line: str) -> None:
    await send({"type": "http.response.body", "body": line.encode(), "more_body": True})


async def _send_chunk(send: Send, request: Body, choice: Body | None, usage: Body | None = None) -> None:
    chunk = {
        "id": "chatcmpl-scripted",
        "object": "chat.completion.chunk",
        "created": int(time.time()),
        "model": request["model"],
        "choices": [{"index": 0, "logprobs": None, **choice}] if choice else [],
        "usage": usage,
    }
    await _send_line(send, f"data: {json.dumps(chunk)}\n\n")


def _with_role(number: int, delta: dict[str, Any]) -> dict[str, Any]:
    return {"role": "assistant", **delta} if number == 0 else delta


def _usage(prompt: int, completion: int) -> Body:
    return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}


def _error(refusal: Refusal) -> Body:
    return {"error": {"message": refusal.message, "type": refusal.kind, "param": None, "code": refusal.code}}
