"""Queries on the runs of all threads of a project.

They have no place of their own in the project, so they are sorted by time and, within a second, by id.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, exists

from understudy.protocol.runs import RunStatus
from understudy.storage.rows import Window, page
from understudy.storage.runs import NOUN, RunRecord, record_of
from understudy.storage.schema import runs, threads


@dataclass(frozen=True, slots=True)
class RunFilter:
    """Which runs are asked for; nothing given means all."""

    statuses: Sequence[RunStatus] = ()
    assistant_id: str | None = None


ANY = RunFilter()


def list_page(
    connection: Connection, project: str, window: Window, wanted: RunFilter = ANY
) -> tuple[list[RunRecord], bool]:
    """Return a page of a project's runs, and whether there are more. Raises NotFound for an unknown cursor."""
    alive = exists().where(threads.c.id == runs.c.thread_id, ~threads.c.deleted)
    shown: list[ColumnElement[bool]] = [alive]
    if wanted.statuses:
        shown.append(runs.c.status.in_(wanted.statuses))
    if wanted.assistant_id is not None:
        shown.append(runs.c.assistant_id == wanted.assistant_id)
    rows, more = page(connection, runs, runs.c.project == project, shown, window, NOUN, ("created_at", "id"))
    return [record_of(row) for row in rows], more
