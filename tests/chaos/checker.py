"""What must hold of a cluster after everything that happened to it, read from the API and from the database."""

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import psycopg
from tests.chaos.clients import FINAL, Talk, answer_to
from tests.harness.wire import Json, Wire, outputs_of, run_path, text_of

_ENDS = ("completed", "failed", "cancelled", "expired", "incomplete")
_OF_CHECKER = "from the checker"


class Checker:
    """Brings every run to its end, then lists what is wrong."""

    def __init__(self, wire: Wire, database: str, within_s: float) -> None:
        self._wire = wire
        self._database = database
        self._within_s = within_s
        self.statuses: Counter[str] = Counter()
        self.errors: Counter[str] = Counter()

    def findings(self, talks: Sequence[Talk]) -> list[str]:
        """Return what is wrong with each talk, and with the database."""
        deadline = time.monotonic() + self._within_s
        found = [f"{talk.name} ({talk.kind}): {what}" for talk in talks for what in self._look(talk, deadline)]
        return found + self._rows()

    def _look(self, talk: Talk, deadline: float) -> list[str]:
        if not talk.thread:
            return []
        answer = self._wire.get(f"/threads/{talk.thread}/messages", params={"order": "asc", "limit": 100})
        if answer.status_code != 200:
            return [f"its acknowledged thread answers {answer.status_code}"]
        runs = self._wire.read(f"/threads/{talk.thread}/runs", limit=100)["data"]
        wrong = [] if talk.run in ["", *[run["id"] for run in runs]] else ["its acknowledged run is gone"]
        if len(runs) > (1 if talk.maybe_run else 0):
            wrong.append(f"{len(runs)} runs, asked for once")
        ended = [self._ended(run, deadline) for run in runs]
        if None in ended:
            return [*wrong, f"not final in {self._within_s:.0f} s: {[run['status'] for run in runs]}"]
        for run in ended:
            assert run
            wrong += self._ending(talk, run)
        return wrong + self._messages(talk, ended) + [line for told in talk.streams for line in illegal(told)]

    def _ended(self, run: Json, deadline: float) -> Json | None:
        """Wait for a run's end; one that waits for outputs that nobody brings gets them from here."""
        while True:
            seen = self._wire.read(run_path(run))
            if seen["status"] in FINAL:
                return seen
            if seen["status"] == "requires_action":
                count = len(seen["required_action"]["submit_tool_outputs"]["tool_calls"])
                self._wire.post(f"{run_path(run)}/submit_tool_outputs", outputs_of(seen, *[_OF_CHECKER] * count))
            if time.monotonic() > deadline:
                return None
            time.sleep(0.1)

    def _ending(self, talk: Talk, run: Json) -> list[str]:
        self.statuses[run["status"]] += 1
        wrong = []
        if talk.ended_as in FINAL and talk.ended_as != run["status"]:
            wrong.append(f"told to have ended as {talk.ended_as}, and is {run['status']}")
        if run["status"] == "cancelled" and not talk.maybe_cancelled:
            wrong.append("cancelled, though nobody asked for it")
        if run["status"] in ("expired", "incomplete"):
            wrong.append(f"{run['status']} without a reason")
        if run["status"] == "failed":
            self.errors[run["last_error"]["message"]] += 1
        if talk.cancelled and run["status"] not in ("cancelled", "completed"):
            wrong.append(f"cancelled, and {run['status']}")
        events = self._wire.follow(run)
        told = [(event.name, event.data) for event in events if event.name != "done"]
        return wrong + [f"replayed: {line}" for line in illegal(told, whole=False)]

    def _messages(self, talk: Talk, ended: Sequence[Any]) -> list[str]:
        """The question once; an answer for a run that completed, once and whole; halves only where a run broke off."""
        listed = self._wire.read(f"/threads/{talk.thread}/messages", order="asc", limit=100)["data"]
        asked = [text_of(message) for message in listed if message["role"] == "user"]
        if asked != [talk.name] and (talk.asked or asked):
            return [f"asked {talk.name}, and the thread holds {asked}"]
        said = [message for message in listed if message["role"] == "assistant"]
        whole = [text_of(message) for message in said if message["status"] == "completed"]
        unfinished = [message["status"] for message in said if message["status"] == "in_progress"]
        completed = [run for run in ended if run["status"] == "completed"]
        wrong = [f"an unfinished message of a final run: {unfinished}"] if unfinished else []
        if len(whole) != len(completed) and not (len(whole) == 1 and not completed):
            wrong.append(f"{len(completed)} completed runs, and the answers {whole}")
        return wrong + [line for text in whole for line in self._answer(talk, text)]

    def _answer(self, talk: Talk, text: str) -> list[str]:
        if talk.kind != "call":
            return [] if text == answer_to(talk.name) else [f"the answer is {text!r}"]
        outputs = [talk.acknowledged] if talk.acknowledged else [*talk.submitted, _OF_CHECKER]
        allowed = [f"{answer_to(talk.name)} It says {output}" for output in outputs]
        return [] if text in allowed else [f"the answer is {text!r}, of outputs {outputs}"]

    def _rows(self) -> list[str]:
        """Look at the database itself, past the API."""
        questions = {
            "runs that are not final": "SELECT count(*) FROM runs WHERE status NOT IN "
            "('completed', 'failed', 'cancelled', 'expired', 'incomplete')",
            "open steps of final runs": "SELECT count(*) FROM steps WHERE status = 'in_progress'",
            "open messages": "SELECT count(*) FROM messages WHERE status = 'in_progress'",
            "messages of runs that are gone": "SELECT count(*) FROM messages m WHERE run_id IS NOT NULL "
            "AND NOT EXISTS (SELECT 1 FROM runs r WHERE r.id = m.run_id)",
            "runs with two whole answers": "SELECT count(*) FROM (SELECT run_id FROM messages WHERE run_id IS NOT NULL "
            "AND status = 'completed' AND NOT abandoned GROUP BY run_id HAVING count(*) > 1) twice",
            "tokens booked wrongly": "SELECT count(*) FROM runs r WHERE status = 'completed' AND "
            "(r.usage ->> 'total_tokens')::int != (SELECT coalesce(sum((c.usage ->> 'total_tokens')::int), 0) "
            "FROM model_calls c WHERE c.run_id = r.id)",
        }
        with psycopg.connect(self._database) as connection:
            counts = {what: connection.execute(query).fetchone() for what, query in questions.items()}  # type: ignore[arg-type]
        return [f"{count[0]} {what}" for what, count in counts.items() if count and count[0]]


