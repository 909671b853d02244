"""Events of a run's stream: a name and one line of JSON. Source: surface.md, section 4."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pydantic_core import to_json

from understudy.protocol.base import WireModel
from understudy.protocol.runs import FINAL

DONE = "done"
ERROR = "error"

RUN_ENDS = frozenset(f"thread.run.{status}" for status in FINAL)
"""Events after which a run has no further ones."""

ENDS = RUN_ENDS | {
    *(f"thread.run.step.{status}" for status in ("completed", "cancelled", "failed", "expired")),
    *(f"thread.message.{status}" for status in ("completed", "incomplete")),
}
"""Events that are the last of their object."""

BEGINNINGS = frozenset({"thread.created", "thread.run.created"})
"""Events with which a run's stream begins."""

PAUSE = "thread.run.requires_action"

STREAM_ENDS = RUN_ENDS | {PAUSE}
"""Events after which a client's stream ends."""


@dataclass(frozen=True, slots=True)
class Event:
    """One event; `data` is its JSON text, encoded once however many clients follow."""

    name: str
    data: str


def event(name: str, body: WireModel) -> Event:
    """An event that carries a whole object."""
    return Event(name, body.model_dump_json())


def alike(names: Sequence[str], body: WireModel) -> list[Event]:
    """Events that carry the same whole object, which is encoded once."""
    data = body.model_dump_json()
    return [Event(name, data) for name in names]


def text_delta(
    message_id: str, index: int, text: str, *, first: bool, annotations: Sequence[Mapping[str, object]] = ()
) -> Event:
    """A piece of text; only the first of a part, and a mark's, has `annotations` (recorded)."""
    value = {"value": text, "annotations": list(annotations)} if first or annotations else {"value": text}
    return _message_delta(message_id, {"index": index, "type": "text", "text": value})


def image_delta(message_id: str, index: int, file_id: str) -> Event:
    """An image, whole."""
    return _message_delta(message_id, {"index": index, "type": "image_file", "image_file": {"file_id": file_id}})


def refusal_delta(message_id: str, index: int, text: str) -> Event:
    """A piece of a refusal."""
    return _message_delta(message_id, {"index": index, "type": "refusal", "refusal": text})


def call_delta(step_id: str, index: int, call_id: str, name: str) -> Event:
    """The opening of a function call, with no arguments yet."""
    function = {"name": name, "arguments": "", "output": None}
    return _step_delta(step_id, {"index": index, "id": call_id, "type": "function", "function": function})


def arguments_delta(step_id: str, index: int, fragment: str) -> Event:
    """A piece of a function call's arguments."""
    return _step_delta(step_id, {"index": index, "type": "function", "function": {"arguments": fragment}})


def tool_delta(step_id: str, index: int, kind: str, details: Mapping[str, object], call_id: str | None = None) -> Event:
    """A piece of a built-in tool's call: its opening, which alone has an id, its input or its outputs."""
    opened = {} if call_id is None else {"id": call_id}
    return _step_delta(step_id, {"index": index, **opened, "type": kind, kind: details})


def _message_delta(message_id: str, part: dict[str, object]) -> Event:
    return _delta("thread.message.delta", message_id, {"content": [part]})


def _step_delta(step_id: str, call: Mapping[str, object]) -> Event:
    return _delta("thread.run.step.delta", step_id, {"step_details": {"type": "tool_calls", "tool_calls": [call]}})


def _delta(name: str, object_id: str, delta: dict[str, object]) -> Event:
    return Event(name, to_json({"id": object_id, "object": name, "delta": delta}).decode())
