"""`make bench`: every scenario, one after the other, side by side in one table."""

import os
import resource
import tempfile
from pathlib import Path

import uvloop

from bench import filling, library, parsing, sandbox, scenarios
from bench.processes import Listening, cpu_s, listening, memory_mb, sdk, understudy
from bench.retrieval import speed
from bench.table import head, row
from understudy.config import Settings

_SECONDS = 8


def _everyday(folder: Path, model: Listening) -> None:
    with understudy(folder / "everyday", model.url) as server:
        row("memory, idle, without the embedded model", memory_mb(server), "MB", 120)
        p50, _, _ = uvloop.run(scenarios.streams(server.url, 1, 150, 50))
        row("upstream token to client, streaming, p50", p50, "ms", 1)
        told = sdk(server.url, _SECONDS)
        row("one run, create_and_poll, default interval, p50", told["default"], "ms", 15)
        row("one run, create_and_poll, 20 ms interval, p50", told["20ms"], "ms", 15)
        row("runs per second, 16 at once, SDK client", told["rate"], "/s", 100, at_least=True)
        before = cpu_s(server.pid)
        rate = uvloop.run(scenarios.rate(server.url, 16, _SECONDS))
        row("the same, raw client", rate, "/s")
        row("the server's CPU time for each of those", (cpu_s(server.pid) - before) / (rate * _SECONDS) * 1e3, "ms")
        wall, slowest = uvloop.run(scenarios.slow_upstream(server.url))
        row("16 runs on an upstream that takes 2 s: wall", wall, "s", 2.3)
        row("slowest unrelated GET meanwhile", slowest, "ms", 50)


def _limit() -> None:
    with listening("bench.constant") as constant:
        told = sdk(constant.url, _SECONDS)
        row("the SDK's limit: create_and_poll on constants, p50", told["default"], "ms")
        row("the SDK's limit: runs per second on constants", told["rate"], "/s")
        row("the raw client's limit", uvloop.run(scenarios.rate(constant.url, 16, _SECONDS / 2)), "/s")


def _crowd(folder: Path, model: Listening) -> None:
    with understudy(folder / "crowd", model.url, calls_at_once=1000) as server:
        before = [cpu_s(pid) for pid in (server.pid, model.pid, os.getpid())]
        _, p99, lost = uvloop.run(scenarios.streams(server.url, 500, 200, 10, starting_s=10))
        used = [cpu_s(pid) - was for pid, was in zip((server.pid, model.pid, os.getpid()), before, strict=True)]
        row("500 streamed runs at once, 10 tokens/s each: tokens lost", lost, "", 0)
        row("their tokens' delay, p99", p99, "ms", 250)
        for whose, seconds in zip(("the server's", "the mock upstream's", "the client's"), used, strict=True):
            row(f"{whose} CPU time for a token", seconds / (500 * 200) * 1e6, "µs")
        _, p99, lost = uvloop.run(scenarios.streams(server.url, 500, 80, 10, starting_s=2))
        row("the same, all started within 2 s: tokens lost", lost, "", 0)
        row("their tokens' delay, p99", p99, "ms")
        row("memory of the server, at most", memory_mb(server, "VmHWM"), "MB", 400)


def _long_thread(folder: Path, model: Listening) -> None:
    small, large = filling.fill(folder / "long" / "understudy.sqlite3", 100, 100_000)
    with understudy(folder / "long", model.url) as server:
        page, begun, start, whole = uvloop.run(scenarios.long_thread(server.url, small, large))
        row("a page of 100 of 100,000 messages, against 100", page, "×", 1.5)
        row("a run is started there (the answer to the POST), against 100", begun, "×", 2)
        row("its first token, told the last 100 messages in both", start, "×", 2)
        row("its first token, told all that fits (about 5,300), against 100", whole, "×")


def _library(folder: Path, model: str) -> None:
    with understudy(folder / "library", model) as server:
        files = library.upload(server.url, 200, 20_000)
        wall, p99 = uvloop.run(library.batch(server.url, files))
        row("200 files of 20 kB in one batch", wall, "s", 90)
        row("unrelated GETs meanwhile, p99", p99, "ms", 100)
        row("memory of the server, at most", memory_mb(server, "VmHWM"), "MB")


def _passages(folder: Path, model: str) -> None:
    uvloop.run(speed.indexing(folder))
    speed.searching(folder / "search", model, 10, 10_000)


def _files() -> None:
    told = uvloop.run(parsing.reading(parsing.book()))
    row("151-page Korean PDF, read and cut", told["pages"], "pages/s", 50, at_least=True)
    row("1 MB of Korean text, read and cut, auto", told["auto"], "s", 1)
    row("the same, static 800/400", told["static"], "s", 1)
    row("200 files of 20 kB, read and cut", told["many"], "s", 30)


def main() -> None:
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(4096, most) if most > 0 else 4096, most))
    head()
    with tempfile.TemporaryDirectory() as folder, listening("bench.upstream") as model:
        _everyday(Path(folder), model)
        _limit()
        _crowd(Path(folder), model)
        _long_thread(Path(folder), model)
        _library(Path(folder), model.url)
        _passages(Path(folder), model.url)
    _files()
    uvloop.run(sandbox.measure(Settings()))


if __name__ == "__main__":
    main()
