"""The index: what goes in is found, in the order that fits, and nothing else."""

import struct
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from sqlalchemy import Connection
from tests.storage.builders import PROJECT, migrated

from understudy.errors import LeaseLost, NotFound, Unavailable
from understudy.ingest import index as module
from understudy.ingest.index import Hit, Index, Ranking
from understudy.retrieval.documents import Chunk
from understudy.retrieval.fuse import Weights
from understudy.retrieval.terms import terms
from understudy.storage.nearest import Nearest
from understudy.storage.search_sqlite import SqliteKeywords
from understudy.storage.sqlite import SqliteStore

TOPICS = (("cat", "고양이", "kitten", "pet"), ("ship", "배", "sailor", "sea"), ("tax", "세금", "revenue", "law"))


@dataclass
class FakeEmbedder:
    """Knows what some words mean, in two languages: a number for each of the TOPICS."""

    name: str = "topics/1"
    broken: bool = False
    asked: list[list[str]] = field(default_factory=list)

    async def embed(self, texts: Sequence[str], *, urgent: bool = False) -> list[bytes]:
        if self.broken:
            raise Unavailable("the embedder is ill")
        self.asked.append(list(texts))
        return [self._vector(text.lower()) for text in texts]

    def _vector(self, text: str) -> bytes:
        counts = [float(sum(text.count(word) for word in topic)) for topic in TOPICS] + [0.1]
        length = sum(count * count for count in counts) ** 0.5
        return struct.pack("<4f", *(count / length for count in counts))

    async def aclose(self) -> None:
        pass


@dataclass
class FakeReranker:
    """Likes the shortest text best."""

    broken: bool = False

    async def scores(self, query: str, texts: Sequence[str]) -> list[float]:
        if self.broken:
            raise Unavailable("the reranker is ill")
        return [1 / len(text) for text in texts]

    async def aclose(self) -> None:
        pass


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    (tmp_path / "store.db").write_bytes(migrated())
    store = SqliteStore(tmp_path / "store.db")
    await store.open()
    yield store
    await store.close()


@pytest.fixture
def embedder() -> FakeEmbedder:
    return FakeEmbedder()


@pytest.fixture
def index(store: SqliteStore, embedder: FakeEmbedder) -> Index:
    return Index(store, SqliteKeywords(), Nearest(), embedder)


@pytest.fixture
def by_words(store: SqliteStore) -> Index:
    """The same passages, searched without an embedder."""
    return Index(store, SqliteKeywords(), Nearest())


def cut(*texts: str) -> list[Chunk]:
    start, made = 0, []
    for text in texts:
        made.append(Chunk(text, start, start + len(text), 2, ("Chapter", "Part"), 9))
        start += len(text)
    return made


async def found(index: Index, *queries: str, stores: Sequence[str] = ("vs_1",), **given: object) -> list[str]:
    hits = await index.search(PROJECT, stores, queries, **given)  # type: ignore[arg-type]  # the callers' names
    assert hits == sorted(hits, key=lambda hit: -hit.score)
    assert all(0 <= hit.score <= 1 for hit in hits)
    return [hit.text for hit in hits if hit.score > 0.15]


CAT, SHIP, TAX = "A cat sleeps on the mat.", "The ship left the harbour.", "Taxes are due in May."


async def test_a_passage_is_found_by_its_words_in_other_forms(index: Index) -> None:
    await index.add(PROJECT, "vs_1", "file-1", cut(CAT, SHIP, TAX))
    assert await found(index, "sleeping cats") == [CAT]
    assert await found(index, "the ships of the harbours") == [SHIP]


async def test_a_passage_is_found_by_what_it_means_in_another_language(index: Index) -> None:
    await index.add(PROJECT, "vs_1", "file-1", cut(CAT, SHIP, TAX))
    assert (await found(index, "고양이는 어디에 있나요?"))[0] == CAT
    assert (await found(index, "kitten"))[0] == CAT


async def test_a_hit_is_the_passage_as_it_was_put_in(index: Index) -> None:
    await index.add(PROJECT, "vs_1", "file-1", cut(CAT, SHIP))
    (hit, *_) = await index.search(PROJECT, ["vs_1"], ["ship"])
    assert (hit.store_id, hit.file_id, hit.text) == ("vs_1", "file-1", SHIP)
    assert (hit.chunk.start, hit.chunk.end, hit.chunk.page) == (len(CAT), len(CAT) + len(SHIP), 2)
    assert (hit.chunk.heading, hit.chunk.tokens, hit.chunk.place) == (("Chapter", "Part"), 9, 1)
    assert await index.chunk("vs_1", "file-1", hit.chunk_id) == hit.chunk
    assert [chunk.text for chunk in await index.content("vs_1", "file-1")] == [CAT, SHIP]
    with pytest.raises(NotFound):
        await index.chunk("vs_2", "file-1", hit.chunk_id)


