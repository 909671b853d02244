"""Quotes are chosen when a message is whole, and not before."""

import asyncio

from tests.storage.builders import NOW, run

from understudy.engine.annotate import Marks, Reader, Source
from understudy.engine.assemble import Draft, fold
from understudy.engine.quotes import ends_message, supported
from understudy.inference.base import Finished, TextDelta, TokenUsage, ToolCallDelta
from understudy.protocol.annotations import mark

CAKE, TEA = mark("4:0", "foods.txt"), mark("4:1", "茶.pdf")
LINK = "sandbox:/mnt/data/x.csv"
MARKS = Marks(
    {"4:0": Source("file-cake", "Cake.", {"chunk_id": "chunk_1"}), "4:1": Source("file-tea", "Tea.", {})},
    {LINK: "file-x"},
    cites=True,
)
DONE = Finished("stop", TokenUsage(1, 1))
CALL = ToolCallDelta(0, "call_1", "f", "{}")


def draft_of(*texts: str) -> Draft:
    draft = Draft(run(status="in_progress"), reader=Reader(MARKS))
    for text in texts:
        draft = fold(draft, TextDelta(text), NOW).draft
    return draft


async def test_each_citation_is_quoted_from_its_own_passage_for_what_stands_before_it() -> None:
    asked = []

    async def support(before: str, passage: str) -> str:
        asked.append((before, passage))
        await asyncio.sleep(0)
        return f"{passage}!"

    draft = await supported(draft_of("He likes cake", CAKE, f" and tea{TEA}, see {LINK}."), support)
    assert asked == [("He likes cake", "Cake."), (f"He likes cake{CAKE} and tea", "Tea.")]
    first, second, link = draft.annotations
    assert first["file_citation"] == {"file_id": "file-cake", "quote": "Cake.!", "chunk_id": "chunk_1"}
    assert second["file_citation"] == {"file_id": "file-tea", "quote": "Tea.!"}
    assert link["file_path"] == {"file_id": "file-x"}
    message = draft.written()
    assert message is not None
    assert message.content[0]["text"]["annotations"] == list(draft.annotations)  # type: ignore[typeddict-item]  # a text


def test_a_message_ends_with_the_answer_or_with_the_first_call() -> None:
    none, some = draft_of(), draft_of("text")
    assert not ends_message(none, DONE)
    assert not ends_message(some, TextDelta("more"))
    assert ends_message(some, DONE)
    assert ends_message(some, CALL)
    called = fold(some, CALL, NOW).draft
    assert not ends_message(called, CALL)
    assert not ends_message(called, DONE)
