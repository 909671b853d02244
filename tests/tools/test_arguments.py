"""A tool call as it is written."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from understudy.tools.arguments import code_of


@given(st.text())
def test_code_is_read_out_of_whole_arguments(code: str) -> None:
    assert code_of(json.dumps({"code": code})) == code
    assert code_of(json.dumps({"code": code}, ensure_ascii=False)) == code


@given(code=st.text(alphabet=st.characters(exclude_categories=["Cs"])), ascii_only=st.booleans())
def test_code_only_grows_as_it_is_written(code: str, *, ascii_only: bool) -> None:
    arguments = json.dumps({"code": code}, ensure_ascii=ascii_only)
    parts = [code_of(arguments[:end]) for end in range(1, len(arguments) + 1)]
    assert all(code.startswith(part) for part in parts)
    assert parts[-1] == code


@pytest.mark.parametrize("arguments", ["{", '{"', '{"code"', '{"code": 1}', "{]", '{"other": "x"}'])
def test_what_holds_no_code_is_no_code(arguments: str) -> None:
    assert code_of(arguments) == ""


def test_bare_code_is_code() -> None:
    assert code_of("print(1)") == "print(1)"
