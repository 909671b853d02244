"""Whatever the upstream does, the run ends with a reason that helps, and names neither its key nor its address."""

import re

import pytest
from tests.conftest import MakeServer
from tests.harness.replies import Answer, Call, Gate, Refusal, Reply
from tests.harness.server import MODEL_KEY
from tests.harness.upstream import Upstream
from tests.harness.wire import Json, Wire, names, open_calls, streamed_text, text_of

ALWAYS = 30
RETRIES_S = 30.0


@pytest.fixture
def impatient(make_server: MakeServer) -> Wire:
    """Return a client of a server whose patience with a silent upstream is one second."""
    return make_server(UNDERSTUDY_MODEL_TIMEOUT_S="1").wire()


def settle(wire: Wire, upstream: Upstream, *answers: Answer) -> Json:
    upstream.script(*answers)
    return wire.until(wire.run(wire.assistant("weather")), within_s=RETRIES_S)


def failed(run: Json, code: str) -> str:
    assert (run["status"], run["last_error"] and run["last_error"]["code"]) == ("failed", code)
    assert run["failed_at"] >= run["started_at"]
    message = run["last_error"]["message"]
    assert MODEL_KEY not in message
    assert not re.search(r"127\.0\.0\.1|https?://|:\d{4,5}", message)
    return message


@pytest.mark.parametrize("status", [429, 500, 502, 503])
def test_a_passing_refusal_is_retried(wire: Wire, upstream: Upstream, status: int) -> None:
    run = settle(wire, upstream, Refusal(status, headers={"retry-after": "0"}), Reply("There you are."))
    assert run["status"] == "completed"
    assert len(upstream.requests) == 2


def test_a_lasting_429_fails_with_the_upstreams_words(wire: Wire, upstream: Upstream) -> None:
    refusal = Refusal(429, "Rate limit reached for gpt-4o. Please try again in 1s.", {"retry-after": "0"})
    run = settle(wire, upstream, *[refusal] * ALWAYS)
    assert "Rate limit reached for gpt-4o" in failed(run, "rate_limit_exceeded")


def test_a_lasting_500_fails(wire: Wire, upstream: Upstream) -> None:
    run = settle(wire, upstream, *[Refusal(500, "The engine is on fire.", {"retry-after": "0"})] * ALWAYS)
    assert "The engine is on fire." in failed(run, "server_error")


@pytest.mark.parametrize("status", [400, 401, 404])
def test_a_plain_refusal_is_not_retried(wire: Wire, upstream: Upstream, status: int) -> None:
    words = f"Bad key {MODEL_KEY} at http://127.0.0.1:9999/v1." if status == 401 else "The model does not like this."
    run = settle(wire, upstream, Refusal(status, words))
    assert failed(run, "server_error")
    assert len(upstream.requests) == 1


def test_a_refusals_words_are_passed_on(wire: Wire, upstream: Upstream) -> None:
    run = settle(wire, upstream, Refusal(400, "Images are not supported.", kind="invalid_request_error"))
    assert "Images are not supported." in failed(run, run["last_error"]["code"])


@pytest.mark.parametrize("fault", [{"cut_after": 0}, {"cut_after": 2}, {"cut_after": 99}, {"garbage_after": 2}])
def test_a_stream_that_breaks_ends_the_run_or_is_recovered(
    wire: Wire, upstream: Upstream, fault: dict[str, int]
) -> None:
    run = settle(wire, upstream, *[Reply("one two three", **fault)] * ALWAYS)
    failed(run, "server_error")
    messages = wire.read(f"/threads/{run['thread_id']}/messages")["data"]
    assert all(message["status"] == "incomplete" for message in messages if message["role"] == "assistant")
    assert all(step["status"] == "failed" for step in wire.steps(run))


