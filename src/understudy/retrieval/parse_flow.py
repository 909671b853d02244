"""Word (.docx) and OpenDocument (.odt) texts: paragraphs, headings and tables, read tag by tag and never as a tree.

kreuzberg was measured and not taken: it loses each `&`, `<` and `>` of a .docx, and weighs 76 MB.
"""

import zipfile
from collections.abc import Mapping
from typing import Final

from understudy.retrieval.documents import Document, Unreadable
from understudy.retrieval.drafts import Draft
from understudy.retrieval.sniff import open_zip

_MAX_LEVEL = 9
_PIECE_BYTES = 1 << 16


def docx(content: bytes, _extension: str) -> Document:
    """Return the text of a Word document with its footnotes, without headers, comments and deleted text."""
    draft = Draft()
    with open_zip(content) as archive:
        levels = _heading_levels(archive)
        feed(archive, "word/document.xml", _Word(draft, levels))
        draft.close_headings()
        for notes in ("word/footnotes.xml", "word/endnotes.xml"):
            if notes in archive.namelist():
                feed(archive, notes, _Word(draft, {}))
    return draft.document("prose")


def odt(content: bytes, _extension: str) -> Document:
    """Return the text of an OpenDocument text, footnotes in their places, without comments and deleted text."""
    draft = Draft()
    with open_zip(content) as archive:
        feed(archive, "content.xml", _OpenDocument(draft))
    return draft.document("prose")


def feed(archive: zipfile.ZipFile, name: str, reader: object) -> None:
    """Read one XML part of an archive into an object with `start`, `end`, `data` and `close`, and expand no entity."""
    from lxml import etree

    parser = etree.XMLParser(target=reader, resolve_entities=False, no_network=True, load_dtd=False)
    try:
        with archive.open(name) as stream:
            while piece := stream.read(_PIECE_BYTES):
                parser.feed(piece)
        parser.close()
    except (etree.XMLSyntaxError, KeyError, zipfile.BadZipFile, EOFError) as fault:
        raise Unreadable(
            "invalid_file", f"The file is damaged: its part {name} cannot be read. {fault}"[:300]
        ) from fault


Attributes = Mapping[str, str]


def _local(name: str) -> str:
    return name.rpartition("}")[2]


def _attribute(attributes: Attributes, name: str) -> str | None:
    return next((value for key, value in attributes.items() if _local(key) == name), None)


def _number(text: str | None, otherwise: int) -> int:
    return int(text) if text is not None and text.isascii() and text.isdigit() else otherwise


class Flow:
    """Gathers paragraphs and tables, each of which may stand within another (a text box, a cell, a note)."""

    unseen: frozenset[str] = frozenset()

    def __init__(self, draft: Draft) -> None:
        self.draft = draft
        self.paragraphs: list[list[str]] = []
        self.level: int | None = None  # of the paragraph, if it is a heading
        self._tables: list[list[list[list[str]]]] = []  # tables of rows of cells of paragraphs
        self._hidden = 0

    def start(self, tag: str, attributes: Attributes) -> None:
        name = _local(tag)
        if self._hidden or name in self.unseen:
            self._hidden += 1
        else:
            self.opened(name, attributes)

    def end(self, tag: str) -> None:
        if self._hidden:
            self._hidden -= 1
        else:
            self.closed(_local(tag))

    def data(self, text: str) -> None:
        if not self._hidden:
            self.heard(text)

    def close(self) -> None:
        """Nothing is left to do at the end; the parser asks."""

    def opened(self, name: str, attributes: Attributes) -> None:
        raise NotImplementedError

    def closed(self, name: str) -> None:
        raise NotImplementedError

    def heard(self, text: str) -> None:
        raise NotImplementedError

    def begin_paragraph(self) -> None:
        self.paragraphs.append([])
        self.level = None

    def say(self, text: str) -> None:
        if self.paragraphs:
            self.paragraphs[-1].append(text)

    def end_paragraph(self) -> None:
        text = "".join(self.paragraphs.pop()) if self.paragraphs else ""
        if self._tables:
            self._cell().append(text)
            return
        if self.level is not None:
            self.draft.head(self.level, text)
        self.draft.add(text)
        self.level = None

    def begin_table(self) -> None:
        self._tables.append([])

    def begin_row(self) -> None:
        if self._tables:
            self._tables[-1].append([])

    def begin_cell(self) -> None:
        if self._tables and self._tables[-1]:
            self._tables[-1][-1].append([])

    def end_table(self) -> None:
        rows = self._tables.pop() if self._tables else []
        text = table_text([[" ".join(cell) for cell in row] for row in rows])
        if self._tables:
            self._cell().append(text)
        else:
            self.draft.add(text)

    def _cell(self) -> list[str]:
        table = self._tables[-1]
        if not table:
            table.append([])
        if not table[-1]:
            table[-1].append([])
        return table[-1][-1]


