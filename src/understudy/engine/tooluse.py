"""Built-in tools at work: made ready for a run, called one after the other, each output written before the next."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from sqlalchemy import Connection

from understudy import tracing
from understudy.engine import prompt as prompts
from understudy.engine.assemble import with_calls
from understudy.engine.leased import Leased, must_save
from understudy.engine.nextstep import AwaitToolOutputs, CallModelAgain, UseTools, after_calls
from understudy.engine.situation import OpenCalls
from understudy.engine.transitions import end_step, move
from understudy.errors import LeaseLost, NotFound, ToolUnavailable
from understudy.ids import Clock
from understudy.inference.base import ToolSpec
from understudy.protocol import events as wire
from understudy.protocol.base import JsonObject
from understudy.protocol.events import Event
from understudy.protocol.steps import RunStep, ToolCall, is_open
from understudy.protocol.tools import Tool as ToolOptions
from understudy.protocol.tools import ToolResources
from understudy.storage import assistants, model_calls, steps, threads
from understudy.storage.base import Store
from understudy.storage.runs import RunRecord
from understudy.tools.base import RunContext, Toolbox, ToolOutput, ToolSession

log = logging.getLogger(__name__)

BROKEN = "Error: the tool failed on a defect of this server. Try another way, or answer without it."


@dataclass(frozen=True, slots=True)
class Kit:
    """A run's tools: as the model is told of them, and what the built-in ones work with."""

    specs: Sequence[ToolSpec]
    context: RunContext


class ToolUse:
    """Calls tools for whoever holds a run; holds no state of its own."""

    def __init__(self, store: Store, leased: Leased, toolbox: Toolbox, clock: Clock) -> None:
        self._store = store
        self._leased = leased
        self._toolbox = toolbox
        self._clock = clock

    async def prepare(self, run: RunRecord, context_window: int) -> Kit:
        """Make a run's tools ready. Raises ToolUnavailable."""
        if all(tool["type"] == "function" for tool in run.tools):
            return Kit([prompts.spec(tool) for tool in run.tools], RunContext(run.project, run.thread_id, run.id))
        assistants_own, threads_own = await self._store.read(partial(_resources, run=run))
        context = RunContext(run.project, run.thread_id, run.id, assistants_own, threads_own, context_window)
        return Kit([await self._spec(tool, context) for tool in run.tools], context)

    async def _spec(self, tool: ToolOptions, context: RunContext) -> ToolSpec:
        if tool["type"] == "function":
            return prompts.spec(tool)
        built_in = self._toolbox.get(tool["type"])
        if built_in is None:
            raise ToolUnavailable(f"The tool '{tool['type']}' is not available on this server.")
        described = await built_in.prepare(tool, context)
        return ToolSpec(described.name, described.description, described.parameters)

    async def answer(self, run: RunRecord, kit: Kit, waiting: OpenCalls) -> CallModelAgain | AwaitToolOutputs:
        """Answer the built-in calls of a step; then it closes, or waits for the client's answers to the others."""
        step = waiting.step
        calls = list(step.step_details.get("tool_calls", []))
        earlier = await self._store.read(partial(_earlier_calls, run=run))
        for index, call in enumerate(calls):
            if call["type"] != "function" and is_open(call):
                session = self._session(run, kit, waiting, index, [*earlier, *calls[:index]])
                calls[index] = await self._answered(call, session)
                step = with_calls(step, calls)
                await self._leased.commit(run, partial(steps.save, step=step))
        following = after_calls(calls)
        assert not isinstance(following, UseTools)  # all of them are answered
        await self._close(run, step, following)
        return following

    def _session(
        self, run: RunRecord, kit: Kit, waiting: OpenCalls, index: int, earlier: Sequence[ToolCall]
    ) -> ToolSession:
        step = waiting.step
        calls = step.step_details.get("tool_calls", [])
        kind = calls[index]["type"]

        async def tell(piece: JsonObject) -> None:
            await self._leased.publish(run, [wire.tool_delta(step.id, index, kind, piece)])

        return ToolSession(
            kit.context,
            next(tool for tool in run.tools if tool["type"] == kind),
            waiting.place,
            first_result=_results_in(earlier),
            tell=tell,
            made=_files_of(earlier),
            used_before=any(call["type"] == kind for call in earlier),
        )

    async def _answered(self, call: ToolCall, session: ToolSession) -> ToolCall:
        kind = call["type"]
        output = await self._call(call, session)
        answered: ToolCall = {**call, kind: output.shown, "output": output.told}  # type: ignore[misc]  # mypy does not narrow a key to its literals
        if output.files:
            answered["files"] = dict(output.files)
        return answered

    async def _call(self, call: ToolCall, session: ToolSession) -> ToolOutput:
        """Call a tool. Whatever goes wrong in it is an output that the model can read."""
        kind = call["type"]
        try:
            with tracing.span("execute_tool", kind, {"gen_ai.tool.name": kind, "gen_ai.tool.call.id": call["id"]}):
                return await self._toolbox[kind].call(call.get("arguments", "{}"), session)
        except (LeaseLost, ToolUnavailable):
            raise
        except Exception:
            log.exception("the tool %s failed", kind)
            shown: Mapping[str, JsonObject] = call  # type: ignore[assignment]  # the tool's own key holds an object
            return ToolOutput(shown[kind], BROKEN)

    async def _close(self, run: RunRecord, step: RunStep, following: CallModelAgain | AwaitToolOutputs) -> None:
        """Complete the step, or pause the run for its client."""

        def write(connection: Connection) -> list[Event]:
            now = self._clock.now()
            if isinstance(following, AwaitToolOutputs):
                paused, told = move(run, "requires_action", now, required_action=following.required())
                must_save(connection, paused, run)
                return [told]
            used = model_calls.usage_of_step(connection, step.id)
            ended, told = end_step(step, "completed", now, used=used, with_results=run.include_results)
            steps.save(connection, ended)
            return [told]

        await self._leased.tell(run, write)


def _resources(connection: Connection, run: RunRecord) -> tuple[ToolResources, ToolResources]:
    """Return what the assistant and the thread have at hand now; the assistant may be gone."""
    try:
        of_assistant = assistants.get(connection, run.project, run.assistant_id).tool_resources
    except NotFound:
        of_assistant = {}
    return of_assistant, threads.get(connection, run.project, run.thread_id).tool_resources


def _earlier_calls(connection: Connection, run: RunRecord) -> list[ToolCall]:
    """Return the thread's finished calls of the code interpreter, if the run has it: its session outlives runs."""
    if all(tool["type"] != "code_interpreter" for tool in run.tools):
        return []
    finished = steps.finished_tools(connection, run.thread_id, since=0)
    calls = [call for _, step in finished for call in step.step_details.get("tool_calls", [])]
    return [call for call in calls if call["type"] == "code_interpreter"]


def _files_of(calls: Sequence[ToolCall]) -> dict[str, str]:
    """Return the files that came of calls; of those with one name, the last."""
    return {link: file_id for call in calls for link, file_id in call.get("files", {}).items()}


def _results_in(calls: Sequence[ToolCall]) -> int:
    return sum(len(call.get("file_search", {}).get("results", [])) for call in calls)
