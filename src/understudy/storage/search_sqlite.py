"""Keyword search in SQLite's FTS5.

Each term is indexed with the number of its store before it, so that a store has posting lists of its own: a search
never walks through what others have stored.
"""

import json
from collections.abc import Collection, Sequence

from sqlalchemy import Connection

from understudy.storage.search import Passage

_ADD = "INSERT INTO chunk_terms (rowid, terms) VALUES (?, ?)"
_REMOVE = "INSERT INTO chunk_terms (chunk_terms, rowid, terms) VALUES ('delete', ?, ?)"
_COUNT = "SELECT count(*) FROM chunk_terms WHERE chunk_terms MATCH ?"
_FIND = "SELECT rowid FROM chunk_terms WHERE chunk_terms MATCH ? ORDER BY rank LIMIT ?"
_FIND_IN_FILES = """
    SELECT chunk_terms.rowid FROM chunk_terms JOIN chunks ON chunks."key" = chunk_terms.rowid
    WHERE chunk_terms MATCH ? AND chunks.file_id IN (SELECT value FROM json_each(?)) ORDER BY chunk_terms.rank LIMIT ?
"""


class SqliteKeywords:
    """A KeywordIndex over the virtual table `chunk_terms` (migration 0006)."""

    def add(self, connection: Connection, store: int, passages: Sequence[Passage]) -> None:
        """See `search.KeywordIndex`."""
        self._tell(connection, _ADD, store, passages)

    def remove(self, connection: Connection, store: int, passages: Sequence[Passage]) -> None:
        """See `search.KeywordIndex`."""
        self._tell(connection, _REMOVE, store, passages)

    def frequencies(self, connection: Connection, store: int, terms: Sequence[str]) -> dict[str, int]:
        """See `search.KeywordIndex`."""
        return {term: int(connection.exec_driver_sql(_COUNT, (_any_of(store, [term]),)).scalar_one()) for term in terms}

    def find(
        self, connection: Connection, store: int, terms: Sequence[str], limit: int, files: Collection[str] | None = None
    ) -> list[int]:
        """See `search.KeywordIndex`."""
        if not terms or (files is not None and not files):
            return []
        match = _any_of(store, terms)
        if files is None:
            return list(connection.exec_driver_sql(_FIND, (match, limit)).scalars())
        return list(connection.exec_driver_sql(_FIND_IN_FILES, (match, json.dumps(list(files)), limit)).scalars())

    def _tell(self, connection: Connection, statement: str, store: int, passages: Sequence[Passage]) -> None:
        rows = [(passage.key, _marked(store, passage.terms)) for passage in passages]
        if rows:
            connection.exec_driver_sql(statement, rows)


def _marked(store: int, terms: str) -> str:
    mark = f"{store:x}_"
    return " ".join([mark + term for term in terms.split()])


def _any_of(store: int, terms: Sequence[str]) -> str:
    return " OR ".join(
        [f'"{store:x}_{term[:-1]}" *' if term.endswith("*") else f'"{store:x}_{term}"' for term in terms]
    )
