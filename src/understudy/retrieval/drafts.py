"""A document in the making: parsers say what they meet, and it keeps count of where that stands."""

import re

from understudy.retrieval.documents import Document, Form, Section, Unreadable

MAX_CHARACTERS = 40_000_000  # above what 5,000,000 tokens, the hosted limit, make in any script
MAX_HEADING_CHARACTERS = 200  # of each heading in a path; the text itself keeps it whole
MAX_PATH = 8

_BREAKS = re.compile(r"\r\n?")
_INVISIBLE = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ufffe\uffff]")
_SPACES = re.compile(r"\s+")


def clean(text: str) -> str:
    """Return a text with plain line breaks, without control characters, and such as UTF-8 can hold."""
    return _INVISIBLE.sub("", _BREAKS.sub("\n", text)).encode("utf-8", "replace").decode()


class Draft:
    """Collects blocks of text under the last heading and page that were opened."""

    def __init__(self) -> None:
        self._parts: list[str] = []
        self._sections: list[Section] = []
        self._length = 0
        self._open: list[tuple[int, str]] = []
        self.page: int | None = None

    def head(self, level: int, title: str) -> None:
        """Open a heading, outermost level 1; its text is added by the caller, as of the section that it opens."""
        name = _SPACES.sub(" ", title).strip()[:MAX_HEADING_CHARACTERS]
        if name:
            self._open = [*(pair for pair in self._open if pair[0] < level), (level, name)][:MAX_PATH]

    def close_headings(self) -> None:
        """Leave every heading: what follows stands under none."""
        self._open = []

    def add(self, text: str, end: str = "\n\n") -> None:
        """Add a block. White space around it is dropped, a block of nothing else adds nothing."""
        block = clean(text).strip()
        if block:
            self.add_exactly(block + end)

    def add_exactly(self, text: str) -> None:
        """Add a text that is clean, as it is."""
        start, self._length = self._length, self._length + len(text)
        if self._length > MAX_CHARACTERS:
            raise Unreadable(
                "invalid_file",
                f"The file holds more than {MAX_CHARACTERS:,} characters of text. Split it into smaller files.",
            )
        self._parts.append(text)
        heading = tuple(name for _, name in self._open)
        last = self._sections[-1] if self._sections else None
        if last and (last.page, last.heading) == (self.page, heading):
            self._sections[-1] = Section(last.start, self._length, self.page, heading)
        else:
            self._sections.append(Section(start, self._length, self.page, heading))

    def document(self, form: Form) -> Document:
        """Return what was collected. Raises Unreadable if it holds no text."""
        text = "".join(self._parts)
        if not text.strip():
            raise Unreadable("invalid_file", "The file holds no text.")
        return Document(text, tuple(self._sections), form)
