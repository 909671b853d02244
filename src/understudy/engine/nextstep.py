"""What comes next after a model's answer: a closed choice, made without I/O."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from understudy.engine.assemble import CallDraft, Draft
from understudy.protocol.runs import LastError, RequiredAction, RequiredToolCall
from understudy.protocol.steps import ToolCall


@dataclass(frozen=True, slots=True)
class CallModelAgain:
    """All calls have their outputs already: the model reads them and goes on."""

    calls: Sequence[ToolCall]


@dataclass(frozen=True, slots=True)
class AwaitToolOutputs:
    """Some calls are the client's to answer."""

    calls: Sequence[ToolCall]

    def required(self) -> RequiredAction:
        """What the client is asked for: just the calls that have no output yet."""
        open_calls = [_required(call) for call in self.calls if call["function"]["output"] is None]
        return {"type": "submit_tool_outputs", "submit_tool_outputs": {"tool_calls": open_calls}}


@dataclass(frozen=True, slots=True)
class Finish:
    """The model has said all it had to say."""


@dataclass(frozen=True, slots=True)
class Stop:
    """The run ends here although the model had not finished."""

    reason: Literal["max_completion_tokens", "max_prompt_tokens"] | None = None
    error: LastError | None = None


NextStep = CallModelAgain | AwaitToolOutputs | Finish | Stop

FILTERED: LastError = {"code": "server_error", "message": "The model's answer was stopped by its content filter."}


def next_step(draft: Draft, functions: frozenset[str]) -> NextStep:
    """Decide what follows a whole answer."""
    if draft.reason == "length":
        return Stop("max_completion_tokens")
    if draft.reason == "content_filter":
        return Stop(error=FILTERED)
    if not draft.calls:
        return Finish()
    calls = [_tool_call(call, functions) for call in draft.calls]
    waiting = any(call["function"]["output"] is None for call in calls)
    return AwaitToolOutputs(calls) if waiting else CallModelAgain(calls)


def _tool_call(call: CallDraft, functions: frozenset[str]) -> ToolCall:
    """A call as the step shows it; one that nobody can answer is answered at once, for the model to read."""
    arguments = call.arguments if call.arguments.strip() else "{}"
    output = _objection(call.name, arguments, functions)
    return {
        "id": call.id,
        "type": "function",
        "function": {"name": call.name, "arguments": arguments, "output": output},
    }


def _objection(name: str, arguments: str, functions: frozenset[str]) -> str | None:
    if name not in functions:
        return f"Error: there is no tool named '{name}'. There are: {', '.join(sorted(functions)) or 'none'}."
    try:
        given = json.loads(arguments)
    except ValueError as problem:
        return f"Error: the arguments are not valid JSON ({problem}). Call the tool again with valid JSON."
    if not isinstance(given, dict):
        return "Error: the arguments are not a JSON object. Call the tool again with a JSON object."
    return None


def _required(call: ToolCall) -> RequiredToolCall:
    function = call["function"]
    return {
        "id": call["id"],
        "type": "function",
        "function": {"name": function["name"], "arguments": function["arguments"]},
    }
