"""Clients that keep a server busy, and the ledger of what it acknowledged to them."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import httpx2
from tests.harness.replies import Answer, Body, Call, Reply, last_user_text
from tests.harness.wire import Json, Wire, names, outputs_of, run_path

_TOKEN_S = 0.015
_NARRATION = "Let me look."


@dataclass
class Talk:
    """One thread with at most one run: what its client knows."""

    number: int
    with_call: bool
    thread: str = ""
    run: str = ""
    submitted: bool = False
    finished: bool = False
    cancelled: bool = False
    will_cancel: bool = False

    @property
    def question(self) -> str:
        return f"Question {self.number}"

    @property
    def answer(self) -> str:
        return f"The answer to {self.question} has some twelve words, so that it takes a while."

    @property
    def may_be_cancelled(self) -> bool:
        """Tell whether its client asked for that, heard or not."""
        return self.will_cancel and not self.finished

    @property
    def texts(self) -> list[str]:
        """Return what the thread must hold in the end."""
        return [self.question, *([_NARRATION] if self.with_call else []), self.answer]


def brain(body: Body) -> Answer:
    """Narrate and call where there is a tool, then answer; slowly. What was said before a kill is not said again."""
    messages = body["messages"]
    talk = Talk(int(last_user_text(messages).split()[-1]), with_call=bool(body.get("tools")))
    if not talk.with_call or messages[-1]["role"] == "tool":
        return Reply(talk.answer, delay_s=_TOKEN_S)
    narrated = messages[-1]["role"] == "assistant"
    return Reply("" if narrated else _NARRATION, [Call("weather", '{"city": "부산"}')], delay_s=_TOKEN_S)


class Workload:
    """Clients in threads: streaming, polling, submitting, waiting, cancelling. They stop when the server is gone."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._lock = threading.Lock()
        self._started = threading.Barrier(6)
        self.ledger: list[Talk] = []
        self.errors: list[str] = []

    @contextmanager
    def busy(self, plain: Json, calling: Json) -> Iterator[None]:
        """Keep the server busy; on the way out, wait until every client noticed that it is gone."""
        kinds = [(stream_text, plain), (poll_text, plain), (submit, calling), (wait, calling), (cancel, calling)]
        clients = [threading.Thread(target=self._client, args=kind) for kind in kinds]
        for client in clients:
            client.start()
        self._started.wait(10)
        yield
        for client in clients:
            client.join(30)
            assert not client.is_alive(), "a client hangs although its server is gone"

    def _client(self, act: Callable[[Wire, Talk, Json], None], assistant: Json) -> None:
        wire = Wire(self._url)
        self._started.wait(10)
        try:
            while True:
                talk = self._new_talk(bool(assistant["tools"]))
                talk.thread = wire.thread(talk.question)["id"]
                act(wire, talk, assistant)
        except httpx2.TransportError:
            pass  # the server was killed: that is the end of every client
        except Exception as error:
            self.errors.append(repr(error))
        finally:
            wire.close()

    def _new_talk(self, with_call: bool) -> Talk:
        with self._lock:
            talk = Talk(len(self.ledger), with_call)
            self.ledger.append(talk)
            return talk


def _start(wire: Wire, talk: Talk, assistant: Json) -> Json:
    run = wire.run(assistant, {"id": talk.thread})
    talk.run = run["id"]
    return run


def stream_text(wire: Wire, talk: Talk, assistant: Json) -> None:
    body = {"assistant_id": assistant["id"], "stream": True}
    with wire.open_stream("POST", f"/threads/{talk.thread}/runs", body) as stream:
        talk.run = stream.until("thread.run.created").data["id"]
        talk.finished = names(stream)[-2:] == ["thread.run.completed", "done"]


def poll_text(wire: Wire, talk: Talk, assistant: Json) -> None:
    talk.finished = wire.until(_start(wire, talk, assistant))["status"] == "completed"


def submit(wire: Wire, talk: Talk, assistant: Json) -> None:
    waiting = wire.until(_start(wire, talk, assistant))
    wire.submit(waiting, "57")
    talk.submitted = True
    talk.finished = wire.until(waiting)["status"] == "completed"


def wait(wire: Wire, talk: Talk, assistant: Json) -> None:
    wire.until(_start(wire, talk, assistant))


def cancel(wire: Wire, talk: Talk, assistant: Json) -> None:
    talk.will_cancel = True
    run = _start(wire, talk, assistant)
    wire.make(f"{run_path(run)}/cancel")
    talk.cancelled = True
    wire.until(run, {"cancelled"})


def bring_to_its_end(wire: Wire, talk: Talk, within_s: float) -> Json | None:
    """Let the talk's run end, answering its call if it waits. A run may exist whose client never heard of it."""
    runs = wire.read(f"/threads/{talk.thread}/runs")["data"]
    assert talk.run in ["", *[run["id"] for run in runs]], f"{talk} lost its run"
    if not runs:
        return None
    run = wire.until(runs[0], within_s=within_s)
    if run["status"] != "requires_action":
        return run
    body = outputs_of(run, "57")
    assert not talk.submitted, f"{talk} lost the outputs it had brought"
    wire.make(f"{run_path(run)}/submit_tool_outputs", body)
    return wire.until(run, within_s=within_s)
