"""Clients of every kind, kind and unkind, that keep a server busy for a while."""

import itertools
import random
import threading
import time
from collections import Counter
from collections.abc import Callable

from tests.harness.replies import Answer, Body, Reply, default_brain, last_user_text
from tests.harness.wire import Json, Wire, names, run_path

SLOW, ENDLESS = "slowly", "without end"
_TOKEN_S, _SLOW_TOKENS, _ENDLESS_TOKENS = 0.02, 50, 3000
_UNKNOWN_RUN = "run_" + "x" * 24


def brain(body: Body) -> Answer:
    """Answer as ever, but slowly where the question asks for it, or until somebody has enough."""
    asked = last_user_text(body["messages"])
    for how, tokens in ((SLOW, _SLOW_TOKENS), (ENDLESS, _ENDLESS_TOKENS)):
        if asked.startswith(how):
            return Reply("so " * tokens, delay_s=_TOKEN_S)
    return default_brain(body)


class Load:
    """One thread for each kind of client; `done` counts what they did, `errors` tells what went wrong."""

    def __init__(self, url: str, plain: Json, calling: Json) -> None:
        self._url, self._plain, self._calling = url, plain, calling
        self.done: Counter[str] = Counter()
        self.errors: list[str] = []

    def run(self, seconds: float) -> None:
        """Keep all clients busy; return when they have finished and hung up."""
        kinds = [self.stream, self.poll, self.answer_calls, self.cancel, self.leave, self.ask_nonsense, self.retry]
        until = time.monotonic() + seconds
        clients = [threading.Thread(target=self._client, args=(kind, until)) for kind in kinds]
        for client in clients:
            client.start()
        for client in clients:
            client.join(seconds + 60)
            assert not client.is_alive(), "a client hangs"

    def _client(self, act: Callable[[Wire], None], until: float) -> None:
        wire = Wire(self._url)
        try:
            while time.monotonic() < until and not self.errors:
                act(wire)
                self.done[act.__name__] += 1
        except Exception as error:
            self.errors.append(f"{act.__name__}: {error!r}")
        finally:
            wire.close()

    # --- kinds of clients --------------------------------------------------------------------------------------------

    def stream(self, wire: Wire) -> None:
        thread = wire.thread("Hi")
        events = wire.stream(f"/threads/{thread['id']}/runs", {"assistant_id": self._plain["id"]})
        assert names(events)[-2:] == ["thread.run.completed", "done"]
        assert wire.delete(f"/threads/{thread['id']}").status_code == 200

    def poll(self, wire: Wire) -> None:
        run = wire.run(self._plain, wire.thread("Hi"))
        while run["status"] != "completed":
            assert run["status"] in ("queued", "in_progress"), run
            run = wire.get(run_path(run), headers={"x-stainless-poll-helper": "true"}).json()

    def answer_calls(self, wire: Wire) -> None:
        waiting = wire.settle(self._calling, wire.thread("Hi"))
        wire.submit(waiting, "57")
        wire.until(waiting, {"completed"})

    def cancel(self, wire: Wire) -> None:
        run = wire.run(self._plain, wire.thread(ENDLESS))  # it must not end by itself, however busy the machine is
        time.sleep(random.uniform(0, 0.2))
        wire.make(f"{run_path(run)}/cancel")
        wire.until(run, {"cancelled"})

    def leave(self, wire: Wire) -> None:
        """Begin to read, hang up, and come back for the rest."""
        body = {"assistant_id": self._plain["id"], "stream": True}
        with wire.open_stream("POST", f"/threads/{wire.thread(SLOW)['id']}/runs", body) as stream:
            run = stream.until("thread.run.created").data
            seen = list(itertools.islice(stream, random.randint(1, 8)))
        with wire.open_stream("GET", f"{run_path(run)}/events") as stream:
            stream.until("thread.run.queued")
        assert names(wire.follow(run, seen[-1].id))[-2:] == ["thread.run.completed", "done"]

    def ask_nonsense(self, wire: Wire) -> None:
        """Ask for runs that are not there, and for places that no stream has."""
        thread = wire.thread("Hi")
        held = {"x-stainless-poll-helper": "true"}
        for number in range(10):
            unknown = f"{_UNKNOWN_RUN[:-4]}{number:04}"
            assert wire.get(f"/threads/{thread['id']}/runs/{unknown}", headers=held).status_code == 404
            assert wire.post("/threads", {"metadata": number}).status_code == 400
        run = wire.settle(self._plain, thread)
        assert names(wire.follow(run, "9.9"))[-1] == "done"

    def retry(self, wire: Wire) -> None:
        body = {"metadata": {"number": str(self.done["retry"])}}
        made = wire.make("/threads", body)
        assert wire.post("/threads", body, headers={"x-stainless-retry-count": "1"}).json() == made
        time.sleep(0.05)
