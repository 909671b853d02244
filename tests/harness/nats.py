"""A real NATS server from a package of the suite's, in a process of its own: start, kill, pause, start again."""

import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

_START_S = 15.0
_STOP_S = 10.0
_ROOM = "100TB"  # streams reserve what they may take, and the suite makes a set for each test


class Nats:
    """One server with JetStream. A second start keeps the port and what was stored."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="understudy-nats-"))
        self._port = _free_port()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"nats://127.0.0.1:{self._port}"

    @property
    def address(self) -> tuple[str, int]:
        return "127.0.0.1", self._port

    def start(self) -> "Nats":
        settings = self.folder / "settings"
        settings.write_text(f'jetstream {{ store_dir: "{self.folder}", max_file_store: {_ROOM} }}', encoding="utf-8")
        command = [_program(), "-a", "127.0.0.1", "-p", str(self._port), "-c", str(settings)]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        deadline = time.monotonic() + _START_S
        while not self._answers():
            assert time.monotonic() < deadline, "NATS did not start"
            assert self._process.poll() is None, (self.folder / "log").read_text()
            time.sleep(0.02)
        return self

    def _answers(self) -> bool:
        try:
            with socket.create_connection(self.address, 1) as connection:
                return connection.recv(4) == b"INFO"
        except OSError:
            return False

    def kill(self) -> None:
        self.signal(signal.SIGKILL)
        assert self._process
        self._process.wait(_STOP_S)

    def signal(self, number: signal.Signals) -> None:
        assert self._process
        self._process.send_signal(number)

    def lose_all(self) -> None:
        """Forget what was stored: for a server that is not running."""
        shutil.rmtree(self.folder / "jetstream")

    def close(self) -> None:
        if self._process and self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(_STOP_S)
            except subprocess.TimeoutExpired:
                self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)


def _program() -> str:
    return str(Path(sys.executable).parent / "nats-server")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
