"""Exact search for the nearest vectors: every vector of a store is compared, so nothing near is missed.

The vectors of stores that were searched lately stay in memory, up to a bound; those of a store that is larger than
that are read anew for each search, a piece at a time. What is in memory is brought up to date at each search, by the
store's generation as the same transaction sees it.
"""

import os
import threading
from collections import Counter, OrderedDict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection

from understudy.storage import vectors
from understudy.storage.search import IndexedStore

if TYPE_CHECKING:
    import numpy as np

    Floats = np.ndarray[Any, np.dtype[np.float32]]
    Keys = np.ndarray[Any, np.dtype[np.int64]]

MiB = 1024 * 1024
BLOCKS_AT_ONCE = 64
"""Read in one query: 8 MiB of vectors of 512 numbers."""

_MOST_PARTS = 8  # of one store: each change adds one, and each takes a product of its own


@dataclass(frozen=True, slots=True)
class _Part:
    """Some vectors: a row each, with the key of its chunk and the number of its block."""

    keys: "Keys"
    blocks: "Keys"
    rows: "Floats"

    @property
    def size(self) -> int:
        return int(self.rows.nbytes + self.keys.nbytes + self.blocks.nbytes)


@dataclass(frozen=True, slots=True)
class _Loaded:
    """A store in memory, as it was at a generation; `files` tells each block's file."""

    project: str
    generation: int
    embedder: str
    files: dict[int, str]
    parts: tuple[_Part, ...]

    @property
    def size(self) -> int:
        return sum(part.size for part in self.parts)


class Nearest:
    """A VectorIndex over the blocks of `vectors`, exact, on the processor."""

    def __init__(self, max_bytes: int = 512 * MiB) -> None:
        """`max_bytes` bounds what stays in memory between searches, of all stores together."""
        # Read when numpy is first imported. Products here wait for memory, not for processors; more threads only take
        # buffers of 30 MB each, and wait for each other on a busy machine.
        os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
        self._max_bytes = max_bytes
        self._loaded: OrderedDict[int, _Loaded] = OrderedDict()
        self._lock = threading.Lock()

    @property
    def bytes_in_memory(self) -> int:
        """Return how much the vectors in memory take."""
        with self._lock:
            return sum(loaded.size for loaded in self._loaded.values())

    def find(
        self,
        connection: Connection,
        store: IndexedStore,
        embedder: str,
        queries: Sequence[bytes],
        limit: int,
        files: Collection[str] | None = None,
    ) -> list[dict[int, float]]:
        """See `search.VectorIndex`."""
        best: list[dict[int, float]] = [{} for _ in queries]
        for part, of_block in self._parts(connection, store, embedder):
            shown = part if files is None else _of_files(part, of_block, frozenset(files))
            for number, cosines in enumerate(_cosines(shown, queries)):
                best[number] = _first(best[number] | _top(shown.keys, cosines, limit), limit)
        return best

    def cosines(
        self,
        connection: Connection,
        store: IndexedStore,
        embedder: str,
        queries: Sequence[bytes],
        keys: Collection[int],
    ) -> list[dict[int, float]]:
        """See `search.VectorIndex`."""
        import numpy as np

        wanted = np.fromiter(keys, dtype=np.int64, count=len(keys))
        found: list[dict[int, float]] = [{} for _ in queries]
        for part, _ in self._parts(connection, store, embedder):
            here = _select(part, np.isin(part.keys, wanted))
            for known, cosines in zip(found, _cosines(here, queries), strict=True):
                known.update(zip(here.keys.tolist(), cosines.tolist(), strict=True))
        return found

    # --- what is in memory -------------------------------------------------------------------------------------------

    def _parts(
        self, connection: Connection, store: IndexedStore, embedder: str
    ) -> Iterator[tuple[_Part, dict[int, str]]]:
        """Yield all vectors of a store; each part comes with the files of its blocks."""
        known = self._known(store, embedder)
        if known is None or known.generation < store.generation:
            blocks = vectors.blocks(connection, store.vector_store_id, embedder)
            if sum(block.size for block in blocks) > self._max_bytes:
                files = {block.id: block.file_id for block in blocks}
                yield from ((part, files) for part in _read(connection, blocks))
                return
            known = self._keep(store, _loaded(connection, store, embedder, blocks, known))
        yield from ((part, known.files) for part in known.parts)

    def _known(self, store: IndexedStore, embedder: str) -> _Loaded | None:
        with self._lock:
            known = self._loaded.get(store.number)
            if known is None or known.embedder != embedder:
                return None
            self._loaded.move_to_end(store.number)
            return known

    def _keep(self, store: IndexedStore, loaded: _Loaded) -> _Loaded:
        with self._lock:
            self._loaded[store.number] = loaded
            self._loaded.move_to_end(store.number)
            while sum(other.size for other in self._loaded.values()) > self._max_bytes:
                del self._loaded[self._first_to_go()]
        return loaded

    def _first_to_go(self) -> int:
        """Name the store that was not searched for longest, of the project that takes most: others keep theirs."""
        taken = Counter[str]()
        for loaded in self._loaded.values():
            taken[loaded.project] += loaded.size
        [(greatest, _)] = taken.most_common(1)
        return next(number for number, loaded in self._loaded.items() if loaded.project == greatest)


