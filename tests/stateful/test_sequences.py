"""Random sequences of operations against the real server, each answer compared with a model of the API."""

import itertools
import sqlite3
import time
from contextlib import closing
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test
from tests.conftest import MakeServer
from tests.harness.replies import Answer, Body, Call, Gate, Refusal, Reply
from tests.harness.server import Server
from tests.harness.upstream import Upstream
from tests.harness.wire import Json, Wire, function_tool, names, text_of
from tests.stateful import model
from tests.stateful.model import AnAssistant, ARun, AThread, Question, Said

TOOLS = [function_tool("weather"), function_tool("rain")]
ANSWER, NARRATION = "The answer.", "Let me look."
KINDS = ["answer", "answer", "call", "narrate", "hold", "fail"]
_COMMON = {"deadline": None, "suppress_health_check": list(HealthCheck), "database": None}
QUICK = settings(max_examples=50, stateful_step_count=40, derandomize=True, **_COMMON)
THOROUGH = settings(max_examples=300, stateful_step_count=60, **_COMMON)

some = st.integers(0, 10_000)
words = st.sampled_from(["a", "b", "한국어", "🌧", "x" * 100])
pages = st.tuples(st.sampled_from(["asc", "desc"]), st.sampled_from([1, 2, 3, 100]), st.none() | some, st.none() | some)


class Brain:
    """A model that does what the run's instructions name; it holds runs until they are released by their number."""

    def __init__(self) -> None:
        self.gates: dict[str, Gate] = {}

    def __call__(self, body: Body) -> Answer:
        messages = body["messages"]
        kind, _, number = str(messages[0]["content"]).partition(" ")
        if messages[-1]["role"] == "tool" or kind == "answer":
            return Reply(ANSWER)
        match kind:
            case "call" | "narrate":
                calls = [Call("weather", id=f"call_{number}_a"), Call("rain", id=f"call_{number}_b")]
                return Reply(NARRATION if kind == "narrate" else "", calls)
            case "fail":
                return Refusal(400, "This model says no.", kind="invalid_request_error")
        return Reply(ANSWER, hold=self.gates[number])


