"""What reaches the upstream: the context, the overrides, and nothing that nobody set."""

import pytest
from tests.harness.replies import Body, Call, Reply
from tests.harness.upstream import Upstream
from tests.harness.wire import Json, Wire, function_tool, open_calls

SAMPLING = {
    "temperature",
    "top_p",
    "reasoning_effort",
    "response_format",
    "tool_choice",
    "parallel_tool_calls",
    "tools",
}
SCHEMA = {
    "type": "json_schema",
    "json_schema": {
        "name": "answer",
        "strict": True,
        "schema": {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]},
    },
}


def said(body: Body, role: str) -> list[object]:
    return [message["content"] for message in body["messages"] if message["role"] == role]


def instructions(body: Body) -> str:
    first = body["messages"][0]
    assert first["role"] in {"system", "developer"}
    return first["content"]


def test_what_was_never_set_is_not_sent(wire: Wire, upstream: Upstream) -> None:
    wire.settle(wire.assistant())
    (body,) = upstream.bodies
    assert not SAMPLING & body.keys()
    assert body["model"] == "gpt-4o"
    assert body["stream"] is True
    assert [message["role"] for message in body["messages"]] == ["user"]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("temperature", 0),
        ("temperature", 0.7),
        ("top_p", 0),
        ("reasoning_effort", "low"),
        ("response_format", {"type": "json_object"}),
        ("response_format", SCHEMA),
    ],
)
def test_values_of_assistant_and_run_are_sent_as_they_are(
    wire: Wire, upstream: Upstream, field: str, value: object
) -> None:
    wire.settle(wire.assistant(**{field: value}))
    wire.settle(wire.assistant(), **{field: value})
    assert [body[field] for body in upstream.bodies] == [value, value]


@pytest.mark.parametrize(("field", "own", "override"), [("temperature", 0.7, 0), ("top_p", 0.5, 0)])
def test_zero_overrides(wire: Wire, upstream: Upstream, field: str, own: float, override: float) -> None:
    done = wire.settle(wire.assistant(**{field: own}), **{field: override})
    assert upstream.bodies[0][field] == 0
    assert done[field] == 0
    assert type(done[field]) is float


def test_model_and_instructions_of_the_run_replace_the_assistants(wire: Wire, upstream: Upstream) -> None:
    done = wire.settle(wire.assistant(instructions="Old."), model="other-model", instructions="New.")
    (body,) = upstream.bodies
    assert (body["model"], instructions(body)) == ("other-model", "New.")
    assert (done["model"], done["instructions"]) == ("other-model", "New.")


def test_additional_instructions_follow_the_assistants(wire: Wire, upstream: Upstream) -> None:
    wire.settle(wire.assistant(instructions="First."), additional_instructions="Second.")
    text = instructions(upstream.bodies[0])
    assert text.startswith("First.")
    assert text.endswith("Second.")


def test_tools_of_the_run_replace_the_assistants(wire: Wire, upstream: Upstream) -> None:
    parameters = {"type": "object", "properties": {"city": {"type": "string"}}}
    wire.settle(wire.assistant("old"), tools=[function_tool("new", parameters)])
    (tool,) = upstream.bodies[0]["tools"]
    assert (tool["type"], tool["function"]["name"], tool["function"]["parameters"]) == ("function", "new", parameters)
    assert tool["function"]["description"] == "Returns new."


def test_no_tools_of_the_run_switch_the_assistants_off(wire: Wire, upstream: Upstream) -> None:
    assert wire.settle(wire.assistant("old"), tools=[])["status"] == "completed"
    assert "tools" not in upstream.bodies[0]


def test_forced_tools_are_forced_in_the_first_call_only(wire: Wire, upstream: Upstream) -> None:
    named = {"type": "function", "function": {"name": "weather"}}
    for choice in ("required", named):
        waiting = wire.settle(wire.assistant("weather", "rain"), tool_choice=choice)
        assert waiting["tool_choice"] == choice
        wire.until(wire.submit(waiting, *["x"] * len(open_calls(waiting))))
        first, second = upstream.bodies[-2:]
        assert first["tool_choice"] == choice
        assert second.get("tool_choice", "auto") == "auto"


def test_tool_choice_none_offers_no_choice(wire: Wire, upstream: Upstream) -> None:
    assert wire.settle(wire.assistant("weather"), tool_choice="none")["status"] == "completed"
    (body,) = upstream.bodies
    assert body.get("tool_choice") == "none" or "tools" not in body


