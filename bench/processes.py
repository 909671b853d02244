"""The processes of a benchmark: the upstream, and the real server on a fresh data folder."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

HERE = Path(__file__).parent


@contextmanager
def running(command: list[str], **variables: str) -> Iterator[tuple[int, str]]:
    """Start a process; give its id and the first line it prints; stop it in the end."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ | variables)
    assert process.stdout
    try:
        yield process.pid, process.stdout.readline().strip()
    finally:
        process.terminate()
        process.wait(15)
        process.stdout.close()


@contextmanager
def server() -> Iterator[tuple[int, str]]:
    """Give the id and the address of a server whose model is the instant upstream."""
    with TemporaryDirectory() as folder, running([sys.executable, str(HERE / "upstream.py")]) as (_, port):
        variables = {
            "UNDERSTUDY_DATA_DIR": folder,
            "UNDERSTUDY_MODEL_URL": f"http://127.0.0.1:{port}/v1",
            "UNDERSTUDY_LOG_LEVEL": "warning",
        }
        command = [sys.executable, "-m", "understudy", "serve", "--port", "0"]
        with running(command, **variables) as (pid, line):
            yield pid, line.split()[-1]


@contextmanager
def constants() -> Iterator[str]:
    """Give the address of a server that answers with constants."""
    with running([sys.executable, str(HERE / "constants.py")]) as (_, line):
        yield line.split()[-1]


def memory_mb(pid: int) -> float:
    """Return a process's resident memory."""
    status = Path(f"/proc/{pid}/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS")) / 1000
