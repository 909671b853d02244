"""PDFs with embedded fonts for Korean, Chinese and English."""

import importlib
import io
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from fpdf import FPDF
from fpdf.enums import WrapMode

Language = Literal["ko", "zh", "en"]
_FONTS = {
    "ko": ("pylopdf_fonts_ko", "NotoSansKR-Regular.otf"),
    "en": ("pylopdf_fonts_ko", "NotoSansKR-Regular.otf"),
    "zh": ("pylopdf_fonts_zh_cn", "NotoSansSC-Regular.otf"),
}
_EPOCH = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Page:
    text: str
    bookmark: str | None = None


def font(language: Language) -> Path:
    package, name = _FONTS[language]
    return Path(str(importlib.import_module(package).__file__)).parent / name


def typeset(
    pages: Iterable[Page],
    language: Language,
    *,
    title: str = "",
    made: datetime = _EPOCH,
    password: str | None = None,
    pictures: Iterable[bytes] = (),
) -> bytes:
    """Return a PDF; each page's lines are wrapped. The same bytes for the same pages."""
    book = FPDF()
    book.set_creation_date(made)
    book.set_title(title)
    if password:
        book.set_encryption(owner_password="owner", user_password=password)
    book.add_font("body", fname=str(font(language)))
    book.set_font("body", size=11)
    for page in pages:
        book.add_page()
        if page.bookmark:
            book.start_section(page.bookmark)
        wrap: Any = WrapMode.WORD if language != "zh" else WrapMode.CHAR
        book.multi_cell(0, 7, page.text, wrapmode=wrap)
    for picture in pictures:
        book.add_page()
        book.image(io.BytesIO(picture), x=0, y=0, w=book.w)
    return bytes(book.output())
