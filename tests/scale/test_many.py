"""One cluster of many processes: any server answers, any worker works, and nobody sees which."""

import threading
import time

import pytest
from tests.harness.replies import Call, Gate, Reply
from tests.harness.scaled import Cluster
from tests.harness.upstream import Upstream
from tests.harness.wire import FINAL, SETTLED, Event, Wire, run_path, text_of

LONG = "one two three four five six seven eight nine ten"


def texts(events: list[Event]) -> str:
    deltas = [event.data for event in events if event.name == "thread.message.delta"]
    return "".join(delta["delta"]["content"][0]["text"]["value"] for delta in deltas)


def test_a_stream_of_one_server_is_taken_up_at_another(a: Wire, c: Wire, standing: Cluster, upstream: Upstream) -> None:
    """A streams while worker B runs; C goes on after the last id that the client has, and repeats nothing."""
    worker_b = standing.processes[2]
    gate = Gate()
    upstream.script(Reply(LONG, pause=gate, pause_after=4))
    assistant, thread = a.assistant(), a.thread("count")
    body = {"assistant_id": assistant["id"], "stream": True}
    first: list[Event] = []
    with a.open_stream("POST", f"/threads/{thread['id']}/runs", body) as stream:
        for event in stream:
            first.append(event)
            if sum(each.name == "thread.message.delta" for each in first) == 3:
                break
    run = first[0].data
    assert run["object"] == "thread.run"
    with c.open_stream("GET", f"{run_path(run)}/events", **{"last-event-id": first[-1].id}) as stream:
        events = iter(stream)
        rest = [next(events)]
        gate.open()
        rest += list(events)
    everything = first + rest
    ids = [event.id for event in everything if event.id]
    assert len(set(ids)) == len(ids)
    assert ids == sorted(ids, key=lambda text: [int(part) for part in text.split(".")])
    assert texts(everything) == LONG
    assert [event.name for event in rest][-3:] == ["thread.run.step.completed", "thread.run.completed", "done"]
    assert [event.name for event in c.follow(run)] == [event.name for event in everything]
    assert c.read(run_path(run))["status"] == "completed"
    assert "understudy_run_seconds_count" in worker_b.wire().http.get(worker_b.url + "/metrics").text


def test_functions_are_answered_at_any_server(a: Wire, c: Wire, upstream: Upstream) -> None:
    upstream.script(Reply(calls=[Call("weather", '{"city": "부산"}')]), Reply("It rains."))
    run = a.settle(a.assistant("weather"))
    assert run["status"] == "requires_action"
    calls = run["required_action"]["submit_tool_outputs"]["tool_calls"]
    outputs = [{"tool_call_id": call["id"], "output": "rain"} for call in calls]
    answers = [
        wire.post(f"{run_path(run)}/submit_tool_outputs", {"tool_outputs": outputs}).status_code for wire in (c, a)
    ]
    assert answers == [200, 400], "submitted once, used once"
    assert c.until(run, FINAL)["status"] == "completed"
    [said, _] = a.read(f"/threads/{run['thread_id']}/messages")["data"]
    assert text_of(said) == "It rains."


def test_a_run_is_cancelled_from_another_server_and_its_model_call_hangs_up(
    a: Wire, c: Wire, upstream: Upstream
) -> None:
    upstream.script(Reply(LONG, pause=Gate(), pause_after=2))
    run = a.run(a.assistant())
    seen = upstream.wait_for_request()
    a.until(run, {"in_progress"})
    began = time.monotonic()
    assert c.make(f"{run_path(run)}/cancel")["status"] == "cancelling"
    assert a.until(run, FINAL)["status"] == "cancelled"
    seen.wait_until_gone()
    assert time.monotonic() - began < 3


def test_a_waiting_run_holds_nothing_and_expires_on_any_server(cluster: Cluster, upstream: Upstream) -> None:
    a = cluster.server(UNDERSTUDY_RUN_EXPIRY_S="3").wire()
    worker = cluster.worker()
    upstream.script(Reply(calls=[Call("weather")]))
    run = a.settle(a.assistant("weather"))
    assert run["status"] == "requires_action"
    assert worker.stop() == 0
    assert a.until(run, FINAL)["status"] == "expired"


