"""Reads the envelope's JSON while it is being written: text out of unfinished strings, arguments piece by piece.

Pure, and indifferent to where the text is split: the same JSON gives the same concatenated pieces.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

_ESCAPES = {'"': '"', "\\": "\\", "/": "/", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
_HIGH, _LOW, _END = 0xD800, 0xDC00, 0xE000
_UNICODE_ESCAPE_CHARS = 6

Path = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class StringPiece:
    """A decoded piece of the string at `path`; `last` marks its end (the piece may then be empty)."""

    path: Path
    text: str
    last: bool = False


@dataclass(frozen=True, slots=True)
class RawPiece:
    """A piece of the JSON text of the value at `path`, spaced as json.dumps does, without escapes for letters."""

    path: Path
    text: str
    last: bool = False


Piece = StringPiece | RawPiece


@dataclass(slots=True)
class _Level:
    kind: Literal["{", "["]
    key: str | int
    wants_key: bool = True


@dataclass(slots=True)
class JsonStream:
    """A push parser. `raw_key` names the member, at any depth of 3, whose value comes out as JSON text.

    The grammar has already made the text valid JSON; what is not valid raises ValueError where it is noticed.
    """

    raw_key: str
    done: bool = False
    _levels: list[_Level] = field(default_factory=list)
    _string: list[str] | None = None
    _escape: str = ""
    _surrogate: str = ""
    _raw_depth: int | None = None
    _scalar: bool = False

    def feed(self, text: str) -> list[Piece]:
        """Return the pieces that this text brings, neighbours joined."""
        return list(_joined(piece for char in text for piece in self._char(char)))

    def _char(self, char: str) -> Iterator[Piece]:
        if self._string is not None:
            yield from self._in_string(char)
        elif char in " \t\r\n":
            yield from self._end_scalar()
        elif self.done:
            raise ValueError("text after the end of the reply")
        elif char == '"':
            self._string = []
            yield from self._raw('"', opens=True)
        elif char in "{[":
            yield from self._raw(char, opens=True)
            self._levels.append(_Level("{" if char == "{" else "[", "" if char == "{" else 0))
        elif char in "}]":
            yield from self._close(char)
        elif char == ",":
            yield from self._end_scalar()
            self._next()
            yield from self._raw(", ")
        elif char == ":":
            self._top().wants_key = False
            yield from self._raw(": ")
        else:
            yield from self._raw(char, opens=True)
            self._scalar = True

    def _top(self) -> _Level:
        if not self._levels:
            raise ValueError("the reply is not an object")
        return self._levels[-1]

    def _next(self) -> None:
        level = self._top()
        if isinstance(level.key, int):
            level.key += 1
        level.wants_key = True

    def _path(self) -> Path:
        return tuple(level.key for level in self._levels)

    def _reads_key(self) -> bool:
        return bool(self._levels) and self._levels[-1].kind == "{" and self._levels[-1].wants_key

    def _raw(self, text: str, *, opens: bool = False) -> Iterator[RawPiece]:
        """Yield a piece if it lies within a raw value; a value's first character opens one."""
        if not self._levels and text not in "{":
            raise ValueError("the reply is not an object")
        if self._raw_depth is None and opens and not self._reads_key() and self._path()[-1:] == (self.raw_key,):
            self._raw_depth = len(self._levels)
        if self._raw_depth is not None:
            yield RawPiece(self._path()[: self._raw_depth], text)

    def _close(self, char: str) -> Iterator[Piece]:
        yield from self._end_scalar()
        if self._top().kind != {"}": "{", "]": "["}[char]:
            raise ValueError("brackets do not match")
        self._levels.pop()
        self.done = not self._levels
        yield from self._raw(char) if self._levels else ()
        yield from self._end_raw()

    def _end_scalar(self) -> Iterator[Piece]:
        if self._scalar:
            self._scalar = False
            yield from self._end_raw()

    def _end_raw(self) -> Iterator[Piece]:
        """Close the raw value if the value that just ended was it."""
        if self._raw_depth is not None and self._raw_depth == len(self._levels):
            self._raw_depth = None
            yield RawPiece(self._path(), "", last=True)

    def _in_string(self, char: str) -> Iterator[Piece]:
        if self._escape:
            self._escape += char
            if self._escape[1] != "u" or len(self._escape) == _UNICODE_ESCAPE_CHARS:
                escape, self._escape = self._escape, ""
                yield from self._letter(_unescaped(escape))
        elif char == "\\":
            self._escape = char
        elif char == '"':
            yield from self._flush_surrogate()
            yield from self._end_string()
        else:
            yield from self._letter(char)

    def _letter(self, letter: str) -> Iterator[Piece]:
        """Take in one decoded letter; the first half of a surrogate pair waits for the second."""
        if self._surrogate and _LOW <= ord(letter) < _END:
            pair = 0x10000 + ((ord(self._surrogate) - _HIGH) << 10) + (ord(letter) - _LOW)
            self._surrogate = ""
            yield from self._put(chr(pair))
            return
        yield from self._flush_surrogate()
        if _HIGH <= ord(letter) < _LOW:
            self._surrogate = letter
        else:
            yield from self._put("\ufffd" if _LOW <= ord(letter) < _END else letter)

    def _flush_surrogate(self) -> Iterator[Piece]:
        if self._surrogate:
            self._surrogate = ""
            yield from self._put("\ufffd")

    def _put(self, letter: str) -> Iterator[Piece]:
        if self._raw_depth is not None:
            yield from self._raw(json.dumps(letter, ensure_ascii=False)[1:-1])
        elif self._reads_key():
            assert self._string is not None
            self._string.append(letter)
        else:
            yield StringPiece(self._path(), letter)

    def _end_string(self) -> Iterator[Piece]:
        letters, self._string = self._string or [], None
        if self._raw_depth is not None:
            yield from self._raw('"')
            yield from self._end_raw()
        elif self._reads_key():
            self._levels[-1].key = "".join(letters)
        else:
            yield StringPiece(self._path(), "", last=True)


def _unescaped(escape: str) -> str:
    if escape[1] == "u":
        return chr(int(escape[2:], 16))
    if escape[1] not in _ESCAPES:
        raise ValueError(f"no such escape: {escape}")
    return _ESCAPES[escape[1]]


def _joined(pieces: Iterator[Piece]) -> Iterator[Piece]:
    held: Piece | None = None
    for piece in pieces:
        if held is not None and type(held) is type(piece) and held.path == piece.path and not held.last:
            held = type(piece)(held.path, held.text + piece.text, piece.last)
            continue
        if held is not None:
            yield held
        held = piece
    if held is not None:
        yield held