def test_a_break_in_a_stream_is_told_to_its_reader(wire: Wire, upstream: Upstream) -> None:
    upstream.script(*[Reply("one two three", cut_after=2)] * ALWAYS)
    events = wire.stream(f"/threads/{wire.thread()['id']}/runs", {"assistant_id": wire.assistant()["id"]})
    assert names(events)[-4:] == ["thread.message.incomplete", "thread.run.step.failed", "thread.run.failed", "done"]
    message, step, run = (event.data for event in events[-4:-1])
    assert message["incomplete_details"] == {"reason": "run_failed"}
    assert text_of(message) == streamed_text(events) == "one two"
    assert step["last_error"]["code"] == "server_error"
    assert run["last_error"]["code"] == "server_error"


def test_silence_ends_the_run(impatient: Wire, upstream: Upstream) -> None:
    upstream.script(*[Reply("never", hold=Gate())] * ALWAYS)
    run = impatient.until(impatient.run(impatient.assistant()), within_s=RETRIES_S)
    failed(run, "server_error")


def test_silence_in_mid_stream_ends_the_run(impatient: Wire, upstream: Upstream) -> None:
    upstream.script(*[Reply("one two", pause=Gate())] * ALWAYS)
    run = impatient.until(impatient.run(impatient.assistant()), within_s=RETRIES_S)
    failed(run, "server_error")


def test_arguments_that_are_no_json_end_or_recover(wire: Wire, upstream: Upstream) -> None:
    run = settle(wire, upstream, Reply(calls=[Call("weather", '{"city": ')]))
    if run["status"] == "requires_action":
        run = wire.until(wire.submit(run, *["57"] * len(open_calls(run))))
    assert run["status"] in {"completed", "failed"}


def test_an_unknown_tool_never_reaches_the_client(wire: Wire, upstream: Upstream) -> None:
    run = settle(wire, upstream, Reply(calls=[Call("no_such_tool")]), Reply("Without it, then."))
    assert run["status"] in {"completed", "failed"}
    if run["status"] == "completed":
        assert wire.texts(run["thread_id"])[-1] == "Without it, then."
        assert "no_such_tool" in str(upstream.bodies[-1]["messages"])


def test_an_unknown_tool_beside_a_known_one(wire: Wire, upstream: Upstream) -> None:
    run = settle(wire, upstream, Reply(calls=[Call("no_such_tool"), Call("weather")]))
    if run["status"] == "requires_action":
        assert [call["function"]["name"] for call in open_calls(run)] == ["weather"]
        run = wire.until(wire.submit(run, "57"))
    assert run["status"] in {"completed", "failed"}


def test_a_model_that_never_stops_calling_an_unknown_tool_is_stopped(wire: Wire, upstream: Upstream) -> None:
    upstream.brain = lambda _: Reply(calls=[Call("no_such_tool")])
    run = wire.until(wire.run(wire.assistant("weather")), within_s=RETRIES_S)
    assert run["status"] in {"failed", "incomplete"}


def test_an_empty_answer_ends_the_run(wire: Wire, upstream: Upstream) -> None:
    run = settle(wire, upstream, Reply(""))
    assert run["status"] in {"completed", "failed"}


def test_a_filtered_answer_ends_the_run(wire: Wire, upstream: Upstream) -> None:
    run = settle(wire, upstream, Reply("I was about to", finish="content_filter"))
    assert run["status"] in {"completed", "failed", "incomplete"}
    newest = wire.read(f"/threads/{run['thread_id']}/messages")["data"][0]
    assert newest["incomplete_details"] == {"reason": "content_filter"}


def test_a_refusal_is_a_part_of_the_message(wire: Wire, upstream: Upstream) -> None:
    run = settle(wire, upstream, Reply(refusal="I will not do that."))
    assert run["status"] == "completed"
    newest = wire.read(f"/threads/{run['thread_id']}/messages")["data"][0]
    assert newest["content"] == [{"type": "refusal", "refusal": "I will not do that."}]


def test_an_upstream_that_is_not_there(make_server: MakeServer) -> None:
    wire = make_server(UNDERSTUDY_MODEL_URL="http://127.0.0.1:9/v1").wire()
    run = wire.until(wire.run(wire.assistant()), within_s=RETRIES_S)
    failed(run, "server_error")
