"""Reads the code out of a fenced block while it is being written. Pure.

A reply without a fence is all code: some models leave the fence out when they are asked for code alone. Where the fence
was written for the model, the reply begins within the block.
"""

import re
from dataclasses import dataclass

_OPENING = re.compile(r"```[A-Za-z0-9_+-]*[ \t]*\r?\n")
_CLOSING = "\n```"


@dataclass(slots=True)
class FenceReader:
    """Feed it text; it gives the code in the first block. `done` once that block is closed."""

    done: bool = False
    _held: str = ""
    _inside: bool = False
    _begun: bool = False

    @classmethod
    def within_block(cls) -> "FenceReader":
        """Return a reader of a reply that begins behind the fence."""
        return cls(_inside=True, _held="\n")

    def feed(self, text: str) -> str:
        """Take text in; return the code in it that is certain."""
        if self.done:
            return ""
        self._held += text
        if not self._inside:
            opened = _OPENING.search(self._held)
            if opened is None:
                return ""
            self._inside, self._held = True, "\n" + self._held[opened.end() :]  # a block may be closed at once
        return self._without_first_newline(self._certain())

    def end(self) -> str:
        """Return what is left: of a block that was never closed, or of a reply without one."""
        if self.done:
            return ""
        left, self._held = self._held, ""
        if self._inside:
            return self._without_first_newline(left)
        return left.strip().removeprefix("```").removesuffix("```").strip()

    def _certain(self) -> str:
        at = self._held.find(_CLOSING)
        if at >= 0:
            self.done = True
            return self._held[:at]
        keep = next(size for size in range(len(_CLOSING) - 1, -1, -1) if self._held.endswith(_CLOSING[:size]))
        code, self._held = self._held[: len(self._held) - keep], self._held[len(self._held) - keep :]
        return code

    def _without_first_newline(self, code: str) -> str:
        if self._begun or not code:
            return code
        self._begun = True
        return code[1:]
