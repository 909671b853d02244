"""Marks in an answer's text: citations (`【4:0†name】`) and links to made files (`sandbox:/mnt/data/name`).

A citation's first number is the place of the search in the thread, its second the place of the passage in the search's
results. Source: behaviours.md, section 4. Nothing else in these brackets is a mark: Chinese and Japanese prose uses
them too.
"""

import re
from typing import (
    Literal,
    NotRequired,  # pydantic wants this one before Python 3.12
)

from typing_extensions import TypedDict

MAX_NAME = 255
MADE_FILES = "sandbox:/mnt/data/"
CITATION = re.compile(rf"【(\d{{1,9}}:\d{{1,9}})†[^】]{{0,{MAX_NAME}}}】")
CITATION_BEGUN = re.compile(rf"【(?:\d{{1,9}}(?::(?:\d{{1,9}}(?:†[^】]{{0,{MAX_NAME}}})?)?)?)?\Z")
"""A text's end that may become a citation."""


class FileReference(TypedDict):
    """The file that a mark points to; for a citation, also the sentence that supports it and where its passage is."""

    file_id: str
    quote: NotRequired[str]
    vector_store_id: NotRequired[str]
    chunk_id: NotRequired[str]


class Annotation(TypedDict):
    """A citation or a link to a made file; offsets are characters of the text, the end exclusive."""

    type: Literal["file_citation", "file_path"]
    text: str
    start_index: int
    end_index: int
    file_citation: NotRequired[FileReference]
    file_path: NotRequired[FileReference]


def label(place: int, result: int) -> str:
    """Return what a citation begins with, by which it is found again."""
    return f"{place}:{result}"


def mark(labelled: str, name: str) -> str:
    """Return a citation's mark, for the model to copy."""
    return f"【{labelled}†{name.replace('】', ']')[:MAX_NAME]}】"


def without_marks(passage: str) -> str:
    """Make what looks like a citation harmless: a document must not forge one."""
    return CITATION.sub(lambda found: f"[{found.group()[1:-1]}]", passage)
