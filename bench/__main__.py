"""`make bench`: the table of what Understudy promises to be quick at, measured in one run."""

import asyncio
import statistics
import time

import scenarios
from processes import constants, memory_mb, server

ROWS: list[tuple[str, str, str]] = []


def row(what: str, measured: str, target: str, *, met: bool) -> None:
    ROWS.append((what, measured, f"{target}: {'met' if met else 'NOT met'}"))
    print(f"{what:58} {measured:>22}   {ROWS[-1][2]}", flush=True)


def at_most(what: str, found: float, limit: float, unit: str) -> None:
    row(what, f"{found:.1f} {unit}", f"at most {limit:g} {unit}", met=found <= limit)


def at_least(what: str, found: float, limit: float, unit: str) -> None:
    row(what, f"{found:.1f} {unit}", f"at least {limit:g} {unit}", met=found >= limit)


async def measure(pid: int, url: str) -> None:
    at_most("memory, idle", memory_mb(pid), 120, "MB")
    delays = await scenarios.many_streams(url, 1, 200, 0.02)
    at_most("a token from upstream to client, p50", statistics.median(delays[10:]), 1, "ms")
    at_most("run and held poll, raw client, p50", await scenarios.raw_run_ms(url, 200), 15, "ms")
    for interval in ({}, {"poll_interval_ms": 20}):
        name = "default interval" if not interval else "20 ms interval"
        found, _ = await scenarios.sdk_flows(url, 1, 100, **interval)
        at_most(f"create_and_poll, SDK, {name}, p50", found, 15, "ms")
    at_least("runs, 16 at once, raw client", await scenarios.raw_runs_per_s(url, 16, 800), 100, "a second")
    at_least("runs, 16 at once, SDK", (await scenarios.sdk_flows(url, 16, 480))[1], 100, "a second")
    wall, slowest = await scenarios.slow_upstream_s(url, 16, 2.0)
    at_most("16 runs on an upstream that takes 2 s: wall", wall, 2.3, "s")
    at_most("the slowest unrelated GET meanwhile", slowest * 1000, 50, "ms")
    delays = sorted(await scenarios.many_streams(url, 500, 60, 0.1))
    at_most("500 streams at once, 10 tokens/s each: p99 of a token", delays[int(len(delays) * 0.99)], 250, "ms")
    at_most("memory of the server then", memory_mb(pid), 400, "MB")


async def measure_limit(url: str) -> None:
    alone, _ = await scenarios.sdk_flows(url, 1, 200)
    _, together = await scenarios.sdk_flows(url, 16, 480)
    print(f"the limit: the SDK against constants: {alone:.1f} ms for create_and_poll, {together:.0f} flows a second")


def main() -> None:
    print(time.strftime("%Y-%m-%d"))
    with constants() as url:
        asyncio.run(measure_limit(url))
    with server() as (pid, url):
        asyncio.run(measure(pid, url))


if __name__ == "__main__":
    main()
