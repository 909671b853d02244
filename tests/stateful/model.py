"""A small model of the API: what the server must hold after any sequence of operations, and what it must refuse."""

from dataclasses import dataclass, field
from itertools import islice

FINAL = ("completed", "failed", "cancelled", "expired")


@dataclass
class Said:
    """A message; deleted ones stay as marks in the order."""

    id: str
    role: str
    text: str
    deleted: bool = False
    metadata: dict[str, str] = field(default_factory=dict)


@dataclass
class ARun:
    """A run in the state in which it rests: held by the model's server, waiting for its client, or final."""

    id: str
    thread: "AThread"
    kind: str
    status: str
    calls: list[str] = field(default_factory=list)
    metadata: dict[str, str] = field(default_factory=dict)

    @property
    def active(self) -> bool:
        return self.status not in FINAL

    @property
    def path(self) -> str:
        return f"/threads/{self.thread.id}/runs/{self.id}"


@dataclass
class AThread:
    """A thread with all that is in it, oldest first."""

    id: str
    metadata: dict[str, str]
    messages: list[Said] = field(default_factory=list)
    runs: list[ARun] = field(default_factory=list)
    deleted: bool = False

    @property
    def path(self) -> str:
        return f"/threads/{self.id}"

    @property
    def holder(self) -> ARun | None:
        return next((run for run in self.runs if run.active), None)

    def missing(self) -> str | None:
        return f"No thread found with id '{self.id}'." if self.deleted else None

    def refuses_message(self) -> str | None:
        """Return why the thread takes no message now."""
        busy = self.holder and f"Can't add messages to {self.id} while a run {self.holder.id} is active."
        return self.missing() or busy

    def refuses_run(self) -> str | None:
        busy = self.holder and f"Thread {self.id} already has an active run {self.holder.id}."
        return self.missing() or busy


@dataclass
class AnAssistant:
    """An assistant; deleted ones stay as marks in the order."""

    id: str
    name: str
    deleted: bool = False
    metadata: dict[str, str] = field(default_factory=dict)

    @property
    def path(self) -> str:
        return f"/assistants/{self.id}"

    def missing(self) -> str | None:
        return f"No assistant found with id '{self.id}'." if self.deleted else None


@dataclass(frozen=True)
class Question:
    """A page that is asked for."""

    order: str
    limit: int
    after: str | None = None
    before: str | None = None

    @property
    def params(self) -> dict[str, str]:
        params = {"order": self.order, "limit": str(self.limit), "after": self.after, "before": self.before}
        return {name: value for name, value in params.items() if value is not None}


def page(items: list[tuple[str, bool]], question: Question) -> tuple[list[str], bool]:
    """Return the ids of a page and whether there are more; `items` are ids, oldest first, and whether each is shown.

    A cursor may point at what is not shown any more: it still marks its place.
    """
    ordered = items if question.order == "asc" else items[::-1]
    places = {item_id: place for place, (item_id, _) in enumerate(ordered)}
    first = places[question.after] + 1 if question.after else 0
    end = places[question.before] if question.before else len(ordered)
    shown = [item_id for item_id, is_shown in ordered[first:end] if is_shown]
    if question.before and not question.after:
        return shown[-question.limit :], len(shown) > question.limit
    return list(islice(shown, question.limit)), len(shown) > question.limit


def refuses_outputs(run: ARun, given: list[str]) -> str | None:
    """Return why a run does not take these outputs."""
    if run.thread.deleted:
        return run.thread.missing()
    if run.status != "requires_action":
        return f'Runs in status "{run.status}" do not accept tool outputs.'
    if sorted(given) != sorted(run.calls):
        return f"Expected tool outputs for call_ids {run.calls}, got {given}"
    return None


def refuses_cancel(run: ARun) -> str | None:
    if run.thread.deleted:
        return run.thread.missing()
    return None if run.active else f"Cannot cancel run with status '{run.status}'."


def refuses_change(run: ARun) -> str | None:
    if run.thread.deleted:
        return run.thread.missing()
    held = run.active and run.status != "requires_action"
    return f"Cannot update run with status '{run.status}'." if held else None
