"""Cut a document into the pieces that are searched."""

import re
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from understudy.retrieval.documents import Chunk, Document, Section
from understudy.retrieval.tokens import count, pieces

_UNBROKEN_CHARS = 5_000  # the splitter's time grows with the square of a stretch without white space
_UNBROKEN = re.compile(rf"\S{{{_UNBROKEN_CHARS}}}")
_ENOUGH = (
    0.25  # of the limit: a section of this size is cited under its own heading, a smaller one is too little to rank
)

Span = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Static:
    """Pieces of just so many tokens, each sharing the given number with the one before. Validated by `protocol`."""

    max_chunk_size_tokens: int = 800
    chunk_overlap_tokens: int = 400


@dataclass(frozen=True, slots=True)
class Auto:
    """Pieces that follow the document's structure, none above the limit: sections, then paragraphs, then sentences."""

    max_chunk_size_tokens: int = 800


Strategy = Auto | Static


def chunks(document: Document, strategy: Strategy) -> list[Chunk]:
    """Cut a document. Every character of it that is no white space is in a chunk; chunks are in the text's order.

    Takes CPU time: about 0.3 s for 1 MB of text.
    """
    match strategy:
        case Static(size, overlap):
            spans = _windows(document.text, size, overlap)
        case Auto(size):
            spans = _follow(document, size)
    places = [section.start for section in document.sections]
    return [_chunk(document, places, start, end) for start, end in spans if not document.text[start:end].isspace()]


def _chunk(document: Document, places: list[int], start: int, end: int) -> Chunk:
    text = document.text[start:end]
    begins = start + len(text) - len(text.lstrip())
    index = bisect_right(places, begins) - 1
    section = document.sections[index] if index >= 0 else Section(start, end)
    return Chunk(text, start, end, section.page, section.heading, count(text))


def _windows(text: str, size: int, overlap: int) -> Iterator[Span]:
    """Yield spans of `size` tokens of the text; fewer where a character would be torn, or at the end."""
    offsets = _offsets(text)
    last = len(offsets) - 1
    first = 0
    while first < last:
        end = _end(text, offsets, first, min(first + size, last), size)
        yield offsets[first], offsets[end]
        if end == last:
            return
        first = max(first + 1, end - overlap)
        while offsets[first] < 0:
            first += 1


def _end(text: str, offsets: list[int], first: int, end: int, size: int) -> int:
    """Return the last token's end that keeps a window within its size.

    Cut out of its surroundings, a text can make more tokens than it had there.
    """
    while True:
        while offsets[end] < 0:
            end -= 1
        above = count(text[offsets[first] : offsets[end]]) - size
        if above <= 0:
            return end
        end -= above


def _offsets(text: str) -> list[int]:
    """Return at which character each token begins, and the text's end; -1 for one that begins within a character."""
    offsets, at = [], 0
    for piece in pieces(text):
        offsets.append(-1 if 0x80 <= piece[0] < 0xC0 else at)
        at += sum(byte & 0xC0 != 0x80 for byte in piece)
    return [*offsets, at]


def _follow(document: Document, size: int) -> Iterator[Span]:
    splitter = _splitter(document, size)
    for start, end in _passages(document, size):
        text = document.text[start:end]
        if count(text) <= size:
            yield start, end
        else:
            yield from ((start + begin, start + stop) for begin, stop in _split(splitter, text, size))


def _passages(document: Document, size: int) -> Iterator[Span]:
    """Yield stretches of whole sections: one each, but small neighbours share one unless a higher level begins.

    A slide and a sheet always stand alone.
    """
    start, end, filled, level = 0, 0, 0, 0
    for section_start, section_end, depth in _units(document):
        tokens = count(document.text[section_start:section_end])
        alone = document.form == "paged" or depth < level or filled >= size * _ENOUGH or filled + tokens > size
        if end > start and alone:
            yield start, end
            start = end
        if end == start:
            start, filled, level = section_start, 0, depth
        end, filled = section_end, filled + tokens
    if end > start:
        yield start, end


def _units(document: Document) -> Iterator[tuple[int, int, int]]:
    """Yield start, end and depth of what belongs together: one heading's text, or one slide."""
    unit: tuple[int, int, int] | None = None
    known: object = None
    for section in document.sections:
        name = section.page if document.form == "paged" else section.heading
        if unit and name == known:
            unit = unit[0], section.end, unit[2]
            continue
        if unit:
            yield unit
        unit, known = (section.start, section.end, len(section.heading)), name
    if unit:
        yield unit


class _Splitter(Protocol):
    def chunk_indices(self, text: str) -> list[tuple[int, str]]: ...


def _splitter(document: Document, size: int) -> _Splitter:
    import semantic_text_splitter

    kind: Any = semantic_text_splitter.TextSplitter
    if document.form == "markdown":
        kind = semantic_text_splitter.MarkdownSplitter
    splitter: _Splitter = kind.from_tiktoken_model("gpt-4o", size)  # o200k; its tables are part of the library
    return splitter


def _split(splitter: _Splitter, text: str, size: int) -> Iterator[Span]:
    for start, end in _stretches(text):
        for at, part in splitter.chunk_indices(text[start:end]):
            if count(part) <= size:
                yield start + at, start + at + len(part)
            else:  # it counts a special token's name as one token
                yield from ((start + at + begin, start + at + stop) for begin, stop in _windows(part, size, 0))


def _stretches(text: str) -> Iterator[Span]:
    start = 0
    for unbroken in _UNBROKEN.finditer(text):
        yield start, unbroken.end()
        start = unbroken.end()
    if start < len(text):
        yield start, len(text)
