"""A host of readers with a hole: `python -m tests.ingest.taken_over LINE LIMITS`.

It is the real one but for its parser, which does to a document what a hole in a parser would let the document do: the
text is run as a program, with all that the reader has, and what that prints is the document's text.
"""

import contextlib
import io

from understudy.ingest import parsing_child
from understudy.retrieval.documents import Document, Section


def parse(content: bytes, filename: str) -> Document:
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(content.decode(), {"__name__": filename})
    text = printed.getvalue()
    return Document(text, (Section(0, len(text)),))


if __name__ == "__main__":
    parsing_child.parse = parse  # type: ignore[attr-defined]  # the hole
    parsing_child.main()
