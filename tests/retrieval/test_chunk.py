"""From a document to its pieces: whole, in order, within the limit, each knowing its place."""

import itertools
import time

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from understudy.retrieval.chunk import Auto, Static, Strategy, chunks
from understudy.retrieval.documents import Chunk, Document, Form, Section
from understudy.retrieval.tokens import count

SCRIPTS = [
    "오필리아는 버드나무 가지에서 떨어졌다. ",
    "皇帝说话，群臣不语。",
    "国境の長いトンネルを抜けると雪国であった。",
    "She drowned; nobody saw her fall. ",
    "Щёлкни мышью, пожалуйста. ",
    "نامت الأميرة قرب النهر. ",
    "เธอตกลงไปในน้ำ",
    "👨\u200d👩\u200d👧\u200d👦🇰🇷👍🏽",
    "e\u0301\u0323\u0308",
    "𠮷𐍈",
    "<|endoftext|>",
    "\n\n",
    "\n# 제목\n",
    "    return x\n",
    "\u3000",
    "\t",
    "x" * 40,
]
TEXTS = st.lists(st.one_of(st.sampled_from(SCRIPTS), st.text(max_size=40)), min_size=1, max_size=120).map("".join)
FORMS: list[Form] = ["prose", "markdown", "code", "paged"]


@st.composite
def documents(draw: st.DrawFn) -> Document:
    parts = draw(st.lists(TEXTS, min_size=1, max_size=4))
    sections, at = [], 0
    for number, part in enumerate(parts, start=1):
        depth = draw(st.integers(0, 3))
        sections.append(Section(at, at + len(part), number, tuple(f"h{level}" for level in range(depth))))
        at += len(part)
    return Document("".join(parts), tuple(sections), draw(st.sampled_from(FORMS)))


