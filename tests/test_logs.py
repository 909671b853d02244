"""How lines of the log are made."""

import json
import logging
import sys

import pytest

from understudy import logs
from understudy.logs import _JsonLines, _TextLines


def record(message: str = "said", **facts: object) -> logging.LogRecord:
    made = logging.LogRecord("understudy.x", logging.WARNING, "x.py", 1, message, None, None)
    made.facts = facts
    return made


WRITTEN = "what a person wrote"


def failed(problem: Exception) -> logging.LogRecord:
    try:
        try:
            raise KeyError(WRITTEN)
        except KeyError as inner:
            raise problem from inner
    except Exception:
        made = record()
        made.exc_info = sys.exc_info()
        return made


def test_ids_stand_on_every_line_of_a_task() -> None:
    lines = _JsonLines(content=False)
    with logs.about(request_id="req_1"):
        assert json.loads(lines.format(record(run_id="run_1")))["request_id"] == "req_1"
    assert "request_id" not in json.loads(lines.format(record()))


@pytest.mark.parametrize("lines", [_TextLines(content=False), _JsonLines(content=False)])
def test_an_exception_is_told_by_type_and_place(lines: logging.Formatter) -> None:
    told = lines.format(failed(ValueError(WRITTEN)))
    assert WRITTEN not in told
    assert "builtins.ValueError" in told
    assert "builtins.KeyError" in told
    assert "in failed" in told


def test_an_exceptions_words_stand_where_content_may() -> None:
    assert WRITTEN in _TextLines(content=True).format(failed(ValueError("x")))
