"""What a model was given: prompts put together again from the record of its calls. Nothing is stored twice for it.

A prompt is made as `engine/loop.py` made it, of the messages that the record names and the tool steps that stood
between and after them at the time.
"""

from collections.abc import Sequence
from dataclasses import replace

from sqlalchemy import Connection

from understudy.engine import prompt as prompts
from understudy.engine.prompt import Placed
from understudy.inference.base import CompletionRequest, ToolSpec
from understudy.protocol import model_calls as wire
from understudy.protocol.base import JsonObject
from understudy.protocol.steps import RunStep
from understudy.storage import messages, model_calls, runs, steps, threads
from understudy.storage.model_calls import ModelCall
from understudy.storage.runs import RunRecord

_BUILT_IN = ("code_interpreter", "file_search")


def calls_of(connection: Connection, project: str, thread_id: str, run_id: str) -> list[wire.ModelCall]:
    """Return the calls of a run, oldest first, without their prompts. Raises NotFound."""
    threads.get(connection, project, thread_id)
    runs.get(connection, project, thread_id, run_id)
    return [_shown(call, None) for call in model_calls.of_run(connection, run_id)]


def call_with_prompt(connection: Connection, project: str, thread_id: str, run_id: str, call_id: str) -> wire.ModelCall:
    """Return one call with what the model was given. Raises NotFound."""
    threads.get(connection, project, thread_id)
    run = runs.get(connection, project, thread_id, run_id)
    call = model_calls.get(connection, run_id, call_id)
    return _shown(call, _prompt(connection, run, call))


def _shown(call: ModelCall, prompt: wire.Prompt | None) -> wire.ModelCall:
    fields = {name: getattr(call, name) for name in wire.ModelCall.model_fields if name not in ("object", "prompt")}
    return wire.ModelCall(**fields, prompt=prompt)


def _prompt(connection: Connection, run: RunRecord, call: ModelCall) -> wire.Prompt:
    earlier = [one for one in model_calls.of_run(connection, run.id) if one.started_at < call.started_at]
    history = _history(connection, run, call, earlier)
    finished = [one.usage for one in earlier if one.usage is not None]
    used = sum(usage["completion_tokens"] for usage in finished)
    budget = None if run.max_completion_tokens is None else run.max_completion_tokens - used
    as_then = replace(run, instructions=call.instructions)
    made = prompts.build(
        as_then, history, model=call.model, tools=_specs(run, call), first_call=not finished, budget=budget
    )
    return _told(made.request, sorted(set(call.message_ids) - set(made.message_ids), key=call.message_ids.index))


def _specs(run: RunRecord, call: ModelCall) -> list[ToolSpec]:
    """Return the tools as the model was told of them then: of built-in ones this depends on the thread's files."""
    told = {tool["name"]: ToolSpec(**tool) for tool in call.built_in or []}
    return [
        prompts.spec(tool) if tool["type"] == "function" else told.get(tool["type"], ToolSpec(tool["type"], None, {}))
        for tool in run.tools
    ]


def _history(connection: Connection, run: RunRecord, call: ModelCall, earlier: Sequence[ModelCall]) -> list[Placed]:
    """Of the tool steps: all of earlier runs, and those of this run that came out of earlier calls."""
    begin = messages.place_of_first(connection, call.message_ids) or 0
    place, before = runs.place(connection, run.id), {one.step_id for one in earlier}

    def was_there(seq: int, step: RunStep) -> bool:
        return step.id in before if step.run_id == run.id else seq < place

    called = [(seq, step) for seq, step in steps.finished_tools(connection, run.thread_id, begin)]
    said = messages.placed(connection, run.thread_id, call.message_ids)
    return prompts.merge(said, [(seq, step) for seq, step in called if was_there(seq, step)])


def _told(request: CompletionRequest, missing: list[str]) -> wire.Prompt:
    return wire.Prompt(
        messages=[dict(message) for message in request.messages],
        tools=[_tool(tool) for tool in request.tools],
        tool_choice=request.tool_choice,
        parallel_tool_calls=request.parallel_tool_calls,
        temperature=request.temperature,
        top_p=request.top_p,
        max_tokens=request.max_tokens,
        response_format=request.response_format,
        reasoning_effort=request.reasoning_effort,
        missing_message_ids=missing,
    )


def _tool(tool: ToolSpec) -> JsonObject:
    if tool.name in _BUILT_IN and not tool.parameters:
        return {"type": tool.name}
    function = {"name": tool.name, "description": tool.description, "parameters": tool.parameters}
    return {"type": "function", "function": function | ({"strict": True} if tool.strict else {})}
