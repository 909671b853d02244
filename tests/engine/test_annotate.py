"""Marks in an answer as it is written."""

import itertools
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from understudy.engine.annotate import Marks, Piece, Reader, Source
from understudy.protocol.annotations import CITATION, label, mark, without_marks

CAKE = mark("4:0", "favorite_foods.txt")
TEA = mark("4:12", "차와 커피.pdf")
CSV, CSV_GZ, KOREAN = (f"sandbox:/mnt/data/{name}" for name in ("x.csv", "x.csv.gz", "결과 표.xlsx"))
SOURCES = {
    "4:0": Source("file-cake", "Filip: cake", {"vector_store_id": "vs_1", "chunk_id": "chunk_1"}),
    "4:12": Source("file-tea", "Tea.", {}),
}
MARKS = Marks(
    SOURCES,
    {CSV: "file-csv", CSV_GZ: "file-gz", KOREAN: "file-korean"},
    cites=True,
    quote=lambda before, passage: f"{before[-4:]}|{passage}",
)


def read(pieces: Sequence[str], marks: Marks = MARKS) -> tuple[str, list[Piece]]:
    reader, out = Reader(marks), list[Piece]()
    for piece in pieces:
        reader, more = reader.feed(piece)
        out += more
    reader, more = reader.end()
    assert reader.held == ""
    return reader.written, [*out, *more]


def split(text: str, cuts: Sequence[int]) -> list[str]:
    places = sorted({0, len(text), *(cut % (len(text) + 1) for cut in cuts)})
    return [text[start:end] for start, end in itertools.pairwise(places)]


def annotations(pieces: Sequence[Piece]) -> list[tuple[str, int, int]]:
    marked = [piece.annotation for piece in pieces if piece.annotation]
    return [(found["text"], found["start_index"], found["end_index"]) for found in marked]


def test_a_citation_is_found_resolved_and_quoted() -> None:
    text, pieces = read(["Filip's favorite food is cake", CAKE, "."])
    assert text == f"Filip's favorite food is cake{CAKE}."
    assert pieces[1].annotation == {
        "type": "file_citation",
        "text": CAKE,
        "start_index": 29,
        "end_index": 29 + len(CAKE),
        "file_citation": {
            "file_id": "file-cake",
            "quote": "cake|Filip: cake",
            "vector_store_id": "vs_1",
            "chunk_id": "chunk_1",
        },
    }


def test_a_delta_has_a_number_and_no_quote() -> None:
    _, pieces = read([CAKE])
    [told] = pieces[0].told(3)
    assert (told["index"], told["file_citation"]) == (3, {"file_id": "file-cake", "quote": ""})
    assert Piece("plain").told(0) == []


def test_a_link_to_a_made_file_is_found_wherever_it_stands() -> None:
    text, pieces = read(["See [here](", CSV, f") or ({KOREAN})."])
    assert text == f"See [here]({CSV}) or ({KOREAN})."
    assert annotations(pieces) == [(CSV, 11, 11 + len(CSV)), (KOREAN, text.index(KOREAN), len(text) - 2)]
    assert [piece.annotation["file_path"] for piece in pieces if piece.annotation] == [
        {"file_id": "file-csv"},
        {"file_id": "file-korean"},
    ]


def test_of_two_names_the_longer_one_counts() -> None:
    assert annotations(read([CSV, ".gz"])[1]) == [(CSV_GZ, 0, len(CSV_GZ))]
    assert annotations(read([CSV, ".g!"])[1]) == [(CSV, 0, len(CSV))]
    assert annotations(read([CSV])[1]) == [(CSV, 0, len(CSV))]


@pytest.mark.parametrize("unknown", ["【9:9†secret.txt】", "【4:1†favorite_foods.txt】", "【4:0000†x】"])
def test_an_unknown_citation_is_left_out(unknown: str) -> None:
    assert read(["It is", unknown, " so."])[0] == "It is so."


def test_a_file_that_was_not_made_is_mere_text() -> None:
    text, pieces = read(["sandbox:/mnt/data/y.csv is not there"])
    assert text == "sandbox:/mnt/data/y.csv is not there"
    assert annotations(pieces) == []


@pytest.mark.parametrize(
    "prose", ["【重要】请注意", "他说【4点】", "【4:】", "【4:0】", "【†】", f"【4:0†{'x' * 256}】"]
)
def test_brackets_of_prose_are_no_marks(prose: str) -> None:
    assert read(list(prose)) == (prose, [Piece(piece) for piece in _joined(prose)])


def _joined(prose: str) -> list[str]:
    """What goes out of prose that comes letter by letter."""
    reader, out = Reader(MARKS), list[str]()
    for letter in prose:
        reader, more = reader.feed(letter)
        out += [piece.text for piece in more]
    return out + [piece.text for piece in reader.end()[1]]


def test_prose_is_held_back_no_longer_than_it_must() -> None:
    reader, _ = Reader(MARKS).feed("【")
    assert reader.held == "【"
    reader, pieces = reader.feed("重要】")
    assert ([piece.text for piece in pieces], reader.held) == (["【重要】"], "")
    reader, pieces = reader.feed("a sand")
    assert ([piece.text for piece in pieces], reader.held) == (["a "], "sand")


def test_without_searches_and_files_nothing_is_held_back() -> None:
    reader, pieces = Reader(Marks()).feed(f"【4:0† {CAKE} sandbox:/mnt")
    assert (reader.held, [piece.text for piece in pieces]) == ("", [f"【4:0† {CAKE} sandbox:/mnt"])


TEXTS = st.lists(
    st.sampled_from(
        [CAKE, TEA, CSV, CSV_GZ, KOREAN, "【", "】", "4:0", "†", "【9:9†x】", "sandbox:", "/mnt/data/", "값 ", "é"]
    )
    | st.text(max_size=5),
    max_size=12,
).map("".join)


@given(TEXTS, st.lists(st.integers(min_value=0), max_size=20))
def test_however_it_is_split_the_outcome_is_the_same(text: str, cuts: list[int]) -> None:
    whole, pieces = read([text])
    again, parts = read(split(text, cuts))
    assert again == whole
    assert annotations(parts) == annotations(pieces)


@given(TEXTS, st.lists(st.integers(min_value=0), max_size=20))
def test_each_annotation_is_the_text_at_its_place(text: str, cuts: list[int]) -> None:
    written, pieces = read(split(text, cuts))
    assert "".join(piece.text for piece in pieces) == written
    for marked, start, end in annotations(pieces):
        assert written[start:end] == marked
    found = [(start, end) for _, start, end in annotations(pieces)]
    assert found == sorted(set(found))
    assert all(before[1] <= after[0] for before, after in itertools.pairwise(found))
    citations = [at.span() for at in CITATION.finditer(written) if at.group(1) in SOURCES]
    assert set(citations) <= set(found)


@given(st.text(), st.integers(0, 10**8), st.integers(0, 10**8))
def test_every_name_makes_a_mark_that_is_found(name: str, place: int, result: int) -> None:
    made = mark(label(place, result), name)
    found = CITATION.fullmatch(made)
    assert found
    assert found.group(1) == f"{place}:{result}"


@given(TEXTS)
def test_a_document_cannot_forge_a_citation(text: str) -> None:
    assert not CITATION.search(without_marks(text))
