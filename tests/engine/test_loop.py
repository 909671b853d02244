"""A run from its start to its rest, with a real store and bus and a scripted model."""

import asyncio
from typing import Any

import pytest
from tests.engine.house import HAPPY_PATH, SOON_S, House, bodies, function, names, open_calls, text
from tests.storage.builders import NOW

from understudy.engine import loop
from understudy.errors import UpstreamError
from understudy.inference.base import RefusalDelta, TextDelta, TokenUsage, ToolCallDelta
from understudy.protocol.runs import add_usage, usage
from understudy.storage import model_calls
from understudy.testing import USAGE, call, collect_events, say

BUSAN = {"city": "부산"}
CREATED_CALLS = ["thread.run.step.created", "thread.run.step.in_progress", "thread.run.step.delta"]


async def test_the_happy_path_is_the_recorded_one(house: House) -> None:
    house.model.turns = [say("Hello, I am well.")]
    house.work()
    assert names(await house.events(await house.start("How are you?"))) == HAPPY_PATH


async def test_the_happy_path_leaves_a_whole_thread(house: House) -> None:
    house.model.turns = [say("Hello there.")]
    house.work()
    run = await house.rest(await house.start("hi"))
    assert (run.status, run.completed_at, run.expires_at) == ("completed", NOW, None)
    assert run.usage == usage(10, 5)
    question, answer = await house.messages(run.thread_id)
    assert (text(question), text(answer)) == ("hi", "Hello there.")
    assert (answer.run_id, answer.assistant_id, answer.status) == (run.id, run.assistant_id, "completed")
    [step] = await house.steps(run.id)
    assert (step.status, step.usage, step.expires_at) == ("completed", usage(10, 5), None)


async def test_the_model_is_given_the_conversation(house: House) -> None:
    house.model.turns = [say("One."), say("Two.")]
    house.work()
    first = await house.rest(await house.start("a", temperature=0.0, model="gpt-4o"))
    await house.rest(await house.start_on(first.thread_id, additional_messages=[{"role": "user", "content": "b"}]))
    chat = [(message["role"], message["content"]) for message in house.model.requests[1].messages]
    assert chat == [("system", "Be kind."), ("user", "a"), ("assistant", "One."), ("user", "b")]
    assert (house.model.requests[0].temperature, house.model.requests[1].temperature) == (0.0, None)


async def test_a_function_call_waits_and_goes_on(house: House) -> None:
    house.model.turns = [call(get_weather=BUSAN), say("It rains in Busan.")]
    house.work()
    started = await house.start("weather?", tools=[function()])
    first = await house.events(started)
    assert names(first) == [*HAPPY_PATH[:3], *CREATED_CALLS, "thread.run.requires_action"]
    waiting = await house.run(started.run.id)
    [asked] = open_calls(waiting)
    assert asked["function"] == {"name": "get_weather", "arguments": '{"city": "부산"}'}
    house.clock.advance(30)
    second = await house.events(await house.submit(waiting, get_weather="rain"))
    assert names(second) == ["thread.run.step.completed", *HAPPY_PATH[1:]]
    [answered] = bodies(second, "thread.run.step.completed")[:1]
    assert answered["step_details"]["tool_calls"][0]["function"]["output"] == "rain"
    assert answered["usage"] == usage(10, 5)
    done = await house.run(started.run.id)
    assert (done.started_at, done.usage) == (NOW + 30, usage(20, 10))


async def test_the_step_of_a_waiting_run_is_open(house: House) -> None:
    house.model.turns = [call(get_weather=BUSAN)]
    house.work()
    waiting = await house.rest(await house.start(tools=[function()]))
    [step] = await house.steps(waiting.id)
    assert (step.status, step.usage, waiting.usage, waiting.worker) == ("in_progress", None, None, None)
    assert step.step_details["tool_calls"][0]["function"]["output"] is None


async def test_a_narration_and_calls_are_two_steps_with_one_usage(house: House) -> None:
    house.model.turns = [call(narration="Let me see.", get_weather=BUSAN), say("Rain.")]
    house.work()
    waiting = await house.rest(await house.start(tools=[function()]))
    done = await house.rest(await house.submit(waiting, get_weather="rain"))
    found = await house.steps(done.id)
    assert [step.type for step in found] == ["message_creation", "tool_calls", "message_creation"]
    assert [step.usage for step in found] == [usage(), usage(10, 5), usage(10, 5)]
    total = usage()
    for step in found:
        total = add_usage(total, step.usage or usage())
    assert done.usage == total
    assert await house.texts(done.thread_id) == ["hi", "Let me see.", "Rain."]
    assert house.model.requests[1].messages[2]["content"] == "Let me see."


