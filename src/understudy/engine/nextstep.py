"""What comes next after a model's answer: a closed choice, made without I/O."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from understudy.engine.assemble import Draft
from understudy.engine.calls import kept
from understudy.protocol.runs import LastError, RequiredAction, RequiredToolCall
from understudy.protocol.steps import ToolCall, is_open


@dataclass(frozen=True, slots=True)
class CallModelAgain:
    """All calls have their outputs already: the model reads them and goes on."""

    calls: Sequence[ToolCall]


@dataclass(frozen=True, slots=True)
class UseTools:
    """Some calls are built-in tools' to answer; those of the client come after them."""

    calls: Sequence[ToolCall]


@dataclass(frozen=True, slots=True)
class AwaitToolOutputs:
    """Some calls are the client's to answer."""

    calls: Sequence[ToolCall]

    def required(self) -> RequiredAction:
        """What the client is asked for: just the calls that have no output yet."""
        open_calls = [_required(call) for call in self.calls if is_open(call)]
        return {"type": "submit_tool_outputs", "submit_tool_outputs": {"tool_calls": open_calls}}


@dataclass(frozen=True, slots=True)
class Finish:
    """The model has said all it had to say."""


@dataclass(frozen=True, slots=True)
class Stop:
    """The run ends here although the model had not finished."""

    reason: Literal["max_completion_tokens", "max_prompt_tokens"] | None = None
    error: LastError | None = None


NextStep = CallModelAgain | UseTools | AwaitToolOutputs | Finish | Stop

FILTERED: LastError = {"code": "server_error", "message": "The model's answer was stopped by its content filter."}


def next_step(draft: Draft) -> NextStep:
    """Decide what follows a whole answer."""
    if draft.reason == "length":
        return Stop("max_completion_tokens")
    if draft.reason == "content_filter":
        return Stop(error=FILTERED)
    if not draft.calls:
        return Finish()
    return after_calls([kept(call, draft.run.tools) for call in draft.calls])


def after_calls(calls: Sequence[ToolCall]) -> CallModelAgain | UseTools | AwaitToolOutputs:
    """Decide who has to answer calls: built-in tools first, then the client, then the model goes on."""
    waiting = [call["type"] for call in calls if is_open(call)]
    if any(kind != "function" for kind in waiting):
        return UseTools(calls)
    return AwaitToolOutputs(calls) if waiting else CallModelAgain(calls)


def _required(call: ToolCall) -> RequiredToolCall:
    function = call["function"]
    return {
        "id": call["id"],
        "type": "function",
        "function": {"name": function["name"], "arguments": function["arguments"]},
    }
