"""Extensions for those who operate assistants: all threads, all runs, what was used, what the model was given."""

import time
from collections.abc import Iterator
from uuid import uuid4

import pytest
from tests.harness.replies import Call, Gate, Refusal, Reply
from tests.harness.server import Server
from tests.harness.upstream import Upstream
from tests.harness.wire import Json, Wire, run_path
from tests.keys.keys import make_key

SENT = ("messages", "tools", "tool_choice", "parallel_tool_calls", "temperature", "top_p", "response_format")


ADMIN = "sk-admin-of-the-lists"


@pytest.fixture(scope="module")
def keyed(_upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("lists") / "data"
    server = Server(folder, _upstream.url, {"UNDERSTUDY_ADMIN_KEY": ADMIN}).start()
    yield server
    server.close()


@pytest.fixture
def alone(keyed: Server, upstream: Upstream) -> Iterator[Wire]:
    """Return a client in a project of its own: lists show all that is there."""
    wire = Wire(keyed.url, ADMIN)
    wire.http.headers["openai-project"] = f"proj_{uuid4().hex}"
    yield wire
    wire.close()


def refused(wire: Wire, path: str, **params: object) -> Json:
    answer = wire.get(path, params=params)
    assert answer.status_code == 400, answer.text
    return answer.json()["error"]


def test_threads_newest_first(alone: Wire) -> None:
    assistant = alone.assistant()
    first, second = alone.thread("Will it rain?"), alone.thread("비가 올까요?")
    run = alone.settle(assistant, first)
    listed = alone.read("/threads")
    assert [thread["id"] for thread in listed["data"]] == [second["id"], first["id"]]
    assert (listed["object"], listed["has_more"], listed["first_id"]) == ("list", False, second["id"])
    shown = listed["data"][1]
    assert {name: shown[name] for name in first} == first
    assert (shown["title"], shown["message_count"], shown["run_count"]) == ("Will it rain?", 2, 1)
    assert shown["last_run"] == {name: run[name] for name in shown["last_run"]}
    assert shown["usage"] == {"prompt_tokens": 20, "completion_tokens": 10, "total_tokens": 30}
    assert alone.read("/threads", limit=1)["has_more"] is True
    assert [t["id"] for t in alone.read("/threads", order="asc", after=first["id"])["data"]] == [second["id"]]


def test_threads_by_metadata_and_text(alone: Wire) -> None:
    made = [alone.make("/threads", {"metadata": {"user": user, "n": "1"}}) for user in ("민수", "小明", "민수")]
    alone.make(f"/threads/{made[0]['id']}/messages", {"role": "user", "content": "부산의 날씨"})

    def ids(**params: str) -> list[str]:
        return [thread["id"] for thread in alone.read("/threads", **params)["data"]]

    assert ids(**{"metadata[user]": "민수"}) == [made[2]["id"], made[0]["id"]]
    assert ids(**{"metadata[user]": "小明", "metadata[n]": "1"}) == [made[1]["id"]]
    assert ids(**{"metadata[user]": "小明", "metadata[n]": "2"}) == []
    assert ids(query="날씨") == [made[0]["id"]]
    assert ids(query="날씨", **{"metadata[user]": "小明"}) == []
    assert len(ids(query="", metadata="ignored")) == 3


def test_runs_across_threads(alone: Wire, upstream: Upstream) -> None:
    assistant, other = alone.assistant(), alone.assistant("weather")
    done = alone.settle(assistant)
    upstream.script(Refusal(400, "no"))
    failed, waiting = alone.settle(assistant), alone.settle(other)

    def ids(**params: object) -> set[str]:
        return {run["id"] for run in alone.read("/runs", **params)["data"]}

    assert ids() == {done["id"], failed["id"], waiting["id"]}
    assert ids(status="failed") == {failed["id"]}
    assert ids(status=["failed", "requires_action"]) == {failed["id"], waiting["id"]}
    for form in ({"status[]": ["failed", "requires_action"]}, {"status": "failed,requires_action"}):
        assert ids(**form) == {failed["id"], waiting["id"]}
    assert ids(assistant_id=other["id"]) == {waiting["id"]}
    assert ids(assistant_id="asst_unknown") == set()
    page = alone.read("/runs", limit=2)
    rest = alone.read("/runs", after=page["last_id"])
    assert page["has_more"] is True
    assert len({run["id"] for run in page["data"] + rest["data"]}) == 3
    assert alone.read("/runs", status="completed")["data"] == [done]


def test_wrong_questions_are_told_what_is_allowed(alone: Wire) -> None:
    told = refused(alone, "/runs", status="done")
    assert told["message"].startswith("Invalid value: 'done'. Supported values are: 'queued', 'in_progress'")
    assert "begins with 'asst'" in refused(alone, "/runs", assistant_id="thread_1")["message"]
    assert refused(alone, "/threads", limit=0)["param"] == "limit"
    assert refused(alone, "/usage", bucket_width="1m")["message"] == (
        "Invalid value: '1m'. Supported values are: '1h' and '1d'."
    )
    assert refused(alone, "/usage", limit=32) == {
        "message": "Invalid 'limit': integer above maximum value. Expected a value <= 31 with bucket_width '1d', "
        "but got 32 instead.",
        "type": "invalid_request_error",
        "param": "limit",
        "code": "integer_above_max_value",
    }
    assert refused(alone, "/usage", start_time=-1)["param"] == "start_time"
    assert alone.get("/threads", params={"after": "thread_none"}).status_code == 404


def test_usage_by_day_and_hour(alone: Wire, upstream: Upstream) -> None:
    alone.settle(alone.assistant())
    upstream.script(Refusal(400, "no"))
    alone.settle(alone.assistant(model="other"))
    days = alone.read("/usage")["data"]
    assert len(days) == 7
    assert [part for day in days[:-1] for part in day["tokens"]] == []
    assert days[-1]["start_time"] <= time.time() < days[-1]["end_time"]
    used = {
        "object": "usage.tokens",
        "project": alone.http.headers["openai-project"],
        "model": "gpt-4o",
        "model_calls": 1,
        "prompt_tokens": 20,
        "cached_tokens": 0,
        "completion_tokens": 10,
        "total_tokens": 30,
    }
    assert days[-1]["tokens"][0] == used
    assert {part["status"]: part["runs"] for part in days[-1]["runs"]} == {"completed": 1, "failed": 1}
    hours = alone.read("/usage", bucket_width="1h", limit=2, start_time=int(time.time()) - 3600)["data"]
    assert [hour["end_time"] - hour["start_time"] for hour in hours] == [3600, 3600]
    assert hours[-1]["tokens"][0] == used


def test_what_was_sent_is_told_as_it_was_sent(wire: Wire, upstream: Upstream) -> None:
    """Two runs with tools in one thread: each call's prompt is the body that the model's server got."""
    assistant = wire.assistant("weather", "rain", instructions="Be brief.", temperature=0, top_p=0.5)
    thread = wire.thread("부산은?", "And the rain?")
    for _ in range(2):
        upstream.script(Reply("Let me look.", calls=[Call("weather"), Call("rain")]), Reply(calls=[Call("rain")]))
        run = wire.settle(assistant, thread, additional_instructions="In Korean.", tool_choice="required")
        wire.submit(run, "57", "0.06")
        wire.submit(wire.until(run, {"requires_action"}), "none")
        run = wire.until(run)
        wire.make(f"/threads/{thread['id']}/messages", {"role": "user", "content": "And now?"})
    calls = wire.read(f"{run_path(run)}/model_calls")["data"]
    assert [call["finish_reason"] for call in calls] == ["tool_calls", "tool_calls", "stop"]
    assert [call["prompt"] for call in calls] == [None] * 3
    steps = {step["id"]: step["type"] for step in wire.steps(run)}
    assert [steps[call["step_id"]] for call in calls] == ["tool_calls", "tool_calls", "message_creation"]
    for call, body in zip(calls, upstream.bodies[3:], strict=True):
        told = wire.read(f"{run_path(run)}/model_calls/{call['id']}")
        prompt = told["prompt"]
        assert {name: prompt[name] for name in SENT} == {name: body.get(name) for name in SENT}
        assert prompt["missing_message_ids"] == []
        assert told | {"prompt": None} == call
        assert call["started_at"] <= call["first_token_at"] <= call["finished_at"]
        assert call["usage"]["total_tokens"] == 30


def test_messages_deleted_since_are_named(wire: Wire) -> None:
    thread = wire.thread("a secret", "a question")
    run = wire.settle(wire.assistant(), thread)
    gone = wire.read(f"/threads/{thread['id']}/messages", order="asc")["data"][0]["id"]
    wire.delete(f"/threads/{thread['id']}/messages/{gone}")
    (call,) = wire.read(f"{run_path(run)}/model_calls")["data"]
    prompt = wire.read(f"{run_path(run)}/model_calls/{call['id']}")["prompt"]
    assert prompt["missing_message_ids"] == [gone]
    assert prompt["messages"] == [{"role": "user", "content": "a question"}]


def test_a_call_that_was_called_off_is_there_too(wire: Wire, upstream: Upstream) -> None:
    upstream.script(Reply("one two three", pause=Gate()))
    thread, assistant = wire.thread(), wire.assistant()
    started = {"assistant_id": assistant["id"], "stream": True}
    with wire.open_stream("POST", f"/threads/{thread['id']}/runs", started) as stream:
        run = stream.until("thread.run.created").data
        stream.until("thread.message.delta")
        wire.post(f"{run_path(run)}/cancel")
    wire.until(run, {"cancelled"})
    (call,) = wire.read(f"{run_path(run)}/model_calls")["data"]
    assert (call["finish_reason"], call["usage"], call["step_id"]) == ("broken_off", None, None)
    told = wire.read(f"{run_path(run)}/model_calls/{call['id']}")["prompt"]
    assert told["messages"] == list(upstream.bodies[0]["messages"])


def test_calls_of_another_run_are_not_found(wire: Wire) -> None:
    one, other = wire.settle(wire.assistant()), wire.settle(wire.assistant())
    (call,) = wire.read(f"{run_path(one)}/model_calls")["data"]
    answer = wire.get(f"{run_path(other)}/model_calls/{call['id']}")
    assert answer.status_code == 404
    assert answer.json()["error"]["message"] == f"No model call found with id '{call['id']}'."
    assert wire.get(f"{run_path(one)}/model_calls/step_1").status_code == 400


def test_only_an_admin_sees_what_all_projects_used(keyed: Server, alone: Wire) -> None:
    alone.settle(alone.assistant())
    everywhere = alone.read("/usage", all_projects=True)["data"][-1]
    assert alone.http.headers["openai-project"] in {part["project"] for part in everywhere["tokens"]}
    mine = Wire(keyed.url, make_key(keyed, "proj_mine")[1])
    until = time.monotonic() + 5
    while mine.get("/usage").status_code == 401:
        assert time.monotonic() < until
    assert mine.read("/usage")["data"][-1]["tokens"] == []
    answer = mine.get("/usage", params={"all_projects": True})
    mine.close()
    assert answer.status_code == 403
    assert answer.json()["error"]["message"].startswith("Only an admin key may ask for all projects")
