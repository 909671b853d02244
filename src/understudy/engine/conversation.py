"""Threads and messages, where they touch runs: a thread with an active run takes no new messages."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection

from understudy.bus.base import Bus
from understudy.engine import creation
from understudy.engine.passing_stores import OF_THREADS, are_described, plant
from understudy.engine.references import check_resources
from understudy.engine.retries import ALWAYS, Once
from understudy.engine.service import refuse_if_busy
from understudy.ids import Clock
from understudy.protocol.messages import CreateMessage, Message
from understudy.protocol.threads import CreateThread, ModifyThread, Thread
from understudy.protocol.tools import ToolResources
from understudy.storage import threads
from understudy.storage.base import Store


class Conversations:
    """Threads and their messages."""

    def __init__(self, store: Store, bus: Bus, clock: Clock) -> None:
        self._store = store
        self._bus = bus
        self._clock = clock

    async def create_thread(self, project: str, given: CreateThread | None, once: Once = ALWAYS) -> Thread:
        """Create a thread with its first messages. Raises FilesNotFound, NotFound, InvalidRequest."""
        todo: list[str] = []

        def write(connection: Connection) -> Thread:
            tools = given.tool_resources if given else None
            return creation.add_thread(connection, project, given, tools, self._clock.now(), todo=todo)

        made = await once.write(self._store, write)
        await self._enqueue(todo)
        return made

    async def modify_thread(self, project: str, thread_id: str, given: ModifyThread, once: Once = ALWAYS) -> Thread:
        """Change a thread's metadata, and what its tools have. Raises as `create_thread`.

        Resources of one tool are replaced without touching another's; null empties them all.
        """
        todo: list[str] = []
        tools = given.tool_resources

        def write(connection: Connection) -> Thread:
            changes: dict[str, Any] = {"metadata": given.metadata or {}} if given.given("metadata") else {}
            before = threads.lock(connection, project, thread_id).tool_resources
            if given.given("tool_resources"):
                now, new = self._clock.now(), creation.stored_resources(tools)
                check_resources(connection, project, new, now)
                resources: ToolResources = {} if tools is None else {**before, **new}
                changes["tool_resources"] = plant(
                    connection, project, tools, resources, now, todo=todo, expires_after=OF_THREADS
                )
            return threads.change(connection, project, thread_id, changes)

        changed = await once.write(self._store, write, repeatable=not are_described(tools))
        await self._enqueue(todo)
        return changed

    async def add_message(self, project: str, thread_id: str, given: CreateMessage, once: Once = ALWAYS) -> Message:
        """Append a message. Raises NotFound, and InvalidRequest while a run is active."""
        todo: list[str] = []

        def write(connection: Connection) -> Message:
            threads.lock(connection, project, thread_id)
            refuse_if_busy(connection, thread_id, "Can't add messages to {thread} while a run {run} is active.")
            return creation.add_messages(connection, project, thread_id, [given], self._clock.now(), todo=todo)[0]

        made = await once.write(self._store, write)
        await self._enqueue(todo)
        return made

    async def _enqueue(self, todo: Sequence[str]) -> None:
        for job in todo:
            await self._bus.enqueue(job, "files")
