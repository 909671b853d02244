"""A whole engine for tests: a real store and bus, a scripted model, a clock that stands still."""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.harness import setups
from tests.ingest.fakes import FakeIndex, FakeIntake
from tests.storage.builders import PROJECT, assistant

from understudy.bus.base import Bus, LiveEvent
from understudy.engine.conversation import Conversations
from understudy.engine.follow import Followers
from understudy.engine.loop import Loop
from understudy.engine.service import RunService, Started
from understudy.engine.sweeper import Sweeper
from understudy.engine.worker import Worker
from understudy.inference.base import ChatMessage, TextDelta, ToolSpec
from understudy.ingest.worker import FileWorker
from understudy.protocol.messages import CreateMessage, Message
from understudy.protocol.runs import CreateRun, RequiredToolCall, Run, ToolOutput
from understudy.protocol.steps import RunStep
from understudy.protocol.threads import CreateThread
from understudy.storage import assistants, messages, runs, steps
from understudy.storage.base import Store
from understudy.storage.rows import Window
from understudy.storage.runs import RunRecord
from understudy.testing import FakeClock, MemoryFileStore, OneRoute, ScriptedProvider, call, say
from understudy.tools.base import Tool

SOON_S = 10.0
LEASE_S = 8.0
EXPIRY_S = 600
ALL = Window(100, "asc")

HAPPY_PATH = [
    "thread.run.created",
    "thread.run.queued",
    "thread.run.in_progress",
    "thread.run.step.created",
    "thread.run.step.in_progress",
    "thread.message.created",
    "thread.message.in_progress",
    "thread.message.delta",
    "thread.message.completed",
    "thread.run.step.completed",
    "thread.run.completed",
]


def count_characters(chat: Sequence[ChatMessage], tools: Sequence[ToolSpec]) -> int:
    """A token is a character: budgets are easy to read."""
    return sum(len(str(message["content"])) for message in chat) + sum(len(tool.name) for tool in tools)


def function(name: str = "get_weather", **definition: Any) -> dict[str, Any]:
    parameters = {"type": "object", "properties": {"city": {"type": "string"}}}
    return {"type": "function", "function": {"name": name, "parameters": parameters, "strict": False} | definition}


