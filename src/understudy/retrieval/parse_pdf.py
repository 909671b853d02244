"""PDF through pypdfium2: the text of each page; pages that are pictures go through OCR where there is one."""

import re
from collections.abc import Iterator
from typing import Any

from understudy.retrieval.documents import Document, Unreadable
from understudy.retrieval.drafts import Draft, clean
from understudy.retrieval.ocr import Reader, find_reader

_PASSWORD = 4  # FPDF_ERR_PASSWORD
_HYPHEN = re.compile(r"[\x02\ufffe]\r?\n?")  # pdfium's sign for a hyphen that only the line's end called for
_LETTERS = re.compile(r"\w")
_DOTS_PER_POINT = 300 / 72
_ASKED = 1000  # letters of a page
_MAX_PIXELS = 40_000_000  # a page of 300 dpi has 8.7 million

Outline = dict[int, list[tuple[int, str]]]  # page number: levels and titles of what begins on it


def pdf(content: bytes, _extension: str) -> Document:
    """Return the text of a PDF, with its page numbers and, as headings, its bookmarks."""
    book = _open(content)
    if len(book) == 0:
        raise Unreadable("invalid_file", "The PDF has no pages.")
    outline, draft, scans = _outline(book), Draft(), _Scans()
    for index in range(len(book)):
        page = book[index]
        draft.page = index + 1
        _add(draft, _text(page) or scans.read(page, index + 1), outline.get(index + 1, []))
        page.close()
    try:
        return draft.document("prose")
    except Unreadable:
        raise scans.missed() from None


def _open(content: bytes) -> Any:
    import pypdfium2

    try:
        return pypdfium2.PdfDocument(content)
    except pypdfium2.PdfiumError as fault:
        if getattr(fault, "err_code", None) == _PASSWORD and b"/Encrypt" in content:  # the code may be an older file's
            raise Unreadable(
                "invalid_file", "The PDF is protected by a password. Remove the password and upload it again."
            ) from fault
        raise Unreadable(
            "invalid_file", "The PDF is damaged or was cut off on its way. Upload it again, or print it into a new PDF."
        ) from fault


def _text(page: Any) -> str:
    """Return a page's text, or nothing if its letters are pictures or of fonts that do not say what they draw."""
    layer = page.get_textpage()
    text = clean(_HYPHEN.sub("", layer.get_text_bounded()))
    known = _known(layer)
    layer.close()
    return text if known and _LETTERS.search(text) else ""


def _known(layer: Any) -> bool:
    """Tell whether most letters of a page are known; of a full page, about a thousand are asked after."""
    from pypdfium2 import raw

    count = layer.count_chars()
    asked = range(0, count, max(1, count // _ASKED))
    unknown: int = sum(raw.FPDFText_HasUnicodeMapError(layer.raw, index) == 1 for index in asked)
    return unknown * 2 <= len(asked)


def _outline(book: Any) -> Outline:
    """Return the bookmarks of each page; none if they cannot be read."""
    found: Outline = {}
    for item in _bookmarks(book):
        target = item.get_dest()
        index = target.get_index() if target else None
        if index is not None:
            found.setdefault(index + 1, []).append((item.level + 1, clean(item.get_title())))
    return found


def _bookmarks(book: Any) -> Iterator[Any]:
    import pypdfium2

    try:
        yield from book.get_toc(max_depth=8)
    except (pypdfium2.PdfiumError, RecursionError):
        return


def _add(draft: Draft, text: str, headings: list[tuple[int, str]]) -> None:
    """Add a page, cut where its bookmarks' titles stand in it, or else at its top."""
    at = 0
    for level, title in headings:
        words = r"\s+".join(map(re.escape, title.split()))
        place = re.compile(words).search(text, at) if words else None
        if place:
            draft.add(text[at : place.start()], end="\n")
            at = place.start()
        draft.head(level, title)
    draft.add(text[at:], end="\n\n")


class _Scans:
    """The pages without text: read from their picture, or counted."""

    def __init__(self) -> None:
        self._reader: Reader | None = None
        self._sought = False
        self._seen = 0

    def read(self, page: Any, number: int) -> str:
        if not any(page.get_objects(max_depth=1)):
            return ""  # it is blank
        self._seen += 1
        if not self._sought:
            self._reader, self._sought = find_reader(), True
        return self._reader.read(*_picture(page), number) if self._reader else ""

    def missed(self) -> Unreadable:
        """Return what to say of a file in which no page has text."""
        if not self._seen:
            return Unreadable("invalid_file", "The PDF holds no text: its pages are blank.")
        if self._reader:
            return Unreadable("invalid_file", "The PDF holds pictures of pages, and no letters were found in them.")
        return Unreadable(
            "invalid_file",
            "The PDF holds pictures of pages (a scan), or fonts that do not say which letters they draw, and no text."
            " Run it through OCR before uploading, or install tesseract on the server.",
        )


def _picture(page: Any) -> tuple[bytes, int, int]:
    """Return a page as grey pixels, their width and height: 300 dots per inch, fewer for a giant page."""
    width, height = page.get_size()
    scale = min(_DOTS_PER_POINT, (_MAX_PIXELS / max(width * height, 1)) ** 0.5)
    bitmap = page.render(scale=scale, grayscale=True, rev_byteorder=False)
    stride, columns = bitmap.stride, bitmap.width
    raw = bytes(bitmap.buffer)
    rows = (raw[at : at + columns] for at in range(0, stride * bitmap.height, stride))
    return b"".join(rows), columns, bitmap.height
