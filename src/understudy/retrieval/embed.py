"""The port to what turns text into vectors: near vectors, near meanings, across languages."""

from collections.abc import Sequence
from typing import Protocol


class Embedder(Protocol):
    """Makes vectors of length 1, so that a product of two is their cosine."""

    @property
    def name(self) -> str:
        """Which vectors these are, with the version: those of different names cannot be compared."""
        ...

    async def embed(self, texts: Sequence[str], *, urgent: bool = False) -> list[bytes]:
        """Return a vector for each text: little-endian float32. Raises Unavailable.

        Somebody waits for the `urgent` ones (a query): they go before the others.
        """
        ...

    async def aclose(self) -> None:
        """Let go of processes and connections."""
        ...
