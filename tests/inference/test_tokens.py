from understudy.inference.base import ToolSpec
from understudy.inference.tokens import count, count_messages


def test_counts_like_the_hosted_models() -> None:
    assert count("") == 0
    assert count("Hello there") == 2
    assert count("안녕하세요") == 2


def test_special_words_and_lone_surrogates_are_text() -> None:
    assert count("<|endoftext|>") > 1
    assert count("a\ud83d") > 0


def test_long_texts_are_counted_in_pieces() -> None:
    assert count("a b " * 200_000) >= 400_000


def test_messages_count_parts_calls_and_tools() -> None:
    plain = count_messages([{"role": "user", "content": "hi"}])
    parts = [{"type": "text", "text": "hi"}, {"type": "image_url", "image_url": {"url": "x"}}]
    assert count_messages([{"role": "user", "content": parts}]) > plain + 100
    call = {"id": "c", "function": {"name": "f", "arguments": '{"a": 1}'}}
    assert count_messages([{"role": "assistant", "content": None, "tool_calls": [call]}]) > 8
    assert count_messages([], [ToolSpec("f", "does", {"type": "object"})]) > 5
    assert count_messages([]) == 0
