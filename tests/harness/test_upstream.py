"""The scripted upstream is itself a fake that others lean on: the official SDK can read it, and its faults are real."""

import json
import time

import openai
import pytest
from tests.harness.replies import Call, Gate, Refusal, Reply
from tests.harness.upstream import Upstream

HELLO = [{"role": "user", "content": "오늘 부산의 날씨는?"}]
WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}, "unit": {"enum": ["C", "F"]}}},
    },
}


@pytest.fixture
def model(upstream: Upstream) -> openai.OpenAI:
    return openai.OpenAI(base_url=upstream.url, api_key="k", max_retries=0, timeout=10)


def ask(model: openai.OpenAI, **options: object) -> list[object]:
    options = {"messages": HELLO, "model": "m", "stream": True} | options
    return list(model.chat.completions.create(**options))


def text(chunks: list) -> str:
    return "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)


def test_it_streams_the_scripted_text_with_usage_where_asked(upstream: Upstream, model: openai.OpenAI) -> None:
    upstream.script(Reply("one two  three\n", usage=(7, 3)), Reply("no usage"))
    chunks = ask(model, stream_options={"include_usage": True})
    assert text(chunks) == "one two  three\n"
    assert chunks[-1].usage.total_tokens == 10
    assert all(chunk.usage is None for chunk in ask(model))


def test_its_brain_calls_each_tool_once_and_then_names_the_outputs(upstream: Upstream, model: openai.OpenAI) -> None:
    chunks = ask(model, tools=[WEATHER])
    parts = [c.choices[0].delta.tool_calls[0] for c in chunks if c.choices and c.choices[0].delta.tool_calls]
    assert parts[0].function.name == "weather"
    assert json.loads("".join(part.function.arguments for part in parts)) == {"city": "부산", "unit": "C"}
    answered = [*HELLO, {"role": "tool", "tool_call_id": "x", "content": "57"}]
    assert text(ask(model, tools=[WEATHER], messages=answered)) == "The tools said: 57"


def test_calls_follow_the_narration_and_identical_ones_are_two(upstream: Upstream, model: openai.OpenAI) -> None:
    upstream.script(Reply("Let me look.", [Call("stock", "{}", "call_a"), Call("stock", "{}", "call_b")]))
    chunks = ask(model)
    assert text(chunks) == "Let me look."
    calls = [call for c in chunks if c.choices for call in c.choices[0].delta.tool_calls or [] if call.id]
    assert [(call.index, call.id) for call in calls] == [(0, "call_a"), (1, "call_b")]


def test_it_refuses_and_cuts_and_talks_garbage(upstream: Upstream, model: openai.OpenAI) -> None:
    upstream.script(
        Refusal(429, "Slow down.", {"retry-after": "1"}),
        Reply("one two three", cut_after=2),
        Reply("one two", garbage_after=1),
    )
    with pytest.raises(openai.RateLimitError, match=r"Slow down\."):
        ask(model)
    with pytest.raises(openai.APIConnectionError):
        ask(model)
    with pytest.raises(json.JSONDecodeError):
        ask(model)


def test_it_notices_a_caller_that_hangs_up_while_it_holds(upstream: Upstream, model: openai.OpenAI) -> None:
    upstream.script(Reply("one two", pause=Gate(), pause_after=1))
    stream = model.chat.completions.create(messages=HELLO, model="m", stream=True)
    next(iter(stream))
    before = time.monotonic()
    stream.close()
    assert upstream.wait_for_request().wait_until_gone() - before < 1


def test_an_opened_gate_lets_the_reply_go_on(upstream: Upstream, model: openai.OpenAI) -> None:
    gate = Gate()
    upstream.script(Reply("one two", hold=gate))
    gate.open()
    assert text(ask(model)) == "one two"
    assert upstream.requests[0].gone_at is None
