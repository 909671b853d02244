"""The port to the bytes of files. Rows say whose they are; the store only keeps them.

Keys are ids of ours, never anything that a client wrote: a file's name is data, not a path.
"""

from collections.abc import AsyncIterator, Sequence
from typing import Protocol

from understudy.errors import Unavailable


class FileFault(Unavailable):
    """Bytes could not be read or written. The message says why, as far as that is known, and how to mend it."""


class NoBytes(FileFault):
    """Nothing lies under a key, though a row says that something should."""

    def __init__(self, key: str) -> None:
        super().__init__(f"The bytes of {key} are gone from the file store: somebody has removed them there.")
        self.key = key


class FileStore(Protocol):
    """Keeps bytes under keys. Nothing is held whole in memory, however large."""

    async def put(self, key: str, chunks: AsyncIterator[bytes]) -> int:
        """Keep what comes, and return its size in bytes. All or nothing: if `chunks` raises, nothing lies there.

        What lay under the key before is replaced. Raises FileFault.
        """
        ...

    async def get(self, key: str) -> AsyncIterator[bytes]:
        """Open what lies under a key; its bytes come in pieces. Raises NoBytes, FileFault."""
        ...

    async def has(self, key: str) -> bool:
        """Tell whether something lies under a key: then it is whole. Raises FileFault."""
        ...

    async def delete(self, key: str) -> None:
        """Remove what lies under a key, if anything does. Raises FileFault."""
        ...

    async def join(self, key: str, keys: Sequence[str]) -> int:
        """Put what lies under `keys`, one after the other, under `key`; return its size. Raises as `put` and `get`."""
        ...

    async def tidy(self, older_than_s: float) -> int:
        """Remove what puts that were killed midway have left; return how many that were. Raises FileFault.

        Only what has not grown for so many seconds: others may be at work.
        """
        ...


async def chained(store: FileStore, keys: Sequence[str]) -> AsyncIterator[bytes]:
    """Yield the bytes under several keys, one after the other."""
    for key in keys:
        async for chunk in await store.get(key):
            yield chunk
