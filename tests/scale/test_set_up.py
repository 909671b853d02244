"""Setting a cluster up: what is missing or does not go together is told in a sentence."""

import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import pytest
from tests.harness.nats import Nats
from tests.harness.postgres import Postgres
from tests.harness.scaled import Cluster, scaled_settings
from tests.harness.server import Server
from tests.harness.upstream import Upstream

POSTGRES, NATS = "postgresql://u:hunter2@127.0.0.1:1/x", "nats://127.0.0.1:1"


def said(environment: Mapping[str, str], *command: str) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-m", "understudy", *command], env=environment, capture_output=True, text=True, timeout=60
    )
    assert "hunter2" not in done.stderr + done.stdout
    return done.returncode, (done.stderr + done.stdout).strip().splitlines()[-1]


def doctor(environment: Mapping[str, str]) -> str:
    """Return what is found by whoever is to serve others."""
    command = [sys.executable, "-m", "understudy", "doctor", "--host", "0.0.0.0"]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60).stdout


@pytest.fixture
def environment(upstream: Upstream, tmp_path: Path) -> dict[str, str]:
    return Server(tmp_path / "data", upstream.url).environment


@pytest.mark.parametrize(
    ("command", "settings", "words"),
    [
        ("serve --port 0", {"DATABASE_URL": POSTGRES}, "no bus is given; give bus_url=nats://… too"),
        ("serve --port 0", {"BUS_URL": NATS}, "a file of one server's; give database_url=postgresql://… too"),
        ("serve --port 0", {"DATABASE_URL": POSTGRES, "BUS_URL": NATS}, "files_url is not given"),
        ("worker --port 0", {}, "needs database_url=postgresql://… and bus_url=nats://…"),
        ("serve --no-worker --port 0", {}, "needs database_url=postgresql://… and bus_url=nats://…"),
        ("serve --port 0", {"BUS_URL": "http://127.0.0.1"}, "allowed: nats://USER:PASSWORD@HOST:PORT"),
        ("serve --port 0", {"BUS_NAME": "a.b"}, "up to 32 letters"),
        ("backup nowhere", {"DATABASE_URL": POSTGRES}, "pg_dump"),
    ],
)
def test_what_does_not_go_together_is_told(
    environment: dict[str, str], command: str, settings: Mapping[str, str], words: str
) -> None:
    variables = {f"UNDERSTUDY_{name}": value for name, value in settings.items()}
    code, line = said(environment | variables, *command.split())
    assert code == 1
    assert words in line


@pytest.mark.timeout(300)
def test_the_way_from_an_empty_database_to_a_server(
    environment: dict[str, str], postgres_server: Postgres, nats_server: Nats, upstream: Upstream
) -> None:
    url = postgres_server.database(migrated=False)
    environment |= scaled_settings(url, nats_server)
    code, line = said(environment, "serve", "--port", "0")
    assert (code, line) == (
        1,
        "Error: the database is empty; run `understudy migrate` once, then start the server",
    )
    assert said(environment, "keys", "list")[0] == 1
    code, line = said(environment, "migrate")
    assert code == 0
    assert line.startswith("the database has schema 0")
    assert said(environment, "migrate")[1].startswith("nothing to do: the database has schema 0")
    assert "there is no key yet" in doctor(environment)
    assert said(environment, "keys", "create")[0] == 0
    assert "this version's schema" in (found := doctor(environment))
    assert "others can reach 0.0.0.0, and there are keys" in found
    postgres_server.drop(url)


def test_sqlite_needs_no_migration_by_hand(environment: dict[str, str]) -> None:
    code, line = said(environment, "migrate")
    assert code == 0
    assert "upgrades its file itself" in line


def test_keys_count_on_every_server(cluster: Cluster) -> None:
    first, second = cluster.server(), cluster.server()
    made = subprocess.run(
        [sys.executable, "-m", "understudy", "keys", "create"],
        env=first.environment,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    ).stdout.strip()
    for server in (first, second):
        wire = server.wire()
        for _ in range(60):
            if wire.get("/assistants").status_code == 401:
                break
            time.sleep(0.05)
        assert wire.get("/assistants").status_code == 401
        assert wire.get("/assistants", headers={"Authorization": f"Bearer {made}"}).status_code == 200


def test_a_bus_that_is_not_there_is_told(environment: dict[str, str], postgres_server: Postgres) -> None:
    url = postgres_server.database()
    settings = {"UNDERSTUDY_DATABASE_URL": url, "UNDERSTUDY_BUS_URL": NATS, "UNDERSTUDY_FILES_URL": "file:///tmp/none"}
    code, line = said(environment | settings, "serve", "--port", "0")
    assert code == 1
    assert line.startswith("Error: the bus at NATS cannot be used")
    postgres_server.drop(url)
