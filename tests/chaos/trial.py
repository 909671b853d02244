"""One trial: a cluster, clients, faults one after the other, and a look at what is left."""

import time
from dataclasses import dataclass
from pathlib import Path

from tests.chaos.checker import Checker
from tests.chaos.clients import Clients, brain
from tests.chaos.faults import Chaos
from tests.harness.upstream import Upstream
from tests.harness.wire import Wire


@dataclass(frozen=True)
class Outcome:
    """What a trial came to."""

    seed: int
    seconds: float
    faults: dict[str, int]
    talks: int
    refused: int
    statuses: dict[str, int]
    errors: dict[str, int]
    streams: int
    findings: list[str]


def run(
    folder: Path,
    upstream: Upstream,
    *,
    seed: int,
    strikes: int,
    clients: int,
    max_retries: int = 0,
    longest_s: float = 5.0,
    lease_s: float = 8.0,
    workers: int = 3,
    calm_s: float = 5.0,
) -> Outcome:
    """Let so many faults strike a busy cluster; return what is there afterwards.

    `calm_s` is how long the clients go on after the last fault.
    """
    upstream.brain = brain
    began = time.monotonic()
    chaos = Chaos(folder, upstream.url, seed, longest_s, workers, UNDERSTUDY_LEASE_S=str(lease_s))
    try:
        crowd = Clients([server.url for server in chaos.servers], clients, seed, max_retries)
        crowd.start()
        time.sleep(1.0)
        for _ in range(strikes):
            chaos.strike()
            time.sleep(1.0)
        time.sleep(calm_s)
        crowd.stop()
        wire = Wire(chaos.servers[0].url)
        checker = Checker(wire, chaos.cluster.database, within_s=60 + 4 * lease_s)
        findings = [*crowd.surprises, *checker.findings(crowd.talks)]
        wire.close()
        tracebacks = [process for process in chaos.cluster.processes if "Traceback" in process.stderr]
        findings += [f"a traceback in the log of {process.data_dir.name}" for process in tracebacks]
    finally:
        chaos.close()
    return Outcome(
        seed,
        time.monotonic() - began,
        dict(chaos.happened),
        len(crowd.talks),
        crowd.failures,
        dict(checker.statuses),
        dict(checker.errors),
        sum(len(talk.streams) for talk in crowd.talks),
        findings,
    )