def test_parallel_calls_can_be_switched_off(wire: Wire, upstream: Upstream) -> None:
    waiting = wire.settle(wire.assistant("weather"), parallel_tool_calls=False)
    assert waiting["parallel_tool_calls"] is False
    assert upstream.bodies[0]["parallel_tool_calls"] is False


def test_images_reach_the_model_as_addresses(wire: Wire, upstream: Upstream) -> None:
    image = {"type": "image_url", "image_url": {"url": "https://example.com/a.png", "detail": "low"}}
    message = {"role": "user", "content": [{"type": "text", "text": "What is it?"}, image]}
    wire.settle(wire.assistant(), wire.make("/threads", {"messages": [message]}))
    assert said(upstream.bodies[0], "user") == [[{"type": "text", "text": "What is it?"}, image]]


@pytest.mark.parametrize(("keep", "expected"), [(1, ["three"]), (2, ["two", "three"]), (9, ["one", "two", "three"])])
def test_only_the_last_messages_are_sent(wire: Wire, upstream: Upstream, keep: int, expected: list[str]) -> None:
    strategy = {"type": "last_messages", "last_messages": keep}
    thread = wire.thread("one", "two", "three")
    done = wire.settle(wire.assistant(instructions="Kept."), thread, truncation_strategy=strategy)
    assert done["truncation_strategy"] == strategy
    assert said(upstream.bodies[0], "user") == expected
    assert instructions(upstream.bodies[0]) == "Kept."


def test_calls_and_outputs_of_earlier_runs_stay_in_the_context(wire: Wire, upstream: Upstream) -> None:
    calls = [Call("weather", '{"city":"부산"}'), Call("rain", "{}")]
    upstream.script(Reply("Let me look.", calls), Reply("It rains."))
    assistant, thread = wire.assistant("weather", "rain"), wire.thread("How is it?")
    waiting = wire.settle(assistant, thread)
    wire.until(wire.submit(waiting, "57", "0.06"))
    wire.make(f"/threads/{thread['id']}/messages", {"role": "user", "content": "And now?"})
    wire.settle(assistant, thread)
    _check_context(upstream.bodies[-1]["messages"], waiting)


def _check_context(messages: list[Json], waiting: Json) -> None:
    at = next(n for n, message in enumerate(messages) if message.get("tool_calls"))
    ids = [call["id"] for call in open_calls(waiting)]
    told = [(c["id"], c["function"]["name"], c["function"]["arguments"]) for c in messages[at]["tool_calls"]]
    assert told == [(ids[0], "weather", '{"city":"부산"}'), (ids[1], "rain", "{}")]
    outputs = [(m["role"], m["tool_call_id"], m["content"]) for m in messages[at + 1 : at + 3]]
    assert outputs == [("tool", ids[0], "57"), ("tool", ids[1], "0.06")]
    spoken = [m["content"] for m in messages if m["role"] != "tool" and m.get("content")]
    assert spoken == ["How is it?", "Let me look.", "It rains.", "And now?"]


def test_outputs_of_the_same_run_are_seen_in_the_next_call(wire: Wire, upstream: Upstream) -> None:
    waiting = wire.settle(wire.assistant("weather"))
    wire.until(wire.submit(waiting, "57"))
    roles = [message["role"] for message in upstream.bodies[-1]["messages"]]
    assert roles == ["user", "assistant", "tool"]


def test_an_unanswered_call_of_a_cancelled_run_does_not_break_the_context(wire: Wire, upstream: Upstream) -> None:
    assistant, thread = wire.assistant("weather"), wire.thread("one")
    waiting = wire.settle(assistant, thread)
    wire.make(f"/threads/{thread['id']}/runs/{waiting['id']}/cancel")
    wire.until(waiting, {"cancelled"})
    wire.make(f"/threads/{thread['id']}/messages", {"role": "user", "content": "two"})
    wire.settle(assistant, thread)
    messages = upstream.bodies[-1]["messages"]
    called = [call["id"] for message in messages for call in message.get("tool_calls") or []]
    answered = [message["tool_call_id"] for message in messages if message["role"] == "tool"]
    assert called == answered


def test_messages_of_the_client_in_the_assistants_role_are_sent(wire: Wire, upstream: Upstream) -> None:
    messages = [{"role": "user", "content": "one"}, {"role": "assistant", "content": "two"}]
    wire.settle(wire.assistant(), wire.make("/threads", {"messages": messages}))
    assert [(m["role"], m["content"]) for m in upstream.bodies[0]["messages"]] == [
        ("user", "one"),
        ("assistant", "two"),
    ]