@dataclass
class House:
    store: Store
    bus: Bus
    clock: FakeClock
    model: ScriptedProvider
    context_window: int = 128_000
    toolbox: dict[Any, Tool] = field(default_factory=dict)
    tasks: list[asyncio.Task[None]] = field(default_factory=list)
    file_store: MemoryFileStore = field(default_factory=MemoryFileStore)
    intake: FakeIntake = field(default_factory=FakeIntake)
    index: FakeIndex = field(default_factory=FakeIndex)

    def __post_init__(self) -> None:
        self.routes = OneRoute(self.model, self.context_window)
        self.runs = RunService(self.store, self.bus, self.routes, self.clock, run_expiry_s=EXPIRY_S)
        self.conversations = Conversations(self.store, self.bus, self.clock)
        self.followers = Followers(self.store, self.bus, self.clock)
        self.sweeper = Sweeper(self.store, self.bus, self.clock)

    def worker(self, name: str = "worker", concurrency: int = 8, bus: Bus | None = None) -> Worker:
        bus = bus or self.bus
        loop = Loop(
            self.store, bus, self.routes, count_characters, self.clock, LEASE_S, self.toolbox, quote=lambda _, p: p[:5]
        )
        return Worker(self.store, bus, loop, self.clock, name=name, lease_s=LEASE_S, concurrency=concurrency)

    def work(self) -> Worker:
        """Let a worker serve until the house is closed."""
        worker = self.worker()
        self.tasks.append(asyncio.create_task(worker.serve()))
        return worker

    def take_in(self) -> None:
        """Let a worker take files in until the house is closed."""
        worker = FileWorker(self.store, self.bus, self.intake, self.clock, name="w", lease_s=LEASE_S, concurrency=8)
        self.tasks.append(asyncio.create_task(worker.serve()))

    # --- what a client does ---------------------------------------------------------------------------------------

    async def assistant(self, **given: Any) -> str:
        made = assistant(**{"instructions": "Be kind."} | given)
        await self.store.write(lambda connection: assistants.add(connection, PROJECT, made))
        return made.id

    async def thread(self, *texts: str) -> str:
        said = [CreateMessage(role="user", content=text) for text in texts]
        return (await self.conversations.create_thread(PROJECT, CreateThread(messages=said))).id

    async def start(self, *texts: str, tools: Sequence[Any] = (), **request: Any) -> Started:
        """Start a run on a new thread. `request` are fields of the run's request."""
        thread_id = await self.thread(*(texts or ["hi"]))
        return await self.start_on(thread_id, tools=tools, **request)

    async def start_on(self, thread_id: str, tools: Sequence[Any] = (), **request: Any) -> Started:
        assistant_id = await self.assistant(tools=list(tools))
        given = CreateRun.model_validate({"assistant_id": assistant_id} | request)
        return await self.runs.start(PROJECT, thread_id, given)

    async def submit(self, run: RunRecord | Run, **outputs: str) -> Started:
        """Answer a run's open calls by function name."""
        found = await self.run(run.id)
        given = [
            ToolOutput(tool_call_id=call["id"], output=outputs[call["function"]["name"]]) for call in open_calls(found)
        ]
        return await self.runs.submit(PROJECT, run.thread_id, run.id, given)

    async def cancel(self, run: RunRecord | Run) -> Run:
        return await self.runs.cancel(PROJECT, run.thread_id, run.id)

    # --- what there is to see -------------------------------------------------------------------------------------

    def follow(self, started: Started) -> AsyncGenerator[LiveEvent | None, None]:
        return self.followers.follow(started.run.id, started.events)

    async def events(self, started: Started) -> list[LiveEvent]:
        """A client's stream, to its end."""
        async with asyncio.timeout(SOON_S):
            return [live async for live in self.follow(started) if live is not None]

    async def rest(self, started: Started) -> RunRecord:
        """Wait until a run rests, and return it."""
        await self.events(started)
        return await self.run(started.run.id)

    async def run(self, run_id: str) -> RunRecord:
        found = await self.store.read(lambda connection: runs.find(connection, run_id))
        assert found is not None
        return found

    async def steps(self, run_id: str) -> list[RunStep]:
        return (await self.store.read(lambda connection: steps.list_page(connection, run_id, ALL)))[0]

    async def messages(self, thread_id: str) -> list[Message]:
        return (await self.store.read(lambda connection: messages.list_page(connection, thread_id, ALL)))[0]

    async def texts(self, thread_id: str) -> list[str]:
        return [text(message) for message in await self.messages(thread_id)]


@asynccontextmanager
async def open_house(folder: Path, *turns: Any, context_window: int = 128_000) -> AsyncIterator[House]:
    clock = FakeClock()
    async with setups.store_and_bus(folder, clock) as (store, bus):
        house = House(store, bus, clock, ScriptedProvider(*turns), context_window)
        try:
            yield house
        finally:
            await house.bus.close()
            for task in house.tasks:
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task


def text(message: Message) -> str:
    return "".join(part["text"]["value"] for part in message.content if part["type"] == "text")


def open_calls(run: RunRecord) -> list[RequiredToolCall]:
    assert run.required_action is not None
    return run.required_action["submit_tool_outputs"]["tool_calls"]


def names(events: Sequence[LiveEvent]) -> list[str]:
    """Events by name, each run of deltas as one."""
    found: list[str] = []
    for live in events:
        if not (found and found[-1] == live.event.name and live.event.name.endswith(".delta")):
            found.append(live.event.name)
    return found


def bodies(events: Sequence[LiveEvent], name: str) -> list[Any]:
    return [json.loads(live.event.data) for live in events if live.event.name == name]


async def waiting_run(house: House, **functions: dict[str, Any]) -> Started:
    """A run that waits for the outputs of its functions."""
    functions = functions or {"get_weather": {}}
    house.model.turns.insert(0, call(**functions))
    started = await house.start(tools=[function(name) for name in functions])
    await house.events(started)
    return started


async def speaking_run(house: House, gate: asyncio.Event) -> Started:
    """A run in the midst of its answer, which goes on after the gate."""
    house.model.turns = [[TextDelta("Hel"), TextDelta("lo"), gate, *say(" there")]]
    started = await house.start()
    follower = await house.bus.subscribe(started.run.id)
    assert follower is not None
    while (live := await follower.next(SOON_S)) and '"lo"' not in live.event.data:
        pass
    return started
