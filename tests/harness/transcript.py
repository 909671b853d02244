"""Transcripts of flows: what was sent and what came back, line by line, ids and times aside."""

import difflib
import json
import os
import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tests.harness.wire import Event, Json, Wire, run_path

_ID = re.compile(r"\b(?:(?:asst|thread|msg|run|step|call)_|file-)[A-Za-z0-9]{22,24}\b")
UPDATE = "UNDERSTUDY_UPDATE_GOLDEN"


class Transcript:
    """Talks through a wire and writes down both sides."""

    def __init__(self, wire: Wire) -> None:
        self.wire = wire
        self._lines: list[Json] = []
        self._names: dict[str, str] = {}
        self._counts: Counter[str] = Counter()

    def send(self, method: str, path: str, body: Json | None = None) -> Json:
        self._note(
            {"request": f"{method} {path}", "body": body} if body is not None else {"request": f"{method} {path}"}
        )
        response = self.wire.http.request(method, path, json=body)
        self._note({"status": response.status_code, "answer": response.json()})
        return response.json()

    def stream(self, path: str, body: Json) -> list[Event]:
        self._note({"request": f"POST {path}", "body": body | {"stream": True}})
        return self.hear(self.wire.stream(path, body))

    def hear(self, events: Iterable[Event]) -> list[Event]:
        heard = list(events)
        for event in heard:
            attempt = event.id and event.id.split(".")[0]
            self._note({"event": event.name, "attempt": attempt, "data": event.data})
        return heard

    def settle(self, run: Json, *statuses: str) -> Json:
        """Wait for the statuses; write only the last answer down."""
        self.wire.until(run, statuses)
        return self.send("GET", run_path(run))

    def look_back(self, run: Json) -> None:
        """Write the run, its steps and its thread's messages down as they are at the end."""
        self.send("GET", run_path(run))
        self.send("GET", f"{run_path(run)}/steps?order=asc")
        self.send("GET", f"/threads/{run['thread_id']}/messages?order=asc")

    def compare(self, golden: Path) -> None:
        """Compare with the file, or write it when the switch is set."""
        text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in self._lines)
        if os.environ.get(UPDATE):
            golden.write_text(text)
        assert golden.exists(), f"no {golden.name}; run once with {UPDATE}=1 and read what it wrote"
        difference = difflib.unified_diff(golden.read_text().splitlines(), text.splitlines(), "golden", "now", n=0)
        assert not (lines := list(difference)), "\n".join(lines)

    def _note(self, line: Json) -> None:
        self._lines.append(self._normal(line))

    def _normal(self, value: Any, key: str = "") -> Any:
        if isinstance(value, dict):
            return {name: self._normal(child, name) for name, child in value.items()}
        if isinstance(value, list):
            return [self._normal(child) for child in value]
        if key.endswith("_at") and type(value) is int:
            return "<time>"
        return _ID.sub(lambda match: self._name(match[0]), value) if isinstance(value, str) else value

    def _name(self, found: str) -> str:
        if found not in self._names:
            prefix = re.split("[_-]", found)[0]
            self._counts[prefix] += 1
            self._names[found] = f"<{prefix} {self._counts[prefix]}>"
        return self._names[found]
