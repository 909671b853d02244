"""Which sentence of a passage bears an answer's statement out, whatever the two are written in."""

import asyncio
from collections.abc import Awaitable, Sequence
from operator import mul
from typing import Protocol

from understudy.errors import Unavailable
from understudy.little_endian import unpacked
from understudy.retrieval import cite

WAIT_S = 3.0
"""How long an answer waits for its quotes."""
MOST_SENTENCES = 60
"""Of one passage: a passage of 800 tokens has some 30."""


class Embed(Protocol):
    """Makes vectors of length 1. Raises Unavailable."""

    def __call__(self, texts: Sequence[str], *, urgent: bool = False) -> Awaitable[list[bytes]]:
        """Return a vector for each text: little-endian float32."""
        ...


class Support:
    """Finds the supporting sentence: by its letters where these tell, else by what it means."""

    def __init__(self, embed: Embed) -> None:
        self._embed = embed

    async def quote(self, before: str, passage: str) -> str:
        """Return a sentence of the passage for the end of the text before a citation; "" if none bears it out."""
        statement = cite.claim(before)
        best, likeness = cite.by_letters(statement, passage)
        if likeness >= cite.SURE or not statement:
            return best if statement else ""
        candidates = [sentence for sentence in cite.sentences(passage) if sentence.strip()][:MOST_SENTENCES]
        try:
            async with asyncio.timeout(WAIT_S):
                first, *others = await self._embed([statement, *candidates], urgent=True)
        except (Unavailable, TimeoutError):
            return cite.quote(before, passage)
        mine = unpacked("f", first)
        cosines = [sum(map(mul, mine, unpacked("f", other))) for other in others]
        return cite.by_meaning(statement, candidates, cosines)
