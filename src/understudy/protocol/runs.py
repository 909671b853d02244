"""Runs. Source of shapes: surface.md, section 3, and section 6, items 3 and 4."""

from typing import Annotated, Literal

from pydantic import Field
from typing_extensions import TypedDict  # pydantic wants this one before Python 3.12

from understudy.protocol.assistants import Temperature, TopP
from understudy.protocol.base import Metadata, MetadataParam, RequestModel, RequestPart, WireModel
from understudy.protocol.messages import CreateMessage
from understudy.protocol.threads import CreateThread
from understudy.protocol.tools import (
    MAX_RUN_TOOLS,
    ReasoningEffort,
    ResponseFormat,
    ResponseFormatParam,
    Tool,
    ToolChoice,
    ToolChoiceParam,
    ToolParam,
    ToolResources,
    ToolResourcesParam,
)

MIN_TOKEN_BUDGET = 256

RunStatus = Literal[
    "queued",
    "in_progress",
    "requires_action",
    "cancelling",
    "cancelled",
    "failed",
    "completed",
    "incomplete",
    "expired",
]
FINAL: frozenset[RunStatus] = frozenset({"cancelled", "failed", "completed", "incomplete", "expired"})
RESTING: frozenset[RunStatus] = FINAL | {"requires_action"}
"""States on which the SDKs' poll helpers return (surface.md, section 0.5)."""

MAX_INTEGER = 2**31 - 1
"""What a database's integer column holds."""

TokenBudget = Annotated[int, Field(ge=MIN_TOKEN_BUDGET, le=MAX_INTEGER)]


class TruncationParam(RequestPart):
    type: Literal["auto", "last_messages"]
    last_messages: Annotated[int, Field(ge=1, le=MAX_INTEGER)] | None = None


class RunFields(RequestModel):
    """What both ways of creating a run share."""

    assistant_id: str
    model: Annotated[str, Field(min_length=1)] | None = None
    instructions: str | None = None
    tools: Annotated[list[ToolParam], Field(max_length=MAX_RUN_TOOLS)] | None = None
    metadata: MetadataParam | None = None
    temperature: Temperature | None = None
    top_p: TopP | None = None
    stream: bool | None = None
    max_prompt_tokens: TokenBudget | None = None
    max_completion_tokens: TokenBudget | None = None
    truncation_strategy: TruncationParam | None = None
    tool_choice: ToolChoiceParam | None = None
    parallel_tool_calls: bool | None = None
    response_format: ResponseFormatParam | None = None
    reasoning_effort: ReasoningEffort | None = None


class CreateRun(RunFields):
    additional_instructions: str | None = None
    additional_messages: list[CreateMessage] | None = None


class CreateThreadAndRun(RunFields):
    thread: CreateThread | None = None
    tool_resources: ToolResourcesParam | None = None


class ModifyRun(RequestModel):
    metadata: MetadataParam | None = None


class ToolOutput(RequestPart):
    tool_call_id: str
    output: str = ""


class SubmitToolOutputs(RequestModel):
    tool_outputs: list[ToolOutput]
    stream: bool | None = None


class FunctionCall(TypedDict):
    name: str
    arguments: str


class RequiredToolCall(TypedDict):
    id: str
    type: Literal["function"]
    function: FunctionCall


class RequiredToolCalls(TypedDict):
    tool_calls: list[RequiredToolCall]


class RequiredAction(TypedDict):
    type: Literal["submit_tool_outputs"]
    submit_tool_outputs: RequiredToolCalls


class LastError(TypedDict):
    code: Literal["server_error", "rate_limit_exceeded", "invalid_prompt"]
    message: str


class TruncationStrategy(TypedDict):
    type: Literal["auto", "last_messages"]
    last_messages: int | None


class RunIncompleteDetails(TypedDict):
    reason: Literal["max_completion_tokens", "max_prompt_tokens"]


class CachedTokens(TypedDict):
    cached_tokens: int


class ReasoningTokens(TypedDict):
    reasoning_tokens: int


class Usage(TypedDict):
    """Tokens of a step or a run. The singular `prompt_token_details` is the hosted API's (recorded)."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_token_details: CachedTokens
    completion_tokens_details: ReasoningTokens


class Run(WireModel):
    id: str
    object: Literal["thread.run"] = "thread.run"
    created_at: int
    assistant_id: str
    thread_id: str
    status: RunStatus
    started_at: int | None
    expires_at: int | None
    cancelled_at: int | None
    failed_at: int | None
    completed_at: int | None
    required_action: RequiredAction | None
    last_error: LastError | None
    model: str
    instructions: str | None
    tools: list[Tool]
    tool_resources: ToolResources
    metadata: Metadata
    temperature: float
    top_p: float
    reasoning_effort: ReasoningEffort | None
    max_completion_tokens: int | None
    max_prompt_tokens: int | None
    truncation_strategy: TruncationStrategy
    incomplete_details: RunIncompleteDetails | None
    usage: Usage | None
    response_format: ResponseFormat
    tool_choice: ToolChoice
    parallel_tool_calls: bool


def usage(prompt: int = 0, completion: int = 0, cached: int = 0, reasoning: int = 0) -> Usage:
    """Build a usage object from token counts."""
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_token_details": {"cached_tokens": cached},
        "completion_tokens_details": {"reasoning_tokens": reasoning},
    }


def add_usage(one: Usage, other: Usage) -> Usage:
    """Sum two usages."""
    return usage(
        one["prompt_tokens"] + other["prompt_tokens"],
        one["completion_tokens"] + other["completion_tokens"],
        one["prompt_token_details"]["cached_tokens"] + other["prompt_token_details"]["cached_tokens"],
        one["completion_tokens_details"]["reasoning_tokens"] + other["completion_tokens_details"]["reasoning_tokens"],
    )
