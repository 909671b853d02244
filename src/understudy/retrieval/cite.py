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
SURE = 0.5
"""From here on letters tell by themselves; below, two languages in one script may be alike by chance."""
NEAR_ENOUGH = 0.3
"""The cosine from which on a sentence bears a statement out. Across languages, sentences that do had 0.35 to 0.71 with
the embedder that comes along, and of those that have nothing to do with it the best one had -0.01 to 0.16."""


def claim(before: str) -> str:
    """Return the statement that a citation stands behind: the last sentence of the text before it."""
    return _last_sentence(_MARK.sub("", before[-MAX_CLAIM:])).strip()


def quote(before: str, passage: str) -> str:
    """Return the sentence of a passage that is most like the end of the text before a citation; "" if none is."""
    best, likeness = by_letters(claim(before), passage)
    return best if likeness >= LIKE_ENOUGH else ""


def by_letters(statement: str, passage: str) -> tuple[str, float]:
    """Return the sentence of a passage that has most of a statement's letters, and how much of it, 0 to 1."""
    wanted = _pairs(statement)
    best = max(sentences(passage), key=lambda sentence: _share(wanted, sentence), default="")
    return _quoted(best), _share(wanted, best)


def by_meaning(statement: str, candidates: Sequence[str], cosines: Sequence[float]) -> str:
    """Return the sentence that says what a statement says, by cosines and what letters add; "" if none does."""
    wanted = _pairs(statement)
    near = [(cosine + _share(wanted, text), text) for text, cosine in zip(candidates, cosines, strict=True)]
    near = [one for one, cosine in zip(near, cosines, strict=True) if cosine >= NEAR_ENOUGH]
    return _quoted(max(near, key=lambda one: one[0])[1]) if near else ""


def _quoted(sentence: str) -> str:
    return sentence.strip()[:MAX_QUOTE]


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
