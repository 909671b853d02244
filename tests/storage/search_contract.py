"""What every KeywordIndex and every VectorIndex must do, over the tables of `chunks` and `vectors`.

Adapters' tests collect these classes with fixtures of their own: `store` (open and empty), `keywords`, `nearest`.
"""

import math
import random
import struct
from collections.abc import Sequence

import pytest
from tests.storage.builders import PROJECT

from understudy.errors import NotFound
from understudy.ids import new_id
from understudy.retrieval import bm25
from understudy.storage import chunks, vectors
from understudy.storage.base import Store
from understudy.storage.chunks import Cut, IndexedFile, StoredChunk
from understudy.storage.search import IndexedStore, KeywordIndex, VectorIndex

OTHER = "proj_other"
EMBEDDER = "test/1"
PROPOSED = 100  # as many as the index asks for
DIMENSIONS = 8


def passage(text: str, place: int = 0, store_id: str = "vs_1", file_id: str = "file-1") -> StoredChunk:
    return StoredChunk(new_id("chunk"), store_id, file_id, place, text, 0, len(text), 3, ("One", "Two"), 7)


async def put(
    store: Store,
    keywords: KeywordIndex,
    *texts: str,
    store_id: str = "vs_1",
    file_id: str = "file-1",
    project: str = PROJECT,
) -> list[int]:
    """Index a file whose passages have these terms; return their keys."""
    made = [passage(text, place, store_id, file_id) for place, text in enumerate(texts)]
    await store.write(lambda c: chunks.begin_file(c, IndexedFile(project, store_id, file_id, 1, None)))
    await store.write(lambda c: chunks.add(c, keywords, project, made, [Cut(text) for text in texts]))
    return [key for key, _ in await store.read(lambda c: chunks.keyed(c, store_id, file_id, 0, 1000))]


async def known(store: Store, store_id: str = "vs_1", project: str = PROJECT) -> IndexedStore:
    found = await store.read(lambda c: chunks.store(c, project, store_id))
    assert found is not None
    return found


class PassagesAreKept:
    async def test_a_passage_is_returned_as_it_was_added(self, store: Store, keywords: KeywordIndex) -> None:
        made = [passage("첫 번째", 0), passage("second", 1)]
        await store.write(lambda c: chunks.begin_file(c, IndexedFile(PROJECT, "vs_1", "file-1", 1, None)))
        await store.write(lambda c: chunks.add(c, keywords, PROJECT, made[::-1], [Cut("b"), Cut("a")]))
        assert await store.read(lambda c: chunks.in_order(c, "vs_1", "file-1")) == made
        assert await store.read(lambda c: chunks.in_order(c, "vs_1", "file-1", first=1)) == made[1:]
        assert await store.read(lambda c: chunks.get(c, "vs_1", "file-1", made[1].id)) == made[1]

    async def test_a_passage_is_of_its_file_and_store_only(self, store: Store, keywords: KeywordIndex) -> None:
        await put(store, keywords, "one")
        (mine,) = await store.read(lambda c: chunks.in_order(c, "vs_1", "file-1"))
        for store_id, file_id in (("vs_1", "file-2"), ("vs_2", "file-1")):
            with pytest.raises(NotFound, match=f"No chunk found with id '{mine.id}'"):
                await store.read(lambda c, s=store_id, f=file_id: chunks.get(c, s, f, mine.id))

    async def test_the_store_counts_passages_and_terms(self, store: Store, keywords: KeywordIndex) -> None:
        await put(store, keywords, "a b c", "a")
        await put(store, keywords, "d d", file_id="file-2")
        found = await known(store)
        assert (found.chunks, found.terms) == (3, 6)
        assert await store.write(lambda c: chunks.remove(c, keywords, "vs_1", "file-1", 10)) == 2
        found = await known(store)
        assert (found.chunks, found.terms) == (1, 2)

    async def test_another_project_does_not_know_the_store(self, store: Store, keywords: KeywordIndex) -> None:
        await put(store, keywords, "one")
        assert await store.read(lambda c: chunks.store(c, OTHER, "vs_1")) is None

    async def test_what_was_indexed_otherwise_is_told(self, store: Store, keywords: KeywordIndex) -> None:
        await put(store, keywords, "one")
        await put(store, keywords, "two", file_id="file-2")
        await store.write(lambda c: chunks.embedded(c, "vs_1", "file-2", EMBEDDER))

        async def stale(terms: int, embedder: str | None) -> set[str]:
            return {file.file_id for file in await store.read(lambda c: chunks.stale(c, terms, embedder))}

        assert await stale(1, None) == set()
        assert await stale(2, None) == {"file-1", "file-2"}
        assert await stale(1, EMBEDDER) == {"file-1"}
        assert await stale(1, "another/1") == {"file-1", "file-2"}


