"""Bring what was found by terms and what was found by meaning into one order.

Both sides come as absolute scores, 0 to 1 (`bm25.scores`, a cosine), and their weighted sum is the score that clients
see: it does not depend on what else was found, so that a threshold means the same in every search. Stretching each
search's scores to 0 to 1 first (min-max) was no better on the development set of `bench/retrieval`, and gives the best
of nothing but bad passages a 1. The weights were chosen there.
"""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

RRF_K = 60
"""The usual constant of reciprocal rank fusion: the lower, the more the first places count."""


@dataclass(frozen=True, slots=True)
class Weights:
    """How much each side counts; only their ratio matters."""

    text: float
    dense: float


OWN = Weights(text=0.6, dense=0.4)
"""Where query and passage are in one script."""
FOREIGN = Weights(text=0.2, dense=0.8)
"""Where they are not, and so cannot have many words in common."""

_SCRIPTS = {
    "hangul": re.compile("[\uac00-\ud7a3]"),
    "kana": re.compile("[\u3040-\u30ff]"),
    "han": re.compile("[\u3400-\u4dbf\u4e00-\u9fff]"),
    "cyrillic": re.compile("[\u0400-\u04ff]"),
    "greek": re.compile("[\u0370-\u03ff]"),
    "arabic": re.compile("[\u0600-\u06ff]"),
    "thai": re.compile("[\u0e00-\u0e7f]"),
    "devanagari": re.compile("[\u0900-\u097f]"),
    "latin": re.compile("[a-z\u00c0-\u024f]", re.IGNORECASE),
}
_SAMPLE = 600  # characters that show a text's script
_WEIGHT = {"latin": 1 / 3, "kana": 2}
"""Names in Latin letters stand in every text, and a letter says less than a sign; where kana are, it is not Han."""


def script(text: str) -> str | None:
    """Return the script that most of a text is in, None if it has none that is known."""
    sample = text[:_SAMPLE]
    counts = {name: len(signs.findall(sample)) * _WEIGHT.get(name, 1) for name, signs in _SCRIPTS.items()}
    best = max(counts, key=lambda name: counts[name])
    return best if counts[best] else None


def fused(text: Mapping[int, float], dense: Mapping[int, float], foreign: Collection[int] = ()) -> dict[int, float]:
    """Return the weighted sums, 0 to 1, for whatever either side has found; `foreign` are in another script."""
    found: dict[int, float] = {}
    for key in {**text, **dense}:
        weights = FOREIGN if key in foreign else OWN
        near = min(1.0, max(0.0, dense.get(key, 0.0)))
        found[key] = (weights.text * text.get(key, 0.0) + weights.dense * near) / (weights.text + weights.dense)
    return found


def by_place(text: Mapping[int, float], dense: Mapping[int, float], weights: Weights) -> dict[int, float]:
    """Fuse both sides by reciprocal rank fusion, as documented for a client's own weights; 1 is first on every side.

    A side with weight 0 proposes nothing; at least one weight is above 0. A passage without any of the words has no
    place on the side of the terms.
    """
    said = {key: score for key, score in text.items() if score > 0}
    sides = [
        (ranked(scores), weight) for scores, weight in ((said, weights.text), (dense, weights.dense)) if weight > 0
    ]
    return reciprocal(sides)


def reciprocal(rankings: Sequence[tuple[Sequence[int], float]]) -> dict[int, float]:
    """Fuse weighted rankings (keys, best first) by their places."""
    total = sum(weight for _, weight in rankings)
    found: dict[int, float] = {}
    for ranking, weight in rankings:
        for place, key in enumerate(ranking, 1):
            found[key] = found.get(key, 0.0) + weight / total * (RRF_K + 1) / (RRF_K + place)
    return found


def ranked(scores: Mapping[int, float]) -> list[int]:
    """Return keys, the best first; of equals the one that was stored first."""
    return sorted(scores, key=lambda key: (-scores[key], key))
