"""What comes next after a model's answer."""

from typing import Any

import pytest
from tests.engine.house import function
from tests.storage.builders import run

from understudy.engine.assemble import Draft
from understudy.engine.calls import CallDraft
from understudy.engine.nextstep import (
    FILTERED,
    AwaitToolOutputs,
    CallModelAgain,
    Finish,
    Stop,
    UseTools,
    after_calls,
    next_step,
)

TOOLS = [function("f"), function("get_weather")]
BUILT_IN = [{"type": "code_interpreter"}, {"type": "file_search", "file_search": {}}]


def after(*calls: tuple[str, str], reason: Any = "stop", tools: Any = TOOLS) -> Any:
    drafts = tuple(CallDraft(f"call_{place}", *written) for place, written in enumerate(calls))
    return next_step(Draft(run(tools=tools), calls=drafts, reason=reason))


def output(step: Any, place: int = 0) -> str | None:
    found: str | None = step.calls[place]["function"]["output"]
    return found


def test_without_calls_the_run_is_done() -> None:
    assert after() == Finish()


def test_a_call_waits_for_the_client() -> None:
    step = after(("f", '{"a": 1}'), reason="tool_calls")
    assert isinstance(step, AwaitToolOutputs)
    assert output(step) is None
    asked = {"id": "call_0", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}
    assert step.required() == {"type": "submit_tool_outputs", "submit_tool_outputs": {"tool_calls": [asked]}}


def test_calls_count_even_if_the_upstream_says_stop() -> None:
    assert isinstance(after(("f", "{}"), reason="stop"), AwaitToolOutputs)


def test_an_unknown_tool_is_told_to_the_model() -> None:
    step = after(("g", "{}"))
    assert isinstance(step, CallModelAgain)
    assert output(step) == "Error: there is no tool named 'g'. There are: f, get_weather."


def test_a_call_without_a_name_is_told_to_the_model() -> None:
    assert isinstance(after(("", "{}")), CallModelAgain)


@pytest.mark.parametrize("arguments", ['{"a": ', "city=Busan", "{'a': 1}", "{} {}"])
def test_arguments_that_are_no_json_are_told_to_the_model(arguments: str) -> None:
    step = after(("f", arguments))
    assert isinstance(step, CallModelAgain)
    assert (output(step) or "").startswith("Error: the arguments are not valid JSON")
    assert step.calls[0]["function"]["arguments"] == arguments


@pytest.mark.parametrize("arguments", ["[" * 100_000, '{"a":' * 100_000 + "1" + "}" * 100_000])
def test_arguments_that_are_nested_too_deeply_are_told_to_the_model(arguments: str) -> None:
    step = after(("f", arguments))
    assert isinstance(step, CallModelAgain)
    told = "Error: the arguments are nested too deeply. Call the tool again with flatter ones."
    assert (output(step), step.calls[0]["function"]["arguments"]) == (told, arguments)


@pytest.mark.parametrize("arguments", ["", "  ", "\n"])
def test_no_arguments_are_an_empty_object(arguments: str) -> None:
    step = after(("f", arguments))
    assert isinstance(step, AwaitToolOutputs)
    assert step.calls[0]["function"]["arguments"] == "{}"


def test_of_mixed_calls_only_the_open_ones_are_asked_for() -> None:
    step = after(("f", "{}"), ("unknown", "{}"), ("f", "{"), ("f", "{}"))
    assert isinstance(step, AwaitToolOutputs)
    assert [call["id"] for call in step.required()["submit_tool_outputs"]["tool_calls"]] == ["call_0", "call_3"]
    assert [output(step, place) is None for place in range(4)] == [True, False, False, True]


def test_an_answer_that_was_cut_ends_the_run() -> None:
    assert after(reason="length") == Stop("max_completion_tokens")
    assert after(("f", '{"a'), reason="length") == Stop("max_completion_tokens")
    assert after(reason="content_filter") == Stop(error=FILTERED)


def test_built_in_calls_come_before_the_clients() -> None:
    step = after(("f", "{}"), ("code_interpreter", '{"code": "1+1"}'), tools=[*TOOLS, *BUILT_IN])
    assert isinstance(step, UseTools)
    assert step.calls[1] == {
        "id": "call_1",
        "type": "code_interpreter",
        "code_interpreter": {"input": "1+1", "outputs": []},
        "arguments": '{"code": "1+1"}',
        "output": None,
    }


def test_a_search_shows_its_ranking_options_before_it_has_results() -> None:
    ranking = {"ranker": "auto", "score_threshold": 0.5, "hybrid_search": None}
    tools = [{"type": "file_search", "file_search": {"ranking_options": ranking}}]
    step = after(("file_search", '{"query": "cake"}'), tools=tools)
    details = {"ranking_options": {"ranker": "auto", "score_threshold": 0.5}, "results": []}
    assert step.calls[0]["file_search"] == details


def test_a_tool_that_the_run_has_not_is_told_to_the_model() -> None:
    step = after(("code_interpreter", '{"code": "1"}'))
    assert isinstance(step, CallModelAgain)
    assert output(step) == "Error: there is no tool named 'code_interpreter'. There are: f, get_weather."


def test_once_the_built_in_calls_are_answered_the_client_is_asked() -> None:
    calls = after(("f", "{}"), ("code_interpreter", "{}"), tools=[*TOOLS, *BUILT_IN]).calls
    answered = [calls[0], {**calls[1], "output": "2"}]
    step = after_calls(answered)
    assert isinstance(step, AwaitToolOutputs)
    assert [call["id"] for call in step.required()["submit_tool_outputs"]["tool_calls"]] == ["call_0"]
    assert isinstance(after_calls(answered[1:]), CallModelAgain)