class PassagesAreFoundByTheirTerms:
    async def find(
        self, store: Store, keywords: KeywordIndex, *terms: str, limit: int = 10, files: Sequence[str] | None = None
    ) -> list[int]:
        number = (await known(store)).number
        return await store.read(lambda c: keywords.find(c, number, list(terms), limit, files))

    async def test_each_that_has_one_of_the_terms(self, store: Store, keywords: KeywordIndex) -> None:
        keys = await put(store, keywords, "cat mat", "dog", "bird cat", "fish")
        assert set(await self.find(store, keywords, "cat", "dog")) == set(keys[:3])
        assert await self.find(store, keywords, "ca") == []
        assert await self.find(store, keywords) == []

    async def test_the_one_with_more_and_rarer_terms_comes_first(self, store: Store, keywords: KeywordIndex) -> None:
        keys = await put(store, keywords, *["common a"] * 20, "common rare b", "common c d")
        assert (await self.find(store, keywords, "common", "rare", limit=1)) == [keys[20]]

    async def test_in_any_script(self, store: Store, keywords: KeywordIndex) -> None:
        keys = await put(store, keywords, "데비 비안", "软件 件包", "straße ñandú", "привет", "हिन्दी", "1_2 3_4")
        for term, key in zip(("비안", "件包", "ñandú", "привет", "हिन्दी", "3_4"), keys, strict=True):
            assert await self.find(store, keywords, term) == [key], term

    async def test_by_how_a_term_begins(self, store: Store, keywords: KeywordIndex) -> None:
        keys = await put(store, keywords, "小猫 猫咪", "猫", "小狗")
        assert set(await self.find(store, keywords, "猫*")) == set(keys[:2])
        number = (await known(store)).number
        assert await store.read(lambda c: keywords.frequencies(c, number, ["猫*", "猫", "鸟"])) == {
            "猫*": 2,
            "猫": 1,
            "鸟": 0,
        }

    async def test_words_of_query_languages_are_words(self, store: Store, keywords: KeywordIndex) -> None:
        keys = await put(store, keywords, "and", "or", "not", "near")
        for term, key in zip(("and", "or", "not", "near"), keys, strict=True):
            assert await self.find(store, keywords, term) == [key]

    async def test_in_one_store_only(self, store: Store, keywords: KeywordIndex) -> None:
        keys = await put(store, keywords, "cat")
        await put(store, keywords, "cat", "cat", store_id="vs_2")
        number = (await known(store)).number
        assert await self.find(store, keywords, "cat") == keys
        assert await store.read(lambda c: keywords.frequencies(c, number, ["cat", "dog"])) == {"cat": 1, "dog": 0}

    async def test_in_some_files_only(self, store: Store, keywords: KeywordIndex) -> None:
        await put(store, keywords, "cat")
        second = await put(store, keywords, "cat dog", file_id="file-2")
        assert await self.find(store, keywords, "cat", files=["file-2", "file-9"]) == second
        assert await self.find(store, keywords, "cat", files=[]) == []

    async def test_not_when_they_are_removed(self, store: Store, keywords: KeywordIndex) -> None:
        await put(store, keywords, "cat", "cat dog", "dog")
        second = await put(store, keywords, "cat", file_id="file-2")
        assert await store.write(lambda c: chunks.remove(c, keywords, "vs_1", "file-1", 2)) == 2
        assert await store.write(lambda c: chunks.remove(c, keywords, "vs_1", "file-1", 2)) == 1
        assert await store.write(lambda c: chunks.remove(c, keywords, "vs_1", "file-1", 2)) == 0
        assert await self.find(store, keywords, "cat", "dog") == second
        number = (await known(store)).number
        assert await store.read(lambda c: keywords.frequencies(c, number, ["cat", "dog"])) == {"cat": 1, "dog": 0}

    async def test_by_their_new_terms_when_they_are_cut_anew(self, store: Store, keywords: KeywordIndex) -> None:
        keys = await put(store, keywords, "cat", "dog dog")
        file = IndexedFile(PROJECT, "vs_1", "file-1", 2, None)
        await store.write(lambda c: chunks.recut(c, keywords, file, keys, [Cut("mouse"), Cut("rat cat rat")]))
        assert await self.find(store, keywords, "dog") == []
        assert await self.find(store, keywords, "cat") == [keys[1]]
        assert (await known(store)).terms == 4


