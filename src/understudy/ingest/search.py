"""Searching vector stores: who may, in which files, and what is answered. The index finds."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from sqlalchemy import Connection

from understudy.ids import Clock
from understudy.ingest.index import Hit, Places, Ranking
from understudy.protocol.attributes import AttributeFilter, Attributes
from understudy.protocol.search import Passage, SearchPage, SearchRanking, SearchResult, SearchVectorStore
from understudy.protocol.vector_stores import FileContentPage
from understudy.retrieval.fuse import Weights
from understudy.storage import files, vector_store_files, vector_stores
from understudy.storage.base import Store
from understudy.storage.chunks import StoredChunk

DEFAULT_RESULTS = 10

Rewrite = Callable[[Sequence[str]], Awaitable[list[str]]]
"""Turns what people ask into as many queries to search for. Never fails: what it cannot rewrite stays as it is."""


@dataclass(frozen=True, slots=True)
class Found:
    """A passage that was found, with what is known of its file."""

    hit: Hit
    filename: str
    attributes: Attributes


class Passages(Protocol):
    """The part of the index that finds and opens passages."""

    async def search(
        self,
        project: str,
        store_ids: Sequence[str],
        queries: Sequence[str],
        *,
        limit: int = DEFAULT_RESULTS,
        ranking: Ranking | None = None,
        only: Places | None = None,
    ) -> list[Hit]:
        """Return the best passages for any of the queries; with `only`, in these files."""
        ...

    async def chunk(self, store_id: str, file_id: str, chunk_id: str) -> StoredChunk:
        """Return one passage. Raises NotFound."""
        ...

    async def content(self, store_id: str, file_id: str) -> list[StoredChunk]:
        """Return a file's passages in their order."""
        ...


@dataclass(frozen=True, slots=True)
class _Scope:
    """Where a search looks: in all files of its stores, or in some. `idle` stores have not been used this second."""

    only: frozenset[tuple[str, str]] | None
    idle: bool


class Search:
    """Finds passages, on behalf of a client or of a run."""

    def __init__(self, store: Store, index: Passages, rewrite: Rewrite, clock: Clock) -> None:
        self._store = store
        self._index = index
        self._rewrite = rewrite
        self._clock = clock

    async def find(
        self,
        project: str,
        store_ids: Sequence[str],
        queries: Sequence[str],
        *,
        limit: int = DEFAULT_RESULTS,
        filters: AttributeFilter | None = None,
        ranking: SearchRanking | None = None,
    ) -> list[Found]:
        """Search stores together; a file that is in several is found in each. The best passages come first.

        This counts as use: the stores' time begins anew. Raises NotFound, and InvalidRequest for an expired store.
        """
        now = self._clock.now()
        scope = await self._store.read(partial(_scope, project=project, store_ids=store_ids, filters=filters, now=now))
        if scope.idle:
            await self._store.write(partial(vector_stores.touch, store_ids=store_ids, now=now))
        hits = await self._index.search(
            project, store_ids, queries, limit=limit, ranking=_ranking(ranking or SearchRanking()), only=scope.only
        )
        return await self._store.read(partial(_described, project=project, hits=hits, now=now))

    async def page(self, project: str, store_id: str, given: SearchVectorStore) -> SearchPage:
        """Answer a client's search of one store. Raises as `find`."""
        queries, limit = given.queries(), given.max_num_results or DEFAULT_RESULTS
        if given.rewrite_query:
            now = self._clock.now()
            await self._store.read(lambda connection: vector_stores.usable(connection, project, store_id, now))
            queries = await self._rewrite(queries)
        found = await self.find(
            project, [store_id], queries, limit=limit, filters=given.filters, ranking=given.ranking_options
        )
        return SearchPage(search_query=queries, data=[_shown(one) for one in found])

    async def content(self, project: str, store_id: str, file_id: str) -> FileContentPage:
        """Return a file's text as it was read. Raises NotFound, NotInStore; InvalidRequest if the store has expired."""
        await self._filename(project, store_id, file_id)
        text = _joined(await self._index.content(store_id, file_id))
        return FileContentPage(data=[{"type": "text", "text": text}] if text else [])

    async def passage(self, project: str, store_id: str, file_id: str, chunk_id: str) -> Passage:
        """Open a passage. Raises as `content`."""
        filename = await self._filename(project, store_id, file_id)
        found = await self._index.chunk(store_id, file_id, chunk_id)
        return Passage(
            id=found.id,
            vector_store_id=store_id,
            file_id=file_id,
            filename=filename,
            text=found.text,
            start_index=found.start,
            end_index=found.end,
            page=found.page,
            heading=list(found.heading),
        )

    async def _filename(self, project: str, store_id: str, file_id: str) -> str:
        now = self._clock.now()

        def read(connection: Connection) -> str:
            vector_stores.usable(connection, project, store_id, now)
            vector_store_files.get(connection, store_id, file_id)
            return files.get(connection, project, file_id, now).filename

        return await self._store.read(read)


def _scope(
    connection: Connection, project: str, store_ids: Sequence[str], filters: AttributeFilter | None, now: float
) -> _Scope:
    used = [vector_stores.usable(connection, project, store_id, now).last_active_at for store_id in store_ids]
    idle = any(moment < int(now) for moment in used)
    if filters is None and not vector_store_files.have_left_over(connection, store_ids):
        return _Scope(None, idle)
    searchable = vector_store_files.attributes_of(connection, store_ids)
    wanted = ((store, file) for store, file, has in searchable if filters is None or filters.matches(has))
    return _Scope(frozenset(wanted), idle)


def _described(connection: Connection, project: str, hits: Sequence[Hit], now: float) -> list[Found]:
    """Say what files the passages are of; those of files that are gone by now are left out."""
    known = files.find(connection, project, {hit.file_id for hit in hits}, now)
    rows = vector_store_files.attributes_of(connection, {hit.store_id for hit in hits}, {hit.file_id for hit in hits})
    attributes = {(store_id, file_id): found for store_id, file_id, found in rows}
    return [
        Found(hit, known[hit.file_id].filename, attributes[hit.store_id, hit.file_id])
        for hit in hits
        if hit.file_id in known and (hit.store_id, hit.file_id) in attributes
    ]


def _shown(found: Found) -> SearchResult:
    return {
        "file_id": found.hit.file_id,
        "filename": found.filename,
        "score": found.hit.score,
        "attributes": found.attributes,
        "content": [{"type": "text", "text": found.hit.text}],
        "chunk_id": found.hit.chunk_id,
    }


def _ranking(given: SearchRanking) -> Ranking:
    """Turn a client's options into the index's. A side that is given no weight has none."""
    hybrid = given.hybrid_search
    weights = None
    if hybrid is not None:
        weights = Weights(text=hybrid.text_weight or 0.0, dense=hybrid.embedding_weight or 0.0)
    return Ranking(score_threshold=given.score_threshold, hybrid=weights, rerank=given.ranker != "none")


def _joined(chunks: Sequence[StoredChunk]) -> str:
    """Put a text together from passages that may overlap. Between two there is nothing but white space."""
    text, end = "", 0
    for chunk in chunks:
        gap = "\n" if text and chunk.start > end else ""
        text += gap + chunk.text[max(0, end - chunk.start) :]
        end = max(end, chunk.end)
    return text
