"""`python -m bench.retrieval.speed [STORES CHUNKS]`: how quick a search is, and how quickly text is indexed.

Stores of made-up text (a vocabulary of 60,000 words, as frequent as words are) and random vectors, filled through the
product's own queries; then real queries with the embedder that comes along: end to end over HTTP, to a server with
default settings, and through the index alone. `10 100000` makes a million chunks, which takes a quarter of an hour.
"""

import asyncio
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from functools import partial
from itertools import accumulate
from pathlib import Path

from sqlalchemy import Connection

from bench.http import Client
from bench.processes import cpu_s, listening, memory_mb, understudy
from bench.table import head, row
from understudy.ids import new_id
from understudy.ingest.index import Index
from understudy.protocol.files import FileObject
from understudy.retrieval.documents import Chunk
from understudy.retrieval.embed_local import LocalEmbedder
from understudy.retrieval.terms import TERMS_VERSION
from understudy.storage import chunks as rows
from understudy.storage import files as file_rows
from understudy.storage import loose_bytes, store_contents, vector_store_files, vectors
from understudy.storage.chunks import Cut, IndexedFile, StoredChunk
from understudy.storage.nearest import MiB, Nearest
from understudy.storage.search_sqlite import SqliteKeywords
from understudy.storage.sqlite import SqliteStore
from understudy.storage.store_contents import NewStore

PROJECT = "proj_default"
WORDS = 60_000
LENGTH = 150
"""Words in a passage."""
AT_ONCE = 500
SEARCHES = 60
LICENCES = Path("/usr/share/common-licenses")


class Text:
    """Made-up text: the word of rank n comes up 1/n as often as the first."""

    def __init__(self, seed: int) -> None:
        self._chance = random.Random(seed)
        self._weights = list(accumulate(1 / rank for rank in range(5, WORDS + 5)))

    def words(self, count: int) -> list[str]:
        return [f"w{rank:x}q" for rank in self._chance.choices(range(WORDS), cum_weights=self._weights, k=count)]

    def query(self) -> str:
        """Six words, common and rare."""
        return " ".join([*self.words(4), *(f"w{self._chance.randrange(200, 20_000):x}q" for _ in range(2))])


async def shelve(store: SqliteStore, number: int, files: int) -> tuple[str, list[str]]:
    """Make a vector store with so many files, all of them in; return their ids."""
    now = time.time()

    def make(connection: Connection) -> tuple[str, list[str]]:
        ids = [new_id("file") for _ in range(files)]
        loose_bytes.add(connection, ids, now)
        for place, file_id in enumerate(ids):
            told = {"filename": f"{number}-{place}.txt", "bytes": 1, "created_at": int(now), "expires_at": None}
            file_rows.add(connection, PROJECT, FileObject(id=file_id, purpose="assistants", **told))
        made, _ = store_contents.make(connection, PROJECT, NewStore(ids), now)
        for file_id in ids:
            held = vector_store_files.claim(connection, made.id, file_id, "bench", now, 60)
            assert held is not None
            vector_store_files.finish(connection, held)
        return made.id, ids

    return await store.write(make)


