"""The local folder of a file store, as backups see it: copies of what lies under keys, each with its sha256."""

import hashlib
import os
import re
from collections.abc import Collection, Iterable
from pathlib import Path
from urllib.parse import unquote, urlsplit

from understudy.ids import PREFIXES

_PIECE = 1024 * 1024
_OURS = re.compile(rf"({PREFIXES['file']}-|{PREFIXES['part']}_)\w+(#\d+|\.half)?")
"""What lies under a key, is on its way there, or was being copied."""


def local_folder(url: str) -> Path | None:
    """Return the folder of a `file://` URL; None for a store that lies elsewhere."""
    parts = urlsplit(url)
    return Path(unquote(parts.path)) if parts.scheme == "file" else None


class Copies:
    """Copies out of one folder into another. What lies under a key never changes, so one copy is enough."""

    def __init__(self, source: Path, target: Path) -> None:
        self._source = source
        self._target = target
        self.sha256: dict[str, str] = {}

    def take(self, keys: Iterable[str]) -> list[str]:
        """Copy what is not copied yet; return the keys under which nothing lies. Raises OSError."""
        self._target.mkdir(parents=True, exist_ok=True)
        missing = []
        for key in keys:
            if key in self.sha256:
                continue
            try:
                self.sha256[key] = _copied(self._source / key, self._target / key)
            except FileNotFoundError:
                missing.append(key)
        return missing

    def drop_others(self, keys: Collection[str]) -> None:
        """Remove copies of what is under none of the keys."""
        for key in self.sha256.keys() - set(keys):
            (self._target / key).unlink()
            del self.sha256[key]


def remove_others(folder: Path, keys: Collection[str]) -> None:
    """Remove all that a file store, or copying from one, left in a folder, but for what is under the keys.

    Other files stay.
    """
    for file in folder.iterdir() if folder.is_dir() else ():
        if file.name not in keys and _OURS.fullmatch(file.name):
            file.unlink()


def _copied(source: Path, target: Path) -> str:
    """Copy a file; it gets its name when it is whole and on the disk. Return its sha256."""
    digest, half = hashlib.sha256(), target.with_name(f"{target.name}.half")
    with source.open("rb") as reading, half.open("wb") as writing:
        while piece := reading.read(_PIECE):
            digest.update(piece)
            writing.write(piece)
        writing.flush()
        os.fsync(writing.fileno())
    half.replace(target)
    return digest.hexdigest()
