"""Retries as the SDKs mark them: what was done is not done again, and what was not done is done."""

import json
from typing import Any

import pytest
from tests.conftest import MakeServer
from tests.harness.replies import Call, Gate, Reply
from tests.harness.upstream import Upstream
from tests.harness.wire import Json, Wire, names, outputs_of, run_path, streamed_text

AGAIN = "idempotent-replayed"


def send(wire: Wire, path: str, body: Any, retry: int | None = None, **headers: str) -> Json:
    """POST as the given try; tell in the object whether it was answered out of the memory."""
    if retry is not None:
        headers["x-stainless-retry-count"] = str(retry)
    response = wire.post(path, body, headers=headers)
    assert response.status_code == 200, response.text
    return response.json() | {"again": response.headers.get(AGAIN) == "true"}


def unique(wire: Wire) -> Json:
    """Return a body that no other test sends."""
    return {"metadata": {"thread": wire.thread()["id"]}}


def test_a_retry_gets_what_its_original_made(wire: Wire) -> None:
    body = unique(wire)
    made = send(wire, "/threads", body)
    assert not made["again"]
    assert send(wire, "/threads", body, 1) == made | {"again": True}


def test_two_equal_requests_both_take_effect(wire: Wire) -> None:
    body = unique(wire)
    made = {send(wire, "/threads", body, retry)["id"] for retry in (None, 0, 0)}
    assert len(made) == 3


def test_each_original_serves_one_client(wire: Wire) -> None:
    body = unique(wire)
    made = {send(wire, "/threads", body)["id"] for _ in range(3)}
    assert {send(wire, "/threads", body, 1)["id"] for _ in range(3)} == made
    assert not send(wire, "/threads", body, 1)["again"]


def test_the_next_try_of_a_client_finds_its_object_again(wire: Wire) -> None:
    body = unique(wire)
    first, second = send(wire, "/threads", body), send(wire, "/threads", body)
    served = send(wire, "/threads", body, 1)["id"]
    assert served in (first["id"], second["id"])
    assert [send(wire, "/threads", body, retry)["id"] for retry in (2, 3)] == [served, served]


def test_a_retry_whose_original_never_came_takes_effect_once(wire: Wire) -> None:
    body = unique(wire)
    made = send(wire, "/threads", body, 1)
    assert not made["again"]
    assert send(wire, "/threads", body, 2) == made | {"again": True}


@pytest.mark.parametrize("other", ["body", "path", "key"])
def test_what_is_not_the_same_request_is_not_taken_for_it(wire: Wire, other: str) -> None:
    body = unique(wire)
    thread = wire.thread()["id"]
    send(wire, "/threads", body)
    headers = {"authorization": "Bearer sk-another"} if other == "key" else {}
    path = f"/threads/{thread}" if other == "path" else "/threads"
    changed = body | {"messages": []} if other == "body" else body
    assert not send(wire, path, changed, 1, **headers)["again"]


def test_an_answer_that_was_heard_is_nobody_elses(wire: Wire) -> None:
    """Who wrote into a thread knew its id: a retry of an equal request belongs to somebody else."""
    body = unique(wire)
    mine = send(wire, "/threads", body)
    wire.make(f"/threads/{mine['id']}/messages", {"role": "user", "content": "private"})
    theirs = send(wire, "/threads", body, 1)
    assert theirs["id"] != mine["id"]
    assert wire.texts(theirs["id"]) == []


def test_the_same_words_later_in_a_talk_are_a_new_message(wire: Wire) -> None:
    thread, yes = wire.thread(), {"role": "user", "content": "yes"}
    path = f"/threads/{thread['id']}/messages"
    send(wire, path, yes)
    wire.settle(wire.assistant(), thread)
    assert not send(wire, path, yes, 1)["again"]
    assert wire.texts(thread["id"]) == ["Hi", "yes", "You said: yes", "yes"]


def test_the_same_run_later_in_a_talk_is_a_new_run(wire: Wire) -> None:
    thread, body = wire.thread(), {"assistant_id": wire.assistant()["id"]}
    path = f"/threads/{thread['id']}/runs"
    first = send(wire, path, body)
    wire.until(first)
    assert send(wire, path, body, 1)["id"] == first["id"]
    wire.make(f"/threads/{thread['id']}/messages", {"role": "user", "content": "more"})
    assert send(wire, path, body, 2)["id"] != first["id"]


