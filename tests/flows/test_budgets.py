"""Token budgets over a whole run, and what counts as their end."""

from tests.harness.replies import Body, Call, Reply
from tests.harness.upstream import Upstream
from tests.harness.wire import Wire, names


def limit_of(body: Body) -> int | None:
    return body.get("max_completion_tokens") or body.get("max_tokens")


def test_the_upstream_is_told_the_budget_and_then_what_is_left(wire: Wire, upstream: Upstream) -> None:
    upstream.script(Reply(calls=[Call("weather")], usage=(50, 100)))
    waiting = wire.settle(wire.assistant("weather"), max_completion_tokens=300)
    assert waiting["max_completion_tokens"] == 300
    wire.until(wire.submit(waiting, "rain"))
    assert [limit_of(body) for body in upstream.bodies] == [300, 200]


def test_no_budget_sends_no_limit(wire: Wire, upstream: Upstream) -> None:
    wire.settle(wire.assistant())
    assert limit_of(upstream.bodies[0]) is None


def test_spent_completion_tokens_end_the_run_incomplete(wire: Wire, upstream: Upstream) -> None:
    upstream.script(Reply("cut off at", usage=(10, 256), finish="length"))
    body = {"assistant_id": wire.assistant()["id"], "max_completion_tokens": 256}
    events = wire.stream(f"/threads/{wire.thread()['id']}/runs", body)
    end = ["thread.message.incomplete", "thread.run.step.completed", "thread.run.incomplete", "done"]
    assert names(events)[-4:] == end
    message, step, run = (event.data for event in events[-4:-1])
    assert (message["status"], message["incomplete_details"]) == ("incomplete", {"reason": "max_tokens"})
    assert step["status"] == "completed"
    assert (run["status"], run["incomplete_details"]) == ("incomplete", {"reason": "max_completion_tokens"})
    assert run["usage"]["completion_tokens"] == 256
    assert wire.texts(run["thread_id"])[-1] == "cut off at"


def test_spent_budget_before_the_next_call_ends_the_run_incomplete(wire: Wire, upstream: Upstream) -> None:
    upstream.script(Reply(calls=[Call("weather")], usage=(50, 300)))
    waiting = wire.settle(wire.assistant("weather"), max_completion_tokens=300)
    done = wire.until(wire.submit(waiting, "rain"))
    assert (done["status"], done["incomplete_details"]) == ("incomplete", {"reason": "max_completion_tokens"})
    assert len(upstream.requests) == 1


def test_spent_prompt_tokens_end_the_run_incomplete(wire: Wire, upstream: Upstream) -> None:
    upstream.script(Reply(calls=[Call("weather")], usage=(300, 10)))
    waiting = wire.settle(wire.assistant("weather"), max_prompt_tokens=256)
    done = wire.until(wire.submit(waiting, "rain"))
    assert (done["status"], done["incomplete_details"]) == ("incomplete", {"reason": "max_prompt_tokens"})


def test_a_long_thread_is_cut_to_the_prompt_budget(wire: Wire, upstream: Upstream) -> None:
    thread = wire.thread(*[f"number {n} " + "word " * 100 for n in range(10)])
    done = wire.settle(wire.assistant(), thread, max_prompt_tokens=300)
    assert done["status"] in {"completed", "incomplete"}
    for body in upstream.bodies:
        assert len(body["messages"]) <= 3
        assert "number 9" in str(body["messages"][-1]["content"])


def test_a_length_stop_without_a_budget_is_incomplete_too(wire: Wire, upstream: Upstream) -> None:
    upstream.script(Reply("cut off at", finish="length"))
    done = wire.settle(wire.assistant())
    assert (done["status"], done["incomplete_details"]) == ("incomplete", {"reason": "max_completion_tokens"})
