"""The session's folder, seen from inside: files put there, files read out, and which have changed.

Functions are taken by name at the start: code that puts its own into `os` does not reach these.
"""

import stat
from contextlib import suppress
from os import (
    O_APPEND,
    O_CREAT,
    O_EXCL,
    O_NOFOLLOW,
    O_NONBLOCK,
    O_RDONLY,
    O_WRONLY,
    close,
    fstat,
    pread,
    scandir,
    stat_result,
    unlink,
    write,
)
from os import open as open_file
from os import stat as stat_of
from os import symlink as link

_MAX_DEPTH = 4
_MAX_ENTRIES = 5_000
_SKIPPED = ("__pycache__",)

Stamp = tuple[int, int, int]


class Folder:
    """Names are paths below the folder; `path` is absolute, since code may change where it is."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._known: dict[str, Stamp] = {}

    def put(self, name: str, also: list[str], content: bytes | bytearray, *, first: bool) -> None:
        """Write a file's first piece, or append one. Raises OSError; then no part of the file is left."""
        path = self._below(name)
        try:
            if first:
                self._remove(name)
            flags = O_WRONLY | O_NOFOLLOW | O_APPEND | (O_CREAT | O_EXCL if first else 0)
            file = open_file(path, flags, 0o644)
            try:
                view = memoryview(content)
                while view:
                    view = view[write(file, view) :]
            finally:
                close(file)
            for other in also:
                self._remove(other)
                link(name, self._below(other))
        except OSError:
            self._remove(name)
            raise
        self._known[name] = _stamp(stat_of(path))

    def piece(self, name: str, offset: int, size: int) -> bytes:
        """Return a piece of a regular file. Raises OSError."""
        file = open_file(self._below(name), O_RDONLY | O_NONBLOCK)
        try:
            if not stat.S_ISREG(fstat(file).st_mode):
                raise FileNotFoundError(name)
            return pread(file, size, offset)
        finally:
            close(file)

    def changed(self, most: int) -> tuple[list[tuple[str, int]], bool]:
        """Return names and sizes of the regular files that are not as they were, and whether there are more."""
        now: dict[str, Stamp] = {}
        whole = self._walk("", now, 0)
        found = [(name, stamp[0]) for name, stamp in now.items() if self._known.get(name) != stamp]
        self._known = now
        return found[:most], len(found) > most or not whole

    def _walk(self, below: str, found: dict[str, Stamp], depth: int) -> bool:
        with suppress(OSError), scandir(self._below(below) if below else self._path) as entries:
            for entry in entries:
                if len(found) >= _MAX_ENTRIES:
                    return False
                name = f"{below}/{entry.name}" if below else entry.name
                if entry.name.startswith(".") or entry.name in _SKIPPED:
                    continue
                if entry.is_dir(follow_symlinks=False):
                    if depth + 1 < _MAX_DEPTH and not self._walk(name, found, depth + 1):
                        return False
                elif entry.is_file(follow_symlinks=False):
                    found[name] = _stamp(entry.stat(follow_symlinks=False))
        return True

    def _below(self, name: str) -> str:
        return f"{self._path}/{name}"

    def _remove(self, name: str) -> None:
        with suppress(FileNotFoundError):
            unlink(self._below(name))


def _stamp(status: stat_result) -> Stamp:
    return status.st_size, status.st_mtime_ns, status.st_ino
