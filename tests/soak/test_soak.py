"""A soak: mixed load for a while leaves memory flat and no file or thread behind. The time is a variable.

`UNDERSTUDY_TEST_SOAK_S` is for the long one, an hour if it is not set.
"""

import os
import sqlite3
import sys
import threading
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.conftest import MakeServer
from tests.harness.server import Server
from tests.harness.upstream import Upstream
from tests.harness.wire import Wire
from tests.soak.load import Load, brain

MIB = 1024 * 1024
SHORT_S, WARM_UP_S, LONG_WARM_UP_S = 35.0, 12.0, 900.0
REST_S = 3.0
SPARE_FILES, SPARE_THREADS = 4, 2
LOGS = 110 * MIB
"""What the logs of runs that ended may come to hold: 64 MiB of events as they are counted, and what Python adds."""
LONG_GROWTH = 16 * MIB
LEAST_RUNS_PER_S = 2

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks at /proc")


@dataclass(frozen=True)
class Usage:
    """What a process holds."""

    memory: int
    files: int
    threads: int

    @classmethod
    def of(cls, pid: int) -> "Usage":
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        status = {name: rest.split() for name, _, rest in (line.partition(":") for line in lines)}
        files = len(os.listdir(f"/proc/{pid}/fd"))
        return cls(int(status["VmRSS"][0]) * 1024, files, int(status["Threads"][0]))


class Soak:
    """A server under load, looked at before and after."""

    def __init__(self, server: Server, upstream: Upstream) -> None:
        upstream.brain = brain
        self._server, self._upstream = server, upstream
        with closing(Wire(server.url)) as wire:
            self.load = Load(server.url, wire.assistant(), wire.assistant("weather"))

    def soak(self, seconds: float) -> Usage:
        """Keep the server busy, let it come to rest, and return what it then holds."""
        busy = threading.Thread(target=self.load.run, args=(seconds,))
        busy.start()
        while busy.is_alive():
            busy.join(1.0)
            del self._upstream.requests[:]  # this process's own memory
        assert not self.load.errors, self.load.errors
        time.sleep(REST_S)
        return Usage.of(self._server.pid)

    def unfinished(self) -> int:
        path = self._server.data_dir / "understudy.sqlite3"
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
            active = "status NOT IN ('completed', 'cancelled')"
            return int(connection.execute(f"SELECT count(*) FROM runs WHERE {active}").fetchone()[0])


def judge(soak: Soak, before: Usage, after: Usage, seconds: float, growth: int) -> None:
    print(f"\n{before}\n{after}\n{dict(soak.load.done)}")
    assert after.files <= before.files + SPARE_FILES
    assert after.threads <= before.threads + SPARE_THREADS
    assert after.memory <= before.memory + growth
    assert soak.unfinished() == 0
    assert min(soak.load.done.values()) > 0
    assert soak.load.done.total() > seconds * LEAST_RUNS_PER_S


@pytest.mark.timeout(180)
def test_a_short_soak(make_server: MakeServer, upstream: Upstream) -> None:
    """Too short for the logs to be let go: each run may leave its own, and nothing else."""
    soak = Soak(make_server(), upstream)
    before, warm = soak.soak(WARM_UP_S), soak.load.done.total()
    after = soak.soak(SHORT_S)
    runs = soak.load.done.total() - warm
    judge(soak, before, after, SHORT_S, growth=4 * MIB + runs * 64 * 1024)


@pytest.mark.slow
@pytest.mark.timeout(6 * 3600)
def test_a_long_soak(make_server: MakeServer, upstream: Upstream) -> None:
    """Past the time that logs are kept, memory is flat."""
    seconds = float(os.environ.get("UNDERSTUDY_TEST_SOAK_S", "3600"))
    soak = Soak(make_server(), upstream)
    warm_up = min(LONG_WARM_UP_S, seconds / 2)
    before = soak.soak(warm_up)
    after = soak.soak(seconds - warm_up)
    judge(soak, before, after, seconds, LONG_GROWTH if warm_up == LONG_WARM_UP_S else LOGS)
