"""Marks in an answer as it is written: found, held back until they are whole, and resolved. Pure.

Only what may become a mark is held back. A citation that nothing in the context bears out is left out of the text,
never guessed at.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from understudy.protocol.annotations import CITATION, CITATION_BEGUN, MADE_FILES, Annotation, FileReference
from understudy.protocol.steps import RunStep, ToolCall

Quote = Callable[[str, str], str]
"""From the text before a citation and the passage it cites: the sentence of the passage that bears it out."""


@dataclass(frozen=True, slots=True)
class Source:
    """A passage that a search has found."""

    file_id: str
    passage: str
    where: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Marks:
    """What the marks in an answer can mean: passages by label, made files by the text that links them.

    `cites`: whether citations are looked for at all; where no search was at hand, such brackets are mere text.
    """

    sources: Mapping[str, Source] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
    cites: bool = False
    quote: Quote = lambda _before, _passage: ""


@dataclass(frozen=True, slots=True)
class Piece:
    """A piece of text that may go out; as a mark it has an annotation, as the message keeps it."""

    text: str
    annotation: Annotation | None = None

    def told(self, index: int) -> list[dict[str, Any]]:
        """Return the annotation as a delta has it: numbered, and without a quote (recorded)."""
        if self.annotation is None:
            return []
        told: dict[str, Any] = {"index": index, **self.annotation}
        if "file_citation" in self.annotation:
            told["file_citation"] = {"file_id": self.annotation["file_citation"]["file_id"], "quote": ""}
        return [told]


def marks_of(tool_steps: Sequence[RunStep], *, searches: bool, quote: Quote) -> Marks:
    """Collect what the tools in the context have found and made."""
    calls = [call for step in tool_steps for call in step.step_details.get("tool_calls", [])]
    found = [result for call in calls for result in _results(call)]
    made = {link: file_id for call in calls for link, file_id in call.get("files", {}).items()}
    sources = {result["label"]: _source(result) for result in found if "label" in result}
    return Marks(sources, made, searches or bool(sources), quote)


def _results(call: ToolCall) -> Sequence[Mapping[str, Any]]:
    results: Sequence[Mapping[str, Any]] = call.get("file_search", {}).get("results", [])
    return results


def _source(result: Mapping[str, Any]) -> Source:
    passage = "\n".join(part["text"] for part in result.get("content", []))
    where = {key: result[key] for key in ("vector_store_id", "chunk_id") if key in result}
    return Source(result["file_id"], passage, where)


@dataclass(frozen=True, slots=True)
class Reader:
    """Reads an answer piece by piece; `written` is what has gone out, `held` what may yet become a mark."""

    marks: Marks
    written: str = ""
    held: str = ""

    def feed(self, text: str) -> tuple["Reader", list[Piece]]:
        """Take more text in; return what may go out now."""
        if not (self.marks.cites or self.marks.files):
            return replace(self, written=self.written + text), [Piece(text)]
        return self._read(self.held + text, last=False)

    def end(self) -> tuple["Reader", list[Piece]]:
        """Let go of what was held back: no more is to come."""
        return self._read(self.held, last=True)

    def _read(self, text: str, *, last: bool) -> tuple["Reader", list[Piece]]:
        reader, pieces = replace(self, held=""), list[Piece]()
        while text:
            at, length = reader._next_mark(text, last=last)
            if at:
                reader = reader._went_out(pieces, Piece(text[:at]))
            if length is None:
                return replace(reader, held=text[at:]), pieces
            if length and (piece := reader._resolved(text[at : at + length])):
                reader = reader._went_out(pieces, piece)
            text = text[at + length :]
        return reader, pieces

    def _went_out(self, pieces: list[Piece], piece: Piece) -> "Reader":
        pieces.append(piece)
        return replace(self, written=self.written + piece.text)

    def _next_mark(self, text: str, *, last: bool) -> tuple[int, int | None]:
        """Return where the first mark begins and its length: 0 at the text's end if there is none, None if unsure."""
        found = [self._citation(text, last=last), self._file(text, last=last)]
        return min((mark for mark in found if mark is not None), default=(len(text), 0), key=lambda mark: mark[0])

    def _citation(self, text: str, *, last: bool) -> tuple[int, int | None] | None:
        if not self.marks.cites or "【" not in text:
            return None
        if whole := CITATION.search(text):
            return whole.start(), len(whole.group())
        begun = None if last else CITATION_BEGUN.search(text)
        return (begun.start(), None) if begun else None

    def _file(self, text: str, *, last: bool) -> tuple[int, int | None] | None:
        """Find the first link to a made file. Of two names of which one begins the other, the longer one counts."""
        if not self.marks.files:
            return None
        at = text.find(MADE_FILES)
        while at >= 0:
            rest = text[at:]
            if not last and any(link != rest and link.startswith(rest) for link in self.marks.files):
                return at, None
            if whole := max((link for link in self.marks.files if rest.startswith(link)), key=len, default=None):
                return at, len(whole)
            at = text.find(MADE_FILES, at + 1)
        begun = 0 if last else _overlap(text, MADE_FILES)
        return (len(text) - begun, None) if begun else None

    def _resolved(self, text: str) -> Piece | None:
        start, end = len(self.written), len(self.written) + len(text)
        if text in self.marks.files:
            made: FileReference = {"file_id": self.marks.files[text]}
            path: Annotation = {"type": "file_path", "text": text, "start_index": start, "end_index": end}
            return Piece(text, {**path, "file_path": made})
        found = CITATION.fullmatch(text)
        source = self.marks.sources.get(found.group(1)) if found else None
        if source is None:
            return None
        quote = self.marks.quote(self.written, source.passage)
        cited: FileReference = {"file_id": source.file_id, "quote": quote, **source.where}  # type: ignore[typeddict-item]  # its keys are chosen above
        cite: Annotation = {"type": "file_citation", "text": text, "start_index": start, "end_index": end}
        return Piece(text, {**cite, "file_citation": cited})


def _overlap(text: str, begun: str) -> int:
    """Return how many characters at the text's end begin `begun`."""
    return next((size for size in range(min(len(text), len(begun) - 1), 0, -1) if text.endswith(begun[:size])), 0)
