"""Queries on files. Their bytes lie in the file store, under the file's id."""

from collections.abc import Iterable
from typing import Any

from sqlalchemy import ColumnElement, Connection, RowMapping, or_, select, update

from understudy.errors import NoSuchFile
from understudy.protocol.files import FileObject
from understudy.storage import file_uses, loose_bytes, posts
from understudy.storage.rows import Window, allot_in_project, insert, page
from understudy.storage.schema import files

NOUN = "file"
_FIELDS = ("id", "purpose", "filename", "bytes", "created_at", "expires_at")


def _file(row: RowMapping) -> FileObject:
    return FileObject.model_construct(**{name: row[name] for name in _FIELDS})


def _there(now: float) -> tuple[ColumnElement[bool], ...]:
    """A file vanishes at its hour, not at the sweeper's next round."""
    return (~files.c.deleted, or_(files.c.expires_at.is_(None), files.c.expires_at > now))


def add(connection: Connection, project: str, file: FileObject) -> bool:
    """Store a new file, whose bytes are all there; False if they were not kept for it any longer."""
    if not loose_bytes.own(connection, file.id):
        return False
    place = allot_in_project(connection, project)
    insert(connection, files, {name: getattr(file, name) for name in _FIELDS} | {"project": project, "seq": place})
    return True


def get(connection: Connection, project: str, file_id: str, now: float) -> FileObject:
    """Raises NoSuchFile."""
    mine = (files.c.id == file_id, files.c.project == project)
    row = connection.execute(select(files).where(*mine, *_there(now))).mappings().first()
    if row is None:
        raise NoSuchFile(file_id)
    return _file(row)


def find(connection: Connection, project: str, file_ids: Iterable[str], now: float) -> dict[str, FileObject]:
    """Return those of the named files that are there."""
    mine = (files.c.id.in_(set(file_ids)), files.c.project == project)
    rows = connection.execute(select(files).where(*mine, *_there(now))).mappings()
    return {row["id"]: _file(row) for row in rows}


def list_page(
    connection: Connection, project: str, window: Window, now: float, purpose: str | None = None
) -> tuple[list[FileObject], bool]:
    """Return a page of a project's files, and whether there are more."""
    shown = [*_there(now), *([files.c.purpose == purpose] if purpose is not None else [])]
    rows, more = page(connection, files, files.c.project == project, shown, window, NOUN)
    return [_file(row) for row in rows], more


def delete(connection: Connection, project: str, file_id: str, now: float) -> None:
    """Leave a tombstone; take the file out of all that use it, and give its bytes up. Raises NoSuchFile."""
    get(connection, project, file_id, now)
    if not _bury(connection, file_id, now):
        raise NoSuchFile(file_id)


def _bury(connection: Connection, file_id: str, now: float) -> bool:
    """False if somebody else has done it meanwhile."""
    tombstone: dict[str, Any] = {"deleted": True, "filename": "", "expires_at": None}
    alive = (files.c.id == file_id, ~files.c.deleted)
    if connection.execute(update(files).where(*alive).values(tombstone)).rowcount != 1:
        return False
    file_uses.remove(connection, file_id)
    loose_bytes.add(connection, [file_id], now)
    posts.forget_object(connection, file_id)
    return True


def bury_expired(connection: Connection, now: float, count: int) -> list[tuple[str, str]]:
    """Delete up to `count` files past their hour, of whichever project; return the project and id of each."""
    late = (~files.c.deleted, files.c.expires_at <= now)
    found = connection.execute(select(files.c.project, files.c.id).where(*late).limit(count)).all()
    return [(project, file_id) for project, file_id in found if _bury(connection, file_id, now)]