@st.composite
def strategies(draw: st.DrawFn) -> Strategy:
    size = draw(st.integers(100, 300))
    return draw(st.sampled_from([Auto(size), Static(size, draw(st.integers(0, size // 2)))]))


def plain(text: str, form: Form = "prose") -> Document:
    return Document(text, (Section(0, len(text)),), form)


def uncovered(document: Document, found: list[Chunk]) -> str:
    kept = set[int]().union(*(range(chunk.start, chunk.end) for chunk in found))
    return "".join(c for at, c in enumerate(document.text) if at not in kept and not c.isspace())


@given(documents(), strategies())
@example(plain("<|endoftext|>" * 300), Auto(100))
@example(plain("가" * 20_000), Auto(100))
@settings(max_examples=60)
def test_chunks_are_slices_that_hold_everything_in_order_and_within_the_limit(
    document: Document, strategy: Strategy
) -> None:
    found = chunks(document, strategy)
    assert all(document.text[chunk.start : chunk.end] == chunk.text for chunk in found)
    assert all(chunk.tokens == count(chunk.text) <= strategy.max_chunk_size_tokens for chunk in found)
    assert not any(chunk.text.isspace() or not chunk.text for chunk in found)
    assert uncovered(document, found) == ""
    assert [chunk.start for chunk in found] == sorted({chunk.start for chunk in found})


@given(documents(), strategies())
@settings(max_examples=50)
def test_a_chunk_has_the_page_and_heading_of_its_first_letter(document: Document, strategy: Strategy) -> None:
    for chunk in chunks(document, strategy):
        first = chunk.start + len(chunk.text) - len(chunk.text.lstrip())
        home = next(section for section in document.sections if section.start <= first < section.end)
        assert (chunk.page, chunk.heading) == (home.page, home.heading)


@pytest.mark.parametrize("sentence", [SCRIPTS[0], SCRIPTS[1], SCRIPTS[3], SCRIPTS[7]])
@pytest.mark.parametrize(("size", "overlap"), [(100, 0), (100, 50), (800, 400), (4096, 100)])
def test_static_pieces_have_just_the_size_and_the_overlap_that_were_asked_for(
    sentence: str, size: int, overlap: int
) -> None:
    document = plain(sentence * (12_000 // count(sentence)))
    found = chunks(document, Static(size, overlap))
    assert len(found) > 2
    torn = 3  # a character of this text has up to four tokens
    assert all(size - torn <= chunk.tokens <= size for chunk in found[:-1])
    for before, after in itertools.pairwise(found):
        assert overlap - torn <= count(document.text[after.start : before.end]) <= overlap + torn
        assert after.start <= before.end


def test_a_short_document_is_one_piece() -> None:
    for strategy in (Auto(), Static()):
        [only] = chunks(plain("물에 빠졌다"), strategy)
        assert (only.text, only.start, only.end) == ("물에 빠졌다", 0, 6)


def sectioned(*parts: tuple[str, tuple[str, ...], int | None], form: Form = "prose") -> Document:
    sections, at = [], 0
    for text, heading, page in parts:
        sections.append(Section(at, at + len(text), page, heading))
        at += len(text)
    return Document("".join(text for text, _, _ in parts), tuple(sections), form)


def test_small_sections_share_a_piece_and_a_new_chapter_begins_one() -> None:
    document = sectioned(
        ("머리말\n\n" + "글 " * 60, ("1장", "가"), None),
        ("본론\n\n" + "글 " * 60, ("1장", "나"), None),
        ("둘째 장\n\n" + "글 " * 60, ("2장",), None),
    )
    assert [chunk.heading for chunk in chunks(document, Auto())] == [("1장", "가"), ("2장",)]


def test_a_section_that_does_not_fit_beside_its_neighbour_begins_a_piece() -> None:
    document = sectioned(
        ("Scene 0\n\n" + "They met on the wall. " * 9, ("Scene 0",), None),
        ("Scene 1\n\n" + "They met on the wall. " * 38, ("Scene 1",), None),
    )
    assert [chunk.heading for chunk in chunks(document, Auto(250))] == [("Scene 0",), ("Scene 1",)]


def test_a_section_of_some_size_is_a_piece_of_its_own() -> None:
    body = "They met on the wall at night. " * 15
    document = sectioned(*((f"Scene {n}\n\n{body}\n\n", (f"Scene {n}",), None) for n in range(4)))
    found = chunks(document, Auto(400))
    assert [chunk.heading for chunk in found] == [(f"Scene {n}",) for n in range(4)]
    assert all(chunk.text.startswith("Scene") for chunk in found)


def test_every_slide_is_a_piece_of_its_own() -> None:
    document = sectioned(("하나\n\n", (), 1), ("둘\n\n", (), 2), ("셋", (), 3), form="paged")
    assert [(chunk.page, chunk.text.strip()) for chunk in chunks(document, Auto())] == [
        (1, "하나"),
        (2, "둘"),
        (3, "셋"),
    ]


def test_pages_of_a_book_do_not_cut_its_text() -> None:
    document = sectioned(("첫 쪽에서 시작한 글이 ", (), 1), ("둘째 쪽에서 끝난다.", (), 2))
    assert [(chunk.page, chunk.text) for chunk in chunks(document, Auto())] == [(1, document.text)]


def test_pieces_end_at_paragraphs_where_they_can() -> None:
    paragraph = "The willow grows aslant a brook, and there she came with garlands. " * 4
    document = plain("\n\n".join([paragraph.strip()] * 30))
    found = chunks(document, Auto(200))
    assert len(found) > 5
    assert all(chunk.text.endswith("garlands.") and chunk.text.startswith("The willow") for chunk in found)


def test_markdown_keeps_its_fences_whole() -> None:
    fence = "```python\n" + "x = 1\n\n" * 12 + "```"
    document = plain("\n\n".join(f"Some words about number {n}.\n\n{fence}" for n in range(6)), "markdown")
    found = chunks(document, Auto(150))
    assert all(chunk.text.count("```") % 2 == 0 for chunk in found)


@pytest.mark.parametrize("text", ["가나다라마바사" * 30_000, "a" * 200_000, "x=1;" * 50_000, "皇" * 100_000])
def test_a_long_text_without_a_space_takes_no_time_of_the_square(text: str) -> None:
    started = time.process_time()
    assert uncovered(plain(text), chunks(plain(text), Auto())) == ""
    assert time.process_time() - started < 8