async def test_tool_outputs_reach_the_model_in_a_thread_without_messages(house: House) -> None:
    house.model.turns = [call(get_weather=BUSAN), say("Rain.")]
    house.work()
    thread_id = (await house.conversations.create_thread("proj_default", None)).id
    waiting = await house.rest(await house.start_on(thread_id, tools=[function()]))
    await house.rest(await house.submit(waiting, get_weather="rain"))
    assert [message["role"] for message in house.model.requests[1].messages] == ["system", "assistant", "tool"]


async def test_what_was_said_meanwhile_leaves_tool_outputs_in_the_context_of_such_a_thread(house: House) -> None:
    house.model.turns = [call(get_weather=BUSAN), [TextDelta("Once more."), *call(get_weather=BUSAN)], say("Rain.")]
    house.work()
    thread_id = (await house.conversations.create_thread("proj_default", None)).id
    waiting = await house.rest(await house.start_on(thread_id, tools=[function()]))
    waiting = await house.rest(await house.submit(waiting, get_weather="rain"))
    await house.rest(await house.submit(waiting, get_weather="still rain"))
    said = [message["content"] for message in house.model.requests[2].messages if message["role"] == "tool"]
    assert said == ["rain", "still rain"]


async def test_what_tools_said_to_earlier_runs_stays_in_the_context(house: House) -> None:
    house.model.turns = [call(get_weather=BUSAN), say("Rain."), say("As I said.")]
    house.work()
    waiting = await house.rest(await house.start(tools=[function()]))
    done = await house.rest(await house.submit(waiting, get_weather="rain"))
    await house.rest(await house.start_on(done.thread_id))
    assert [message["content"] for message in house.model.requests[2].messages][2:4] == [None, "rain"]


async def test_two_identical_calls_are_answered_apart(house: House) -> None:
    twice = [ToolCallDelta(place, f"call_{place}", "get_weather", "{}") for place in range(2)]
    house.model.turns = [[*twice, *call()], say("Done.")]
    house.work()
    waiting = await house.rest(await house.start(tools=[function()]))
    assert [asked["id"] for asked in open_calls(waiting)] == ["call_0", "call_1"]
    await house.rest(await house.submit(waiting, get_weather="rain"))
    tools = [message for message in house.model.requests[1].messages if message["role"] == "tool"]
    assert [message["tool_call_id"] for message in tools] == ["call_0", "call_1"]


@pytest.mark.parametrize(
    "broken", [ToolCallDelta(0, None, "unknown", "{}"), ToolCallDelta(0, None, "get_weather", "{")]
)
async def test_a_call_that_nobody_can_answer_is_told_to_the_model(house: House, broken: ToolCallDelta) -> None:
    house.model.turns = [[broken, *call()], say("Sorry, here it is.")]
    house.work()
    events = await house.events(await house.start(tools=[function()]))
    assert names(events) == [*HAPPY_PATH[:3], *CREATED_CALLS, "thread.run.step.completed", *HAPPY_PATH[3:]]
    assert str(house.model.requests[1].messages[-1]["content"]).startswith("Error: ")


async def test_a_refusal_is_a_message(house: House) -> None:
    house.model.turns = [[RefusalDelta("No."), *say("")]]
    house.work()
    run = await house.rest(await house.start())
    assert (await house.messages(run.thread_id))[1].content == [{"type": "refusal", "refusal": "No."}]


async def test_an_answer_without_words_completes_the_run(house: House) -> None:
    house.model.turns = [say("")]
    house.work()
    run = await house.rest(await house.start())
    assert (run.status, run.usage) == ("completed", usage(10, 5))
    assert await house.texts(run.thread_id) == ["hi"]


# --- the model fails ---------------------------------------------------------------------------------------------


async def test_an_upstream_error_in_the_midst_of_an_answer(house: House) -> None:
    house.model.turns = [[TextDelta("Hel"), TextDelta("lo"), UpstreamError("No more.", "rate_limit_exceeded")]]
    house.work()
    started = await house.start()
    events = await house.events(started)
    ends = ["thread.message.incomplete", "thread.run.step.failed", "thread.run.failed"]
    assert names(events) == [*HAPPY_PATH[:8], *ends]
    [cut] = bodies(events, "thread.message.incomplete")
    assert cut["content"][0]["text"]["value"] == "Hello", "the SDKs look for every part that had a delta"
    assert cut["incomplete_details"] == {"reason": "run_failed"}
    run = await house.run(started.run.id)
    assert run.last_error == {"code": "rate_limit_exceeded", "message": "No more."}
    assert (run.status, run.failed_at, run.expires_at) == ("failed", NOW, None)


