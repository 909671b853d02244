"""One project's long queue: others need not wait for all of it, and it goes on beside them."""

import pytest
from tests.conftest import MakeServer
from tests.harness.replies import Gate, Reply
from tests.harness.upstream import Upstream
from tests.harness.wire import FINAL, Wire, run_path

KEY = "the-key-that-enters-any-project"
CROWD = 200
OTHERS = 5


def _of_project(url: str, project: str) -> Wire:
    wire = Wire(url, KEY)
    wire.http.headers["OpenAI-Project"] = project
    return wire


@pytest.mark.timeout(120)
def test_a_run_does_not_wait_for_another_projects_two_hundred(make_server: MakeServer, upstream: Upstream) -> None:
    gate = Gate()  # nothing ends before the queue is full, on however busy a machine
    upstream.brain = lambda _: Reply("done", hold=gate, delay_s=0.03)
    server = make_server(UNDERSTUDY_ADMIN_KEY=KEY, UNDERSTUDY_WORKER_CONCURRENCY="2")
    noisy, quiet = _of_project(server.url, "noisy"), _of_project(server.url, "quiet")
    theirs, ours = noisy.assistant(), quiet.assistant()
    crowd = [noisy.run(theirs) for _ in range(CROWD)]
    waiting = [run for run in crowd if noisy.read(run_path(run))["status"] == "queued"]
    assert len(waiting) == CROWD - 2, "the noisy project has all the room, and fills the queue"
    mine = [quiet.run(ours) for _ in range(OTHERS)]
    gate.open()
    for run in mine:
        assert quiet.until(run, FINAL, within_s=60)["status"] == "completed"
    left = [run for run in waiting if noisy.read(run_path(run))["status"] == "queued"]
    assert len(left) > len(waiting) // 2, "the quiet project went ahead of most of them"
    assert len(left) < len(waiting), "and they went on beside it"
    noisy.until(crowd[-1], FINAL, within_s=60)
    for wire in (noisy, quiet):
        wire.close()
