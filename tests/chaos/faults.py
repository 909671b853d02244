"""What happens to the cluster: processes die and hang, the network is cut, PostgreSQL and NATS go and come back."""

import random
import signal
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.harness.cable import Cable
from tests.harness.nats import Nats
from tests.harness.postgres import Postgres
from tests.harness.scaled import Cluster
from tests.harness.server import Server

FAULTS = {
    "a worker is killed": 4,
    "a server is killed": 3,
    "a worker hangs": 2,
    "a server hangs": 1,
    "NATS is killed": 2,
    "NATS hangs": 1,
    "PostgreSQL crashes": 2,
    "PostgreSQL restarts": 1,
    "a worker is cut off from NATS": 2,
}
"""Each with how often it happens, relative to the others."""


class Chaos:
    """A cluster of its own (two servers, and workers, one of them over a cable), and a seeded run of faults."""

    def __init__(
        self, folder: Path, model_url: str, seed: int, longest_s: float, workers: int = 3, **settings: str
    ) -> None:
        """`longest_s` bounds how long anything hangs or is cut off."""
        self._dice = random.Random(seed)
        self._longest_s = longest_s
        self.postgres, self.nats = Postgres().start(), Nats().start()
        self.cable = Cable(self.nats.address)
        self.cluster = Cluster(self.postgres, self.nats, folder, model_url, **settings)
        begin = ThreadPoolExecutor().submit
        servers = [begin(self.cluster.server) for _ in range(2)]
        several = [begin(self.cluster.worker) for _ in range(workers - 1)]
        several.append(begin(self.cluster.worker, UNDERSTUDY_BUS_URL=self.cable.url))
        self.servers, self.workers = ([each.result() for each in some] for some in (servers, several))
        self.happened: Counter[str] = Counter()
        self._down: list[Server] = []

    def close(self) -> None:
        for process in self.cluster.processes:
            process.kill()  # how they stop is not of interest here, and takes a while
            process.close()
        self.cable.cut()
        self.nats.close()
        self.postgres.close()

    def strike(self) -> None:
        """Let one thing happen, and mend it."""
        name = self._dice.choices(list(FAULTS), list(FAULTS.values()))[0]
        self.happened[name] += 1
        pause = self._dice.uniform(0.2, self._longest_s)
        who = self.workers if "worker" in name else self.servers
        if name.endswith("is killed") and name != "NATS is killed":
            self._kill(self._dice.choice(who), pause)
        elif name in ("a worker hangs", "a server hangs"):
            self._hang(self._dice.choice(who), pause)
        elif name == "NATS hangs":
            self._hang(self.nats, min(pause, self._longest_s / 2))
        elif name == "NATS is killed":
            self.nats.kill()
            time.sleep(pause / 2)
            self.nats.start()
        elif name == "PostgreSQL crashes":
            self.postgres.kill()
            self.postgres.start()
        elif name == "PostgreSQL restarts":
            self.postgres.restart()
        else:
            self.cable.cut()
            time.sleep(pause)
            self.cable.mend()

    def _kill(self, process: Server, pause: float) -> None:
        process.kill()
        time.sleep(min(pause, 1.0))
        process.start()

    def _hang(self, process: Server | Nats, pause: float) -> None:
        process.signal(signal.SIGSTOP)
        time.sleep(pause)
        process.signal(signal.SIGCONT)
