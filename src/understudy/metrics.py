"""What is measured for Prometheus. Counting costs microseconds; what the database knows is asked for at each scrape."""

import json
import time
from collections.abc import Mapping, Sequence

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from understudy.ids import Clock
from understudy.protocol.events import RUN_ENDS, Event

_METHODS = frozenset({"GET", "POST", "DELETE", "HEAD", "OPTIONS", "PUT", "PATCH"})
_FIRST = frozenset({"thread.message.delta", "thread.run.step.delta"})
_REQUEST_S = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_RUN_S = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600)
_WRITE_S = (0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.1, 0.5, 2)
_MAX_WATCHED = 20_000


class Metrics:
    """One server's counters. Hooks are called from the event loop; `write_ended` from the database's thread."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._began: dict[str, float] = {}
        self._silent: dict[str, float] = {}
        self._of_requests: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}  # `labels` takes 10 µs
        self._registry = kept = CollectorRegistry()
        self._requests = Counter(
            "understudy_http_requests", "Requests that ended.", ["method", "route", "status"], registry=kept
        )
        self._request_s = Histogram(
            "understudy_http_request_seconds", "Requests without streams.", ["route"], buckets=_REQUEST_S, registry=kept
        )
        self._streams = Gauge("understudy_live_streams", "Event streams that are open.", registry=kept)
        self._run_s = Histogram(
            "understudy_run_seconds", "Runs from creation to final state.", ["status"], buckets=_RUN_S, registry=kept
        )
        self._first_s = Histogram(
            "understudy_first_token_seconds", "A run's way to its first piece.", buckets=_RUN_S, registry=kept
        )
        self._tokens = Counter("understudy_tokens", "Tokens that ended runs have used.", ["kind"], registry=kept)
        self._write_s = Histogram(
            "understudy_database_write_seconds", "Group commits.", buckets=_WRITE_S, registry=kept
        )
        self._file_s = Histogram(
            "understudy_ingest_seconds", "Files that were read and indexed.", ["status"], buckets=_RUN_S, registry=kept
        )
        self._files = Gauge("understudy_ingest_queue_depth", "Files that wait for a worker.", registry=kept)
        self._sessions = Gauge("understudy_sandbox_sessions", "Live sessions of this process.", registry=kept)
        self._active = Gauge("understudy_active_runs", "Runs that are not final, by status.", ["status"], registry=kept)
        self._queue = Gauge("understudy_queue_depth", "Runs that wait for a worker.", registry=kept)

    def stream_began(self) -> None:
        """Note that an event stream is open."""
        self._streams.inc()

    def request_ended(self, method: str, route: str, status: int, seconds: float, *, streamed: bool) -> None:
        """Note how a request went."""
        key = (method if method in _METHODS else "other", route, status)
        if (counters := self._of_requests.get(key)) is None:
            counters = (self._requests.labels(*key), self._request_s.labels(route))
            self._of_requests[key] = counters
        counters[0].inc()
        if streamed:
            self._streams.dec()
        else:
            counters[1].observe(seconds)

    def write_ended(self, seconds: float) -> None:
        """Note how long a group of changes took to be committed."""
        self._write_s.observe(seconds)

    def file_ended(self, status: str, seconds: float) -> None:
        """Note how a file of a vector store was taken in."""
        self._file_s.labels(status).observe(seconds)

    def told(self, run_id: str, events: Sequence[Event]) -> None:
        """Read off a run's events how it goes."""
        for event in events:
            if event.name in _FIRST:
                if run_id in self._silent:
                    self._first_s.observe(time.perf_counter() - self._silent.pop(run_id))
            elif event.name == "thread.run.created":
                self._watch(run_id)
            elif event.name in RUN_ENDS:
                self._ended(run_id, json.loads(event.data))

    def page(self, active: Mapping[str, int], queue_depth: int, files: int = 0, sessions: int = 0) -> bytes:
        """Return the page that Prometheus reads; `active` counts the runs that are not final, `files` those that wait.

        `sessions` are those of the code interpreter in this process.
        """
        self._queue.set(queue_depth)
        self._files.set(files)
        self._sessions.set(sessions)
        for status, count in active.items():
            self._active.labels(status).set(count)
        return generate_latest(self._registry)

    def _watch(self, run_id: str) -> None:
        for times in (self._began, self._silent):
            while len(times) >= _MAX_WATCHED:  # runs whose thread was deleted never tell of their end
                del times[next(iter(times))]
        self._began[run_id] = self._silent[run_id] = time.perf_counter()

    def _ended(self, run_id: str, run: Mapping[str, object]) -> None:
        began = self._began.pop(run_id, None)
        self._silent.pop(run_id, None)
        created = run["created_at"]
        assert isinstance(created, int)
        seconds = self._clock.now() - created if began is None else time.perf_counter() - began
        self._run_s.labels(str(run["status"])).observe(max(0.0, seconds))
        used = run.get("usage")
        if isinstance(used, dict):
            self._tokens.labels("prompt").inc(used["prompt_tokens"])
            self._tokens.labels("completion").inc(used["completion_tokens"])
