"""`GET /v1/threads/{t}/runs/{r}/events` follows a run from any position, live or long finished."""

import itertools
import threading

import pytest
from tests.harness.replies import Call, Gate, Reply
from tests.harness.upstream import Upstream
from tests.harness.wire import Event, Json, Wire, names, outputs_of, run_path, streamed_text


def identity(events: list[Event]) -> list[tuple[str, str | None]]:
    return [(event.name, event.id) for event in events if event.name != "done"]


@pytest.fixture
def streamed(wire: Wire, upstream: Upstream) -> tuple[Json, list[Event]]:
    """Return a finished run and the events of its own stream."""
    upstream.script(Reply("one two three four"))
    body = {"assistant_id": wire.assistant()["id"]}
    events = wire.stream(f"/threads/{wire.thread()['id']}/runs", body)
    return events[0].data, events


def test_a_finished_run_can_be_read_again(wire: Wire, streamed: tuple[Json, list[Event]]) -> None:
    run, events = streamed
    again = wire.follow(run)
    assert identity(again) == identity(events)
    assert [event.data for event in again] == [event.data for event in events]


def test_it_goes_on_after_any_known_position(wire: Wire, streamed: tuple[Json, list[Event]]) -> None:
    run, events = streamed
    for number, event in enumerate(events[:-1]):
        assert identity(wire.follow(run, event.id)) == identity(events[number + 1 :])


@pytest.mark.parametrize(
    "position", ["", "0.0", "99.1", "nonsense", "1.99999", "-1.-1", "é".encode().decode("latin-1")]
)
def test_an_unknown_position_gets_whole_objects(wire: Wire, streamed: tuple[Json, list[Event]], position: str) -> None:
    run, _ = streamed
    events = wire.follow(run, position)
    assert names(events)[-2:] == ["thread.run.completed", "done"]
    message = [event.data for event in events if event.name == "thread.message.completed"]
    assert [part["text"]["value"] for part in message[0]["content"]] == ["one two three four"]


def test_it_follows_a_live_run_to_its_end(wire: Wire, upstream: Upstream) -> None:
    gate = Gate()
    upstream.script(Reply("one two three", pause=gate))
    run = wire.run(wire.assistant())
    with wire.open_stream("GET", f"{run_path(run)}/events") as stream:
        events = [stream.until("thread.message.delta")]
        gate.open()
        events += list(stream)
    assert streamed_text(events) == "one two three"
    assert names(events)[-2:] == ["thread.run.completed", "done"]


def test_a_torn_stream_is_taken_up_where_it_tore(wire: Wire, upstream: Upstream) -> None:
    gate = Gate()
    upstream.script(Reply("one two three", pause=gate))
    body = {"assistant_id": wire.assistant()["id"], "stream": True}
    with wire.open_stream("POST", f"/threads/{wire.thread()['id']}/runs", body) as stream:
        seen = list(itertools.takewhile(lambda event: event.name != "thread.message.delta", stream))
    gate.open()
    rest = wire.follow(seen[0].data, seen[-1].id)
    assert streamed_text(rest) == "one two three"
    assert identity(seen + rest) == identity(wire.follow(seen[0].data))


def test_two_readers_of_one_run_see_the_same(wire: Wire, upstream: Upstream) -> None:
    gate = Gate()
    upstream.script(Reply("one two three", pause=gate))
    run = wire.run(wire.assistant())
    seen: list[list[Event]] = []
    readers = [threading.Thread(target=lambda: seen.append(wire.follow(run))) for _ in range(3)]
    for reader in readers:
        reader.start()
    upstream.wait_for_request()
    gate.open()
    for reader in readers:
        reader.join(10)
    assert len(seen) == 3
    assert identity(seen[0]) == identity(seen[1]) == identity(seen[2])
    assert streamed_text(seen[0]) == "one two three"


def test_a_run_with_calls_is_read_through_to_its_end(wire: Wire, upstream: Upstream) -> None:
    upstream.script(Reply("Let me look.", [Call("weather")]), Reply("It rains."))
    waiting = wire.settle(wire.assistant("weather"))
    first = wire.follow(waiting)
    assert names(first)[-2:] == ["thread.run.requires_action", "done"]
    second = wire.stream(f"{run_path(waiting)}/submit_tool_outputs", outputs_of(waiting, "rain"))
    assert identity(wire.follow(waiting, first[-2].id)) == identity(second)


def test_unknown_runs_are_not_found(wire: Wire) -> None:
    run = {"id": "run_" + "x" * 24, "thread_id": wire.thread()["id"]}
    response = wire.get(f"{run_path(run)}/events")
    assert response.status_code == 404
    assert response.json()["error"]["message"] == f"No run found with id '{run['id']}'."
