"""Bring what was found by terms and what was found by meaning into one order."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

TEXT_WEIGHT = 0.6
DENSE_WEIGHT = 0.4

RRF_K = 60
"""The usual constant of reciprocal rank fusion: the lower, the more the first places count."""


@dataclass(frozen=True, slots=True)
class Weights:
    """How much each side counts; only their ratio matters."""

    text: float = TEXT_WEIGHT
    dense: float = DENSE_WEIGHT


def min_max(scores: Mapping[int, float]) -> dict[int, float]:
    """Return scores stretched to 0 (the least) to 1 (the most); equal ones are all 1."""
    if not scores:
        return {}
    low, high = min(scores.values()), max(scores.values())
    return {key: (score - low) / (high - low) if high > low else 1.0 for key, score in scores.items()}


def fused(text: Mapping[int, float], dense: Mapping[int, float], weights: Weights) -> dict[int, float]:
    """Return the weighted sum of both sides' stretched scores, 0 to 1, for whatever either has found."""
    total = weights.text + weights.dense
    near, said = min_max(dense), min_max(text)
    return {
        key: (weights.text * said.get(key, 0.0) + weights.dense * near.get(key, 0.0)) / total
        for key in {**text, **dense}
    }


def reciprocal(rankings: Sequence[tuple[Sequence[int], float]]) -> dict[int, float]:
    """Fuse weighted rankings (keys, best first) by their places (RRF); 1 is first on every side."""
    total = sum(weight for _, weight in rankings)
    found: dict[int, float] = {}
    for ranking, weight in rankings:
        for place, key in enumerate(ranking, 1):
            found[key] = found.get(key, 0.0) + weight / total * (RRF_K + 1) / (RRF_K + place)
    return found


def by_place(text: Mapping[int, float], dense: Mapping[int, float], weights: Weights) -> dict[int, float]:
    """Fuse both sides by RRF, with weights of which at least one is above 0."""
    sides = ((text, weights.text), (dense, weights.dense))
    return reciprocal([(ranked(scores), weight) for scores, weight in sides if weight > 0])


def ranked(scores: Mapping[int, float]) -> list[int]:
    """Return keys, the best first; of equals the one that was stored first."""
    return sorted(scores, key=lambda key: (-scores[key], key))
