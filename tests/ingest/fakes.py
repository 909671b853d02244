"""Fakes of what ingestion works with: a way in for files, and an index."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from understudy.errors import NotFound
from understudy.ingest.index import Hit, Places, Ranking
from understudy.storage.chunks import StoredChunk
from understudy.storage.vector_store_files import FileRecord

SIZE = 1045


@dataclass
class FakeIntake:
    """Takes files in as it is told: `outcomes` by file id (a size, an error to raise, or an event to wait for)."""

    outcomes: dict[str, Any] = field(default_factory=dict)
    begun: list[str] = field(default_factory=list)
    called_off: list[str] = field(default_factory=list)
    removed: list[tuple[str, str | None]] = field(default_factory=list)
    at_once: int = 0
    most_at_once: int = 0

    async def take_in(self, held: FileRecord) -> int:
        self.begun.append(held.id)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            return await self._outcome(self.outcomes.get(held.id, SIZE))
        except asyncio.CancelledError:
            self.called_off.append(held.id)
            raise
        finally:
            self.at_once -= 1

    async def _outcome(self, outcome: Any) -> int:
        await asyncio.sleep(0)
        if isinstance(outcome, asyncio.Event):
            await outcome.wait()
            return SIZE
        if isinstance(outcome, Exception):
            raise outcome
        return int(outcome)

    async def remove(self, store_id: str, file_id: str | None = None) -> None:
        self.removed.append((store_id, file_id))


@dataclass
class FakeIndex:
    """Finds passages by the words that they share with a query. `passages`: (store, file, chunk): text."""

    passages: dict[tuple[str, str, str], str] = field(default_factory=dict)
    asked: list[dict[str, Any]] = field(default_factory=list)

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
        ranking = ranking or Ranking()
        self.asked.append({"project": project, "queries": list(queries), "limit": limit, "ranking": ranking})
        hits = [
            Hit(_chunk(store_id, file_id, chunk_id, text), score)
            for (store_id, file_id, chunk_id), text in self.passages.items()
            if store_id in store_ids and (only is None or (store_id, file_id) in only)
            if (score := max(_likeness(text, query) for query in queries)) > ranking.score_threshold
        ]
        return sorted(hits, key=lambda hit: -hit.score)[:limit]

    async def chunk(self, store_id: str, file_id: str, chunk_id: str) -> StoredChunk:
        if (store_id, file_id, chunk_id) not in self.passages:
            raise NotFound("chunk", chunk_id)
        return _chunk(store_id, file_id, chunk_id, self.passages[store_id, file_id, chunk_id])

    async def content(self, store_id: str, file_id: str) -> list[StoredChunk]:
        return [_chunk(*place, text) for place, text in self.passages.items() if place[:2] == (store_id, file_id)]


def _chunk(store_id: str, file_id: str, chunk_id: str, text: str) -> StoredChunk:
    return StoredChunk(chunk_id, store_id, file_id, 0, text, 0, len(text), 1, ("Act IV", "Scene V"), 5)


def _likeness(text: str, query: str) -> float:
    wanted = set(query.lower().split())
    return len(wanted & set(text.lower().split())) / max(1, len(wanted))
