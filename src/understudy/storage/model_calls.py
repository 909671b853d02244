"""The record of every call of a model: when, what it was given, what it used.

The prompt itself is not stored a second time: the messages and instructions it was made of are named.
"""

from dataclasses import asdict, dataclass

from sqlalchemy import Connection, select

from understudy.errors import NotFound
from understudy.protocol.base import JsonObject
from understudy.protocol.runs import Usage
from understudy.storage import daily_tokens
from understudy.storage.rows import given, insert
from understudy.storage.schema import model_calls

NOUN = "model call"


@dataclass(frozen=True, slots=True)
class ModelCall:
    """Times are Unix seconds; `message_ids` are the messages in the prompt, oldest first.

    `built_in` are the built-in tools as the model was told of them: name, description, parameters, strict.
    """

    id: str
    project: str
    run_id: str
    thread_id: str
    attempt: int
    model: str
    started_at: float
    instructions: str | None
    message_ids: list[str]
    first_token_at: float | None = None
    finished_at: float | None = None
    finish_reason: str | None = None
    usage: Usage | None = None
    step_id: str | None = None
    built_in: list[JsonObject] | None = None


_OF_RUN = select(model_calls).where(given(model_calls.c.run_id)).order_by(model_calls.c.started_at)
_USAGES = select(model_calls.c.usage).where(given(model_calls.c.run_id))


def add(connection: Connection, call: ModelCall) -> None:
    """Record a call, at its end or at its failure."""
    insert(connection, model_calls, asdict(call))
    book(connection, call)


def book(connection: Connection, call: ModelCall) -> None:
    """Book on its day what a call has used, if that is known."""
    if call.usage is not None:
        day = daily_tokens.day_of(call.started_at)
        daily_tokens.add(connection, call.project, day, call.usage["total_tokens"])


def of_run(connection: Connection, run_id: str) -> list[ModelCall]:
    """Return a run's calls, oldest first."""
    return [ModelCall(**row) for row in connection.execute(_OF_RUN, {"given_run_id": run_id}).mappings()]


def usages(connection: Connection, run_id: str) -> list[Usage]:
    """Return what each of a run's calls used, less those that came to no end."""
    found = connection.execute(_USAGES, {"given_run_id": run_id}).scalars()
    return [used for used in found if used is not None]


def get(connection: Connection, run_id: str, call_id: str) -> ModelCall:
    """Raises NotFound."""
    mine = (model_calls.c.id == call_id, model_calls.c.run_id == run_id)
    row = connection.execute(select(model_calls).where(*mine)).mappings().first()
    if row is None:
        raise NotFound(NOUN, call_id)
    return ModelCall(**row)


def usage_of_step(connection: Connection, step_id: str) -> Usage | None:
    """Return what the call behind a step used: a step shows it only once it has completed."""
    found: Usage | None = connection.execute(
        select(model_calls.c.usage).where(model_calls.c.step_id == step_id)
    ).scalar()
    return found
