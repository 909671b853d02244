"""Queries on the passages of vector stores' files, and on what the search index knows of files and stores."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import Connection, RowMapping, delete, insert, or_, select, update

from understudy.errors import NotFound
from understudy.storage.schema import chunks, indexed_files, indexed_stores
from understudy.storage.search import IndexedStore, KeywordIndex, Passage

NOUN = "chunk"
_IN_ONE_QUERY = 500  # keys; every database takes as many parameters


@dataclass(frozen=True, slots=True)
class StoredChunk:
    """A passage of a file in a vector store.

    `start` and `end` are offsets into the file's text in code points, end exclusive; `page` counts from 1; `heading`
    is the path of headings above the passage. `place` counts the file's passages from 0.
    """

    id: str
    vector_store_id: str
    file_id: str
    place: int
    text: str
    start: int
    end: int
    page: int | None
    heading: tuple[str, ...]
    tokens: int


@dataclass(frozen=True, slots=True)
class IndexedFile:
    """A file in the index, and with what it was indexed; without an embedder it has not all of its vectors."""

    project: str
    vector_store_id: str
    file_id: str
    terms_version: int
    embedder: str | None


@dataclass(frozen=True, slots=True)
class Cut:
    """What a passage is found and judged by: its terms, with spaces between, and the script that it is in."""

    terms: str
    script: str | None = None


_FIELDS = ("id", "vector_store_id", "file_id", "place", "text", "start", "end", "page", "heading", "tokens")
_COLUMNS = [chunks.c[name] for name in _FIELDS]


def _chunk(row: RowMapping) -> StoredChunk:
    return StoredChunk(**{name: row[name] for name in _FIELDS} | {"heading": tuple(row["heading"])})


def _of_file(vector_store_id: str, file_id: str) -> tuple[Any, Any]:
    return chunks.c.vector_store_id == vector_store_id, chunks.c.file_id == file_id


# --- stores and files ------------------------------------------------------------------------------------------------


def store(connection: Connection, project: str, vector_store_id: str) -> IndexedStore | None:
    """Return what is known of a store; None for one that nothing was ever put into, or that is another project's."""
    mine = (indexed_stores.c.vector_store_id == vector_store_id, indexed_stores.c.project == project)
    row = connection.execute(select(indexed_stores).where(*mine)).mappings().first()
    if row is None:
        return None
    return IndexedStore(row["number"], project, vector_store_id, row["chunks"], row["terms"], row["generation"])


def begin_file(connection: Connection, file: IndexedFile) -> None:
    """Note that a file is being indexed; its store gets a number at its first file."""
    if store(connection, file.project, file.vector_store_id) is None:
        values = {"vector_store_id": file.vector_store_id, "project": file.project}
        connection.execute(insert(indexed_stores).values(**values, chunks=0, terms=0, generation=0))
    note(connection, file)


def note(connection: Connection, file: IndexedFile) -> None:
    """Write down with what a file was indexed."""
    forget_file(connection, file.vector_store_id, file.file_id)
    connection.execute(insert(indexed_files), asdict(file))


def embedded(connection: Connection, vector_store_id: str, file_id: str, embedder: str) -> None:
    """Note that a file has all its vectors."""
    mine = (indexed_files.c.vector_store_id == vector_store_id, indexed_files.c.file_id == file_id)
    connection.execute(update(indexed_files).where(*mine).values(embedder=embedder))


def stale(connection: Connection, terms_version: int, embedder: str | None, limit: int = 100) -> list[IndexedFile]:
    """Return files that were indexed in another way than is done now. Without an embedder vectors do not matter."""
    other = indexed_files.c.terms_version != terms_version
    if embedder is not None:
        other = or_(other, indexed_files.c.embedder.is_distinct_from(embedder))
    rows = connection.execute(select(indexed_files).where(other).limit(limit)).mappings()
    return [IndexedFile(**row) for row in rows]


def files(connection: Connection, vector_store_id: str, limit: int = 100) -> list[str]:
    """Return ids of files that the index has of a store."""
    mine = indexed_files.c.vector_store_id == vector_store_id
    return list(connection.execute(select(indexed_files.c.file_id).where(mine).limit(limit)).scalars())


def forget_file(connection: Connection, vector_store_id: str, file_id: str) -> None:
    """Drop the note of a file; its passages must be gone."""
    mine = (indexed_files.c.vector_store_id == vector_store_id, indexed_files.c.file_id == file_id)
    connection.execute(delete(indexed_files).where(*mine))


# --- passages --------------------------------------------------------------------------------------------------------


