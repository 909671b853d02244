"""What a project may use up: runs at once and tokens a day. Told from rows, so every server of a database agrees.

Both are looked at where a run starts, in the transaction that starts it: two that start at once cannot both be the
last. A run that has started goes on to its end.
"""

from collections import Counter
from time import monotonic

from sqlalchemy import Connection

from understudy.bus.base import Bus
from understudy.errors import TooManyRequests
from understudy.storage import daily_tokens, runs
from understudy.storage.api_keys import Limits
from understudy.storage.base import Store
from understudy.storage.rows import lock_project

RUN_PATIENCE_S = 1
QUEUE_PATIENCE_S = 5
LOOK_EVERY_S = 0.5
AHEAD = 8
"""How many waiting runs of a project go ahead of the further ones of any project."""
FULL = "The server is currently overloaded: {waiting} runs wait to be worked on. Please try again in {time}."
QUOTA = "You exceeded your current quota, please check your plan and billing details."


def refuse_beyond(connection: Connection, project: str, limits: Limits, now: float) -> None:
    """Raise TooManyRequests if a further run would be beyond the limits."""
    if limits.runs_at_once is not None or limits.tokens_per_day is not None:
        lock_project(connection, project)
    if limits.runs_at_once is not None:
        _refuse_run(project, limits.runs_at_once, runs.count_active(connection, project))
    if limits.tokens_per_day is not None:
        day = daily_tokens.day_of(now)
        used = daily_tokens.used(connection, project, day)
        if used >= limits.tokens_per_day:
            _refuse_day(project, limits.tokens_per_day, used, daily_tokens.end_of(day) - now)


class Backlog:
    """What waits for a worker, looked at twice a second, for all servers.

    Refuses what would only lengthen a queue that is too long already, and tells of which projects so many wait that
    further ones go behind those of others.
    """

    def __init__(self, store: Store, bus: Bus, most: int) -> None:
        self._store = store
        self._bus = bus
        self._most = most
        self._waiting = 0
        self._of_projects: dict[str, int] = {}
        self._begun: Counter[str] = Counter()
        self._looked_at = float("-inf")

    async def refuse_if_full(self) -> None:
        """Raise TooManyRequests if more runs wait than are allowed."""
        await self._look()
        if self._waiting >= self._most:
            message = FULL.format(waiting=self._waiting, time=spelled(QUEUE_PATIENCE_S))
            raise TooManyRequests(message, QUEUE_PATIENCE_S, code="rate_limit_exceeded")

    async def goes_behind(self, project: str) -> bool:
        """Tell whether a run that is about to wait has so many of its project before it that others go ahead."""
        await self._look()
        self._begun[project] += 1
        return self._of_projects.get(project, 0) + self._begun[project] > AHEAD

    async def _look(self) -> None:
        if monotonic() - self._looked_at < LOOK_EVERY_S:
            return
        self._looked_at = monotonic()
        self._begun = Counter()
        self._waiting = await self._bus.depth()
        crowded = self._waiting > AHEAD
        self._of_projects = await self._store.read(runs.queued_by_project) if crowded else {}


def _refuse_run(project: str, limit: int, active: int) -> None:
    if active >= limit:
        raise TooManyRequests(
            f"Rate limit reached for project {project} on runs at once: Limit {limit}, Used {active}, Requested 1. "
            f"Please try again in {spelled(RUN_PATIENCE_S)}.",
            RUN_PATIENCE_S,
            code="rate_limit_exceeded",
        )


def _refuse_day(project: str, limit: int, used: int, left_s: float) -> None:
    raise TooManyRequests(
        f"{QUOTA} Project {project} has used {used} of {limit} tokens per day (TPD). "
        f"Please try again in {spelled(left_s)}.",
        left_s,
        code="insufficient_quota",
        kind="insufficient_quota",
    )


def spelled(seconds: float) -> str:
    """Return a time to wait as the hosted API spells it: 20s, 7m12s, 5h0m3s."""
    whole = max(1, -int(-seconds // 1))
    minutes, rest = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    return (f"{hours}h" if hours else "") + (f"{minutes}m" if hours or minutes else "") + f"{rest}s"
