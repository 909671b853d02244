"""How runs, threads and messages come to be from what was given and what was left out."""

from typing import Any

import pytest
from tests.engine.house import House
from tests.storage.builders import NOW, PROJECT, assistant, thread

from understudy.engine.creation import add_messages, merged_resources, new_run, stored_resources
from understudy.errors import InvalidRequest
from understudy.protocol.messages import CreateMessage
from understudy.protocol.runs import CreateRun
from understudy.protocol.threads import CreateThread
from understudy.protocol.tools import ToolResourcesParam
from understudy.storage.assistants import AssistantRecord
from understudy.storage.runs import RunRecord

NAMED: Any = {"type": "function", "function": {"name": "f", "parameters": {}, "strict": False}}
ADA = assistant(
    model="gpt-4o",
    instructions="Be kind.",
    tools=[NAMED],
    temperature=0.7,
    top_p=0.8,
    reasoning_effort="low",
    response_format={"type": "text"},
    metadata={"a": "1"},
)


def made(of: AssistantRecord = ADA, **request: Any) -> RunRecord:
    given = CreateRun.model_validate({"assistant_id": of.id} | request)
    return new_run(given, of, thread(), PROJECT, NOW, 600)


def test_what_was_left_out_comes_from_the_assistant() -> None:
    run = made()
    assert (run.model, run.instructions, run.tools) == ("gpt-4o", "Be kind.", [NAMED])
    assert (run.temperature, run.top_p, run.reasoning_effort) == (0.7, 0.8, "low")
    assert (run.response_format, run.metadata, run.expires_at) == ({"type": "text"}, {}, NOW + 600)


def test_what_was_given_wins_be_it_zero_or_empty() -> None:
    run = made(model="m", instructions="", tools=[], temperature=0, top_p=0, response_format="auto")
    assert (run.model, run.instructions, run.tools) == ("m", "", [])
    assert (run.temperature, run.top_p, run.response_format) == (0.0, 0.0, "auto")


def test_what_nobody_ever_set_stays_unset() -> None:
    run = made(assistant())
    unset = (run.temperature, run.top_p, run.response_format, run.tool_choice, run.parallel_tool_calls)
    assert unset == (None, None, None, None, None)


@pytest.mark.parametrize(
    ("instructions", "additional", "both"),
    [
        (None, "More.", "Be kind.\nMore."),
        ("New.", "More.", "New.\nMore."),
        ("", "More.", "More."),
        ("New.", "", "New."),
    ],
)
def test_additional_instructions_come_after(instructions: str | None, additional: str, both: str) -> None:
    assert made(instructions=instructions, additional_instructions=additional).instructions == both


def test_truncation_is_echoed_in_full() -> None:
    assert made().truncation_strategy == {"type": "auto", "last_messages": None}
    assert made(truncation_strategy={"type": "auto", "last_messages": 3}).truncation_strategy["last_messages"] is None
    last: Any = {"type": "last_messages", "last_messages": 3}
    assert made(truncation_strategy=last).truncation_strategy == last
    with pytest.raises(InvalidRequest, match=r"Missing required parameter: 'truncation_strategy.last_messages'"):
        made(truncation_strategy={"type": "last_messages"})


CHOICES = [
    {"type": "function", "function": {"name": "g"}},
    {"type": "file_search"},
    {"type": "file_search", "function": {"name": "f"}},
    {"type": "code_interpreter"},
]


@pytest.mark.parametrize("choice", CHOICES)
def test_a_choice_of_a_tool_that_is_not_there_is_refused(choice: Any) -> None:
    called_so: Any = {"type": "function", "function": {"name": "code_interpreter"}}
    with pytest.raises(InvalidRequest) as refused:
        made(tool_choice=choice, tools=[NAMED, called_so])
    assert refused.value.param == "tool_choice"


def test_a_tool_must_be_there_to_be_required() -> None:
    assert made(tool_choice="required").tool_choice == "required"
    with pytest.raises(InvalidRequest):
        made(tool_choice="required", tools=[])


KEPT = [
    {"type": "function", "function": {"name": "f"}},
    {"type": "file_search"},
    {"type": "file_search", "function": {"name": "of no account"}},
]


@pytest.mark.parametrize("choice", KEPT)
def test_a_named_choice_is_kept(choice: Any) -> None:
    assert made(tool_choice=choice, tools=[NAMED, {"type": "file_search"}]).tool_choice == choice


def resources(**given: Any) -> ToolResourcesParam:
    return ToolResourcesParam.model_validate(given)


def test_each_tool_that_is_on_shows_its_list() -> None:
    assert stored_resources(None) == {}
    assert stored_resources(None, [{"type": "code_interpreter"}]) == {"code_interpreter": {"file_ids": []}}
    assert stored_resources(None, [{"type": "file_search"}]) == {"file_search": {"vector_store_ids": []}}
    assert stored_resources(resources(file_search={}), [NAMED]) == {"file_search": {"vector_store_ids": []}}


def test_resources_given_at_the_top_win() -> None:
    inner = CreateThread(tool_resources=resources(code_interpreter={}))
    merged = merged_resources(inner, resources(file_search={}))
    assert stored_resources(merged) == {"code_interpreter": {"file_ids": []}, "file_search": {"vector_store_ids": []}}
    assert merged_resources(None, None) is None


async def test_new_messages_are_whole(house: House) -> None:
    thread_id = await house.thread()
    said = CreateMessage.model_validate({"role": "assistant", "content": "hi", "metadata": {"a": "1"}})
    [message] = await house.store.write(
        lambda connection: add_messages(connection, PROJECT, thread_id, [said], NOW + 0.9, todo=[])
    )
    assert await house.messages(thread_id) == [message]
    assert (message.role, message.status, message.created_at, message.completed_at) == (
        "assistant",
        "completed",
        NOW,
        NOW,
    )
    assert (message.run_id, message.assistant_id, message.attachments, message.metadata) == (None, None, [], {"a": "1"})
