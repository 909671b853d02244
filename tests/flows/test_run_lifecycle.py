"""A run's way from queued to its end: what it holds in each state, and what is refused in each."""

import httpx2
import pytest
from tests.harness.replies import Call, Gate, Reply
from tests.harness.upstream import Upstream
from tests.harness.wire import Json, Wire, open_calls, outputs_of, run_path

FINISHED_BY = {"completed": "completed_at", "failed": "failed_at", "cancelled": "cancelled_at"}


def refused(response: httpx2.Response) -> str:
    assert response.status_code == 400, response.text
    answer = response.json()["error"]
    assert (answer["type"], answer["param"], answer["code"]) == ("invalid_request_error", None, None)
    return answer["message"]


@pytest.fixture
def waiting(wire: Wire) -> Json:
    """Return a run that waits for the outputs of two calls."""
    return wire.settle(wire.assistant("temperature", "rain"))


def test_a_new_run_is_queued_with_every_field_in_its_first_state(wire: Wire) -> None:
    run = wire.run(wire.assistant("weather", metadata={"a": "b"}), metadata={"c": "d"})
    nulls = "started_at completed_at cancelled_at failed_at required_action last_error incomplete_details usage"
    assert [run[key] for key in nulls.split()] == [None] * 8
    assert run["status"] == "queued"
    assert run["expires_at"] == run["created_at"] + 600
    assert run["metadata"] == {"c": "d"}
    assert run["truncation_strategy"] == {"type": "auto", "last_messages": None}
    assert run["tools"][0]["function"]["name"] == "weather"


def test_a_completed_run_has_times_usage_and_no_expiry(wire: Wire, upstream: Upstream) -> None:
    upstream.script(Reply("Hello there.", usage=(32, 11)))
    run = wire.settle(wire.assistant())
    assert run["status"] == "completed"
    assert run["expires_at"] is None
    assert run["created_at"] <= run["started_at"] <= run["completed_at"]
    totals = {"prompt_tokens": 32, "completion_tokens": 11, "total_tokens": 43}
    details = {"prompt_token_details": {"cached_tokens": 0}, "completion_tokens_details": {"reasoning_tokens": 0}}
    assert run["usage"] == totals | details


def test_usage_is_counted_where_the_upstream_gives_none(wire: Wire, upstream: Upstream) -> None:
    upstream.script(Reply("one two three four five", usage=None))
    usage = wire.settle(wire.assistant(instructions="Count to five."))["usage"]
    assert usage["completion_tokens"] == 5
    assert usage["prompt_tokens"] >= 5
    assert usage["total_tokens"] == usage["completion_tokens"] + usage["prompt_tokens"]


def test_a_waiting_run_names_its_calls_in_order(waiting: Json) -> None:
    assert waiting["required_action"]["type"] == "submit_tool_outputs"
    assert [call["function"]["name"] for call in open_calls(waiting)] == ["temperature", "rain"]
    assert all(call["id"].startswith("call_") and call["type"] == "function" for call in open_calls(waiting))
    assert waiting["usage"] is None


def test_a_run_goes_on_after_its_outputs(wire: Wire, waiting: Json) -> None:
    answered = wire.submit(waiting, "57", "0.06")
    assert answered["status"] == "queued"
    assert answered["required_action"] is None
    done = wire.until(answered)
    assert done["status"] == "completed"
    assert done["required_action"] is None
    assert wire.texts(done["thread_id"])[-1] == "The tools said: 57; 0.06"


def test_steps_and_run_share_the_usage(wire: Wire, upstream: Upstream) -> None:
    upstream.script(Reply("Let me look.", [Call("weather")], usage=(100, 20)), Reply("It rains.", usage=(150, 5)))
    waiting = wire.settle(wire.assistant("weather"))
    done = wire.until(wire.submit(waiting, "rain"))
    usages = [step["usage"] for step in wire.steps(done)]
    assert [(u["prompt_tokens"], u["completion_tokens"]) for u in usages] == [(0, 0), (100, 20), (150, 5)]
    assert done["usage"]["total_tokens"] == 275


