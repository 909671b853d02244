"""How many tokens a project has used on a day (UTC). Kept beside the calls: deleting a thread gives none back."""

from sqlalchemy import Connection, select, update

from understudy.storage.rows import insert
from understudy.storage.schema import daily_tokens

_DAY_S = 86_400


def day_of(now: float) -> int:
    """Return the number of a moment's day since 1970."""
    return int(now // _DAY_S)


def end_of(day: int) -> int:
    """Return the Unix time at which the next day begins."""
    return (day + 1) * _DAY_S


def add(connection: Connection, project: str, day: int, tokens: int) -> None:
    """Book tokens on a project's day."""
    mine = (daily_tokens.c.project == project, daily_tokens.c.day == day)
    booked = connection.execute(update(daily_tokens).where(*mine).values(tokens=daily_tokens.c.tokens + tokens))
    if not booked.rowcount:
        insert(connection, daily_tokens, {"project": project, "day": day, "tokens": tokens})


def used(connection: Connection, project: str, day: int) -> int:
    """Return what is booked on a project's day."""
    mine = (daily_tokens.c.project == project, daily_tokens.c.day == day)
    return int(connection.execute(select(daily_tokens.c.tokens).where(*mine)).scalar() or 0)
