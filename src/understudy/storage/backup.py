"""Copies of what a server keeps: made while it serves, put back while it does not.

A backup is a folder: the database in one consistent file, and a manifest written before the folder gets its name, so a
backup that has its name is whole. The bytes of uploaded files will lie in it beside the database.
"""

import hashlib
import json
import os
import shutil
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from understudy import __version__
from understudy.errors import ConfigurationError
from understudy.storage import migrate

MANIFEST = "manifest.json"
DATABASE = "database.sqlite3"
FORMAT = 1
_PIECE = 1024 * 1024
_BUSY_S = 30


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a backup is: `files` gives each file's sha256."""

    version: str
    schema: str
    made_at: int
    files: dict[str, str]
    format: int = FORMAT


def save(database: Path, target: Path) -> Manifest:
    """Copy a database, served or not, into a new folder. Raises ConfigurationError."""
    if not database.exists():
        raise ConfigurationError(f"there is nothing to back up: {database} does not exist")
    if target.exists():
        raise ConfigurationError(f"{target} exists already; give a backup a name of its own")
    half = target.with_name(f".{target.name}.{os.getpid()}.half")
    try:
        with _told(f"{database} cannot be backed up to {target}"):
            half.mkdir(parents=True)
            _copy(database, half / DATABASE)
            schema = _schema(half / DATABASE)
            made = Manifest(__version__, schema, int(time.time()), {DATABASE: _sha256(half / DATABASE)})
            _write_through(half / MANIFEST, json.dumps(asdict(made), indent=2) + "\n")
            half.rename(target)
    finally:
        shutil.rmtree(half, ignore_errors=True)
    return made


def restore(source: Path, database: Path, *, force: bool) -> Manifest:
    """Put a backup in the place of a database that no server has open. Raises ConfigurationError."""
    if database.exists() and not force:
        raise ConfigurationError(f"{database} exists already; --force puts the backup in its place")
    made = check(source)
    with _told(f"{source} cannot be restored"):
        fresh = database.with_name(f"{database.name}.restoring")
        shutil.copyfile(source / DATABASE, fresh)
        with fresh.open("rb") as file:
            os.fsync(file.fileno())
        for leftover in ("-wal", "-shm"):  # they belong to the database that goes
            database.with_name(database.name + leftover).unlink(missing_ok=True)
        fresh.replace(database)
    return made


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
        with _told(f"{source} is not whole"):
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
def _told(what: str) -> Iterator[None]:
    try:
        yield
    except (OSError, sqlite3.Error) as problem:
        words = problem.strerror if isinstance(problem, OSError) else str(problem)
        raise ConfigurationError(f"{what}: {words or problem}") from None
