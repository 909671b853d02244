"""Text that every database can hold."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from understudy.protocol.text import storable


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("a\0b\0", "ab"),
        ("hi \ud83d", "hi \ufffd"),
        ("\ude00!", "\ufffd!"),
        ("\ude00\ud83d", "\ufffd\ufffd"),
        ("\ud83d\ude00", "😀"),
        ("\ud83d\0\ude00", "😀"),
        ("\ud83d\ud83d\ude00", "\ufffd😀"),
        ("\ufeff부산 \ud800😀", "\ufeff부산 \ufffd😀"),
    ],
)
def test_what_nothing_can_hold_is_mended(said: str, kept: str) -> None:
    assert storable(said) == kept


@given(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])))
def test_all_other_text_stays_as_it_is(text: str) -> None:
    assert storable(text) == text


@given(st.text(st.one_of(st.characters(), st.characters(categories=["Cs"]))))
def test_whatever_was_said_can_be_kept(text: str) -> None:
    kept = storable(text)
    assert kept.encode().decode() == kept
    assert "\0" not in kept