def test_every_noun(wire: Wire, upstream: Upstream) -> None:
    gate = Gate()
    upstream.script(Reply("one", hold=gate))
    assistant = {"model": "gpt-4o", "name": wire.thread()["id"]}
    made = send(wire, "/assistants", assistant)
    assert send(wire, "/assistants", assistant, 1) == made | {"again": True}
    thread = wire.thread()
    for path, body in (
        (f"/threads/{thread['id']}/messages", {"role": "user", "content": "x"}),
        (f"/threads/{thread['id']}/runs", {"assistant_id": made["id"]}),
        ("/threads/runs", {"assistant_id": made["id"], "thread": {"messages": [{"role": "user", "content": "x"}]}}),
    ):
        first = send(wire, path, body)
        assert send(wire, path, body, 1) == first | {"again": True}
    gate.open()
    assert len(wire.read(f"/threads/{thread['id']}/runs")["data"]) == 1


def test_modifying_is_simply_done_again(wire: Wire) -> None:
    thread = wire.thread()
    path = f"/threads/{thread['id']}"
    for retry, value in ((0, "1"), (0, "2"), (1, "1")):
        send(wire, path, {"metadata": {"a": value}}, retry)
    assert wire.read(path)["metadata"] == {"a": "1"}


def test_what_is_deleted_is_not_answered_any_more(wire: Wire) -> None:
    thread, key = wire.thread(), wire.thread()["id"]
    secret = {"role": "user", "content": "secret"}
    message = keyed(wire, f"/threads/{thread['id']}/messages", secret, key)
    wire.delete(f"/threads/{thread['id']}/messages/{message['id']}")
    assert not keyed(wire, f"/threads/{thread['id']}/messages", secret, key)["again"]
    body = {"model": "gpt-4o", "name": key}
    assistant = keyed(wire, "/assistants", body, key)
    wire.delete(f"/assistants/{assistant['id']}")
    assert not keyed(wire, "/assistants", body, key)["again"]
    talk = {"messages": [secret]}
    wire.delete(f"/threads/{keyed(wire, '/threads', talk, key)['id']}")
    assert not keyed(wire, "/threads", talk, key)["again"]


# --- streams -----------------------------------------------------------------------------------------------------


def stream_again(wire: Wire, path: str, body: Json) -> list[Any]:
    with wire.open_stream("POST", path, body | {"stream": True}, **{"x-stainless-retry-count": "1"}) as stream:
        assert stream.response.headers[AGAIN] == "true"
        return list(stream)


@pytest.mark.parametrize("path", ["/threads/{}/runs", "/threads/runs"])
def test_a_streams_retry_follows_the_same_run_from_its_beginning(wire: Wire, upstream: Upstream, path: str) -> None:
    gate = Gate()
    upstream.script(Reply("one two three", pause=gate))
    thread, body = wire.thread(), {"assistant_id": wire.assistant()["id"]}
    if path == "/threads/runs":
        body |= {"thread": {"messages": [{"role": "user", "content": "Hi"}]}}
    path = path.format(thread["id"])
    with wire.open_stream("POST", path, body | {"stream": True}) as stream:
        seen = [stream.until("thread.run.created"), stream.until("thread.message.delta")]
    gate.open()
    again = stream_again(wire, path, body)
    assert [event.id for event in seen][1] in [event.id for event in again]
    assert names(again)[-2:] == ["thread.run.completed", "done"]
    assert streamed_text(again) == "one two three"
    assert len(upstream.requests) == 1


def test_a_lost_stream_ends_where_the_original_did(wire: Wire, upstream: Upstream) -> None:
    upstream.script(Reply(calls=[Call("weather")]), Reply("It rains."))
    path = f"/threads/{wire.thread()['id']}/runs"
    body = {"assistant_id": wire.assistant("weather")["id"]}
    first = wire.stream(path, body)
    waiting = next(event.data for event in first if event.name == "thread.run.requires_action")
    submit = f"{run_path(waiting)}/submit_tool_outputs"
    second = wire.stream(submit, outputs_of(waiting, "rain"))
    assert stream_again(wire, path, body) == first
    assert stream_again(wire, submit, outputs_of(waiting, "rain")) == second


