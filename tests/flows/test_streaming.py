"""Event streams: their frame, their order, their end, and what a reader may do to them."""

import time

import openai
import pytest
from tests.harness.replies import Call, Gate, Reply
from tests.harness.upstream import Upstream
from tests.harness.wire import Event, Json, Wire, names, outputs_of, run_path, streamed_text

START = ["thread.run.created", "thread.run.queued", "thread.run.in_progress"]
TEXT = [
    "thread.run.step.created",
    "thread.run.step.in_progress",
    "thread.message.created",
    "thread.message.in_progress",
    "thread.message.delta",
    "thread.message.completed",
    "thread.run.step.completed",
]
CALLS = ["thread.run.step.created", "thread.run.step.in_progress", "thread.run.step.delta"]
WAIT = ["thread.run.requires_action", "done"]
GO_ON = ["thread.run.step.completed", "thread.run.queued", "thread.run.in_progress"]
END = ["thread.run.completed", "done"]


def start(wire: Wire, *functions: str) -> list[Event]:
    body = {"assistant_id": wire.assistant(*functions)["id"]}
    return wire.stream(f"/threads/{wire.thread()['id']}/runs", body)


def last_run(events: list[Event]) -> Json:
    return next(event.data for event in reversed(events) if event.name.startswith("thread.run.r"))


def test_plain_text(wire: Wire, upstream: Upstream) -> None:
    upstream.script(Reply("Hello there, 부산."))
    events = start(wire)
    assert names(events) == START + TEXT + END
    assert streamed_text(events) == "Hello there, 부산."
    assert events[-1].data == "[DONE]"


def test_tokens_come_one_by_one(wire: Wire, upstream: Upstream) -> None:
    upstream.script(Reply("one two three"))
    deltas = [event.data["delta"]["content"][0] for event in start(wire) if event.name == "thread.message.delta"]
    assert deltas[0] == {"index": 0, "type": "text", "text": {"value": "one", "annotations": []}}
    assert deltas[1:] == [{"index": 0, "type": "text", "text": {"value": text}} for text in (" two", " three")]


def test_a_token_is_passed_on_before_the_next_one_exists(wire: Wire, upstream: Upstream) -> None:
    gate = Gate()
    upstream.script(Reply("one two", pause=gate))
    body = {"assistant_id": wire.assistant()["id"], "stream": True}
    with wire.open_stream("POST", f"/threads/{wire.thread()['id']}/runs", body) as stream:
        delta = stream.until("thread.message.delta")
        assert delta.data["delta"]["content"][0]["text"]["value"] == "one"
        gate.open()
        assert stream.until("thread.run.completed").data["status"] == "completed"


def test_calls_then_their_outputs(wire: Wire) -> None:
    events = start(wire, "temperature", "rain")
    assert names(events) == START + CALLS + WAIT
    waiting = last_run(events)
    path = f"{run_path(waiting)}/submit_tool_outputs"
    events = wire.stream(path, outputs_of(waiting, "57", "0.06"))
    assert names(events) == GO_ON + TEXT + END
    assert streamed_text(events) == "The tools said: 57; 0.06"


def test_arguments_stream_as_they_come(wire: Wire, upstream: Upstream) -> None:
    arguments = '{"location": "부산광역시 해운대구"}'
    upstream.script(Reply(calls=[Call("weather", arguments), Call("rain", "{}")]))
    events = start(wire, "weather", "rain")
    deltas = [e.data["delta"]["step_details"] for e in events if e.name == "thread.run.step.delta"]
    calls = [call for delta in deltas for call in delta["tool_calls"]]
    heads = [call for call in calls if "id" in call]
    assert [(h["index"], h["type"], h["function"]["name"]) for h in heads] == [
        (0, "function", "weather"),
        (1, "function", "rain"),
    ]
    assert all((h["function"]["arguments"], h["function"]["output"]) == ("", None) for h in heads)
    pieces = [c["function"]["arguments"] for c in calls if c["index"] == 0 and "id" not in c]
    assert "".join(pieces) == arguments
    assert len(pieces) > 1


def test_narration_is_a_message_before_the_calls(wire: Wire, upstream: Upstream) -> None:
    upstream.script(Reply("Let me look.", [Call("weather")]))
    events = start(wire, "weather")
    assert names(events) == START + TEXT + CALLS + WAIT
    assert wire.texts(last_run(events)["thread_id"]) == ["Hi", "Let me look."]


