"""`understudy backup` and `understudy restore`."""

from pathlib import Path

from understudy.config import Settings
from understudy.errors import ConfigurationError
from understudy.storage import backup, folder
from understudy.topology import keeps_in_file


def save(settings: Settings, target: Path) -> str:
    """Make a backup; return a line about it. Raises ConfigurationError."""
    made = backup.save(_database(settings), target)
    size = (target / backup.DATABASE).stat().st_size
    return f"{target} holds the database, schema {made.schema}, {size:,} bytes"


def restore(settings: Settings, source: Path, *, force: bool) -> str:
    """Put a backup in the place of what is kept; return a line about it. Raises ConfigurationError."""
    database = _database(settings)
    with folder.held(settings.data_dir, database):
        backup.restore(source, database, force=force)
    return f"{database} is now what {source} holds"


def _database(settings: Settings) -> Path:
    if not keeps_in_file(settings):
        raise ConfigurationError(
            "the database is PostgreSQL's: back it up with its own tools (`pg_dump`, `pg_restore`); "
            "docs/deployment.md says how"
        )
    return Path(settings.database_url.removeprefix("sqlite:///"))
