"""Queries on runs, with the lease by which one worker at a time holds a run."""

from collections.abc import Collection
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, RowMapping, Select, func, or_, select, update

from understudy.errors import NotFound
from understudy.protocol.base import Metadata
from understudy.protocol.runs import (
    LastError,
    RequiredAction,
    Run,
    RunIncompleteDetails,
    RunStatus,
    TruncationStrategy,
    Usage,
)
from understudy.protocol.tools import ReasoningEffort, ResponseFormat, Tool, ToolChoice, ToolResources
from understudy.storage.rows import Window, allot, given, insert, page
from understudy.storage.schema import ACTIVE, runs, threads

NOUN = "run"


@dataclass(frozen=True, slots=True)
class RunRecord:
    """A run as it was given (what the user never set is None), with what the engine keeps of it.

    `attempt` counts claims and fences off whoever held the run before; `tries` counts claims since the last
    progress that a client saw; `lease_until` is Unix time in seconds. `include_results`: its events show the passages
    that searches found.
    """

    id: str
    project: str
    created_at: int
    assistant_id: str
    thread_id: str
    status: RunStatus
    started_at: int | None
    expires_at: int | None
    cancelled_at: int | None
    failed_at: int | None
    completed_at: int | None
    required_action: RequiredAction | None
    last_error: LastError | None
    model: str
    instructions: str | None
    tools: list[Tool]
    tool_resources: ToolResources
    metadata: Metadata
    temperature: float | None
    top_p: float | None
    reasoning_effort: ReasoningEffort | None
    max_completion_tokens: int | None
    max_prompt_tokens: int | None
    truncation_strategy: TruncationStrategy
    incomplete_details: RunIncompleteDetails | None
    usage: Usage | None
    response_format: ResponseFormat | None
    tool_choice: ToolChoice | None
    parallel_tool_calls: bool | None
    include_results: bool = False
    attempt: int = 0
    tries: int = 0
    worker: str | None = None
    lease_until: float = 0.0

    def shown(self) -> Run:
        """Render with the API's defaults in the place of what was never set."""
        return Run.model_construct(
            **{name: getattr(self, name) for name in _SHOWN}
            | {
                "temperature": 1.0 if self.temperature is None else self.temperature,
                "top_p": 1.0 if self.top_p is None else self.top_p,
                "response_format": "auto" if self.response_format is None else self.response_format,
                "tool_choice": "auto" if self.tool_choice is None else self.tool_choice,
                "parallel_tool_calls": True if self.parallel_tool_calls is None else self.parallel_tool_calls,
            }
        )


_SHOWN = [name for name in Run.model_fields if name != "object"]
_COLUMNS = RunRecord.__slots__
_CHANGING = (
    "status",
    "started_at",
    "expires_at",
    "cancelled_at",
    "failed_at",
    "completed_at",
    "required_action",
    "last_error",
    "incomplete_details",
    "usage",
    "attempt",
    "tries",
    "worker",
    "lease_until",
)


_RECORDS = select(*(runs.c[name] for name in _COLUMNS))
_GET = _RECORDS.where(given(runs.c.id), given(runs.c.thread_id), given(runs.c.project))
_FIND = _RECORDS.where(given(runs.c.id))
_ACTIVE_IN = _RECORDS.where(given(runs.c.thread_id), runs.c.status.in_(ACTIVE))
_UNCHANGED = (given(runs.c.id), given(runs.c.attempt), given(runs.c.status))
_SAVE = update(runs).where(*_UNCHANGED)
_HELD = (given(runs.c.id), given(runs.c.attempt), runs.c.status == "in_progress")
_RENEW = update(runs).where(*_HELD)


def record_of(row: RowMapping) -> RunRecord:
    """Read a whole row."""
    return RunRecord(**{name: row[name] for name in _COLUMNS})


def _first(connection: Connection, statement: Select[Any], values: dict[str, str]) -> RunRecord | None:
    row = connection.execute(statement, values).first()
    return None if row is None else RunRecord(*row)


def add(connection: Connection, run: RunRecord) -> None:
    """Store a new run. The thread must be locked and free: the database refuses a second active run."""
    insert(connection, runs, asdict(run) | {"seq": allot(connection, threads, run.thread_id)})


def get(connection: Connection, project: str, thread_id: str, run_id: str) -> RunRecord:
    """Raises NotFound."""
    values = {"given_id": run_id, "given_thread_id": thread_id, "given_project": project}
    run = _first(connection, _GET, values)
    if run is None:
        raise NotFound(NOUN, run_id)
    return run


def place(connection: Connection, run_id: str) -> int:
    """Return a run's place in its thread: after all that the runs before it have left there."""
    return int(connection.execute(select(runs.c.seq).where(runs.c.id == run_id)).scalar_one())


def find(connection: Connection, run_id: str) -> RunRecord | None:
    """Return a run whoever it belongs to: for the engine, never for a request."""
    return _first(connection, _FIND, {"given_id": run_id})