@pytest.mark.timeout(60)
def test_a_killed_workers_run_is_taken_over_within_ten_seconds(cluster: Cluster, upstream: Upstream) -> None:
    server = cluster.server()
    a, dying = server.wire(), cluster.worker()
    upstream.script(Reply(LONG, pause=Gate(), pause_after=3), Reply("whole again"))
    run = a.run(a.assistant())
    upstream.wait_for_request()
    a.until(run, {"in_progress"})
    other = cluster.worker()
    dying.kill()
    began = time.monotonic()
    upstream.wait_for_request(2, within_s=25)
    assert time.monotonic() - began < 10, "a lease of 8 s at most, a look every half second, and the way of a job"
    assert a.until(run, FINAL)["status"] == "completed"
    said = [text_of(message) for message in a.read(f"/threads/{run['thread_id']}/messages")["data"]]
    assert said == ["whole again", "Hi"]
    names = [event.name for event in a.follow(run)]
    assert names.count("thread.run.completed") == 1
    assert names.count("thread.message.incomplete") == 1, "what was said before is told to be left behind"
    assert other.stop() == 0


def test_a_worker_that_stops_hands_its_run_to_another_at_once(cluster: Cluster, upstream: Upstream) -> None:
    patient = {"UNDERSTUDY_LEASE_S": "120"}
    a, leaving = cluster.server().wire(), cluster.worker(**patient)
    upstream.script(Reply(LONG, pause=Gate(), pause_after=3), Reply("taken up"))
    run = a.run(a.assistant())
    upstream.wait_for_request()
    a.until(run, {"in_progress"})
    cluster.worker(**patient)
    assert leaving.stop() == 0
    assert a.until(run, FINAL)["status"] == "completed"


def test_work_is_shared_and_waits_where_there_is_room(cluster: Cluster, upstream: Upstream) -> None:
    a = cluster.server().wire()
    workers = [cluster.worker(UNDERSTUDY_WORKER_CONCURRENCY="2") for _ in range(2)]
    gate = Gate()
    upstream.brain = lambda _: Reply("done", hold=gate)
    assistant = a.assistant()
    runs = [a.run(assistant) for _ in range(6)]
    upstream.wait_for_request(4, within_s=40)
    time.sleep(0.5)
    assert len(upstream.requests) == 4, "two for each worker"
    statuses = [a.read(run_path(run))["status"] for run in runs]
    assert sorted(statuses) == ["in_progress"] * 4 + ["queued"] * 2
    metrics = a.http.get(cluster.processes[0].url + "/metrics").text
    assert "understudy_queue_depth 2.0" in metrics
    gate.open()
    assert [a.until(run)["status"] for run in runs] == ["completed"] * 6
    told = [worker.wire().http.get(worker.url + "/metrics").text for worker in workers]
    counts = [line for page in told for line in page.splitlines() if "run_seconds_count" in line]
    assert sum(float(line.split()[-1]) for line in counts) == 6
    assert len(counts) == 2, "each worker did some"


def test_servers_answer_alike(a: Wire, c: Wire) -> None:
    thread = a.thread("one", "two", "three")
    for wire in (a, c):
        page = wire.read(f"/threads/{thread['id']}/messages", limit=2, order="asc")
        assert [text_of(message) for message in page["data"]] == ["one", "two"]
    assert c.delete(f"/threads/{thread['id']}").status_code == 200
    assert a.get(f"/threads/{thread['id']}").status_code == 404


def test_a_worker_answers_health_and_nothing_else(standing: Cluster) -> None:
    wire = standing.processes[2].wire()
    health = wire.http.get("/../health").json()
    assert (health["status"], health["parts"]["database"]["kind"], health["parts"]["bus"]["kind"]) == (
        "ok",
        "postgresql",
        "nats",
    )
    assert wire.get("/assistants").status_code == 404


def test_a_poll_is_held_at_one_server_for_a_run_that_ends_at_another(a: Wire, upstream: Upstream) -> None:
    gate = Gate()
    upstream.script(Reply("late", hold=gate))
    run = a.run(a.assistant())
    upstream.wait_for_request()
    threading.Timer(0.5, gate.open).start()
    headers = {"X-Stainless-Poll-Helper": "true", "X-Stainless-Read-Timeout": "600"}
    held = a.get(run_path(run), headers=headers)
    assert held.json()["status"] in SETTLED
