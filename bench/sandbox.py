"""How quick the code interpreter's sandbox is, seen from the tool: real jails, default settings."""

import asyncio
import os
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from bench.table import row
from understudy.adapters import sandbox_of
from understudy.config import Settings
from understudy.sandbox import environment
from understudy.sandbox.bubblewrap import BubblewrapSandbox
from understudy.sandbox.session import JailSession

_CSV = ("city,sales\n" + "서울,1\n上海,2\n" * 500).encode()
_READ = "import pandas as pd\npd.read_csv('sales.csv')['sales'].sum()"
_PLOT = "import matplotlib.pyplot as plt\nplt.plot([1, 3, 2])\nplt.title('매출')\nplt.show()"
_MB = 1_000_000
_LARGE = 50
_CROWD = 20


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
    finally:
        await sandbox.aclose()
    row("memory that a fork server's session would have of its own", _forked_mb(settings), "MB")


async def _first_results(sandbox: BubblewrapSandbox) -> None:
    """A new thread: take the spare, put a CSV there, read it."""
    taken, plots = [], []
    for number in range(12):
        sandbox.warm()
        while not sandbox.spares:  # noqa: ASYNC110  # nobody tells when
            await asyncio.sleep(0.05)
        await asyncio.sleep(2)  # until it has imported what it imports
        begun = time.perf_counter()
        async with sandbox.session(f"first {number}") as session:
            await session.put("sales.csv", _CSV)
            assert (await session.run(_READ)).outcome == "ok"
            taken.append((time.perf_counter() - begun) * 1000)
            plots.append(await _ms(lambda session=session: session.run(_PLOT)))
        await sandbox.end(f"first {number}")
    row("first result of a new thread, with a CSV and read_csv, p50", statistics.median(taken), "ms", 15)
    row("first plot of a session to a PNG, p50", statistics.median(plots), "ms", 150)


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
    async with sandbox.session("alone") as session:
        await session.run(_READ.replace("pd.read_csv('sales.csv')['sales'].sum()", "import matplotlib.pyplot"))
        row("memory of an idle session, alone", _pss_mb(session.jail.init_id), "MB", 100)


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


_FORK = """
import gc, os, re
import IPython.core.interactiveshell, numpy, pandas, matplotlib.pyplot
gc.collect()
gc.freeze()
children = []
for _ in range(8):
    read, write = os.pipe()
    if not os.fork():
        from io import StringIO
        import pandas
        pandas.read_csv(StringIO("a,b\\n1,2")).sum()
        os.write(write, b"x")
        os.read(0, 1)
        os._exit(0)
    os.read(read, 1)
    children.append(_child := int(open(f"/proc/self/task/{os.getpid()}/children").read().split()[-1]))
text = open(f"/proc/{children[-1]}/smaps_rollup").read()
print(sum(int(kb) for kb in re.findall(r"^Private_\\w+:\\s+(\\d+) kB", text, re.M)) / 1000)
for child in children:
    os.kill(child, 9)
"""


def _forked_mb(settings: Settings) -> float:
    """Fork a Python that has imported everything; return what a child has of its own after its first result."""
    found = environment.find(settings.sandbox_dir or environment.default_folder(settings.cache_dir))
    assert found
    packages = next((found.venv / "lib").glob("python*")) / "site-packages"
    done = subprocess.run(
        [sys.executable, "-c", _FORK],
        env={"PYTHONPATH": str(packages), "PATH": os.defpath, "OPENBLAS_NUM_THREADS": "1", "MPLBACKEND": "agg"},
        stdin=subprocess.PIPE,
        capture_output=True,
        text=True,
        check=True,
    )
    return float(done.stdout)


if __name__ == "__main__":
    asyncio.run(measure(Settings()))