async def test_what_a_passage_stands_under_is_searched_too(index: Index) -> None:
    under = Chunk("It is done twice a year.", 0, 24, None, ("Care of the garden", "Fertilizing"), 9)
    await index.add(PROJECT, "vs_1", "file-1", [*cut(CAT, SHIP), under])
    assert (await found(index, "fertilize"))[0] == under.text


async def test_without_an_embedder_words_are_enough(by_words: Index) -> None:
    await by_words.add(PROJECT, "vs_1", "file-1", cut(CAT, SHIP, TAX))
    assert await found(by_words, "sleeping cats") == [CAT]
    assert await found(by_words, "고양이") == []


async def test_while_the_embedder_is_ill_words_are_enough(index: Index, embedder: FakeEmbedder) -> None:
    await index.add(PROJECT, "vs_1", "file-1", cut(CAT, SHIP, TAX))
    embedder.broken = True
    assert await found(index, "sleeping cats") == [CAT]
    with pytest.raises(Unavailable):
        await index.add(PROJECT, "vs_1", "file-2", cut(CAT))
    assert len(await found(index, "cat")) == 2


async def test_a_file_is_found_by_its_words_before_it_has_vectors(index: Index, embedder: FakeEmbedder) -> None:
    assert await index.add_terms(PROJECT, "vs_1", "file-1", cut(CAT, "고양이")) == len(CAT) + 9
    assert await found(index, "sleeping cat") == [CAT]
    assert embedder.asked == [["sleeping cat"]]
    assert await index.add_vectors("vs_1", "file-1") == 2 * 16


async def test_what_is_added_again_replaces_what_was_there(index: Index) -> None:
    size = await index.add(PROJECT, "vs_1", "file-1", cut(CAT, SHIP))
    assert size == len(CAT) + len(SHIP) + 2 * 16
    assert await index.add(PROJECT, "vs_1", "file-1", cut(TAX)) == len(TAX) + 16
    assert [chunk.text for chunk in await index.content("vs_1", "file-1")] == [TAX]
    assert await found(index, "cat") == []


async def test_a_long_file_is_indexed_whole(index: Index) -> None:
    texts = [f"Passage number n{number} of many." for number in range(3 * module.WRITTEN_AT_ONCE + 5)]
    await index.add(PROJECT, "vs_1", "file-1", cut(*texts))
    assert [chunk.text for chunk in await index.content("vs_1", "file-1")] == texts
    assert (await found(index, "n196"))[0] == texts[196]
    await index.remove("vs_1", "file-1")
    assert await index.content("vs_1", "file-1") == []
    assert await index.search(PROJECT, ["vs_1"], ["passage"]) == []


async def test_each_query_brings_in_its_own(index: Index) -> None:
    await index.add(PROJECT, "vs_1", "file-1", cut(CAT, SHIP, TAX, "Bread and butter."))
    assert set(await found(index, "a sleeping cat", "ships in the harbour")) == {CAT, SHIP}
    assert len(await index.search(PROJECT, ["vs_1"], ["cat", "ship", "tax"], limit=2)) == 2


async def test_a_page_for_a_query_is_no_trouble(index: Index) -> None:
    await index.add(PROJECT, "vs_1", "file-1", cut(CAT, SHIP, TAX))
    page = "The sleeping cat. " + " ".join(f"word{number} 단어{number}" for number in range(20_000))
    assert (await found(index, page, limit=1)) in ([CAT], [])
    assert (await index.search(PROJECT, ["vs_1"], [page]))[0].text == CAT
    assert await index.search(PROJECT, ["vs_1"], ["", "?!"], limit=1)


async def test_stores_are_searched_together_and_a_file_in_two_is_found_twice(index: Index) -> None:
    await index.add(PROJECT, "vs_1", "file-1", cut(CAT, SHIP))
    await index.add(PROJECT, "vs_2", "file-1", cut(CAT, TAX))
    hits = await index.search(PROJECT, ["vs_1", "vs_2", "vs_1", "vs_none"], ["sleeping cat"], limit=2)
    assert [(hit.store_id, hit.text) for hit in hits] == [("vs_1", CAT), ("vs_2", CAT)]


async def test_another_projects_store_is_empty(index: Index) -> None:
    await index.add(PROJECT, "vs_1", "file-1", cut(CAT))
    assert await index.search("proj_other", ["vs_1"], ["cat"]) == []


async def test_only_the_files_that_are_named(index: Index) -> None:
    await index.add(PROJECT, "vs_1", "file-1", cut(CAT))
    await index.add(PROJECT, "vs_1", "file-2", cut("The cat went to sea."))
    only = {("vs_1", "file-2"), ("vs_2", "file-1")}
    assert await found(index, "cat", only=only) == ["The cat went to sea."]
    assert await index.search(PROJECT, ["vs_1"], ["cat"], only=[]) == []


