"""Fakes for tests, ours and our users': a model that says what it is told, a clock that stands still.

Say `ScriptedProvider(say("Hello"), call(get_weather={"city": "부산"}), say("It rains."))`.
"""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from understudy.errors import SessionEnded, ToolUnavailable, Unavailable, UpstreamError
from understudy.files.base import FileFault, NoBytes, chained
from understudy.ids import new_id
from understudy.inference.base import (
    CompletionRequest,
    Delta,
    Finished,
    FinishReason,
    Provider,
    Route,
    TextDelta,
    TokenUsage,
    ToolCallDelta,
)
from understudy.protocol.tools import Tool as ToolOptions
from understudy.sandbox.base import Image, Outcome, Output, OutputFile, Result
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

    provider: Provider
    context_window: int = 128_000

    def find(self, model: str) -> Route:
        return Route(self.provider, model, self.context_window)

    def names(self) -> Sequence[str]:
        return ["scripted"]


@dataclass(frozen=True)
class Ran:
    """What a call of a FakeSandbox gives. `until` keeps the code busy until it is set; `files` are by name."""

    logs: str = ""
    images: Sequence[Image] = ()
    files: Mapping[str, bytes] = field(default_factory=dict)
    outcome: Outcome = "ok"
    truncated: bool = False
    until: asyncio.Event | None = None

    def result(self) -> Result:
        files = tuple(OutputFile(name, len(content)) for name, content in self.files.items())
        return Result(self.logs, tuple(self.images), files, self.outcome, self.truncated)


@dataclass(eq=False)
class FakeSession:
    """One key's session: its files, and the code that was run in it. See `sandbox.base.Session`."""

    sandbox: "FakeSandbox"
    restarted: bool
    files: dict[str, bytes] = field(default_factory=dict)
    codes: list[str] = field(default_factory=list)
    alive: bool = True
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def is_new(self) -> bool:
        return not self.codes

    async def put(self, name: str, content: bytes | AsyncIterable[bytes], *, also: Sequence[str] = ()) -> str:
        self._must_live()
        name = name.replace("/", "_")
        whole = content if isinstance(content, bytes) else b"".join([chunk async for chunk in content])
        self.files |= dict.fromkeys([name, *also], whole)
        return name

    async def run(
        self, code: str, timeout_s: float | None = None, on_output: Callable[[Output], None] | None = None
    ) -> Result:
        self._must_live()
        self.codes.append(code)
        ran = self.sandbox.next_call(code)
        if ran.until:
            await ran.until.wait()
        if on_output:
            if ran.logs:
                on_output(ran.logs)
            for image in ran.images:
                on_output(image)
        self.files |= ran.files
        self.alive = ran.outcome != "ended"
        return ran.result()

    async def fetch(self, name: str) -> AsyncGenerator[bytes, None]:
        self._must_live()
        if name not in self.files:
            raise FileNotFoundError(name)
        yield self.files[name]

    def _must_live(self) -> None:
        if not self.alive:
            raise SessionEnded("The session has ended.")


class FakeSandbox:
    """A Sandbox that runs nothing: its calls give what the script says, in order, or by their code.

    `off` is why it is off. `sessions` are those that live, by key; `warmed` counts the calls of `warm()`.
    """

    def __init__(self, *turns: Ran, by_code: Mapping[str, Ran] | None = None, off: str | None = None) -> None:
        self.turns = list(turns)
        self.by_code = dict(by_code or {})
        self.off = off
        self.sessions: dict[str, FakeSession] = {}
        self.warmed = 0

    @asynccontextmanager
    async def session(self, key: str) -> AsyncIterator[FakeSession]:
        await self.ready()
        before = self.sessions.get(key)
        if before is None or not before.alive:
            self.sessions[key] = FakeSession(self, restarted=before is not None)
        async with self.sessions[key].lock:
            yield self.sessions[key]

    def next_call(self, code: str) -> Ran:
        """Return what the next call gives: what its code is known for, else the next turn, else nothing."""
        return self.by_code.get(code) or (self.turns.pop(0) if self.turns else Ran())

    async def ready(self) -> None:
        if self.off:
            raise Unavailable(self.off)

    def warm(self) -> None:
        self.warmed += 1

    def holds(self, key: str) -> bool:
        return key in self.sessions and self.sessions[key].alive

    async def end(self, key: str) -> None:
        if ended := self.sessions.pop(key, None):
            ended.alive = False

    def status(self) -> dict[str, str]:
        return {"state": "off", "kind": "fake", "why": self.off} if self.off else {"state": "ok", "kind": "fake"}

    async def aclose(self) -> None:
        for key in list(self.sessions):
            await self.end(key)


@dataclass
class FakeClock:
    """A clock that moves when it is told to. Times are Unix seconds."""

    time: float = 1_800_000_000.0

    def now(self) -> float:
        return self.time

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.time += seconds


class MemoryFileStore:
    """A FileStore in memory. `fault`, while it is set, is what every call fails with."""

    def __init__(self) -> None:
        self.kept: dict[str, bytes] = {}
        self.fault: FileFault | None = None

    async def put(self, key: str, chunks: AsyncIterator[bytes]) -> int:
        self._fail()
        content = b"".join([bytes(chunk) async for chunk in chunks])
        self._fail()
        self.kept[key] = content
        return len(content)

    async def get(self, key: str) -> AsyncIterator[bytes]:
        self._fail()
        if key not in self.kept:
            raise NoBytes(key)
        return self._read(self.kept[key])

    async def has(self, key: str) -> bool:
        self._fail()
        return key in self.kept

    async def delete(self, key: str) -> None:
        self._fail()
        self.kept.pop(key, None)

    async def join(self, key: str, keys: Sequence[str]) -> int:
        return await self.put(key, chained(self, keys))

    async def tidy(self, older_than_s: float) -> int:
        """Nothing is ever left over."""
        self._fail()
        return 0

    async def _read(self, content: bytes) -> AsyncIterator[bytes]:
        for start in range(0, len(content), 65_536):
            await asyncio.sleep(0)
            yield content[start : start + 65_536]

    def _fail(self) -> None:
        if self.fault is not None:
            raise self.fault


async def collect_events(events: AsyncIterable[Any]) -> list[str]:
    """Read a stream of the engine to its end and return the events' names, each run of deltas as one."""
    names: list[str] = []
    async for live in events:
        if live is not None and not (names and names[-1] == live.event.name and live.event.name.endswith(".delta")):
            names.append(live.event.name)
    return names
