"""Copies of what a server keeps: made while it serves, put back while it does not.

A backup is a folder: the database in one consistent file, the bytes of uploaded files beside it, and a manifest written
before the folder gets its name, so a backup that has its name is whole. The database's moment counts: bytes are copied
before it, as far as they are there, and after it those that came meanwhile.
"""

import hashlib
import json
import os
import shutil
import sqlite3
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Protocol

from understudy import __version__
from understudy.errors import ConfigurationError
from understudy.storage import migrate

MANIFEST = "manifest.json"
DATABASE = "database.sqlite3"
BYTES = "files"
"""The folder in a backup."""
FORMAT = 1
_PIECE = 1024 * 1024
_BUSY_S = 30


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a backup is: `files` gives each file's sha256.

    `missing` names files whose rows are in it and whose bytes are not: they were deleted as it was made.
    """

    version: str
    schema: str
    made_at: int
    files: dict[str, str]
    format: int = FORMAT
    missing: list[str] = field(default_factory=list)


class ByteCopies(Protocol):
    """Copies of the bytes of files, in a folder of the backup."""

    sha256: dict[str, str]

    def take(self, keys: Iterable[str]) -> list[str]:
        """Copy what is not copied yet; return the keys under which nothing lies. Raises OSError."""
        ...

    def drop_others(self, keys: Collection[str]) -> None:
        """Remove copies of what is under none of the keys."""
        ...


def save(database: Path, target: Path, copies_in: Callable[[Path], ByteCopies] | None = None) -> Manifest:
    """Copy a database, served or not, into a new folder; bytes as well, if they can be. Raises ConfigurationError."""
    if not database.exists():
        raise ConfigurationError(f"there is nothing to back up: {database} does not exist")
    if target.exists():
        raise ConfigurationError(f"{target} exists already; give a backup a name of its own")
    half = target.with_name(f".{target.name}.{os.getpid()}.half")
    try:
        with told(f"{database} cannot be backed up to {target}"):
            half.mkdir(parents=True)
            made = _fill(half, database, copies_in(half / BYTES) if copies_in else None)
            _write_through(half / MANIFEST, json.dumps(asdict(made), indent=2) + "\n")
            half.rename(target)
    finally:
        shutil.rmtree(half, ignore_errors=True)
    return made


def _fill(half: Path, database: Path, copies: ByteCopies | None) -> Manifest:
    if copies is not None:
        copies.take(_keys(database))
    _copy(database, half / DATABASE)
    files, missing = {DATABASE: _sha256(half / DATABASE)}, []
    if copies is not None:
        keys = _keys(half / DATABASE)
        missing = copies.take(keys)
        copies.drop_others(keys)
        files |= {f"{BYTES}/{key}": digest for key, digest in sorted(copies.sha256.items())}
    return Manifest(__version__, _schema(half / DATABASE), int(time.time()), files, missing=missing)


def _keys(database: Path) -> list[str]:
    """Return the keys of all bytes that rows own; none for a database of the time before files."""
    uri = f"{database.absolute().as_uri()}?mode=rw"
    with closing(sqlite3.connect(uri, uri=True, timeout=_BUSY_S)) as connection:
        tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        if "upload_parts" not in tables:
            return []
        owned = "SELECT id FROM files WHERE NOT deleted UNION ALL SELECT id FROM upload_parts"
        return [key for (key,) in connection.execute(owned)]


def check_for(source: Path, database: Path, *, force: bool) -> Manifest:
    """Check a backup that is to replace a database. Raises ConfigurationError."""
    if database.exists() and not force:
        raise ConfigurationError(f"{database} exists already; --force puts the backup in its place")
    return check(source)


def restore(source: Path, database: Path) -> None:
    """Put a checked backup in the place of a database that no server has open. Raises ConfigurationError."""
    with told(f"{source} cannot be restored"):
        fresh = database.with_name(f"{database.name}.restoring")
        shutil.copyfile(source / DATABASE, fresh)
        with fresh.open("rb") as file:
            os.fsync(file.fileno())
        for leftover in ("-wal", "-shm"):  # they belong to the database that goes
            database.with_name(database.name + leftover).unlink(missing_ok=True)
        fresh.replace(database)


def check(source: Path) -> Manifest:
    """Read a backup's manifest and compare its files with it. Raises ConfigurationError."""
    try:
        found = json.loads((source / MANIFEST).read_text(encoding="utf-8"))
        if found["format"] != FORMAT:
            raise ConfigurationError(f"{source} has format {found['format']}; this version restores format {FORMAT}")
        made = Manifest(**found)
    except (OSError, ValueError, TypeError, KeyError):
        raise ConfigurationError(f"{source} is no backup: it has no readable {MANIFEST}") from None
    migrate.refuse_newer(made.schema)
    for name, expected in made.files.items():
        with told(f"{source} is not whole"):
            if _sha256(source / name) != expected:
                raise ConfigurationError(f"{source} is damaged: {name} is not the file that the manifest names")
    return made


def _copy(database: Path, target: Path) -> None:
    """Copy in one read transaction: the writer goes on meanwhile, and what it commits is not in the copy."""
    with (
        closing(sqlite3.connect(f"{database.absolute().as_uri()}?mode=rw", uri=True, timeout=_BUSY_S)) as source,
        closing(sqlite3.connect(target)) as copy,
    ):
        source.backup(copy)
        copy.execute("PRAGMA journal_mode=DELETE")
        (trouble,) = copy.execute("PRAGMA quick_check(1)").fetchone()
    if trouble != "ok":
        raise ConfigurationError(f"{database} is damaged ({trouble}), so no backup was made; an older one may be whole")


def _schema(database: Path) -> str:
    with closing(sqlite3.connect(database)) as connection:
        return str(connection.execute("SELECT version_num FROM alembic_version").fetchone()[0])


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(_PIECE):
            digest.update(piece)
        os.fsync(file.fileno())
    return digest.hexdigest()


def _write_through(path: Path, text: str) -> None:
    with path.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


@contextmanager
def told(what: str) -> Iterator[None]:
    """Turn what goes wrong with files and databases into a ConfigurationError."""
    try:
        yield
    except (OSError, sqlite3.Error) as problem:
        words = problem.strerror if isinstance(problem, OSError) else str(problem)
        raise ConfigurationError(f"{what}: {words or problem}") from None
