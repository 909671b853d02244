"""The only place where a status changes: which changes are legal, and what each leaves on the row."""

import json
from itertools import product
from typing import Any, get_args

import pytest
from tests.storage.builders import NOW, message, run, step

from understudy.engine.transitions import (
    LEGAL,
    IllegalTransition,
    complete_message,
    cut_message,
    end_step,
    move,
    told,
)
from understudy.protocol.runs import FINAL, RunStatus, usage

STATUSES: tuple[RunStatus, ...] = get_args(RunStatus)
PAIRS = [(before, after) for before, after in product(STATUSES, STATUSES)]
STAMPS = {"started_at", "completed_at", "failed_at", "cancelled_at"}
STAMP = {
    "in_progress": "started_at",
    "completed": "completed_at",
    "incomplete": "completed_at",
    "failed": "failed_at",
    "cancelled": "cancelled_at",
}

DRAWN = {
    ("queued", "in_progress"),
    ("in_progress", "completed"),
    ("in_progress", "incomplete"),
    ("in_progress", "requires_action"),
    ("in_progress", "queued"),
    ("requires_action", "queued"),
    ("cancelling", "cancelled"),
    ("cancelling", "expired"),
    ("cancelling", "failed"),
    *product(("queued", "in_progress", "requires_action"), ("cancelling", "cancelled", "expired", "failed")),
}


@pytest.mark.parametrize(("before", "after"), PAIRS)
def test_every_pair_is_legal_or_refused(before: RunStatus, after: RunStatus) -> None:
    if (before, after) in DRAWN:
        moved, event = move(run(status=before), after, NOW)
        assert (moved.status, event.name) == (after, f"thread.run.{after}")
        return
    with pytest.raises(IllegalTransition, match=f"from {before} to {after}"):
        move(run(status=before), after, NOW)


def test_every_status_is_known() -> None:
    assert set(LEGAL) == set(STATUSES)


@pytest.mark.parametrize(("before", "after"), sorted(DRAWN))
def test_a_change_stamps_its_own_moment_only(before: Any, after: Any) -> None:
    moved, _ = move(run(status=before), after, NOW + 5.9)
    stamped = {name for name in STAMPS if getattr(moved, name) is not None}
    assert stamped == ({STAMP[after]} if after in STAMP else set())
    if after in STAMP:
        assert getattr(moved, STAMP[after]) == NOW + 5


@pytest.mark.parametrize(("before", "after"), sorted(DRAWN))
def test_the_expiry_is_kept_until_the_end_and_by_the_expired(before: Any, after: Any) -> None:
    moved, _ = move(run(status=before), after, NOW)
    assert moved.expires_at == (None if after in FINAL - {"expired"} else NOW + 600)


@pytest.mark.parametrize(("before", "after"), sorted(DRAWN))
def test_only_ended_runs_have_a_usage(before: Any, after: Any) -> None:
    moved, _ = move(run(status=before), after, NOW)
    assert moved.usage == (usage() if after in FINAL else None)


def test_facts_come_with_the_change() -> None:
    used = usage(3, 4)
    error = {"code": "server_error", "message": "Sorry."}
    moved, _ = move(run(status="in_progress"), "failed", NOW, usage=used, last_error=error)
    assert (moved.usage, moved.last_error) == (used, error)


def test_an_action_is_required_only_while_it_is() -> None:
    action = {"type": "submit_tool_outputs", "submit_tool_outputs": {"tool_calls": []}}
    waiting, _ = move(run(status="in_progress", worker="w"), "requires_action", NOW, required_action=action)
    assert (waiting.required_action, waiting.worker) == (action, None)
    queued, _ = move(waiting, "queued", NOW)
    assert queued.required_action is None


def test_a_run_begun_again_has_a_new_start() -> None:
    begun, _ = move(run(), "in_progress", NOW)
    again, _ = move(move(begun, "queued", NOW)[0], "in_progress", NOW + 60)
    assert (begun.started_at, again.started_at) == (NOW, NOW + 60)


def test_the_event_holds_the_whole_run() -> None:
    moved, event = move(run(temperature=0.0), "in_progress", NOW)
    assert json.loads(event.data) == moved.shown().model_dump()
    assert told(moved) == event
    assert json.loads(event.data)["temperature"] == 0.0


@pytest.mark.parametrize("status", ["completed", "cancelled", "failed", "expired"])
def test_a_step_ends_with_its_stamp(status: Any) -> None:
    ended, event = end_step(step(run()), status, NOW, used=usage(1, 2))
    assert (ended.status, getattr(ended, f"{status}_at"), ended.usage) == (status, NOW, usage(1, 2))
    stamps = {name for name in ("completed_at", "cancelled_at", "failed_at", "expired_at") if getattr(ended, name)}
    assert stamps == {f"{status}_at"}
    assert event.name == f"thread.run.step.{status}"
    assert json.loads(event.data) == ended.model_dump()


def test_a_failed_step_says_why() -> None:
    ended, _ = end_step(step(run()), "failed", NOW, error={"code": "server_error", "message": "Sorry."})
    assert ended.last_error == {"code": "server_error", "message": "Sorry."}


def test_a_message_ends_whole_or_cut() -> None:
    begun = message("thread_x", status="in_progress", completed_at=None)
    whole, whole_told = complete_message(begun, NOW)
    assert (whole.status, whole.completed_at, whole.incomplete_at) == ("completed", NOW, None)
    assert whole_told.name == "thread.message.completed"
    cut, cut_told = cut_message(begun, "run_expired", NOW)
    assert (cut.status, cut.completed_at, cut.incomplete_at) == ("incomplete", None, NOW)
    assert cut.incomplete_details == {"reason": "run_expired"}
    assert cut_told.name == "thread.message.incomplete"
