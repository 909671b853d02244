"""The real server in a process of its own: start, stop, kill -9, start again on the same data."""

import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.harness.wire import Wire

_LISTENING = "Understudy is listening on "
_START_S = 90.0  # on a machine that has much else to do
_STOP_S = 30.0
MODEL_KEY = "sk-upstream-secret-4711"


class Server:
    """One `understudy serve` on a data folder. Settings are environment variables."""

    def __init__(
        self,
        data_dir: Path,
        model_url: str,
        settings: Mapping[str, str] | None = None,
        *,
        command: Sequence[str] = ("serve",),
        python: Path = Path(sys.executable),
        cwd: Path | None = None,
    ) -> None:
        """`python` and `cwd`: another environment than the suite's, away from the tree."""
        self._command = command
        self._python = python
        self._cwd = cwd
        self.data_dir = data_dir
        self.url = ""
        self.environment = _environment(data_dir, model_url, settings or {})
        if cwd is not None:  # away from the tree, and from the paths that lead to it
            self.environment.pop("PYTHONPATH", None)
        self._log = data_dir.parent / f"{data_dir.name}.stderr"
        self._port = 0
        self._process: subprocess.Popen[str] | None = None
        self._wires: list[Wire] = []

    def wire(self) -> Wire:
        """Return a client, which is closed together with the server."""
        self._wires.append(Wire(self.url))
        return self._wires[-1]

    def start(self) -> "Server":
        """Start, and wait for the line that says where the server listens. A second start keeps the port."""
        command = [str(self._python), "-m", "understudy", *self._command, "--port", str(self._port)]
        with self._log.open("a") as log:
            self._process = subprocess.Popen(
                command, env=self.environment, cwd=self._cwd, stdout=subprocess.PIPE, stderr=log, text=True
            )
        self.url = self._wait_until_listening(self._process)
        self._port = int(self.url.rsplit(":", 1)[1])
        return self

    def kill(self) -> None:
        """Send SIGKILL, and wait until the process is gone."""
        assert self._process
        self._process.send_signal(signal.SIGKILL)
        self._process.wait(_STOP_S)

    @property
    def pid(self) -> int:
        assert self._process
        return self._process.pid

    def signal(self, number: signal.Signals) -> None:
        assert self._process
        self._process.send_signal(number)

    def stop(self) -> int | None:
        """Ask the server to end; return its exit code."""
        if not self._process:
            return None
        self._process.terminate()
        try:
            return self._process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            self.kill()
            raise

    def close(self) -> None:
        """Close the clients and stop."""
        while self._wires:
            self._wires.pop().close()
        self.stop()

    @property
    def stderr(self) -> str:
        return self._log.read_text() if self._log.exists() else ""

    def _wait_until_listening(self, process: subprocess.Popen[str]) -> str:
        lines: queue.Queue[str | None] = queue.Queue()
        threading.Thread(target=_drain, args=(process, lines), daemon=True).start()
        while True:
            try:
                line = lines.get(timeout=_START_S)
            except queue.Empty:
                process.kill()
                raise AssertionError(f"the server did not say that it listens:\n{self.stderr}") from None
            assert line is not None, f"the server ended before it listened:\n{self.stderr}"
            if line.startswith(_LISTENING):
                return line.removeprefix(_LISTENING).strip()


def _drain(process: subprocess.Popen[str], lines: "queue.Queue[str | None]") -> None:
    assert process.stdout
    with process.stdout as stdout:
        for line in stdout:
            lines.put(line)
    lines.put(None)


def _environment(data_dir: Path, model_url: str, settings: Mapping[str, str]) -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("UNDERSTUDY_", "OPENAI_"))}
    ours = {
        "UNDERSTUDY_DATA_DIR": str(data_dir),
        "UNDERSTUDY_MODEL_URL": model_url,
        "UNDERSTUDY_MODEL_KEY": MODEL_KEY,
        "UNDERSTUDY_SANDBOX": "off",  # hundreds of servers are started, and few of them run code
        "PYTHONUNBUFFERED": "1",
    }
    return kept | ours | dict(settings)
