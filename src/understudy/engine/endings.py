"""How a run ends before its time, or is taken over: its open steps and messages are closed with it.

All functions work inside a transaction and return None if somebody else has moved the run meanwhile.
"""

from contextlib import suppress
from dataclasses import dataclass, replace
from functools import reduce

from sqlalchemy import Connection

from understudy.engine.transitions import cut_message, end_step, move
from understudy.errors import NotFound
from understudy.protocol.events import Event, event
from understudy.protocol.messages import IncompleteReason
from understudy.protocol.runs import LastError, RunStatus, Usage, add_usage, usage
from understudy.protocol.steps import StepStatus
from understudy.protocol.text import storable
from understudy.storage import messages, model_calls, runs, steps
from understudy.storage.runs import RunRecord

MAX_TRIES = 3

WORKER_DIED: LastError = {
    "code": "server_error",
    "message": f"The server stopped while it worked on this run, {MAX_TRIES} times over. Please start a new run.",
}

_STEP_ENDS: dict[RunStatus, StepStatus] = {"cancelled": "cancelled", "expired": "expired", "failed": "failed"}
_MESSAGE_ENDS: dict[RunStatus, IncompleteReason] = {
    "cancelled": "run_cancelled",
    "expired": "run_expired",
    "failed": "run_failed",
}


@dataclass(frozen=True, slots=True)
class Change:
    """A run as it now is, and the events that tell how it came to that."""

    run: RunRecord
    events: list[Event]


def total_usage(connection: Connection, run_id: str) -> Usage:
    """Sum what a run's calls of the model have used."""
    return reduce(add_usage, model_calls.usages(connection, run_id), usage())


def end(
    connection: Connection, run: RunRecord, status: RunStatus, now: float, error: LastError | None = None
) -> Change | None:
    """Cancel, expire or fail a run. An error's message may be a stranger's: it is made fit to be kept."""
    if error is not None:
        error = {"code": error["code"], "message": storable(error["message"])}
    facts = {"last_error": error, "usage": total_usage(connection, run.id)}
    ended, told = move(run, status, now, **facts)
    if not runs.save(connection, ended, was=run):
        return None
    events = _close_parts(connection, run, status, now, error)
    steps.close_expiry(connection, run.id)
    return Change(ended, [*events, told])


def take_over(connection: Connection, run: RunRecord, worker: str, now: float, lease_until: float) -> Change | None:
    """Claim a run whose worker is gone. What it had not finished is closed and left behind.

    Calls of an answer that was whole stay open: their outputs, as far as there are any, are kept.
    """
    if run.tries >= MAX_TRIES:
        return end(connection, run, "failed", now, WORKER_DIED)
    claimed = replace(run, worker=worker, attempt=run.attempt + 1, tries=run.tries + 1, lease_until=lease_until)
    if not runs.save(connection, claimed, was=run):
        return None
    left: LastError = {"code": "server_error", "message": "The server stopped while it worked on this step."}
    return Change(claimed, _close_parts(connection, run, "failed", now, left, abandoned=True))


def _close_parts(
    connection: Connection,
    run: RunRecord,
    status: RunStatus,
    now: float,
    error: LastError | None,
    *,
    abandoned: bool = False,
) -> list[Event]:
    events = _leave_behind(connection, run) if abandoned else []
    for message in messages.unfinished(connection, run.id):
        cut, told = cut_message(message, _MESSAGE_ENDS[status], now)
        messages.save(connection, cut, abandoned=abandoned or not cut.content)
        events.append(told)
    for step in steps.of_run(connection, run.id):
        if step.status == "in_progress" and not (abandoned and step.step_details.get("tool_calls")):
            used = model_calls.usage_of_step(connection, step.id)
            ended, told = end_step(
                step, _STEP_ENDS[status], now, used=used, error=error, with_results=run.include_results
            )
            steps.save(connection, ended, abandoned=abandoned)
            events.append(told)
    return events


def _leave_behind(connection: Connection, run: RunRecord) -> list[Event]:
    """Leave out of lists and context what was said in an answer whose end was never written.

    It will be said again: the unit of recovery is the whole answer, be a part of it (a narration) finished or not. Its
    ends are returned: no row that is read tells them again, and nobody knows whether they were told.
    """
    ends: list[Event] = []
    answered = {call.step_id for call in model_calls.of_run(connection, run.id)}
    for step in reversed(steps.of_run(connection, run.id)):
        if step.id in answered:
            break
        created = step.step_details.get("message_creation")
        if created is not None and step.status == "completed":
            ends = [*_end_of(connection, run, created["message_id"]), event("thread.run.step.completed", step), *ends]
            steps.abandon(connection, step.id)
            messages.change(connection, created["message_id"], {"abandoned": True})
    return ends


def _end_of(connection: Connection, run: RunRecord, message_id: str) -> list[Event]:
    with suppress(NotFound):  # deleted since
        message = messages.get(connection, run.project, run.thread_id, message_id)
        return [event(f"thread.message.{message.status}", message)]
    return []
