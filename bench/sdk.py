"""The official SDK, in a process of its own. A flow: a thread with a message, create_and_poll, the messages."""

import asyncio
import json
import statistics
import sys
import time
import warnings

from openai import AsyncOpenAI, OpenAI

warnings.simplefilter("ignore")
_MESSAGES = [{"role": "user", "content": "Hello"}]


def one_by_one(url: str, interval_ms: int | None, count: int) -> float:
    """Return the p50 of create_and_poll, in ms."""
    client = OpenAI(base_url=f"{url}/v1", api_key="any")
    assistant = client.beta.assistants.create(model="mock-5-0-0").id
    took = []
    for _ in range(count):
        thread = client.beta.threads.create(messages=_MESSAGES).id
        began = time.perf_counter()
        more = {} if interval_ms is None else {"poll_interval_ms": interval_ms}
        run = client.beta.threads.runs.create_and_poll(thread_id=thread, assistant_id=assistant, **more)
        took.append(time.perf_counter() - began)
        assert run.status == "completed", run.status
    return statistics.median(took) * 1000


async def at_once(url: str, clients: int, seconds: float) -> float:
    """Return flows per second."""
    client = AsyncOpenAI(base_url=f"{url}/v1", api_key="any")
    assistant = (await client.beta.assistants.create(model="mock-5-0-0")).id

    async def flow() -> None:
        thread = (await client.beta.threads.create(messages=_MESSAGES)).id
        run = await client.beta.threads.runs.create_and_poll(thread_id=thread, assistant_id=assistant)
        assert run.status == "completed", run.status
        await client.beta.threads.messages.list(thread)

    async def again_and_again(until: float) -> int:
        done = 0
        while time.perf_counter() < until:
            await flow()
            done += 1
        return done

    await flow()
    began = time.perf_counter()
    done = await asyncio.gather(*(again_and_again(began + seconds) for _ in range(clients)))
    return sum(done) / (time.perf_counter() - began)


if __name__ == "__main__":
    url, seconds = sys.argv[1], float(sys.argv[2])
    told = {"default": one_by_one(url, None, 40), "20ms": one_by_one(url, 20, 40)}
    told["rate"] = asyncio.run(at_once(url, 16, seconds))
    print(json.dumps(told))
