"""Chosen moments of an end: the ones that random kills seldom hit, and the gentle one."""

import random
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.harness.replies import Call, Gate, Reply
from tests.harness.server import Server
from tests.harness.upstream import Upstream
from tests.harness.wire import Json, Wire, names, open_calls, streamed_text, text_of

ANSWER = "The whole answer."
RECOVERY_S = 30.0
RUNS = 12


@pytest.fixture
def server(upstream: Upstream, tmp_path: Path) -> Iterator[Server]:
    server = Server(tmp_path / "data", upstream.url, {"UNDERSTUDY_LEASE_S": "1"}).start()
    yield server
    server.close()


@pytest.fixture
def wire(server: Server) -> Wire:
    return server.wire()


def kill_after_replies(
    server: Server, wire: Wire, upstream: Upstream, assistant: Json, dice: random.Random
) -> list[Json]:
    """Start some runs whose model answers all at once, kill the server just then, restart it."""
    gate, reply = Gate(), upstream.brain({})
    assert isinstance(reply, Reply)
    upstream.script(*[replace(reply, hold=gate)] * RUNS)
    before = len(upstream.requests)
    runs = [wire.run(assistant, wire.thread("q")) for _ in range(RUNS)]
    upstream.wait_for_request(before + RUNS)
    gate.open()
    upstream.requests[before + dice.randrange(RUNS)].wait_until_ended()
    time.sleep(dice.uniform(0, 0.02))
    server.kill()
    server.start()
    return [wire.until(run, within_s=RECOVERY_S) for run in runs]


def test_an_answer_that_was_whole_is_not_given_again(server: Server, wire: Wire, upstream: Upstream) -> None:
    upstream.brain = lambda _: Reply(ANSWER)
    assistant, dice = wire.assistant(), random.Random(5)
    runs = [run for _ in range(5) for run in kill_after_replies(server, wire, upstream, assistant, dice)]
    assert {run["status"] for run in runs} == {"completed"}
    twice = [run["id"] for run in runs if wire.texts(run["thread_id"]) != ["q", ANSWER]]
    assert not twice, f"{len(twice)} of {len(runs)} runs answered twice"


def test_calls_that_were_whole_are_asked_for_once(server: Server, wire: Wire, upstream: Upstream) -> None:
    upstream.brain = lambda _: Reply(calls=[Call("weather", '{"city": "부산"}')])
    assistant, dice = wire.assistant("weather"), random.Random(6)
    runs = [run for _ in range(3) for run in kill_after_replies(server, wire, upstream, assistant, dice)]
    assert {run["status"] for run in runs} == {"requires_action"}
    upstream.brain = lambda _: Reply(ANSWER)
    for run in runs:
        assert len(open_calls(run)) == 1
        done = wire.until(wire.submit(run, "57"))
        assert wire.texts(run["thread_id"]) == ["q", ANSWER]
        whole = [step["type"] for step in wire.steps(done) if step["status"] == "completed"]
        assert whole == ["tool_calls", "message_creation"]


def test_a_gentle_stop_hands_its_runs_on(server: Server, wire: Wire, upstream: Upstream) -> None:
    upstream.script(Reply("half an", pause=Gate()), Reply(ANSWER))
    run = wire.run(wire.assistant(), wire.thread("q"))
    upstream.wait_for_request()
    wire.until(run, {"in_progress"})
    started = time.monotonic()
    assert server.stop() == 0
    assert time.monotonic() - started < 5
    server.start()
    assert wire.until(run, within_s=RECOVERY_S)["status"] == "completed"
    assert wire.texts(run["thread_id"]) == ["q", ANSWER]


def test_events_from_before_the_restart_are_told_as_whole_objects(server: Server, wire: Wire) -> None:
    body = {"assistant_id": wire.assistant()["id"]}
    events = wire.stream(f"/threads/{wire.thread('q')['id']}/runs", body)
    server.kill()
    server.start()
    for position in (None, events[3].id, events[-2].id):
        told = wire.follow(events[0].data, position)
        assert names(told)[-2:] == ["thread.run.completed", "done"]
        message = next(event.data for event in told if event.name == "thread.message.completed")
        assert text_of(message) == streamed_text(events)


def test_a_follower_of_a_run_that_was_taken_over_sees_the_whole_answer(
    server: Server, wire: Wire, upstream: Upstream
) -> None:
    upstream.script(Reply("half an", pause=Gate()), Reply(ANSWER))
    body = {"assistant_id": wire.assistant()["id"], "stream": True}
    with wire.open_stream("POST", f"/threads/{wire.thread('q')['id']}/runs", body) as stream:
        run = stream.until("thread.run.created").data
        position = stream.until("thread.message.delta").id
        server.kill()
    server.start()
    told = wire.follow(run, position)
    whole = [text_of(event.data) for event in told if event.name == "thread.message.completed"]
    assert whole == [ANSWER]
    assert names(told)[-2:] == ["thread.run.completed", "done"]
