"""Which language words are in, told by their letters and by the small words between them; their stems.

Only languages with a Snowball stemmer are told apart; for everything else words stay as they are. A short query shows
too little for that: `stems()` then gives what each likely language would make of a word.
"""

import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable
from functools import cache, lru_cache

LATIN = (
    "english",
    "german",
    "french",
    "spanish",
    "italian",
    "portuguese",
    "dutch",
    "swedish",
    "danish",
    "norwegian",
    "finnish",
    "polish",
    "czech",
    "hungarian",
    "romanian",
    "turkish",
)
"""Languages in Latin letters, the likeliest first: a tie goes to the first."""

_BY_LETTERS = ((0x0370, 0x03FF, "greek"), (0x0400, 0x04FF, "russian"), (0x0600, 0x06FF, "arabic"))
_NOT_RUSSIAN = frozenset("іїєґўјљњђћџѓќѕ")  # letters of other languages in Cyrillic

_ENGLISH = """a about after all also an and any are as at be because been before being between both but by can could did
do does doing down during each for from further had has have having he her here hers him his how i if in into is it
its itself just me more most my no nor not of off on once only or other our out over own same she should so some such
than that the their them then there these they this those through to too under until up very was we were what when
where which while who whom why will with would you your"""
"""The list of the library holds words that people search for, such as "system"."""

SURE = 3
"""Small words of one language that settle it."""

_CACHED = 50_000


def small_words(language: str) -> frozenset[str]:
    """Return the words that say nothing of what a text is about, casefolded."""
    return _small_words()[language]


@cache
def _small_words() -> dict[str, frozenset[str]]:
    from stop_words import get_stop_words

    others = {language: _single(get_stop_words(language)) for language in LATIN[1:]}
    return {"english": frozenset(_ENGLISH.split()), "russian": _single(get_stop_words("russian"))} | others


def _single(words: Iterable[str]) -> frozenset[str]:
    return frozenset(word.casefold() for word in words if word.isalpha())


@cache
def _telling() -> dict[str, tuple[str, ...]]:
    """Small words of Latin languages, each with the languages that have it."""
    found: dict[str, list[str]] = {}
    for language in LATIN:
        for word in small_words(language):
            found.setdefault(word, []).append(language)
    return {word: tuple(languages) for word, languages in found.items()}


def of_words(words: Iterable[str], enough: int = SURE) -> str | None:
    """Return the Latin language that casefolded words are in, None if fewer than `enough` small words show it."""
    counts: Counter[str] = Counter()
    telling = _telling()
    for word in words:
        for language in telling.get(word, ()):
            counts[language] += 1
    if not counts:
        return None
    best = max(LATIN, key=lambda language: counts[language])
    return best if counts[best] >= enough else None


def script_language(word: str) -> str | None:
    """Return the language of a word that is not in Latin letters, as far as its letters tell."""
    first = ord(word[0])
    for low, high, language in _BY_LETTERS:
        if low <= first <= high:
            return None if language == "russian" and not _NOT_RUSSIAN.isdisjoint(word) else language
    return None


def is_latin(word: str) -> bool:
    """Tell whether a word begins with a Latin letter."""
    return word[0] < "\u0250" and word[0].isalpha()


@lru_cache(maxsize=_CACHED)
def stem(word: str, language: str | None) -> str:
    """Return what stands for a casefolded word in the index: its stem, without accents."""
    return _plain(_stemmer(language)(word)) if language is not None else _plain(word)


def stems(word: str) -> tuple[str, ...]:
    """Return what any Latin language would make of a word, its likeliest reading first."""
    return tuple(dict.fromkeys([*(stem(word, language) for language in LATIN), stem(word, None)]))


@cache
def _stemmer(language: str) -> Callable[[str], str]:
    import snowballstemmer

    made: Callable[[str], str] = snowballstemmer.stemmer(language).stemWord
    return made


def _plain(word: str) -> str:
    if word.isascii() or not is_latin(word):
        return word
    return "".join(sign for sign in unicodedata.normalize("NFKD", word) if not unicodedata.combining(sign))
