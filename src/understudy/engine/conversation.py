"""Threads and messages, where they touch runs: a thread with an active run takes no new messages."""

from sqlalchemy import Connection

from understudy.engine import creation
from understudy.engine.retries import ALWAYS, Once
from understudy.engine.service import refuse_if_busy
from understudy.ids import Clock
from understudy.protocol.messages import CreateMessage, Message
from understudy.protocol.threads import CreateThread, Thread
from understudy.storage import threads
from understudy.storage.base import Store


class Conversations:
    """Threads and their messages."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def create_thread(self, project: str, given: CreateThread | None, once: Once = ALWAYS) -> Thread:
        """Create a thread with its first messages."""

        def write(connection: Connection) -> Thread:
            resources = creation.stored_resources(given.tool_resources if given else None)
            thread = creation.add_thread(connection, project, given, resources, self._clock.now())
            return threads.get(connection, project, thread.id)

        return await once.write(self._store, write)

    async def add_message(self, project: str, thread_id: str, given: CreateMessage, once: Once = ALWAYS) -> Message:
        """Append a message. Raises NotFound, and InvalidRequest while a run is active."""

        def write(connection: Connection) -> Message:
            threads.lock(connection, project, thread_id)
            refuse_if_busy(connection, thread_id, "Can't add messages to {thread} while a run {run} is active.")
            return creation.add_messages(connection, project, thread_id, [given], self._clock.now())[0]

        return await once.write(self._store, write)
