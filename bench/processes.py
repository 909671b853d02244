"""The processes of a benchmark: each is started, and stopped by its end."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.harness.server import Server


@dataclass(frozen=True, slots=True)
class Listening:
    """A server of ours that runs."""

    url: str
    pid: int


@contextmanager
def listening(module: str) -> Iterator[Listening]:
    """Run a server of ours."""
    process = subprocess.Popen([sys.executable, "-m", module], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout
        yield Listening(process.stdout.readline().strip(), process.pid)
    finally:
        process.kill()
        process.wait()


@contextmanager
def understudy(folder: Path, model_url: str, *, calls_at_once: int = 64) -> Iterator[Server]:
    """Run the real server: default settings, but for the number of calls at once where a scenario needs more."""
    settings = {"UNDERSTUDY_LOG_LEVEL": "warning"}
    if calls_at_once != 64:
        config = folder.parent / f"{folder.name}.toml"
        config.write_text(
            f'default_upstream = "mock"\n[upstreams.mock]\nurl = "{model_url}/v1"\nconcurrency = {calls_at_once}\n'
        )
        settings["UNDERSTUDY_CONFIG"] = str(config)
    server = Server(folder, f"{model_url}/v1", settings)
    if calls_at_once != 64:
        del server.environment["UNDERSTUDY_MODEL_URL"], server.environment["UNDERSTUDY_MODEL_KEY"]
    try:
        yield server.start()
    finally:
        server.close()


def sdk(url: str, seconds: float) -> dict[str, float]:
    """Drive a server with the official SDK."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "bench.sdk", url, str(seconds)], check=True, capture_output=True
    )
    told: Any = json.loads(done.stdout)
    return dict(told)


def memory_mb(server: Server, what: str = "VmRSS") -> float:
    """Return the server's memory; `VmHWM` is the most it ever was."""
    status = Path(f"/proc/{server.pid}/status").read_text()
    found = re.search(rf"{what}:\s+(\d+) kB", status)
    assert found
    return int(found[1]) / 1024


def cpu_s(pid: int) -> float:
    """Return the CPU time that a process has used, in seconds: user's and system's."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