async def test_a_threshold_leaves_out_what_fits_badly(index: Index) -> None:
    await index.add(PROJECT, "vs_1", "file-1", cut(CAT, SHIP, TAX))
    all_of_them = await index.search(PROJECT, ["vs_1"], ["sleeping cat"])
    assert len(all_of_them) == 3
    limit = all_of_them[0].score
    assert await index.search(PROJECT, ["vs_1"], ["sleeping cat"], ranking=Ranking(limit)) == all_of_them[:1]
    assert await index.search(PROJECT, ["vs_1"], ["sleeping cat"], ranking=Ranking(1.0)) == []


async def test_a_score_does_not_depend_on_what_else_is_found(index: Index) -> None:
    """What fits nothing gets a low score, also where it is the best that there is."""
    await index.add(PROJECT, "vs_1", "file-1", cut(SHIP, TAX))
    hits = await index.search(PROJECT, ["vs_1"], ["philosophy of the dead"])
    assert all(hit.score < 0.3 for hit in hits)


async def test_a_clients_weights_decide(index: Index) -> None:
    words, meaning = "Sailor is a name that my kitten has.", "The sea, the sea, the ship."
    await index.add(PROJECT, "vs_1", "file-1", cut(words, meaning, TAX))
    for weights, best in ((Weights(1, 0), words), (Weights(0, 1), meaning)):
        hits = await index.search(PROJECT, ["vs_1"], ["sailor name"], ranking=Ranking(hybrid=weights))
        assert hits[0].text == best


async def test_a_reranker_has_the_last_word(store: SqliteStore, embedder: FakeEmbedder) -> None:
    reranker = FakeReranker()
    index = Index(store, SqliteKeywords(), Nearest(), embedder, reranker)
    await index.add(PROJECT, "vs_1", "file-1", cut("A cat, a cat, a cat, and a cat.", "A cat."))

    async def first(**given: object) -> Hit:
        return (await index.search(PROJECT, ["vs_1"], ["cat"], limit=1, ranking=Ranking(**given)))[0]  # type: ignore[arg-type]

    assert ((await first()).text, (await first()).score) == ("A cat.", 1 / 6)
    reranker.broken = True
    assert (await first()).score > 1 / 6
    reranker.broken = False
    assert (await first(rerank=False)).score > 1 / 6


async def test_who_has_lost_the_file_writes_nothing(index: Index) -> None:
    def lost(_: Connection) -> None:
        raise LeaseLost("somebody else has it")

    await index.add(PROJECT, "vs_1", "file-1", cut(CAT))
    for work in (
        index.add(PROJECT, "vs_1", "file-1", cut(SHIP), fence=lost),
        index.add_vectors("vs_1", "file-1", fence=lost),
        index.remove("vs_1", "file-1", fence=lost),
    ):
        with pytest.raises(LeaseLost):
            await work
    assert [chunk.text for chunk in await index.content("vs_1", "file-1")] == [CAT]


async def test_removing_a_store_removes_all_of_it(index: Index) -> None:
    for number in range(3):
        await index.add(PROJECT, "vs_1", f"file-{number}", cut(CAT))
    await index.add(PROJECT, "vs_2", "file-1", cut(CAT))
    await index.remove_store("vs_1")
    await index.remove_store("vs_1")
    assert await index.search(PROJECT, ["vs_1"], ["cat"]) == []
    assert len(await index.search(PROJECT, ["vs_2"], ["cat"])) == 1


async def test_another_embedder_makes_files_stale_and_indexing_them_anew_mends_it(
    index: Index, store: SqliteStore, embedder: FakeEmbedder
) -> None:
    await index.add(PROJECT, "vs_1", "file-1", cut(CAT, SHIP))
    assert await index.stale() == []
    changed = Index(store, SqliteKeywords(), Nearest(), FakeEmbedder("topics/2"))
    (file,) = await changed.stale()
    assert await found(changed, "고양이") == []
    await changed.reindex(file)
    assert await changed.stale() == []
    assert (await found(changed, "고양이"))[0] == CAT


async def test_other_terms_make_files_stale_and_indexing_them_anew_mends_it(
    index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    await index.add(PROJECT, "vs_1", "file-1", cut(CAT, SHIP))
    before = await index.content("vs_1", "file-1")
    monkeypatch.setattr(module, "TERMS_VERSION", 2)
    monkeypatch.setattr(module, "terms", lambda text: [f"new{term}" for term in terms(text)])
    monkeypatch.setattr(module, "query_terms", lambda text: [(f"new{term}",) for term in terms(text)])
    (file,) = await index.stale()
    assert await found(index, "mat") == []
    await index.reindex(file)
    assert await index.stale() == []
    assert (await found(index, "mat")) == [CAT]
    assert await index.content("vs_1", "file-1") == before


async def test_a_file_that_was_not_finished_is_stale(index: Index) -> None:
    await index.add_terms(PROJECT, "vs_1", "file-1", cut(CAT))
    assert [file.file_id for file in await index.stale()] == ["file-1"]
