"""Identifiers and the clock: the only places where randomness and time enter."""

import secrets
import string
import time
from typing import Protocol

_BASE62 = string.digits + string.ascii_letters
_LENGTH = 24

PREFIXES = {
    "assistant": "asst",
    "thread": "thread",
    "message": "msg",
    "run": "run",
    "step": "step",
    "call": "call",
    "key": "key",
    "chunk": "chunk",
}


def new_id(kind: str) -> str:
    """Return a fresh id as the hosted API writes them: a prefix, an underscore, 24 base62 characters.

    Source: surface.md, section 0.4.
    """
    return f"{PREFIXES[kind]}_" + "".join(secrets.choice(_BASE62) for _ in range(_LENGTH))


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
