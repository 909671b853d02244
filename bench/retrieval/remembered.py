"""An embedder that does no text twice, between runs of the bench too: 10 MB of text take two minutes."""

import hashlib
import sqlite3
from collections.abc import Sequence
from pathlib import Path

from understudy.retrieval.embed import Embedder


class Remembered:
    """An Embedder that asks another one for what it does not have in its file. Queries are always asked for."""

    def __init__(self, embedder: Embedder, file: Path) -> None:
        self._embedder = embedder
        self._kept = sqlite3.connect(file, isolation_level=None)
        self._kept.execute("PRAGMA synchronous=OFF")
        self._kept.execute("CREATE TABLE IF NOT EXISTS vectors (hash BLOB PRIMARY KEY, vector BLOB) WITHOUT ROWID")

    @property
    def name(self) -> str:
        return self._embedder.name

    async def embed(self, texts: Sequence[str], *, urgent: bool = False) -> list[bytes]:
        if urgent:
            return await self._embedder.embed(texts, urgent=True)
        hashes = [hashlib.sha256(f"{self.name}\n{text}".encode()).digest() for text in texts]
        found = {one: self._find(one) for one in hashes}
        missing = {one: text for one, text in zip(hashes, texts, strict=True) if found[one] is None}
        made = await self._embedder.embed(list(missing.values()))
        new = dict(zip(missing, made, strict=True))
        self._kept.executemany("INSERT OR REPLACE INTO vectors VALUES (?, ?)", new.items())
        return [found[one] or new[one] for one in hashes]

    async def aclose(self) -> None:
        self._kept.close()
        await self._embedder.aclose()

    def _find(self, key: bytes) -> bytes | None:
        row = self._kept.execute("SELECT vector FROM vectors WHERE hash = ?", (key,)).fetchone()
        return None if row is None else bytes(row[0])
