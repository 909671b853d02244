"""Queries on run steps."""

from sqlalchemy import Connection, RowMapping, bindparam, select, update

from understudy.errors import NotFound
from understudy.protocol.steps import RunStep
from understudy.storage.rows import Window, allot, given, insert, page
from understudy.storage.schema import steps, threads

NOUN = "run step"
_FIELDS = [name for name in RunStep.model_fields if name != "object"]
_FIXED = {"id", "object", "created_at", "run_id", "assistant_id", "thread_id", "type", "metadata"}

_LISTED = ~steps.c.abandoned
_OF_RUN = select(steps).where(given(steps.c.run_id), _LISTED).order_by(steps.c.seq)
_FINISHED = (steps.c.type == "tool_calls", steps.c.status == "completed", _LISTED)
_SINCE = select(steps).where(given(steps.c.thread_id), steps.c.seq >= bindparam("since"))
_FINISHED_TOOLS = _SINCE.where(*_FINISHED).order_by(steps.c.seq)
_OPEN_CALLS = _OF_RUN.where(steps.c.type == "tool_calls", steps.c.status == "in_progress")
_SAVE = update(steps).where(given(steps.c.id))
_CLOSE_EXPIRY = update(steps).where(given(steps.c.run_id)).values(expires_at=None)


def _step(row: RowMapping) -> RunStep:
    return RunStep.model_construct(**{name: row[name] for name in _FIELDS})


def add(connection: Connection, project: str, step: RunStep) -> None:
    """Store a new step."""
    place = allot(connection, threads, step.thread_id)
    insert(connection, steps, step.model_dump(exclude={"object"}) | {"project": project, "seq": place})


def get(connection: Connection, project: str, run_id: str, step_id: str) -> RunStep:
    """Raises NotFound."""
    mine = (steps.c.id == step_id, steps.c.run_id == run_id, steps.c.project == project)
    row = connection.execute(select(steps).where(*mine)).mappings().first()
    if row is None:
        raise NotFound(NOUN, step_id)
    return _step(row)


def list_page(connection: Connection, run_id: str, window: Window) -> tuple[list[RunStep], bool]:
    """Return a page of a run's steps, and whether there are more."""
    rows, more = page(connection, steps, steps.c.run_id == run_id, [_LISTED], window, NOUN)
    return [_step(row) for row in rows], more


def of_run(connection: Connection, run_id: str) -> list[RunStep]:
    """Return all steps of a run that count, oldest first."""
    return [_step(row) for row in connection.execute(_OF_RUN, {"given_run_id": run_id}).mappings()]


def finished_tools(connection: Connection, thread_id: str, since: int) -> list[tuple[int, RunStep]]:
    """Return a thread's finished tool steps from a place on, oldest first, each with its place."""
    rows = connection.execute(_FINISHED_TOOLS, {"given_thread_id": thread_id, "since": since}).mappings()
    return [(row["seq"], _step(row)) for row in rows]


def open_calls(connection: Connection, run_id: str) -> tuple[int, RunStep] | None:
    """Return the step, with its place, whose calls are whole and wait for outputs."""
    row = connection.execute(_OPEN_CALLS, {"given_run_id": run_id}).mappings().first()
    if row is None or not row["step_details"].get("tool_calls"):
        return None
    return row["seq"], _step(row)


def save(connection: Connection, step: RunStep, *, abandoned: bool = False) -> None:
    """Write a step's state and details."""
    values = step.model_dump(exclude=_FIXED) | {"abandoned": abandoned, "given_id": step.id}
    connection.execute(_SAVE, values)


def abandon(connection: Connection, step_id: str) -> None:
    """Take a step out of the lists; it stays readable by its id."""
    connection.execute(update(steps).where(steps.c.id == step_id).values(abandoned=True))


def close_expiry(connection: Connection, run_id: str) -> None:
    """Clear `expires_at` on the steps of a run that has ended (recorded)."""
    connection.execute(_CLOSE_EXPIRY, {"given_run_id": run_id})
