"""The search index of vector stores: passages go in, the best of them come out.

A file is indexed in two steps: its terms first, so that it is soon found by its words, then its vectors. Each write is
a small transaction, so that nobody waits long for the writer. A file that is added again replaces what was there.
"""

import asyncio
import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar

from sqlalchemy import Connection

from understudy.errors import Unavailable
from understudy.ids import new_id
from understudy.retrieval import bm25, fuse
from understudy.retrieval.documents import Chunk
from understudy.retrieval.embed import Embedder
from understudy.retrieval.rerank import Reranker
from understudy.retrieval.terms import TERMS_VERSION, query_terms, terms
from understudy.storage import chunks as rows
from understudy.storage import vectors
from understudy.storage.base import Store
from understudy.storage.chunks import Cut, IndexedFile, StoredChunk
from understudy.storage.search import IndexedStore, KeywordIndex, VectorIndex

log = logging.getLogger(__name__)

WRITTEN_AT_ONCE = 64
"""Passages in one transaction: about 15 ms of the writer."""
REMOVED_AT_ONCE = 256
RERANKED = 50
"""Hits that a reranker is shown."""
MOST_WORDS, MOST_CHARACTERS = 64, 4_000
"""Of a query that are looked for, and of which its vector is made: somebody may paste a whole book."""
HEADING_WEIGHT = 2
"""How many times the words of a passage's heading count beside those of its text: chosen in `bench/retrieval`."""
CANDIDATES = 100
"""Passages that each side proposes for a query, before the two are brought into one order."""

Places = Collection[tuple[str, str]]
"""Files in vector stores: pairs of a store's id and a file's."""
Fence = Callable[[Connection], None]
"""Called in every write of a worker; raises LeaseLost when the file is no longer its own."""


@dataclass(frozen=True, slots=True)
class Ranking:
    """How hits are ordered. `hybrid` are a client's own weights, which are applied as reciprocal rank fusion.

    `rerank` asks for the reranker, if there is one. Hits below the threshold are left out.
    """

    score_threshold: float = 0.0
    hybrid: fuse.Weights | None = None
    rerank: bool = True


@dataclass(frozen=True, slots=True)
class Hit:
    """A passage that was found; `score` is 0 to 1."""

    chunk: StoredChunk
    score: float

    @property
    def store_id(self) -> str:
        return self.chunk.vector_store_id

    @property
    def file_id(self) -> str:
        return self.chunk.file_id

    @property
    def chunk_id(self) -> str:
        return self.chunk.id

    @property
    def text(self) -> str:
        return self.chunk.text


@dataclass(frozen=True, slots=True)
class _Query:
    """A query as it is looked for: by its terms, and by its vector if it could be had."""

    text: str
    wanted: list[tuple[str, ...]]
    vector: bytes | None

    @property
    def terms(self) -> list[str]:
        return list(dict.fromkeys(term for readings in self.wanted for term in readings))


@dataclass(frozen=True, slots=True)
class _Found:
    """What one query found in one store: by terms, 0 to 1, and by meaning, if it was searched so: cosines.

    `foreign` are passages in another script than the query.
    """

    text: Mapping[int, float]
    dense: Mapping[int, float]
    foreign: Collection[int]
    by_meaning: bool


T = TypeVar("T")