def test_create_and_run_begins_with_its_thread(wire: Wire) -> None:
    thread = {"messages": [{"role": "user", "content": "Hi"}]}
    events = wire.stream("/threads/runs", {"assistant_id": wire.assistant()["id"], "thread": thread})
    assert names(events) == ["thread.created", *START, *TEXT, *END]
    assert events[0].data["id"] == events[1].data["thread_id"]


def test_snapshots_follow_the_rules_of_the_sdks_handlers(wire: Wire, upstream: Upstream) -> None:
    upstream.script(Reply("Let me look.", [Call("weather")]))
    events = {event.name: event.data for event in reversed(start(wire, "weather"))}
    assert events["thread.message.created"]["content"] == []
    assert events["thread.message.in_progress"]["content"] == []
    assert all("error" not in data for data in events.values() if isinstance(data, dict))


def test_tool_steps_begin_without_calls(wire: Wire) -> None:
    created = next(event.data for event in start(wire, "weather") if event.name == "thread.run.step.created")
    assert created["step_details"] == {"type": "tool_calls", "tool_calls": []}


def test_headers_keep_proxies_from_buffering(wire: Wire) -> None:
    body = {"assistant_id": wire.assistant()["id"], "stream": True}
    with wire.open_stream("POST", f"/threads/{wire.thread()['id']}/runs", body) as stream:
        headers = stream.response.headers
        list(stream)
    assert headers["content-type"] == "text/event-stream; charset=utf-8"
    assert headers["cache-control"] == "no-cache"
    assert headers["x-accel-buffering"] == "no"
    assert headers["x-request-id"].startswith("req_")


def test_every_event_has_its_id_in_the_last_line(wire: Wire) -> None:
    events = start(wire, "weather")[:-1]
    assert all(event.lines[-1] == f"id: {event.id}" for event in events)
    positions = [tuple(map(int, event.id.split("."))) for event in events]
    assert positions == sorted(set(positions))


def test_mistakes_before_the_first_byte_are_plain_errors(wire: Wire) -> None:
    waiting = wire.settle(wire.assistant("weather"))
    response = wire.post(
        f"/threads/{waiting['thread_id']}/runs", {"assistant_id": waiting["assistant_id"], "stream": True}
    )
    assert response.status_code == 400
    assert response.headers["content-type"] == "application/json"
    assert "already has an active run" in response.json()["error"]["message"]


def test_a_reader_that_leaves_does_not_cancel_the_run(wire: Wire, upstream: Upstream) -> None:
    gate = Gate()
    upstream.script(Reply("one two three", pause=gate))
    body = {"assistant_id": wire.assistant()["id"], "stream": True}
    with wire.open_stream("POST", f"/threads/{wire.thread()['id']}/runs", body) as stream:
        run = stream.until("thread.run.created").data
        stream.until("thread.message.delta")
    gate.open()
    assert wire.until(run)["status"] == "completed"
    assert wire.texts(run["thread_id"])[-1] == "one two three"
    assert upstream.requests[0].gone_at is None


def test_the_sdks_own_stream_helper(client: openai.OpenAI, wire: Wire) -> None:
    thread, assistant = wire.thread(), wire.assistant()
    with client.beta.threads.runs.stream(thread_id=thread["id"], assistant_id=assistant["id"]) as stream:
        assert "".join(stream.text_deltas) == "You said: Hi"
        assert stream.get_final_run().status == "completed"
        assert len(stream.get_final_run_steps()) == 1
        assert stream.get_final_messages()[0].content[0].text.value == "You said: Hi"


@pytest.mark.slow
def test_a_comment_every_fifteen_seconds_keeps_the_connection(wire: Wire, upstream: Upstream) -> None:
    gate = Gate()
    upstream.script(Reply("late", hold=gate))
    body = {"assistant_id": wire.assistant()["id"], "stream": True}
    started = time.monotonic()
    with wire.open_stream("POST", f"/threads/{wire.thread()['id']}/runs", body) as stream:
        upstream.wait_for_request()
        for line in stream.response.iter_lines():
            if line.startswith(":"):
                break
        assert 14 < time.monotonic() - started < 17
        gate.open()