# --- vectors ---------------------------------------------------------------------------------------------------------


def unit(*numbers: float) -> bytes:
    numbers += (0.0,) * (DIMENSIONS - len(numbers))
    length = math.sqrt(sum(number * number for number in numbers)) or 1.0
    return struct.pack(f"<{DIMENSIONS}f", *(number / length for number in numbers))


def cosine(one: bytes, other: bytes) -> float:
    rows = (struct.unpack(f"<{DIMENSIONS}f", vector) for vector in (one, other))
    return sum(a * b for a, b in zip(*rows, strict=True))


async def put_vectors(
    store: Store, keys: Sequence[int], made: Sequence[bytes], file_id: str = "file-1", embedder: str = EMBEDDER
) -> None:
    await store.write(lambda c: vectors.add(c, "vs_1", file_id, embedder, keys, b"".join(made)))


class PassagesAreFoundByTheirVectors:
    @pytest.fixture
    async def keys(self, store: Store, keywords: KeywordIndex) -> list[int]:
        return await put(store, keywords, *["x"] * 5)

    async def find(
        self, store: Store, nearest: VectorIndex, query: bytes, limit: int = 10, files: Sequence[str] | None = None
    ) -> dict[int, float]:
        one = await known(store)
        (found,) = await store.read(lambda c: nearest.find(c, one, EMBEDDER, [query], limit, files))
        return found

    async def test_the_nearest_first(self, store: Store, nearest: VectorIndex, keys: list[int]) -> None:
        await put_vectors(store, keys[:3], [unit(1), unit(1, 1), unit(0, 1)])
        found = await self.find(store, nearest, unit(1, 0.1))
        assert list(found) == keys[:3]
        assert found[keys[1]] == pytest.approx(cosine(unit(1, 0.1), unit(1, 1)), abs=1e-6)
        assert list(await self.find(store, nearest, unit(0, 1), limit=2)) == [keys[2], keys[1]]

    async def test_nothing_before_there_are_vectors(self, store: Store, nearest: VectorIndex, keys: list[int]) -> None:
        assert await self.find(store, nearest, unit(1)) == {}

    async def test_what_comes_and_goes_is_seen_at_once(
        self, store: Store, nearest: VectorIndex, keywords: KeywordIndex, keys: list[int]
    ) -> None:
        await put_vectors(store, keys[:1], [unit(1)])
        assert list(await self.find(store, nearest, unit(1))) == keys[:1]
        others = await put(store, keywords, *["y"] * 12, file_id="file-2")
        for key in others:
            await put_vectors(store, [key], [unit(1, 1)], file_id="file-2")
            assert key in await self.find(store, nearest, unit(1), limit=20)
        await store.write(lambda c: vectors.remove(c, "vs_1", "file-1"))
        assert set(await self.find(store, nearest, unit(1), limit=20)) == set(others)
        await store.write(lambda c: vectors.remove(c, "vs_1", "file-2"))
        assert await self.find(store, nearest, unit(1)) == {}

    async def test_a_transaction_that_fails_leaves_no_trace(
        self, store: Store, nearest: VectorIndex, keys: list[int]
    ) -> None:
        def fails(connection: object) -> None:
            vectors.add(connection, "vs_1", "file-1", EMBEDDER, keys[1:2], unit(1))  # type: ignore[arg-type]
            raise KeyError

        await put_vectors(store, keys[:1], [unit(0, 1)])
        with pytest.raises(KeyError):
            await store.write(fails)
        assert list(await self.find(store, nearest, unit(1))) == keys[:1]

    async def test_in_some_files_only(
        self, store: Store, nearest: VectorIndex, keywords: KeywordIndex, keys: list[int]
    ) -> None:
        others = await put(store, keywords, "y", file_id="file-2")
        await put_vectors(store, keys[:2], [unit(1), unit(1, 1)])
        await put_vectors(store, others, [unit(0, 1)], file_id="file-2")
        assert list(await self.find(store, nearest, unit(1), files=["file-2", "file-9"])) == others
        assert await self.find(store, nearest, unit(1), files=[]) == {}

    async def test_not_by_the_vectors_of_another_embedder(
        self, store: Store, nearest: VectorIndex, keys: list[int]
    ) -> None:
        await put_vectors(store, keys[:1], [unit(1)])
        await put_vectors(store, keys[1:2], [unit(1)], embedder="another/1")
        assert list(await self.find(store, nearest, unit(1))) == keys[:1]
        one = await known(store)
        (found,) = await store.read(lambda c: nearest.find(c, one, "another/1", [unit(1)], 10, None))
        assert list(found) == keys[1:2]

    async def test_cosines_of_some_passages(self, store: Store, nearest: VectorIndex, keys: list[int]) -> None:
        await put_vectors(store, keys[:3], [unit(1), unit(1, 1), unit(0, 1)])
        one, queries = await known(store), [unit(1), unit(0, 1)]
        found = await store.read(lambda c: nearest.cosines(c, one, EMBEDDER, queries, {keys[2], keys[4]}))
        assert found == [{keys[2]: pytest.approx(0, abs=1e-6)}, {keys[2]: pytest.approx(1, abs=1e-6)}]
        assert await store.read(lambda c: nearest.cosines(c, one, EMBEDDER, queries, [])) == [{}, {}]

    async def test_every_near_one_is_found(self, store: Store, nearest: VectorIndex, keywords: KeywordIndex) -> None:
        """Recall 1: what is returned are the nearest of all."""
        chance = random.Random(7)
        made: dict[int, bytes] = {}
        for number in range(40):
            file_id = f"file-{number}"
            keys = await put(store, keywords, *["z"] * 20, file_id=file_id)
            rows = [unit(*(chance.gauss(0, 1) for _ in range(DIMENSIONS))) for _ in keys]
            await put_vectors(store, keys, rows, file_id=file_id)
            made |= dict(zip(keys, rows, strict=True))
        for _ in range(10):
            query = unit(*(chance.gauss(0, 1) for _ in range(DIMENSIONS)))
            best = sorted(made, key=lambda key: -cosine(made[key], query))[:10]
            assert list(await self.find(store, nearest, query)) == best

    async def test_a_search_that_read_the_store_before_a_change_still_works(
        self, store: Store, nearest: VectorIndex, keys: list[int]
    ) -> None:
        await put_vectors(store, keys[:1], [unit(1)])
        early = await known(store)
        await put_vectors(store, keys[1:2], [unit(1)])
        await self.find(store, nearest, unit(1))
        (found,) = await store.read(lambda c: nearest.find(c, early, EMBEDDER, [unit(1)], 10))
        assert keys[0] in found


