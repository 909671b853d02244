"""Built-in tools within a run: called, shown, read by the model, and found again by whoever takes the run over."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from tests.engine.house import SOON_S, House, bodies, function, names, open_calls, open_house, text
from tests.storage.builders import PROJECT

from understudy.engine.service import Started
from understudy.inference.base import CompletionRequest, Finished, ToolCallDelta
from understudy.protocol.annotations import mark
from understudy.protocol.runs import CreateRun
from understudy.testing import USAGE, ScriptedTool, call, say
from understudy.tools.base import ToolOutput

CODE = {"type": "code_interpreter"}
SEARCH = {"type": "file_search", "file_search": {}}
PLOT = "file-plot"
CSV = "sandbox:/mnt/data/x.csv"
LOGS = {"index": 0, "type": "logs", "logs": "2"}


def ran(code: str = "1+1", *outputs: Any, files: dict[str, str] | None = None) -> ToolOutput:
    return ToolOutput({"input": code, "outputs": list(outputs or [{"type": "logs", "logs": "2"}])}, "2", files or {})


def found(place: int, passage: str = "Filip: cake") -> ToolOutput:
    result = {
        "file_id": "file-1",
        "file_name": "foods.txt",
        "score": 0.5,
        "attributes": {},
        "content": [{"type": "text", "text": passage}],
        "label": f"{place}:0",
    }
    ranking = {"ranker": "default_2024_08_21", "score_threshold": 0.0}
    return ToolOutput({"ranking_options": ranking, "results": [result]}, f"{mark(f'{place}:0', 'foods.txt')} {passage}")


def tool(house: House, kind: Any, *outputs: Any, off: str | None = None) -> ScriptedTool:
    house.toolbox[kind] = ScriptedTool(kind, list(outputs), off)
    return house.toolbox[kind]  # type: ignore[return-value]  # it was put there just now


async def finished(house: House, tools: Any, *turns: Any, **request: Any) -> Started:
    house.model.turns = list(turns)
    house.work()
    return await house.start(tools=tools, **request)


async def test_a_call_is_made_shown_and_read(house: House) -> None:
    python = tool(house, "code_interpreter", ran())
    started = await finished(house, [CODE], call(code_interpreter={"code": "1+1"}), say("It is 2."))
    run = await house.rest(started)
    assert run.status == "completed"
    steps = await house.steps(run.id)
    assert [step.type for step in steps] == ["tool_calls", "message_creation"]
    [shown] = steps[0].shown().step_details["tool_calls"]
    assert shown == {
        "id": shown["id"],
        "type": "code_interpreter",
        "code_interpreter": {"input": "1+1", "outputs": [{"type": "logs", "logs": "2"}]},
    }
    assert [arguments for arguments, _ in python.calls] == ['{"code": "1+1"}']
    asked = house.model.requests[1].messages
    assert asked[-2]["tool_calls"][0]["function"] == {"name": "code_interpreter", "arguments": '{"code": "1+1"}'}
    assert asked[-1] == {"role": "tool", "tool_call_id": shown["id"], "content": "2"}
    assert steps[0].usage is not None
    assert (run.usage or {})["total_tokens"] == 2 * (USAGE.prompt_tokens + USAGE.completion_tokens)


async def test_code_is_told_as_it_is_written_and_outputs_as_they_come(house: House) -> None:
    tool(house, "code_interpreter", ran("print(1)", LOGS))
    pieces = ['{"co', 'de": "pri', "nt(", '1)"}']
    turn = [ToolCallDelta(0, "call_1", "code_interpreter"), *(ToolCallDelta(0, arguments=piece) for piece in pieces)]
    started = await finished(house, [CODE], [*turn, Finished("tool_calls", USAGE)], say("1"))
    events = await house.events(started)
    deltas = [body["delta"]["step_details"]["tool_calls"] for body in bodies(events, "thread.run.step.delta")]
    assert deltas == [
        [{"index": 0, "id": "call_1", "type": "code_interpreter", "code_interpreter": {"input": "", "outputs": []}}],
        [{"index": 0, "type": "code_interpreter", "code_interpreter": {"input": "pri"}}],
        [{"index": 0, "type": "code_interpreter", "code_interpreter": {"input": "nt("}}],
        [{"index": 0, "type": "code_interpreter", "code_interpreter": {"input": "1)"}}],
        [{"index": 0, "type": "code_interpreter", "code_interpreter": {"outputs": [LOGS]}}],
    ]
    assert names(events)[3:8] == [
        "thread.run.step.created",
        "thread.run.step.in_progress",
        "thread.run.step.delta",
        "thread.run.step.completed",
        "thread.run.step.created",
    ]


@pytest.mark.parametrize("with_results", [True, False])
async def test_passages_are_shown_to_who_asked(house: House, *, with_results: bool) -> None:
    tool(house, "file_search", found(3))
    house.model.turns = [call(file_search={"query": "cake"}), say("Cake.")]
    house.work()
    given = CreateRun(assistant_id=await house.assistant(tools=[SEARCH]))
    started = await house.runs.start(PROJECT, await house.thread("hi"), given, with_results=with_results)
    [completed, _] = bodies(await house.events(started), "thread.run.step.completed")
    [result] = completed["step_details"]["tool_calls"][0]["file_search"]["results"]
    assert ("content" in result) is with_results


async def test_a_search_is_told_once_and_cited(house: House) -> None:
    tool(house, "file_search", found(1))
    cited = mark("1:0", "foods.txt")
    started = await finished(house, [SEARCH], call(file_search={"query": "cake"}), say(f"It is cake{cited} I think."))
    events = await house.events(started)
    [delta] = bodies(events, "thread.run.step.delta")
    [opened] = delta["delta"]["step_details"]["tool_calls"]
    ranking = {"ranker": "default_2024_08_21", "score_threshold": 0.0}
    assert opened["file_search"] == {"ranking_options": ranking, "results": []}
    [message] = bodies(events, "thread.message.completed")
    [part] = message["content"]
    assert part["text"]["value"] == f"It is cake{cited} I think."
    [annotation] = part["text"]["annotations"]
    assert (annotation["start_index"], annotation["end_index"]) == (10, 10 + len(cited))
    assert annotation["file_citation"] == {"file_id": "file-1", "quote": "Filip"}
    told = [body["delta"]["content"][0]["text"] for body in bodies(events, "thread.message.delta")]
    [marked] = [piece for piece in told if piece.get("annotations")]
    assert marked["value"] == cited
    assert marked["annotations"][0]["file_citation"] == {"file_id": "file-1", "quote": ""}
    assert "".join(piece["value"] for piece in told) == part["text"]["value"]


async def test_plots_begin_the_next_message_and_files_are_linked(house: House) -> None:
    plot = {"type": "image", "image": {"file_id": PLOT}}
    tool(house, "code_interpreter", ran("plot()", plot, files={CSV: "file-csv"}))
    started = await finished(house, [CODE], call(code_interpreter={"code": "plot()"}), say(f"See [it]({CSV})."))
    events = await house.events(started)
    [message] = bodies(events, "thread.message.completed")
    assert [part["type"] for part in message["content"]] == ["image_file", "text"]
    assert message["content"][0]["image_file"] == {"file_id": PLOT}
    [annotation] = message["content"][1]["text"]["annotations"]
    assert (annotation["type"], annotation["text"], annotation["file_path"]) == (
        "file_path",
        CSV,
        {"file_id": "file-csv"},
    )
    deltas = [body["delta"]["content"][0] for body in bodies(events, "thread.message.delta")]
    assert deltas[0] == {"index": 0, "type": "image_file", "image_file": {"file_id": PLOT}}
    assert {delta["index"] for delta in deltas[1:]} == {1}


async def test_a_plot_is_in_one_message_only(house: House) -> None:
    plot = {"type": "image", "image": {"file_id": PLOT}}
    tool(house, "code_interpreter", ran("plot()", plot), ran())
    code = call(code_interpreter={"code": "plot()"})
    again = call(narration="Here it is.", code_interpreter={"code": "1+1"})
    run = await house.rest(await finished(house, [CODE], code, again, say("Done.")))
    said = [message for message in await house.messages(run.thread_id) if message.role == "assistant"]
    assert [[part["type"] for part in message.content] for message in said] == [["image_file", "text"], ["text"]]


async def test_a_plot_without_a_word_is_a_message(house: House) -> None:
    tool(house, "code_interpreter", ran("plot()", {"type": "image", "image": {"file_id": PLOT}}))
    run = await house.rest(await finished(house, [CODE], call(code_interpreter={"code": "plot()"}), say("")))
    assert run.status == "completed"
    assert [part["type"] for part in (await house.messages(run.thread_id))[-1].content] == ["image_file"]


async def test_built_in_calls_come_first_then_the_client_is_asked(house: House) -> None:
    python = tool(house, "code_interpreter", ran())
    both = call(get_weather={"city": "부산"}, code_interpreter={"code": "1+1"})
    started = await finished(house, [CODE, function()], both, say("Done."))
    run = await house.rest(started)
    assert run.status == "requires_action"
    assert len(python.calls) == 1
    assert [asked["function"]["name"] for asked in open_calls(run)] == ["get_weather"]
    run = await house.rest(await house.submit(run, get_weather="rain"))
    assert run.status == "completed"
    outputs = [message["content"] for message in house.model.requests[1].messages if message["role"] == "tool"]
    assert outputs == ["rain", "2"]
    assert len(python.calls) == 1


async def test_a_tool_that_breaks_is_an_output_that_the_model_reads(house: House) -> None:
    tool(house, "code_interpreter", RuntimeError("secret"))
    started = await finished(house, [CODE], call(code_interpreter={"code": "1"}), say("Sorry."))
    run = await house.rest(started)
    assert run.status == "completed"
    last = house.model.requests[1].messages[-1]
    assert last["content"].startswith("Error: the tool failed")
    assert "secret" not in json.dumps(last)


async def test_a_tool_that_is_off_fails_the_run_before_the_model_is_asked(house: House) -> None:
    tool(house, "code_interpreter", off="There is no jail: install bubblewrap.")
    run = await house.rest(await finished(house, [CODE]))
    assert (run.status, run.last_error) == (
        "failed",
        {"code": "server_error", "message": "There is no jail: install bubblewrap."},
    )
    assert house.model.requests == []


async def test_what_a_tool_said_stays_in_the_threads_context(house: House) -> None:
    tool(house, "file_search", found(1))
    run = await house.rest(await finished(house, [SEARCH], call(file_search={"query": "cake"}), say("Cake.")))
    house.model.turns = [say(f"Again: cake{mark('1:0', 'foods.txt')}.")]
    later = await house.rest(await house.start_on(run.thread_id, tools=[]))
    assert later.status == "completed"
    assert any("Filip: cake" in str(message["content"]) for message in house.model.requests[2].messages)
    [annotation] = (await house.messages(run.thread_id))[-1].content[0]["text"]["annotations"]
    assert annotation["file_citation"]["file_id"] == "file-1"


async def test_each_call_of_a_step_has_numbers_of_its_own(house: House) -> None:
    search = tool(house, "file_search", found(1), found(1))
    calls = [ToolCallDelta(index, f"call_{index}", "file_search", '{"query": "x"}') for index in range(2)]
    await house.rest(await finished(house, [SEARCH], [*calls, Finished("tool_calls", USAGE)], say("Done.")))
    assert [session.first_result for _, session in search.calls] == [0, 1]
    assert len({session.place for _, session in search.calls}) == 1


async def test_a_forced_tool_is_a_function_to_the_model(house: House) -> None:
    tool(house, "code_interpreter", ran())
    turns = (call(code_interpreter={"code": "1"}), say("Done."))
    await house.rest(await finished(house, [CODE], *turns, tool_choice={"type": "code_interpreter"}))
    choices = [request.tool_choice for request in house.model.requests]
    assert choices == [{"type": "function", "function": {"name": "code_interpreter"}}, "auto"]
    assert [spec.name for spec in house.model.requests[0].tools] == ["code_interpreter"]


async def test_cancelling_stops_a_call(house: House) -> None:
    python = tool(house, "code_interpreter", asyncio.Event())
    started = await finished(house, [CODE], call(code_interpreter={"code": "while True: pass"}))
    async with asyncio.timeout(SOON_S):
        await python.waiting.wait()
    await house.cancel(started.run)
    run = await house.rest(started)
    assert run.status == "cancelled"
    [step] = await house.steps(run.id)
    assert step.status == "cancelled"


async def test_whoever_takes_a_run_over_calls_only_what_has_no_output(house: House) -> None:
    first = tool(house, "code_interpreter", ran("a"), asyncio.Event())
    calls = [ToolCallDelta(index, f"call_{index}", "code_interpreter", '{"code": "a"}') for index in range(2)]
    house.model.turns = [[*calls, Finished("tool_calls", USAGE)], say("Done.")]
    worker = house.work()
    started = await house.start(tools=[CODE])
    async with asyncio.timeout(SOON_S):
        await first.waiting.wait()
    second = ScriptedTool("code_interpreter", [ran("a")])
    house.toolbox["code_interpreter"] = second
    house.tasks.pop().cancel()
    await worker.stop()
    house.work()
    run = await house.rest(started)
    assert (run.status, run.attempt) == ("completed", 2)
    assert len(second.calls) == 1
    assert len(house.model.requests) == 2
    steps = await house.steps(run.id)
    assert [step.status for step in steps] == ["completed", "completed"]
    assert [call["output"] for call in steps[0].step_details["tool_calls"]] == ["2", "2"]


async def test_an_open_step_is_not_part_of_another_turns_prompt(tmp_path: Path) -> None:
    async with open_house(tmp_path, call(code_interpreter={"code": "1"}), say("Done.")) as house:
        tool(house, "code_interpreter", ran())
        house.work()
        run = await house.rest(await house.start(tools=[CODE]))
        request: CompletionRequest = house.model.requests[0]
        assert [message["role"] for message in request.messages] == ["system", "user"]
        assert text((await house.messages(run.thread_id))[-1]) == "Done."
