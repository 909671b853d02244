"""Fakes for tests, ours and our users': a model that says what it is told, a clock that stands still.

Say `ScriptedProvider(say("Hello"), call(get_weather={"city": "부산"}), say("It rains."))`.
"""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from understudy.errors import ToolUnavailable, UpstreamError
from understudy.ids import new_id
from understudy.inference.base import (
    CompletionRequest,
    Delta,
    Finished,
    FinishReason,
    Route,
    TextDelta,
    TokenUsage,
    ToolCallDelta,
)
from understudy.protocol.tools import Tool as ToolOptions
from understudy.tools.base import Description, RunContext, ToolOutput, ToolSession

Turn = Sequence[Delta | UpstreamError | asyncio.Event]
"""One answer of a model: deltas, a fault in their midst, or an event to wait for before going on."""

USAGE = TokenUsage(prompt_tokens=10, completion_tokens=5)


def say(text: str, *, reason: FinishReason = "stop", usage: TokenUsage = USAGE) -> list[Delta]:
    """An answer in words, one delta a word."""
    words = [TextDelta(word) for word in _pieces(text)]
    return [*words, Finished(reason, usage)]


def call(*, narration: str = "", usage: TokenUsage = USAGE, **functions: dict[str, Any]) -> list[Delta]:
    """An answer that calls functions, by name, with arguments; all at once, after a narration if one is given."""
    deltas: list[Delta] = [TextDelta(word) for word in _pieces(narration)]
    for index, (name, arguments) in enumerate(functions.items()):
        deltas.append(ToolCallDelta(index, new_id("call"), name))
        deltas.append(ToolCallDelta(index, arguments=json.dumps(arguments, ensure_ascii=False)))
    return [*deltas, Finished("tool_calls", usage)]


def _pieces(text: str) -> list[str]:
    words = text.split(" ")
    return [word if place == 0 else f" {word}" for place, word in enumerate(words) if text]


@dataclass
class ScriptedProvider:
    """A Provider that answers with its turns, in order, and remembers what it was asked.

    `aborted` counts answers whose reader went away before their end.
    """

    turns: list[Turn] = field(default_factory=list)
    requests: list[CompletionRequest] = field(default_factory=list)
    aborted: int = 0

    def __init__(self, *turns: Turn) -> None:
        self.turns = list(turns)
        self.requests = []
        self.aborted = 0

    async def stream(self, request: CompletionRequest) -> AsyncGenerator[Delta, None]:
        self.requests.append(request)
        if not self.turns:
            raise UpstreamError("The script is at its end.")
        finished = False
        try:
            for item in self.turns.pop(0):
                await asyncio.sleep(0)
                if isinstance(item, UpstreamError):
                    finished = True
                    raise item
                if isinstance(item, asyncio.Event):
                    await item.wait()
                    continue
                finished = isinstance(item, Finished)
                yield item
        finally:
            self.aborted += not finished

    async def aclose(self) -> None:
        """Nothing to release."""


@dataclass
class ScriptedTool:
    """A built-in tool that gives its outputs in order, and remembers its calls.

    An exception in the place of an output is raised; an event is waited for before going on, and `waiting` is set.
    """

    name: str
    outputs: list[ToolOutput | BaseException | asyncio.Event] = field(default_factory=list)
    off: str | None = None
    calls: list[tuple[str, ToolSession]] = field(default_factory=list)
    waiting: asyncio.Event = field(default_factory=asyncio.Event)

    async def prepare(self, tool: ToolOptions, run: RunContext) -> Description:
        if self.off is not None:
            raise ToolUnavailable(self.off)
        return Description(self.name, f"Use {self.name}.", {"type": "object", "properties": {}})

    async def call(self, arguments: str, session: ToolSession) -> ToolOutput:
        self.calls.append((arguments, session))
        output = self.outputs.pop(0)
        while isinstance(output, asyncio.Event):
            self.waiting.set()
            await output.wait()
            output = self.outputs.pop(0)
        if isinstance(output, BaseException):
            raise output
        if "outputs" in output.shown:
            await session.tell({"outputs": output.shown["outputs"]})
        return output


@dataclass(frozen=True)
class OneRoute:
    """Routes that lead every name to one provider."""

    provider: ScriptedProvider
    context_window: int = 128_000

    def find(self, model: str) -> Route:
        return Route(self.provider, model, self.context_window)

    def names(self) -> Sequence[str]:
        return ["scripted"]


@dataclass
class FakeClock:
    """A clock that moves when it is told to. Times are Unix seconds."""

    time: float = 1_800_000_000.0

    def now(self) -> float:
        return self.time

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.time += seconds


async def collect_events(events: AsyncIterable[Any]) -> list[str]:
    """Read a stream of the engine to its end and return the events' names, each run of deltas as one."""
    names: list[str] = []
    async for live in events:
        if live is not None and not (names and names[-1] == live.event.name and live.event.name.endswith(".delta")):
            names.append(live.event.name)
    return names
