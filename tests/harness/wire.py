"""A thin client of the wire: plain HTTP in, JSON and events out, and the few steps that every flow begins with."""

import json
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx2

Json = dict[str, Any]

FINAL = frozenset({"completed", "failed", "cancelled", "expired", "incomplete"})
SETTLED = FINAL | {"requires_action"}
_UNTIL_S = 15.0
_POLL_S = 0.02


@dataclass(frozen=True)
class Event:
    """One server-sent event: its name, its data, the value of its `id:` line, and its raw lines."""

    name: str
    data: Any
    id: str | None
    lines: tuple[str, ...]


class Wire:
    """Talks to one server; every call returns what came back, errors included."""

    def __init__(self, url: str, key: str = "sk-test") -> None:
        headers = {"Authorization": f"Bearer {key}", "OpenAI-Beta": "assistants=v2"}
        self.http = httpx2.Client(base_url=url + "/v1", headers=headers, timeout=30.0)
        self._started: dict[str, Json] = {}

    def close(self) -> None:
        self.http.close()

    def calm(self) -> None:
        """Cancel what is still under way of the runs started here, lest it takes another test's script."""
        for run in self._started.values():
            seen = self.get(run_path(run))
            if seen.status_code == 200 and seen.json()["status"] not in SETTLED:
                self.post(f"{run_path(run)}/cancel")
                self.until(run, FINAL)

    def get(self, path: str, **options: Any) -> httpx2.Response:
        return self.http.get(path, **options)

    def post(self, path: str, body: Any = None, **options: Any) -> httpx2.Response:
        return self.http.post(path, json=body, **options)

    def delete(self, path: str) -> httpx2.Response:
        return self.http.delete(path)

    def make(self, path: str, body: Any = None) -> Json:
        """POST, insist on 200, return the object."""
        response = self.post(path, {} if body is None else body)
        assert response.status_code == 200, response.text
        return self._noted(response.json())

    def _noted(self, made: Json) -> Json:
        if made.get("object") == "thread.run":
            self._started[made["id"]] = made
        return made

    def send_file(self, path: str, field: str, content: bytes, name: str = "a.gif", **fields: str) -> Json:
        """POST a form with a file, insist on 200, return the object."""
        response = self.http.post(path, files={field: (name, content)}, data=fields)
        assert response.status_code == 200, response.text
        return response.json()

    def read(self, path: str, **params: Any) -> Json:
        """GET, insist on 200, return the object."""
        response = self.get(path, params=params)
        assert response.status_code == 200, response.text
        return response.json()

    @contextmanager
    def open_stream(self, method: str, path: str, body: Any = None, **headers: Any) -> Iterator["Stream"]:
        options = {"json": body} if method == "POST" else {}
        with self.http.stream(method, path, headers=headers, **options) as response:
            if response.status_code != 200:
                response.read()
                raise AssertionError(response.text)
            yield Stream(response, self._noted)

    def stream(self, path: str, body: Json) -> list[Event]:
        """POST with `stream: true`; return all events up to the end."""
        with self.open_stream("POST", path, body | {"stream": True}) as stream:
            return list(stream)

    def follow(self, run: Json, last_event_id: str | None = None) -> list[Event]:
        """GET the run's events from a position to their end."""
        headers = {"last-event-id": last_event_id.encode("latin-1")} if last_event_id is not None else {}
        with self.open_stream("GET", f"{run_path(run)}/events", **headers) as stream:
            return list(stream)

    def assistant(self, *functions: str, **fields: Any) -> Json:
        tools = [function_tool(name) for name in functions]
        return self.make("/assistants", {"model": "gpt-4o", "tools": tools} | fields)

    def thread(self, *texts: str) -> Json:
        return self.make("/threads", {"messages": [{"role": "user", "content": text} for text in texts or ("Hi",)]})

    def run(self, assistant: Json, thread: Json | None = None, **fields: Any) -> Json:
        """Start a run and return it as the POST answered it."""
        thread = thread or self.thread()
        return self.make(f"/threads/{thread['id']}/runs", {"assistant_id": assistant["id"]} | fields)

    def until(self, run: Json, statuses: Iterable[str] = SETTLED, within_s: float = _UNTIL_S) -> Json:
        """Look at the run again and again until it is in one of the statuses."""
        wanted, deadline = frozenset(statuses), time.monotonic() + within_s
        while True:
            seen = self.read(run_path(run))
            if seen["status"] in wanted:
                return seen
            assert seen["status"] not in FINAL, f"ended {seen['status']}, not {sorted(wanted)}: {seen['last_error']}"
            assert time.monotonic() < deadline, f"still {seen['status']} after {within_s} s, not {sorted(wanted)}"
            time.sleep(_POLL_S)

    def settle(self, assistant: Json, thread: Json | None = None, **fields: Any) -> Json:
        """Run to the first requires_action or final state."""
        return self.until(self.run(assistant, thread, **fields))

    def submit(self, run: Json, *outputs: str) -> Json:
        """Answer the run's open calls in their order."""
        return self.make(f"{run_path(run)}/submit_tool_outputs", outputs_of(run, *outputs))

    def texts(self, thread_id: str, order: str = "asc", **params: Any) -> list[str]:
        listing = self.read(f"/threads/{thread_id}/messages", order=order, limit=100, **params)
        return [text_of(message) for message in listing["data"]]

    def steps(self, run: Json, order: str = "asc") -> list[Json]:
        return self.read(f"{run_path(run)}/steps", order=order, limit=100)["data"]


