"""Web pages: blocks of text and headings, without scripts, styles and what else nobody reads.

lxml calls back for each tag and builds no tree, so that a page nested 100,000 deep costs nothing.
"""

import re
from typing import Final

from understudy.retrieval.decode import decode
from understudy.retrieval.documents import Document
from understudy.retrieval.drafts import Draft

_UNSEEN: Final = {"script", "style", "noscript", "template", "svg", "math", "head", "select", "nav", "iframe", "object"}
_HEADINGS: Final = {f"h{level}": level for level in range(1, 7)}
_BLOCKS: Final = {
    *(
        "address",
        "article",
        "aside",
        "blockquote",
        "body",
        "dd",
        "details",
        "div",
        "dl",
        "dt",
        "fieldset",
        "figcaption",
    ),
    *(
        "figure",
        "footer",
        "form",
        "header",
        "hr",
        "html",
        "main",
        "ol",
        "p",
        "pre",
        "section",
        "summary",
        "table",
        "tbody",
    ),
    *("tfoot", "thead", "ul", *_HEADINGS),
}
_LINES: Final = {"br", "li", "tr", "option"}
_CELLS: Final = {"td", "th"}
_SPACES = re.compile(r"[ \t\r\n\f]+")
_CHARSET = re.compile(rb"<meta[^>]{0,200}?charset\s*=\s*[\"']?\s*([\w-]+)", re.IGNORECASE)
_HEAD_BYTES = 4096


def html(content: bytes, extension: str) -> Document:
    """Return a page's text. Its own word on its encoding counts, unless it is UTF-8 or has a byte order mark."""
    return add_page(Draft(), _text(content, extension)).document("prose")


def _text(content: bytes, extension: str) -> str:
    named = _CHARSET.search(content[:_HEAD_BYTES])
    if named:
        try:
            return content.decode("utf-8")
        except UnicodeDecodeError:
            pass
        try:
            encoding = named[1].decode().lower()
            return content.decode({"euc-kr": "cp949", "gb2312": "gb18030", "gbk": "gb18030"}.get(encoding, encoding))
        except (UnicodeDecodeError, LookupError):
            pass  # it does not know itself: as with any text
    return decode(content, extension)


def add_page(draft: Draft, page: str) -> Draft:
    """Add a page's text to a document."""
    from lxml import etree

    reader = _Reader(draft)
    parser = etree.HTMLParser(target=reader, encoding="utf-8", recover=True, huge_tree=True)
    parser.feed(page.encode("utf-8", "replace"))
    parser.close()
    return draft


class _Reader:
    """Hears of tags and text in their order, and gathers the text of one block at a time."""

    def __init__(self, draft: Draft) -> None:
        self._draft = draft
        self._parts: list[str] = []
        self._unseen: str | None = None
        self._depth = 0  # of tags within the unseen one that have its name
        self._preformatted = 0

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        if self._unseen:
            self._depth += tag == self._unseen
        elif tag in _UNSEEN:
            self._unseen, self._depth = tag, 1
        elif tag in _BLOCKS:
            self._end_block()
            self._preformatted += tag == "pre"
        elif tag in _LINES:
            self._parts.append("\n")
        elif tag in _CELLS:
            self._parts.append(" | " if self._parts and not self._parts[-1].endswith("\n") else "")
        elif tag == "img" and attributes.get("alt"):
            self._parts.append(f" {attributes['alt']} ")

    def end(self, tag: str) -> None:
        if self._unseen:
            self._depth -= tag == self._unseen
            if self._depth == 0:
                self._unseen = None
        elif tag in _HEADINGS:
            self._draft.head(_HEADINGS[tag], "".join(self._parts))
            self._end_block()
        elif tag in _BLOCKS:
            self._end_block()
            self._preformatted -= tag == "pre" and self._preformatted > 0

    def data(self, text: str) -> None:
        if self._unseen:
            return
        if not self._preformatted:
            text = _SPACES.sub(" ", text)
            if not self._parts or self._parts[-1].endswith("\n"):
                text = text.lstrip(" ")
        self._parts.append(text)

    def comment(self, text: str) -> None:
        pass

    def close(self) -> None:
        self._end_block()

    def _end_block(self) -> None:
        self._draft.add("".join(self._parts))
        self._parts = []
