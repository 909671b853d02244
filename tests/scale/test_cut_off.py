"""A worker that is cut off from NATS, for a moment or for long: who follows its run misses nothing."""

import signal
import threading
import time
from collections.abc import Callable, Iterator

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


def heard_over(a: Wire, trouble_s: float, begin: Callable[[], None], end: Callable[[], None]) -> list[Event]:
    """Follow a run to its end; some trouble begins amid its text, and ends so much later."""
    heard: list[Event] = []
    ending = threading.Timer(trouble_s, end)
    body = {"assistant_id": a.assistant()["id"], "stream": True}
    with a.open_stream("POST", f"/threads/{a.thread('count')['id']}/runs", body) as stream:
        for event in stream:
            heard.append(event)
            if len(heard) == 10:
                begin()
                ending.start()
    ending.cancel()
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
    events = heard_over(a, cut_s, cable.cut, cable.mend)
    assert whole_text(events) == said
    assert whole_text(a.follow(events[0].data)) == said


@pytest.mark.timeout(90)
def test_a_run_that_ends_during_the_cut(a: Wire, cable: Cable, upstream: Upstream) -> None:
    said = words(4)
    upstream.script(Reply(said, delay_s=TOKEN_S))
    began = time.monotonic()
    events = heard_over(a, LONG_S, cable.cut, cable.mend)
    assert time.monotonic() - began < 4 + 2 * LOOK_S + 2, "the rows tell what NATS does not"
    assert whole_text(events) == said
    assert whole_text(a.follow(events[0].data)) == said


@pytest.mark.timeout(90)
@pytest.mark.parametrize(
    ("trouble", "trouble_s"),
    [
        ("it hangs", 4.5),
        pytest.param("it is killed", 4.5, marks=pytest.mark.slow),  # the outages themselves
        pytest.param("it hangs", 9.0, marks=pytest.mark.slow),
        pytest.param("it is killed", 9.0, marks=pytest.mark.slow),
    ],
)
def test_nats_is_away_as_a_run_ends(
    cluster_on_own_nats: Cluster, upstream: Upstream, trouble: str, trouble_s: float
) -> None:
    nats = cluster_on_own_nats.nats

    def begin() -> None:
        nats.signal(signal.SIGSTOP) if trouble == "it hangs" else nats.kill()

    def end() -> None:
        nats.signal(signal.SIGCONT) if trouble == "it hangs" else nats.start()

    a = cluster_on_own_nats.server(worker=True).wire()
    said = words(2)
    upstream.script(Reply(said, delay_s=TOKEN_S))
    assert whole_text(heard_over(a, trouble_s, begin, end)) == said