def active_in(connection: Connection, thread_id: str) -> RunRecord | None:
    """Return the run that holds a thread."""
    return _first(connection, _ACTIVE_IN, {"given_thread_id": thread_id})


def count_active(connection: Connection, project: str) -> int:
    """Return how many runs of a project have not come to their end."""
    mine = (runs.c.project == project, runs.c.status.in_(ACTIVE))
    return connection.execute(select(func.count()).select_from(runs).where(*mine)).scalar_one()


def list_page(connection: Connection, thread_id: str, window: Window) -> tuple[list[RunRecord], bool]:
    """Return a page of a thread's runs, and whether there are more."""
    rows, more = page(connection, runs, runs.c.thread_id == thread_id, [], window, NOUN)
    return [record_of(row) for row in rows], more


def save(connection: Connection, run: RunRecord, *, was: RunRecord) -> bool:
    """Write a run's new state if nobody has moved or claimed it since `was` was read.

    Returns False, and writes nothing, if somebody has: this is the fence between workers, requests and the sweeper.
    """
    values = {name: getattr(run, name) for name in _CHANGING}
    values |= {"given_id": run.id, "given_attempt": was.attempt, "given_status": was.status}
    return connection.execute(_SAVE, values).rowcount == 1


def renew(connection: Connection, run: RunRecord, lease_until: float) -> bool:
    """Extend a worker's lease; False if the run is no longer its own to work on."""
    values = {"given_id": run.id, "given_attempt": run.attempt, "lease_until": lease_until}
    return connection.execute(_RENEW, values).rowcount == 1


def renew_all(connection: Connection, held: Collection[RunRecord], lease_until: float) -> set[str]:
    """Extend the leases of one worker on many runs; return the ids of those that are no longer its own."""
    attempts = {run.id: run.attempt for run in held}
    mine = (runs.c.id.in_(attempts), runs.c.status == "in_progress")
    own = {
        row.id
        for row in connection.execute(select(runs.c.id, runs.c.attempt).where(*mine))
        if attempts[row.id] == row.attempt
    }
    connection.execute(update(runs).where(runs.c.id.in_(own)).values(lease_until=lease_until))
    return set(attempts) - own


def hold(connection: Connection, run: RunRecord) -> bool:
    """Keep others from moving a run until the transaction ends; False if it is over, or another attempt's by now.

    The row is written, not only locked: whoever is about to end the run on a snapshot of its own has to begin anew, and
    then sees what is written here.
    """
    mine = (runs.c.id == run.id, runs.c.attempt == run.attempt, runs.c.status.in_(ACTIVE))
    return connection.execute(update(runs).where(*mine).values(attempt=runs.c.attempt)).rowcount == 1


def hand_back(connection: Connection, run: RunRecord) -> bool:
    """End a worker's lease as if the run had never been claimed; False if it was no longer its own."""
    held = (runs.c.id == run.id, runs.c.attempt == run.attempt, runs.c.status == "in_progress")
    values = {"lease_until": 0.0, "tries": runs.c.tries - 1}
    return connection.execute(update(runs).where(*held).values(values)).rowcount == 1


def be_patient(connection: Connection, run: RunRecord, lease_until: float) -> bool:
    """Give a queued run's job more time to be taken; False if somebody was quicker, be it another sweeper."""
    unchanged = (runs.c.id == run.id, runs.c.status == "queued", runs.c.lease_until == run.lease_until)
    return connection.execute(update(runs).where(*unchanged).values(lease_until=lease_until)).rowcount == 1


def set_metadata(connection: Connection, run_id: str, metadata: dict[str, str]) -> None:
    """Replace a run's metadata."""
    connection.execute(update(runs).where(runs.c.id == run_id).values({"metadata": metadata}))


def needing_care(connection: Connection, now: float) -> list[RunRecord]:
    """Return, in one statement, every active run that is past its time or that nobody holds."""
    waiting = runs.c.status == "requires_action"
    unheld: ColumnElement[bool] = ~waiting & (runs.c.lease_until < now)
    statement = select(runs).where(runs.c.status.in_(ACTIVE), or_(runs.c.expires_at <= now, unheld))
    return [record_of(row) for row in connection.execute(statement.order_by(runs.c.lease_until)).mappings()]


def active_by_status(connection: Connection) -> dict[str, int]:
    """Count the runs that are not final, by status."""
    statement = select(runs.c.status, func.count()).where(runs.c.status.in_(ACTIVE)).group_by(runs.c.status)
    return dict.fromkeys(ACTIVE, 0) | {row[0]: row[1] for row in connection.execute(statement)}


def queued_by_project(connection: Connection) -> dict[str, int]:
    """Count the runs that wait for a worker, of each project that has some."""
    statement = select(runs.c.project, func.count()).where(runs.c.status == "queued").group_by(runs.c.project)
    return {row[0]: row[1] for row in connection.execute(statement)}


def release_all(connection: Connection) -> None:
    """Let go of every lease: for the start of a server that is alone on its database."""
    connection.execute(update(runs).where(runs.c.status.in_(ACTIVE)).values(lease_until=0.0))
