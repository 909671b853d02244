"""Score passages by the terms that they share with a query: Okapi BM25, by the statistics of their store."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from understudy.retrieval.terms import ANY_END

K1 = 0.9
"""How soon further occurrences of a term stop to count."""
B = 0.4
"""How much a long passage must have more of a term than a short one."""

COMMON = 0.1
"""The share of a store's passages from which on a term is very common."""

Wanted = Sequence[tuple[str, ...]]
"""A query as `terms.query_terms` gives it: each entry holds the terms that may stand for one word."""


@dataclass(frozen=True, slots=True)
class Statistics:
    """Of one store: its passages, all their terms, and in how many passages each wanted term is."""

    passages: int
    terms: int
    frequencies: Mapping[str, int]

    @property
    def mean_length(self) -> float:
        return max(1.0, self.terms / max(1, self.passages))


def telling(frequencies: Mapping[str, int], passages: int, enough: int) -> list[str]:
    """Return the terms that are worth looking for: all but the very common ones, unless these are needed for `enough`.

    A term in every fifth passage orders nothing, and costs more than all the others together.
    """
    common = max(enough, passages * COMMON)
    chosen: list[str] = []
    total = 0
    for term in sorted(frequencies, key=lambda term: (frequencies[term], term)):
        if frequencies[term] and (frequencies[term] <= common or total < enough):
            chosen.append(term)
            total += frequencies[term]
    return chosen


def rarity(statistics: Statistics, readings: tuple[str, ...]) -> float:
    """Return how much a word tells (idf): that of its most frequent reading."""
    frequency = max(statistics.frequencies.get(term, 0) for term in readings)
    passages = max(statistics.passages, frequency)
    return math.log(1 + (passages - frequency + 0.5) / (frequency + 0.5))


def scores(wanted: Wanted, passages: Mapping[int, str], statistics: Statistics) -> dict[int, float]:
    """Return the score of each passage (key to terms with spaces between), 0 to 1.

    1 would be a passage that is full of every word of the query: the sum is divided by the most it could be.
    """
    known = [[term for term in readings if statistics.frequencies.get(term)] for readings in wanted]
    weights = [rarity(statistics, readings) * (K1 + 1) for readings in wanted]
    words = [
        (_shape(some[0]), [_shape(term) for term in some[1:]], weight)
        for some, weight in zip(known, weights, strict=True)
        if some
    ]
    most, mean = sum(weights), statistics.mean_length
    found = dict.fromkeys(passages, 0.0)
    for key, text in passages.items():
        apart = f" {text.replace(' ', '  ')} "  # so that each term has spaces of its own; counting strings is quickest
        length = K1 * (1 - B + B * (text.count(" ") + 1) / mean)
        score = 0.0
        for shape, others, weight in words:
            count = apart.count(shape)
            if others:
                count += sum(map(apart.count, others))
            if count:
                score += weight / most * count / (count + length)
        found[key] = score
    return found


def _shape(term: str) -> str:
    return f" {term.removesuffix(ANY_END)}" if term.endswith(ANY_END) else f" {term} "
