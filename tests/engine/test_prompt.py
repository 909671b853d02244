"""From a thread to what a model is given."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.engine.house import count_characters, function
from tests.storage.builders import PROJECT, message, run, step

from understudy.engine.prompt import DoesNotFit, Placed, Prompt, Sizes, build, fit, merge, spec, within_strategy
from understudy.inference.base import CompletionRequest
from understudy.protocol.messages import Message
from understudy.storage.messages import Said
from understudy.storage.runs import RunRecord

RUN = run("thread_x", id="run_now")


def made(given_run: RunRecord = RUN, history: Sequence[Placed] = (), **options: Any) -> CompletionRequest:
    specs = [spec(tool) for tool in given_run.tools if tool["type"] == "function"]
    defaults: dict[str, Any] = {"model": "m", "tools": specs, "first_call": True, "budget": None}
    return build(given_run, history, **(defaults | options)).request


def told(one: Message) -> Said:
    return Said(one.id, one.run_id, one.role, one.content)


def said(text: str, by: RunRecord | None = None) -> Said:
    role = "user" if by is None else "assistant"
    return told(message("thread_x", text, role=role, run_id=by.id if by else None))


def called(by: RunRecord, *calls: tuple[str, str, str | None]) -> Any:
    listed = [
        {"id": f"call_{name}", "type": "function", "function": {"name": name, "arguments": arguments, "output": output}}
        for name, arguments, output in calls
    ]
    return step(by, status="completed", step_details={"type": "tool_calls", "tool_calls": listed})


def placed(*items: Any) -> list[Placed]:
    return list(enumerate(items))


# --- the conversation --------------------------------------------------------------------------------------------


def test_instructions_come_first_and_texts_are_strings() -> None:
    request = made(run(instructions="Be kind."), placed(said("hi"), said("hello", RUN), said("bye")))
    assert request.messages == [
        {"role": "system", "content": "Be kind."},
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": "hello"},
        {"role": "user", "content": "bye"},
    ]


@pytest.mark.parametrize("instructions", [None, ""])
def test_no_instructions_make_no_system_message(instructions: str | None) -> None:
    assert made(run(instructions=instructions), placed(said("hi"))).messages == [{"role": "user", "content": "hi"}]


def test_messages_and_calls_are_merged_in_their_order() -> None:
    merged = merge([(1, said("a")), (4, said("b"))], [(3, called(RUN)), (7, called(RUN))])
    assert [place for place, _ in merged] == [1, 3, 4, 7]


def test_a_narration_and_its_calls_are_one_message() -> None:
    history = placed(said("weather?"), said("Let me see.", RUN), called(RUN, ("f", '{"a":1}', "sunny")))
    assert made(RUN, history).messages[1:] == [
        {
            "role": "assistant",
            "content": "Let me see.",
            "tool_calls": [{"id": "call_f", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}}],
        },
        {"role": "tool", "tool_call_id": "call_f", "content": "sunny"},
    ]


def test_calls_without_narration_have_no_content() -> None:
    chat = made(RUN, placed(said("weather?"), called(RUN, ("f", "{}", "sunny"), ("g", "{}", None)))).messages
    assert chat[1]["content"] is None
    assert [item.get("content") for item in chat[2:]] == ["sunny", ""]
    assert [item["tool_call_id"] for item in chat[2:]] == ["call_f", "call_g"]


def test_a_narration_of_another_run_is_not_taken() -> None:
    before = run(id="run_before")
    chat = made(RUN, placed(said("answer", before), called(RUN, ("f", "{}", "1")))).messages
    assert [item["content"] for item in chat] == ["answer", None, "1"]


def test_what_a_user_wrote_in_the_assistants_name_is_not_taken() -> None:
    history = placed(told(message("thread_x", "as you said", role="assistant")), called(RUN, ("f", "{}", "1")))
    assert [item["content"] for item in made(RUN, history).messages] == ["as you said", None, "1"]


def test_a_narration_is_taken_once() -> None:
    history = placed(said("Let me.", RUN), called(RUN, ("f", "{}", "1")), called(RUN, ("g", "{}", "2")))
    chat = made(RUN, history).messages
    assert [item["content"] for item in chat] == ["Let me.", "1", None, "2"]


def test_images_go_as_parts() -> None:
    parts: list[Any] = [
        {"type": "text", "text": {"value": "what is this?", "annotations": []}},
        {"type": "image_url", "image_url": {"url": "https://x/y.png", "detail": "low"}},
        {"type": "image_file", "image_file": {"file_id": "file-1", "detail": "auto"}},
        {"type": "refusal", "refusal": "No."},
    ]
    [only] = made(RUN, placed(told(message("thread_x", content=parts)))).messages
    assert only["content"] == [
        {"type": "text", "text": "what is this?"},
        {"type": "image_url", "image_url": {"url": "https://x/y.png", "detail": "low"}},
        {"type": "image_file", "image_file": {"project": PROJECT, "file_id": "file-1", "detail": "auto"}},
        {"type": "text", "text": "No."},
    ]


def test_what_the_assistant_showed_is_told_in_words() -> None:
    """Chat completions know no pictures in an assistant's mouth."""
    parts: list[Any] = [{"type": "image_file", "image_file": {"file_id": "file-1", "detail": "auto"}}]
    [only] = made(RUN, placed(told(message("thread_x", role="assistant", content=parts)))).messages
    assert only["content"] == [{"type": "text", "text": "[image file-1]"}]


