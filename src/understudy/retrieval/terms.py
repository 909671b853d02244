"""Cut text into the terms that a keyword index holds.

Scripts without spaces, and Korean with its many endings, are cut into overlapping pairs of signs; words of European
languages become stems. A term is made of letters, digits and marks, never of a space, so that terms are stored as
one string with spaces between. Both sides of a search must be cut alike: what changes a term changes TERMS_VERSION.
"""

import re
import unicodedata
from itertools import pairwise

from understudy.retrieval import languages

TERMS_VERSION = 1

MAX_TERM = 64
"""Longer words are cut off here: nobody types them, and each would be an entry of the index."""

ANY_END = "*"
"""At the end of a wanted term: whatever begins like this."""

_PAIRED = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff"  # Thai, Lao, Burmese, Khmer
    "\u1100-\u11ff\u3005-\u3007\u3040-\u30ff\u3130-\u318f\u31f0-\u31ff"  # kana, jamo
    "\u3400-\u4dbf\u4e00-\u9fff\ua960-\ua97f\uac00-\ud7ff\uf900-\ufaff"  # Han, Hangul
    "\U0001b000-\U0001b16f\U00020000-\U0003ffff"
)
_LETTER = rf"[^\W_{_PAIRED}]"
_MARKS = "[\u0300-\u036f\u0591-\u05c7\u064b-\u065f\u0900-\u0dff]"  # vowel signs and accents, which are no letters
_RUN = re.compile(rf"(?P<pairs>[{_PAIRED}]+)|(?P<word>{_LETTER}+(?:{_MARKS}+{_LETTER}*)*)")


def folded(text: str) -> str:
    """Return text in the form in which it is compared: NFKC, casefolded, NFKC again."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())


def terms(text: str) -> list[str]:
    """Return the terms of a passage, in their order, with repetitions."""
    runs = _runs(text)
    language = _likeliest([run for paired, run in runs if not paired])
    cut: list[str] = []
    for paired, run in runs:
        if paired:
            cut += pairs(run)
        else:
            cut.append(_term(run, language))
    return cut


def query_terms(text: str) -> list[tuple[str, ...]]:
    """Return what to look for: each entry gives the terms that may stand for one word, the likeliest first.

    Small words are left out if there are others. A few words do not show their language for sure, so that each is
    looked for as any language would have cut it.
    """
    runs = _runs(text)
    words = [run for paired, run in runs if not paired]
    sure = languages.of_words(words)
    small = languages.small_words(_likeliest(words))
    wanted: dict[tuple[str, ...], None] = {}
    skipped: dict[tuple[str, ...], None] = {}
    for paired, run in runs:
        if paired:
            wanted.update(dict.fromkeys((pair,) for pair in _wanted_pairs(run)))
        elif run in small:
            skipped[_readings(run, sure)] = None
        else:
            wanted[_readings(run, sure)] = None
    return list(wanted or skipped)


def pairs(run: str) -> list[str]:
    """Return the overlapping pairs of a run of signs; a sign alone stands for itself.

    Where words have no spaces between them the last sign stands for itself too, so that each sign of a run begins a
    term, and a search for one sign is a search for terms that begin with it.
    """
    cut = [first + second for first, second in pairwise(run)]
    return cut if cut and _is_hangul(run[-1]) else [*cut, run[-1]]


def _wanted_pairs(run: str) -> list[str]:
    return [first + second for first, second in pairwise(run)] or [run + ANY_END]


def _is_hangul(sign: str) -> bool:
    return "\uac00" <= sign <= "\ud7a3"


def _runs(text: str) -> list[tuple[bool, str]]:
    """Return the runs of signs and the words of a text; True marks what is cut into pairs."""
    return [(found.lastgroup == "pairs", found.group()) for found in _RUN.finditer(folded(text))]


def _likeliest(words: list[str]) -> str:
    return languages.of_words(words, enough=1) or languages.LATIN[0]


def _term(word: str, language: str | None) -> str:
    if not languages.is_latin(word):
        language = languages.script_language(word)
    return languages.stem(word[:MAX_TERM], language)


def _readings(word: str, sure: str | None) -> tuple[str, ...]:
    if not languages.is_latin(word):
        return (_term(word, None),)
    if sure is None:
        return languages.stems(word[:MAX_TERM])
    return tuple(dict.fromkeys((_term(word, sure), _term(word, languages.LATIN[0]))))
