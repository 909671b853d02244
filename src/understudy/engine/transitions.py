"""The only place where the status of a run, a step or a message changes, whoever asks for it.

queued > in_progress > completed | incomplete | failed | requires_action > queued …
each of queued, in_progress, requires_action > cancelling > cancelled, and > expired. Source: behaviours.md, section 2.
"""

from dataclasses import replace
from typing import Any

from understudy.errors import UnderstudyError
from understudy.protocol.events import Event, event
from understudy.protocol.messages import IncompleteReason, Message
from understudy.protocol.runs import FINAL, LastError, RunStatus, Usage, usage
from understudy.protocol.steps import RunStep, StepStatus
from understudy.storage.runs import RunRecord

_ABANDON: frozenset[RunStatus] = frozenset({"cancelling", "cancelled", "expired", "failed"})

LEGAL: dict[RunStatus, frozenset[RunStatus]] = {
    "queued": _ABANDON | {"in_progress"},
    "in_progress": _ABANDON | {"completed", "incomplete", "requires_action", "queued"},
    "requires_action": _ABANDON | {"queued"},
    "cancelling": frozenset({"cancelled", "expired", "failed"}),
    **{status: frozenset() for status in FINAL},
}

_STAMPS: dict[str, str] = {
    "in_progress": "started_at",
    "completed": "completed_at",
    "incomplete": "completed_at",
    "failed": "failed_at",
    "cancelled": "cancelled_at",
}

_STEP_STAMPS: dict[StepStatus, str] = {
    "completed": "completed_at",
    "cancelled": "cancelled_at",
    "failed": "failed_at",
    "expired": "expired_at",
}


class IllegalTransition(UnderstudyError):
    """A defect of the engine: nobody may ask for this."""


def move(run: RunRecord, status: RunStatus, now: float, **facts: Any) -> tuple[RunRecord, Event]:
    """Return the run in its new status, stamped, and the event that tells of it.

    `facts` are further fields that change with the status. A final run has a usage and, unless it expired, no
    `expires_at` (recorded).
    """
    if status not in LEGAL[run.status]:
        raise IllegalTransition(f"a run cannot go from {run.status} to {status}")
    changes: dict[str, Any] = {"status": status, "required_action": None}
    if status in _STAMPS:
        changes[_STAMPS[status]] = int(now)
    if status in ("queued", "requires_action"):
        changes |= {"worker": None}
    if status in FINAL:
        changes |= {"usage": run.usage or usage(), "worker": None}
        changes |= {} if status == "expired" else {"expires_at": None}
    moved = replace(run, **(changes | facts))
    return moved, told(moved)


def told(run: RunRecord) -> Event:
    """The event that tells of a run's present status."""
    return event(f"thread.run.{run.status}", run.shown())


def end_step(
    step: RunStep,
    status: StepStatus,
    now: float,
    *,
    used: Usage | None = None,
    error: LastError | None = None,
    with_results: bool = False,
) -> tuple[RunStep, Event]:
    """Return the step in its last status, and its event; `with_results` shows the passages that a search found."""
    changes = {"status": status, _STEP_STAMPS[status]: int(now), "usage": used, "last_error": error}
    ended = step.model_copy(update=changes)
    return ended, event(f"thread.run.step.{status}", ended.shown(with_results=with_results))


def complete_message(message: Message, now: float) -> tuple[Message, Event]:
    """Return the message as completed, and its event."""
    completed = message.model_copy(update={"status": "completed", "completed_at": int(now)})
    return completed, event("thread.message.completed", completed)


def cut_message(message: Message, reason: IncompleteReason, now: float) -> tuple[Message, Event]:
    """Return the message as incomplete for a reason, and its event."""
    changes = {"status": "incomplete", "incomplete_at": int(now), "incomplete_details": {"reason": reason}}
    cut = message.model_copy(update=changes)
    return cut, event("thread.message.incomplete", cut)