def test_steps_hold_calls_and_outputs(wire: Wire, waiting: Json) -> None:
    (step,) = wire.steps(waiting)
    assert (step["type"], step["status"], step["usage"]) == ("tool_calls", "in_progress", None)
    assert [call["function"]["output"] for call in step["step_details"]["tool_calls"]] == [None, None]
    done = wire.until(wire.submit(waiting, "57", "0.06"))
    tools, message = wire.steps(done)
    assert [call["function"]["output"] for call in tools["step_details"]["tool_calls"]] == ["57", "0.06"]
    assert [call["id"] for call in tools["step_details"]["tool_calls"]] == [c["id"] for c in open_calls(waiting)]
    newest = wire.read(f"/threads/{done['thread_id']}/messages")["data"][0]
    assert message["step_details"]["message_creation"]["message_id"] == newest["id"]
    assert wire.read(f"{run_path(done)}/steps/{tools['id']}") == tools
    assert [step["status"] for step in (tools, message)] == ["completed"] * 2


def test_two_identical_calls_stay_apart(wire: Wire, upstream: Upstream) -> None:
    twice = [Call("stock", '{"ticker": "AAPL"}', "call_same")] * 2
    upstream.script(Reply(calls=twice))
    waiting = wire.settle(wire.assistant("stock"))
    assert len({call["id"] for call in open_calls(waiting)}) == 2
    done = wire.until(wire.submit(waiting, "one", "two"))
    outputs = wire.steps(done)[0]["step_details"]["tool_calls"]
    assert [call["function"]["output"] for call in outputs] == ["one", "two"]


def test_outputs_sent_twice_do_not_answer_a_later_call(wire: Wire, upstream: Upstream) -> None:
    upstream.script(*[Reply(calls=[Call("stock", "{}", "call_0")]) for _ in range(3)])
    first = wire.settle(wire.assistant("stock"))
    assert [call["id"] for call in open_calls(first)] == ["call_0"]
    second = wire.until(wire.submit(first, "one"))
    again = wire.post(f"{run_path(first)}/submit_tool_outputs", {"tool_outputs": outputs_of(first, "one")})
    assert again.status_code == 400, again.text
    third = wire.until(wire.submit(second, "two"))
    assert len({call["id"] for run in (first, second, third) for call in open_calls(run)}) == 3


def test_arguments_keep_their_letters(wire: Wire, upstream: Upstream) -> None:
    arguments = '{"location": "부산", "note": "\\ud83c\\udf2e \\"q\\""}'
    upstream.script(Reply(calls=[Call("weather", arguments)]))
    waiting = wire.settle(wire.assistant("weather"))
    assert open_calls(waiting)[0]["function"]["arguments"] == arguments
    assert "부산" in wire.get(run_path(waiting)).text


def test_busy_thread_refuses_runs_and_messages(wire: Wire, waiting: Json) -> None:
    thread = waiting["thread_id"]
    message = refused(wire.post(f"/threads/{thread}/runs", {"assistant_id": waiting["assistant_id"]}))
    assert message == f"Thread {thread} already has an active run {waiting['id']}."
    message = refused(wire.post(f"/threads/{thread}/messages", {"role": "user", "content": "x"}))
    assert message == f"Can't add messages to {thread} while a run {waiting['id']} is active."


def test_busy_thread_can_be_read_and_labelled(wire: Wire, waiting: Json) -> None:
    path = f"/threads/{waiting['thread_id']}"
    assert wire.make(path, {"metadata": {"a": "b"}})["metadata"] == {"a": "b"}
    (message,) = wire.read(f"{path}/messages")["data"]
    assert wire.make(f"{path}/messages/{message['id']}", {"metadata": {"a": "b"}})["metadata"] == {"a": "b"}


def test_a_failed_start_leaves_no_message_behind(wire: Wire, waiting: Json) -> None:
    body = {"assistant_id": waiting["assistant_id"], "additional_messages": [{"role": "user", "content": "lost?"}]}
    refused(wire.post(f"/threads/{waiting['thread_id']}/runs", body))
    assert wire.texts(waiting["thread_id"]) == ["Hi"]


