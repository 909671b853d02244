"""`understudy backup` and `understudy restore`."""

from pathlib import Path

from understudy.config import Settings
from understudy.errors import ConfigurationError
from understudy.files.folder import Copies, local_folder, remove_others
from understudy.storage import backup, folder
from understudy.topology import keeps_in_file


def save(settings: Settings, target: Path) -> str:
    """Make a backup; return a line about it. Raises ConfigurationError."""
    source = local_folder(settings.files_url)
    made = backup.save(_database(settings), target, None if source is None else lambda half: Copies(source, half))
    size = (target / backup.DATABASE).stat().st_size
    line = f"{target} holds the database, schema {made.schema}, {size:,} bytes"
    if source is None:
        return f"{line}; the bytes of files lie in {settings.files_url}, and are not in it"
    gone = f"; {len(made.missing):,} more were deleted meanwhile" if made.missing else ""
    return f"{line}, and the bytes of {len(made.files) - 1:,} files{gone}"


def restore(settings: Settings, source: Path, *, force: bool) -> str:
    """Put a backup in the place of what is kept; return a line about it. Raises ConfigurationError."""
    database, target = _database(settings), local_folder(settings.files_url)
    with folder.held(settings.data_dir, database):
        made = backup.check_for(source, database, force=force)
        keys = [name.partition("/")[2] for name in made.files if name.startswith(f"{backup.BYTES}/")]
        if target is not None:
            with backup.told(f"{source} cannot be restored"):
                Copies(source / backup.BYTES, target).take(keys)
        backup.restore(source, database)
        if target is not None:
            with backup.told(f"{target} cannot be tidied"):
                remove_others(target, keys)
    if target is None and keys:
        return (
            f"{database} is now what {source} holds; bring its folder {backup.BYTES} to {settings.files_url} yourself"
        )
    return f"{database} is now what {source} holds, with the bytes of {len(keys):,} files"


def _database(settings: Settings) -> Path:
    if not keeps_in_file(settings):
        raise ConfigurationError(
            "the database is PostgreSQL's: back it up with its own tools (`pg_dump`, `pg_restore`); "
            "docs/deployment.md says how"
        )
    return Path(settings.database_url.removeprefix("sqlite:///"))
