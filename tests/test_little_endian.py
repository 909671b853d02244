"""Numbers and their bytes: the same on every processor."""

import struct
from array import array
from typing import Any

import pytest

from understudy import little_endian
from understudy.little_endian import Kind, packed, unpacked

ROWS: list[tuple[Kind, list[Any], str]] = [("f", [1.5, -0.25, 0.0], "<3f"), ("q", [1, -2, 1 << 40], "<3q")]


@pytest.mark.parametrize(("kind", "numbers", "form"), ROWS)
def test_bytes_are_little_endian(kind: Kind, numbers: list[Any], form: str) -> None:
    assert packed(kind, numbers) == struct.pack(form, *numbers)
    assert list(unpacked(kind, struct.pack(form, *numbers))) == numbers


@pytest.mark.parametrize(("kind", "numbers", "form"), ROWS)
def test_a_processor_of_the_other_order_turns_them(
    kind: Kind, numbers: list[Any], form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(little_endian.sys, "byteorder", "big")
    turned = array(kind, numbers)
    turned.byteswap()
    assert packed(kind, numbers) == turned.tobytes()
    assert list(unpacked(kind, turned.tobytes())) == numbers


def test_what_a_database_gives_need_not_be_bytes() -> None:
    assert list(unpacked("q", memoryview(struct.pack("<q", 7)))) == [7]  # type: ignore[arg-type]  # a driver's own type