# --- reading ---------------------------------------------------------------------------------------------------------


def _loaded(
    connection: Connection, store: IndexedStore, embedder: str, blocks: Sequence[vectors.Block], known: _Loaded | None
) -> _Loaded:
    """Bring a store into memory, or what is there up to date."""
    files = {block.id: block.file_id for block in blocks}
    parts: list[_Part] = []
    there: set[int] = set()
    if known is not None:
        there = files.keys() & known.files.keys()
        parts = list(known.parts) if there == known.files.keys() else [_of_blocks(part, there) for part in known.parts]
    parts += _read(connection, [block for block in blocks if block.id not in there])
    parts = [part for part in parts if len(part.keys)]
    if len(parts) > _MOST_PARTS:
        parts = [_joined(parts)]
    return _Loaded(store.project, store.generation, embedder, files, tuple(parts))


def _read(connection: Connection, blocks: Sequence[vectors.Block]) -> Iterator[_Part]:
    import numpy as np

    for start in range(0, len(blocks), BLOCKS_AT_ONCE):
        ids = [block.id for block in blocks[start : start + BLOCKS_AT_ONCE]]
        rows = vectors.read(connection, ids)
        keys = [np.frombuffer(keys, dtype="<i8") for _, keys, _ in rows]
        lengths = [len(some) for some in keys]
        together = np.frombuffer(b"".join(floats for _, _, floats in rows), dtype="<f4")
        yield _Part(
            keys=np.concatenate(keys),
            blocks=np.repeat(np.array([block for block, _, _ in rows], dtype=np.int64), lengths),
            rows=together.reshape(sum(lengths), -1),
        )


def _joined(parts: Sequence[_Part]) -> _Part:
    import numpy as np

    return _Part(
        np.concatenate([part.keys for part in parts]),
        np.concatenate([part.blocks for part in parts]),
        np.concatenate([part.rows for part in parts]),
    )


# --- choosing --------------------------------------------------------------------------------------------------------


def _select(part: _Part, mask: Any) -> _Part:
    return part if mask.all() else _Part(part.keys[mask], part.blocks[mask], part.rows[mask])


def _of_blocks(part: _Part, ids: Collection[int]) -> _Part:
    import numpy as np

    return _select(part, np.isin(part.blocks, np.fromiter(ids, dtype=np.int64, count=len(ids))))


def _of_files(part: _Part, of_block: dict[int, str], files: frozenset[str]) -> _Part:
    return _of_blocks(part, [block for block, file_id in of_block.items() if file_id in files])


def _cosines(part: _Part, queries: Sequence[bytes]) -> "Floats":
    """Return a row of cosines for each query."""
    import numpy as np

    asked = np.frombuffer(b"".join(queries), dtype="<f4").reshape(len(queries), -1)
    found: Floats = (part.rows @ asked.T).T
    return found


def _top(keys: "Keys", cosines: "Floats", limit: int) -> dict[int, float]:
    import numpy as np

    if len(keys) > limit:
        places = np.argpartition(cosines, -limit)[-limit:]
        keys, cosines = keys[places], cosines[places]
    return dict(zip(keys.tolist(), cosines.tolist(), strict=True))


def _first(found: dict[int, float], limit: int) -> dict[int, float]:
    return dict(sorted(found.items(), key=lambda item: (-item[1], item[0]))[:limit])
