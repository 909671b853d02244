"""Quotes for the citations of a message that is whole: to choose them may take a look at what is meant.

What letters alone tell is in the annotations from the beginning (`annotate.py`).
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace

from understudy.engine.annotate import Marks
from understudy.engine.assemble import Draft
from understudy.inference.base import Delta, Finished, ToolCallDelta
from understudy.protocol.annotations import CITATION, Annotation

Support = Callable[[str, str], Awaitable[str]]
"""From the text before a citation and the passage it cites: the sentence of the passage that bears it out."""


def ends_message(draft: Draft, delta: Delta) -> bool:
    """Tell whether a delta is the first after the message's text."""
    ends = isinstance(delta, Finished) or (isinstance(delta, ToolCallDelta) and draft.calls_step is None)
    return ends and draft.message is not None


async def supported(draft: Draft, support: Support) -> Draft:
    """Return the draft with each citation's quote chosen anew, all at once."""
    chosen = await asyncio.gather(*(_supported(draft, one, support) for one in draft.annotations))
    return replace(draft, annotations=tuple(chosen))


async def _supported(draft: Draft, annotation: Annotation, support: Support) -> Annotation:
    passage = _passage(draft.reader.marks, annotation)
    if passage is None:
        return annotation
    quote = await support(draft.text[: annotation["start_index"]], passage)
    return {**annotation, "file_citation": {**annotation["file_citation"], "quote": quote}}


def _passage(marks: Marks, annotation: Annotation) -> str | None:
    found = CITATION.fullmatch(annotation["text"])
    source = marks.sources.get(found.group(1)) if found and "file_citation" in annotation else None
    return None if source is None else source.passage
