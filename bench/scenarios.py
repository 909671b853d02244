"""What is measured through raw clients."""

import asyncio
import json
import statistics
import time
from collections.abc import Awaitable, Callable

from bench.http import Client

_POLL = "x-stainless-poll-helper: true\r\n"


async def assistant(client: Client, model: str) -> str:
    return str((await client.call("POST", "/v1/assistants", {"model": model}))["id"])


def flow(assistant_id: str, **more: object) -> dict[str, object]:
    """Return the body of a request for a thread and its run."""
    thread = {"messages": [{"role": "user", "content": "Hello"}]}
    return {"assistant_id": assistant_id, "thread": thread, **more}


async def _delays(url: str, assistant_id: str) -> list[float]:
    """Stream one run; return how many ms each token was under way."""
    client, delays = Client(url), []
    async for payload in client.stream("/v1/threads/runs", flow(assistant_id, stream=True)):
        now = time.monotonic_ns()
        if b'"thread.message.delta"' in payload:
            sent = json.loads(payload)["delta"]["content"][0]["text"]["value"].split()
            delays += [(now - int(moment)) / 1e6 for moment in sent]
    client.close()
    return delays


async def streams(url: str, count: int, tokens: int, rate: int, starting_s: float = 0) -> tuple[float, float, int]:
    """Return the p50 and p99 of the tokens' delays in ms, and how many tokens were lost.

    The streams start one after the other over `starting_s`; the tokens of that time count too.
    """
    model = await assistant(Client(url), f"mock-{tokens}-{rate}-0")

    async def one(number: int) -> list[float]:
        await asyncio.sleep(number / count * starting_s)
        return await _delays(url, model)

    each = await asyncio.gather(*(one(number) for number in range(count)))
    delays = sorted(delay for some in each for delay in some)
    return statistics.median(delays), delays[int(len(delays) * 0.99)], count * tokens - len(delays)


async def rate(url: str, clients: int, seconds: float) -> float:
    """Return flows per second: a thread with a message, a run, a held poll, the messages."""
    model = await assistant(Client(url), "mock-5-0-0")
    until = time.perf_counter() + seconds

    async def one() -> int:
        client, done = Client(url), 0
        while time.perf_counter() < until:
            thread = (await client.call("POST", "/v1/threads", flow(model)["thread"]))["id"]
            runs = f"/v1/threads/{thread}/runs"
            run = await client.call("POST", runs, {"assistant_id": model})
            run = await client.call("GET", f"{runs}/{run['id']}", headers=_POLL)
            assert run["status"] == "completed", run["status"]
            await client.call("GET", f"/v1/threads/{thread}/messages")
            done += 1
        client.close()
        return done

    began = time.perf_counter()
    return sum(await asyncio.gather(*(one() for _ in range(clients)))) / (time.perf_counter() - began)


async def slow_upstream(url: str) -> tuple[float, float]:
    """Return the wall of 16 runs of 2 s each in s, and the slowest GET of an assistant meanwhile in ms."""
    client = Client(url)
    model = await assistant(client, "mock-5-0-2000")
    running = asyncio.gather(*(_delays(url, model) for _ in range(16)))
    began, slowest = time.perf_counter(), 0.0
    while not running.done():
        asked = time.perf_counter()
        await client.call("GET", f"/v1/assistants/{model}")
        slowest = max(slowest, time.perf_counter() - asked)
        await asyncio.sleep(0.005)
    await running
    return time.perf_counter() - began, slowest * 1000


_LAST_100 = {"truncation_strategy": {"type": "last_messages", "last_messages": 100}}


async def long_thread(url: str, small: str, large: str) -> tuple[float, float, float, float]:
    """Return how many times longer things take on the large thread.

    A page; the start of a run; its first token where it is told the last 100 messages; and where it is told all that
    fits into the model's window.
    """
    client = Client(url)
    model = await assistant(client, "mock-5-0-0")
    ways: list[Callable[[str], Awaitable[float]]] = [
        lambda thread: _page(client, thread),
        lambda thread: _started(client, thread, model),
        lambda thread: _first_token(client, thread, {"assistant_id": model, **_LAST_100}),
        lambda thread: _first_token(client, thread, {"assistant_id": model}),
    ]
    ratios = []
    for way in ways:
        took: dict[str, list[float]] = {small: [], large: []}
        for _ in range(20):
            for thread in (small, large):
                took[thread].append(await way(thread))
        ratios.append(statistics.median(took[large]) / statistics.median(took[small]))
    return ratios[0], ratios[1], ratios[2], ratios[3]


async def _page(client: Client, thread: str) -> float:
    began = time.perf_counter()
    await client.call("GET", f"/v1/threads/{thread}/messages?limit=100")
    return time.perf_counter() - began


async def _started(client: Client, thread: str, model: str) -> float:
    """Return how long the answer to the POST takes; the run has ended when this returns."""
    began = time.perf_counter()
    run = await client.call("POST", f"/v1/threads/{thread}/runs", {"assistant_id": model})
    took = time.perf_counter() - began
    while run["status"] != "completed":
        run = await client.call("GET", f"/v1/threads/{thread}/runs/{run['id']}", headers=_POLL)
    return took


async def _first_token(client: Client, thread: str, body: dict[str, object]) -> float:
    """Return how long it takes until the model's first token is here."""
    began, first = time.perf_counter(), 0.0
    async for payload in client.stream(f"/v1/threads/{thread}/runs", {**body, "stream": True}):
        if not first and b'"thread.message.delta"' in payload:
            first = time.perf_counter() - began
    return first
