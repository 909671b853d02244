"""How quickly files become pieces, through the processes that read them; no server, no index."""

import asyncio
import time
from collections.abc import AsyncIterator

from tests.retrieval import hamlet
from tests.retrieval.typesetting import Page, typeset

from understudy.ingest.parsing import Parsing
from understudy.retrieval.chunk import Auto, Static, Strategy

_PAGES = 151
_PAGE_CHARACTERS = 1500
_PIECE_BYTES = 1 << 16


def _prose() -> str:
    return " ".join(hamlet.told(scene).replace("\n", " ") for scene in hamlet.SCENES)


def book() -> bytes:
    """Return a Korean PDF with an embedded font."""
    prose = _prose() * 3
    starts = (number * 13 % 2000 for number in range(_PAGES))
    return typeset([Page(prose[start:][:_PAGE_CHARACTERS]) for start in starts], "ko")


async def _streamed(content: bytes) -> AsyncIterator[bytes]:
    for at in range(0, len(content), _PIECE_BYTES):
        yield content[at : at + _PIECE_BYTES]


async def _seconds(parsing: Parsing, contents: list[bytes], filename: str, strategy: Strategy) -> float:
    started = time.perf_counter()
    await asyncio.gather(*(parsing.cut(_streamed(content), filename, strategy) for content in contents))
    return time.perf_counter() - started


async def reading(pdf: bytes) -> dict[str, float]:
    """Return pages per second, and the seconds of the other cases; the parsers are loaded before the clock starts."""
    parsing = Parsing()
    text = (_prose() * 200).encode()
    try:
        await _seconds(parsing, [pdf], "warm.pdf", Auto())
        return {
            "pages": _PAGES / await _seconds(parsing, [pdf], "book.pdf", Auto()),
            "auto": await _seconds(parsing, [text[: 1 << 20]], "book.txt", Auto()),
            "static": await _seconds(parsing, [text[: 1 << 20]], "book.txt", Static()),
            "many": await _seconds(parsing, [text[:20_000]] * 200, "note.txt", Auto()),
        }
    finally:
        await parsing.close()
