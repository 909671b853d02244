"""Run steps. Source of shapes: surface.md, section 3, and sections 6 and 6.1 on what is always sent."""

from typing import (
    Literal,
    NotRequired,  # pydantic wants this one before Python 3.12
)

from typing_extensions import TypedDict

from understudy.protocol.base import JsonObject, Metadata, WireModel
from understudy.protocol.runs import LastError, Usage

StepStatus = Literal["in_progress", "cancelled", "failed", "completed", "expired"]
StepType = Literal["message_creation", "tool_calls"]

INCLUDE_RESULTS = "step_details.tool_calls[*].file_search.results[*].content"
"""The single legal value of `include[]`."""


class MessageCreation(TypedDict):
    message_id: str


class FunctionResult(TypedDict):
    name: str
    arguments: str
    output: str | None


class ToolCall(TypedDict):
    """A call of a tool as a step keeps it.

    The last three are kept of a call of a built-in tool and never shown: what the model wrote, what it was told (None
    as long as the call is open), and the ids of the files that came of it by the text that links them.
    """

    id: str
    type: Literal["function", "code_interpreter", "file_search"]
    function: NotRequired[FunctionResult]
    code_interpreter: NotRequired[JsonObject]
    file_search: NotRequired[JsonObject]
    arguments: NotRequired[str]
    output: NotRequired[str | None]
    files: NotRequired[dict[str, str]]


def is_open(call: ToolCall) -> bool:
    """Tell whether a call has no output yet."""
    return call["function"]["output"] is None if call["type"] == "function" else call.get("output") is None


def shown_call(call: ToolCall, *, with_results: bool) -> ToolCall:
    """Render a call without what is kept of it; a search's passages only where they were asked for."""
    kind = call["type"]
    if kind == "function":
        return call
    details: JsonObject = call[kind]
    if kind == "file_search" and not with_results:
        bare = [{key: value for key, value in result.items() if key != "content"} for result in details["results"]]
        details = {**details, "results": bare}
    return {"id": call["id"], "type": kind, kind: details}  # type: ignore[misc]  # mypy does not narrow a key to its literals


class StepDetails(TypedDict):
    type: StepType
    message_creation: NotRequired[MessageCreation]
    tool_calls: NotRequired[list[ToolCall]]


class RunStep(WireModel):
    id: str
    object: Literal["thread.run.step"] = "thread.run.step"
    created_at: int
    run_id: str
    assistant_id: str
    thread_id: str
    type: StepType
    status: StepStatus
    cancelled_at: int | None
    completed_at: int | None
    expires_at: int | None
    expired_at: int | None
    failed_at: int | None
    last_error: LastError | None
    step_details: StepDetails
    usage: Usage | None
    metadata: Metadata

    def shown(self, *, with_results: bool = False) -> "RunStep":
        """Render as answered. `with_results`: with the passages that a search found (`include[]`)."""
        calls = self.step_details.get("tool_calls")
        if not calls or all(call["type"] == "function" for call in calls):
            return self
        shown = [shown_call(call, with_results=with_results) for call in calls]
        return self.model_copy(update={"step_details": {"type": "tool_calls", "tool_calls": shown}})
