import json
import re
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
from understudy.inference.appended import Appendix, Choices
from understudy.inference.base import (
    CompletionRequest,
    Delta,
    Finished,
    FinishReason,
    Provider,
    TextDelta,
    TokenUsage,
    ToolCallDelta,
    ToolSpec,
)
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


async def run(
    request: CompletionRequest, *texts: str, reason: FinishReason = "stop", goes_on: bool = False
) -> tuple[list[Delta], Says]:
    model = Says(texts, reason)
    return await collect(Constrained(model, goes_on=goes_on), request), model


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
        named = Choices({"a": Appendix("[a]", "[a]"), "b": Appendix("[b]", "[b]")})
        form = envelope.schema(envelope.allowed(ASK), named)["anyOf"][0]
        assert list(form["properties"]) == ["functions", "message", "sources"]

    def test_a_turn_of_many_rounds_ends_in_a_message(self) -> None:
        once = asked_before(CALL).messages[1:]
        request = replace(ASK, messages=[*ASK.messages, *list(once) * 8])
        assert envelope.allowed(request).tools == ()


# --- code --------------------------------------------------------------------------------------------------------

PYTHON = ToolSpec(
    "code_interpreter",
    "Run Python.",
    {"type": "object", "properties": {"code": {"type": "string"}}, "required": ["code"]},
)
COMPUTE = replace(ASK, messages=[{"role": "user", "content": "6 곱하기 7은?"}], tools=[PYTHON])
TASK = "Multiply 6 by 7."
CALLS_CODE = calling({"name": "code_interpreter", "arguments": {"task": TASK}})
BLOCK = '```python\n# "6 times 7"\nprint(6 * 7)\n```'


async def test_code_is_asked_for_after_the_call_and_comes_as_its_arguments() -> None:
    deltas, model = await run(COMPUTE, CALLS_CODE, BLOCK)
    assert calls_of(deltas) == [("code_interpreter", '{"code": "# \\"6 times 7\\"\\nprint(6 * 7)"}')]
    assert deltas[-1] == Finished("tool_calls", TokenUsage(20, 10))
    assert sum(isinstance(delta, ToolCallDelta) for delta in deltas) > 5
    first, second = model.requests
    arguments = schema_of(first)["$defs"]["call"]["anyOf"][0]["properties"]["arguments"]
    assert list(arguments["properties"]) == ["task"]
    assert second.response_format is None
    assert second.messages[: len(first.messages)] == first.messages
    assert second.messages[-2] == {"role": "assistant", "content": CALLS_CODE}
    assert "6 곱하기 7은?" in second.messages[-1]["content"]


async def test_a_model_that_goes_on_finds_its_block_begun() -> None:
    deltas, model = await run(COMPUTE, CALLS_CODE, "print(6 * 7)\n```\nIt prints 42.", goes_on=True)
    assert calls_of(deltas) == [("code_interpreter", '{"code": "# Multiply 6 by 7.\\nprint(6 * 7)"}')]
    begun = model.requests[1].messages[-1]
    assert begun == {"role": "assistant", "content": "```python\n# Multiply 6 by 7.\n"}


async def test_tasks_of_several_calls_are_one() -> None:
    calls = [{"name": "code_interpreter", "arguments": {"task": task}} for task in ("Count\nthem.", "Plot them.")]
    deltas, _ = await run(COMPUTE, calling(*calls), "pass\n```", goes_on=True)
    assert calls_of(deltas) == [("code_interpreter", '{"code": "# Count them. Plot them.\\npass"}')]


async def test_a_call_without_a_task_is_code_without_its_comment() -> None:
    bare = calling({"name": "code_interpreter", "arguments": {}})
    deltas, _ = await run(COMPUTE, bare, "print(42)\n```", goes_on=True)
    assert calls_of(deltas) == [("code_interpreter", '{"code": "print(42)"}')]


@pytest.mark.parametrize(
    ("task", "held"),
    [
        ("Find the cube of the fourth prime greater than 413.", True),
        ("Plot '매출' by '월' of '매출.csv', and x^2.", True),
        ("413보다 큰 소수", False),
        ("Find 소수", False),
        ('Say "hi"', False),
        ("Escape \\", False),
        ("Two\nlines", False),
        ("'Quoted\nlines'", False),
        ("Again " * 100, False),
    ],
)
def test_a_task_is_in_english_but_for_names_in_quotes(task: str, held: bool) -> None:
    kinds = envelope.schema(envelope.allowed(COMPUTE))["$defs"]["call"]["anyOf"]
    pattern = kinds[0]["properties"]["arguments"]["properties"]["task"]["pattern"]
    assert bool(re.fullmatch(pattern, task)) == held


