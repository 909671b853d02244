"""How many tokens a project has used on a day (UTC). Kept beside the calls: deleting a thread gives none back."""

from sqlalchemy import Connection, bindparam, select, update

from understudy.storage.rows import given, insert
from understudy.storage.schema import daily_tokens

_DAY_S = 86_400

_MINE = (given(daily_tokens.c.project), given(daily_tokens.c.day))
_ADD = update(daily_tokens).where(*_MINE).values(tokens=daily_tokens.c.tokens + bindparam("more"))
_USED = select(daily_tokens.c.tokens).where(*_MINE)


def day_of(now: float) -> int:
    """Return the number of a moment's day since 1970."""
    return int(now // _DAY_S)


def end_of(day: int) -> int:
    """Return the Unix time at which the next day begins."""
    return (day + 1) * _DAY_S


def add(connection: Connection, project: str, day: int, tokens: int) -> None:
    """Book tokens on a project's day."""
    booked = connection.execute(_ADD, {"given_project": project, "given_day": day, "more": tokens})
    if not booked.rowcount:
        insert(connection, daily_tokens, {"project": project, "day": day, "tokens": tokens})


def used(connection: Connection, project: str, day: int) -> int:
    """Return what is booked on a project's day."""
    return int(connection.execute(_USED, {"given_project": project, "given_day": day}).scalar() or 0)
