"""Events as bytes."""

import json
from collections.abc import AsyncGenerator
from typing import Any

import pytest
from httpx2 import AsyncClient
from tests.engine.house import HAPPY_PATH, House, function

from understudy.api.sse import encode, event_stream
from understudy.bus.base import EventId, LiveEvent
from understudy.protocol.events import Event
from understudy.testing import call, say

LIVE = LiveEvent(EventId(1, 7), Event("thread.message.delta", '{"id":"메시지"}'))


async def _bytes(*items: Any) -> bytes:
    async def events() -> AsyncGenerator[LiveEvent | None, None]:
        for item in items:
            if isinstance(item, Exception):
                raise item
            yield item

    return b"".join([bytes(piece) async for piece in event_stream(events()).body_iterator])  # type: ignore[arg-type]


def _read(text: str) -> list[tuple[str, str]]:
    blocks = [dict(line.split(": ", 1) for line in block.split("\n")) for block in text.strip().split("\n\n")]
    return [(block["event"], block["data"]) for block in blocks]


def test_one_event() -> None:
    assert encode(LIVE).decode() == 'event: thread.message.delta\ndata: {"id":"메시지"}\nid: 1.7\n\n'


async def test_the_last_is_done() -> None:
    assert await _bytes(LIVE) == encode(LIVE) + b"event: done\ndata: [DONE]\n\n"


async def test_silence_is_filled_with_comments() -> None:
    """Every fifth silence of three seconds makes fifteen."""
    told = await _bytes(*[None] * 4, LIVE, *[None] * 11)
    assert told == encode(LIVE) + b": keep-alive\n" * 2 + b"event: done\ndata: [DONE]\n\n"


async def test_a_stream_that_breaks_off_tells_an_error(caplog: pytest.LogCaptureFixture) -> None:
    told = (await _bytes(LIVE, OSError("secret"))).decode()
    assert "secret" not in told
    assert "[DONE]" not in told
    name, data = _read(told)[1]
    error = json.loads(data)
    assert (name, error["type"], error["message"]) == ("error", "server_error", error["error"]["message"])
    assert "a stream broke off" in caplog.text


async def test_a_run_as_a_stream(client: AsyncClient, house: House) -> None:
    house.model.turns = [say("Hello")]
    thread_id, assistant_id = await house.thread("hi"), await house.assistant()
    answer = await client.post(f"/v1/threads/{thread_id}/runs", json={"assistant_id": assistant_id, "stream": True})
    assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert answer.headers["cache-control"] == "no-cache"
    assert [name for name, _ in _read(answer.text)] == [*HAPPY_PATH, "done"]


async def test_a_stream_ends_where_the_run_waits_and_another_goes_on(client: AsyncClient, house: House) -> None:
    house.model.turns = [call(get_weather={}), say("Rain")]
    tools = [function()]
    body = {"assistant_id": await house.assistant(tools=tools), "stream": True, "thread": {}}
    first = _read((await client.post("/v1/threads/runs", json=body)).text)
    assert [first[0][0], first[-2][0], first[-1][0]] == ["thread.created", "thread.run.requires_action", "done"]
    run = json.loads(first[-2][1])
    [asked] = run["required_action"]["submit_tool_outputs"]["tool_calls"]
    outputs = {"tool_outputs": [{"tool_call_id": asked["id"], "output": "rain"}], "stream": True}
    url = f"/v1/threads/{run['thread_id']}/runs/{run['id']}"
    second = _read((await client.post(f"{url}/submit_tool_outputs", json=outputs)).text)
    assert [name for name, _ in second] == ["thread.run.step.completed", *HAPPY_PATH[1:], "done"]
    whole = _read((await client.get(f"{url}/events")).text)
    assert whole == [*first[:-1], *second]


@pytest.mark.parametrize("last", ["nonsense", "9.9", "", "0.0"])
async def test_an_unknown_place_gets_the_rows(client: AsyncClient, house: House, last: str) -> None:
    house.model.turns = [say("Hello")]
    run = await house.rest(await house.start())
    url = f"/v1/threads/{run.thread_id}/runs/{run.id}/events"
    told = _read((await client.get(url, headers={"last-event-id": last})).text)
    ends = ["thread.message.completed", "thread.run.step.completed", "thread.run.completed", "done"]
    assert [name for name, _ in told] == ends


async def test_a_mistake_in_a_streamed_request_is_a_plain_answer(client: AsyncClient) -> None:
    answer = await client.post("/v1/threads/thread_x/runs", json={"assistant_id": "asst_x", "stream": True})
    assert (answer.status_code, answer.headers["content-type"]) == (404, "application/json")