def table_text(rows: list[list[str]]) -> str:
    """Return a table as lines, cells between bars; what is empty at a line's end is left out."""
    lines = (" | ".join(" ".join(cell.split()) for cell in row).rstrip(" |") for row in rows)
    return "\n".join(line for line in lines if line)


class _Word(Flow):
    unseen = frozenset({"del", "moveFrom", "Fallback", "instrText", "delText"})
    _SIGNS: Final = {"br": "\n", "cr": "\n", "tab": "\t", "noBreakHyphen": "-"}

    def __init__(self, draft: Draft, levels: Mapping[str, int | None]) -> None:
        super().__init__(draft)
        self._levels = levels
        self._runs = 0  # a tab outside of a run is a ruler's setting
        self._text = False
        self._contents = False  # the paragraph is a line of the table of contents

    def opened(self, name: str, attributes: Attributes) -> None:
        match name:
            case "p":
                self.begin_paragraph()
                self._contents = False
            case "r":
                self._runs += 1
            case "t":
                self._text = True
            case "pStyle":
                self._style(_attribute(attributes, "val") or "")
            case "outlineLvl":
                self._outline(_number(_attribute(attributes, "val"), _MAX_LEVEL))
            case "tbl":
                self.begin_table()
            case "tr":
                self.begin_row()
            case "tc":
                self.begin_cell()
            case _ if self._runs and name in self._SIGNS:
                self.say(self._SIGNS[name])

    def closed(self, name: str) -> None:
        match name:
            case "p":
                if self._contents and self.paragraphs:
                    self.paragraphs[-1].clear()
                self.end_paragraph()
                self._contents = False
            case "r":
                self._runs -= 1
            case "t":
                self._text = False
            case "tbl":
                self.end_table()

    def heard(self, text: str) -> None:
        if self._text:
            self.say(text)

    def _style(self, style: str) -> None:
        if style in self._levels:
            self.level = self._levels[style]
            self._contents = self.level is None

    def _outline(self, level: int) -> None:
        if level < _MAX_LEVEL:
            self.level = level + 1


class _Styles:
    """Reads which style is a heading of which level: by its outline level, its name or the style it is based on.

    None stands for lines of a table of contents, which are left out.
    """

    def __init__(self) -> None:
        self.levels: dict[str, int | None] = {}
        self._bases: dict[str, str] = {}
        self._style = ""

    def start(self, tag: str, attributes: Attributes) -> None:
        value = _attribute(attributes, "val") or ""
        match _local(tag):
            case "style":
                self._style = _attribute(attributes, "styleId") or ""
            case "name":
                self._named(value.lower())
            case "outlineLvl" if _number(value, _MAX_LEVEL) < _MAX_LEVEL:
                self.levels[self._style] = int(value) + 1
            case "basedOn":
                self._bases[self._style] = value

    def _named(self, name: str) -> None:
        kind, _, number = name.partition(" ")
        if name == "title":
            self.levels[self._style] = 0
        elif kind == "heading" and number.isdigit():
            self.levels[self._style] = int(number)
        elif kind == "toc" and number.isdigit():
            self.levels[self._style] = None

    def end(self, tag: str) -> None:
        pass

    def close(self) -> None:
        for style in self._bases:
            base, seen = style, {style}
            while base not in self.levels and base in self._bases and self._bases[base] not in seen:
                base = self._bases[base]
                seen.add(base)
            if base in self.levels:
                self.levels[style] = self.levels[base]


def _heading_levels(archive: zipfile.ZipFile) -> dict[str, int | None]:
    if "word/styles.xml" not in archive.namelist():
        return {}
    styles = _Styles()
    feed(archive, "word/styles.xml", styles)
    return styles.levels


class _OpenDocument(Flow):
    unseen = frozenset({"tracked-changes", "annotation", "note-citation", "table-of-content", "alphabetical-index"})

    def opened(self, name: str, attributes: Attributes) -> None:
        match name:
            case "p":
                self.begin_paragraph()
            case "h":
                self.begin_paragraph()
                self.level = min(_number(_attribute(attributes, "outline-level"), 1), _MAX_LEVEL)
            case "s":
                self.say(" " * min(_number(_attribute(attributes, "c"), 1), 100))
            case "tab":
                self.say("\t")
            case "line-break":
                self.say("\n")
            case "table":
                self.begin_table()
            case "table-row":
                self.begin_row()
            case "table-cell":
                self.begin_cell()

    def closed(self, name: str) -> None:
        match name:
            case "p" | "h":
                self.end_paragraph()
            case "table":
                self.end_table()

    def heard(self, text: str) -> None:
        self.say(text.replace("\n", " "))
