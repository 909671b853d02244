"""A file's way from its bytes to passages that can be found."""

from collections.abc import AsyncIterator, Awaitable, Sequence
from typing import Protocol

from sqlalchemy import Connection

from understudy.errors import LeaseLost, NoSuchFile
from understudy.ingest.files import Files
from understudy.ingest.index import Fence, Index
from understudy.protocol.vector_stores import ChunkingStrategy, FileStatus
from understudy.retrieval.chunk import Auto, Static, Strategy
from understudy.retrieval.documents import Chunk
from understudy.storage import vector_store_files
from understudy.storage.vector_store_files import FileRecord


class Cut(Protocol):
    """Reads a file and cuts it into pieces, within limits of time and memory. Raises Unreadable."""

    def __call__(self, content: AsyncIterator[bytes], filename: str, strategy: Strategy) -> Awaitable[Sequence[Chunk]]:
        """Return the pieces in the text's order."""
        ...


class FileIntake:
    """Makes files of vector stores findable."""

    def __init__(self, files: Files, cut: Cut, index: Index) -> None:
        self._files = files
        self._cut = cut
        self._index = index

    async def take_in(self, held: FileRecord) -> int:
        """Read a file, cut it, index it; return the bytes that its passages take. Raises Unreadable, LeaseLost."""
        try:
            file = await self._files.find(held.project, held.id)
            content = await self._files.content(held.project, held.id)
        except NoSuchFile:
            raise LeaseLost(f"file {held.id} is gone") from None
        pieces = await self._cut(content, file.filename, strategy_of(held.chunking_strategy))
        return await self._index.add(held.project, held.vector_store_id, held.id, pieces, fence=fence_of(held))

    async def remove(self, store_id: str, file_id: str | None = None) -> None:
        """Remove the passages of a file, or of all files of a store. Raises LeaseLost for a file that came back."""
        if file_id is None:
            await self._index.remove_store(store_id)
        else:
            await self._index.remove(store_id, file_id, fence=_fence_of_left_over(store_id, file_id))


def strategy_of(stored: ChunkingStrategy) -> Strategy:
    """Return how a file is to be cut."""
    if stored["type"] == "auto":
        return Auto()
    sizes = stored["static"]
    return Static(sizes["max_chunk_size_tokens"], sizes["chunk_overlap_tokens"])


def fence_of(held: FileRecord, status: FileStatus = "in_progress") -> Fence:
    """Return what keeps a worker that lost a file from writing to the index."""

    def fence(connection: Connection) -> None:
        if not vector_store_files.lock_held(connection, held, status):
            raise LeaseLost(f"file {held.job} was taken away")

    return fence


def _fence_of_left_over(store_id: str, file_id: str) -> Fence:
    """Return what keeps the passages of a file that was added again from being removed with its old ones."""

    def fence(connection: Connection) -> None:
        if not vector_store_files.is_left_over(connection, store_id, file_id):
            raise LeaseLost(f"file {file_id} is in the store again")

    return fence
