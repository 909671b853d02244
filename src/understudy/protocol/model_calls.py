"""Calls of a model, with what exactly was sent: an extension."""

from typing import Any, Literal

from understudy.protocol.base import JsonObject, WireModel
from understudy.protocol.runs import Usage


class Prompt(WireModel):
    """What a model was given, put together again from the thread: in the form of a chat completions request.

    An upstream's dialect may still have changed its spelling (docs/configuration.md). Messages that were deleted since
    are missing, and named. A built-in tool of a call before this was recorded is named only.
    """

    messages: list[JsonObject]
    tools: list[JsonObject]
    tool_choice: Any
    parallel_tool_calls: bool | None
    temperature: float | None
    top_p: float | None
    max_tokens: int | None
    response_format: Any
    reasoning_effort: str | None
    missing_message_ids: list[str]


class ModelCall(WireModel):
    """One call. Times are Unix seconds with fractions; `step_id` is the step that carries the call's usage.

    `finish_reason` is `broken_off` for a call that failed or was called off; `prompt` is null in lists.
    """

    id: str
    object: Literal["thread.run.model_call"] = "thread.run.model_call"
    thread_id: str
    run_id: str
    step_id: str | None
    attempt: int
    model: str
    started_at: float
    first_token_at: float | None
    finished_at: float | None
    finish_reason: str | None
    usage: Usage | None
    message_ids: list[str]
    prompt: Prompt | None
