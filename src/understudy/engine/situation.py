"""What a turn of a run starts from, as the rows have it."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce

from sqlalchemy import Connection

from understudy.engine import prompt as prompts
from understudy.engine.annotate import Marks, Quote, marks_of
from understudy.engine.prompt import Placed
from understudy.protocol.messages import Message
from understudy.protocol.runs import Usage, add_usage, usage
from understudy.protocol.steps import RunStep
from understudy.storage import messages, model_calls, steps
from understudy.storage.runs import RunRecord

HISTORY_PAGE = 200
CHARACTERS_PER_TOKEN = 4


@dataclass(frozen=True, slots=True)
class Situation:
    """The thread before a call of the model. `images` were drawn since the run's last message."""

    history: list[Placed]
    used: Usage
    calls_made: int
    characters: int
    marks: Marks
    images: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class OpenCalls:
    """A step whose calls are whole and wait for outputs, and its place in the thread."""

    place: int
    step: RunStep


def situation(connection: Connection, run: RunRecord, window: int, quote: Quote) -> Situation | OpenCalls:
    """Read what the next turn of a run starts from; `window` is the model's, in tokens."""
    waiting = steps.open_calls(connection, run.id)
    if waiting is not None:
        return OpenCalls(*waiting)
    spoken = _recent_messages(connection, run.thread_id, window * CHARACTERS_PER_TOKEN)
    kept = prompts.within_strategy(run, spoken)
    called = steps.finished_tools(connection, run.thread_id, since=kept[0][0] if kept else 0)
    finished = [call for call in model_calls.of_run(connection, run.id) if call.usage is not None]
    searches = any(tool["type"] == "file_search" for tool in run.tools)
    return Situation(
        prompts.merge(kept, called),
        reduce(add_usage, (call.usage or usage() for call in finished), usage()),
        len(finished),
        sum(_characters(item) for _, item in kept)
        + sum(len(str(item.step_details)) for _, item in called)
        + len(run.instructions or ""),
        marks_of([step for _, step in called], searches=searches, quote=quote),
        _new_images(run, kept, called),
    )


def _new_images(
    run: RunRecord, spoken: Sequence[tuple[int, Message]], called: Sequence[tuple[int, RunStep]]
) -> tuple[str, ...]:
    since = max((place for place, message in spoken if message.run_id == run.id), default=0)
    new = [step for place, step in called if step.run_id == run.id and place > since]
    calls = [call for step in new for call in step.step_details.get("tool_calls", [])]
    outputs = [output for call in calls for output in call.get("code_interpreter", {}).get("outputs", [])]
    return tuple(output["image"]["file_id"] for output in outputs if output["type"] == "image")


def _characters(message: Message) -> int:
    return sum(len(part["text"]["value"]) for part in message.content if "text" in part)


def _recent_messages(connection: Connection, thread_id: str, characters: int) -> list[tuple[int, Message]]:
    """Read backwards through a thread for as long as it could still fit, oldest first in the result."""
    found: list[tuple[int, Message]] = []
    before: int | None = None
    while characters > 0:
        more = messages.newest(connection, thread_id, HISTORY_PAGE, before)
        found += more
        if len(more) < HISTORY_PAGE:
            break
        before = more[-1][0]
        characters -= sum(_characters(item) for _, item in more)
    return found[::-1]
