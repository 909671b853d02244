"""What a key may use up, and what is said beyond: in the hosted API's texts, types and codes."""

import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

import httpx2
import openai
import pytest
from starlette.types import Receive, Scope, Send
from tests.harness.replies import Reply
from tests.harness.server import Server
from tests.harness.upstream import Upstream
from tests.harness.wire import Json, Wire, run_path
from tests.keys.keys import make_key
from tests.keys.test_keys import GIVEN, NOTICED_S, within

from understudy.api.keyring import Caller
from understudy.api.rates import RequestRates
from understudy.engine.limits import spelled
from understudy.storage.api_keys import Limits

Limited = Callable[..., tuple[str, Wire]]


@pytest.fixture(scope="module")
def server(_upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(tmp_path_factory.mktemp("limits") / "data", _upstream.url, {"UNDERSTUDY_API_KEY": GIVEN}).start()
    yield server
    server.stop()


@pytest.fixture
def limited(server: Server) -> Iterator[Limited]:
    """Make a key with limits, and wait until the server knows it."""
    with ExitStack() as wires:

        def make(project: str, **limits: int) -> tuple[str, Wire]:
            key_id, key = make_key(server, project, **limits)
            health, headers = f"{server.url}/health", {"authorization": f"Bearer {key}"}
            within(NOTICED_S, lambda: "version" in httpx2.get(health, headers=headers).json())
            wire = Wire(server.url, key)
            wires.callback(wire.close)
            return key_id, wire

        yield make


def refused(response: httpx2.Response) -> Json:
    assert response.status_code == 429, response.text
    error = response.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert int(response.headers["retry-after"]) >= 1
    return error


def test_requests_per_minute(limited: Limited) -> None:
    key_id, wire = limited("brisk", requests_per_minute=6)
    left = int(wire.get("/models").headers["x-ratelimit-remaining-requests"])
    assert 0 <= left < 6
    for number in range(left, 0, -1):
        answer = wire.get("/models")
        assert answer.status_code == 200
        assert answer.headers["x-ratelimit-limit-requests"] == "6"
        assert answer.headers["x-ratelimit-remaining-requests"] == str(number - 1)
        assert answer.headers["x-ratelimit-reset-requests"] in ("60s", "1m0s")
    answer = wire.get("/models")
    error = refused(answer)
    assert (error["type"], error["code"], error["param"]) == ("requests", "rate_limit_exceeded", None)
    said = re.fullmatch(
        rf"Rate limit reached for key {key_id} in project brisk on requests per min \(RPM\): Limit 6, Used 6, "
        r"Requested 1\. Please try again in (?:1m)?(\d+)s\.",
        error["message"],
    )
    assert said
    assert int(answer.headers["retry-after"]) % 60 == int(said[1])
    assert answer.headers["x-ratelimit-remaining-requests"] == "0"
    _, other = limited("brisk")
    assert other.get("/models").status_code == 200, "a key's limit is its own"
    assert "x-ratelimit-limit-requests" not in other.get("/models").headers


def test_runs_at_once(limited: Limited, upstream: Upstream) -> None:
    _, wire = limited("narrow", runs_at_once=2)
    assistant = wire.assistant("weather")
    first, _ = (wire.settle(assistant) for _ in range(2))
    thread = wire.thread("One more")
    body = {"assistant_id": assistant["id"], "additional_messages": [{"role": "user", "content": "left behind?"}]}
    for path, sent in ((f"/threads/{thread['id']}/runs", body), ("/threads/runs", {"assistant_id": assistant["id"]})):
        assert refused(wire.post(path, sent)) == {
            "message": "Rate limit reached for project narrow on runs at once: Limit 2, Used 2, Requested 1. "
            "Please try again in 1s.",
            "type": "requests",
            "param": None,
            "code": "rate_limit_exceeded",
        }
    assert wire.texts(thread["id"]) == ["One more"]
    wire.post(f"{run_path(first)}/cancel")
    wire.until(first, ["cancelled"])
    assert wire.settle(assistant, thread)["status"] == "requires_action"


def test_runs_that_start_at_once_cannot_all_be_the_last(limited: Limited, upstream: Upstream) -> None:
    _, wire = limited("crowded", runs_at_once=3)
    assistant = wire.assistant("weather")
    threads = [wire.thread("Hi")["id"] for _ in range(12)]
    with ThreadPoolExecutor(12) as pool:
        bodies = [(f"/threads/{thread}/runs", {"assistant_id": assistant["id"]}) for thread in threads]
        statuses = list(pool.map(lambda one: wire.post(*one).status_code, bodies))
    assert sorted(statuses) == [200] * 3 + [429] * 9


def test_tokens_per_day(limited: Limited, upstream: Upstream) -> None:
    """What is used is known after a run: the first that begins beyond the limit is refused."""
    upstream.script(Reply("Hello"), Reply("Hello again"))
    _, wire = limited("thrifty", tokens_per_day=50)
    assistant, thread = wire.assistant(), wire.thread()
    used = wire.settle(assistant, thread)["usage"]["total_tokens"]
    assert used < 50
    used += wire.settle(assistant, thread)["usage"]["total_tokens"]
    assert used >= 50
    wire.delete(f"/threads/{thread['id']}")
    error = refused(wire.post("/threads/runs", {"assistant_id": assistant["id"], "thread": {"messages": []}}))
    assert (error["type"], error["code"]) == ("insufficient_quota", "insufficient_quota")
    assert re.fullmatch(
        r"You exceeded your current quota, please check your plan and billing details\. Project thrifty has used "
        rf"{used} of 50 tokens per day \(TPD\)\. Please try again in (\d+h)?(\d+m)?\d+s\.",
        error["message"],
    ), "deleting the thread gives no tokens back"
    assert wire.read("/assistants")["data"], "all but new runs goes on"


def test_the_sdk_waits_and_tries_again(server: Server, limited: Limited, upstream: Upstream) -> None:
    _, wire = limited("patient", runs_at_once=1)
    assistant = wire.assistant("weather")
    waiting = wire.settle(assistant)
    key = wire.http.headers["authorization"].removeprefix("Bearer ")
    with openai.OpenAI(base_url=server.url + "/v1", api_key=key, max_retries=0) as client:
        with pytest.raises(openai.RateLimitError, match="runs at once"):
            client.beta.threads.create_and_run(
                assistant_id=assistant["id"], thread={"messages": [{"role": "user", "content": "Hi"}]}
            )
        with ThreadPoolExecutor(1) as pool:
            patient = client.with_options(max_retries=2)
            tried = pool.submit(patient.beta.threads.create_and_run, assistant_id=assistant["id"], instructions="Hi")
            wire.post(f"{run_path(waiting)}/cancel")
            assert tried.result(timeout=20).status == "queued"


async def test_a_minute_slides() -> None:
    now, sent = [100.0], []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        sent.append(200)

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start":
            sent.append(message["status"])

    rates = RequestRates(app, lambda: now[0])
    scope = {"type": "http", "caller": Caller("p", "key_1", limits=Limits(requests_per_minute=2))}
    for moment in (100.0, 130.0, 131.0, 159.9, 160.0, 160.1, 189.9, 190.0):
        now[0] = moment
        await rates(scope, None, send)  # type: ignore[arg-type]
    assert sent == [200, 200, 429, 429, 200, 429, 429, 200]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.2, "1s"), (20, "20s"), (59.1, "1m0s"), (432, "7m12s"), (18_003, "5h0m3s"), (3600, "1h0m0s")],
)
def test_times_are_spelled_as_the_hosted_api_spells_them(seconds: float, text: str) -> None:
    assert spelled(seconds) == text
