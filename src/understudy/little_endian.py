"""Rows of numbers as they are kept and sent: little-endian, whatever the processor's own order is."""

import sys
from array import array
from collections.abc import Sequence
from typing import Any, Literal

Kind = Literal["f", "q"]
"""float32, int64; as `array` names them."""


def packed(kind: Kind, numbers: Sequence[float]) -> bytes:
    """Return numbers as bytes."""
    return _turned(array(kind, numbers)).tobytes()


def unpacked(kind: Kind, content: bytes) -> "array[Any]":
    """Return the numbers that bytes hold."""
    return _turned(array(kind, bytes(content)))


def _turned(row: "array[Any]") -> "array[Any]":
    if sys.byteorder == "big":
        row.byteswap()
    return row
