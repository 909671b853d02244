"""Bring a database to this version's schema."""

import logging
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any, cast

from sqlalchemy import Engine, inspect

from understudy.errors import ConfigurationError
from understudy.storage import pgvector

log = logging.getLogger(__name__)

_MIGRATING = 0x756E646572737475
"""The lock of whoever migrates: a number of our own."""
SCRIPTS = Path(__file__).parent / "migrations"


def upgrade_sqlite(engine: Engine, path: Path) -> None:
    """Upgrade a SQLite file in place, keeping a copy of it beside it if it held an older schema."""
    current = current_revision(engine)
    if current == head():
        return
    refuse_newer(current)
    if current is not None:
        copy = path.with_name(f"{path.name}.before-{head()}")
        _back_up(engine, copy)
        log.warning("upgrading the database from schema %s to %s; a copy is kept at %s", current, head(), copy)
    upgrade(engine)


def upgrade_postgres(engine: Engine) -> tuple[str | None, str]:
    """Upgrade a PostgreSQL database; return the revisions before and after. Of several at once, one does it."""
    current = current_revision(engine)
    refuse_newer(current)
    if current != head():
        upgrade(engine.execution_options(isolation_level="READ COMMITTED"))  # who waited sees what the other did
    pgvector.prepare(engine)
    return current, head()


def refuse_other(engine: Engine) -> None:
    """Raise ConfigurationError unless the schema is this version's: many servers share it, and none changes it."""
    current = current_revision(engine)
    refuse_newer(current)
    if current is None:
        raise ConfigurationError("the database is empty; run `understudy migrate` once, then start the server")
    if current != head():
        raise ConfigurationError(
            f"the database has schema {current}, and this server needs {head()}; run `understudy migrate`, "
            "then start the server"
        )


def _back_up(engine: Engine, copy: Path) -> None:
    """Copy a database, not its file: after a kill the newest changes are still in the log beside it."""
    half = copy.with_name(f"{copy.name}.half")
    half.unlink(missing_ok=True)
    with engine.connect() as connection, closing(sqlite3.connect(half)) as target:
        cast("Any", connection.connection.driver_connection).backup(target)
    half.replace(copy)


def upgrade(engine: Engine) -> None:
    """Apply all migrations that the database lacks."""
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(SCRIPTS))
    with engine.begin() as connection:
        if connection.dialect.name == "postgresql":
            connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_MIGRATING})")
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


def current_revision(engine: Engine) -> str | None:
    """Return the schema's revision, None for an empty database. Needs no alembic, which is slow to import."""
    with engine.connect() as connection:
        if not inspect(connection).has_table("alembic_version"):
            return None
        found = connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar()
        return None if found is None else str(found)


def revisions() -> list[str]:
    """Revisions in order: files are named `0001_what.py` and hold revision `0001`."""
    return sorted(file.name.split("_")[0] for file in (SCRIPTS / "versions").glob("[0-9]*.py"))


def head() -> str:
    """Return the revision of this version's schema."""
    return revisions()[-1]


def refuse_newer(current: str | None) -> None:
    """Raise ConfigurationError for a schema of a later version."""
    if current is not None and current not in revisions():
        raise ConfigurationError(
            f"the database has schema {current}, which is newer than this server's {head()}; upgrade the server"
        )
