"""The port to a built-in tool: what the model is told of it, and what becomes of a call.

A tool's failure is an output that the model can read, never a dead run; only a tool that is off ends the run, before
the model is asked.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from understudy.protocol.base import JsonObject
from understudy.protocol.tools import Tool as ToolOptions
from understudy.protocol.tools import ToolResources, ToolType


@dataclass(frozen=True, slots=True)
class RunContext:
    """The run that a tool works for. Resources are those of the assistant and the thread as they are now."""

    project: str
    thread_id: str
    run_id: str
    assistant_resources: ToolResources = field(default_factory=lambda: ToolResources())
    thread_resources: ToolResources = field(default_factory=lambda: ToolResources())
    context_window: int = 128_000


@dataclass(frozen=True, slots=True)
class Description:
    """A tool as the model is told of it: a function. `parameters` is a JSON Schema."""

    name: str
    description: str
    parameters: JsonObject


Tell = Callable[[JsonObject], Awaitable[None]]


async def to_nobody(_piece: JsonObject) -> None:
    """Tell of nothing: for calls that nobody follows."""


@dataclass(frozen=True, slots=True)
class ToolSession:
    """What one call is made for.

    `place` is the place of the call's step in its thread: no other step of the thread has it, so that citations
    (`【place:result†name】`) stay unique; `first_result` is the first number that no earlier call of the step has used.
    `tell` takes a piece of what the step shows while the call is under way, as a delta of the step has it, such as
    `{"outputs": [{"index": 0, "type": "logs", "logs": "1"}]}`. `made` are the files that came of the thread's earlier
    calls of the tool, as in `ToolOutput.files`; `used_before` says whether there were any such calls.
    """

    run: RunContext
    tool: ToolOptions
    place: int
    first_result: int = 0
    tell: Tell = to_nobody
    made: Mapping[str, str] = field(default_factory=dict)
    used_before: bool = False


@dataclass(frozen=True, slots=True)
class ToolOutput:
    """What became of a call.

    `shown` is what the run step shows under the tool's name: `{input, outputs}` or `{ranking_options, results}`;
    `told` is what the model reads; `files` names the files that came of it, by the text with which an answer links
    them (`sandbox:/mnt/data/x.csv`).
    """

    shown: JsonObject
    told: str
    files: Mapping[str, str] = field(default_factory=dict)


class Tool(Protocol):
    """A built-in tool."""

    async def prepare(self, tool: ToolOptions, run: RunContext) -> Description:
        """Make ready for a run and tell what the model is to know. Raises ToolUnavailable, which fails the run."""
        ...

    async def call(self, arguments: str, session: ToolSession) -> ToolOutput:
        """Carry a call out. `arguments` is what the model wrote: JSON text, if it kept to the schema.

        May be called again for a call whose outcome was lost with its worker. Cancelling it stops the work.
        """
        ...


Toolbox = Mapping[ToolType, Tool]
