import json
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from tests.inference.fake_upstream import DONE, Reply, chunk, error_reply, text_reply, upstream
from tests.inference.provider_contract import ASK, SAY, WEATHER, Make, ProviderContract, calls_of, collect, text_of
from tests.inference.test_openai_compatible import provider_to

from understudy.errors import UpstreamError
from understudy.inference import envelope
from understudy.inference.base import CompletionRequest, Delta, Finished, FinishReason, Provider, TextDelta, TokenUsage
from understudy.inference.constrained import Constrained

CALL = {"name": "get_weather", "arguments": {"city": "부산"}}
OTHER = {"name": "get_weather", "arguments": {"city": "서울"}}


def calling(*calls: Any) -> str:
    return json.dumps({"functions": [call["name"] for call in calls], "tool_calls": calls}, ensure_ascii=False)


def saying(text: str) -> str:
    return json.dumps({"functions": [], "message": text})


def asked_before(*calls: Any) -> CompletionRequest:
    made = [
        {"id": f"c{at}", "type": "function", "function": {"name": c["name"], "arguments": json.dumps(c["arguments"])}}
        for at, c in enumerate(calls)
    ]
    outputs = [{"role": "tool", "tool_call_id": f"c{at}", "content": "57"} for at in range(len(calls))]
    return replace(ASK, messages=[*ASK.messages, {"role": "assistant", "tool_calls": made}, *outputs])


@dataclass
class Says:
    """A model that answers with set texts, a few letters at a time."""

    texts: Sequence[str]
    reason: FinishReason = "stop"
    requests: list[CompletionRequest] = field(default_factory=list)

    async def stream(self, request: CompletionRequest) -> AsyncGenerator[Delta, None]:
        self.requests.append(request)
        text = self.texts[len(self.requests) - 1]
        for at in range(0, len(text), 3):
            yield TextDelta(text[at : at + 3])
        yield Finished(self.reason, TokenUsage(10, 5))

    async def aclose(self) -> None:
        pass


async def run(request: CompletionRequest, *texts: str, reason: FinishReason = "stop") -> tuple[list[Delta], Says]:
    model = Says(texts, reason)
    return await collect(Constrained(model), request), model


def schema_of(request: CompletionRequest) -> dict[str, Any]:
    assert request.response_format is not None
    schema: dict[str, Any] = request.response_format["json_schema"]["schema"]
    return schema


SCENES = {
    "text": text_reply("Hel", "lo, 부산", " 😀"),
    "calls": text_reply(calling(CALL, CALL)[:40], calling(CALL, CALL)[40:]),
    "cut": Reply([chunk({"content": "Hel"})]),
    "refuse": error_reply(429, "Rate limit reached"),
    "hang": Reply([chunk({"content": "Hel"}), 30.0, DONE]),
}


class TestContract(ProviderContract):
    @pytest.fixture
    def make(self) -> Make:
        @asynccontextmanager
        async def scene(name: str) -> AsyncIterator[Provider]:
            async with upstream(SCENES[name]) as fake, provider_to(fake) as provider:
                yield Constrained(provider)

        return scene


class TestReplies:
    async def test_message_streams(self) -> None:
        deltas, _ = await run(ASK, saying("Hello,\n부산 😀"))
        assert text_of(deltas) == "Hello,\n부산 😀"
        assert sum(isinstance(delta, TextDelta) for delta in deltas) > 2
        assert deltas[-1] == Finished("stop", TokenUsage(10, 5))

    async def test_calls_stream_with_their_letters(self) -> None:
        deltas, _ = await run(ASK, calling(CALL, OTHER))
        assert calls_of(deltas) == [("get_weather", '{"city": "부산"}'), ("get_weather", '{"city": "서울"}')]
        assert len(deltas) > 5

    async def test_a_reply_cut_by_its_limit_ends_with_length(self) -> None:
        deltas, _ = await run(ASK, saying("Hello there")[:-7], reason="length")
        assert text_of(deltas) == "Hello "
        assert isinstance(deltas[-1], Finished)
        assert deltas[-1].reason == "length"

    @pytest.mark.parametrize("text", ["", "hello", '{"message": "a"', "[]"])
    async def test_what_is_no_envelope_is_an_upstream_error(self, text: str) -> None:
        with pytest.raises(UpstreamError):
            await run(ASK, text)

    async def test_answered_calls_are_not_made_again(self) -> None:
        deltas, model = await run(asked_before(CALL), calling(CALL, OTHER))
        assert calls_of(deltas) == [("get_weather", '{"city": "서울"}')]
        assert len(model.requests) == 1

    async def test_nothing_but_answered_calls_becomes_a_message(self) -> None:
        deltas, model = await run(asked_before(CALL), calling(CALL), saying("57 degrees"))
        assert text_of(deltas) == "57 degrees"
        assert calls_of(deltas) == []
        assert deltas[-1] == Finished("stop", TokenUsage(20, 10))
        assert "$defs" not in schema_of(model.requests[1])

    async def test_a_new_question_may_repeat_a_call(self) -> None:
        before = asked_before(CALL)
        request = replace(before, messages=[*before.messages, {"role": "user", "content": "and now?"}])
        assert calls_of((await run(request, calling(CALL)))[0]) == [("get_weather", '{"city": "부산"}')]


