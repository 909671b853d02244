"""From a thread to the messages that a model is given. Pure: what was read comes in, a prompt goes out."""

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from understudy.inference.base import ChatMessage, CompletionRequest, ToolSpec
from understudy.protocol.messages import Content
from understudy.protocol.steps import RunStep, ToolCall
from understudy.protocol.tools import Tool
from understudy.storage.messages import Said
from understudy.storage.runs import RunRecord

Placed = tuple[int, Said] | tuple[int, RunStep]
CountTokens = Callable[[Sequence[ChatMessage], Sequence[ToolSpec]], int]
"""Counts a prompt, or a part of one: the parts' counts add up to the whole's."""

ANSWER_SHARE = 4
"""One part in this many of the model's window is kept free for its answer."""
KNOWN_SIZES = 50_000


@dataclass(frozen=True, slots=True)
class Prompt:
    """What goes to the model, and the ids of the messages it was made of."""

    request: CompletionRequest
    message_ids: list[str]


class DoesNotFit(Exception):
    """Not even what must be said fits into the tokens that are left."""


def merge(messages: Sequence[tuple[int, Said]], tool_steps: Sequence[tuple[int, RunStep]]) -> list[Placed]:
    """Put messages and tool calls into the order in which they happened."""
    return sorted([*messages, *tool_steps], key=lambda placed: placed[0])


def wanted_of_others(run: RunRecord) -> float:
    """Return how many messages that are not its own a run is told of at most."""
    limit = run.truncation_strategy["last_messages"]
    return math.inf if run.truncation_strategy["type"] == "auto" or limit is None else limit


def within_strategy(run: RunRecord, messages: Sequence[tuple[int, Said]]) -> list[tuple[int, Said]]:
    """Apply `truncation_strategy`: of what others said, the last messages; what this run said stays."""
    limit = wanted_of_others(run)
    before = [placed for placed in messages if placed[1].run_id != run.id]
    if len(before) <= limit:
        return list(messages)
    kept = {message.id for _, message in before[-int(limit) :]}
    return [placed for placed in messages if placed[1].run_id == run.id or placed[1].id in kept]


def build(
    run: RunRecord,
    history: Sequence[Placed],
    *,
    model: str,
    tools: Sequence[ToolSpec],
    first_call: bool,
    budget: int | None,
) -> Prompt:
    """Make the request for a run's next model call; `budget` is what its limit leaves for the answer, in tokens."""
    request = CompletionRequest(
        model=model,
        messages=[*_instructions(run), *_chat(run.project, [item for _, item in history])],
        tools=tools,
        tool_choice=_tool_choice(run, first_call=first_call) if tools else None,
        parallel_tool_calls=run.parallel_tool_calls if tools else None,
        temperature=run.temperature,
        top_p=run.top_p,
        max_tokens=budget,
        response_format=None if run.response_format in (None, "auto") else run.response_format,  # type: ignore[arg-type]
        reasoning_effort=run.reasoning_effort,
    )
    return Prompt(request, [item.id for _, item in history if isinstance(item, Said)])


def characters(item: Said | RunStep) -> int:
    """Return about how much an item of a thread says."""
    if isinstance(item, Said):
        return sum(len(part["text"]["value"]) for part in item.content if "text" in part)
    return len(str(item.step_details))


class Sizes:
    """How many tokens each message or step takes, by its id: what is finished does not change.

    The next run on a thread is told most of what the last one was.
    """

    def __init__(self, count: CountTokens) -> None:
        self.count = count
        self._known: dict[str, int] = {}

    def of(self, item: Said | RunStep) -> int:
        """Return what an item of a thread adds to a prompt, in tokens."""
        known = self._known.get(item.id)
        if known is None:
            if len(self._known) >= KNOWN_SIZES:
                self._known.clear()
            known = self._known[item.id] = self.count(_chat("", [item]), ())
        return known


