"""What is told of a run that was not heard of it: out of its rows, and out of the ends of its objects."""

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection

from understudy.engine.orderly import Orderly, about
from understudy.engine.transitions import told
from understudy.errors import NotFound
from understudy.protocol.events import Event, event, image_delta, refusal_delta, text_delta
from understudy.protocol.messages import Message
from understudy.protocol.runs import RESTING
from understudy.protocol.steps import RunStep
from understudy.storage import messages, runs, steps, threads
from understudy.storage.runs import RunRecord

_OF_AN_END = frozenset(
    ("completed_at", "cancelled_at", "failed_at", "expired_at", "incomplete_at", "incomplete_details", "last_error")
) | {"usage"}
"""What an object does not have yet as it begins."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A run as its rows have it, with the ids of the objects in it that have ended and that have not."""

    run: RunRecord
    events: list[Event]
    finished: frozenset[str]
    unfinished: frozenset[str]

    def covers(self, later: Event) -> bool:
        """Tell whether a live event says nothing new to who has read the snapshot.

        Deltas of an unfinished object are of no use: those before the snapshot are lost, and its end brings the whole.
        """
        object_id = json.loads(later.data)["id"]
        if object_id in self.unfinished:
            return later.name.endswith((".created", ".in_progress", ".delta"))
        same_status = object_id == self.run.id and later.name == f"thread.run.{self.run.status}"
        return object_id in self.finished or same_status


def snapshot_of(connection: Connection, project: str, thread_id: str, run_id: str) -> Snapshot:
    threads.get(connection, project, thread_id)
    run = runs.get(connection, project, thread_id, run_id)
    parts: list[Message | RunStep] = []
    events: list[Event] = []
    for kept in steps.of_run(connection, run_id):
        step = kept.shown(with_results=run.include_results)
        message = _message_of(connection, project, step)
        parts += [step] if message is None else [step, message]
        events += _step_events(step, message)
    unfinished = frozenset(part.id for part in parts if part.status == "in_progress")
    finished = frozenset(part.id for part in parts) - unfinished
    events = [*events, told(run)] if run.status in RESTING else [told(run), *events]
    return Snapshot(run, events, finished, unfinished)


def _message_of(connection: Connection, project: str, step: RunStep) -> Message | None:
    """The message that a step wrote, unless it wrote none or somebody has deleted it since."""
    created = step.step_details.get("message_creation")
    if created is not None:
        with suppress(NotFound):
            return messages.get(connection, project, step.thread_id, created["message_id"])
    return None


def _step_events(step: RunStep, message: Message | None) -> list[Event]:
    """A finished object whole; an unfinished one as it began: its end will bring the whole."""
    events = [_as_begun("thread.run.step", step, {"usage": None})] if step.status == "in_progress" else []
    if message is not None and message.status == "in_progress":
        events.append(_as_begun("thread.message", message, {"content": []}))
    elif message is not None:
        events.append(event(f"thread.message.{message.status}", message))
    if step.status != "in_progress":
        events.append(event(f"thread.run.step.{step.status}", step))
    return events


def _as_begun(noun: str, begun: Message | RunStep, changes: dict[str, object]) -> Event:
    return event(f"{noun}.created", begun.model_copy(update=changes))


def _unsaid(end: Event, heard: Sequence[Event]) -> list[Event]:
    """Return, before the end of a message that was begun, what of its text was not told: deltas make up the whole.

    Who came in its midst hears the end alone.
    """
    if not end.name.startswith("thread.message."):
        return []
    message = json.loads(end.data)
    if not heard or about(heard[0]) != message["id"]:
        return []
    said: dict[int, str] = {}
    for delta in (json.loads(each.data)["delta"] for each in heard if each.name == "thread.message.delta"):
        for part in delta["content"]:
            said[part["index"]] = said.get(part["index"], "") + part.get("text", {}).get("value", "")
    texts = [(index, part["text"]["value"]) for index, part in enumerate(message["content"]) if part["type"] == "text"]
    rests = [(index, text.removeprefix(said.get(index, ""))) for index, text in texts]
    return [text_delta(message["id"], index, rest, first=index not in said) for index, rest in rests if rest]


def all_before(end: Event) -> list[Event]:
    """Return what comes before an object's end, out of that: how it began, and what a message says.

    A message ends before its step does, so here it also begins before it.
    """
    data = json.loads(end.data)
    begun = {**data, "status": "in_progress", **{key: None for key in data if key in _OF_AN_END}}
    if "content" in begun:
        begun["content"] = []
    elif "tool_calls" in data["step_details"]:
        begun["step_details"] = {"type": "tool_calls", "tool_calls": []}
    noun, text = end.name.rpartition(".")[0], json.dumps(begun, ensure_ascii=False, separators=(",", ":"))
    said = [_delta(data["id"], index, part) for index, part in enumerate(data.get("content", []))]
    return [Event(f"{noun}.created", text), *said]


def _delta(message_id: str, index: int, part: Mapping[str, Any]) -> Event:
    """A part of a message, whole."""
    if part["type"] == "image_file":
        return image_delta(message_id, index, part["image_file"]["file_id"])
    if part["type"] == "refusal":
        return refusal_delta(message_id, index, part["refusal"])
    return text_delta(message_id, index, part["text"]["value"], first=True)


def with_all_before(ends: Sequence[Event], place: Orderly) -> list[Event]:
    """Return ends, each after what has to be told before it."""
    before = (all_before(end) if place.lacks_beginning(end) else _unsaid(end, place.heard) for end in ends)
    return [part for end, first in zip(ends, before, strict=True) for part in (*first, end)]
