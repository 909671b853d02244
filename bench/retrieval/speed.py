"""`python -m bench.retrieval.speed [STORES CHUNKS]`: how quick a search is, and how quickly text is indexed.

Stores of made-up text (a vocabulary of 60,000 words, as frequent as words are) and random vectors, filled through the
product's own queries; then real queries through the index, with the embedder that comes along. No HTTP.
"""

import asyncio
import gc
import random
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from functools import partial
from itertools import accumulate
from pathlib import Path

from bench.table import head, row
from understudy.ids import new_id
from understudy.ingest.index import Index
from understudy.retrieval.documents import Chunk
from understudy.retrieval.embed_local import LocalEmbedder
from understudy.storage import chunks as rows
from understudy.storage import vectors
from understudy.storage.chunks import Cut, IndexedFile, StoredChunk
from understudy.storage.nearest import MiB, Nearest
from understudy.storage.search_sqlite import SqliteKeywords
from understudy.storage.sqlite import SqliteStore

PROJECT = "proj_bench"
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


async def fill(store: SqliteStore, store_id: str, count: int, embedder: str, text: Text) -> None:
    import numpy as np

    chance = np.random.default_rng(hash(store_id) % 2**32)
    keywords = SqliteKeywords()
    for first in range(0, count, AT_ONCE):
        file_id = f"file-{first}"
        cut = [" ".join(text.words(LENGTH)) for _ in range(min(AT_ONCE, count - first))]
        made = [
            StoredChunk(new_id("chunk"), store_id, file_id, place, t, 0, len(t), None, (), 0)
            for place, t in enumerate(cut)
        ]
        file = IndexedFile(PROJECT, store_id, file_id, 1, embedder)
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


async def searches(index: Index, store_id: str, queries: Sequence[str]) -> list[float]:
    times = []
    for query in queries:
        began = time.perf_counter()
        assert await index.search(PROJECT, [store_id], [query])
        times.append((time.perf_counter() - began) * 1000)
    return times


async def main(stores: int, count: int, *, indexed: bool) -> None:
    head()
    with tempfile.TemporaryDirectory() as folder:
        store, embedder = SqliteStore(Path(folder) / "bench.db"), LocalEmbedder()
        await store.open()
        nearest = Nearest(1024 * MiB)
        index = Index(store, SqliteKeywords(), nearest, embedder)
        if indexed:
            await indexing(index)
        text = Text(2)
        began = time.perf_counter()
        for number in range(stores):
            await fill(store, f"vs_{number}", count, embedder.name, text)
        print(f"filled in {time.perf_counter() - began:.0f} s", file=sys.stderr)
        gc.collect()
        queries = [text.query() for _ in range(SEARCHES)]
        (cold,) = await searches(index, "vs_0", queries[:1])
        used = time.process_time()
        times = await searches(index, "vs_0", queries)
        used = (time.process_time() - used) * 1000
        target = 25 if count <= 10_000 else 60
        what = f"search in {count:,} of {stores * count:,} passages"
        row(f"{what}, p50", statistics.median(times), "ms", target)
        row(f"{what}, processor time of the server", used / len(times), "ms")
        row(f"{what}, p90", statistics.quantiles(times, n=10)[-1], "ms")
        row(f"{what}, the first one", cold, "ms")
        row("memory of its vectors", nearest.bytes_in_memory / MiB, "MiB")
        row("memory of the process, at most", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, "MiB")
        await embedder.aclose()
        await store.close()


async def indexing(index: Index) -> None:
    """Index a megabyte of licences in passages of some 600 tokens."""
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


if __name__ == "__main__":
    given = [int(argument) for argument in sys.argv[1:]]
    asyncio.run(main(*(given or [10, 10_000]), indexed=not given))