async def fill(store: SqliteStore, number: int, count: int, embedder: str, text: Text) -> str:
    """Make a vector store with so many chunks; return its id."""
    import numpy as np

    store_id, files = await shelve(store, number, -(-count // AT_ONCE))
    chance = np.random.default_rng(number)
    keywords = SqliteKeywords()
    for first in range(0, count, AT_ONCE):
        file_id = files[first // AT_ONCE]
        cut = [" ".join(text.words(LENGTH)) for _ in range(min(AT_ONCE, count - first))]
        made = [
            StoredChunk(new_id("chunk"), store_id, file_id, place, t, 0, len(t), None, (), 0)
            for place, t in enumerate(cut)
        ]
        file = IndexedFile(PROJECT, store_id, file_id, TERMS_VERSION, embedder)
        await store.write(partial(rows.begin_file, file=file))
        await store.write(
            partial(rows.add, keywords=keywords, project=PROJECT, new=made, cut=[Cut(one, "latin") for one in cut])
        )
        keys = [
            key
            for key, _ in await store.read(
                partial(rows.keyed, vector_store_id=store_id, file_id=file_id, first=0, limit=AT_ONCE)
            )
        ]
        for start in range(0, len(keys), vectors.CHUNKS_PER_BLOCK):
            some = keys[start : start + vectors.CHUNKS_PER_BLOCK]
            block = chance.standard_normal((len(some), 512), dtype=np.float32)
            block /= np.linalg.norm(block, axis=1, keepdims=True)
            add = partial(vectors.add, vector_store_id=store_id, file_id=file_id, embedder=embedder)
            await store.write(partial(add, keys=some, vectors=block.astype("<f4").tobytes()))
    return store_id


async def searches(index: Index, store_id: str, queries: Sequence[str]) -> list[float]:
    times = []
    for query in queries:
        began = time.perf_counter()
        assert await index.search(PROJECT, [store_id], [query])
        times.append((time.perf_counter() - began) * 1000)
    return times


async def over_http(url: str, store_id: str, queries: Sequence[str]) -> list[float]:
    client, times = Client(url), []
    for query in queries:
        began = time.perf_counter()
        found = await client.call("POST", f"/v1/vector_stores/{store_id}/search", {"query": query})
        assert len(found["data"]) == 10
        times.append((time.perf_counter() - began) * 1000)
    return times


async def filled(path: Path, stores: int, count: int) -> str:
    """Fill a database; return the id of its first vector store."""
    store, text = SqliteStore(path), Text(2)
    await store.open()
    began = time.perf_counter()
    ids = [await fill(store, number, count, LocalEmbedder().name, text) for number in range(stores)]
    print(f"filled in {time.perf_counter() - began:.0f} s", file=sys.stderr)
    await store.close()
    return ids[0]


async def alone(path: Path, store_id: str, queries: Sequence[str], what: str) -> None:
    """Search through the index, without a server around it."""
    store, embedder, nearest = SqliteStore(path), LocalEmbedder(), Nearest(1024 * MiB)
    await store.open()
    index = Index(store, SqliteKeywords(), nearest, embedder)
    (cold,) = await searches(index, store_id, queries[:1])
    used = time.process_time()
    times = await searches(index, store_id, queries)
    used = (time.process_time() - used) * 1000
    row(f"{what}, through the index, p50", statistics.median(times), "ms")
    row("the same, processor time of the server", used / len(times), "ms")
    row("the same, the first one", cold, "ms")
    row("memory of its vectors", nearest.bytes_in_memory / MiB, "MiB")
    await index.aclose()
    await store.close()


def searching(folder: Path, model_url: str, stores: int, count: int) -> None:
    """Measure searches in one of so many vector stores with so many chunks each."""
    path = folder / "understudy.sqlite3"
    folder.mkdir(parents=True, exist_ok=True)
    store_id = asyncio.run(filled(path, stores, count))
    text, what = Text(3), f"search in {count:,} of {stores * count:,} chunks"
    queries = [text.query() for _ in range(SEARCHES)]
    with understudy(folder, model_url) as server:
        asyncio.run(over_http(server.url, store_id, queries[:2]))
        before = cpu_s(server.pid)
        times = asyncio.run(over_http(server.url, store_id, queries))
        used = (cpu_s(server.pid) - before) * 1000
        row(f"{what}, over HTTP, p50", statistics.median(times), "ms", 25 if count <= 10_000 else 60)
        row("the same, p90", statistics.quantiles(times, n=10)[-1], "ms")
        row("the same, processor time of the server", used / len(times), "ms")
        row("memory of the server, at most", memory_mb(server, "VmHWM"), "MB")
    asyncio.run(alone(path, store_id, queries, what))


async def indexing(folder: Path) -> None:
    """Index a megabyte of licences in passages of some 600 tokens."""
    store = SqliteStore(folder / "indexing.db")
    await store.open()
    index = Index(store, SqliteKeywords(), Nearest(1024 * MiB), LocalEmbedder())
    try:
        await _indexing(index)
    finally:
        await index.aclose()
        await store.close()


async def _indexing(index: Index) -> None:
    await index.search(PROJECT, [], ["warm"])
    text = (LICENCES / "GPL-3").read_text() + (LICENCES / "GFDL-1.3").read_text() + (LICENCES / "MPL-2.0").read_text()
    text = (text * 20)[:1_000_000]
    chunks = [Chunk(text[at : at + 2500], at, at + 2500, None, (), 0) for at in range(0, len(text), 2500)]
    began, used = time.perf_counter(), time.process_time()
    await index.add_terms(PROJECT, "vs_indexing", "file-1", chunks)
    row("1 MB of text: found by its words after", time.perf_counter() - began, "s", 2)
    row("the same, processor time of the server", time.process_time() - used, "s")
    await index.add_vectors("vs_indexing", "file-1")
    row("1 MB of text: whole after", time.perf_counter() - began, "s", 15)
    row("the same, processor time of the server", time.process_time() - used, "s")
    await index.remove_store("vs_indexing")


def main(given: Sequence[int]) -> None:
    head()
    with tempfile.TemporaryDirectory() as folder, listening("bench.upstream") as model:
        if not given:
            asyncio.run(indexing(Path(folder)))
        stores, count = given or (10, 10_000)
        searching(Path(folder) / "search", model.url, stores, count)


if __name__ == "__main__":
    main([int(argument) for argument in sys.argv[1:]])
