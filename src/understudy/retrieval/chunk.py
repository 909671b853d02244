"""Cut a document into the pieces that are searched."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Static:
    """Pieces of just so many tokens, each sharing the given number with the piece before it. Validated by `protocol`."""

    max_chunk_size_tokens: int = 800
    chunk_overlap_tokens: int = 400


@dataclass(frozen=True, slots=True)
class Auto:
    """Pieces of at most 800 tokens that follow the document's structure."""


Strategy = Auto | Static
