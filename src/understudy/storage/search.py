"""The port to a database's own full-text search: it finds which passages have some of the terms; scoring is ours.

Databases rank differently (FTS5 with the statistics of all stores together, PostgreSQL with none at all), so they are
asked only for likely passages, and `retrieval.bm25` scores those alike everywhere, by the statistics of their store.
Terms are made by `retrieval.terms`: letters, digits and marks, casefolded; one that is asked for may end in `*`, for
all that begin like it. A store is known by its number (`indexed_stores`), a passage by its key (`chunks`).
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Protocol

from sqlalchemy import Connection


@dataclass(frozen=True, slots=True)
class IndexedStore:
    """What the index knows of a vector store: `terms` counts those of all chunks, repetitions included."""

    number: int
    project: str
    vector_store_id: str
    chunks: int
    terms: int
    generation: int


@dataclass(frozen=True, slots=True)
class Passage:
    """What a keyword index is told of a chunk: its key, and its terms with spaces between."""

    key: int
    terms: str


class KeywordIndex(Protocol):
    """Finds passages of one store by their terms."""

    def add(self, connection: Connection, store: int, passages: Sequence[Passage]) -> None:
        """Make passages findable; their rows in `chunks` are there already."""
        ...

    def remove(self, connection: Connection, store: int, passages: Sequence[Passage]) -> None:
        """Forget passages. Their terms must be those that they were added with; their rows are still there."""
        ...

    def frequencies(self, connection: Connection, store: int, terms: Sequence[str]) -> dict[str, int]:
        """Return in how many passages of the store each term is."""
        ...

    def find(
        self, connection: Connection, store: int, terms: Sequence[str], limit: int, files: Collection[str] | None = None
    ) -> list[int]:
        """Return the keys of up to `limit` passages that have at least one of the terms, the likeliest first.

        With `files`, only passages of these files.
        """
        ...


class VectorIndex(Protocol):
    """Finds the passages of one store that are nearest to a vector. All vectors have length 1."""

    def find(
        self,
        connection: Connection,
        store: IndexedStore,
        embedder: str,
        queries: Sequence[bytes],
        limit: int,
        files: Collection[str] | None = None,
    ) -> list[dict[int, float]]:
        """Return, for each query (float32 as in `vectors`), the nearest passages' keys and their cosines, best first.

        Vectors of other embedders are left out. With `files`, only passages of these files.
        """
        ...

    def cosines(
        self,
        connection: Connection,
        store: IndexedStore,
        embedder: str,
        queries: Sequence[bytes],
        keys: Collection[int],
    ) -> list[dict[int, float]]:
        """Return, for each query, the cosines of these passages, as far as they have vectors."""
        ...
