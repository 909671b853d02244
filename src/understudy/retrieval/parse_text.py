"""Files that are text already: source code, notes, tables. The work is to find their encoding and their headings."""

import json
import re
from collections.abc import Iterator
from contextlib import suppress

from understudy.retrieval.decode import decode
from understudy.retrieval.documents import Document, Form
from understudy.retrieval.drafts import Draft, clean

Heading = tuple[int, int, str]  # where its line begins, its level, its title

_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})")
_ATX = re.compile(r" {0,3}(#{1,6})(?:[ \t]+(.*?))??(?:[ \t]+#+)?[ \t]*$")
_SETEXT = re.compile(r" {0,3}(=+|-+)[ \t]*$")
_NO_PARAGRAPH = re.compile(r"\s*$| {0,3}(?:[#>|]|[-*+][ \t]|\d+[.)][ \t])|(?: {4}|\t)")
_FRONT_MATTER = re.compile(r"---[ \t]*\n.*?^(?:---|\.\.\.)[ \t]*\n", re.DOTALL | re.MULTILINE)
_TEX_HEADING = re.compile(
    r"^[ \t]*\\(part|chapter|(?:sub){0,2}section|(?:sub)?paragraph)\*?(?:\[[^]\n]*\])?\{(.*)\}", re.MULTILINE
)
_TEX_LEVELS = ["part", "chapter", "section", "subsection", "subsubsection", "paragraph", "subparagraph"]


def plain(content: bytes, extension: str) -> Document:
    return _document(decode(content, extension), [], "prose")


def code(content: bytes, extension: str) -> Document:
    return _document(decode(content, extension), [], "code")


def json_text(content: bytes, extension: str) -> Document:
    """Return JSON as it is; where letters are written as numbers (u and four digits), with the letters."""
    text = decode(content, extension)
    if "\\u" in text:
        with suppress(ValueError, RecursionError):  # not one JSON value, or a very deep one: text all the same
            text = json.dumps(json.loads(text), ensure_ascii=False, indent=1)
    return _document(text, [], "code")


def markdown(content: bytes, extension: str) -> Document:
    text = clean(decode(content, extension))
    return _document(text, list(_markdown_headings(text)), "markdown")


def tex(content: bytes, extension: str) -> Document:
    text = clean(decode(content, extension))
    found = [(at.start(), _TEX_LEVELS.index(at[1]) + 1, at[2]) for at in _TEX_HEADING.finditer(text)]
    return _document(text, found, "prose")


def _document(text: str, headings: list[Heading], form: Form) -> Document:
    """Return the text as a document cut at its headings."""
    text = clean(text)
    draft = Draft()
    at = 0
    for start, level, title in headings:
        if start > at:
            draft.add_exactly(text[at:start])
        draft.head(level, title)
        at = start
    draft.add_exactly(text[at:])
    return draft.document(form)


def _markdown_headings(text: str) -> Iterator[Heading]:
    """Yield ATX (`# a`) and setext (underlined) headings outside of fenced code."""
    front = _FRONT_MATTER.match(text)
    at = front.end() if front else 0
    fence, before, before_at = "", "", at
    for line in text[at:].splitlines(keepends=True):
        bare = line.rstrip("\n")
        mark = _FENCE.match(bare)
        if fence:
            closes = mark and mark[1].startswith(fence) and bare.strip() == mark[1]
            fence = "" if closes else fence
            bare = ""
        elif mark:
            fence, bare = mark[1], ""
        elif heading := _ATX.match(bare):
            yield at, len(heading[1]), heading[2] or ""
        elif (rule := _SETEXT.match(bare)) and not _NO_PARAGRAPH.match(before):
            yield before_at, 1 if rule[1][0] == "=" else 2, before.strip()
        before, before_at = bare, at
        at += len(line)
