"""`make bench`: every scenario, one after the other, side by side in one table."""

import asyncio
import resource
import tempfile
from pathlib import Path

from bench import filling, library, parsing, scenarios
from bench.processes import listening, memory_mb, sdk, understudy
from bench.table import head, row

_SECONDS = 8


def _everyday(folder: Path, model: str) -> None:
    with understudy(folder / "everyday", model) as server:
        row("memory, idle, without the embedded model", memory_mb(server), "MB", 120)
        p50, _, _ = asyncio.run(scenarios.streams(server.url, 1, 150, 50))
        row("upstream token to client, streaming, p50", p50, "ms", 1)
        told = sdk(server.url, _SECONDS)
        row("one run, create_and_poll, default interval, p50", told["default"], "ms", 15)
        row("one run, create_and_poll, 20 ms interval, p50", told["20ms"], "ms", 15)
        row("runs per second, 16 at once, SDK client", told["rate"], "/s", 100, at_least=True)
        row("the same, raw client", asyncio.run(scenarios.rate(server.url, 16, _SECONDS)), "/s")
        wall, slowest = asyncio.run(scenarios.slow_upstream(server.url))
        row("16 runs on an upstream that takes 2 s: wall", wall, "s", 2.3)
        row("slowest unrelated GET meanwhile", slowest, "ms", 50)


def _limit() -> None:
    with listening("bench.constant") as url:
        told = sdk(url, _SECONDS)
        row("the SDK's limit: create_and_poll on constants, p50", told["default"], "ms")
        row("the SDK's limit: runs per second on constants", told["rate"], "/s")
        row("the raw client's limit", asyncio.run(scenarios.rate(url, 16, _SECONDS / 2)), "/s")


def _crowd(folder: Path, model: str) -> None:
    with understudy(folder / "crowd", model, calls_at_once=1000) as server:
        _, p99, lost = asyncio.run(scenarios.streams(server.url, 500, 80, 10))
        row("500 streamed runs, 10 tokens/s each: tokens lost", lost, "", 0)
        row("their tokens' delay, p99", p99, "ms", 250)
        row("memory of the server, at most", memory_mb(server, "VmHWM"), "MB", 400)


def _long_thread(folder: Path, model: str) -> None:
    small, large = filling.fill(folder / "long" / "understudy.sqlite3", 100, 100_000)
    with understudy(folder / "long", model) as server:
        page, start = asyncio.run(scenarios.long_thread(server.url, small, large))
        row("a page of 100 of 100,000 messages, against 100", page, "×", 1.5)
        row("a run's first token there, against 100", start, "×", 2)


def _library(folder: Path, model: str) -> None:
    with understudy(folder / "library", model) as server:
        files = library.upload(server.url, 200, 20_000)
        wall, p99 = asyncio.run(library.batch(server.url, files))
        row("200 files of 20 kB in one batch", wall, "s", 90)
        row("unrelated GETs meanwhile, p99", p99, "ms", 100)
        row("memory of the server, at most", memory_mb(server, "VmHWM"), "MB")


def _files() -> None:
    told = asyncio.run(parsing.reading(parsing.book()))
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
        _library(Path(folder), model)
    _files()


if __name__ == "__main__":
    main()
