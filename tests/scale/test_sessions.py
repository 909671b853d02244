"""The code interpreter's session belongs to a worker: later runs go there, or are told that it is gone."""

import json

import httpx2
import pytest
from tests.harness.jail import insist_on_jail
from tests.harness.replies import Call, Reply
from tests.harness.scaled import Cluster
from tests.harness.server import Server
from tests.harness.upstream import Upstream
from tests.harness.wire import FINAL, Json, Wire

PATIENCE_S = 90.0  # a jail takes its time to start on a busy machine
WORKERS = 3
CODE = {"type": "code_interpreter"}


@pytest.fixture
def jailing(cluster: Cluster) -> Cluster:
    cluster.server()
    workers = [cluster.worker(UNDERSTUDY_SANDBOX="auto") for _ in range(WORKERS)]
    insist_on_jail(workers[0])
    return cluster


def _holder(cluster: Cluster) -> Server:
    """Return the worker that has a session."""
    [holder] = [worker for worker in cluster.processes[1:] if "sandbox_sessions 1.0" in _metrics(worker)]
    return holder


def _metrics(worker: Server) -> str:
    return httpx2.get(worker.url + "/metrics").text


def _execute(wire: Wire, upstream: Upstream, thread: Json, assistant: Json, code: str) -> str:
    """Let the model run code; return what the model was told of it."""
    upstream.script(Reply(calls=[Call("code_interpreter", json.dumps({"code": code}))]), Reply("done"))
    run = wire.run(assistant, thread)
    assert wire.until(run, FINAL, within_s=PATIENCE_S)["status"] == "completed"
    told = upstream.requests[-1].body["messages"][-1]
    assert told["role"] == "tool"
    return str(told["content"])


@pytest.mark.timeout(300)
def test_runs_go_where_the_session_is_and_elsewhere_its_files_are_there_again(
    jailing: Cluster, upstream: Upstream
) -> None:
    wire = jailing.processes[0].wire()
    assistant, thread = wire.make("/assistants", {"model": "gpt-4o", "tools": [CODE]}), wire.thread("Calculate")
    _execute(wire, upstream, thread, assistant, "x = 41; open('/mnt/data/kept.txt', 'w').write('kept')")
    holder = _holder(jailing)
    for number in range(4):
        said = _execute(wire, upstream, thread, assistant, f"x += 1; print('x is', x, {number})")
        assert f"x is {42 + number} {number}" in said
        assert "restarted" not in said
        assert _holder(jailing) is holder
    jailing.processes.remove(holder)
    holder.kill()
    holder.close()
    said = _execute(wire, upstream, thread, assistant, "print(open('/mnt/data/kept.txt').read(), 'x' in dir())")
    assert "The session was restarted: variables and imports are gone; files are there again." in said
    assert "kept False" in said
    _holder(jailing)
