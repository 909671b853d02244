"""What a scripted model says: replies and faults, and the default brain that makes replies up from the request."""

import json
import re
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Body = Mapping[str, Any]


class Gate:
    """Holds a reply back until the test opens it."""

    def __init__(self) -> None:
        self._open = threading.Event()

    def open(self) -> None:
        self._open.set()

    @property
    def is_open(self) -> bool:
        return self._open.is_set()


@dataclass(frozen=True)
class Call:
    """One tool call. `arguments` is the raw JSON text, so that a test can send a broken one."""

    name: str
    arguments: str = "{}"
    id: str | None = None


@dataclass(frozen=True)
class Reply:
    """A streamed answer: text first (narration), then tool calls, then usage where the caller asked for it.

    `hold` delays the first byte, `pause` the stream after `pause_after` pieces, until the gate opens.
    `cut_after` drops the connection after so many pieces, `garbage_after` sends a line that is no JSON.
    """

    text: str = ""
    calls: Sequence[Call] = ()
    usage: tuple[int, int] | None = (20, 10)
    finish: str | None = None
    refusal: str = ""
    tokens: Sequence[str] = ()
    delay_s: float = 0.0
    hold: Gate | None = None
    pause: Gate | None = None
    pause_after: int = 1
    cut_after: int | None = None
    garbage_after: int | None = None

    def pieces(self) -> list[dict[str, Any]]:
        """Return the deltas of the stream, in order."""
        words = list(self.tokens) or split_tokens(self.text)
        texts = [{"content": word} for word in words]
        refusals = [{"refusal": word} for word in split_tokens(self.refusal)]
        return texts + refusals + [piece for n, call in enumerate(self.calls) for piece in _call_pieces(n, call)]

    @property
    def finish_reason(self) -> str:
        return self.finish or ("tool_calls" if self.calls else "stop")


@dataclass(frozen=True)
class Refusal:
    """An HTTP error instead of a stream."""

    status: int
    message: str = "The upstream is out of order."
    headers: Mapping[str, str] = field(default_factory=dict)
    kind: str = "server_error"
    code: str | None = None


Answer = Reply | Refusal
Brain = Callable[[Body], Answer]
Scripted = Answer | Brain
"""An answer, or what makes one up from the request."""


def split_tokens(text: str) -> list[str]:
    return re.findall(r"\s*\S+|\s+$", text)


def _call_pieces(index: int, call: Call) -> list[dict[str, Any]]:
    head = {
        "index": index,
        "id": call.id or f"call_upstream{index}",
        "type": "function",
        "function": {"name": call.name, "arguments": ""},
    }
    fragments = re.findall(r"(?s).{1,6}", call.arguments)
    tails = [{"index": index, "function": {"arguments": fragment}} for fragment in fragments]
    return [{"tool_calls": [part]} for part in [head, *tails]]


def default_brain(body: Body) -> Answer:
    """Call every tool once after a user's message; after tool outputs, name them; without tools, echo."""
    outputs = _latest_outputs(body["messages"])
    if outputs:
        return Reply("The tools said: " + "; ".join(outputs))
    question = last_user_text(body["messages"])
    tools = body.get("tools") or []
    if not tools or body.get("tool_choice") == "none":
        return Reply(f"You said: {question}")
    return Reply(calls=[_call_of(tool["function"], question) for tool in tools])


def last_user_text(messages: Sequence[Body]) -> str:
    content = next((m["content"] for m in reversed(messages) if m["role"] == "user"), "")
    if isinstance(content, str):
        return content
    return " ".join(part["text"] for part in content if part["type"] == "text")


def _latest_outputs(messages: Sequence[Body]) -> list[str]:
    outputs: list[str] = []
    for message in reversed(messages):
        if message["role"] != "tool":
            break
        outputs.insert(0, str(message["content"]))
    return outputs


_PLACES = ("부산", "서울", "旧金山", "San Francisco, CA")


def _call_of(function: Body, question: str) -> Call:
    properties = (function.get("parameters") or {}).get("properties") or {}
    arguments = {name: _value_of(schema, question) for name, schema in properties.items()}
    return Call(function["name"], json.dumps(arguments, ensure_ascii=False))


def _value_of(schema: Body, question: str) -> object:
    if "enum" in schema:
        return schema["enum"][0]
    if schema.get("type") == "string":
        return next((place for place in _PLACES if place.split(",")[0] in question), "somewhere")
    return {"integer": 1, "number": 1.5, "boolean": True, "array": [], "object": {}}.get(str(schema.get("type")))
