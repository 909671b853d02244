"""A deployment of many processes on one PostgreSQL and one NATS: servers, workers, and what lies between them."""

import atexit
import itertools
import secrets
import shutil
import tempfile
from pathlib import Path

from tests.harness.nats import Nats
from tests.harness.postgres import Postgres
from tests.harness.server import Server


class Cluster:
    """Servers and workers that share a database and a prefix of their own; made one by one, closed together."""

    def __init__(self, postgres: Postgres, nats: Nats, folder: Path, model_url: str, **settings: str) -> None:
        self.postgres = postgres
        self.nats = nats
        self.database = postgres.database()
        self._folder = folder
        self._model_url = model_url
        self._settings = scaled_settings(self.database, nats) | settings
        self._numbers = itertools.count()
        self.processes: list[Server] = []

    def server(self, *, worker: bool = False, **settings: str) -> Server:
        """Start a server, without a worker unless told otherwise."""
        return self._start(("serve",) if worker else ("serve", "--no-worker"), settings)

    def worker(self, **settings: str) -> Server:
        """Start a worker; its address answers /health and /metrics."""
        return self._start(("worker",), settings)

    def _start(self, command: tuple[str, ...], settings: dict[str, str]) -> Server:
        folder = self._folder / f"node{next(self._numbers)}"
        process = Server(folder, self._model_url, self._settings | settings, command=command)
        self.processes.append(process)
        return process.start()

    def close(self) -> None:
        for process in self.processes:
            process.close()
        self.postgres.drop(self.database)


def scaled_settings(database: str, nats: Nats) -> dict[str, str]:
    """Return the variables that put a server on a database and on a prefix of its own."""
    name, shared = f"t{secrets.token_hex(6)}", Path(tempfile.mkdtemp(prefix="understudy-files-"))
    atexit.register(shutil.rmtree, shared, ignore_errors=True)
    bus = {"UNDERSTUDY_BUS_URL": nats.url, "UNDERSTUDY_BUS_NAME": name}
    return {"UNDERSTUDY_DATABASE_URL": database, "UNDERSTUDY_FILES_URL": shared.as_uri()} | bus
