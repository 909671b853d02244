"""Vector stores that are made in passing: those that a request describes, and a thread's own for attached files.

What files there are to take in is noted in `todo`, for the bus once the transaction is through; should that be lost,
ingestion's sweeper finds them. Source: behaviours.md, section 4.
"""

from collections.abc import Sequence

from sqlalchemy import Connection

from understudy.protocol.threads import Thread
from understudy.protocol.tools import ToolResources, ToolResourcesParam
from understudy.protocol.vector_stores import ExpiresAfter, stored_chunking
from understudy.storage import store_contents, threads
from understudy.storage.store_contents import NewStore
from understudy.storage.vector_store_files import Addition

OF_THREADS: ExpiresAfter = {"anchor": "last_active_at", "days": 7}


def are_described(given: ToolResourcesParam | None) -> bool:
    """Tell whether a request describes a vector store: carried out twice, it makes two."""
    return bool(given and given.file_search and given.file_search.vector_stores)


def plant(
    connection: Connection,
    project: str,
    given: ToolResourcesParam | None,
    stored: ToolResources,
    now: float,
    *,
    todo: list[str],
    expires_after: ExpiresAfter | None = None,
) -> ToolResources:
    """Make the vector store that a request describes, and put it among the resources. Raises FilesNotFound."""
    search = given.file_search if given else None
    if search is None or not search.vector_stores:
        return stored
    [seed] = search.vector_stores
    wanted = NewStore(
        file_ids=seed.file_ids,
        chunking_strategy=stored_chunking(seed.chunking_strategy),
        metadata=seed.metadata,
        expires_after=expires_after,
    )
    made, jobs = store_contents.make(connection, project, wanted, now)
    todo += jobs
    return {**stored, "file_search": {"vector_store_ids": [made.id]}}


def shelve(
    connection: Connection, project: str, thread: Thread, file_ids: Sequence[str], now: float, *, todo: list[str]
) -> None:
    """Put files into a thread's store; a thread that has none gets one. The thread must be locked.

    Raises FilesNotFound, and InvalidRequest if the store has expired.
    """
    own = thread.tool_resources.get("file_search", {"vector_store_ids": []})["vector_store_ids"]
    if own:
        todo += store_contents.fill(connection, project, own[0], [Addition(file_id) for file_id in file_ids], now)
        return
    made, jobs = store_contents.make(connection, project, NewStore(file_ids=file_ids, expires_after=OF_THREADS), now)
    todo += jobs
    resources: ToolResources = {**thread.tool_resources, "file_search": {"vector_store_ids": [made.id]}}
    threads.change(connection, project, thread.id, {"tool_resources": resources})
