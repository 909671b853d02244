"""One order out of two."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from understudy.retrieval.fuse import FOREIGN, OWN, Weights, by_place, fused, ranked, reciprocal, script

SCORES = st.dictionaries(st.integers(0, 30), st.floats(0, 1), max_size=20)
COSINES = st.dictionaries(st.integers(0, 30), st.floats(-1, 1), max_size=20)


@given(SCORES, COSINES, st.sets(st.integers(0, 30)))
def test_scores_are_between_0_and_1(text: dict[int, float], dense: dict[int, float], foreign: set[int]) -> None:
    found = fused(text, dense, foreign)
    assert found.keys() == text.keys() | dense.keys()
    assert all(0 <= score <= 1 for score in found.values())


@given(SCORES, COSINES, st.integers(0, 30), st.floats(0, 1))
def test_a_score_depends_on_its_passage_alone(
    text: dict[int, float], dense: dict[int, float], key: int, score: float
) -> None:
    alone = fused({key: score}, {key: 0.5})[key]
    assert fused(text | {key: score}, dense | {key: 0.5})[key] == alone


def test_meaning_counts_more_where_words_cannot_match() -> None:
    assert fused({1: 0.0}, {1: 0.9}, foreign={1})[1] == pytest.approx(FOREIGN.dense * 0.9)
    assert fused({1: 0.0}, {1: 0.9})[1] == pytest.approx(OWN.dense * 0.9)
    assert FOREIGN.dense > OWN.dense


def test_both_sides_count() -> None:
    found = fused({1: 0.8, 2: 0.8, 3: 0.1}, {1: 0.2, 2: 0.7, 3: 0.7})
    assert ranked(found) == [2, 1, 3]


def test_a_clients_weights_count_by_place_alone() -> None:
    text, dense = {1: 0.9, 2: 0.1, 3: 0.0}, {3: 0.31, 2: 0.3, 1: 0.29}
    assert ranked(by_place(text, dense, Weights(text=1, dense=0))) == [1, 2]
    assert ranked(by_place(text, dense, Weights(text=0, dense=1))) == [3, 2, 1]
    assert ranked(by_place(text, dense, Weights(text=3, dense=1)))[0] == 1
    assert ranked(by_place(text, dense, Weights(text=1, dense=3)))[0] == 2
    both = by_place({1: 0.5}, {1: 0.5}, Weights(0.2, 7))
    assert both == {1: pytest.approx(1.0)}


def test_reciprocal_rank_fusion_is_the_formula() -> None:
    found = reciprocal([([1, 2], 2.0), ([2], 1.0)])
    assert found[1] / found[2] == pytest.approx((2 / 61) / (2 / 62 + 1 / 61))


@given(st.lists(st.tuples(st.lists(st.integers(0, 20), unique=True), st.floats(0.01, 10)), min_size=1, max_size=4))
def test_no_place_is_worth_more_than_1(rankings: list[tuple[list[int], float]]) -> None:
    assert all(0 < score <= 1 + 1e-9 for score in reciprocal(rankings).values())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("데비안 GNU/Linux 배포판을 설치하는 방법", "hangul"),
        ("如何在 LibreOffice Writer 中插入表格", "han"),
        ("パッケージをインストールする方法", "kana"),
        ("Wie füge ich eine Tabelle ein?", "latin"),
        ("как установить Debian", "cyrillic"),
        ("123 -- ?!", None),
        ("", None),
    ],
)
def test_the_script_of_a_text(text: str, expected: str | None) -> None:
    assert script(text) == expected
