"""The vector stores, as the file_search tool asks for them."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection

from understudy.errors import ApiError, ToolUnavailable
from understudy.ids import Clock
from understudy.ingest.search import Found, Search
from understudy.ingest.waiting import Waits
from understudy.protocol.search import SearchRanking
from understudy.protocol.tools import RankingOptions
from understudy.storage import vector_stores
from understudy.storage.base import Store
from understudy.tools.file_search import Passage


class VectorLibrary:
    """A `tools.file_search.Library` over what ingestion has made."""

    def __init__(self, store: Store, search: Search, waits: Waits, clock: Clock) -> None:
        self._store = store
        self._search = search
        self._waits = waits
        self._clock = clock

    async def wait_ready(self, project: str, store_ids: Sequence[str], timeout_s: float) -> None:
        """Wait until all files of stores are in, or the time is over.

        Using a store in a run puts its expiry off. Raises ToolUnavailable for one that is gone or has expired.
        """
        now = self._clock.now()

        def use(connection: Connection) -> None:
            for store_id in store_ids:
                vector_stores.usable(connection, project, store_id, now)
            vector_stores.touch(connection, store_ids, now)

        if not store_ids:
            return
        try:
            await self._store.write(use)
        except ApiError as problem:
            raise ToolUnavailable(problem.message) from None
        for store_id in store_ids:
            await self._waits.ready(store_id, max(0.0, now + timeout_s - self._clock.now()))

    async def search(
        self,
        project: str,
        store_ids: Sequence[str],
        queries: Sequence[str],
        *,
        max_results: int,
        ranking: Mapping[str, Any],
    ) -> list[Passage]:
        """Return the best passages, best first; `ranking` are the tool's options, as they are stored."""
        found = await self._search.find(project, store_ids, queries, limit=max_results, ranking=_ranking(ranking))
        return [_passage(one) for one in found]


def _ranking(options: Mapping[str, Any]) -> SearchRanking:
    given = RankingOptions.model_validate(options)
    return SearchRanking.model_construct(
        ranker="auto", score_threshold=given.score_threshold, hybrid_search=given.hybrid_search
    )


def _passage(found: Found) -> Passage:
    chunk = found.hit.chunk
    place = [f"page {chunk.page}"] if chunk.page is not None else []
    return Passage(
        file_id=chunk.file_id,
        file_name=found.filename,
        vector_store_id=chunk.vector_store_id,
        chunk_id=chunk.id,
        text=chunk.text,
        tokens=chunk.tokens,
        score=found.hit.score,
        where=" > ".join([*place, *chunk.heading]),
        attributes=found.attributes,
    )
