"""A tool call as it is written: what its step's deltas tell of it, and the call that the step keeps. Pure."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace

from understudy.protocol import events as wire
from understudy.protocol.base import JsonObject
from understudy.protocol.events import Event
from understudy.protocol.steps import ToolCall
from understudy.protocol.tools import Tool, ToolType
from understudy.tools.arguments import code_of

DEFAULT_RANKING: JsonObject = {"ranker": "default_2024_08_21", "score_threshold": 0.0}


@dataclass(frozen=True, slots=True)
class CallDraft:
    """A tool call as far as it is written.

    Its opening is told once its name is known; of its arguments or its code, `shown` is told.
    """

    id: str
    name: str
    arguments: str = ""
    told: bool = False
    shown: str = ""


def finished(call: CallDraft) -> CallDraft:
    """A call that nothing more comes of: one without arguments has `{}`, as clients parse them (recorded)."""
    return call if call.arguments.strip() else replace(call, arguments="{}")


def holds_back(call: CallDraft, tools: Sequence[Tool]) -> bool:
    """Tell whether what comes after a call must wait: a client takes a call for whole once another one begins."""
    return kind_of(call.name, tools) == "function" and not call.arguments.strip()


def kind_of(name: str, tools: Sequence[Tool]) -> ToolType:
    """Tell a built-in tool's name from a function's."""
    return next((tool["type"] for tool in tools if tool["type"] == name), "function")


def tell(call: CallDraft, step_id: str, place: int, tools: Sequence[Tool]) -> tuple[CallDraft, list[Event]]:
    """Tell what has been added to a call since it was told of last."""
    if not call.name:
        return call, []
    kind = kind_of(call.name, tools)
    opened = [] if call.told else [_opening(call, kind, step_id, place, tools)]
    call = replace(call, told=True)
    match kind:
        case "function":
            return _tell_arguments(call, step_id, place, opened)
        case "code_interpreter":
            return _tell_code(call, step_id, place, opened)
        case "file_search":
            return call, opened


def _opening(call: CallDraft, kind: ToolType, step_id: str, place: int, tools: Sequence[Tool]) -> Event:
    if kind == "function":
        return wire.call_delta(step_id, place, call.id, call.name)
    return wire.tool_delta(step_id, place, kind, unanswered(kind, "", tools), call.id)


def _tell_arguments(call: CallDraft, step_id: str, place: int, opened: list[Event]) -> tuple[CallDraft, list[Event]]:
    if not call.arguments.strip():
        return call, opened  # should nothing else come, they are `{}`
    fragment = call.arguments[len(call.shown) :]
    told = [wire.arguments_delta(step_id, place, fragment)] if fragment else []
    return replace(call, shown=call.arguments), [*opened, *told]


def _tell_code(call: CallDraft, step_id: str, place: int, opened: list[Event]) -> tuple[CallDraft, list[Event]]:
    code = code_of(call.arguments)
    fragment = code.removeprefix(call.shown)
    if not code.startswith(call.shown) or not fragment:
        return call, opened
    told = wire.tool_delta(step_id, place, "code_interpreter", {"input": fragment})
    return replace(call, shown=code), [*opened, told]


def unanswered(kind: ToolType, arguments: str, tools: Sequence[Tool]) -> JsonObject:
    """Return what a step shows of a built-in tool's call that has no output yet."""
    if kind == "code_interpreter":
        return {"input": code_of(arguments), "outputs": []}
    options = next((tool.get("file_search", {}) for tool in tools if tool["type"] == kind), {})
    ranking = options.get("ranking_options") or {}
    return {"ranking_options": DEFAULT_RANKING | {key: ranking[key] for key in DEFAULT_RANKING if key in ranking}} | {
        "results": []
    }


def kept(call: CallDraft, tools: Sequence[Tool]) -> ToolCall:
    """Return a whole call as its step keeps it; one that nobody can answer is answered at once, for the model."""
    arguments = finished(call).arguments
    kind = kind_of(call.name, tools)
    if kind == "function":
        output = _objection(call.name, arguments, tools)
        function = {"name": call.name, "arguments": arguments, "output": output}
        return {"id": call.id, "type": "function", "function": function}  # type: ignore[typeddict-item]  # its keys are chosen above
    details = unanswered(kind, arguments, tools)
    return {"id": call.id, "type": kind, kind: details, "arguments": arguments, "output": None}  # type: ignore[misc]  # mypy does not narrow a key to its literals


def _objection(name: str, arguments: str, tools: Sequence[Tool]) -> str | None:
    names = sorted(tool["function"]["name"] if tool["type"] == "function" else tool["type"] for tool in tools)
    if name not in names:
        return f"Error: there is no tool named '{name}'. There are: {', '.join(names) or 'none'}."
    try:
        given = json.loads(arguments)
    except ValueError as problem:
        return f"Error: the arguments are not valid JSON ({problem}). Call the tool again with valid JSON."
    except RecursionError:
        return "Error: the arguments are nested too deeply. Call the tool again with flatter ones."
    if not isinstance(given, dict):
        return "Error: the arguments are not a JSON object. Call the tool again with a JSON object."
    return None
