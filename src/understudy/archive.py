"""`understudy export` and `understudy import`: all that is kept, from one deployment to another, ids and all.

An archive is a folder: `tables/*.jsonl` (see `storage.archive`), `files/KEY` with the bytes of files, and last a
`manifest.json`. One that was interrupted is gone on with: what is there already is not fetched, or stored, again.
"""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TypeVar

from sqlalchemy import Connection

from understudy import __version__, adapters
from understudy.config import Settings
from understudy.errors import ConfigurationError
from understudy.files.base import FileStore, NoBytes
from understudy.files.folder import remove_others
from understudy.storage import archive, folder, migrate, pgvector
from understudy.storage.base import Store
from understudy.topology import keeps_in_file

FORMAT = 1
MANIFEST = "manifest.json"
TABLES, FILES = "tables", "files"

Say = Callable[[str], None]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Manifest:
    """What an archive holds: `tables` with their rows, and so many `files`. `made_at` is Unix time.

    `missing` names files whose rows are in it and whose bytes are not: most were deleted as it was made.
    """

    version: str
    schema: str
    made_at: int
    tables: dict[str, int]
    files: int
    format: int = FORMAT
    missing: list[str] = field(default_factory=list)


def save(settings: Settings, target: Path, say: Say) -> str:
    """Write everything into a folder, also while servers serve; return a line about it. Raises ConfigurationError."""
    if (target / MANIFEST).exists():
        raise ConfigurationError(f"{target} is an archive already; give another folder")
    if (target / FILES).exists() and not (target / TABLES).exists():  # a server's own, say, which is not to be tidied
        raise ConfigurationError(f"{target} has a folder {FILES} that is no export's; give another folder")
    try:
        for part in (TABLES, FILES):
            (target / part).mkdir(parents=True, exist_ok=True)
        made = asyncio.run(_with_store(settings, lambda store: _save(settings, store, target, say)))
    except OSError as problem:
        raise ConfigurationError(f"{target} cannot be written to: {problem.strerror or problem}") from None
    gone = f"; files whose bytes were gone at their turn: {len(made.missing):,}" if made.missing else ""
    return f"{target} holds everything{gone}"


async def _save(settings: Settings, store: Store, target: Path, say: Say) -> Manifest:
    def rows(name: str, count: int) -> None:
        say(f"{name}: {count:,} rows")

    def write(connection: Connection) -> tuple[dict[str, int], list[str]]:
        """Of one moment, so that whatever a row wants is either there or noted as missing."""
        return archive.write(connection, target / TABLES, rows), archive.keys_of_bytes(connection)

    counts, keys = await store.read(write)
    remove_others(target / FILES, set(keys))  # of an export that was interrupted: they were deleted since
    source, kept, missing = adapters.file_store_of(settings), adapters.folder_of_files(target / FILES), []
    for number, key in enumerate(keys, 1):
        if await _copied(key, source, kept, anew=False):
            say(f"file {number:,} of {len(keys):,}: {key}")
        else:
            missing.append(key)
            say(f"file {number:,} of {len(keys):,}: {key} is gone; it was deleted, or somebody has removed its bytes")
    made = Manifest(__version__, migrate.head(), int(time.time()), counts, len(keys) - len(missing), missing=missing)
    (target / MANIFEST).write_text(json.dumps(asdict(made), indent=2) + "\n", encoding="utf-8")
    return made


async def _copied(key: str, source: FileStore, target: FileStore, *, anew: bool) -> bool:
    """Copy what lies under a key, `anew` or if it is not there yet; False if nothing lies there any more."""
    if not anew and await target.has(key):
        return True
    try:
        pieces = await source.get(key)
    except NoBytes:
        return False
    await target.put(key, pieces)
    return True


def load(settings: Settings, source: Path, say: Say, *, resume: bool) -> str:
    """Read an archive into a deployment that holds nothing yet, or, to `resume`, part of it; return a line about it.

    Raises ConfigurationError. No server may run on it meanwhile: it would begin to work on what is not all there.
    """
    made = _manifest(source)
    with _alone(settings):
        try:
            asyncio.run(_with_store(settings, lambda store: _load(settings, store, source, made, say, resume=resume)))
        except (OSError, ValueError, KeyError) as problem:
            raise ConfigurationError(f"{source} cannot be read: {problem}") from None
    for key in made.missing:
        say(f"{key} has no bytes in {source}: they were gone when it was made")
    gone = f"; files that came without their bytes: {len(made.missing):,}" if made.missing else ""
    return f"all of {source} is there{gone}"


async def _load(settings: Settings, store: Store, source: Path, made: Manifest, say: Say, *, resume: bool) -> None:
    if not resume and not await store.read(archive.is_empty):
        raise ConfigurationError("there is something in the database already; --resume goes on with an import")
    keywords, done = adapters.keywords_of(settings), dict.fromkeys(made.tables, 0)
    for name, rows in archive.batches(source / TABLES, made.tables):
        await store.write(lambda connection, name=name, rows=rows: archive.read(connection, name, rows, keywords))  # type: ignore[misc]  # all three are bound
        done[name] += len(rows)
        say(f"{name}: {done[name]:,} of {made.tables[name]:,} rows")
    await store.write(archive.count_on)
    while await store.write(pgvector.fill):
        pass
    await _load_files(settings, source, say, resume=resume)


async def _load_files(settings: Settings, source: Path, say: Say, *, resume: bool) -> None:
    kept, file_store = adapters.folder_of_files(source / FILES), adapters.file_store_of(settings)
    keys = sorted(path.name for path in (source / FILES).iterdir())
    for number, key in enumerate(keys, 1):
        await _copied(key, kept, file_store, anew=not resume)
        say(f"file {number:,} of {len(keys):,}: {key}")


def _manifest(source: Path) -> Manifest:
    try:
        found = json.loads((source / MANIFEST).read_text(encoding="utf-8"))
        made = Manifest(**found)
    except (OSError, ValueError, TypeError):
        raise ConfigurationError(f"{source} is no archive, or not a whole one: it has no readable {MANIFEST}") from None
    if made.format != FORMAT:
        raise ConfigurationError(f"{source} has format {made.format}; this version reads format {FORMAT}")
    if made.schema != migrate.head():
        raise ConfigurationError(
            f"{source} holds schema {made.schema}, and this version has {migrate.head()}; export and import with one"
        )
    return made


async def _with_store(settings: Settings, work: Callable[[Store], Awaitable[T]]) -> T:
    store = adapters.store_of(settings)
    try:
        await store.open()
        return await work(store)
    finally:
        await store.close()


def _alone(settings: Settings) -> AbstractContextManager[None]:
    if not keeps_in_file(settings):
        return nullcontext()
    return folder.held(settings.data_dir, Path(settings.database_url.removeprefix("sqlite:///")))
