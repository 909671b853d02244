"""Bringing a SQLite file to this version's schema."""

import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Engine, create_engine

from understudy.errors import ConfigurationError
from understudy.storage import migrate
from understudy.storage.schema import metadata
from understudy.storage.sqlite import SqliteStore

NEXT = """
from alembic import op
import sqlalchemy as sa

revision = "9001"
down_revision = "{before}"


def upgrade() -> None:
    op.add_column("threads", sa.Column("colour", sa.Text()))
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store.db"


@pytest.fixture
def engine(path: Path) -> Iterator[Engine]:
    engine = create_engine(f"sqlite:///{path}")
    yield engine
    engine.dispose()


@pytest.fixture
def newer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the server know one migration more than it ships."""
    scripts = tmp_path / "migrations"
    shutil.copytree(migrate.SCRIPTS, scripts, ignore=shutil.ignore_patterns("__pycache__"))
    before = sorted(file.name.split("_")[0] for file in (scripts / "versions").glob("[0-9]*.py"))[-1]
    (scripts / "versions" / "9001_colour.py").write_text(NEXT.format(before=before))
    monkeypatch.setattr(migrate, "SCRIPTS", scripts)


def not_of_this_database_alone(name: str | None, kind: str, _: object) -> bool:
    """Leave out SQLite's full-text index: PostgreSQL has another in its place, so it is no part of the schema."""
    return kind != "table" or name is None or not name.startswith("chunk_terms")


def test_an_empty_database_gets_the_whole_schema(engine: Engine, path: Path) -> None:
    assert migrate.current_revision(engine) is None
    migrate.upgrade_sqlite(engine, path)
    with engine.connect() as connection:
        found = connection.exec_driver_sql("SELECT name FROM sqlite_master WHERE type = 'table'").scalars().all()
    assert set(metadata.tables) < set(found)
    assert list(path.parent.glob("*.before-*")) == []


def test_the_schema_and_its_migrations_agree(engine: Engine, path: Path) -> None:
    migrate.upgrade_sqlite(engine, path)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"include_name": not_of_this_database_alone})
        assert compare_metadata(context, metadata) == []


def test_partial_indexes_agree_too(engine: Engine, path: Path) -> None:
    """The comparison does not look at an index's condition."""
    query = "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL ORDER BY name"
    migrate.upgrade_sqlite(engine, path)
    fresh = create_engine("sqlite://")
    metadata.create_all(fresh)
    with engine.connect() as migrated, fresh.connect() as made:
        assert migrated.exec_driver_sql(query).all() == made.exec_driver_sql(query).all()
    fresh.dispose()


def test_an_upgrade_twice_is_an_upgrade_once(engine: Engine, path: Path) -> None:
    migrate.upgrade_sqlite(engine, path)
    before = migrate.current_revision(engine)
    migrate.upgrade_sqlite(engine, path)
    assert migrate.current_revision(engine) == before


def test_a_newer_schema_is_refused_with_a_sentence(engine: Engine, path: Path) -> None:
    migrate.upgrade_sqlite(engine, path)
    with engine.begin() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(ConfigurationError, match=r"schema 9999, which is newer than this server's \d+; upgrade"):
        migrate.upgrade_sqlite(engine, path)


async def test_a_store_with_a_newer_schema_does_not_open(engine: Engine, path: Path) -> None:
    migrate.upgrade_sqlite(engine, path)
    with engine.begin() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    store = SqliteStore(path)
    with pytest.raises(ConfigurationError):
        await store.open()
    await store.close()


@pytest.mark.usefixtures("newer")
def test_an_older_schema_is_upgraded_and_a_copy_kept(tmp_path: Path, engine: Engine, path: Path) -> None:
    with engine.begin() as connection:
        _older(connection.connection.driver_connection)
    migrate.upgrade_sqlite(engine, path)
    assert migrate.current_revision(engine) == "9001"
    assert _columns(path, "threads") == {"id", "colour"}
    assert _columns(tmp_path / "store.db.before-9001", "threads") == {"id"}


@pytest.mark.usefixtures("newer")
def test_the_copy_has_what_a_killed_server_left_in_its_log(tmp_path: Path, path: Path) -> None:
    killed = sqlite3.connect(path, isolation_level=None)
    killed.execute("PRAGMA journal_mode=WAL")
    killed.execute("PRAGMA wal_autocheckpoint=0")
    _older(killed)
    killed.execute("INSERT INTO threads VALUES ('thread_in_the_log')")
    engine = create_engine(f"sqlite:///{path}")
    migrate.upgrade_sqlite(engine, path)
    engine.dispose()
    killed.close()
    copy = sqlite3.connect(tmp_path / "store.db.before-9001")
    assert copy.execute("SELECT id FROM threads").fetchall() == [("thread_in_the_log",)]
    copy.close()


def _older(connection: sqlite3.Connection) -> None:
    first = sorted((migrate.SCRIPTS / "versions").glob("[0-9]*.py"))[-2].name.split("_")[0]
    connection.execute("CREATE TABLE threads (id TEXT)")
    connection.execute("CREATE TABLE alembic_version (version_num TEXT)")
    connection.execute("INSERT INTO alembic_version VALUES (?)", (first,))


def _columns(path: Path, table: str) -> set[str]:
    connection = sqlite3.connect(path)
    found = {row[1] for row in connection.execute(f"PRAGMA table_info({table})")}
    connection.close()
    return found