def illegal(told: Sequence[tuple[str, Any]], *, whole: bool = True) -> list[str]:
    """Return what is wrong with a stream's events: objects begin once, end once, and say nothing afterwards.

    One that is not `whole` may begin amid the run: a replay from the rows.
    """
    seen = _Seen(whole=whole)
    for name, data in told:
        seen.take(name, data if isinstance(data, dict) else data.model_dump())
    return [*seen.wrong, *seen.lacking()]


@dataclass
class _Seen:
    """What a stream has told so far."""

    whole: bool
    begun: set[str] = field(default_factory=set)
    ended: set[str] = field(default_factory=set)
    texts: dict[str, str] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)
    run_ended: str = ""
    last: str = ""

    def take(self, name: str, data: Json) -> None:
        self.last = name
        noun, _, what = name.rpartition(".")
        key = f"{noun}/{data['id']}"
        if self.run_ended or key in self.ended:
            self.wrong.append(f"{name} after {self.run_ended or 'the end of ' + key}")
        if what == "created":
            if key in self.begun:
                self.wrong.append(f"{name} twice")
            self.begun.add(key)
        elif what == "delta":
            if self.whole and key not in self.begun:
                self.wrong.append(f"{name} before its object was created")
            self.texts[key] = self.texts.get(key, "") + _text(data["delta"])
        elif what in _ENDS:
            self._end(name, key, data)

    def lacking(self) -> list[str]:
        """Return what an end is missing of: of the stream, and of objects of a run that ended well."""
        if not self.run_ended and self.last != "thread.run.requires_action":
            return [f"it ends with {self.last or 'nothing'}"]
        left = self.begun - self.ended if self.run_ended == "thread.run.completed" else set()
        return [f"{key} has no end" for key in left if key.startswith(("thread.message/", "thread.run.step/"))]

    def _end(self, name: str, key: str, data: Json) -> None:
        self.ended.add(key)
        if name == "thread.message.completed" and key in self.begun and self.whole:
            said, kept = self.texts.get(key, ""), text_of(data)
            if said != kept:
                self.wrong.append(f"its deltas say {said!r}, its end {kept!r}")
        if key.startswith("thread.run/"):
            self.run_ended = name


def _text(delta: Any) -> str:
    return "".join(part["text"]["value"] for part in delta.get("content") or [] if part.get("text"))
