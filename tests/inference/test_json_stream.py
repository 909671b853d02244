import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from understudy.inference.json_stream import JsonStream, RawPiece, StringPiece

text = st.text(st.characters(codec="utf-8"), max_size=12) | st.sampled_from(["부산", "😀", '"\\/', "\u2028\n\t\x07"])
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3),
    max_leaves=8,
)
calls = st.fixed_dictionaries({"name": text, "arguments": st.dictionaries(text, values, max_size=3) | values})
envelopes = st.fixed_dictionaries(
    {}, optional={"functions": st.lists(text, max_size=2), "message": text, "tool_calls": st.lists(calls, max_size=3)}
)


def read(pieces: list[str]) -> tuple[dict[Any, str], bool]:
    stream, found = JsonStream(raw_key="arguments"), {}
    for piece in pieces:
        for part in stream.feed(piece):
            key = (type(part), part.path)
            found[key] = found.get(key, "") + part.text
    return found, stream.done


@given(envelopes, st.booleans(), st.sampled_from([None, 2]), st.lists(st.integers(0, 400), max_size=20))
def test_split_anywhere_it_reads_the_same(envelope: Any, ascii_only: bool, indent: int | None, cuts: list[int]) -> None:
    whole = json.dumps(envelope, ensure_ascii=ascii_only, indent=indent)
    edges = [0, *sorted(cut for cut in cuts if cut <= len(whole)), len(whole)]
    found, done = read([whole[a:b] for a, b in pairwise(edges)])
    assert done
    assert found.get((StringPiece, ("message",)), "") == envelope.get("message", "")
    for at, call in enumerate(envelope.get("tool_calls", [])):
        assert found.get((StringPiece, ("tool_calls", at, "name"))) == call["name"]
        raw = found[(RawPiece, ("tool_calls", at, "arguments"))]
        assert json.loads(raw) == call["arguments"]
        assert raw == json.dumps(call["arguments"], ensure_ascii=False)


def test_letters_are_kept_and_pairs_joined() -> None:
    found, _ = read(list(r'{"message": "\ud83d\ude00\uBD80\n\ud83d!", "tool_calls": [{"arguments": {"a": "\uBD80"}}]}'))
    assert found[(StringPiece, ("message",))] == "😀부\n\ufffd!"
    assert found[(RawPiece, ("tool_calls", 0, "arguments"))] == '{"a": "부"}'


@pytest.mark.parametrize("junk", ["hello", "[1]", '"a"', "{}x", '{"a": "\\x"}', "{]", "}", ","])
def test_what_is_no_object_is_refused(junk: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - any message will do: users see another
        read(list(junk))
