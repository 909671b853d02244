"""What is taken in: what is dropped, filled in, or echoed as it was."""

from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from understudy.protocol.assistants import CreateAssistant, ModifyAssistant
from understudy.protocol.messages import CreateMessage, stored_content
from understudy.protocol.runs import CreateRun, SubmitToolOutputs
from understudy.protocol.tools import ToolChoiceParam, ToolParam, ToolResourcesParam, as_given, echo

RANKING = {"ranker": "default_2024_08_21", "score_threshold": 0.0, "hybrid_search": None}
EMPTY = {"type": "object", "properties": {}}

ECHOES: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"type": "code_interpreter"}, {"type": "code_interpreter"}),
    ({"type": "file_search"}, {"type": "file_search", "file_search": {"ranking_options": RANKING}}),
    (
        {"type": "file_search", "file_search": {"max_num_results": 5}},
        {"type": "file_search", "file_search": {"max_num_results": 5, "ranking_options": RANKING}},
    ),
    (
        {"type": "function", "function": {"name": "f"}},
        {"type": "function", "function": {"name": "f", "parameters": EMPTY, "strict": False}},
    ),
    (
        {"type": "function", "function": {"name": "f", "description": "", "parameters": {}, "strict": True}},
        {"type": "function", "function": {"name": "f", "description": "", "parameters": {}, "strict": True}},
    ),
    (
        {"type": "function", "function": {"name": "f", "description": None, "colour": "red"}, "more": 1},
        {"type": "function", "function": {"name": "f", "parameters": EMPTY, "strict": False}},
    ),
]


@pytest.mark.parametrize(("given", "echoed"), ECHOES)
def test_a_tool_is_echoed_as_recorded(given: dict[str, Any], echoed: dict[str, Any]) -> None:
    assert echo(TypeAdapter[Any](ToolParam).validate_python(given)) == echoed


def test_a_content_of_text_is_one_part() -> None:
    assert stored_content("hi") == [{"type": "text", "text": {"value": "hi", "annotations": []}}]


def test_parts_are_stored_in_their_order() -> None:
    parts = [
        {"type": "text", "text": "a"},
        {"type": "image_url", "image_url": {"url": "https://x/y.png"}},
        {"type": "image_file", "image_file": {"file_id": "file-1", "detail": "low"}},
    ]
    given = CreateMessage.model_validate({"role": "user", "content": parts})
    assert stored_content(given.content) == [
        {"type": "text", "text": {"value": "a", "annotations": []}},
        {"type": "image_url", "image_url": {"url": "https://x/y.png", "detail": "auto"}},
        {"type": "image_file", "image_file": {"file_id": "file-1", "detail": "low"}},
    ]


def test_given_and_absent_are_told_apart() -> None:
    given = ModifyAssistant.model_validate({"name": None})
    assert given.given("name")
    assert not given.given("description")


@pytest.mark.parametrize("choice", ["auto", {"type": "function", "function": {"name": "f"}}, {"type": "file_search"}])
def test_a_choice_is_kept_as_it_was_given(choice: Any) -> None:
    assert as_given(TypeAdapter[Any](ToolChoiceParam).validate_python(choice)) == choice


def test_a_format_is_kept_as_it_was_given() -> None:
    json_schema = {"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "object"}}}
    given = CreateAssistant.model_validate({"model": "m", "response_format": json_schema})
    assert as_given(given.response_format) == json_schema


def test_resources_of_null_are_empty() -> None:
    given = ToolResourcesParam.model_validate({"code_interpreter": None, "file_search": None})
    assert given.code_interpreter is not None
    assert given.code_interpreter.file_ids == []


def test_whole_numbers_are_decimals_too() -> None:
    assert CreateAssistant.model_validate({"model": "m", "temperature": 1}).temperature == 1.0


def test_empty_lists_are_taken() -> None:
    given = CreateRun.model_validate({"assistant_id": "asst_x", "additional_messages": [], "tools": []})
    assert (given.additional_messages, given.tools) == ([], [])
    assert SubmitToolOutputs.model_validate({"tool_outputs": []}).tool_outputs == []


def test_an_output_may_be_left_out() -> None:
    given = SubmitToolOutputs.model_validate({"tool_outputs": [{"tool_call_id": "call_x"}]})
    assert given.tool_outputs[0].output == ""


@pytest.mark.parametrize(
    "metadata",
    [{str(key): "v" for key in range(16)}, {"k" * 64: "v" * 512}, {}, {"이름": "값"}],
)
def test_metadata_within_its_limits(metadata: dict[str, str]) -> None:
    assert CreateAssistant.model_validate({"model": "m", "metadata": metadata}).metadata == metadata


def test_a_message_of_the_greatest_length() -> None:
    assert CreateMessage(role="user", content="x" * 256_000).content
    with pytest.raises(ValidationError):
        CreateMessage(role="user", content="x" * 256_001)
