"""What is answered: keys and their order are the recorded ones (surface.md, section 6)."""

import json
from typing import Any

import pytest
from tests.storage.builders import assistant, message, run, step, thread

from understudy.protocol.base import Deleted, page_of
from understudy.protocol.events import (
    RUN_ENDS,
    STREAM_ENDS,
    arguments_delta,
    call_delta,
    event,
    refusal_delta,
    text_delta,
)
from understudy.protocol.runs import FINAL, add_usage, usage

KEYS = {
    "assistant": "id object created_at name description model instructions tools top_p temperature reasoning_effort "
    "tool_resources metadata response_format",
    "thread": "id object created_at metadata tool_resources",
    "run": "id object created_at assistant_id thread_id status started_at expires_at cancelled_at failed_at "
    "completed_at required_action last_error model instructions tools tool_resources metadata temperature top_p "
    "reasoning_effort max_completion_tokens max_prompt_tokens truncation_strategy incomplete_details usage "
    "response_format tool_choice parallel_tool_calls",
    "message": "id object created_at assistant_id thread_id run_id status incomplete_details incomplete_at "
    "completed_at role content attachments metadata",
}
SHOWN: dict[str, Any] = {
    "assistant": assistant().shown(),
    "thread": thread(),
    "run": run().shown(),
    "message": message("thread_x"),
}


@pytest.mark.parametrize("noun", KEYS)
def test_keys_are_the_recorded_ones_in_their_order(noun: str) -> None:
    assert list(json.loads(SHOWN[noun].model_dump_json())) == KEYS[noun].split()


def test_a_step_shows_what_was_recorded_and_what_the_sdks_type_asks_for() -> None:
    shown = json.loads(step(run()).model_dump_json())
    assert {"expires_at", "expired_at", "metadata", "usage"} <= set(shown)
    assert shown["object"] == "thread.run.step"


def test_no_object_holds_a_key_that_the_sdks_take_for_an_error() -> None:
    assert all("error" not in json.loads(shown.model_dump_json()) for shown in SHOWN.values())


def test_what_was_never_set_is_shown_as_the_default() -> None:
    shown = run().shown()
    assert (shown.temperature, shown.top_p, shown.parallel_tool_calls) == (1.0, 1.0, True)
    assert (shown.response_format, shown.tool_choice) == ("auto", "auto")


def test_zero_and_false_are_shown_as_they_are() -> None:
    shown = run(temperature=0.0, top_p=0.0, parallel_tool_calls=False).shown()
    assert (shown.temperature, shown.top_p, shown.parallel_tool_calls) == (0.0, 0.0, False)
    assert '"temperature":0.0' in assistant(temperature=0.0).shown().model_dump_json()


def test_a_page_names_its_first_and_last() -> None:
    items = [thread(), thread(), thread()]
    page = page_of(items, has_more=True)
    assert (page.first_id, page.last_id, page.has_more) == (items[0].id, items[2].id, True)
    assert page_of([], has_more=False).model_dump() == {
        "object": "list",
        "data": [],
        "first_id": None,
        "last_id": None,
        "has_more": False,
    }


def test_a_deletion() -> None:
    shown = Deleted(id="thread_x", object="thread.deleted").model_dump()
    assert shown == {"id": "thread_x", "object": "thread.deleted", "deleted": True}


# --- events ------------------------------------------------------------------------------------------------------


def test_events_are_one_line_whatever_is_said() -> None:
    said = message("thread_x", "one\ntwo\r\nthree\u2028부산")
    for told in (event("thread.message.completed", said), text_delta("msg_x", 0, "a\nb\r\n부산", first=True)):
        assert "\n" not in told.data
        assert "\r" not in told.data
        assert json.loads(told.data)["id"]


def test_deltas_are_the_recorded_ones() -> None:
    text = {"index": 0, "type": "text", "text": {"value": "a", "annotations": []}}
    assert _body(text_delta("msg_x", 0, "a", first=True)) == _message_delta(text)
    assert _body(text_delta("msg_x", 0, "b", first=False)) == _message_delta(text | {"text": {"value": "b"}})
    refusal = {"index": 1, "type": "refusal", "refusal": "No."}
    assert _body(refusal_delta("msg_x", 1, "No.")) == _message_delta(refusal)
    function = {"name": "f", "arguments": "", "output": None}
    opening = {"index": 2, "id": "call_x", "type": "function", "function": function}
    assert _body(call_delta("step_x", 2, "call_x", "f")) == _step_delta(opening)
    more = {"index": 2, "type": "function", "function": {"arguments": "{}"}}
    assert _body(arguments_delta("step_x", 2, "{}")) == _step_delta(more)


def _body(told: Any) -> Any:
    return json.loads(told.data)


def _message_delta(part: dict[str, Any]) -> dict[str, Any]:
    return {"id": "msg_x", "object": "thread.message.delta", "delta": {"content": [part]}}


def _step_delta(call: dict[str, Any]) -> dict[str, Any]:
    delta = {"step_details": {"type": "tool_calls", "tool_calls": [call]}}
    return {"id": "step_x", "object": "thread.run.step.delta", "delta": delta}


def test_streams_end_where_runs_do_and_where_they_wait() -> None:
    assert {f"thread.run.{status}" for status in FINAL} == RUN_ENDS
    assert {"thread.run.requires_action"} == STREAM_ENDS - RUN_ENDS


def test_usages_add_up() -> None:
    assert usage() == {
        "prompt_tokens": 0,
        "completion_tokens": 0,
        "total_tokens": 0,
        "prompt_token_details": {"cached_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 0},
    }
    assert add_usage(usage(1, 2, 3, 4), usage(10, 20, 30, 40)) == usage(11, 22, 33, 44)
