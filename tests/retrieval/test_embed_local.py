"""The embedder that comes along: real children, real vectors."""

import asyncio
import os
import re
import signal
import struct
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from hypothesis import given
from hypothesis import strategies as st

from understudy.errors import Unavailable
from understudy.retrieval import embed_local
from understudy.retrieval.embed_child import NICE, WINDOW, windows
from understudy.retrieval.embed_local import DIMENSIONS, PORTION, LocalEmbedder, portions

NEAR = 0.6
FAR = 0.4


with_the_others = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def embedder() -> AsyncIterator[LocalEmbedder]:
    """One for all: a child takes a while to start on a busy machine."""
    made = LocalEmbedder(processes=1)
    yield made
    await made.aclose()


def cosine(one: bytes, other: bytes) -> float:
    a, b = (struct.unpack(f"<{DIMENSIONS}f", vector) for vector in (one, other))
    return sum(x * y for x, y in zip(a, b, strict=True))


@with_the_others
async def test_what_means_the_same_is_near_in_any_language(embedder: LocalEmbedder) -> None:
    texts = [
        "Cats and dogs are pets.",
        "개와 고양이는 애완동물이다.",
        "猫和狗是宠物。",
        "The tax return is due in May.",
    ]
    english, korean, chinese, tax = await embedder.embed(texts)
    assert cosine(english, english) == pytest.approx(1, abs=1e-5)
    assert cosine(english, korean) > NEAR
    assert cosine(english, chinese) > NEAR
    assert cosine(english, tax) < FAR


@with_the_others
async def test_each_text_has_the_vector_that_it_has_alone(embedder: LocalEmbedder) -> None:
    texts = ["one", "", "two " * 400, "셋", "\ud800 half a sign", "four\nlines\x00 and\u2028more", " \n"]
    together = await embedder.embed(texts)
    assert [len(vector) for vector in together] == [DIMENSIONS * 4] * len(texts)
    for text, vector in zip(texts, together, strict=True):
        (alone,) = await embedder.embed([text])
        assert cosine(alone, vector) == pytest.approx(1, abs=1e-4), text
    assert await embedder.embed([]) == []


@with_the_others
async def test_a_long_text_is_near_to_each_of_its_parts(embedder: LocalEmbedder) -> None:
    parts = ["The parrot flew over the blue sea. " * 12, "Bread is baked in a hot oven. " * 12]
    whole, parrot, bread, engine = await embedder.embed(
        [" ".join(parts), "a bird above the ocean", "how is bread made?", "a diesel engine is repaired"]
    )
    assert min(cosine(whole, parrot), cosine(whole, bread)) > cosine(whole, engine) + 0.1


@with_the_others
async def test_somebody_who_waits_goes_before_the_crowd(embedder: LocalEmbedder) -> None:
    await embedder.embed(["warm"])
    crowd = asyncio.create_task(embedder.embed(["The crowd waits in a long line. " * 40] * 60))
    await asyncio.sleep(0)
    await embedder.embed(["a query"], urgent=True)
    assert not crowd.done()
    assert len(await crowd) == 60


@with_the_others
async def test_embedding_gives_way_to_the_servers_own_work(embedder: LocalEmbedder) -> None:
    await embedder.embed(["warm"])
    for child in _children(embedder):
        assert os.getpriority(os.PRIO_PROCESS, child) == min(19, os.getpriority(os.PRIO_PROCESS, 0) + NICE)


@with_the_others
async def test_a_child_that_dies_is_replaced(embedder: LocalEmbedder) -> None:
    await embedder.embed(["warm"])
    work = asyncio.create_task(embedder.embed(["Text that takes a while. " * 60] * 30))
    await asyncio.sleep(0.1)
    for child in _children(embedder):
        os.kill(child, signal.SIGKILL)
    assert len(await work) == 30


@with_the_others
async def test_children_that_cannot_live_are_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embed_local.sys, "executable", "/bin/false")
    embedder = LocalEmbedder(processes=2)
    for _ in range(2):
        with pytest.raises(Unavailable, match="failed twice"):
            await embedder.embed(["text"])
    await embedder.aclose()


@with_the_others
async def test_a_child_without_work_goes_away() -> None:
    embedder = LocalEmbedder(processes=1, idle_s=0.05)
    await embedder.embed(["text"])
    assert embedder.running == 1
    async with asyncio.timeout(5):
        while embedder.running:  # noqa: ASYNC110  # nothing tells of it
            await asyncio.sleep(0.01)
    assert len(await embedder.embed(["again"])) == 1
    await embedder.aclose()
    with pytest.raises(Unavailable, match="closed"):
        await embedder.embed(["text"])


@with_the_others
async def test_who_gives_up_stops_the_work(embedder: LocalEmbedder) -> None:
    await embedder.embed(["warm"])
    crowd = asyncio.create_task(embedder.embed(["The crowd waits in a long line. " * 40] * 1000))
    await asyncio.sleep(0.05)
    crowd.cancel()
    async with asyncio.timeout(5):
        await embedder.embed(["a query"])


@given(st.lists(st.text(max_size=PORTION * 2), max_size=20))
def test_portions_hold_all_texts_in_order(texts: list[str]) -> None:
    made = portions(texts)
    assert [text for group in made for text in group] == [text.encode(errors="replace").decode() for text in texts]
    assert all(group for group in made)
    assert all(len(group) == 1 or sum(map(len, group)) <= PORTION for group in made)


@given(st.text(alphabet="ab .\n。가"))
def test_windows_hold_all_of_a_text(text: str) -> None:
    made = windows(text * 40)
    assert "".join("".join(made).split()) == "".join((text * 40).split())
    assert made
    assert all(len(piece.encode()) <= WINDOW or not re.search(r"。[^。]|\.\s+\S|\n", piece.strip()) for piece in made)


def _children(embedder: LocalEmbedder) -> list[int]:
    me = os.getpid()
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                with open(f"/proc/{entry}/stat") as stat, open(f"/proc/{entry}/cmdline") as line:
                    parent, command = int(stat.read().rpartition(")")[2].split()[1]), line.read()
            except OSError:
                continue
            if parent == me and "embed_child" in command:
                found.append(int(entry))
    assert len(found) == embedder.running
    return found