@pytest.mark.parametrize(
    ("question", "language"),
    [
        ("6 곱하기 7은?", "Korean"),
        ("6乘以7等于多少？", "Chinese"),
        ("6かける7は？", "Japanese"),
        ("漢字だけでなく", "Japanese"),
        ("Combien font 6 fois 7 ?", "the language of the question"),
    ],
)
async def test_code_and_answer_are_asked_for_in_the_language_of_the_question(question: str, language: str) -> None:
    asked = replace(COMPUTE, messages=[{"role": "user", "content": question}])
    _, model = await run(asked, CALLS_CODE, BLOCK)
    assert f"in {language}." in model.requests[1].messages[-1]["content"]
    _, model = await run(computed(asked, "42"), saying("42"))
    assert model.requests[0].messages[-1]["content"].endswith(f"{question}\nAnswer in {language}.")


async def test_code_comes_behind_the_other_calls() -> None:
    both = calling(CALL, {"name": "code_interpreter", "arguments": {"task": TASK}})
    deltas, _ = await run(replace(COMPUTE, tools=[WEATHER, PYTHON]), both, BLOCK)
    assert [name for name, _ in calls_of(deltas)] == ["get_weather", "code_interpreter"]


def computed(request: CompletionRequest, output: str, code: str = "print(6 * 7)") -> CompletionRequest:
    """The thread after code has been run."""
    made = {"id": "c1", "function": {"name": "code_interpreter", "arguments": json.dumps({"code": code})}}
    result = {"role": "tool", "tool_call_id": "c1", "content": output}
    later = [*request.messages, {"role": "assistant", "content": None, "tool_calls": [made]}, result]
    return replace(request, messages=later)


@pytest.mark.parametrize("goes_on", [False, True])
async def test_the_prompt_after_the_result_begins_as_that_before_it(goes_on: bool) -> None:
    """The model's cache is of use only then."""
    code = "print(6 * 7)\n```" if goes_on else f"```python\n# {TASK}\nprint(6 * 7)\n```"
    deltas, model = await run(COMPUTE, CALLS_CODE, code, goes_on=goes_on)
    made = json.loads(calls_of(deltas)[0][1])["code"]
    deltas, after = await run(computed(COMPUTE, "42", made), saying("42"))
    assert text_of(deltas) == "42"
    before = [*model.requests[1].messages]
    block = {"role": "assistant", "content": f"```python\n# {TASK}\nprint(6 * 7)\n```"}
    if goes_on:
        assert block["content"].startswith(before.pop()["content"])
    assert after.requests[0].messages[: len(before) + 1] == [*before, block]
    assert '"output": "42"' in after.requests[0].messages[-1]["content"]


async def test_code_may_be_run_again() -> None:
    failed = computed(COMPUTE, "NameError")
    deltas, model = await run(failed, CALLS_CODE, BLOCK)
    assert [name for name, _ in calls_of(deltas)] == ["code_interpreter"]
    assert "6 곱하기 7은?" in model.requests[1].messages[-1]["content"]


KEY_ERROR = (
    "----\nKeyError     Traceback (most recent call last)\nCell In[1], line 1\n----> 1 x['a']\n\nKeyError: 'a'\n"
)


@pytest.mark.parametrize(
    ("output", "mended"),
    [
        (KEY_ERROR, True),
        ('Traceback (most recent call last):\n  File "x.py"', True),
        ("  Cell In[1], line 1\n    for in x\n        ^\nSyntaxError: invalid syntax\n", True),
        ("42\n", False),
        ("No error: 3 rows\n", False),
        ("the mean squared Error: 3\n", False),
        ("", False),
    ],
)
def test_code_that_failed_is_to_be_mended(output: str, mended: bool) -> None:
    reply = envelope.allowed(replace(computed(COMPUTE, output), tools=[WEATHER, PYTHON]))
    assert [tool.name for tool in reply.tools] == (["code_interpreter"] if mended else [WEATHER.name, PYTHON.name])
    assert reply.message != mended


def test_code_that_fails_again_and_again_is_given_up() -> None:
    request = COMPUTE
    for _ in range(4):
        assert envelope.allowed(request).message == (request is COMPUTE)
        request = computed(request, KEY_ERROR)
    assert envelope.allowed(request).message


def test_what_failed_before_the_user_spoke_again_is_not_mended() -> None:
    before = computed(COMPUTE, KEY_ERROR)
    assert envelope.allowed(replace(before, messages=[*before.messages, {"role": "user", "content": "Stop."}])).message


async def test_a_model_that_goes_on_talking_is_stopped_behind_its_code() -> None:
    deltas, _ = await run(COMPUTE, CALLS_CODE, BLOCK + " and so on" * 100)
    assert calls_of(deltas)[0][1].endswith('print(6 * 7)"}')
    end = deltas[-1]
    assert isinstance(end, Finished)
    assert end.reason == "tool_calls"
    assert 10 < end.usage.completion_tokens < 60


async def test_code_that_was_cut_ends_as_cut() -> None:
    model = Says([CALLS_CODE, BLOCK[:-4]])
    deltas = [delta async for delta in Constrained(_CutAtSecond(model)).stream(COMPUTE)]
    assert deltas[-1] == Finished("length", TokenUsage(20, 10))