class Sequences(RuleBasedStateMachine):
    """Holds what the server must hold."""

    server: Server
    upstream: Upstream
    numbers = itertools.count()

    def __init__(self) -> None:
        super().__init__()
        self.upstream.reset()
        self.brain = self.upstream.brain = Brain()
        self.wire = Wire(self.server.url)
        self.assistants = [self._an_assistant("the first")]
        self.threads: list[AThread] = []
        self.runs: list[ARun] = []

    # --- asking ------------------------------------------------------------------------------------------------------

    def ask(self, method: str, path: str, body: Any = None, refusal: str | None = None, **params: str) -> Json:
        """Send a request; insist on success, or on the refusal that the model expects."""
        response = self.wire.http.request(method, path, json=body, params=params)
        if refusal is None:
            assert response.status_code == 200, response.text
        else:
            assert response.status_code in (400, 404), response.text
            assert response.json()["error"]["message"] == refusal
            assert (response.status_code == 404) == refusal.startswith("No ")
        return response.json()

    def _an_assistant(self, name: str) -> AnAssistant:
        made = self.ask("POST", "/assistants", {"model": "gpt-4o", "name": name, "tools": TOOLS})
        return AnAssistant(made["id"], name)

    # --- assistants --------------------------------------------------------------------------------------------------

    @rule(name=words)
    def create_assistant(self, name: str) -> None:
        self.assistants.append(self._an_assistant(name))

    @rule(pick=some, value=words)
    def modify_assistant(self, pick: int, value: str) -> None:
        one = self.assistants[pick % len(self.assistants)]
        self.ask("POST", one.path, {"name": value, "metadata": {"a": value}}, one.missing())
        if not one.deleted:
            one.name, one.metadata = value, {"a": value}

    @rule(pick=some)
    def retrieve_assistant(self, pick: int) -> None:
        one = self.assistants[pick % len(self.assistants)]
        seen = self.ask("GET", one.path, None, one.missing())
        assert one.deleted or (seen["name"], seen["metadata"]) == (one.name, one.metadata)

    @precondition(lambda self: len(self.assistants) > 2)
    @rule(pick=some)
    def delete_assistant(self, pick: int) -> None:
        one = self.assistants[1 + pick % (len(self.assistants) - 1)]
        self.ask("DELETE", one.path, None, one.missing())
        one.deleted = True

    @rule(page=pages)
    def list_assistants(self, page: tuple[str, int, int | None, int | None]) -> None:
        self.compare("/assistants", [(one.id, not one.deleted) for one in self.assistants], page)

    # --- threads -----------------------------------------------------------------------------------------------------

    @rule(texts=st.lists(words, max_size=3), value=words, lost=st.booleans())
    def create_thread(self, texts: list[str], value: str, lost: bool) -> None:
        """Create a thread; a client that lost the answer asks again and gets the same one."""
        body = {
            "messages": [{"role": "user", "content": text} for text in texts],
            "metadata": {"a": value, "number": str(next(self.numbers))},
        }
        made = self.ask("POST", "/threads", body)
        if lost:
            again = self.wire.post("/threads", body, headers={"x-stainless-retry-count": "1"})
            assert again.json() == made
        thread = AThread(made["id"], body["metadata"])
        self.threads.append(thread)
        listed = self.ask("GET", f"{thread.path}/messages", order="asc")["data"]
        assert [text_of(message) for message in listed] == texts
        thread.messages = [Said(message["id"], "user", text_of(message)) for message in listed]

    @precondition(lambda self: self.threads)
    @rule(pick=some, value=words)
    def modify_thread(self, pick: int, value: str) -> None:
        thread = self.thread(pick)
        self.ask("POST", thread.path, {"metadata": {"b": value}}, thread.missing())
        if not thread.deleted:
            thread.metadata = {"b": value}
            assert self.ask("GET", thread.path)["metadata"] == thread.metadata

    @precondition(lambda self: len(self.threads) > 3)
    @rule(pick=some)
    def delete_thread(self, pick: int) -> None:
        """A thread goes with all that is in it, whatever goes on in it."""
        thread = self.thread(pick)
        self.ask("DELETE", thread.path, None, thread.missing())
        thread.deleted = True
        self.ask("GET", thread.path, None, thread.missing())
        self.ask("GET", f"{thread.path}/messages", None, thread.missing())

    # --- messages ----------------------------------------------------------------------------------------------------

    @precondition(lambda self: self.threads)
    @rule(pick=some, text=words, role=st.sampled_from(["user", "assistant"]))
    def add_message(self, pick: int, text: str, role: str) -> None:
        thread = self.thread(pick)
        refusal = thread.refuses_message()
        made = self.ask("POST", f"{thread.path}/messages", {"role": role, "content": text}, refusal)
        if refusal is None:
            thread.messages.append(Said(made["id"], role, text))

    @precondition(lambda self: self.said())
    @rule(pick=some, act=st.sampled_from(["retrieve", "modify", "delete"]), value=words)
    def touch_message(self, pick: int, act: str, value: str) -> None:
        """Messages may be read, labelled and deleted also while a run goes on."""
        thread, said = self.said()[pick % len(self.said())]
        gone = f"No message found with id '{said.id}'." if said.deleted else None
        path, refusal = f"{thread.path}/messages/{said.id}", thread.missing() or gone
        match act:
            case "retrieve":
                seen = self.ask("GET", path, None, refusal)
                assert refusal or (seen["role"], text_of(seen), seen["metadata"]) == (
                    said.role,
                    said.text,
                    said.metadata,
                )
            case "modify":
                self.ask("POST", path, {"metadata": {"c": value}}, refusal)
                said.metadata = said.metadata if refusal else {"c": value}
            case _:
                self.ask("DELETE", path, None, refusal)
                said.deleted = said.deleted or not refusal

    @precondition(lambda self: self.threads)
    @rule(pick=some, page=pages)
    def list_messages(self, pick: int, page: tuple[str, int, int | None, int | None]) -> None:
        thread = self.thread(pick)
        if not thread.deleted:
            self.compare(f"{thread.path}/messages", [(one.id, not one.deleted) for one in thread.messages], page)

    # --- runs --------------------------------------------------------------------------------------------------------

    @precondition(lambda self: self.threads)
    @rule(pick=some, who=some, kind=st.sampled_from(KINDS), stream=st.booleans())
    def start_run(self, pick: int, who: int, kind: str, stream: bool) -> None:
        thread, assistant = self.thread(pick), self.assistants[who % len(self.assistants)]
        refusal = thread.refuses_run() or assistant.missing()
        number = str(next(self.numbers))
        self.brain.gates[number] = Gate()
        body = {"assistant_id": assistant.id, "instructions": f"{kind} {number}"}
        path = f"{thread.path}/runs"
        if refusal or not stream or kind == "hold":
            made = self.ask("POST", path, body, refusal)
        else:
            made = self.streamed(path, body)
        if refusal is None:
            run = ARun(made["id"], thread, f"{kind} {number}", "queued")
            thread.runs.append(run)
            self.runs.append(run)
            self.came_to_rest(run, self.settled(run))

    def streamed(self, path: str, body: Json) -> Json:
        events = self.wire.stream(path, body)
        assert names(events)[-1] == "done"
        assert names(events)[-2].removeprefix("thread.run.") in ("completed", "requires_action", "failed")
        return events[0].data

    def settled(self, run: ARun) -> Json:
        """Wait until the run rests; a held one rests when the model's server has its request."""
        if not run.kind.startswith("hold"):
            return self.wire.until({"id": run.id, "thread_id": run.thread.id})
        deadline = time.monotonic() + 10
        while not any(run.kind in str(body["messages"][0]) for body in self.upstream.bodies):
            assert time.monotonic() < deadline, "the held run did not reach the model"
            time.sleep(0.005)
        return self.wire.read(run.path)

    def came_to_rest(self, run: ARun, seen: Json) -> None:
        """Check how the run came to rest, and take over what it said."""
        kind = run.kind.split()[0]
        expected = {"answer": "completed", "fail": "failed", "hold": "in_progress"}.get(kind, "requires_action")
        assert seen["status"] == expected, seen
        run.status = expected
        if kind in ("call", "narrate"):
            run.calls = [call["id"] for call in seen["required_action"]["submit_tool_outputs"]["tool_calls"]]
        if kind in ("narrate", "answer"):
            self.heard(run.thread, NARRATION if kind == "narrate" else ANSWER)

    def heard(self, thread: AThread, text: str) -> None:
        newest = self.ask("GET", f"{thread.path}/messages", limit="1")["data"][0]
        assert (newest["role"], text_of(newest)) == ("assistant", text)
        thread.messages.append(Said(newest["id"], "assistant", text))

    @precondition(lambda self: self.runs)
    @rule(pick=some, right=st.sampled_from([True, True, False]), stream=st.booleans(), lost=st.booleans())
    def submit(self, pick: int, right: bool, stream: bool, lost: bool) -> None:
        run = self.run_of(pick)
        ids = run.calls if right else [*run.calls, "call_x"]
        refusal = model.refuses_outputs(run, ids)
        body = {"tool_outputs": [{"tool_call_id": call, "output": "57"} for call in ids], "stream": stream}
        path = f"{run.path}/submit_tool_outputs"
        if refusal is not None:
            self.ask("POST", path, body, refusal)
            return
        if stream:
            assert names(self.wire.stream(path, body))[-2:] == ["thread.run.completed", "done"]
        else:
            assert self.ask("POST", path, body)["status"] == "queued"
        if lost:
            assert self.wire.post(path, body, headers={"x-stainless-retry-count": "1"}).status_code == 200
        self.wire.until({"id": run.id, "thread_id": run.thread.id}, {"completed"})
        run.status = "completed"
        self.heard(run.thread, ANSWER)

    @precondition(lambda self: self.runs)
    @rule(pick=some, lost=st.booleans())
    def cancel(self, pick: int, lost: bool) -> None:
        run = self.run_of(pick)
        refusal = model.refuses_cancel(run)
        seen = self.ask("POST", f"{run.path}/cancel", None, refusal)
        if refusal is None:
            assert seen["status"] == "cancelling"
            if lost:
                again = self.wire.post(f"{run.path}/cancel", headers={"x-stainless-retry-count": "1"})
                assert again.json()["status"] in ("cancelling", "cancelled")
            self.wire.until({"id": run.id, "thread_id": run.thread.id}, {"cancelled"})
            run.status = "cancelled"

    @precondition(lambda self: self.held())
    @rule(pick=some)
    def release(self, pick: int) -> None:
        run = self.held()[pick % len(self.held())]
        self.brain.gates[run.kind.split()[1]].open()
        self.wire.until({"id": run.id, "thread_id": run.thread.id}, {"completed"})
        run.status = "completed"
        self.heard(run.thread, ANSWER)

    @precondition(lambda self: self.waiting())
    @rule(pick=some)
    def expire(self, pick: int) -> None:
        """Let a waiting run's time be up: outputs come too late, whether the sweeper was here or not."""
        run = self.waiting()[pick % len(self.waiting())]
        with (
            closing(sqlite3.connect(self.server.data_dir / "understudy.sqlite3", timeout=10)) as connection,
            connection,
        ):
            connection.execute("UPDATE runs SET expires_at = 1 WHERE id = ?", (run.id,))
        run.status = "expired"
        body = {"tool_outputs": [{"tool_call_id": call, "output": "57"} for call in run.calls]}
        self.ask("POST", f"{run.path}/submit_tool_outputs", body, model.refuses_outputs(run, run.calls))

    @precondition(lambda self: self.runs)
    @rule(pick=some, value=words)
    def modify_run(self, pick: int, value: str) -> None:
        run = self.run_of(pick)
        refusal = model.refuses_change(run)
        self.ask("POST", run.path, {"metadata": {"d": value}}, refusal)
        run.metadata = run.metadata if refusal else {"d": value}

    @precondition(lambda self: self.runs)
    @rule(pick=some, page=pages)
    def look_at_runs(self, pick: int, page: tuple[str, int, int | None, int | None]) -> None:
        run = self.run_of(pick)
        if run.thread.deleted:
            self.ask("GET", run.path, None, run.thread.missing())
            return
        seen = self.ask("GET", run.path)
        assert (seen["status"], seen["metadata"]) == (run.status, run.metadata)
        self.compare(f"{run.thread.path}/runs", [(one.id, True) for one in run.thread.runs], page)
        assert {step["status"] for step in self.wire.steps(seen)} <= _STEPS[run.status]

    # --- what all rules use ------------------------------------------------------------------------------------------

    def thread(self, pick: int) -> AThread:
        return self.threads[pick % len(self.threads)]

    def run_of(self, pick: int) -> ARun:
        return self.runs[pick % len(self.runs)]

    def said(self) -> list[tuple[AThread, Said]]:
        return [(thread, said) for thread in self.threads for said in thread.messages]

    def held(self) -> list[ARun]:
        return [run for run in self.runs if run.status == "in_progress" and not run.thread.deleted]

    def waiting(self) -> list[ARun]:
        return [run for run in self.runs if run.status == "requires_action" and not run.thread.deleted]

    def compare(self, path: str, items: list[tuple[str, bool]], asked: tuple[str, int, int | None, int | None]) -> None:
        """Ask for a page, around cursors that may point at what is deleted, and compare it with the model's."""
        order, limit, *cursors = asked
        after, before = (items[pick % len(items)][0] if pick is not None and items else None for pick in cursors)
        question = Question(order, limit, after, before)
        listing = self.ask("GET", path, None, None, **question.params)
        found = [item["id"] for item in listing["data"]]
        assert (found, listing["has_more"]) == model.page(items, question), question
        assert (listing["first_id"], listing["last_id"]) == ((found[0], found[-1]) if found else (None, None))

    def teardown(self) -> None:
        """Compare everything once more, and leave the server without assistants."""
        for thread in self.threads:
            if not thread.deleted:
                assert self.wire.texts(thread.id) == [said.text for said in thread.messages if not said.deleted]
        for run in self.held():
            self.brain.gates[run.kind.split()[1]].open()
        for one in self.assistants:
            if not one.deleted:
                self.ask("DELETE", one.path)
        self.wire.close()


_STEPS = {
    "requires_action": {"completed", "in_progress"},
    "in_progress": {"completed", "in_progress"},
    "completed": {"completed"},
    "failed": {"failed", "completed"},
    "cancelled": {"cancelled", "completed"},
    "expired": {"expired", "completed"},
}


def run_sequences(make_server: MakeServer, upstream: Upstream, effort: settings) -> None:
    Sequences.server = make_server(UNDERSTUDY_WORKER_CONCURRENCY="200")
    Sequences.upstream = upstream
    run_state_machine_as_test(Sequences, settings=effort)


@pytest.mark.timeout(240)
def test_sequences(make_server: MakeServer, upstream: Upstream) -> None:
    run_sequences(make_server, upstream, QUICK)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_long_sequences(make_server: MakeServer, upstream: Upstream) -> None:
    run_sequences(make_server, upstream, THOROUGH)
