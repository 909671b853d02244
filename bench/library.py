"""What is measured of vector stores: a batch of files on its way in, and other requests meanwhile."""

import asyncio
import random
import time

import httpx2

from bench.http import Client
from bench.scenarios import assistant

_WORDS = ["ophelia", "brook", "willow", "garland", "crown", "flowers", "water", "prince", "ghost", "castle", "denmark"]
_POLL = "x-stainless-poll-helper: true\r\n"


def _text(dice: random.Random, size: int) -> bytes:
    """Return prose of about so many bytes, in paragraphs."""
    lines, written = [], 0
    while written < size:
        line = " ".join(dice.choice(_WORDS) for _ in range(60)) + ".\n\n"
        lines.append(line)
        written += len(line)
    return "".join(lines).encode()


def upload(url: str, count: int, size: int) -> list[str]:
    """Upload text files; return their ids."""
    dice, made = random.Random(4), []
    with httpx2.Client(base_url=f"{url}/v1", headers={"authorization": "Bearer any"}, timeout=60) as client:
        for number in range(count):
            parts = {"file": (f"{number}.txt", _text(dice, size)), "purpose": (None, b"assistants")}
            answer = client.post("/files", files=parts)
            answer.raise_for_status()
            made.append(str(answer.json()["id"]))
    return made


async def batch(url: str, files: list[str]) -> tuple[float, float]:
    """Take files in as one batch; return how long that took in s, and the p99 of another client's GETs in ms."""
    client, other = Client(url), Client(url)
    model = await assistant(client, "mock-5-0-0")
    store = (await client.call("POST", "/v1/vector_stores", {}))["id"]
    began = time.perf_counter()
    path = f"/v1/vector_stores/{store}/file_batches"
    made = await client.call("POST", path, {"file_ids": files})
    polling = asyncio.ensure_future(_poll(client, f"{path}/{made['id']}"))
    took: list[float] = []
    while not polling.done():
        asked = time.perf_counter()
        await other.call("GET", f"/v1/assistants/{model}")
        took.append(time.perf_counter() - asked)
        await asyncio.sleep(0.02)
    counts = await polling
    assert counts["completed"] == len(files), counts
    return time.perf_counter() - began, sorted(took)[int(len(took) * 0.99)] * 1000


async def _poll(client: Client, path: str) -> dict[str, int]:
    while True:
        counts: dict[str, int] = (await client.call("GET", path, headers=_POLL))["file_counts"]
        if not counts["in_progress"]:
            return counts
