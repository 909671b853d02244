"""A worker that is cut off from NATS, for a moment or for long: who follows its run misses nothing."""

import threading
import time
from collections.abc import Iterator

import pytest
from tests.chaos.checker import illegal
from tests.harness.cable import Cable
from tests.harness.replies import Reply
from tests.harness.scaled import Cluster
from tests.harness.upstream import Upstream
from tests.harness.wire import Event, Wire, text_of

LONG_S = 30.0  # twice what a worker keeps its events for
TOKEN_S = 0.25
LOOK_S = 3.0


@pytest.fixture
def cable(cluster: Cluster) -> Iterator[Cable]:
    with Cable(cluster.nats.address) as cable:
        yield cable


@pytest.fixture
def a(cluster: Cluster, cable: Cable) -> Wire:
    """Return a client of a server whose only worker is at the end of the cable."""
    server = cluster.server()
    cluster.worker(UNDERSTUDY_BUS_URL=cable.url)
    return server.wire()


def words(talk_s: float) -> str:
    return " ".join(f"word{number}" for number in range(int(talk_s / TOKEN_S)))


def heard_over_a_cut(a: Wire, cable: Cable, cut_s: float) -> list[Event]:
    """Follow a run to its end; the cable is cut amid its text for so long."""
    heard: list[Event] = []
    mending = threading.Timer(cut_s, cable.mend)
    body = {"assistant_id": a.assistant()["id"], "stream": True}
    with a.open_stream("POST", f"/threads/{a.thread('count')['id']}/runs", body) as stream:
        for event in stream:
            heard.append(event)
            if len(heard) == 10:
                cable.cut()
                mending.start()
    mending.cancel()
    return heard


def whole_text(events: list[Event]) -> str:
    """Insist on one legal sequence up to the run's completion; return what its message says in the end."""
    *told, done = events
    assert done.name == "done"
    assert illegal([(event.name, event.data) for event in told]) == []
    assert told[-1].name == "thread.run.completed"
    [message] = [event.data for event in told if event.name == "thread.message.completed"]
    return text_of(message)


@pytest.mark.timeout(90)
@pytest.mark.parametrize("cut_s", [2.0, pytest.param(LONG_S, marks=pytest.mark.slow)])  # the outage itself
def test_a_run_that_goes_on_after_the_cut(a: Wire, cable: Cable, upstream: Upstream, cut_s: float) -> None:
    said = words(cut_s + 4)
    upstream.script(Reply(said, delay_s=TOKEN_S))
    events = heard_over_a_cut(a, cable, cut_s)
    assert whole_text(events) == said
    assert whole_text(a.follow(events[0].data)) == said


@pytest.mark.timeout(90)
def test_a_run_that_ends_during_the_cut(a: Wire, cable: Cable, upstream: Upstream) -> None:
    said = words(4)
    upstream.script(Reply(said, delay_s=TOKEN_S))
    began = time.monotonic()
    events = heard_over_a_cut(a, cable, LONG_S)
    assert time.monotonic() - began < 4 + 2 * LOOK_S + 2, "the rows tell what NATS does not"
    assert whole_text(events) == said
    assert whole_text(a.follow(events[0].data)) == said
