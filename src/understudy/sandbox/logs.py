"""What a call printed: kept from its beginning and its end, so that a traceback after much output is read."""

import codecs
from collections import deque

_KEPT_OF_END = 4  # a quarter


class Logs:
    """Takes bytes, gives text. What `take` and `end` return adds up to `text`."""

    def __init__(self, most: int) -> None:
        """`most` is how many bytes are kept."""
        self._tail_room = most // _KEPT_OF_END
        self._head_room = most - self._tail_room
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._tail: deque[bytes] = deque()
        self._tail_length = 0
        self._pieces: list[str] = []
        self.total = 0
        self.left_out = 0

    @property
    def text(self) -> str:
        return "".join(self._pieces)

    def take(self, content: bytes) -> str:
        """Take some output and return what of it can be shown at once."""
        self.total += len(content)
        head = content[: self._head_room]
        self._head_room -= len(head)
        self._keep_for_later(content[len(head) :])
        return self._say(self._decoder.decode(head))

    def remark(self, text: str) -> str:
        """Add a remark of the sandbox's, on a line of its own. To be called after `end`."""
        broken = self._pieces and not self._pieces[-1].endswith("\n")
        return self._say(f"{chr(10) if broken else ''}[{text}]\n")

    def end(self) -> str:
        """Return what was kept for the end."""
        text = self._decoder.decode(b"", final=True)
        tail = b"".join(self._tail)
        self._tail.clear()
        if self.left_out:
            text += f"\n[{self.left_out} bytes of output are left out here.]\n"
        return self._say(text + tail.decode(errors="replace"))

    def _keep_for_later(self, content: bytes) -> None:
        if not content:
            return
        self._tail.append(content)
        self._tail_length += len(content)
        while self._tail_length > self._tail_room:
            first = self._tail.popleft()
            surplus = min(len(first), self._tail_length - self._tail_room)
            if surplus < len(first):
                self._tail.appendleft(first[surplus:])
            self._tail_length -= surplus
            self.left_out += surplus

    def _say(self, text: str) -> str:
        text = text.replace("\0", "\ufffd")  # no database keeps it
        if text:
            self._pieces.append(text)
        return text
