"""Queries on what was used when: tokens out of the record of model calls, runs by status."""

from collections import defaultdict
from collections.abc import Iterator, Sequence

from sqlalchemy import ColumnElement, Connection, func, select

from understudy.protocol.usage import RunsBegun, TokensUsed, UsageBucket
from understudy.storage import daily_tokens
from understudy.storage.schema import daily_tokens as days
from understudy.storage.schema import model_calls, runs

_DAY_S = 86_400


def buckets(connection: Connection, project: str | None, start: int, width_s: int, count: int) -> list[UsageBucket]:
    """Return `count` buckets from `start` on, oldest first; without a project those of all projects."""
    begun = _runs(connection, project, start, width_s, count)
    return [
        UsageBucket(
            start_time=begin,
            end_time=begin + width_s,
            tokens=list(_tokens(connection, project, begin, width_s)),
            runs=begun.get(begin, []),
        )
        for begin in range(start, start + count * width_s, width_s)
    ]


def _sum(*path: str) -> ColumnElement[int]:
    return func.coalesce(func.sum(model_calls.c.usage[path].as_integer()), 0)


def _tokens(connection: Connection, project: str | None, begin: int, width_s: int) -> Iterator[TokensUsed]:
    c, scope = model_calls.c, [model_calls.c.started_at >= begin, model_calls.c.started_at < begin + width_s]
    if project is not None:
        scope.append(c.project == project)
    sums = (
        func.count().label("model_calls"),
        _sum("prompt_tokens").label("prompt_tokens"),
        _sum("prompt_token_details", "cached_tokens").label("cached_tokens"),
        _sum("completion_tokens").label("completion_tokens"),
        _sum("total_tokens").label("total_tokens"),
    )
    statement = select(c.project, c.model, *sums).where(*scope).group_by(c.project, c.model)
    known = [TokensUsed(**row) for row in connection.execute(statement.order_by(c.project, c.model)).mappings()]
    yield from known
    if width_s == _DAY_S:
        yield from _of_no_call(connection, project, daily_tokens.day_of(begin), known)


def _of_no_call(
    connection: Connection, project: str | None, day: int, known: Sequence[TokensUsed]
) -> Iterator[TokensUsed]:
    """What is booked on the day beside: deleting a thread takes its record along, and who broke off gave no usage."""
    left: defaultdict[str, int] = defaultdict(int)
    for part in known:
        left[part.project] -= part.total_tokens
    mine = [days.c.day == day] + ([] if project is None else [days.c.project == project])
    for name, tokens in connection.execute(select(days.c.project, days.c.tokens).where(*mine)):
        left[name] += tokens
    nothing = dict.fromkeys(("model", "model_calls", "prompt_tokens", "cached_tokens", "completion_tokens"))
    for name, tokens in sorted(left.items()):
        if tokens > 0:
            yield TokensUsed(project=name, total_tokens=tokens, **nothing)


def _runs(
    connection: Connection, project: str | None, start: int, width_s: int, count: int
) -> dict[int, list[RunsBegun]]:
    c, place = runs.c, ((runs.c.created_at - start) // width_s).label("place")
    scope = [c.created_at >= start, c.created_at < start + count * width_s]
    if project is not None:
        scope.append(c.project == project)
    statement = select(place, c.project, c.status, func.count().label("runs")).where(*scope)
    grouped = statement.group_by(place, c.project, c.status).order_by(place, c.project, c.status)
    found: defaultdict[int, list[RunsBegun]] = defaultdict(list)
    for row in connection.execute(grouped).mappings():
        counted = RunsBegun(project=row["project"], status=row["status"], runs=row["runs"])
        found[start + int(row["place"]) * width_s].append(counted)
    return found