class TestRequests:
    async def test_without_tools_it_is_plain_chat(self) -> None:
        deltas, model = await run(SAY, "plain {text}")
        assert text_of(deltas) == "plain {text}"
        assert model.requests[0] == SAY

    async def test_tool_choice_none_is_plain_chat(self) -> None:
        _, model = await run(replace(asked_before(CALL), tool_choice="none"), "plain")
        asked = model.requests[0]
        assert (asked.tools, asked.tool_choice, asked.response_format) == ((), None, None)

    async def test_response_format_is_the_grammar_without_tools(self) -> None:
        asked = {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "string", "pattern": "^a"}}}
        _, model = await run(replace(SAY, response_format=asked), "{}")
        assert schema_of(model.requests[0]) == {"type": "string"}
        _, model = await run(replace(SAY, response_format={"type": "json_object"}), "{}")
        assert model.requests[0].response_format == {"type": "json_object"}

    async def test_temperature_is_zero_unless_set(self) -> None:
        assert (await run(ASK, saying("x")))[1].requests[0].temperature == 0
        assert (await run(replace(ASK, temperature=0.7), saying("x")))[1].requests[0].temperature == 0.7

    async def test_the_thread_needs_no_tool_support(self) -> None:
        _, model = await run(asked_before(CALL, OTHER), saying("x"))
        system, user, assistant, results = model.requests[0].messages
        assert [m["role"] for m in (system, user, assistant, results)] == ["system", "user", "assistant", "user"]
        assert json.loads(assistant["content"])["tool_calls"] == [CALL, OTHER]
        first = json.loads(results["content"].splitlines()[0])
        assert first == {"result_of": "get_weather", "arguments": {"city": "부산"}, "output": "57"}

    async def test_prompts_of_one_thread_share_their_prefix(self) -> None:
        first, second = (await run(ASK, saying("x")))[1], (await run(asked_before(CALL), saying("x")))[1]
        shared = len(first.requests[0].messages)
        assert second.requests[0].messages[:shared] == first.requests[0].messages


class TestChoice:
    def forms(self, **options: Any) -> list[dict[str, Any]]:
        schema = envelope.schema(envelope.allowed(replace(ASK, **options)))
        forms: list[dict[str, Any]] = schema.get("anyOf", [schema])
        return forms

    def kinds(self, **options: Any) -> tuple[bool, int]:
        """Return whether a message is allowed, and how many calls at most."""
        forms = self.forms(**options)
        return any("message" in f["properties"] for f in forms), sum("tool_calls" in f["properties"] for f in forms)

    def test_choices(self) -> None:
        assert self.kinds() == (True, envelope.MAX_CALLS)
        assert self.kinds(tool_choice="auto", parallel_tool_calls=False) == (True, 1)
        assert self.kinds(tool_choice="required") == (False, envelope.MAX_CALLS)
        named = {"type": "function", "function": {"name": "get_weather"}}
        assert self.kinds(tool_choice=named) == (False, 1)

    def test_a_named_function_is_the_only_one(self) -> None:
        tools = [WEATHER, replace(WEATHER, name="other")]
        request = replace(ASK, tools=tools, tool_choice={"type": "function", "function": {"name": "other"}})
        (kind,) = envelope.schema(envelope.allowed(request))["$defs"]["call"]["anyOf"]
        assert kind["properties"]["name"] == {"const": "other"}

    def test_sources_come_after_the_message_where_ids_are_given(self) -> None:
        form = envelope.schema(envelope.allowed(ASK), ["a", "b"])["anyOf"][0]
        assert list(form["properties"]) == ["functions", "message", "sources"]

    def test_a_turn_of_many_rounds_ends_in_a_message(self) -> None:
        once = asked_before(CALL).messages[1:]
        request = replace(ASK, messages=[*ASK.messages, *list(once) * 8])
        assert envelope.allowed(request).tools == ()
