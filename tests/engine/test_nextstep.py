"""What comes next after a model's answer."""

from typing import Any

import pytest
from tests.storage.builders import run

from understudy.engine.assemble import CallDraft, Draft
from understudy.engine.nextstep import FILTERED, AwaitToolOutputs, CallModelAgain, Finish, Stop, next_step

FUNCTIONS = frozenset({"f", "get_weather"})


def after(*calls: tuple[str, str], reason: Any = "stop") -> Any:
    drafts = tuple(CallDraft(f"call_{place}", *written) for place, written in enumerate(calls))
    return next_step(Draft(run(), calls=drafts, reason=reason), FUNCTIONS)


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