class Stream:
    """An open event stream."""

    def __init__(self, response: httpx2.Response, note: Callable[[Json], Json] = lambda made: made) -> None:
        self.response = response
        self._note = note
        self._lines = response.iter_lines()
        self.comments = 0

    def __iter__(self) -> Iterator[Event]:
        block: list[str] = []
        for line in self._lines:
            if line.startswith(":"):
                self.comments += 1
            elif line:
                block.append(line)
            elif block:
                event, block = parse_event(block), []
                if event.name == "thread.run.created":
                    self._note(event.data)
                yield event

    def until(self, name: str) -> Event:
        """Read on to the first event of that name."""
        for event in self:
            if event.name == name:
                return event
        raise AssertionError(f"the stream ended without {name}")


def parse_event(lines: list[str]) -> Event:
    fields = dict(line.split(": ", 1) for line in lines)
    raw = fields["data"]
    return Event(fields["event"], raw if raw == "[DONE]" else json.loads(raw), fields.get("id"), tuple(lines))


def function_tool(name: str, parameters: Json | None = None) -> Json:
    function = {"name": name, "description": f"Returns {name}."}
    return {"type": "function", "function": function | ({"parameters": parameters} if parameters else {})}


def run_path(run: Json) -> str:
    return f"/threads/{run['thread_id']}/runs/{run['id']}"


def open_calls(run: Json) -> list[Json]:
    return run["required_action"]["submit_tool_outputs"]["tool_calls"]


def outputs_of(run: Json, *outputs: str) -> Json:
    pairs = zip(open_calls(run), outputs, strict=True)
    return {"tool_outputs": [{"tool_call_id": call["id"], "output": output} for call, output in pairs]}


def text_of(message: Json) -> str:
    return "".join(part["text"]["value"] for part in message["content"] if part["type"] == "text")


def names(events: Iterable[Event]) -> list[str]:
    """Names of the events, runs of deltas collapsed to one."""
    collapsed: list[str] = []
    for event in events:
        if not (event.name.endswith(".delta") and collapsed and collapsed[-1] == event.name):
            collapsed.append(event.name)
    return collapsed


def streamed_text(events: Iterable[Event]) -> str:
    deltas = [event.data["delta"]["content"] for event in events if event.name == "thread.message.delta"]
    return "".join(part["text"]["value"] for parts in deltas for part in parts if part["type"] == "text")
