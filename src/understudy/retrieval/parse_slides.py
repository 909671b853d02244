"""Presentations (.pptx): slide by slide, its title as heading, its shapes from top to bottom, its notes."""

import io
from collections.abc import Iterable, Iterator
from typing import Any

from understudy.retrieval.documents import Document
from understudy.retrieval.drafts import Draft

_MAX_NESTING = 20  # groups within groups


def slides(content: bytes, _extension: str) -> Document:
    """Return the text of a presentation; pages are slide numbers."""
    import pptx

    draft = Draft()
    for number, slide in enumerate(pptx.Presentation(io.BytesIO(content)).slides, start=1):
        draft.page = number
        draft.close_headings()
        title = slide.shapes.title
        if title is not None and title.text_frame.text.strip():
            draft.head(1, title.text_frame.text)
            draft.add(title.text_frame.text)
        for shape in _shapes(slide.shapes):
            if title is None or shape.shape_id != title.shape_id:
                draft.add(_text(shape))
        if slide.has_notes_slide and slide.notes_slide.notes_text_frame is not None:
            draft.add(slide.notes_slide.notes_text_frame.text)
    return draft.document("paged")


def _shapes(shapes: Iterable[Any], depth: int = 0) -> Iterator[Any]:
    """Yield shapes as a reader meets them, those of groups in their group's place."""
    for shape in sorted(shapes, key=lambda shape: (shape.top or 0, shape.left or 0)):
        if hasattr(shape, "shapes") and depth < _MAX_NESTING:
            yield from _shapes(shape.shapes, depth + 1)
        else:
            yield shape


def _text(shape: Any) -> str:
    if shape.has_text_frame:
        return str(shape.text_frame.text).replace("\v", "\n")
    if getattr(shape, "has_table", False):
        return "\n".join(" | ".join(cell.text.strip() for cell in row.cells) for row in shape.table.rows)
    return ""