def test_texts_and_refusals_stay_a_string() -> None:
    parts: list[Any] = [
        {"type": "text", "text": {"value": "a", "annotations": []}},
        {"type": "refusal", "refusal": "b"},
    ]
    assert made(RUN, placed(told(message("thread_x", content=parts)))).messages[0]["content"] == "a\nb"


def test_the_messages_it_was_made_of_are_named() -> None:
    first, second = said("a"), said("b")
    prompt = build(RUN, placed(first, called(RUN), second), model="m", tools=[], first_call=True, budget=None)
    assert prompt.message_ids == [first.id, second.id]


# --- settings ----------------------------------------------------------------------------------------------------


def test_what_was_never_set_is_not_sent() -> None:
    assert made() == CompletionRequest(model="m", messages=[], tools=[])


def test_zero_is_not_unset() -> None:
    request = made(run(temperature=0.0, top_p=0.0, parallel_tool_calls=False, tools=[function()]))
    assert (request.temperature, request.top_p, request.parallel_tool_calls) == (0.0, 0.0, False)


def test_what_was_set_is_sent() -> None:
    json_object: Any = {"type": "json_object"}
    request = made(run(response_format=json_object, reasoning_effort="low"), budget=77)
    assert (request.response_format, request.reasoning_effort, request.max_tokens) == (json_object, "low", 77)


def test_auto_is_the_default_and_not_sent() -> None:
    assert made(run(response_format="auto")).response_format is None


def test_tools_are_told_of_as_they_were_given() -> None:
    [spec] = made(run(tools=[function("f", description="Does f.", strict=True)])).tools
    assert (spec.name, spec.description, spec.strict) == ("f", "Does f.", True)
    [spec] = made(run(tools=[function("f")])).tools
    assert (spec.description, spec.strict) == (None, None)


def test_choices_without_tools_are_not_sent() -> None:
    request = made(run(tool_choice="none", parallel_tool_calls=True))
    assert (request.tool_choice, request.parallel_tool_calls) == (None, None)


@pytest.mark.parametrize("choice", ["required", {"type": "function", "function": {"name": "get_weather"}}])
def test_a_tool_is_forced_once(choice: Any) -> None:
    forced = run(tools=[function()], tool_choice=choice)
    assert made(forced, first_call=True).tool_choice == choice
    assert made(forced, first_call=False).tool_choice == "auto"


