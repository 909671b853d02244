"""`make bench-scaled`: servers and workers on a PostgreSQL and a NATS of the suite's own, all on this machine.

PostgreSQL does not wait for the disk here (`fsync=off`), as in the tests: otherwise each commit takes longer.
"""

import asyncio
import os
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import uvloop
from tests.harness.nats import Nats
from tests.harness.postgres import Postgres
from tests.harness.scaled import Cluster

from bench import scenarios
from bench.http import Client
from bench.processes import Listening, cpu_s, listening, sdk
from bench.table import head, row

_SECONDS = 8
_SLOW = {"UNDERSTUDY_WORKER_CONCURRENCY": "8"}
_HALF = {"UNDERSTUDY_WORKER_CONCURRENCY": "50"}
_STREAMS, _TOKENS, _RATE = 100, 250, 50


@contextmanager
def _cluster(postgres: Postgres, nats: Nats, model: Listening, workers: int, **settings: str) -> Iterator[Cluster]:
    """Run one server without a worker, and workers."""
    with tempfile.TemporaryDirectory() as folder:
        quiet = {"UNDERSTUDY_LOG_LEVEL": "warning"}
        cluster = Cluster(postgres, nats, Path(folder), f"{model.url}/v1", **quiet, **settings)
        try:
            cluster.server()
            for _ in range(workers):
                cluster.worker()
            yield cluster
        finally:
            cluster.close()


async def _starts(url: str, count: int) -> float:
    """Return the p50 of the time between a run's `queued` and its `in_progress`, as its client sees them, in ms."""
    client, took = Client(url), []
    body = scenarios.flow(await scenarios.assistant(client, "mock-5-0-0"), stream=True)
    for _ in range(count):
        queued = 0.0
        async for payload in client.stream("/v1/threads/runs", body):
            if b'"status":"queued"' in payload and b'"object":"thread.run"' in payload:
                queued = time.perf_counter()
            elif queued and b'"status":"in_progress"' in payload and b'"object":"thread.run"' in payload:
                took.append((time.perf_counter() - queued) * 1000)
                queued = 0.0
    client.close()
    return statistics.median(took)


async def _runs_a_second(url: str, at_once: int, seconds: float) -> float:
    """Return how many runs end in a second, each on an upstream that thinks for two."""
    model = await scenarios.assistant(Client(url), "mock-5-0-2000")
    until, ended = time.perf_counter() + seconds, 0

    async def one() -> None:
        nonlocal ended
        client = Client(url)
        while time.perf_counter() < until:
            async for _ in client.stream("/v1/threads/runs", scenarios.flow(model, stream=True)):
                pass
            ended += time.perf_counter() < until
        client.close()

    await asyncio.gather(*(one() for _ in range(at_once)))
    return ended / seconds


def _alone(postgres: Postgres, nats: Nats, model: Listening) -> None:
    with _cluster(postgres, nats, model, 1) as cluster:
        server = cluster.processes[0]
        uvloop.run(scenarios.streams(server.url, 1, 20, 50))
        p50, p99, _ = uvloop.run(scenarios.streams(server.url, 1, 400, 50))
        row("upstream token to client, p50", p50, "ms", 3)
        row("the same, p99", p99, "ms", 25)
        row(
            "a run's queued to its in_progress, as the client sees them, p50",
            uvloop.run(_starts(server.url, 100)),
            "ms",
            5,
        )
        told = sdk(server.url, _SECONDS)
        row("one run, create_and_poll, default interval, p50", told["default"], "ms", 30)


def _crowd(postgres: Postgres, nats: Nats, model: Listening) -> None:
    with _cluster(postgres, nats, model, 2, **_HALF) as cluster:
        pids = [process.pid for process in cluster.processes]
        before = [cpu_s(pid) for pid in pids]
        _, p99, lost = uvloop.run(scenarios.streams(cluster.processes[0].url, _STREAMS, _TOKENS, _RATE, starting_s=1))
        used = [(cpu_s(pid) - was) / (_STREAMS * _TOKENS) * 1e6 for pid, was in zip(pids, before, strict=True)]
        row("100 streamed runs, 50 tokens/s each: tokens lost", lost, "", 0)
        row("their tokens' delay, p99", p99, "ms")
        row("the server's CPU time for a token", used[0], "µs")
        row("the workers' CPU time for a token", sum(used[1:]), "µs")


def _two_against_one(postgres: Postgres, nats: Nats, model: Listening) -> None:
    rates = []
    for workers in (1, 2):
        with _cluster(postgres, nats, model, workers, **_SLOW) as cluster:
            rates.append(uvloop.run(_runs_a_second(cluster.processes[0].url, 32, 3 * _SECONDS)))
    row("runs per second, one worker with 8 runs at once, upstream takes 2 s", rates[0], "/s")
    row("runs per second, two workers against one", rates[1] / rates[0], "×", 1.9, at_least=True)


def main() -> None:
    """Print the table; a last line tells how busy the machine was."""
    head()
    postgres, nats = Postgres().start(), Nats().start()
    try:
        with listening("bench.upstream") as model:
            for scenario in (_alone, _crowd, _two_against_one):
                scenario(postgres, nats, model)
    finally:
        nats.close()
        postgres.close()
    row("the machine's load, over the last minute", os.getloadavg()[0], "")


if __name__ == "__main__":
    main()
