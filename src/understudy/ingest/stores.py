"""What a client may do with vector stores: each is one transaction, then its jobs."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol, TypeVar

from sqlalchemy import Connection

from understudy.bus.base import Bus
from understudy.ids import Clock, new_id
from understudy.protocol.vector_stores import (
    AddFile,
    AddFileBatch,
    CreateVectorStore,
    ExpiresAfter,
    ExpiresAfterParam,
    FileBatch,
    ModifyVectorStore,
    VectorStore,
    VectorStoreFile,
    stored_chunking,
)
from understudy.storage import file_batches, store_contents, vector_store_files, vector_stores
from understudy.storage.base import Store
from understudy.storage.store_contents import NewStore
from understudy.storage.vector_store_files import Addition

AHEAD = 8
"""How many files of one request go ahead of the further ones of any request."""

T = TypeVar("T")


class Write(Protocol):
    """How a change is made: a request's permission to change something once fits in here."""

    def __call__(self, change: Callable[[Connection], T]) -> Awaitable[T]:
        """Run the change in a transaction."""
        ...


class VectorStores:
    """Vector stores and their files, as requests see them."""

    def __init__(self, store: Store, bus: Bus, clock: Clock) -> None:
        self._store = store
        self._bus = bus
        self._clock = clock

    async def create(self, project: str, given: CreateVectorStore, write: Write | None = None) -> VectorStore:
        """Make a store, with files. Raises FilesNotFound."""
        wanted = NewStore(
            file_ids=given.file_ids or [],
            name=given.name,
            description=given.description,
            expires_after=_expires_after(given.expires_after),
            chunking_strategy=stored_chunking(given.chunking_strategy),
            metadata=given.metadata,
        )
        jobs: list[str] = []

        def change(connection: Connection) -> VectorStore:
            now = self._clock.now()
            made, todo = store_contents.make(connection, project, wanted, now)
            jobs.extend(todo)
            return vector_stores.shown(connection, [made], now)[0]

        made = await (write or self._store.write)(change)
        await self.enqueue(jobs)
        return made

    async def modify(
        self, project: str, store_id: str, given: ModifyVectorStore, write: Write | None = None
    ) -> VectorStore:
        """Change a store's name, metadata or policy. Raises NotFound; InvalidRequest if its time is over."""
        values: dict[str, Any] = {"name": given.name} if given.given("name") else {}
        if given.given("metadata"):
            values["metadata"] = given.metadata or {}
        if given.given("expires_after"):
            values["expires_after"] = _expires_after(given.expires_after)

        def change(connection: Connection) -> VectorStore:
            now = self._clock.now()
            if "expires_after" in values:  # else it would come back to life, without what was in it
                vector_stores.usable(connection, project, store_id, now)
            changed = vector_stores.change(connection, project, store_id, values)
            return vector_stores.shown(connection, [changed], now)[0]

        return await (write or self._store.write)(change)

    async def delete(self, project: str, store_id: str) -> None:
        """Delete a store. What was in it is not found any more at once, and removed in time. Raises NotFound."""
        await self._store.write(lambda connection: vector_stores.remove(connection, project, store_id))
        await self.enqueue([store_id])
        await self._bus.signal(store_id)

    async def add_file(
        self, project: str, store_id: str, given: AddFile, write: Write | None = None
    ) -> VectorStoreFile:
        """Put a file into a store. Raises as `store_contents.fill`."""
        jobs: list[str] = []

        def change(connection: Connection) -> VectorStoreFile:
            jobs.extend(store_contents.fill(connection, project, store_id, [_addition(given)], self._clock.now()))
            return vector_store_files.get(connection, store_id, given.file_id)

        added = await (write or self._store.write)(change)
        await self.enqueue(jobs)
        return added

    async def add_batch(
        self, project: str, store_id: str, given: AddFileBatch, write: Write | None = None
    ) -> FileBatch:
        """Put files into a store, as one batch. Raises as `add_file`."""
        additions, batch_id = [_addition(one) for one in given.each()], new_id("file_batch")
        jobs: list[str] = []

        def change(connection: Connection) -> FileBatch:
            now = self._clock.now()
            jobs.extend(store_contents.fill(connection, project, store_id, additions, now))
            members = [addition.file_id for addition in additions]
            file_batches.add(connection, project, batch_id, store_id, members, now)
            return file_batches.get(connection, project, store_id, batch_id)

        batch = await (write or self._store.write)(change)
        await self.enqueue(jobs)
        return batch

    async def cancel_batch(self, project: str, store_id: str, batch_id: str, write: Write | None = None) -> FileBatch:
        """Cancel what of a batch is not done; a finished one stays as it is. Raises NotFound, NotInStore."""
        jobs: list[str] = []

        def change(connection: Connection) -> FileBatch:
            vector_stores.get(connection, project, store_id)
            jobs.extend(file_batches.cancel(connection, project, store_id, batch_id, self._clock.now()))
            return file_batches.get(connection, project, store_id, batch_id)

        batch = await (write or self._store.write)(change)
        await self._call_off(store_id, jobs)
        return batch

    async def set_attributes(
        self, project: str, store_id: str, file_id: str, attributes: dict[str, Any], write: Write | None = None
    ) -> VectorStoreFile:
        """Replace a file's attributes. Raises NotFound, NotInStore."""

        def change(connection: Connection) -> VectorStoreFile:
            vector_stores.get(connection, project, store_id)
            return vector_store_files.set_attributes(connection, store_id, file_id, attributes)

        return await (write or self._store.write)(change)

    async def remove_file(self, project: str, store_id: str, file_id: str) -> None:
        """Take a file out of a store; the file itself stays. Raises NotFound, NotInStore."""

        def change(connection: Connection) -> None:
            vector_stores.get(connection, project, store_id)
            vector_store_files.remove(connection, store_id, file_id)

        await self._store.write(change)
        await self._call_off(store_id, [vector_store_files.job_of(store_id, file_id)])

    async def enqueue(self, jobs: Sequence[str]) -> None:
        """Give jobs to whoever takes files in. Of many at once the further ones let those of others go ahead."""
        for place, job in enumerate(jobs):
            await self._bus.enqueue(job, "files", behind=place >= AHEAD)

    async def _call_off(self, store_id: str, jobs: Sequence[str]) -> None:
        """Tell workers to let go of files, tell who waits for them, and have what is there of them removed."""
        for job in jobs:
            await self._bus.signal(job)
        if jobs:
            await self._bus.signal(store_id)
        await self.enqueue(jobs)


def _addition(given: AddFile) -> Addition:
    return Addition(given.file_id, stored_chunking(given.chunking_strategy), given.attributes)


def _expires_after(given: ExpiresAfterParam | None) -> ExpiresAfter | None:
    return None if given is None else {"anchor": given.anchor, "days": given.days}
