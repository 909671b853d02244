"""Which part of a passage bears a statement out, and which answers a question. Pure, and for any language.

Likeness is counted in pairs of letters: it needs no word boundaries, which Chinese has none of, and forgives endings.
"""

import re
from collections.abc import Iterator, Sequence

_SENTENCE_ENDS = re.compile(r"(?<=[。！？\n])|(?<=[.!?…])(?=\s)")
_MARK = re.compile(r"【[^】]*】")
MAX_QUOTE = 500
MAX_CLAIM = 300
LIKE_ENOUGH = 0.2
"""The part of a statement's pairs that a sentence must have to bear it out."""


def quote(before: str, passage: str) -> str:
    """Return the sentence of a passage that is most like the end of the text before a citation; "" if none is."""
    claim = _last_sentence(_MARK.sub("", before[-MAX_CLAIM:]))
    wanted = _pairs(claim)
    best = max(sentences(passage), key=lambda sentence: _share(wanted, sentence), default="")
    return best.strip()[:MAX_QUOTE] if _share(wanted, best) >= LIKE_ENOUGH else ""


def excerpt(queries: Sequence[str], passage: str, characters: int) -> str:
    """Return at most so many characters of a passage: its sentences that are most like the queries."""
    if len(passage) <= characters:
        return passage
    wanted = set[str]().union(*(_pairs(query) for query in queries))
    parts = list(sentences(passage))
    scores = [_share(wanted, part) for part in parts]
    start = max(range(len(parts)), key=scores.__getitem__)
    end, left = start + 1, characters - len(parts[start])
    while (near := _beside(parts, scores, start, end, left)) is not None:
        start, end, left = min(start, near), max(end, near + 1), left - len(parts[near])
    return "".join(parts[start:end])[:characters].strip()


def _beside(parts: Sequence[str], scores: Sequence[float], start: int, end: int, left: int) -> int | None:
    """Return the better one of the sentences beside an excerpt, of those that still fit."""
    fitting = [at for at in (end, start - 1) if 0 <= at < len(parts) and len(parts[at]) <= left]
    return max(fitting, key=scores.__getitem__, default=None)


def sentences(text: str) -> Iterator[str]:
    """Cut a text into sentences; joined, they are the text again."""
    yield from (part for part in _SENTENCE_ENDS.split(text) if part)


def _last_sentence(text: str) -> str:
    return next((sentence for sentence in reversed(list(sentences(text))) if sentence.strip()), "")


def _pairs(text: str) -> set[str]:
    letters = "".join(letter for letter in text.casefold() if letter.isalnum())
    return {letters[at : at + 2] for at in range(len(letters) - 1)}


def _share(wanted: set[str], sentence: str) -> float:
    """Return how much of what is wanted a sentence has, a little less the longer it is."""
    found = _pairs(sentence)
    return len(wanted & found) / (len(wanted) + 0.1 * len(found)) if wanted and found else 0.0
