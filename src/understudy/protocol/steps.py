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
    """A call of a tool as a step shows it."""

    id: str
    type: Literal["function", "code_interpreter", "file_search"]
    function: NotRequired[FunctionResult]
    code_interpreter: NotRequired[JsonObject]
    file_search: NotRequired[JsonObject]


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
