"""What an envelope's message names in lists of its own, to stand behind its text: passages and files.

A model that is too small to copy a mark or a link into its prose can still choose it from a list. Pure.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import takewhile

from understudy.inference.base import ChatMessage
from understudy.inference.images import plain
from understudy.protocol.annotations import CITATION, MADE_FILES

_MAX_SOURCES = 20
_MAX_FILES = 20
_MADE = re.compile(r"^\[Files made: (.*)\]$", re.M)
_BETWEEN = re.compile(rf", (?={re.escape(MADE_FILES)})")


@dataclass(frozen=True, slots=True)
class Appendix:
    """`text` is put behind a message that does not have `sign` in it."""

    sign: str
    text: str


@dataclass(frozen=True, slots=True)
class Choices:
    """What a message may name: passages by their labels, files by their links."""

    sources: Mapping[str, Appendix] = field(default_factory=dict)
    files: Mapping[str, Appendix] = field(default_factory=dict)

    def of(self, kind: str, name: str) -> Appendix | None:
        """Return what was named in a list of the message, if it could be."""
        return (self.sources if kind == "sources" else self.files).get(name)


def choices(messages: Sequence[ChatMessage]) -> Choices:
    """Return what there is to name: passages that the model was ever given, files made since the user spoke last."""
    outputs = _outputs(messages)
    marks = {found.group(1): found.group() for output in outputs for found in CITATION.finditer(output)}
    latest = list(takewhile(lambda message: message["role"] != "user", reversed(messages)))
    links = dict.fromkeys(link for output in _outputs(latest[::-1]) for link in _links(output))
    return Choices(
        {name: Appendix(mark, mark) for name, mark in list(marks.items())[-_MAX_SOURCES:]},
        {link: Appendix(link, f"\n[{link.rpartition('/')[2]}]({link})") for link in list(links)[-_MAX_FILES:]},
    )


def _outputs(messages: Sequence[ChatMessage]) -> list[str]:
    return [plain(message.get("content")) for message in messages if message["role"] == "tool"]


def _links(output: str) -> Iterator[str]:
    """Yield the links that the code interpreter's output ends with."""
    for found in _MADE.finditer(output):
        yield from (link for link in _BETWEEN.split(found.group(1)) if link.startswith(MADE_FILES))
