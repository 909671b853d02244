"""The processes of a benchmark: each is started, and stopped by its end."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.harness.server import Server


@contextmanager
def listening(module: str) -> Iterator[str]:
    """Run a server of ours; give its URL."""
    process = subprocess.Popen([sys.executable, "-m", module], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout
        yield process.stdout.readline().strip()
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
