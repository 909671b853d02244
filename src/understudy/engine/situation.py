"""What a turn of a run starts from, as the rows have it."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce

from sqlalchemy import Connection

from understudy.engine import prompt as prompts
from understudy.engine.annotate import Marks, Quote, marks_of
from understudy.engine.prompt import Placed
from understudy.protocol.runs import Usage, add_usage, usage
from understudy.protocol.steps import RunStep
from understudy.storage import messages, model_calls, steps
from understudy.storage.messages import Said
from understudy.storage.runs import RunRecord

HISTORY_PAGE = 200
CHARACTERS_PER_TOKEN = 4
CHARACTERS_AROUND = 16
"""What the format around a message takes."""


@dataclass(frozen=True, slots=True)
class Situation:
    """The thread before a call of the model. `images` were drawn since the run's last message.

    `call_ids` are those of the tools' calls among `history`, in which the run's own always are.
    """

    history: list[Placed]
    used: Usage
    calls_made: int
    characters: int
    marks: Marks
    images: tuple[str, ...]
    call_ids: frozenset[str]


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
    spoken = _recent_messages(connection, run, window * CHARACTERS_PER_TOKEN)
    kept = prompts.within_strategy(run, spoken)
    since = kept[0][0] if kept and kept[0][1].run_id != run.id else 0  # a run's own steps come before its words
    called = steps.finished_tools(connection, run.thread_id, since)
    history = prompts.merge(kept, called)
    made = model_calls.usages(connection, run.id)
    searches = any(tool["type"] == "file_search" for tool in run.tools)
    return Situation(
        history,
        reduce(add_usage, made, usage()),
        len(made),
        sum(prompts.characters(item) for _, item in history) + len(run.instructions or ""),
        marks_of([step for _, step in called], searches=searches, quote=quote),
        _new_images(run, kept, called),
        frozenset(call["id"] for _, step in called for call in step.step_details.get("tool_calls", [])),
    )


def _new_images(
    run: RunRecord, spoken: Sequence[tuple[int, Said]], called: Sequence[tuple[int, RunStep]]
) -> tuple[str, ...]:
    since = max((place for place, message in spoken if message.run_id == run.id), default=0)
    new = [step for place, step in called if step.run_id == run.id and place > since]
    calls = [call for step in new for call in step.step_details.get("tool_calls", [])]
    outputs = [output for call in calls for output in call.get("code_interpreter", {}).get("outputs", [])]
    return tuple(output["image"]["file_id"] for output in outputs if output["type"] == "image")


def _recent_messages(connection: Connection, run: RunRecord, characters: int) -> list[tuple[int, Said]]:
    """Read backwards through a thread for as long as it could still fit and is wanted, oldest first in the result."""
    found: list[tuple[int, Said]] = []
    before: int | None = None
    wanted = prompts.wanted_of_others(run)
    while characters > 0 and wanted > 0:
        more = messages.newest(connection, run.thread_id, HISTORY_PAGE, before)
        found += more
        if len(more) < HISTORY_PAGE:
            break
        before = more[-1][0]
        characters -= sum(prompts.characters(item) + CHARACTERS_AROUND for _, item in more)
        wanted -= sum(item.run_id != run.id for _, item in more)
    return found[::-1]