class TheLikeliestAreAmongThoseProposed:
    async def test_the_best_ten_of_all_are_found(self, store: Store, keywords: KeywordIndex) -> None:
        """nDCG@10 against scoring every passage: above 0.98 on each database, so no two are further apart than 0.02."""
        chance = random.Random(5)
        words = [f"w{number}" for number in range(1500)]
        weights = [1 / (rank + 3) for rank in range(len(words))]
        texts = [" ".join(chance.choices(words, weights, k=chance.randint(20, 60))) for _ in range(1200)]
        for start in range(0, len(texts), 400):
            await put(store, keywords, *texts[start : start + 400], file_id=f"file-{start}")
        one = await known(store)
        every = {
            key: cut.terms
            for start in range(0, len(texts), 400)
            for key, cut in (await _cut(store, f"file-{start}")).items()
        }
        gains = []
        for _ in range(25):
            terms = chance.sample(words[20:600], 4)
            frequencies = await store.read(lambda c, t=terms: keywords.frequencies(c, one.number, t))
            statistics = bm25.Statistics(one.chunks, one.terms, frequencies)
            ideal = bm25.scores([(term,) for term in terms], every, statistics)
            wanted = bm25.telling(frequencies, one.chunks, PROPOSED)
            proposed = await store.read(lambda c, w=wanted: keywords.find(c, one.number, w, PROPOSED))
            assert len(proposed) <= PROPOSED
            gains.append(_gain(sorted(proposed, key=lambda k: -ideal[k]), ideal) / _gain(_best(ideal), ideal))
        assert sum(gains) / len(gains) > 0.98


async def _cut(store: Store, file_id: str) -> dict[int, Cut]:
    keys = [key for key, _ in await store.read(lambda c: chunks.keyed(c, "vs_1", file_id, 0, 1000))]
    return await store.read(lambda c: chunks.cut_by_key(c, keys))


def _best(scores: dict[int, float]) -> list[int]:
    return sorted(scores, key=lambda key: -scores[key])


def _gain(keys: Sequence[int], scores: dict[int, float]) -> float:
    return sum(scores[key] / math.log2(place + 2) for place, key in enumerate(keys[:10]))
