"""From the chunks of a reply to deltas, however an upstream cuts its text."""

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from understudy.inference.base import Delta, RefusalDelta, TextDelta, TokenUsage, ToolCallDelta
from understudy.inference.wire import NotUnderstood, ReplyReader

HIGH, LOW = "\ud83d", "\ude00"


def read(*bodies: Any) -> list[Delta]:
    """Return the deltas of a reply whose chunks have these bodies, with what comes at its end."""
    reader = ReplyReader()
    chunks = [json.loads(json.dumps({"choices": [{"delta": body}]})) for body in bodies]
    deltas = [delta for chunk in chunks for delta in reader.feed(chunk)] + list(reader.rest())
    assert reader.spoken() == "".join(said(kind, deltas) for kind in ("text", "refusal")) + "".join(calls(deltas))
    assert list(reader.rest()) == []
    return deltas


def said(kind: str, deltas: list[Delta]) -> str:
    noun = TextDelta if kind == "text" else RefusalDelta
    return "".join(delta.text for delta in deltas if isinstance(delta, noun))


def calls(deltas: list[Delta]) -> list[str]:
    """Return the arguments of each call."""
    found: dict[int, str] = {}
    for delta in deltas:
        if isinstance(delta, ToolCallDelta):
            found[delta.index] = found.get(delta.index, "") + delta.arguments
    return [found[index] for index in sorted(found)]


def call(index: int, arguments: str, name: str | None = None) -> dict[str, Any]:
    opened = {"id": f"call_{index}"} if name else {}
    return {"tool_calls": [{"index": index, **opened, "function": {"name": name, "arguments": arguments}}]}


def halves(text: str) -> list[str]:
    """Return text as its UTF-16 units."""
    raw = text.encode("utf-16-le")
    return [raw[at : at + 2].decode("utf-16-le", "surrogatepass") for at in range(0, len(raw), 2)]


@pytest.mark.parametrize("kind", ["content", "refusal"])
def test_an_emoji_in_two_halves_is_one(kind: str) -> None:
    noun = TextDelta if kind == "content" else RefusalDelta
    assert read({kind: "hi " + HIGH}, {kind: LOW + "!"}) == [noun("hi "), noun("😀!")]
    assert read({kind: HIGH}, {kind: ""}, {kind: None}, {kind: LOW}) == [noun("😀")]
    assert read({kind: HIGH}, {kind: LOW + HIGH}, {kind: LOW}) == [noun("😀"), noun("😀")]
    assert read({kind: [{"text": "a" + HIGH}]}, {kind: [{"text": LOW}]}) == [noun("a"), noun("😀")]


@pytest.mark.parametrize("kind", ["content", "refusal"])
def test_a_half_that_stays_alone_is_told_of_at_the_end(kind: str) -> None:
    noun = TextDelta if kind == "content" else RefusalDelta
    assert read({kind: "hi " + HIGH}) == [noun("hi "), noun("\ufffd")]
    assert read({kind: HIGH}) == [noun("\ufffd")]


def test_text_and_refusal_wait_each_for_its_own() -> None:
    deltas = read({"content": HIGH}, {"refusal": HIGH}, {"content": LOW}, {"refusal": LOW})
    assert deltas == [TextDelta("😀"), RefusalDelta("😀")]


def test_arguments_wait_each_for_their_own() -> None:
    deltas = read(
        call(0, '{"a": "' + HIGH, "f"), call(1, '{"a": "' + HIGH, "f"), call(0, LOW + '"}'), call(1, LOW + '"}')
    )
    assert calls(deltas) == ['{"a": "😀"}'] * 2
    assert calls(read(call(0, HIGH, "f"), call(1, "{}", "f"))) == ["\ufffd", "{}"]


def test_a_call_does_not_go_before_the_text_that_it_ends() -> None:
    deltas = read({"content": "hm" + HIGH}, call(0, "{}", "f"))
    assert deltas == [TextDelta("hm"), TextDelta("\ufffd"), ToolCallDelta(0, "call_0", "f", "{}")]


