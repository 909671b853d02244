"""What is measured. Each scenario returns what it found, in the unit of its row."""

import asyncio
import json
import re
import statistics
import time
import warnings
from typing import Any

from raw import Raw

POLL = "x-stainless-poll-helper: true\r\n"
TOKEN = re.compile(rb'"value":"(\d+\.\d+) "')


async def assistant(raw: Raw) -> str:
    made: str = (await raw.call("POST", "/assistants", {"model": "m"}))["id"]
    return made


async def thread(raw: Raw, **wish: float) -> str:
    said = [{"role": "user", "content": json.dumps(wish)}]
    made: str = (await raw.call("POST", "/threads", {"messages": said}))["id"]
    return made


async def flow(raw: Raw, assistant_id: str, **wish: float) -> float:
    """A thread, a run on it, one held poll; return the seconds of run and poll."""
    thread_id = await thread(raw, **wish)
    began = time.perf_counter()
    run = await raw.call("POST", f"/threads/{thread_id}/runs", {"assistant_id": assistant_id})
    run = await raw.call("GET", f"/threads/{thread_id}/runs/{run['id']}", headers=POLL)
    assert run["status"] == "completed", run
    return time.perf_counter() - began


async def token_delays_ms(url: str, assistant_id: str, tokens: int, every_s: float) -> list[float]:
    """Stream one run; return how long each token was on its way."""
    raw = Raw(url)
    thread_id = await thread(raw, tokens=tokens, every_s=every_s)
    raw.close()
    delays = []
    async for line in raw.stream(f"/threads/{thread_id}/runs", {"assistant_id": assistant_id, "stream": True}):
        if b"thread.message.delta" in line and (sent := TOKEN.search(line)):
            delays.append((time.time() - float(sent[1])) * 1000)
    assert len(delays) == tokens, f"{len(delays)} of {tokens} tokens came"
    return delays


async def many_streams(url: str, count: int, tokens: int, every_s: float) -> list[float]:
    assistant_id = await assistant(Raw(url))
    streams = (token_delays_ms(url, assistant_id, tokens, every_s) for _ in range(count))
    return [delay for delays in await asyncio.gather(*streams) for delay in delays]


async def raw_run_ms(url: str, count: int) -> float:
    raw = Raw(url)
    assistant_id = await assistant(raw)
    return statistics.median([await flow(raw, assistant_id) for _ in range(count)]) * 1000


async def raw_runs_per_s(url: str, at_once: int, count: int) -> float:
    assistant_id = await assistant(Raw(url))

    async def client() -> None:
        raw = Raw(url)
        for _ in range(count // at_once):
            await flow(raw, assistant_id)

    began = time.perf_counter()
    await asyncio.gather(*(client() for _ in range(at_once)))
    return count / (time.perf_counter() - began)


async def slow_upstream_s(url: str, at_once: int, wait_s: float) -> tuple[float, float]:
    """Runs on a slow model: the wall time of all, and the slowest unrelated GET meanwhile, both in seconds."""
    raw = Raw(url)
    assistant_id = await assistant(raw)
    began = time.perf_counter()
    working = asyncio.gather(*(flow(Raw(url), assistant_id, wait_s=wait_s) for _ in range(at_once)))
    slowest = 0.0
    while not working.done():
        asked = time.perf_counter()
        await raw.call("GET", f"/assistants/{assistant_id}")
        slowest = max(slowest, time.perf_counter() - asked)
        await asyncio.sleep(0.01)
    await working
    return time.perf_counter() - began, slowest


async def sdk_flows(url: str, at_once: int, count: int, **poll: Any) -> tuple[float, float]:
    """The official SDK's create_and_poll: median milliseconds, and flows (thread and run) a second."""
    import openai

    warnings.simplefilter("ignore", DeprecationWarning)
    spent: list[float] = []
    async with openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="k") as client:
        made = await client.beta.assistants.create(model="m")

        async def one() -> None:
            for _ in range(count // at_once):
                started = await client.beta.threads.create(messages=[{"role": "user", "content": "{}"}])
                began = time.perf_counter()
                run = await client.beta.threads.runs.create_and_poll(thread_id=started.id, assistant_id=made.id, **poll)
                spent.append(time.perf_counter() - began)
                assert run.status == "completed"

        began = time.perf_counter()
        await asyncio.gather(*(one() for _ in range(at_once)))
    return statistics.median(spent) * 1000, count / (time.perf_counter() - began)
