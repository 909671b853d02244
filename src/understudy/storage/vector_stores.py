"""Queries on vector stores.

Whether a store has expired is a matter of time, not of the sweeper's next round: who asks gives the time. An expired
store can be looked at, listed and deleted; nothing can be added to it or found in it, and it does not come back.
"""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, RowMapping, and_, delete, or_, select, update

from understudy.errors import InvalidRequest, NotFound
from understudy.protocol.base import Metadata
from understudy.protocol.vector_stores import DAY_S, ExpiresAfter, FileError, VectorStore
from understudy.storage import posts, vector_store_files
from understudy.storage.rows import Window, allot_in_project, insert, page
from understudy.storage.schema import file_batch_files, file_batches, vector_stores

NOUN = "vector store"
_TOMBSTONE: dict[str, Any] = {"deleted": True, "name": None, "description": None, "metadata": {}, "emptied": False}
"""Not `emptied`, whatever it was: of a store that expired before, what is listed is to go still."""


@dataclass(frozen=True, slots=True)
class StoreRecord:
    """A vector store, less what is counted from its files. Times are Unix seconds."""

    id: str
    created_at: int
    name: str | None
    description: str | None
    expires_after: ExpiresAfter | None
    expires_at: int | None
    last_active_at: int
    metadata: Metadata

    def has_expired(self, now: float) -> bool:
        """Tell whether the store's time is over."""
        return self.expires_at is not None and self.expires_at <= now


_COLUMNS = StoreRecord.__slots__


def _record(row: RowMapping) -> StoreRecord:
    return StoreRecord(**{name: row[name] for name in _COLUMNS})


def expiry(expires_after: ExpiresAfter | None, last_active_at: int) -> int | None:
    """Return when a store expires that was last used at a moment (recorded)."""
    return None if expires_after is None else last_active_at + expires_after["days"] * DAY_S


def add(connection: Connection, project: str, store: StoreRecord) -> None:
    """Store a new vector store."""
    place = allot_in_project(connection, project)
    insert(connection, vector_stores, asdict(store) | {"project": project, "seq": place})


def get(connection: Connection, project: str, store_id: str) -> StoreRecord:
    """Raises NotFound."""
    mine = (vector_stores.c.id == store_id, vector_stores.c.project == project, ~vector_stores.c.deleted)
    row = connection.execute(select(vector_stores).where(*mine)).mappings().first()
    if row is None:
        raise NotFound(NOUN, store_id)
    return _record(row)


def usable(connection: Connection, project: str, store_id: str, now: float) -> StoreRecord:
    """Get a store for work with what is in it. Raises NotFound, and InvalidRequest if it has expired."""
    store = get(connection, project, store_id)
    if store.has_expired(now):
        text = f"Vector store '{store_id}' has expired. Make a new one, and add the same files to it."
        raise InvalidRequest(text, param="vector_store_id")
    return store


def lock(connection: Connection, project: str, store_id: str, now: float) -> StoreRecord:
    """Get a store for a change of what is in it; others wait till the transaction ends. Raises as `usable`."""
    mine = (vector_stores.c.id == store_id, vector_stores.c.project == project)
    connection.execute(update(vector_stores).where(*mine).values(last_seq=vector_stores.c.last_seq))
    return usable(connection, project, store_id, now)


def shown(connection: Connection, stores: Sequence[StoreRecord], now: float) -> list[VectorStore]:
    """Render stores with what their files come to."""
    contents = vector_store_files.contents(connection, [store.id for store in stores])
    return [_shown(store, contents[store.id], now) for store in stores]


def _shown(store: StoreRecord, contents: vector_store_files.Contents, now: float) -> VectorStore:
    busy = contents.file_counts["in_progress"] > 0
    return VectorStore.model_construct(
        **{name: getattr(store, name) for name in _COLUMNS},
        usage_bytes=contents.usage_bytes,
        file_counts=contents.file_counts,
        status="expired" if store.has_expired(now) else "in_progress" if busy else "completed",
    )


