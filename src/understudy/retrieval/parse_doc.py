"""Documents of Word 97 to 2003 (.doc): an OLE container with the text in pieces. Source: [MS-DOC], sections 2.4.1, 2.5.

No library at hand reads it right: of Chinese, kreuzberg made noise, and antiword gave up.
"""

import io
import re
import struct
from collections.abc import Iterator

from understudy.retrieval.documents import Document, Unreadable
from understudy.retrieval.drafts import Draft
from understudy.retrieval.sniff import locked

_WORD_97 = 0x00C1  # the version in the file's head from which on text is kept in pieces of UTF-16
_ENCRYPTED, _SECOND_TABLE = 0x0100, 0x0200
_EIGHT_BIT = 0x40000000
_FIELD_CODE = re.compile(r"\x13[^\x13\x14\x15]*(?:\x14|(?=\x15))")  # what makes a date or a link, not what it shows
_SIGNS = str.maketrans({"\x07": " | ", "\x0b": "\n", "\x0c": "\r", "\x0d": "\r", "\x1e": "-", "\x15": "", "\x1f": ""})


def doc(content: bytes, _extension: str) -> Document:
    """Return the text and footnotes; headings are not told apart from other paragraphs."""
    import olefile

    with olefile.OleFileIO(io.BytesIO(content)) as container:
        main = container.openstream("WordDocument").read()
        flags, version = struct.unpack_from("<H", main, 10)[0], struct.unpack_from("<H", main, 2)[0]
        if flags & _ENCRYPTED:
            raise locked()
        if version < _WORD_97:
            raise Unreadable("unsupported_file", "The file is of Word 95 or older. Save it as .docx or PDF.")
        table = container.openstream("1Table" if flags & _SECOND_TABLE else "0Table").read()
    text = "".join(_pieces(main, table))
    length, notes = struct.unpack_from("<2i", main, 0x4C)
    draft = Draft()
    for paragraph in _readable(text[: max(length, 0) + max(notes, 0)]).split("\r"):
        draft.add(paragraph.rstrip(" |"))
    return draft.document("prose")


def _readable(text: str) -> str:
    """Return the text without field codes; cells and lines become bars and line breaks."""
    while text != (shorter := _FIELD_CODE.sub("", text)):  # fields may stand within fields
        text = shorter
    return re.sub(r"\x07\x07", "\r", text).translate(_SIGNS)


def _pieces(main: bytes, table: bytes) -> Iterator[str]:
    """Yield the text in its order. Each piece says where it begins, where its bytes lie, and whether they are 8-bit."""
    plan = _plan(table, *struct.unpack_from("<2I", main, 0x01A2))
    count = (len(plan) - 4) // 12
    starts = struct.unpack_from(f"<{count + 1}I", plan)
    for index in range(count):
        (place,) = struct.unpack_from("<I", plan, 4 * (count + 1) + 8 * index + 2)
        length = starts[index + 1] - starts[index]
        if length < 0:
            raise Unreadable("invalid_file", "The file is damaged: its pieces of text are out of order.")
        if place & _EIGHT_BIT:
            at = (place & ~_EIGHT_BIT) // 2
            yield main[at : at + length].decode("cp1252", "replace")
        else:
            yield main[place : place + 2 * length].decode("utf-16-le", "replace")


def _plan(table: bytes, start: int, length: int) -> bytes:
    """Return the list of pieces, which lies behind any number of formatting records."""
    at, end = start, min(start + length, len(table))
    while at < end and table[at] == 1:
        at += 3 + struct.unpack_from("<H", table, at + 1)[0]
    if at + 5 > end or table[at] != 2:
        raise Unreadable("invalid_file", "The file is damaged: its list of pieces of text is missing.")
    return table[at + 5 : at + 5 + struct.unpack_from("<I", table, at + 1)[0]]
