"""Terms: what a passage and a query have in common, whatever the language."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from understudy.retrieval.terms import ANY_END, MAX_TERM, query_terms, terms

TEXT = st.text(
    alphabet=st.one_of(
        st.characters(codec="utf-8"),
        st.sampled_from("aZäß éñ ÇıİŞ 데비안 软件包 漢字かなカナ สวัสดี हिन्दी ﬁ① ²½ 'n'- _./\u200b\u00a0\n"),
    ),
    max_size=80,
)


def found(query: str, text: str) -> bool:
    """Tell whether each word that is looked for is in the text, in one of its readings."""
    there = terms(text)
    return all(
        any(
            term in there or (term.endswith(ANY_END) and any(cut.startswith(term[:-1]) for cut in there))
            for term in readings
        )
        for readings in query_terms(query)
    )


@given(TEXT)
def test_terms_can_be_kept_in_one_string_with_spaces(text: str) -> None:
    for term in terms(text):
        assert term
        assert term.split() == [term]
        assert len(term) <= 2 * MAX_TERM
        assert not set(term) & set("\"'*()^-+:,.\x00")
        assert not any("A" <= sign <= "Z" for sign in term)


@given(TEXT)
def test_a_text_is_found_by_itself(text: str) -> None:
    """In one word at least: a text whose language shows may be cut otherwise than each of its words alone."""
    wanted = query_terms(text)
    if wanted:
        there = set(terms(text))
        hits = [any(term in there or term.endswith(ANY_END) for term in readings) for readings in wanted]
        assert all(hits)


@given(TEXT)
def test_forms_that_look_alike_are_alike(text: str) -> None:
    forms = [unicodedata.normalize(form, text) for form in ("NFC", "NFD", "NFKC")]
    assert terms(forms[0]) == terms(forms[1]) == terms(text)
    assert terms(forms[2]) == terms(text)


@given(TEXT, TEXT)
def test_what_stands_around_makes_no_difference_to_signs_in_pairs(before: str, after: str) -> None:
    assert {"데비", "비안"} <= set(terms(f"{before} 데비안 {after}"))


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ("installing", "He installed it."),
        ("Installationen", "Die Installation ist nicht so schwer, und sie ist auch schnell."),
        ("Häuser", "Das Haus ist alt, und die Häuser sind nicht neu."),
        ("chevaux", "Le cheval et les chevaux sont dans les prés avec nous."),
        ("instalacion", "La instalación de los paquetes no es para todos."),
        ("пакеты", "Установка пакетов в системе"),
        ("오필리아", "햄릿은 오필리아를 사랑했다."),
        ("설치", "패키지를 설치하는 방법"),
        ("책", "책을 읽는다"),
        ("软件包", "如何安装软件包？"),
        ("猫", "这是一只小猫"),
        ("猫", "猫咪喜欢鱼"),
        ("インストール", "パッケージをインストールする"),
        ("ไทย", "ภาษาไทยง่าย"),
        ("हिन्दी", "यह हिन्दी है"),
        ("STRASSE", "Die Straße ist lang, und das ist nicht gut."),
        ("ﬁle", "a file"),
        ("UTF-8", "encoded as utf 8"),
        ("192.168.0.1", "the address 192.168.0.1 is mine"),
        ("to be or not to be", "To be, or not to be, that is the question"),
    ],
)
def test_words_are_found_in_their_forms(query: str, text: str) -> None:
    assert query_terms(query)
    assert found(query, text)


@pytest.mark.parametrize(
    ("query", "text"), [("설치", "제거하는 방법"), ("猫", "小狗"), ("cat", "category"), ("일본", "데비안")]
)
def test_other_words_are_not(query: str, text: str) -> None:
    assert not found(query, text)


def test_small_words_are_left_out_of_a_query_that_has_others() -> None:
    assert query_terms("how do I install the package?") == [("instal",), ("packag",)]
    assert query_terms("Wie kann ich das löschen?") == [("losch", "loschen")]
    assert query_terms("what is this") == [("what",), ("is",), ("this",)]


def test_a_few_words_are_looked_for_as_any_language_would_cut_them() -> None:
    (readings,) = query_terms("Installationen")
    assert {"installation", "installationen"} <= set(readings)


def test_a_query_without_words_looks_for_nothing() -> None:
    assert query_terms("") == query_terms("?! … -") == terms("\n\t 。！") == []


def test_a_word_without_end_is_cut_off() -> None:
    assert len(terms("x" * 10_000)[0]) <= MAX_TERM
