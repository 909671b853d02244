"""From a model's deltas to steps, messages and events, whatever way the model splits its answer."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.storage.builders import NOW, run

from understudy.engine.assemble import Draft, fold
from understudy.inference.base import Delta, Finished, FinishReason, RefusalDelta, TextDelta, TokenUsage, ToolCallDelta
from understudy.protocol.events import Event
from understudy.protocol.messages import Message
from understudy.protocol.runs import usage
from understudy.protocol.steps import RunStep

USED = TokenUsage(7, 5, 3, 2)
WITHOUT_NUL = st.characters(exclude_characters="\0", exclude_categories=["Cs"])  # it is left out of what a model says
DONE = Finished("stop", USED)


@dataclass
class Told:
    """All that a whole answer led to."""

    draft: Draft
    events: list[Event] = field(default_factory=list)
    new: list[Message | RunStep] = field(default_factory=list)
    ended: list[Message | RunStep] = field(default_factory=list)

    def names(self) -> list[str]:
        short = [event.name.removeprefix("thread.").removeprefix("run.") for event in self.events]
        return [name for place, name in enumerate(short) if not (place and name == short[place - 1])]

    def bodies(self, name: str) -> list[Any]:
        return [json.loads(event.data) for event in self.events if event.name == name]

    def messages(self) -> list[Message]:
        return [part for part in self.ended if isinstance(part, Message)]


def answer(*deltas: Delta) -> Told:
    told = Told(Draft(run(status="in_progress")))
    for delta in deltas:
        folded = fold(told.draft, delta, NOW)
        told.draft = folded.draft
        told.events += folded.events
        told.new += folded.new
        told.ended += folded.ended
    return told


def call(index: int, name: str | None, arguments: str = "", call_id: str | None = None) -> ToolCallDelta:
    return ToolCallDelta(index, call_id, name, arguments)


MESSAGE = ["step.created", "step.in_progress", "message.created", "message.in_progress", "message.delta"]
MESSAGE_END = ["message.completed", "step.completed"]
CALLS = ["step.created", "step.in_progress", "step.delta"]


# --- the order of events -----------------------------------------------------------------------------------------


def test_text_only() -> None:
    assert answer(TextDelta("Hel"), TextDelta("lo"), DONE).names() == MESSAGE + MESSAGE_END


def test_calls_only() -> None:
    assert answer(call(0, "f", "{}"), call(1, "g", "{}"), DONE).names() == CALLS


def test_narration_then_calls() -> None:
    told = answer(TextDelta("Let me see."), call(0, "f", "{}"), DONE)
    assert told.names() == MESSAGE + MESSAGE_END + CALLS


def test_text_after_calls() -> None:
    told = answer(call(0, "f", "{}"), TextDelta("Done."), DONE)
    assert told.names() == CALLS + MESSAGE + MESSAGE_END


def test_text_on_both_sides_of_a_call_makes_two_messages() -> None:
    told = answer(TextDelta("One."), call(0, "f", "{}"), TextDelta("Two."), DONE)
    assert told.names() == MESSAGE + MESSAGE_END + CALLS + MESSAGE + MESSAGE_END
    assert [message.content[0]["text"]["value"] for message in told.messages()] == ["One.", "Two."]


def test_a_refusal() -> None:
    told = answer(RefusalDelta("I can"), RefusalDelta("not."), DONE)
    assert told.names() == MESSAGE + MESSAGE_END
    assert told.messages()[0].content == [{"type": "refusal", "refusal": "I cannot."}]
    assert [body["delta"]["content"][0]["index"] for body in told.bodies("thread.message.delta")] == [0, 0]


def test_a_refusal_after_text_is_a_part_of_its_own() -> None:
    told = answer(TextDelta("Well."), RefusalDelta("No."), DONE)
    assert [part["type"] for part in told.messages()[0].content] == ["text", "refusal"]
    parts = [body["delta"]["content"][0] for body in told.bodies("thread.message.delta")]
    assert [(part["index"], part["type"]) for part in parts] == [(0, "text"), (1, "refusal")]


def test_an_empty_answer_makes_nothing() -> None:
    told = answer(TextDelta(""), RefusalDelta(""), DONE)
    assert (told.events, told.new, told.ended) == ([], [], [])


@pytest.mark.parametrize(("reason", "why"), [("length", "max_tokens"), ("content_filter", "content_filter")])
def test_a_cut_answer(reason: FinishReason, why: str) -> None:
    told = answer(TextDelta("Hel"), Finished(reason, USED))
    assert told.names() == [*MESSAGE, "message.incomplete", "step.completed"]
    assert told.messages()[0].incomplete_details == {"reason": why}


# --- what the objects hold ---------------------------------------------------------------------------------------


def test_a_message_is_created_empty_before_its_first_delta() -> None:
    told = answer(TextDelta("Hi"), DONE)
    [created] = told.bodies("thread.message.created")
    assert (created["content"], created["status"], created["role"]) == ([], "in_progress", "assistant")
    [step] = told.bodies("thread.run.step.created")
    assert step["step_details"] == {"type": "message_creation", "message_creation": {"message_id": created["id"]}}


def test_only_the_first_delta_of_a_text_has_annotations() -> None:
    told = answer(TextDelta("a"), TextDelta("b"), TextDelta("c"), DONE)
    texts = [body["delta"]["content"][0]["text"] for body in told.bodies("thread.message.delta")]
    assert texts == [{"value": "a", "annotations": []}, {"value": "b"}, {"value": "c"}]


def test_a_call_opens_with_its_name_and_no_arguments() -> None:
    told = answer(call(0, "f", call_id="call_1"), call(0, None, '{"a":'), call(0, None, "1}"), DONE)
    [created] = told.bodies("thread.run.step.created")
    assert created["step_details"] == {"type": "tool_calls", "tool_calls": []}
    calls = [body["delta"]["step_details"]["tool_calls"][0] for body in told.bodies("thread.run.step.delta")]
    opening = {"name": "f", "arguments": "", "output": None}
    assert calls == [
        {"index": 0, "id": "call_1", "type": "function", "function": opening},
        {"index": 0, "type": "function", "function": {"arguments": '{"a":'}},
        {"index": 0, "type": "function", "function": {"arguments": "1}"}},
    ]


def test_a_name_that_comes_late_keeps_the_arguments_before_it() -> None:
    told = answer(call(0, None, '{"a"'), call(0, None, ": 1"), call(0, "f", "}"), DONE)
    assert (told.draft.calls[0].name, told.draft.calls[0].arguments) == ("f", '{"a": 1}')
    calls = [body["delta"]["step_details"]["tool_calls"][0] for body in told.bodies("thread.run.step.delta")]
    assert [one["function"].get("name") for one in calls] == ["f", None]
    assert "".join(one["function"]["arguments"] for one in calls) == '{"a": 1}'


@pytest.mark.parametrize("fragments", [[], [""], [" "], ["", "\n", " "]])
def test_a_call_without_arguments_has_an_empty_object(fragments: list[str]) -> None:
    told = answer(call(0, "f"), *[call(0, None, fragment) for fragment in fragments], DONE)
    shown = [one["function"]["arguments"] for one in _call_deltas(told)]
    assert shown == ["", "{}"]  # recorded
    assert told.draft.calls[0].arguments == "{}"


def test_a_call_is_whole_before_another_one_begins() -> None:
    told = answer(call(0, "f"), call(1, "g", '{"a":'), call(1, None, "1}"), DONE)
    shown = [(one["index"], one["function"]["arguments"]) for one in _call_deltas(told)]
    assert shown == [(0, ""), (0, "{}"), (1, ""), (1, '{"a":1}')]


def test_arguments_may_come_after_the_next_call_has_begun() -> None:
    told = answer(call(0, "f"), call(1, "g"), call(0, None, '{"a":1}'), call(1, None, '{"b":2}'), DONE)
    shown = [(one["index"], one["function"]["arguments"]) for one in _call_deltas(told)]
    assert shown == [(0, ""), (0, '{"a":1}'), (1, ""), (1, '{"b":2}')]
    assert [one.arguments for one in told.draft.calls] == ['{"a":1}', '{"b":2}']


def test_blanks_before_the_arguments_are_told_with_them() -> None:
    told = answer(call(0, "f", " "), call(0, None, ' {"a":1}'), DONE)
    assert "".join(one["function"]["arguments"] for one in _call_deltas(told)) == told.draft.calls[0].arguments


def test_text_after_a_call_without_arguments() -> None:
    told = answer(call(0, "f"), TextDelta("Done."), DONE)
    assert told.names() == CALLS + MESSAGE + ["step.delta", *MESSAGE_END]
    assert "".join(arguments for _, arguments in _collected_calls(told)) == "{}"


def test_a_call_that_was_cut_off_is_given_no_arguments() -> None:
    told = answer(call(0, "f"), Finished("length", USED))
    assert [one["function"]["arguments"] for one in _call_deltas(told)] == [""]


def test_a_name_that_is_repeated_is_told_once() -> None:
    told = answer(call(0, "f", "{"), call(0, "f", "}"), DONE)
    assert (told.draft.calls[0].name, told.draft.calls[0].arguments) == ("f", "{}")
    named = [body for body in told.bodies("thread.run.step.delta") if "name" in str(body)]
    assert len(named) == 1


def test_identical_calls_are_kept_apart() -> None:
    told = answer(call(0, "f", "{}"), call(1, "f", "{}"), DONE)
    one, other = told.draft.calls
    assert (one.name, one.arguments) == (other.name, other.arguments)
    assert one.id != other.id


def test_calls_with_one_id_get_two() -> None:
    told = answer(call(0, "f", "{}", "call_0"), call(1, "f", "{}", "call_0"), DONE)
    one, other = told.draft.calls
    assert one.id == "call_0"
    assert other.id != "call_0"


def test_places_are_counted_from_zero_whatever_the_upstream_counts_from() -> None:
    told = answer(call(5, "f", "{}"), call(9, "g", "{}"), call(5, None, " "), DONE)
    calls = [body["delta"]["step_details"]["tool_calls"][0] for body in told.bodies("thread.run.step.delta")]
    assert [one["index"] for one in calls] == [0, 0, 1, 1, 0]


def test_usage_stands_on_the_last_step_and_zeros_before_it() -> None:
    told = answer(TextDelta("Let me see."), call(0, "f", "{}"), DONE)
    [narration] = [part for part in told.ended if isinstance(part, RunStep)]
    assert narration.usage == usage()
    assert told.draft.used == usage(7, 5, 3, 2)
    [only] = [part for part in answer(TextDelta("Hi"), DONE).ended if isinstance(part, RunStep)]
    assert only.usage == usage(7, 5, 3, 2)


def test_the_text_so_far_can_be_written_at_any_time() -> None:
    assert Draft(run()).written() is None
    written = answer(TextDelta("Hel"), TextDelta("lo")).draft.written()
    assert written is not None
    assert written.content == [{"type": "text", "text": {"value": "Hello", "annotations": []}}]


def test_what_nothing_can_hold_is_kept_out() -> None:
    told = answer(
        TextDelta("a\0b"), TextDelta("\ud83d"), RefusalDelta("\udc00!"), call(0, "f", '{"\0\ud83d": 1}'), DONE
    )
    text, refusal = told.messages()[0].content
    assert (text["text"]["value"], refusal["refusal"]) == ("ab\ufffd", "\ufffd!")
    assert [one.arguments for one in told.draft.calls] == ['{"\ufffd": 1}']


def test_names_and_ids_of_calls_can_be_held() -> None:
    told = answer(call(0, "f\ud800\0", "{}", "call_\ud83d\0"), call(1, "g", "{}", "\0"), DONE)
    assert [one.name for one in told.draft.calls] == ["f\ufffd", "g"]
    first, second = [one.id for one in told.draft.calls]
    assert first == "call_\ufffd"
    assert second.startswith("call_")
    assert json.dumps([event.data for event in told.events], ensure_ascii=False).encode()


# --- any way of splitting it -------------------------------------------------------------------------------------


@st.composite
def split(draw: st.DrawFn, text: str) -> list[str]:
    cuts = sorted(draw(st.lists(st.integers(0, len(text)), max_size=6)))
    return [text[start:end] for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True)]


@st.composite
def answers(draw: st.DrawFn) -> tuple[str, list[tuple[str, str]], list[Delta]]:
    """A narration, calls, and some way in which a model streams them."""
    narration = draw(st.text(WITHOUT_NUL, max_size=30))
    calls = draw(
        st.lists(st.tuples(st.sampled_from(["f", "get_weather"]), st.text(WITHOUT_NUL, max_size=20)), max_size=3)
    )
    lanes: list[list[Delta]] = []
    for index, (name, arguments) in enumerate(calls):
        pieces = draw(split(arguments))
        named = draw(st.integers(0, len(pieces) - 1))
        lanes.append([call(index, name if at == named else None, piece) for at, piece in enumerate(pieces)])
    mixed: list[Delta] = []
    while any(lanes):
        lane = draw(st.sampled_from([lane for lane in lanes if lane]))
        mixed.append(lane.pop(0))
    return narration, calls, [*map(TextDelta, draw(split(narration))), *mixed, DONE]


@given(answers())
def test_the_same_content_comes_out(made: tuple[str, list[tuple[str, str]], list[Delta]]) -> None:
    narration, calls, deltas = made
    told = answer(*deltas)
    assert "".join(part["text"]["value"] for message in told.messages() for part in message.content) == narration
    whole = [(name, arguments if arguments.strip() else "{}") for name, arguments in calls]
    assert sorted((one.name, one.arguments) for one in told.draft.calls) == sorted(whole)
    assert _collected_text(told) == narration
    assert sorted(_collected_calls(told)) == sorted(whole)


@given(answers())
def test_everything_is_created_before_its_deltas_and_ended_once(
    made: tuple[str, list[tuple[str, str]], list[Delta]],
) -> None:
    told = answer(*made[2])
    open_ids: set[str] = set()
    for event in told.events:
        body = json.loads(event.data)
        if event.name.endswith(".created"):
            assert body["id"] not in open_ids
            open_ids.add(body["id"])
        else:
            assert body["id"] in open_ids
        if event.name.endswith(".completed"):
            open_ids.remove(body["id"])
    assert {part.id for part in told.new} >= {part.id for part in told.ended}
    assert open_ids == ({told.draft.calls_step.id} if told.draft.calls_step else set())


def _collected_text(told: Told) -> str:
    return "".join(body["delta"]["content"][0]["text"]["value"] for body in told.bodies("thread.message.delta"))


def _call_deltas(told: Told) -> list[Any]:
    return [body["delta"]["step_details"]["tool_calls"][0] for body in told.bodies("thread.run.step.delta")]


def _collected_calls(told: Told) -> Sequence[tuple[str, str]]:
    """Put the deltas of calls together as the SDKs do."""
    found: dict[int, list[str]] = {}
    for body in told.bodies("thread.run.step.delta"):
        [one] = body["delta"]["step_details"]["tool_calls"]
        into = found.setdefault(one["index"], ["", ""])
        into[0] += one["function"].get("name", "")
        into[1] += one["function"]["arguments"]
    return [(name, arguments) for name, arguments in found.values()]