def test_outputs_must_be_exactly_the_open_calls(wire: Wire, waiting: Json) -> None:
    first, second = (call["id"] for call in open_calls(waiting))
    path = f"{run_path(waiting)}/submit_tool_outputs"
    some = {"tool_outputs": [{"tool_call_id": first, "output": "57"}]}
    assert (
        refused(wire.post(path, some)) == f"Expected tool outputs for call_ids ['{first}', '{second}'], got ['{first}']"
    )
    strange = {"tool_outputs": [{"tool_call_id": "call_strange", "output": "57"}]}
    expected = f"Expected tool outputs for call_ids ['{first}', '{second}'], got ['call_strange']"
    assert refused(wire.post(path, strange)) == expected
    assert refused(wire.post(path, {"tool_outputs": []})).endswith("got []")
    assert wire.read(run_path(waiting))["status"] == "requires_action"


def test_outputs_may_come_in_another_order(wire: Wire, waiting: Json) -> None:
    body = outputs_of(waiting, "57", "0.06")
    body["tool_outputs"].reverse()
    wire.until(wire.make(f"{run_path(waiting)}/submit_tool_outputs", body))
    assert wire.texts(waiting["thread_id"])[-1] == "The tools said: 57; 0.06"


def test_outputs_are_refused_in_other_states(wire: Wire, waiting: Json, upstream: Upstream) -> None:
    body, path = outputs_of(waiting, "57", "0.06"), f"{run_path(waiting)}/submit_tool_outputs"
    gate = Gate()
    upstream.script(Reply("done", hold=gate))
    wire.until(wire.make(path, body), {"in_progress"})
    assert refused(wire.post(path, body)) == 'Runs in status "in_progress" do not accept tool outputs.'
    gate.open()
    wire.until(waiting, {"completed"})
    assert refused(wire.post(path, body)) == 'Runs in status "completed" do not accept tool outputs.'


def test_only_a_resting_run_can_be_modified(wire: Wire, upstream: Upstream) -> None:
    gate = Gate()
    upstream.script(Reply("done", hold=gate))
    run = wire.until(wire.run(wire.assistant()), {"in_progress"})
    assert refused(wire.post(run_path(run), {"metadata": {}})) == "Cannot update run with status 'in_progress'."
    gate.open()
    done = wire.until(run)
    changed = wire.make(run_path(done), {"metadata": {"a": "b"}})
    assert changed == done | {"metadata": {"a": "b"}}


def test_midrun_listing_shows_no_message_without_content(wire: Wire, upstream: Upstream) -> None:
    gate, pause = Gate(), Gate()
    upstream.script(Reply("one two", hold=gate, pause=pause))
    thread = wire.thread("question")
    run = wire.run(wire.assistant(), thread)
    upstream.wait_for_request()
    assert wire.texts(thread["id"]) == ["question"]
    gate.open()
    wire.until(run, {"in_progress"})
    listed = wire.read(f"/threads/{thread['id']}/messages")["data"]
    assert all(message["content"] for message in listed)
    pause.open()
    wire.until(run)
    assert wire.texts(thread["id"]) == ["question", "one two"]


def test_messages_of_one_run_can_be_listed(wire: Wire) -> None:
    thread, assistant = wire.thread("q"), wire.assistant()
    first, second = wire.settle(assistant, thread), wire.settle(assistant, thread)
    assert wire.texts(thread["id"], run_id=first["id"]) == ["You said: q"]
    assert wire.texts(thread["id"], run_id=second["id"]) == ["You said: q"]
    assert len(wire.texts(thread["id"])) == 3


def test_create_and_run_makes_the_thread(wire: Wire) -> None:
    messages = [{"role": "user", "content": "Hi"}]
    body = {"assistant_id": wire.assistant()["id"], "thread": {"messages": messages, "metadata": {"a": "b"}}}
    run = wire.until(wire.make("/threads/runs", body))
    assert wire.read(f"/threads/{run['thread_id']}")["metadata"] == {"a": "b"}
    assert wire.texts(run["thread_id"]) == ["Hi", "You said: Hi"]


def test_additional_messages_join_the_thread(wire: Wire) -> None:
    more = [{"role": "user", "content": "two"}, {"role": "assistant", "content": "three"}]
    run = wire.settle(wire.assistant(), wire.thread("one"), additional_messages=more)
    assert wire.texts(run["thread_id"]) == ["one", "two", "three", "You said: two"]
