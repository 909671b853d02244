"""What a file becomes: its text, where each part of it stands, and the pieces that are searched. Types only.

All offsets count characters (code points) of `Document.text`; ends are exclusive.
"""

from dataclasses import dataclass
from typing import Literal

from understudy.errors import UnderstudyError

Form = Literal["prose", "markdown", "code", "paged"]
Fault = Literal["invalid_file", "unsupported_file", "server_error"]


@dataclass(frozen=True, slots=True)
class Section:
    """One stretch of a document that stands on one page and under one heading.

    `page` counts from 1 and is the page of a PDF, the slide of a presentation, the sheet of a workbook; None where the
    format has no such thing. `heading` is the path from the outermost heading to the innermost, empty above the first.
    A heading's own line belongs to the section that it opens.
    """

    start: int
    end: int
    page: int | None = None
    heading: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Document:
    """A parsed file. `text` has at least one character that is no white space.

    `sections` are in order and do not overlap; together they hold every character of the text that is no white space.
    `form` says where the text may be cut well: "paged" is a file whose pages are units, such as slides.
    """

    text: str
    sections: tuple[Section, ...]
    form: Form = "prose"


@dataclass(frozen=True, slots=True)
class Chunk:
    """One piece of a document: `text` is `document.text[start:end]`, and counts `tokens` in o200k.

    `page` and `heading` are those of the place where the chunk begins.
    """

    text: str
    start: int
    end: int
    page: int | None
    heading: tuple[str, ...]
    tokens: int


class Unreadable(UnderstudyError):
    """No text can be had from a file. `code` and `message` become the `last_error` of the vector store's file.

    `invalid_file`: its bytes are not what they should be, or hold no text. `unsupported_file`: its kind is not read
    here. `server_error`: the parser failed or went over its limits. The message is one or two sentences for the
    uploader: what is wrong and what helps.
    """

    def __init__(self, code: Fault, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
