"""`python -m bench.retrieval`: how well the right passage is found, on real text in four languages.

Needs apt-get, and about two minutes of two cores: 10 MB of text are indexed by the product's own index, with the
embedder that comes along. Weights were chosen on the development half (`--dev` shows it); the table is of the other.
"""

import asyncio
import math
import re
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from bench.retrieval import corpus
from bench.retrieval.corpus import Collection, Query
from bench.retrieval.remembered import Remembered
from understudy.ingest.index import Index, Ranking
from understudy.retrieval.documents import Chunk
from understudy.retrieval.embed_local import LocalEmbedder
from understudy.retrieval.fuse import Weights
from understudy.storage.nearest import Nearest
from understudy.storage.search_sqlite import SqliteKeywords
from understudy.storage.sqlite import SqliteStore

DEPTH = 10
PROJECT = "proj_bench"
ACROSS = (("ko", "en"), ("zh", "en"), ("de", "en"), ("en", "ko"))

Ranker = Callable[[str], Awaitable[list[int]]]
"""Returns the numbers of the best passages for a query."""


def ndcg(order: Sequence[int], relevant: set[int]) -> float:
    gained = sum(1 / math.log2(place + 2) for place, number in enumerate(order[:DEPTH]) if number in relevant)
    return gained / sum(1 / math.log2(place + 2) for place in range(min(DEPTH, len(relevant))))


def recall(order: Sequence[int], relevant: set[int]) -> float:
    return len(relevant.intersection(order[:DEPTH])) / min(DEPTH, len(relevant))


# --- rankings --------------------------------------------------------------------------------------------------------


def fts5(passages: Sequence[str], tokenizer: str) -> Ranker:
    """SQLite's own search: any of the words, the best by its bm25."""
    database = sqlite3.connect(":memory:")
    database.execute(f"CREATE VIRTUAL TABLE passages USING fts5(text, tokenize='{tokenizer}')")
    database.executemany("INSERT INTO passages (rowid, text) VALUES (?, ?)", enumerate(passages))

    async def find(query: str) -> list[int]:
        match = " OR ".join(f'"{word}"' for word in re.findall(r"\w+", query))
        statement = "SELECT rowid FROM passages WHERE passages MATCH ? ORDER BY rank LIMIT ?"
        return [row[0] for row in database.execute(statement, (match, DEPTH))] if match else []

    return find


def ours(index: Index, store_id: str, ranking: Ranking) -> Ranker:
    async def find(query: str) -> list[int]:
        hits = await index.search(PROJECT, [store_id], [query], limit=DEPTH, ranking=ranking)
        return [hit.chunk.place for hit in hits]

    return find


def rankers(collection: Collection, index: Index) -> dict[str, Ranker]:
    texts = [passage.whole for passage in collection.passages]
    store_id = f"vs_{collection.language}"
    return {
        "FTS5, unicode61": fts5(texts, "unicode61"),
        "FTS5, trigram": fts5(texts, "trigram"),
        "dense alone": ours(index, store_id, Ranking(hybrid=Weights(text=0, dense=1))),
        "RRF, 1 to 1": ours(index, store_id, Ranking(hybrid=Weights(text=1, dense=1))),
        "terms alone": ours(index, store_id, Ranking(hybrid=Weights(text=1, dense=0))),
        "**default**": ours(index, store_id, Ranking()),
    }


async def judged(ranker: Ranker, asked: Sequence[tuple[Query, set[int]]]) -> tuple[float, float, float]:
    """Return nDCG@10, recall@10 and the median time in ms."""
    gains, recalls, times = [], [], []
    for query, relevant in asked:
        began = time.perf_counter()
        order = await ranker(query.text)
        times.append((time.perf_counter() - began) * 1000)
        gains.append(ndcg(order, relevant))
        recalls.append(recall(order, relevant))
    return statistics.mean(gains), statistics.mean(recalls), statistics.median(times)


# --- the tables ------------------------------------------------------------------------------------------------------


async def add(index: Index, collection: Collection) -> None:
    chunks = [
        Chunk(passage.text, 0, len(passage.text), None, (passage.heading,) if passage.heading else (), 0)
        for passage in collection.passages
    ]
    await index.add(PROJECT, f"vs_{collection.language}", "file-bench", chunks)


def asked_of(queries: Sequence[Query], collection: Collection, test: bool) -> list[tuple[Query, set[int]]]:
    chosen = ((query, collection.relevant(query)) for query in queries if query.for_test == test)
    return [(query, relevant) for query, relevant in chosen if relevant]


async def tables(collections: dict[str, Collection], index: Index, test: bool) -> None:
    print("| ranking | " + " | ".join(f"{name}: nDCG, recall, ms" for name in collections) + " | mean nDCG |")
    print("|---|" + "---|" * (len(collections) + 1))
    asked = {name: asked_of(one.queries, one, test) for name, one in collections.items()}
    made = {name: rankers(one, index) for name, one in collections.items()}
    for ranking in next(iter(made.values())):
        rows = [await judged(made[name][ranking], asked[name]) for name in collections]
        cells = " | ".join(f"{gain:.3f}, {found:.3f}, {took:.1f}" for gain, found, took in rows)
        print(f"| {ranking} | {cells} | {statistics.mean(row[0] for row in rows):.3f} |", flush=True)
    print(f"\nQuestions: {', '.join(f'{name} {len(some)}' for name, some in asked.items())}.\n")
    print("| question, passages | " + " | ".join(next(iter(made.values()))) + " |\n|---|" + "---|" * 6)
    for of, into in ACROSS:
        across = asked_of(collections[of].queries, collections[into], test)
        across = [
            (query, found) for query, found in across if not any(place.startswith("faq") for place in query.places)
        ]
        cells = [f"{(await judged(ranker, across))[0]:.3f}" for ranker in made[into].values()]
        print(f"| {of}, {into} ({len(across)}) | {' | '.join(cells)} |", flush=True)


async def main(folder: Path, test: bool) -> None:
    corpus.fetch(folder)
    collections = {language: corpus.collection(folder, language) for language in corpus.LANGUAGES}
    with tempfile.TemporaryDirectory() as place:
        store, embedder = SqliteStore(Path(place) / "bench.db"), Remembered(LocalEmbedder(), folder / "vectors.db")
        await store.open()
        index = Index(store, SqliteKeywords(), Nearest(), embedder)
        for collection in collections.values():
            await add(index, collection)
        print(
            "Passages: " + ", ".join(f"{name} {len(one.passages)}" for name, one in collections.items()) + ".\n",
            flush=True,
        )
        await tables(collections, index, test)
        await embedder.aclose()
        await store.close()


if __name__ == "__main__":
    where = Path(tempfile.gettempdir()) / "understudy-bench-retrieval"
    asyncio.run(main(where, test="--dev" not in sys.argv))
