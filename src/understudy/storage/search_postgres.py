"""Keyword search in PostgreSQL's text vectors.

As in `search_sqlite`, each term is indexed with the number of its store before it, so that a store has posting lists of
its own. PostgreSQL knows no statistics: how rare each term is in the store is counted first, and weighs in the order.
"""

from collections import defaultdict
from collections.abc import Collection, Sequence
from math import log

from sqlalchemy import Connection, text

from understudy.storage.search import Passage

MOST_POSITION = 16_383
"""PostgreSQL counts positions no further, and keeps 256 of a term."""

_ADD = text("INSERT INTO chunk_terms (key, terms) VALUES (:key, CAST(:terms AS tsvector))")
_REMOVE = text("DELETE FROM chunk_terms WHERE key = :key")
_COUNT = text("SELECT count(*) FROM chunk_terms WHERE terms @@ CAST(:term AS tsquery)")


class PostgresKeywords:
    """A KeywordIndex over the table `chunk_terms` (migration 0009)."""

    def add(self, connection: Connection, store: int, passages: Sequence[Passage]) -> None:
        """See `search.KeywordIndex`."""
        rows = [{"key": passage.key, "terms": _vector(store, passage.terms)} for passage in passages]
        if rows:
            connection.execute(_ADD, rows)

    def remove(self, connection: Connection, store: int, passages: Sequence[Passage]) -> None:
        """See `search.KeywordIndex`."""
        rows = [{"key": passage.key} for passage in passages]
        if rows:
            connection.execute(_REMOVE, rows)

    def frequencies(self, connection: Connection, store: int, terms: Sequence[str]) -> dict[str, int]:
        """See `search.KeywordIndex`."""
        return {
            term: int(connection.execute(_COUNT, {"term": _query(store, term)}).scalar_one())
            for term in dict.fromkeys(terms)
        }

    def find(
        self, connection: Connection, store: int, terms: Sequence[str], limit: int, files: Collection[str] | None = None
    ) -> list[int]:
        """See `search.KeywordIndex`."""
        if not terms or (files is not None and not files):
            return []
        counted = self.frequencies(connection, store, terms)
        found = {term: count for term, count in counted.items() if count}
        if not found:
            return []
        most = max(found.values())
        weights = [
            f"CASE WHEN terms @@ CAST(:t{number} AS tsquery) THEN {1 + log((most + 1) / count):.4f} ELSE 0 END"
            for number, count in enumerate(found.values())
        ]
        queries = [_query(store, term) for term in found]
        given: dict[str, object] = {f"t{number}": query for number, query in enumerate(queries)}
        given |= {"any": " | ".join(queries), "limit": limit}
        among = ""
        if files is not None:
            among = "AND EXISTS (SELECT 1 FROM chunks WHERE chunks.key = chunk_terms.key AND file_id = ANY(:files))"
            given["files"] = list(files)
        statement = text(
            f"SELECT key FROM chunk_terms WHERE terms @@ CAST(:any AS tsquery) {among} "  # noqa: S608 - numbers of ours
            f"ORDER BY {' + '.join(weights)} DESC, ts_rank(terms, CAST(:any AS tsquery)) DESC, key LIMIT :limit"
        )
        return list(connection.execute(statement, given).scalars())


def _vector(store: int, terms: str) -> str:
    """Write a text vector: PostgreSQL's own parser would cut the terms anew."""
    places: dict[str, list[str]] = defaultdict(list)
    for place, term in enumerate(terms.split(), 1):
        if len(places[term]) < 256:
            places[term].append(str(min(place, MOST_POSITION)))
    return " ".join(f"{_quoted(store, term)}:{','.join(at)}" for term, at in places.items())


def _query(store: int, term: str) -> str:
    return f"{_quoted(store, term[:-1])}:*" if term.endswith("*") else _quoted(store, term)


def _quoted(store: int, term: str) -> str:
    escaped = term.replace("\\", "\\\\").replace("'", "''")
    return f"'{store:x}_{escaped}'"
