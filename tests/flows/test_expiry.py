"""Runs end when their time is up, whatever they wait for. The time is a setting; here it is three seconds."""

import pytest
from tests.conftest import MakeServer
from tests.harness.replies import Gate, Reply
from tests.harness.upstream import Upstream
from tests.harness.wire import Wire, names, outputs_of, run_path


@pytest.fixture
def wire(make_server: MakeServer) -> Wire:
    return make_server(UNDERSTUDY_RUN_EXPIRY_S="3").wire()


def test_a_run_that_waits_for_outputs_expires(wire: Wire) -> None:
    run = wire.settle(wire.assistant("weather"))
    assert run["expires_at"] == run["created_at"] + 3
    expired = wire.until(run, {"expired"})
    assert (expired["required_action"], expired["completed_at"], expired["last_error"]) == (None, None, None)
    (step,) = wire.steps(run)
    assert step["status"] == "expired"
    response = wire.post(f"{run_path(run)}/submit_tool_outputs", outputs_of(run, "late"))
    assert response.json()["error"]["message"] == 'Runs in status "expired" do not accept tool outputs.'
    response = wire.post(f"{run_path(run)}/cancel")
    assert response.json()["error"]["message"] == "Cannot cancel run with status 'expired'."
    wire.make(f"/threads/{run['thread_id']}/messages", {"role": "user", "content": "free again"})


def test_a_run_that_streams_expires_with_all_its_events(wire: Wire, upstream: Upstream) -> None:
    upstream.script(Reply("one two", pause=Gate()))
    body = {"assistant_id": wire.assistant()["id"]}
    events = wire.stream(f"/threads/{wire.thread()['id']}/runs", body)
    end = ["thread.message.incomplete", "thread.run.step.expired", "thread.run.expired", "done"]
    assert names(events)[-4:] == end
    message = next(event.data for event in events if event.name == "thread.message.incomplete")
    assert message["incomplete_details"] == {"reason": "run_expired"}
    upstream.requests[0].wait_until_gone()
