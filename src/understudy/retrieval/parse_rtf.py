"""Rich text (.rtf) through striprtf, which knows the encoding of each font."""

from typing import Any

from understudy.protocol.text import joined
from understudy.retrieval.documents import Document, Unreadable
from understudy.retrieval.drafts import Draft


def rtf(content: bytes, _extension: str) -> Document:
    from striprtf import striprtf

    if not content.rstrip(b"\0\r\n\t \x1a").endswith(b"}"):
        raise Unreadable("invalid_file", "The file was cut off on its way: its end is missing. Upload it again.")
    reader: Any = striprtf  # without type information
    text: str = reader.rtf_to_text(content.decode("latin-1"), errors="replace")
    draft = Draft()
    for paragraph in joined(text).splitlines():  # emoji come as two halves
        draft.add(paragraph.replace("|", " | ").rstrip(" |") if paragraph.endswith("|") else paragraph)
    return draft.document("prose")