def test_half_a_character_is_a_reply() -> None:
    reader = ReplyReader()
    assert list(reader.feed({"choices": [{"delta": {"content": HIGH}}]})) == []
    assert list(reader.rest()) == [TextDelta("\ufffd")]
    assert reader.end() == "stop"


@given(st.text(st.sampled_from("a부😀🇰🤷\ufffd"), max_size=12), st.data())
def test_however_text_is_cut_it_is_the_same(text: str, data: st.DataObject) -> None:
    units = halves(text)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(units)), max_size=8)))
    pieces = ["".join(units[begin:end]) for begin, end in zip([0, *cuts], [*cuts, len(units)], strict=True)]
    deltas = read(*({"content": piece} for piece in pieces))
    assert said("text", deltas) == text
    assert all(delta.text for delta in deltas if isinstance(delta, TextDelta))
    assert calls(read(call(0, "", "f"), *(call(0, piece) for piece in pieces))) == [text]


def test_arguments_that_are_nested_too_deeply_are_not_whole() -> None:
    deep = "[" * 5_000
    again = {"tool_calls": [{"index": 0, "function": {"name": "f", "arguments": "]"}}]}  # some repeat the name
    assert calls(read(call(0, deep, "f"), again)) == [deep + "]"]


@pytest.mark.parametrize(
    ("given", "understood"),
    [
        ({"prompt_tokens": 5, "completion_tokens": 7}, TokenUsage(5, 7)),
        ({"prompt_tokens": 5.0, "completion_tokens": 7.0}, TokenUsage(5, 7)),
        ({"prompt_tokens": 0, "completion_tokens": 0}, TokenUsage(0, 0)),
        ({"prompt_tokens": 5}, TokenUsage(5, 0)),
        ({"prompt_tokens": 5, "completion_tokens": None, "prompt_tokens_details": None}, TokenUsage(5, 0)),
        ({"prompt_tokens": 5, "completion_tokens": 7, "prompt_tokens_details": [3]}, TokenUsage(5, 7)),
        (
            {"prompt_tokens": 5, "completion_tokens": 7, "prompt_tokens_details": {"cached_tokens": "x"}},
            TokenUsage(5, 7),
        ),
        (
            {"prompt_tokens": 5, "completion_tokens": 7, "completion_tokens_details": {"reasoning_tokens": 4}},
            TokenUsage(5, 7, 0, 4),
        ),
        ({"prompt_tokens": "5", "completion_tokens": 7}, None),
        ({"prompt_tokens": True, "completion_tokens": 7}, None),
        ({"prompt_tokens": -1, "completion_tokens": 7}, None),
        ({"prompt_tokens": 10**30, "completion_tokens": 7}, None),
        ({"prompt_tokens": 5, "completion_tokens": -7}, None),
        ({"prompt_tokens": 5, "completion_tokens": "abc"}, None),
        ({"prompt_tokens": 5, "completion_tokens": [7]}, None),
        ({"prompt_tokens": 5, "completion_tokens": math.nan}, None),
        ({"prompt_tokens": 5, "completion_tokens": math.inf}, None),
        ({"completion_tokens": 7}, None),
        ([5, 7], None),
        ("5", None),
    ],
)
def test_a_usage_that_is_not_understood_is_none(given: object, understood: TokenUsage | None) -> None:
    reader = ReplyReader()
    assert list(reader.feed({"choices": [{"delta": {"content": "hi"}}], "usage": given})) == [TextDelta("hi")]
    assert reader.usage == understood


def test_a_usage_that_was_understood_stays() -> None:
    reader = ReplyReader()
    for usage in ({"prompt_tokens": 5, "completion_tokens": 7}, {"prompt_tokens": "?"}, None):
        assert list(reader.feed({"choices": [], "usage": usage})) == []
    assert reader.usage == TokenUsage(5, 7)


def test_arguments_that_nothing_can_write_are_refused() -> None:
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    entry = {"index": 0, "function": {"name": "f", "arguments": deep}}
    with pytest.raises(NotUnderstood, match="arguments that are nested too deeply"):
        list(ReplyReader().feed({"choices": [{"delta": {"tool_calls": [entry]}}]}))