def list_page(connection: Connection, project: str, window: Window, now: float) -> tuple[list[VectorStore], bool]:
    """Return a page of a project's vector stores, and whether there are more."""
    mine = vector_stores.c.project == project
    rows, more = page(connection, vector_stores, mine, [~vector_stores.c.deleted], window, NOUN)
    return shown(connection, [_record(row) for row in rows], now), more


def change(connection: Connection, project: str, store_id: str, values: dict[str, Any]) -> StoreRecord:
    """Set columns and return the result. Raises NotFound."""
    store = get(connection, project, store_id)
    if not values:
        return store
    if "expires_after" in values:
        values = values | {"expires_at": expiry(values["expires_after"], store.last_active_at)}
    connection.execute(update(vector_stores).where(vector_stores.c.id == store_id).values(values))
    return get(connection, project, store_id)


def touch(connection: Connection, store_ids: Iterable[str], now: float) -> None:
    """Note that stores are in use: their time begins anew, unless it is over."""
    moment = int(now)
    alive = or_(vector_stores.c.expires_at.is_(None), vector_stores.c.expires_at > now)
    older = and_(vector_stores.c.last_active_at < moment, ~vector_stores.c.deleted, alive)
    for store_id in store_ids:
        row = connection.execute(
            select(vector_stores.c.expires_after).where(vector_stores.c.id == store_id, older)
        ).first()
        if row is not None:
            values = {"last_active_at": moment, "expires_at": expiry(row[0], moment)}
            connection.execute(update(vector_stores).where(vector_stores.c.id == store_id, older).values(values))


def remove(connection: Connection, project: str, store_id: str) -> None:
    """Leave a tombstone; what was in the store is for `to_empty` to tell. Raises NotFound."""
    get(connection, project, store_id)
    connection.execute(update(vector_stores).where(vector_stores.c.id == store_id).values(_TOMBSTONE))
    posts.forget_object(connection, store_id)


def find(connection: Connection, store_id: str) -> tuple[StoreRecord, bool] | None:
    """Return a store whoever it belongs to, and whether it is deleted: for ingestion, never for a request."""
    row = connection.execute(select(vector_stores).where(vector_stores.c.id == store_id)).mappings().first()
    return None if row is None else (_record(row), row["deleted"])


def _is_over(now: float) -> ColumnElement[bool]:
    return and_(~vector_stores.c.emptied, or_(vector_stores.c.deleted, vector_stores.c.expires_at <= now))


def to_empty(connection: Connection, now: float, count: int) -> list[str]:
    """Return ids of stores, of whichever project, that are gone or have expired but still have their passages."""
    return list(connection.execute(select(vector_stores.c.id).where(_is_over(now)).limit(count)).scalars())


def begin_emptying(connection: Connection, store_id: str, now: float, error: FileError) -> list[str] | None:
    """End all work on a store that is gone or has expired; None for one that is not, or is empty already.

    Returns the jobs of files that were in progress. After this nobody adds a passage, and those there can be removed.
    """
    over = update(vector_stores).where(vector_stores.c.id == store_id, _is_over(now))
    if connection.execute(over.values(last_seq=vector_stores.c.last_seq)).rowcount != 1:  # locks it, as `lock` does
        return None
    return vector_store_files.end_all(connection, store_id, error)


def note_emptied(connection: Connection, store_id: str) -> None:
    """Note that a store has no passages any more; of a deleted one the files and batches go too."""
    mine = vector_stores.c.id == store_id
    connection.execute(update(vector_stores).where(mine).values(emptied=True))
    deleted = connection.execute(select(vector_stores.c.deleted).where(mine)).scalar()
    if deleted:
        batches = select(file_batches.c.id).where(file_batches.c.vector_store_id == store_id)
        connection.execute(delete(file_batch_files).where(file_batch_files.c.batch_id.in_(batches)))
        connection.execute(delete(file_batches).where(file_batches.c.vector_store_id == store_id))
        vector_store_files.forget_store(connection, store_id)
