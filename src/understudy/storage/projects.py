"""Queries on projects. They have no list of their own: a key or an object names one, and there it is."""

from sqlalchemy import Connection, select, union

from understudy.storage.schema import api_keys, projects


def names(connection: Connection) -> list[str]:
    """Return every project that a key is of, revoked ones too, or that something was made in, by name."""
    return sorted(connection.execute(union(select(projects.c.id), select(api_keys.c.project))).scalars())
