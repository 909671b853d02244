"""Identifiers as the hosted API writes them."""

import re
import time

import pytest

from understudy.ids import PREFIXES, SystemClock, new_id

EXPECTED = {"assistant": "asst", "thread": "thread", "message": "msg", "run": "run", "step": "step", "call": "call"}


@pytest.mark.parametrize(("kind", "prefix"), EXPECTED.items())
def test_an_id_is_a_prefix_and_24_characters(kind: str, prefix: str) -> None:
    assert PREFIXES[kind] == prefix
    assert re.fullmatch(rf"{prefix}_[0-9A-Za-z]{{24}}", new_id(kind))


def test_files_and_what_came_later_have_ids_of_their_own_kind() -> None:
    assert re.fullmatch(r"file-[0-9A-Za-z]{22}", new_id("file"))
    for kind, prefix in {"upload": "upload", "part": "part", "vector_store": "vs", "file_batch": "vsfb"}.items():
        assert re.fullmatch(rf"{prefix}_[0-9a-f]{{32}}", new_id(kind))


def test_no_two_are_alike() -> None:
    assert len({new_id("run") for _ in range(10_000)}) == 10_000


def test_every_character_is_used() -> None:
    seen = {character for _ in range(2_000) for character in new_id("run").removeprefix("run_")}
    assert len(seen) == 62


def test_the_clock_tells_unix_time() -> None:
    before = time.time()
    assert before <= SystemClock().now() <= time.time()
