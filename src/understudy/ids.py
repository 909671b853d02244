"""Identifiers and the clock: the only places where randomness and time enter."""

import secrets
import string
import time
from typing import Protocol

_BASE62 = string.digits + string.ascii_letters
_LENGTH = 24
_FILE_LENGTH = 22

PREFIXES = {
    "assistant": "asst",
    "thread": "thread",
    "message": "msg",
    "run": "run",
    "step": "step",
    "call": "call",
    "key": "key",
    "file": "file",
    "upload": "upload",
    "part": "part",
    "vector_store": "vs",
    "file_batch": "vsfb",
    "chunk": "chunk",
}
_IN_HEX = frozenset({"upload", "part", "vector_store", "file_batch"})


def new_id(kind: str) -> str:
    """Return a fresh id as the hosted API writes them: a prefix, an underscore, 24 base62 characters.

    Files have a hyphen and 22; what came later has 32 hexadecimal digits. Source: surface.md, section 0.4.
    """
    if kind in _IN_HEX:
        return f"{PREFIXES[kind]}_{secrets.token_hex(16)}"
    if kind == "file":
        return f"{PREFIXES[kind]}-{_base62(_FILE_LENGTH)}"
    return f"{PREFIXES[kind]}_{_base62(_LENGTH)}"


def _base62(length: int) -> str:
    left, digits = secrets.randbelow(62**length), []
    for _ in range(length):
        left, digit = divmod(left, 62)
        digits.append(_BASE62[digit])
    return "".join(digits)


def new_secret() -> str:
    """Return a fresh API key: 256 random bits."""
    return f"sk-understudy-{secrets.token_urlsafe(32)}"


class Clock(Protocol):
    """Where time comes from; `understudy.testing.FakeClock` is the other one."""

    def now(self) -> float:
        """Unix time in seconds."""
        ...


class SystemClock:
    """The machine's clock."""

    def now(self) -> float:
        return time.time()
