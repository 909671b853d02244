"""Which part of a passage bears a statement out, and which answers a question."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from understudy.retrieval.cite import MAX_QUOTE, excerpt, quote, sentences

FOODS = (
    "The favorite food of several people:\n- Summanus Ferdinand: tacos\n- Tekakwitha Effie: pizza\n- Filip Carola: cake"
)
HAMLET = "오필리아는 폴로니어스의 딸이다. 햄릿은 그녀에게 수녀원으로 가라고 말한다. 그녀는 강물에 빠져 죽는다."
TEA = "北京是中国的首都。龙井茶产于杭州西湖一带。上海是最大的城市。"


@pytest.mark.parametrize(
    ("before", "passage", "supporting"),
    [
        ("Filip Carola's favorite is cake", FOODS, "- Filip Carola: cake"),
        (
            "좋은 질문입니다. 햄릿은 오필리아에게 수녀원으로 가라고 했습니다",
            HAMLET,
            "햄릿은 그녀에게 수녀원으로 가라고 말한다.",
        ),
        ("她很好。龙井茶产自杭州西湖", TEA, "龙井茶产于杭州西湖一带。"),
        (
            "The capital is Paris【4:0†a.txt】. It has 2.1 million people",
            "Paris has 2.1 million people. Lyon has less.",
            "Paris has 2.1 million people.",
        ),
    ],
)
def test_the_supporting_sentence_is_found(before: str, passage: str, supporting: str) -> None:
    assert quote(before, passage) == supporting


@pytest.mark.parametrize("before", ["", "  ", "The weather is fine", "今天天气很好"])
def test_where_nothing_supports_it_nothing_is_quoted(before: str) -> None:
    assert quote(before, HAMLET) == ""


def test_a_quote_is_short() -> None:
    assert len(quote("aaaa bbbb", "aaaa bbbb " * 1000)) == MAX_QUOTE


@given(st.text(), st.text())
def test_a_quote_is_in_its_passage(before: str, passage: str) -> None:
    assert quote(before, passage) in passage


@given(st.text(alphabet=st.sampled_from("ab가나。.!?\n ”")))
def test_sentences_are_the_text_again(text: str) -> None:
    assert "".join(sentences(text)) == text


def test_sentences_end_where_people_end_them() -> None:
    text = "Pi is 3.14. Yes! 是的。对吗？네.\n끝"
    assert list(sentences(text)) == ["Pi is 3.14.", " Yes!", " 是的。", "对吗？", "네.", "\n", "끝"]


def test_an_excerpt_is_what_answers_the_question() -> None:
    filler = "Nothing of interest is said here at all. " * 20
    passage = f"{filler}The password of the archive is swordfish. It never changes. {filler}"
    found = excerpt(["What is the password of the archive?"], passage, 120)
    assert "swordfish" in found
    assert len(found) <= 120


@given(st.lists(st.text(max_size=20), max_size=3), st.text(min_size=1), st.integers(1, 50))
def test_an_excerpt_is_part_of_its_passage_and_short(queries: list[str], passage: str, characters: int) -> None:
    found = excerpt(queries, passage, characters)
    assert found in passage
    assert len(found) <= characters
