"""Ids of events, as they go to clients and come back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from understudy.bus.base import EventId

numbers = st.integers(0, 10**15)
ids = st.builds(EventId, numbers, numbers)


@given(ids)
def test_an_id_comes_back_as_it_went(known: EventId) -> None:
    assert EventId.parse(str(known)) == known
    assert EventId.parse(f"  {known}\n") == known


@given(ids, ids)
def test_ids_are_in_the_order_of_attempt_and_number(one: EventId, other: EventId) -> None:
    assert (one < other) == ((one.attempt, one.n) < (other.attempt, other.n))


@given(st.text())
def test_any_text_is_an_id_or_none(text: str) -> None:
    known = EventId.parse(text)
    if known is not None:
        assert known.attempt >= 0
        assert known.n >= 0


@pytest.mark.parametrize(
    "text", ["", ".", "1", "1.", ".1", "1.2.3", "-1.2", "1.-2", "a.b", "1,2", "²", "1.²", "٣.٤", "0x1.2"]
)
def test_what_is_no_id_is_none(text: str) -> None:
    assert EventId.parse(text) is None


def test_an_endless_number_costs_nothing() -> None:
    assert EventId.parse("9" * 100_000 + "." + "9" * 100_000) is not None