def add(
    connection: Connection, keywords: KeywordIndex, project: str, new: Sequence[StoredChunk], cut: Sequence[Cut]
) -> None:
    """Add passages of one file, after `begin_file`."""
    if not new:
        return
    rows = [
        {name: getattr(chunk, name) for name in _FIELDS}
        | {"project": project, "heading": list(chunk.heading), "terms": one.terms, "script": one.script}
        for chunk, one in zip(new, cut, strict=True)
    ]
    added = connection.execute(insert(chunks).returning(chunks.c.key, sort_by_parameter_order=True), rows).scalars()
    passages = [Passage(key, one.terms) for key, one in zip(added, cut, strict=True)]
    number = _number(connection, new[0].vector_store_id)
    keywords.add(connection, number, passages)
    _count(connection, number, passages, 1)


def remove(connection: Connection, keywords: KeywordIndex, vector_store_id: str, file_id: str, limit: int) -> int:
    """Remove up to `limit` passages of a file; return how many that were."""
    query = select(chunks.c.key, chunks.c.terms).where(*_of_file(vector_store_id, file_id)).limit(limit)
    passages = [Passage(*row) for row in connection.execute(query)]
    if passages:
        number = _number(connection, vector_store_id)
        keywords.remove(connection, number, passages)
        connection.execute(delete(chunks).where(chunks.c.key.in_([passage.key for passage in passages])))
        _count(connection, number, passages, -1)
    return len(passages)


def recut(
    connection: Connection, keywords: KeywordIndex, file: IndexedFile, keys: Sequence[int], cut: Sequence[Cut]
) -> None:
    """Give passages other terms."""
    known = cut_by_key(connection, keys)
    there = [(key, one) for key, one in zip(keys, cut, strict=True) if key in known]
    old = [Passage(key, known[key].terms) for key, _ in there]
    new = [Passage(key, one.terms) for key, one in there]
    number = _number(connection, file.vector_store_id)
    keywords.remove(connection, number, old)
    for key, one in there:
        connection.execute(update(chunks).where(chunks.c.key == key).values(terms=one.terms, script=one.script))
    keywords.add(connection, number, new)
    _count(connection, number, old, -1)
    _count(connection, number, new, 1)


def _number(connection: Connection, vector_store_id: str) -> int:
    mine = indexed_stores.c.vector_store_id == vector_store_id
    return int(connection.execute(select(indexed_stores.c.number).where(mine)).scalar_one())


def _count(connection: Connection, store: int, passages: Sequence[Passage], sign: int) -> None:
    terms = sum(passage.terms.count(" ") + 1 for passage in passages if passage.terms)
    values = {
        "chunks": indexed_stores.c.chunks + sign * len(passages),
        "terms": indexed_stores.c.terms + sign * terms,
    }
    connection.execute(update(indexed_stores).where(indexed_stores.c.number == store).values(values))


def get(connection: Connection, vector_store_id: str, file_id: str, chunk_id: str) -> StoredChunk:
    """Raises NotFound."""
    mine = (*_of_file(vector_store_id, file_id), chunks.c.id == chunk_id)
    row = connection.execute(select(*_COLUMNS).where(*mine)).mappings().first()
    if row is None:
        raise NotFound(NOUN, chunk_id)
    return _chunk(row)


def in_order(
    connection: Connection, vector_store_id: str, file_id: str, first: int = 0, limit: int | None = None
) -> list[StoredChunk]:
    """Return a file's passages in their order, from place `first` on."""
    mine = (*_of_file(vector_store_id, file_id), chunks.c.place >= first)
    rows = connection.execute(select(*_COLUMNS).where(*mine).order_by(chunks.c.place).limit(limit)).mappings()
    return [_chunk(row) for row in rows]


def keyed(
    connection: Connection, vector_store_id: str, file_id: str, first: int, limit: int
) -> list[tuple[int, StoredChunk]]:
    """Return a file's passages with their keys, in their order, from place `first` on."""
    mine = (*_of_file(vector_store_id, file_id), chunks.c.place >= first)
    query = select(chunks.c.key, *_COLUMNS).where(*mine).order_by(chunks.c.place).limit(limit)
    return [(row["key"], _chunk(row)) for row in connection.execute(query).mappings()]


def by_key(connection: Connection, keys: Collection[int]) -> dict[int, StoredChunk]:
    """Return passages by their keys."""
    found: dict[int, StoredChunk] = {}
    for some in _slices(keys):
        query = select(chunks.c.key, *_COLUMNS).where(chunks.c.key.in_(some))
        found.update({row["key"]: _chunk(row) for row in connection.execute(query).mappings()})
    return found


def cut_by_key(connection: Connection, keys: Collection[int]) -> dict[int, Cut]:
    """Return the terms and scripts of passages, by their keys."""
    found: dict[int, Cut] = {}
    for some in _slices(keys):
        query = select(chunks.c.key, chunks.c.terms, chunks.c.script).where(chunks.c.key.in_(some))
        found.update((key, Cut(terms, script)) for key, terms, script in connection.execute(query).all())
    return found


def _slices(keys: Iterable[int]) -> Iterable[list[int]]:
    wanted = list(keys)
    return (wanted[start : start + _IN_ONE_QUERY] for start in range(0, len(wanted), _IN_ONE_QUERY))