@dataclass
class _CutAtSecond:
    inner: Says

    async def stream(self, request: CompletionRequest) -> AsyncGenerator[Delta, None]:
        async for delta in self.inner.stream(request):
            cut = isinstance(delta, Finished) and len(self.inner.requests) == 2
            yield replace(delta, reason="length") if cut and isinstance(delta, Finished) else delta

    async def aclose(self) -> None:
        pass


# --- made files --------------------------------------------------------------------------------------------------

LINKS = ["sandbox:/mnt/data/정리된 매출.csv", "sandbox:/mnt/data/plots/a, b.png"]
MADE = f"4 rows\n[1 image shown to the user]\n[Files made: {', '.join(LINKS)}]"


def giving(text: str, *files: str) -> str:
    return json.dumps({"functions": [], "message": text, "files": files}, ensure_ascii=False)


async def test_files_that_were_made_can_be_named_and_become_links() -> None:
    deltas, model = await run(computed(COMPUTE, MADE), giving("Here.", *LINKS))
    assert text_of(deltas) == f"Here.\n[정리된 매출.csv]({LINKS[0]})\n[a, b.png]({LINKS[1]})"
    message = schema_of(model.requests[0])["anyOf"][0]["properties"]
    assert message["files"]["items"] == {"enum": LINKS}
    assert "name in files" in model.requests[0].messages[-1]["content"]


async def test_a_file_that_the_message_links_is_not_linked_again() -> None:
    said = f"Here: [it]({LINKS[0]})."
    assert text_of((await run(computed(COMPUTE, MADE), giving(said, *LINKS[:1])))[0]) == said


async def test_files_of_an_earlier_question_are_not_offered() -> None:
    before = computed(COMPUTE, MADE)
    asked = replace(before, messages=[*before.messages, {"role": "user", "content": "Thanks!"}])
    _, model = await run(asked, saying("hi"))
    assert "files" not in schema_of(model.requests[0])["anyOf"][0]["properties"]


async def test_code_that_printed_nothing_has_no_values_to_tell() -> None:
    silent = [MADE.partition("\n")[2], "[The code ran and gave no output.]", "[The session was restarted: x.]\n"]
    for output, told in [*((output, False) for output in silent), (MADE, True), ("[1, 2]", True)]:
        _, model = await run(computed(COMPUTE, output), saying("Done."))
        assert ("as they were printed" in model.requests[0].messages[-1]["content"]) == told


async def test_without_made_files_none_are_asked_for() -> None:
    _, model = await run(computed(COMPUTE, "42\n[Files made: nothing]"), saying("42"))
    assert "files" not in schema_of(model.requests[0])["anyOf"][0]["properties"]
    assert "name in files" not in model.requests[0].messages[-1]["content"]


# --- sources -----------------------------------------------------------------------------------------------------

SEARCH = ToolSpec("file_search", "Search.", {"type": "object", "properties": {"query": {"type": "string"}}})
FOUND = "【4:0†foods.txt】\nFilip: cake\n\n【4:1†tea.txt】\nEffie: tea"


def searched() -> CompletionRequest:
    made = {"id": "c1", "function": {"name": "file_search", "arguments": '{"query": "cake"}'}}
    output = {"role": "tool", "tool_call_id": "c1", "content": FOUND}
    return replace(ASK, messages=[*ASK.messages, {"role": "assistant", "tool_calls": [made]}, output], tools=[SEARCH])


def answering(text: str, *sources: str) -> str:
    return json.dumps({"functions": [], "message": text, "sources": sources}, ensure_ascii=False)


async def test_sources_become_marks_behind_the_message() -> None:
    deltas, model = await run(searched(), answering("It is cake.", "4:0", "4:1"))
    assert text_of(deltas) == "It is cake.【4:0†foods.txt】【4:1†tea.txt】"
    message = schema_of(model.requests[0])["anyOf"][0]["properties"]
    assert message["sources"]["items"] == {"enum": ["4:0", "4:1"]}
    assert "sources" in model.requests[0].messages[-1]["content"]


async def test_a_source_that_the_message_cites_is_not_cited_again() -> None:
    deltas, _ = await run(searched(), answering("Cake【4:0†foods.txt】.", "4:0", "4:0"))
    assert text_of(deltas) == "Cake【4:0†foods.txt】."


async def test_without_passages_there_are_no_sources() -> None:
    _, model = await run(ASK, saying("hi"))
    assert "sources" not in json.dumps(schema_of(model.requests[0]))


async def test_earlier_arguments_that_are_nested_too_deeply_are_shown_as_they_were_written() -> None:
    earlier = asked_before(CALL)
    [made] = earlier.messages[-2]["tool_calls"]
    made["function"]["arguments"] = "[" * 5_000
    deltas, model = await run(earlier, saying("Sorry."))
    assert text_of(deltas) == "Sorry."
    assert any("[" * 5_000 in str(message["content"]) for message in model.requests[0].messages)
