"""What is told of an object of which only the end was heard."""

import json
from typing import Any

import pytest
from tests.chaos.checker import illegal

from understudy.engine.retelling import all_before
from understudy.protocol.events import Event

TEXT = {"type": "text", "text": {"value": "부산은 맑아요.", "annotations": []}}
IMAGE = {"type": "image_file", "image_file": {"file_id": "file-1", "detail": "auto"}}
REFUSAL = {"type": "refusal", "refusal": "I cannot."}
MESSAGE = {
    "id": "msg_1",
    "object": "thread.message",
    "status": "completed",
    "incomplete_details": None,
    "completed_at": 12,
    "role": "assistant",
}


def told_before(name: str, ended: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    events = all_before(Event(name, json.dumps(ended)))
    return [(event.name, json.loads(event.data)) for event in events]


@pytest.mark.parametrize("content", [[TEXT], [IMAGE, TEXT], [REFUSAL], [TEXT, REFUSAL], []])
def test_a_message_is_told_part_by_part(content: list[dict[str, Any]]) -> None:
    created, *deltas = told_before("thread.message.completed", MESSAGE | {"content": content})
    begun = MESSAGE | {"status": "in_progress", "completed_at": None, "content": []}
    assert created == ("thread.message.created", begun)
    parts = [delta["delta"]["content"][0] for _, delta in deltas]
    assert [part["index"] for part in parts] == list(range(len(content))), "the SDK's handlers take them by their index"
    assert [part["type"] for part in parts] == [part["type"] for part in content]
    assert {name for name, _ in deltas} <= {"thread.message.delta"}


def test_text_is_told_whole() -> None:
    ended = MESSAGE | {"content": [IMAGE, TEXT]}
    run_end = ("thread.run.completed", {"id": "run_1"})
    told = [*told_before("thread.message.completed", ended), ("thread.message.completed", ended), run_end]
    assert illegal(told) == []


def test_a_step_of_calls_begins_without_them() -> None:
    details = {"type": "tool_calls", "tool_calls": [{"id": "call_1", "type": "function"}]}
    ended = {"id": "step_1", "status": "completed", "step_details": details, "usage": {"total_tokens": 3}}
    [(name, begun)] = told_before("thread.run.step.completed", ended)
    assert name == "thread.run.step.created"
    assert begun["step_details"] == {"type": "tool_calls", "tool_calls": []}
    assert (begun["status"], begun["usage"]) == ("in_progress", None)
