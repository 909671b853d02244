"""How quick the code interpreter's sandbox is, seen from the tool: real jails, default settings."""

import asyncio
import os
import re
import statistics
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from bench.table import row
from understudy.adapters import sandbox_of
from understudy.config import Settings
from understudy.sandbox.bubblewrap import BubblewrapSandbox
from understudy.sandbox.session import JailSession

_CSV = ("city,sales\n" + "서울,1\n上海,2\n" * 500).encode()
_READ = "import pandas as pd\npd.read_csv('sales.csv')['sales'].sum()"
_PLOT = "import matplotlib.pyplot as plt\nplt.plot([1, 3, 2])\nplt.title('매출')\nplt.show()"
_MB = 1_000_000
_LARGE = 50
_CROWD = 20
_WARMING_S = 3.0


async def measure(settings: Settings) -> None:
    """Print the rows, or a line that says why there are none."""
    sandbox = sandbox_of(settings)
    try:
        if why := await sandbox.tried():
            print(f"| the code interpreter is off: {why} | | | |", flush=True)
            return
        await _first_results(sandbox)
        async with sandbox.session("live") as session:
            await _live(session)
        await _crowd(sandbox)
        async with sandbox.session("fork") as session:
            row("memory that a fork server's session would have of its own", await _forked_mb(session), "MB")
    finally:
        await sandbox.aclose()


async def _first_results(sandbox: BubblewrapSandbox) -> None:
    """A new thread: take the spare, put a CSV there, read it."""
    taken, plots = [], []
    for number in range(12):
        await _spare(sandbox)
        begun = time.perf_counter()
        async with sandbox.session(f"first {number}") as session:
            await session.put("sales.csv", _CSV)
            assert (await session.run(_READ)).outcome == "ok"
            taken.append((time.perf_counter() - begun) * 1000)
            plots.append(await _ms(lambda session=session: session.run(_PLOT)))
        await sandbox.end(f"first {number}")
    row("first result of a new thread, with a CSV and read_csv, p50", statistics.median(taken), "ms", 15)
    row("first plot of a session to a PNG, p50", statistics.median(plots), "ms", 150)


async def _spare(sandbox: BubblewrapSandbox) -> None:
    """Wait until a spare session is there and has imported what it imports."""
    sandbox.warm()
    while not sandbox.spares:  # noqa: ASYNC110  # nobody tells when
        await asyncio.sleep(0.05)
    await asyncio.sleep(_WARMING_S)


async def _live(session: JailSession) -> None:
    await session.run(_PLOT)
    each = [await _ms(lambda: session.run("1+1")) for _ in range(300)]
    row("`1+1` in a live session, p50", statistics.median(each), "ms", 2)
    content = os.urandom(_LARGE * _MB)
    row("50 MB into a session", await _ms(lambda: session.put("big.bin", content)) / 1000, "s", 1)

    async def fetch() -> None:
        assert sum([len(piece) async for piece in session.fetch("big.bin")]) == len(content)

    row("50 MB out of a session", await _ms(fetch) / 1000, "s", 1)


async def _crowd(sandbox: BubblewrapSandbox) -> None:
    """20 threads plot: each in a session of its own that there was, and then each in a new one."""
    for what in ("20 new sessions that plot at once: wall", "20 live sessions that plot at once: wall"):
        begun = time.perf_counter()
        results = await asyncio.gather(*(_plot(sandbox, f"crowd {number}") for number in range(_CROWD)))
        target = 3 if "live" in what else None
        row(what, time.perf_counter() - begun, "s", target)
        assert all(results), "a session failed"
    async with sandbox.session("crowd 0") as session:
        row("memory of an idle session among 20 (its share)", _pss_mb(session.jail.init_id), "MB", 100)
    for number in range(_CROWD):
        await sandbox.end(f"crowd {number}")
    await _spare(sandbox)
    async with sandbox.session("lonely") as session:
        await _spare(sandbox)
        row("memory of an idle session, beside one spare", _pss_mb(session.jail.init_id), "MB", 100)
        row("the same, pages of its own alone", _own_mb(session.jail.worker_id), "MB")


async def _plot(sandbox: BubblewrapSandbox, key: str) -> bool:
    async with sandbox.session(key) as session:
        return len((await session.run(_PLOT)).images) == 1


async def _ms(work: Callable[[], Awaitable[object]]) -> float:
    begun = time.perf_counter()
    await work()
    return (time.perf_counter() - begun) * 1000


def _pss_mb(process: int) -> float:
    """Return the memory of a process and all below it, shared pages in shares."""
    total, waiting = 0, [process]
    while waiting:
        one = waiting.pop()
        found = re.search(r"^Pss:\s+(\d+)", Path(f"/proc/{one}/smaps_rollup").read_text(), re.M)
        total += int(found[1]) if found else 0
        for children in Path(f"/proc/{one}/task").glob("*/children"):
            waiting += map(int, children.read_text().split())
    return total * 1024 / _MB


def _own_mb(process: int) -> float:
    found = re.findall(r"^Private_\w+:\s+(\d+)", Path(f"/proc/{process}/smaps_rollup").read_text(), re.M)
    return sum(map(int, found)) * 1024 / _MB


_FORK = """
import gc, os, re
import IPython.core.interactiveshell, numpy, pandas, matplotlib.pyplot
gc.collect()
gc.freeze()
gate, hold = os.pipe()
for _ in range(8):
    read, write = os.pipe()
    child = os.fork()
    if not child:
        os.close(hold)
        from io import StringIO
        pandas.read_csv(StringIO("a,b\\n1,2")).sum()
        os.write(write, b"x")
        os.read(gate, 1)
        os._exit(0)
    os.read(read, 1)
text = open(f"/proc/{child}/smaps_rollup").read()
print(sum(int(kb) for kb in re.findall(r"^Private_\\w+:\\s+(\\d+) kB", text, re.M)) / 1000)
"""


async def _forked_mb(session: JailSession) -> float:
    """Fork a Python that has imported everything; return what a child has of its own after its first result."""
    run = f"import subprocess, sys\nprint(subprocess.check_output([sys.executable, '-c', {_FORK!r}], text=True))"
    done = await session.run(run)
    assert done.outcome == "ok", done.logs
    return float(done.logs)


if __name__ == "__main__":
    asyncio.run(measure(Settings()))