class Index:
    """Adds, removes and finds passages. Without an embedder it searches by terms alone."""

    def __init__(
        self,
        store: Store,
        keywords: KeywordIndex,
        nearest: VectorIndex,
        embedder: Embedder | None = None,
        reranker: Reranker | None = None,
    ) -> None:
        self._reranker = reranker
        self._store = store
        self._keywords = keywords
        self._nearest = nearest
        self._embedder = embedder

    async def aclose(self) -> None:
        """Let go of the embedder and the reranker."""
        for port in (self._embedder, self._reranker):
            if port is not None:
                await port.aclose()

    # --- passages in -------------------------------------------------------------------------------------------------

    async def add(
        self, project: str, store_id: str, file_id: str, chunks: Sequence[Chunk], *, fence: Fence | None = None
    ) -> int:
        """Index a file whole, in place of what the index has of it; return the bytes that it takes.

        By its words it is found long before this returns. Raises Unavailable if there is no embedding it.
        """
        size = await self.add_terms(project, store_id, file_id, chunks, fence=fence)
        return size + await self.add_vectors(store_id, file_id, fence=fence)

    async def add_terms(
        self, project: str, store_id: str, file_id: str, chunks: Sequence[Chunk], *, fence: Fence | None = None
    ) -> int:
        """Do the first step of `add`: make a file findable by its words. Return the bytes of its text."""
        await self.remove(store_id, file_id, fence=fence)
        file = IndexedFile(project, store_id, file_id, TERMS_VERSION, None)
        await self._write(lambda connection: rows.begin_file(connection, file), fence)
        for start in range(0, len(chunks), WRITTEN_AT_ONCE):
            some = [
                _stored(store_id, file_id, start + offset, chunk)
                for offset, chunk in enumerate(chunks[start : start + WRITTEN_AT_ONCE])
            ]
            cut = await _cut(some)
            await self._write(partial(rows.add, keywords=self._keywords, project=project, new=some, cut=cut), fence)
        return sum(len(chunk.text.encode()) for chunk in chunks)

    async def add_vectors(self, store_id: str, file_id: str, *, fence: Fence | None = None) -> int:
        """Do the second step of `add`: make a file findable by what it means. Return the bytes of its vectors."""
        if self._embedder is None:
            return 0
        name, place, size = self._embedder.name, 0, 0
        await self._write(lambda connection: vectors.remove(connection, store_id, file_id), fence)
        add = partial(vectors.add, vector_store_id=store_id, file_id=file_id, embedder=name)
        while some := await self._store.read(_some(store_id, file_id, place)):
            block = b"".join(await self._embedder.embed([_with_headings(chunk) for _, chunk in some]))
            await self._write(partial(add, keys=[key for key, _ in some], vectors=block), fence)
            place, size = place + len(some), size + len(block)
        await self._write(lambda connection: rows.embedded(connection, store_id, file_id, name), fence)
        return size

    async def remove(self, store_id: str, file_id: str, *, fence: Fence | None = None) -> None:
        """Forget a file; nothing happens if it is not there."""
        await self._write(lambda connection: vectors.remove(connection, store_id, file_id), fence)
        while await self._write(
            partial(
                rows.remove,
                keywords=self._keywords,
                vector_store_id=store_id,
                file_id=file_id,
                limit=REMOVED_AT_ONCE,
            ),
            fence,
        ):
            pass
        await self._write(lambda connection: rows.forget_file(connection, store_id, file_id), fence)

    async def remove_store(self, store_id: str) -> None:
        """Forget all files of a store."""
        while some := await self._store.read(lambda connection: rows.files(connection, store_id)):
            for file_id in some:
                await self.remove(store_id, file_id)

    # --- passages out ------------------------------------------------------------------------------------------------

    async def search(
        self,
        project: str,
        store_ids: Sequence[str],
        queries: Sequence[str],
        *,
        limit: int = 10,
        ranking: Ranking | None = None,
        only: Places | None = None,
    ) -> list[Hit]:
        """Return the passages that fit the queries best, the best first; each query may bring in its own.

        With `only`, in these files. A passage that lies in two of the stores is found twice, as with the hosted API.
        Stores that are unknown, empty or another project's give nothing.
        """
        ranking = ranking or Ranking()
        asked = await self._asked(queries)
        found = await self._store.read(lambda connection: self._find(connection, project, store_ids, asked, only))
        scores: dict[int, float] = {}
        for one in found:
            for key, score in _ordered(one, ranking).items():
                scores[key] = max(score, scores.get(key, 0.0))
        hits = await self._read(fuse.ranked(scores)[: max(limit, RERANKED if self._reranks(ranking) else 0)], scores)
        if self._reranks(ranking):
            hits = await self._reranked(queries, hits)
        return [hit for hit in hits if hit.score >= ranking.score_threshold][:limit]

    async def chunk(self, store_id: str, file_id: str, chunk_id: str) -> StoredChunk:
        """Return one passage. Raises NotFound."""
        return await self._store.read(lambda connection: rows.get(connection, store_id, file_id, chunk_id))

    async def content(self, store_id: str, file_id: str) -> list[StoredChunk]:
        """Return a file's passages in their order."""
        return await self._store.read(lambda connection: rows.in_order(connection, store_id, file_id))

    # --- keeping up --------------------------------------------------------------------------------------------------

    async def stale(self, limit: int = 100) -> list[IndexedFile]:
        """Return files that were indexed by other terms or another embedder than now, or not to their end."""
        name = self._embedder.name if self._embedder is not None else None
        return await self._store.read(lambda connection: rows.stale(connection, TERMS_VERSION, name, limit))

    async def reindex(self, file: IndexedFile, *, fence: Fence | None = None) -> None:
        """Index a stale file anew, from the passages that are stored. It is found by its words all the time."""
        if file.terms_version != TERMS_VERSION:
            await self._cut_anew(file, fence)
        await self.add_vectors(file.vector_store_id, file.file_id, fence=fence)

    # --- within ------------------------------------------------------------------------------------------------------

    async def _cut_anew(self, file: IndexedFile, fence: Fence | None) -> None:
        place, recut = 0, partial(rows.recut, keywords=self._keywords, file=file)
        while some := await self._store.read(_some(file.vector_store_id, file.file_id, place)):
            cut = await _cut([chunk for _, chunk in some])
            await self._write(partial(recut, keys=[key for key, _ in some], cut=cut), fence)
            place += len(some)
        current = replace(file, terms_version=TERMS_VERSION, embedder=None)
        await self._write(lambda connection: rows.note(connection, current), fence)

    async def _read(self, keys: Sequence[int], scores: Mapping[int, float]) -> list[Hit]:
        passages = await self._store.read(lambda connection: rows.by_key(connection, keys))
        return [Hit(passages[key], scores[key]) for key in keys if key in passages]

    def _reranks(self, ranking: Ranking) -> bool:
        return self._reranker is not None and ranking.rerank and ranking.hybrid is None

    async def _reranked(self, queries: Sequence[str], hits: list[Hit]) -> list[Hit]:
        """Order hits anew by the reranker; each counts by the query that it fits best. Without it they stay."""
        assert self._reranker is not None
        texts = [hit.text for hit in hits]
        try:
            judged = [await self._reranker.scores(query, texts) for query in queries]
        except Unavailable as fault:
            log.warning("results are not reranked: %s", fault)
            return hits
        best = [Hit(hit.chunk, max(scores)) for hit, *scores in zip(hits, *judged, strict=True)]
        return sorted(best, key=lambda hit: -hit.score)

    async def _asked(self, queries: Sequence[str]) -> list[_Query]:
        """Make queries ready. Without their vectors something is found still: by terms."""
        queries = [text[:MOST_CHARACTERS] for text in queries]
        made: Sequence[bytes | None] = [None] * len(queries)
        if self._embedder is not None:
            try:
                made = await self._embedder.embed(queries, urgent=True)
            except Unavailable as fault:
                log.warning("searching by words alone: %s", fault)
        wanted = [query_terms(text)[:MOST_WORDS] for text in queries]
        return [_Query(*parts) for parts in zip(queries, wanted, made, strict=True)]

    def _find(
        self, connection: Connection, project: str, store_ids: Sequence[str], asked: list[_Query], only: Places | None
    ) -> list[_Found]:
        found: list[_Found] = []
        for store_id in dict.fromkeys(store_ids):
            store = rows.store(connection, project, store_id)
            if store is not None and store.chunks:
                files = None if only is None else {file_id for store, file_id in only if store == store_id}
                found += self._find_in(connection, store, asked, files)
        return found

    def _find_in(
        self, connection: Connection, store: IndexedStore, asked: list[_Query], files: Collection[str] | None
    ) -> list[_Found]:
        known = [self._keywords.frequencies(connection, store.number, query.terms) for query in asked]
        telling = [bm25.telling(frequencies, store.chunks, CANDIDATES) for frequencies in known]
        said = [self._keywords.find(connection, store.number, some, CANDIDATES, files) for some in telling]
        near = self._near(connection, store, asked, {key for keys in said for key in keys}, files)
        statistics = [bm25.Statistics(store.chunks, store.terms, frequencies) for frequencies in known]
        return [
            _judged(query, rows.cut_by_key(connection, {*keys, *dense}), dense, figures)
            for query, keys, dense, figures in zip(asked, said, near, statistics, strict=True)
        ]

    def _near(
        self,
        connection: Connection,
        store: IndexedStore,
        asked: list[_Query],
        named: Collection[int],
        files: Collection[str] | None,
    ) -> list[dict[int, float]]:
        """Return the nearest passages of each query, and how near those are that were found by terms."""
        queries = [query.vector for query in asked if query.vector is not None]
        if self._embedder is None or len(queries) < len(asked):
            return [{} for _ in asked]
        nearest = self._nearest.find(connection, store, self._embedder.name, queries, CANDIDATES, files)
        others = self._nearest.cosines(connection, store, self._embedder.name, queries, named)
        return [found | other for found, other in zip(nearest, others, strict=True)]

    async def _write(self, change: Callable[[Connection], T], fence: Fence | None) -> T:
        def fenced(connection: Connection) -> T:
            if fence is not None:
                fence(connection)
            return change(connection)

        return await self._store.write(fenced)