async def test_a_call_whose_name_and_id_nothing_can_hold_is_told_to_the_model(house: House) -> None:
    house.model.turns = [[ToolCallDelta(0, "call_\ud800", "f\ud83d", "[" * 5_000), *say("")], say("Sorry.")]
    house.work()
    run = await house.rest(await house.start(tools=[function()]))
    assert (run.status, run.last_error) == ("completed", None)
    [called, _] = await house.steps(run.id)
    [made] = called.step_details["tool_calls"]
    assert (made["id"], made["function"]["name"]) == ("call_\ufffd", "f\ufffd")


async def test_an_error_in_words_that_nothing_can_hold_is_told_at_once(house: House) -> None:
    house.model.turns = [[TextDelta("Half an"), UpstreamError("bad prompt: hel\0lo \ud83d", "invalid_prompt")]]
    house.work()
    run = await house.rest(await house.start())
    told = {"code": "invalid_prompt", "message": "bad prompt: hello \ufffd"}
    assert (run.status, run.tries, run.last_error) == ("failed", 1, told)
    assert [step.last_error for step in await house.steps(run.id)] == [told]


async def test_an_upstream_error_at_once(house: House) -> None:
    house.model.turns = [[UpstreamError("It is down.")]]
    house.work()
    started = await house.start()
    assert names(await house.events(started)) == [*HAPPY_PATH[:3], "thread.run.failed"]
    assert (await house.run(started.run.id)).last_error == {"code": "server_error", "message": "It is down."}


async def test_an_answer_that_ends_before_its_end(house: House) -> None:
    house.model.turns = [[TextDelta("Hel")]]
    house.work()
    run = await house.rest(await house.start())
    assert run.status == "failed"
    assert "before it was complete" in (run.last_error or {}).get("message", "")
    assert await house.texts(run.thread_id) == ["hi", "Hel"]


async def test_a_defect_fails_the_run_and_tells_nothing(house: House, caplog: pytest.LogCaptureFixture) -> None:
    house.model.turns = [[ZeroDivisionError("secret")]]  # type: ignore[list-item]
    house.work()
    run = await house.rest(await house.start())
    assert run.last_error == {"code": "server_error", "message": "Sorry, something went wrong."}
    assert "failed on a defect" in caplog.text


async def test_a_failed_run_frees_its_thread(house: House) -> None:
    house.model.turns = [[UpstreamError("It is down.")], say("Better now.")]
    house.work()
    failed = await house.rest(await house.start())
    assert (await house.rest(await house.start_on(failed.thread_id))).status == "completed"


async def test_a_tool_that_is_not_there_yet_fails_the_run_with_its_name(house: House) -> None:
    house.work()
    run = await house.rest(await house.start(tools=[{"type": "code_interpreter"}]))
    assert "'code_interpreter' is not available" in (run.last_error or {}).get("message", "")
    assert house.model.requests == []


# --- budgets -----------------------------------------------------------------------------------------------------


async def test_a_spent_answer_budget_leaves_the_run_incomplete(house: House) -> None:
    house.model.turns = [say("Once upon a", reason="length")]
    house.work()
    started = await house.start(max_completion_tokens=256)
    events = await house.events(started)
    ends = ["thread.message.incomplete", "thread.run.step.completed", "thread.run.incomplete"]
    assert names(events) == [*HAPPY_PATH[:8], *ends]
    run = await house.run(started.run.id)
    assert (run.incomplete_details, run.completed_at) == ({"reason": "max_completion_tokens"}, NOW)
    assert run.expires_at is None
    assert house.model.requests[0].max_tokens == 256


async def test_later_calls_get_what_is_left(house: House) -> None:
    house.model.turns = [call(usage=TokenUsage(100, 200), get_weather={}), say("ok")]
    house.work()
    waiting = await house.rest(await house.start(tools=[function()], max_completion_tokens=256))
    await house.rest(await house.submit(waiting, get_weather="rain"))
    assert [request.max_tokens for request in house.model.requests] == [256, 56]


