"""Whole flows, compared with golden transcripts: every request, answer and event, ids and times aside.

`UNDERSTUDY_UPDATE_GOLDEN=1` writes the files anew; read the difference before you keep it.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.conftest import MakeServer
from tests.harness.replies import Call, Gate, Reply
from tests.harness.transcript import Transcript
from tests.harness.upstream import Upstream
from tests.harness.wire import Event, Json, Wire, function_tool, outputs_of, run_path

GOLDEN = Path(__file__).parent / "golden"
CITY = {"type": "object", "properties": {"location": {"type": "string"}}, "required": ["location"]}
WEATHER = [function_tool("get_current_temperature", CITY), function_tool("get_rain_probability", CITY)]


@pytest.fixture
def book(wire: Wire) -> Transcript:
    return Transcript(wire)


def begin(book: Transcript, *tools: Json) -> tuple[Json, str]:
    """Make the assistant and the thread; return the run's body and its path."""
    assistant = book.send("POST", "/assistants", {"model": "gpt-4o", "instructions": "Be brief.", "tools": list(tools)})
    thread = book.send("POST", "/threads", {"messages": [{"role": "user", "content": "오늘 부산의 날씨는?"}]})
    return {"assistant_id": assistant["id"]}, f"/threads/{thread['id']}/runs"


def run_of(events: list[Event]) -> Json:
    return next(
        event.data for event in reversed(events) if event.name.startswith("thread.run.") and "status" in event.data
    )


def test_plain_text_stream(book: Transcript, upstream: Upstream) -> None:
    upstream.script(Reply("부산은 맑습니다. Bring sunglasses."))
    body, runs = begin(book)
    book.look_back(run_of(book.stream(runs, body)))
    book.compare(GOLDEN / "plain_text_stream.jsonl")


def test_two_parallel_calls_and_a_submit_stream(book: Transcript, upstream: Upstream) -> None:
    body, runs = begin(book, *WEATHER)
    waiting = run_of(book.stream(runs, body))
    done = book.stream(f"{run_path(waiting)}/submit_tool_outputs", outputs_of(waiting, "57", "0.06"))
    book.look_back(run_of(done))
    book.compare(GOLDEN / "two_parallel_calls.jsonl")


def test_narration_then_call_without_streams(book: Transcript, upstream: Upstream) -> None:
    upstream.script(Reply("Let me look.", [Call("get_rain_probability", '{"location": "부산"}')]), Reply("It rains."))
    body, runs = begin(book, *WEATHER)
    waiting = book.settle(book.send("POST", runs, body), "requires_action")
    book.look_back(waiting)
    book.send("POST", f"{run_path(waiting)}/submit_tool_outputs", outputs_of(waiting, "0.06"))
    book.wire.until(waiting, {"completed"})
    book.look_back(waiting)
    book.compare(GOLDEN / "narration_then_call.jsonl")


def test_create_and_run_stream(book: Transcript, upstream: Upstream) -> None:
    upstream.script(Reply("Hello."))
    assistant = book.send("POST", "/assistants", {"model": "gpt-4o"})
    thread = {"messages": [{"role": "user", "content": "Hi"}], "metadata": {"a": "b"}}
    book.look_back(run_of(book.stream("/threads/runs", {"assistant_id": assistant["id"], "thread": thread})))
    book.compare(GOLDEN / "create_and_run_stream.jsonl")


def test_cancel_in_mid_stream(book: Transcript, upstream: Upstream) -> None:
    upstream.script(Reply("one two three", pause=Gate()))
    body, runs = begin(book)
    with book.wire.open_stream("POST", runs, body | {"stream": True}) as stream:
        run = book.hear(_up_to(stream, "thread.message.delta"))[0].data
        book.send("POST", f"{run_path(run)}/cancel")
        book.hear(stream)
    book.look_back(run)
    book.compare(GOLDEN / "cancel_in_mid_stream.jsonl")


def test_failure_in_mid_stream(book: Transcript, upstream: Upstream) -> None:
    upstream.script(Reply("one two three", cut_after=2))
    body, runs = begin(book)
    book.look_back(run_of(book.stream(runs, body)))
    book.compare(GOLDEN / "failure_in_mid_stream.jsonl")


def test_expiry_while_waiting(make_server: MakeServer, upstream: Upstream) -> None:
    book = Transcript(make_server(UNDERSTUDY_RUN_EXPIRY_S="3").wire())
    body, runs = begin(book, *WEATHER)
    waiting = run_of(book.stream(runs, body))
    book.settle(waiting, "expired")
    book.look_back(waiting)
    book.compare(GOLDEN / "expiry_while_waiting.jsonl")


def test_budget_that_runs_out(book: Transcript, upstream: Upstream) -> None:
    upstream.script(Reply("cut off at", usage=(30, 256), finish="length"))
    body, runs = begin(book)
    book.look_back(run_of(book.stream(runs, body | {"max_completion_tokens": 256})))
    book.compare(GOLDEN / "budget_that_runs_out.jsonl")


def _up_to(events: Iterator[Event], name: str) -> Iterator[Event]:
    for event in events:
        yield event
        if event.name == name:
            return