def _with_headings(chunk: StoredChunk) -> str:
    """Return a passage below those of its headings that it does not show."""
    return "\n".join([*(heading for heading in chunk.heading if heading not in chunk.text), chunk.text])


def _cut_one(chunk: StoredChunk) -> Cut:
    """Return what a passage is found by. The heading right above it counts several times."""
    text = _with_headings(chunk)
    own = terms(" ".join(chunk.heading[-1:])) * HEADING_WEIGHT
    return Cut(" ".join([*own, *terms(text)]), fuse.script(text))


async def _cut(passages: Sequence[StoredChunk]) -> list[Cut]:
    """Cut passages, off the loop: a megabyte takes 0.1 s."""
    return await asyncio.to_thread(lambda: [_cut_one(chunk) for chunk in passages])


def _stored(store_id: str, file_id: str, place: int, chunk: Chunk) -> StoredChunk:
    return StoredChunk(
        id=new_id("chunk"),
        vector_store_id=store_id,
        file_id=file_id,
        place=place,
        text=chunk.text,
        start=chunk.start,
        end=chunk.end,
        page=chunk.page,
        heading=chunk.heading,
        tokens=chunk.tokens,
    )


def _judged(query: _Query, cut: Mapping[int, Cut], dense: Mapping[int, float], figures: bm25.Statistics) -> _Found:
    """Score by their terms all passages that either side has found."""
    own = fuse.script(query.text)
    foreign = {key for key, one in cut.items() if one.script != own}
    scores = bm25.scores(query.wanted, {key: one.terms for key, one in cut.items()}, figures)
    return _Found(scores, dense, foreign, query.vector is not None)


def _ordered(found: _Found, ranking: Ranking) -> dict[int, float]:
    if ranking.hybrid is not None:
        return fuse.by_place(found.text, found.dense, ranking.hybrid)
    return fuse.fused(found.text, found.dense, found.foreign) if found.by_meaning else dict(found.text)


def _some(store_id: str, file_id: str, first: int) -> Callable[[Connection], list[tuple[int, StoredChunk]]]:
    limit = vectors.CHUNKS_PER_BLOCK
    return partial(rows.keyed, vector_store_id=store_id, file_id=file_id, first=first, limit=limit)