@pytest.mark.parametrize("kind", ["completion", "prompt"])
async def test_a_budget_spent_between_calls_ends_the_run(house: House, kind: str) -> None:
    house.model.turns = [call(usage=TokenUsage(300, 300), get_weather={}), say("never")]
    house.work()
    waiting = await house.rest(await house.start(tools=[function()], **{f"max_{kind}_tokens": 256}))
    run = await house.rest(await house.submit(waiting, get_weather="rain"))
    assert (run.status, run.incomplete_details) == ("incomplete", {"reason": f"max_{kind}_tokens"})
    assert len(house.model.requests) == 1


async def test_a_cut_call_is_closed(house: House) -> None:
    house.model.turns = [[ToolCallDelta(0, None, "get_weather", '{"ci'), *say("", reason="length")]]
    house.work()
    started = await house.start(tools=[function()])
    events = await house.events(started)
    assert names(events)[-2:] == ["thread.run.step.failed", "thread.run.incomplete"]
    assert [step.status for step in await house.steps(started.run.id)] == ["failed"]


async def test_an_answer_stopped_by_a_filter_fails_the_run(house: House) -> None:
    house.model.turns = [say("Well", reason="content_filter")]
    house.work()
    run = await house.rest(await house.start())
    assert (run.status, (run.last_error or {})["code"]) == ("failed", "server_error")
    assert (await house.messages(run.thread_id))[1].incomplete_details == {"reason": "content_filter"}


async def test_a_loop_without_end_is_ended(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "MAX_MODEL_CALLS", 5)
    house.model.turns = [call(unknown={}) for _ in range(20)]
    house.work()
    run = await house.rest(await house.start(tools=[function()]))
    assert (run.status, run.last_error) == ("failed", loop.ENDLESS)
    assert len(house.model.requests) == 5


async def test_a_message_longer_than_the_window_fails_the_run(house: House) -> None:
    house.routes = type(house.routes)(house.model, context_window=100)
    house.work()
    run = await house.rest(await house.start("x" * 1000))
    assert (run.status, run.last_error) == ("failed", loop.TOO_LONG)


async def test_the_oldest_messages_make_room(house: House) -> None:
    house.routes = type(house.routes)(house.model, context_window=1000)
    house.model.turns = [say("ok")]
    house.work()
    run = await house.rest(await house.start(*["x" * 90] * 20, "the question"))
    assert run.status == "completed"
    contents = [message["content"] for message in house.model.requests[0].messages]
    assert (contents[0], contents[-1]) == ("Be kind.", "the question")
    assert 2 < len(contents) < 12


# --- what is written meanwhile -----------------------------------------------------------------------------------


async def test_text_is_saved_while_it_is_written(house: House) -> None:
    later, end = asyncio.Event(), asyncio.Event()
    house.model.turns = [[TextDelta("Hello"), later, TextDelta(" there"), end, *say("!")]]
    house.work()
    started = await house.start()
    stream = house.follow(started)
    async for live in stream:
        if live and live.event.name == "thread.message.delta":
            break
    await stream.aclose()
    house.clock.advance(loop.SAVE_EVERY_S)
    later.set()
    await _until_saved(house, started.run.thread_id)
    end.set()
    assert (await house.rest(started)).status == "completed"


async def _until_saved(house: House, thread_id: str) -> None:
    async with asyncio.timeout(SOON_S):
        while await house.texts(thread_id) == ["hi"]:  # noqa: ASYNC110  # a row changes without an event
            await asyncio.sleep(0)


async def test_every_call_of_the_model_is_recorded(house: House) -> None:
    house.model.turns = [call(get_weather={}), [TextDelta("Hm"), UpstreamError("It is down.")]]
    house.work()
    waiting = await house.rest(await house.start("hi", tools=[function()]))
    run = await house.rest(await house.submit(waiting, get_weather="rain"))
    [question, _] = await house.messages(run.thread_id)
    made: list[Any] = await house.store.read(lambda connection: model_calls.of_run(connection, run.id))
    assert [one.message_ids for one in made] == [[question.id], [question.id]]
    assert [one.usage for one in made] == [usage(USAGE.prompt_tokens, USAGE.completion_tokens), None]
    assert all(one.instructions == "Be kind." and one.first_token_at and one.finished_at for one in made)


async def test_the_names_of_events_can_be_collected(house: House) -> None:
    house.model.turns = [say("Hello there.")]
    house.work()
    assert await collect_events(house.follow(await house.start())) == HAPPY_PATH