def fit(
    run: RunRecord,
    history: Sequence[Placed],
    make: Callable[[Sequence[Placed]], Prompt],
    limit: int,
    sizes: Sizes,
) -> Prompt:
    """Leave out the oldest of the history until the prompt has at most `limit` tokens.

    The last message that is not this run's own, and all that follows it, stays. Raises DoesNotFit.
    """
    if sum(characters(item) for _, item in history) <= limit and _bytes((whole := make(history)).request) <= limit:
        return whole  # a token is a byte or more: there is no need to count
    around = make([]).request
    left = limit - sizes.count(around.messages, around.tools)
    start = len(history)
    while start > 0 and left >= 0:
        left -= sizes.of(history[start - 1][1])
        start -= left >= 0
    if left < 0 and start > _first_needed(run, history):
        raise DoesNotFit
    return make(history[start:])


def _first_needed(run: RunRecord, history: Sequence[Placed]) -> int:
    others = [place for place, (_, item) in enumerate(history) if isinstance(item, Said) and item.run_id != run.id]
    return others[-1] if others else 0


def _bytes(request: CompletionRequest) -> int:
    parameters = [tool.parameters for tool in request.tools]
    return len(json.dumps([*request.messages, *parameters], ensure_ascii=False).encode())


def spec(tool: Tool) -> ToolSpec:
    """Tell the model of a function."""
    function = tool["function"]
    strict = function["strict"] or None  # false is what the API fills in: it was never asked for
    return ToolSpec(function["name"], function.get("description"), function["parameters"], strict)


def _instructions(run: RunRecord) -> list[ChatMessage]:
    return [{"role": "system", "content": run.instructions}] if run.instructions else []


def _tool_choice(run: RunRecord, *, first_call: bool) -> Any:
    """A forced tool is forced once, or the run would never end (behaviours.md, section 3).

    A built-in tool is a function to the model.
    """
    choice = run.tool_choice
    if choice in (None, "none", "auto"):
        return choice
    if not first_call:
        return "auto"
    if isinstance(choice, str) or choice["type"] == "function":
        return choice
    return {"type": "function", "function": {"name": choice["type"]}}


def _chat(project: str, history: Sequence[Said | RunStep]) -> list[ChatMessage]:
    chat: list[ChatMessage] = []
    said_by: str | None = None  # the run whose narration stands last, and may take tool calls onto it
    for item in history:
        if isinstance(item, Said):
            chat.append({"role": item.role, "content": _content(project, item)})
            said_by = item.run_id if item.role == "assistant" else None
            continue
        calls = item.step_details.get("tool_calls", [])
        narration = chat.pop()["content"] if said_by == item.run_id and said_by is not None else None
        chat.append({"role": "assistant", "content": narration, "tool_calls": [_called(call) for call in calls]})
        chat.extend({"role": "tool", "tool_call_id": call["id"], "content": _output(call)} for call in calls)
        said_by = None
    return chat


def _called(call: ToolCall) -> dict[str, Any]:
    if call["type"] == "function":
        function = {"name": call["function"]["name"], "arguments": call["function"]["arguments"]}
    else:
        function = {"name": call["type"], "arguments": call.get("arguments", "{}")}
    return {"id": call["id"], "type": "function", "function": function}


def _output(call: ToolCall) -> str:
    return (call["function"]["output"] if call["type"] == "function" else call.get("output")) or ""


def _content(project: str, message: Said) -> str | list[dict[str, Any]]:
    """A single text stays a string: some upstreams know no other form."""
    parts = message.content
    if all(part["type"] in ("text", "refusal") for part in parts):
        return "\n".join(part["text"]["value"] if part["type"] == "text" else part["refusal"] for part in parts)
    return [_part(project, message.role, part) for part in parts]


def _part(project: str, role: str, part: Content) -> dict[str, Any]:
    """One part as the model gets it. A file's picture is read by whoever knows whether the model takes pictures.

    What an assistant has said holds no pictures in the format of chat completions.
    """
    match part["type"]:
        case "image_url":
            return {"type": "image_url", "image_url": part["image_url"]}
        case "image_file" if role == "user":
            return {"type": "image_file", "image_file": {"project": project, **part["image_file"]}}
        case "image_file":
            return {"type": "text", "text": f"[image {part['image_file']['file_id']}]"}
        case "refusal":
            return {"type": "text", "text": part["refusal"]}
        case _:
            return {"type": "text", "text": part["text"]["value"]}