def test_after_a_restart_a_retried_stream_still_ends_well(make_server: MakeServer, upstream: Upstream) -> None:
    server = make_server()
    wire = Wire(server.url)
    upstream.script(Reply("one two"))
    path, body = f"/threads/{wire.thread()['id']}/runs", {"assistant_id": wire.assistant()["id"]}
    first = wire.stream(path, body)
    server.kill()
    server.start()
    again = stream_again(wire, path, body)
    assert names(again)[-2:] == ["thread.run.completed", "done"]
    assert again[-2].data["id"] == first[0].data["id"]
    wire.close()


# --- submit, cancel ----------------------------------------------------------------------------------------------


def test_outputs_brought_again_are_taken_as_brought(wire: Wire) -> None:
    waiting = wire.settle(wire.assistant("weather"))
    path, body = f"{run_path(waiting)}/submit_tool_outputs", outputs_of(waiting, "57")
    first = send(wire, path, body)
    assert send(wire, path, body, 1) == first | {"again": True}
    wire.until(waiting, {"completed"})
    assert send(wire, path, body, 2)["id"] == waiting["id"]
    refused = wire.post(path, body)
    assert refused.json()["error"]["message"] == 'Runs in status "completed" do not accept tool outputs.'


def test_a_cancel_asked_again_tells_how_far_it_is(wire: Wire) -> None:
    waiting = wire.settle(wire.assistant("weather"))
    path = f"{run_path(waiting)}/cancel"
    send(wire, path, None)
    assert send(wire, path, None, 1)["status"] in ("cancelling", "cancelled")
    wire.until(waiting, {"cancelled"})
    assert send(wire, path, None, 2)["status"] == "cancelled"
    assert wire.post(path).json()["error"]["message"] == "Cannot cancel run with status 'cancelled'."


# --- keys --------------------------------------------------------------------------------------------------------


def keyed(wire: Wire, path: str, body: Any, key: str) -> Json:
    return send(wire, path, body, **{"idempotency-key": key})


def test_a_key_seen_before_is_answered_as_before(wire: Wire) -> None:
    body, key = unique(wire), wire.thread()["id"]
    made = keyed(wire, "/threads", body, key)
    wire.make(f"/threads/{made['id']}", {"metadata": {"changed": "since"}})
    wire.make(f"/threads/{made['id']}/messages", {"role": "user", "content": "x"})
    for _ in range(2):
        assert keyed(wire, "/threads", body, key) == made | {"again": True}
    assert not keyed(wire, "/threads", body, key + "2")["again"]
    assert not keyed(wire, f"/threads/{made['id']}", body, key)["again"], "another path"


def test_a_key_with_another_body_is_refused(wire: Wire) -> None:
    key = wire.thread()["id"]
    keyed(wire, "/threads", {}, key)
    response = wire.post("/threads", {"messages": []}, headers={"idempotency-key": key})
    assert response.status_code == 400
    assert "was used for a request with another body" in response.json()["error"]["message"]


def test_a_key_covers_modifying_too(wire: Wire) -> None:
    thread = wire.thread()
    path, key = f"/threads/{thread['id']}", thread["id"]
    keyed(wire, path, {"metadata": {"a": "1"}}, key)
    send(wire, path, {"metadata": {"a": "2"}})
    assert keyed(wire, path, {"metadata": {"a": "1"}}, key)["metadata"] == {"a": "1"}
    assert wire.read(path)["metadata"] == {"a": "2"}


def test_what_failed_under_a_key_is_tried_again(wire: Wire, upstream: Upstream) -> None:
    gate = Gate()
    upstream.script(Reply("one", hold=gate))
    thread = wire.thread()
    run = wire.run(wire.assistant(), thread)
    path, body, headers = (
        f"/threads/{thread['id']}/messages",
        {"role": "user", "content": "x"},
        {"idempotency-key": "k"},
    )
    assert wire.post(path, body, headers=headers).status_code == 400
    gate.open()
    wire.until(run)
    assert not keyed(wire, path, body, "k")["again"]


@pytest.mark.parametrize("count", ["", "-1", "x", "1e3", "99999999999999999999", "１"])
def test_a_strange_count_is_no_retry(wire: Wire, count: str) -> None:
    body = unique(wire)
    send(wire, "/threads", body)
    response = wire.http.post(
        "/threads", content=json.dumps(body), headers={"x-stainless-retry-count": count.encode("latin-1", "replace")}
    )
    assert response.status_code == 200
    assert AGAIN not in response.headers
