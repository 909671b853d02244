"""A poll by one of the SDK's helpers is held until there is something to tell."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

import httpx2
import openai
import pytest
from tests.harness.replies import Call, Gate, Reply
from tests.harness.upstream import Upstream
from tests.harness.wire import Json, Wire, outputs_of, run_path

HELPER = {"X-Stainless-Poll-Helper": "true"}
PROMPT_S = 0.5


@pytest.fixture
def gate(upstream: Upstream) -> Gate:
    """Hold the model's next reply back."""
    gate = Gate()
    upstream.script(Reply("Now.", hold=gate))
    return gate


def poll(wire: Wire, run: Json, **headers: str) -> tuple[httpx2.Response, float]:
    """Return the answer and how long it took."""
    started = time.monotonic()
    response = wire.get(run_path(run), headers=HELPER | {k.replace("_", "-"): v for k, v in headers.items()})
    return response, time.monotonic() - started


def in_thread(work: Callable[[], tuple[httpx2.Response, float]]) -> Future[tuple[httpx2.Response, float]]:
    pool = ThreadPoolExecutor(1)
    future = pool.submit(work)
    pool.shutdown(wait=False)
    return future


def test_a_poll_is_held_until_the_run_is_done(wire: Wire, upstream: Upstream, gate: Gate) -> None:
    run = wire.run(wire.assistant())
    upstream.wait_for_request()
    future = in_thread(lambda: poll(wire, run, X_Stainless_Read_Timeout="600"))
    with pytest.raises(TimeoutError):
        future.result(timeout=0.5)
    gate.open()
    response, _ = future.result(timeout=PROMPT_S)
    assert response.json()["status"] == "completed"
    assert response.headers["openai-poll-after-ms"] == "1"


def test_a_poll_is_held_until_outputs_are_wanted(wire: Wire, upstream: Upstream) -> None:
    gate = Gate()
    upstream.script(Reply(calls=[Call("weather")], hold=gate))
    run = wire.run(wire.assistant("weather"))
    future = in_thread(lambda: poll(wire, run, X_Stainless_Read_Timeout="600"))
    upstream.wait_for_request()
    gate.open()
    response, _ = future.result(timeout=5)
    assert response.json()["status"] == "requires_action"


def test_a_poll_is_held_for_half_of_the_clients_patience(wire: Wire, gate: Gate) -> None:
    response, took = poll(wire, wire.run(wire.assistant()), X_Stainless_Read_Timeout="2")
    assert response.json()["status"] == "in_progress"
    assert 0.8 < took < 1.0 + PROMPT_S
    gate.open()


def test_a_poll_of_unknown_patience_is_held_for_four_seconds(wire: Wire, gate: Gate) -> None:
    response, took = poll(wire, wire.run(wire.assistant()))
    assert response.json()["status"] == "in_progress"
    assert 3.5 < took < 4.0 + PROMPT_S
    gate.open()


def test_an_ordinary_read_is_never_held(wire: Wire, upstream: Upstream, gate: Gate) -> None:
    run = wire.run(wire.assistant())
    upstream.wait_for_request()
    started = time.monotonic()
    assert wire.read(run_path(run))["status"] == "in_progress"
    assert time.monotonic() - started < PROMPT_S
    gate.open()


def test_a_settled_run_is_told_at_once(wire: Wire) -> None:
    run = wire.settle(wire.assistant())
    response, took = poll(wire, run, X_Stainless_Read_Timeout="600")
    assert response.json()["status"] == "completed"
    assert took < PROMPT_S


def test_create_and_poll_returns_when_the_run_is_done(client: openai.OpenAI, wire: Wire, upstream: Upstream) -> None:
    gate = Gate()
    upstream.script(Reply("Now.", hold=gate))
    assistant, thread = wire.assistant(), wire.thread()
    opened_at = []

    def open_later() -> None:
        upstream.wait_for_request()
        time.sleep(1.2)  # past the first of the SDK's own polls
        opened_at.append(time.monotonic())
        gate.open()

    opener = threading.Thread(target=open_later)
    opener.start()
    run = client.beta.threads.runs.create_and_poll(thread_id=thread["id"], assistant_id=assistant["id"])
    returned_at = time.monotonic()
    opener.join()
    assert run.status == "completed"
    assert returned_at - opened_at[0] < PROMPT_S


def test_submit_and_poll_returns_when_the_run_is_done(client: openai.OpenAI, wire: Wire) -> None:
    waiting = wire.settle(wire.assistant("weather"))
    started = time.monotonic()
    run = client.beta.threads.runs.submit_tool_outputs_and_poll(
        run_id=waiting["id"], thread_id=waiting["thread_id"], **outputs_of(waiting, "57")
    )
    assert run.status == "completed"
    assert time.monotonic() - started < 1


def test_held_polls_do_not_keep_others_waiting(wire: Wire, upstream: Upstream, gate: Gate) -> None:
    run = wire.run(wire.assistant())
    upstream.wait_for_request()
    held = [in_thread(lambda: poll(wire, run, X_Stainless_Read_Timeout="600")) for _ in range(20)]
    started = time.monotonic()
    for _ in range(5):
        wire.read(run_path(run))
    assert time.monotonic() - started < 5 * PROMPT_S
    gate.open()
    assert {future.result(timeout=5)[0].json()["status"] for future in held} == {"completed"}
