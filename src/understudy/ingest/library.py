"""The vector stores as a run's tool sees them: those that are there, once their files are in, searched together."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

from sqlalchemy import Connection

from understudy.errors import InvalidRequest, NotFound, ToolUnavailable
from understudy.ids import Clock
from understudy.ingest.search import Found, Search
from understudy.ingest.waiting import Waits
from understudy.protocol.search import SearchRanking
from understudy.storage import vector_stores
from understudy.storage.base import Store
from understudy.storage.chunks import StoredChunk
from understudy.tools.file_search import Passage


class StoreLibrary:
    """A `tools.file_search.Library` over the vector stores. A store that was deleted is as if it had never been."""

    def __init__(self, store: Store, search: Search, waits: Waits, clock: Clock) -> None:
        self._store = store
        self._search = search
        self._waits = waits
        self._clock = clock

    async def wait_ready(self, project: str, store_ids: Sequence[str], timeout_s: float) -> None:
        """See `Library`."""
        for store_id in await self._usable(project, store_ids):
            if timeout_s:
                await self._waits.ready(store_id, timeout_s)

    async def search(
        self,
        project: str,
        store_ids: Sequence[str],
        queries: Sequence[str],
        *,
        max_results: int,
        ranking: Mapping[str, Any],
    ) -> list[Passage]:
        """See `Library`."""
        usable = await self._usable(project, store_ids)
        options = SearchRanking(
            score_threshold=ranking.get("score_threshold") or 0.0, hybrid_search=ranking.get("hybrid_search")
        )
        found = await self._search.find(project, usable, queries, limit=max_results, ranking=options)
        return [_passage(one) for one in found]

    async def _usable(self, project: str, store_ids: Sequence[str]) -> list[str]:
        """Return the stores that are there. Raises ToolUnavailable for one that has expired."""
        if not store_ids:
            return []
        try:
            return await self._store.read(partial(_usable, project=project, ids=store_ids, now=self._clock.now()))
        except InvalidRequest as expired:
            raise ToolUnavailable(expired.message) from None


def _usable(connection: Connection, project: str, ids: Sequence[str], now: float) -> list[str]:
    usable = []
    for store_id in ids:
        with suppress(NotFound):
            usable.append(vector_stores.usable(connection, project, store_id, now).id)
    return usable


def _passage(found: Found) -> Passage:
    chunk = found.hit.chunk
    return Passage(
        file_id=chunk.file_id,
        file_name=found.filename,
        vector_store_id=chunk.vector_store_id,
        chunk_id=chunk.id,
        text=chunk.text,
        tokens=chunk.tokens,
        score=found.hit.score,
        where=_where(chunk),
        attributes=found.attributes,
    )


def _where(chunk: StoredChunk) -> str:
    """Tell a passage's page and headings."""
    page = [] if chunk.page is None else [f"page {chunk.page}"]
    return ", ".join([*page, *([" > ".join(chunk.heading)] if chunk.heading else [])])
