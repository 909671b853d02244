"""The port to a language model: one streamed chat completion at a time."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

ChatMessage = Mapping[str, Any]
"""One message in the chat completions format (role, content, tool_calls, tool_call_id)."""

FinishReason = Literal["stop", "length", "tool_calls", "content_filter"]


@dataclass(frozen=True, slots=True)
class ToolSpec:
    """A function as the model is told of it. `parameters` is a JSON Schema."""

    name: str
    description: str | None
    parameters: Mapping[str, Any]
    strict: bool | None = None


@dataclass(frozen=True, slots=True)
class CompletionRequest:
    """One call of a model. `None` means that the user never set the value: it is not sent upstream."""

    model: str
    messages: Sequence[ChatMessage]
    tools: Sequence[ToolSpec] = ()
    tool_choice: str | Mapping[str, Any] | None = None
    parallel_tool_calls: bool | None = None
    temperature: float | None = None
    top_p: float | None = None
    max_tokens: int | None = None
    response_format: Mapping[str, Any] | None = None
    reasoning_effort: str | None = None


@dataclass(frozen=True, slots=True)
class TextDelta:
    """A piece of the answer's text."""

    text: str


@dataclass(frozen=True, slots=True)
class RefusalDelta:
    """A piece of the model's refusal."""

    text: str


@dataclass(frozen=True, slots=True)
class ToolCallDelta:
    """A piece of the tool call at `index`: its id and name once, its arguments (JSON text) in fragments."""

    index: int
    id: str | None = None
    name: str | None = None
    arguments: str = ""


@dataclass(frozen=True, slots=True)
class TokenUsage:
    """Tokens of one call."""

    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int = 0
    reasoning_tokens: int = 0


@dataclass(frozen=True, slots=True)
class Finished:
    """The last delta of every stream. `usage` is counted by the provider where the upstream gives none."""

    reason: FinishReason
    usage: TokenUsage


Delta = TextDelta | RefusalDelta | ToolCallDelta | Finished


class Provider(Protocol):
    """A model behind one address."""

    def stream(self, request: CompletionRequest) -> AsyncGenerator[Delta, None]:
        """Yield deltas as they come; the last one is `Finished`.

        Closing the generator aborts the upstream call. Raises UpstreamError for every fault of the
        upstream: unreachable, refusing, silent for too long, cut off before its end, or not understood.
        """
        ...

    async def aclose(self) -> None:
        """Release connections and child processes."""
        ...


@dataclass(frozen=True, slots=True)
class Route:
    """Where a model name leads: a provider, the name it knows the model by, its window in tokens."""

    provider: Provider
    model: str
    context_window: int


class Routes(Protocol):
    """Names of models to providers."""

    def find(self, model: str) -> Route:
        """Return the route of a model name. Raises ModelNotFound."""
        ...

    def names(self) -> Sequence[str]:
        """Names of models that `GET /v1/models` lists."""
        ...