@pytest.mark.parametrize("choice", [None, "none", "auto"])
def test_other_choices_hold_for_the_whole_run(choice: Any) -> None:
    free = run(tools=[function()], tool_choice=choice)
    assert made(free, first_call=False).tool_choice == made(free, first_call=True).tool_choice == choice


# --- truncation --------------------------------------------------------------------------------------------------


def test_the_last_messages_are_those_of_others() -> None:
    last = run(id="run_now", truncation_strategy={"type": "last_messages", "last_messages": 2})
    history = [(place, said(str(place))) for place in range(5)] + [(5, said("mine", last)), (6, said("more", last))]
    assert [place for place, _ in within_strategy(last, history)] == [3, 4, 5, 6]


def test_auto_keeps_all() -> None:
    history = [(place, said(str(place))) for place in range(5)]
    assert within_strategy(RUN, history) == history


def _fit(history: Sequence[Placed], limit: int, given_run: RunRecord = RUN) -> Prompt:
    make = partial(build, given_run, model="m", tools=[], first_call=True, budget=None)
    return fit(given_run, history, make, limit, Sizes(count_characters))


def test_what_fits_is_kept_whole() -> None:
    history = placed(*[said("x" * 10) for _ in range(9)])
    assert len(_fit(history, 90).request.messages) == 9


@given(sizes=st.lists(st.integers(1, 60), min_size=1, max_size=12), limit=st.integers(1, 300))
def test_the_oldest_goes_first_and_the_last_user_message_never(sizes: list[int], limit: int) -> None:
    history = placed(*[said("x" * size) for size in sizes])
    try:
        kept = _fit(history, limit).message_ids
    except DoesNotFit:
        assert sizes[-1] > limit
        return
    ids = [item.id for _, item in history]
    assert kept
    assert kept == ids[-len(kept) :]
    assert sum(sizes[-len(kept) :]) <= limit


def test_what_this_run_has_done_since_stays() -> None:
    history = placed(said("x" * 50), said("question"), said("narration", RUN), called(RUN, ("f", "{}", "sunny")))
    kept = _fit(history, 30).request.messages
    assert [item["content"] for item in kept] == ["question", "narration", "sunny"]
    with pytest.raises(DoesNotFit):
        _fit(history, 20)


def test_instructions_count_and_are_never_left_out() -> None:
    instructed = run("thread_x", instructions="i" * 50)
    kept = _fit(placed(said("x" * 50), said("hi")), 60, instructed).request.messages
    assert [item["content"] for item in kept] == ["i" * 50, "hi"]
    with pytest.raises(DoesNotFit):
        _fit(placed(said("hi")), 51, instructed)


def test_a_short_prompt_is_not_counted() -> None:
    def refuse(*_: Any) -> int:
        raise AssertionError("counted")

    make = partial(build, RUN, model="m", tools=[], first_call=True, budget=None)
    assert fit(RUN, placed(said("hi")), make, 1000, Sizes(refuse)).message_ids


def test_as_much_as_fits_is_kept() -> None:
    history = placed(*[said("x" * 10) for _ in range(9)])
    assert [len(_fit(history, limit).message_ids) for limit in (10, 39, 40, 89)] == [1, 3, 4, 8]


def test_what_was_said_is_counted_once() -> None:
    counted: list[str] = []

    def count(chat: Any, tools: Any) -> int:
        counted.extend(message["content"] for message in chat)
        return count_characters(chat, tools)

    make = partial(build, RUN, model="m", tools=[], first_call=True, budget=None)
    sizes, history = Sizes(count), placed(*[said(f"{number}" * 10) for number in range(9)])
    for known in (4, 6, 9):
        fit(RUN, history[:known], make, 35, sizes)
    assert sorted(counted) == [f"{number}" * 10 for number in range(9)]
