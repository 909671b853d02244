"""The comparer finds what it is there to find."""

from typing import Any

import pytest
from tests.recordings.comparer import ALLOWED, Comparison
from tests.recordings.recording import NAMES, load, replies

RECORDED = {
    "id": "run_aaaa",
    "object": "thread.run",
    "created_at": 1,
    "temperature": 1.0,
    "usage": None,
    "tools": [{"type": "function"}],
    "metadata": {"a": "b"},
}


def differences(**changes: Any) -> list[str]:
    comparison = Comparison()
    comparison.compare(RECORDED, RECORDED | changes, "x")
    return comparison.differences


def test_ids_and_times_may_differ() -> None:
    assert differences(id="run_bbbb", created_at=2) == []


@pytest.mark.parametrize(
    "change",
    [
        {"temperature": 1},
        {"temperature": 0.5},
        {"created_at": 1.0},
        {"usage": {}},
        {"tools": []},
        {"tools": [{"type": "code_interpreter"}]},
        {"metadata": {"a": "c"}},
        {"metadata": {"a": "b", "c": "d"}},
        {"surprise": 1},
        {"object": "thread"},
        {"id": "msg_bbbb"},
        {"id": "run_bbbbbb"},
    ],
)
def test_other_differences_are_found(change: dict[str, Any]) -> None:
    assert len(differences(**change)) >= 1


def test_a_missing_key_is_found() -> None:
    comparison = Comparison()
    comparison.compare(RECORDED, {k: v for k, v in RECORDED.items() if k != "usage"}, "x")
    assert comparison.differences == ["x: no key 'usage'"]


def test_one_recorded_id_stands_for_one_of_ours() -> None:
    comparison = Comparison()
    comparison.compare({"id": "run_aaaa", "run_id": "run_aaaa"}, {"id": "run_bbbb", "run_id": "run_cccc"}, "x")
    assert len(comparison.differences) == 1


def test_an_addition_on_the_list_passes() -> None:
    comparison = Comparison()
    comparison.compare({"object": "thread.run.step"}, {"object": "thread.run.step", "expired_at": None}, "x")
    assert comparison.differences == []
    assert comparison.additions == {("thread.run.step", "expired_at")} <= ALLOWED


@pytest.mark.parametrize("name", NAMES)
def test_a_recording_equals_itself(name: str) -> None:
    comparison = Comparison()
    for exchange in load(name):
        if exchange.streamed:
            comparison.compare_events(exchange.answer, exchange.answer, name)
        else:
            comparison.compare(exchange.answer, exchange.answer, name)
    assert (comparison.differences, comparison.additions) == ([], set())


def test_a_swapped_event_is_found() -> None:
    events = next(exchange.answer for exchange in load("StreamingRunWorks") if exchange.streamed)
    comparison = Comparison()
    comparison.compare_events(events, [events[1], events[0], *events[2:]], "x")
    assert "order of events" in comparison.differences[0]


def test_the_recorded_words_are_found() -> None:
    calls, words = replies(load("StreamingToolCall"))
    assert [call.name for call in calls.calls] == ["get_current_weather"]
    assert "".join(words.tokens).startswith("Since it's warm and sunny outside")
    assert len(words.tokens) > 30
