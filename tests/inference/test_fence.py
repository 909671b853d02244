"""Code out of a fenced block, however it comes."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from understudy.inference.fence import FenceReader

CODE = "x = 1\nprint(f'``` {x}')\n\nprint('끝')"


def read(*pieces: str) -> str:
    reader = FenceReader()
    return "".join(reader.feed(piece) for piece in pieces) + reader.end()


@pytest.mark.parametrize(
    "reply",
    [
        f"```python\n{CODE}\n```",
        f"Here it is:\n\n```py\r\n{CODE}\n```\nIt prints.\n```python\nother\n```",
        f"```\n{CODE}\n```",
        f"```python  \n{CODE}",
        CODE,
    ],
)
def test_the_first_block_is_the_code(reply: str) -> None:
    assert read(reply) == CODE
    assert read(*reply) == CODE


@given(st.text(alphabet="`\nax ", max_size=30), st.lists(st.integers(0, 60), max_size=6))
def test_however_it_is_split_the_code_is_the_same(inside: str, cuts: list[int]) -> None:
    reply = f"So:\n```python\n{inside}\n```\nDone."
    places = sorted({0, len(reply), *(cut % len(reply) for cut in cuts)})
    parts = [reply[start:end] for start, end in itertools.pairwise(places)]
    assert read(*parts) == read(reply)


@pytest.mark.parametrize("reply", [CODE, f"{CODE}\n```", f"{CODE}\n```\nIt prints 끝.\n```python\nother\n```"])
def test_a_reply_may_begin_within_the_block(reply: str) -> None:
    for pieces in ([reply], list(reply)):
        reader = FenceReader.within_block()
        assert "".join(map(reader.feed, pieces)) + reader.end() == CODE
    reader = FenceReader.within_block()
    assert (reader.feed("```"), reader.done) == ("", True)


def test_an_empty_block_is_no_code() -> None:
    assert read("```python\n```") == ""


def test_code_comes_as_soon_as_it_is_certain() -> None:
    reader = FenceReader()
    assert reader.feed("```python\nprint(1)\n") == "print(1)"
    assert reader.feed("``") == ""
    assert reader.feed("x") == "\n``x"
    assert not reader.done
    assert reader.feed("\n```") == ""
    assert reader.done
    assert reader.feed("more") == ""
