"""Scores of passages by their terms."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from understudy.retrieval.bm25 import Statistics, scores, telling

WORDS = st.sampled_from(["a", "b", "c", "d", "e"])
PASSAGES = st.dictionaries(st.integers(0, 50), st.lists(WORDS, min_size=1, max_size=12).map(" ".join), min_size=1)


def statistics(passages: dict[int, str]) -> Statistics:
    cut = [text.split() for text in passages.values()]
    terms = {term for text in cut for term in text}
    return Statistics(len(cut), sum(map(len, cut)), {term: sum(term in text for text in cut) for term in terms})


@given(PASSAGES, st.lists(WORDS.map(lambda word: (word,)), max_size=4, unique=True))
def test_scores_are_between_0_and_1(passages: dict[int, str], wanted: list[tuple[str, ...]]) -> None:
    found = scores(wanted, passages, statistics(passages))
    assert found.keys() == passages.keys()
    for key, score in found.items():
        assert 0 <= score < 1
        assert (score > 0) == any(term in passages[key].split() for readings in wanted for term in readings)


def test_rarer_words_tell_more() -> None:
    passages = {1: "common x", 2: "rare x"} | dict.fromkeys(range(3, 20), "common y")
    found = scores([("common",), ("rare",)], passages, statistics(passages))
    assert found[2] > found[1] > 0


def test_more_of_a_word_in_less_text_tells_more() -> None:
    passages = {1: "a b", 2: "a a", 3: "a b c d e f g h", 4: "z"}
    found = scores([("a",)], passages, statistics(passages))
    assert found[2] > found[1] > found[3] > found[4] == 0


def test_readings_of_one_word_count_as_one() -> None:
    passages = {1: "install", 2: "installation", 3: "install installation", 4: "x", 5: "install install"}
    stats = statistics(passages)
    found = scores([("install", "installation")], passages, stats)
    assert found[1] == found[2]
    assert found[3] == found[5]


def test_a_beginning_counts_all_that_begins_so() -> None:
    passages = {1: "猫咪 咪喜", 2: "小猫 猫", 3: "小狗"}
    found = scores([("猫*",)], passages, Statistics(3, 5, {"猫*": 2}))
    assert found[1] == found[2] == pytest.approx(found[1])
    assert found[1] > found[3] == 0


def test_nothing_wanted_nothing_scored() -> None:
    assert scores([], {1: "a"}, Statistics(1, 1, {})) == {1: 0.0}


def test_very_common_terms_are_not_looked_for_unless_nothing_else_is_there() -> None:
    frequencies = {"rare": 3, "some": 900, "common": 5000, "most": 9000, "absent": 0}
    assert telling(frequencies, 10_000, 200) == ["rare", "some"]
    assert telling({"rare": 3, "common": 5000, "most": 9000}, 10_000, 200) == ["rare", "common"]
    assert telling({"most": 9000}, 10_000, 200) == ["most"]
    assert telling({"most": 90, "all": 100}, 100, 200) == ["most", "all"]
    assert telling({"absent": 0}, 100, 200) == telling({}, 0, 200) == []
