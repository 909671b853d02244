"""The limit on how long a request may take begins anew with each piece of its body."""

import asyncio
from typing import Any

from starlette.responses import PlainTextResponse

from understudy.api.limits import TimeLimit, busy

SCOPE: dict[str, Any] = {"type": "http", "method": "POST", "path": "/v1/files", "headers": []}
LIMIT_S = 0.2


async def status_of(app: Any, gap_s: float = 0.0) -> int:
    """Send an application pieces of a body with gaps between them; return what it is answered with."""
    sent: list[Any] = []

    async def receive() -> Any:
        await asyncio.sleep(gap_s)
        return {"type": "http.request", "body": b"x", "more_body": True}

    async def send(message: Any) -> None:
        sent.append(message)

    await TimeLimit(app, LIMIT_S)({**SCOPE}, receive, send)
    return int(sent[0]["status"])


def reading(pieces: int, then_s: float = 0.0) -> Any:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        for _ in range(pieces):
            await receive()
        await asyncio.sleep(then_s)
        await PlainTextResponse("read")(scope, receive, send)

    return app


async def test_who_does_not_answer_in_time_is_given_up() -> None:
    assert await status_of(reading(1, then_s=LIMIT_S * 5)) == 503


async def test_a_body_may_take_longer_than_the_limit() -> None:
    assert await status_of(reading(4, then_s=LIMIT_S / 2), gap_s=LIMIT_S / 2) == 200


async def test_after_the_last_piece_the_limit_counts() -> None:
    assert await status_of(reading(3, then_s=LIMIT_S * 5), gap_s=LIMIT_S / 2) == 503


async def test_who_is_busy_may_take_longer() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        for _ in range(4):
            await asyncio.sleep(LIMIT_S / 2)
            busy(scope)
        await PlainTextResponse("done")(scope, receive, send)

    assert await status_of(app) == 200
