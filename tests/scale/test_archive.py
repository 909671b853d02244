"""From one deployment to another, ids and all: SQLite to PostgreSQL and back, interrupted and gone on with."""

import json
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psycopg
import pytest
from tests.harness.nats import Nats
from tests.harness.postgres import Postgres
from tests.harness.replies import Call, Reply
from tests.harness.scaled import scaled_settings
from tests.harness.server import Server
from tests.harness.upstream import Upstream
from tests.harness.wire import Json, Wire, run_path


def command(environment: Mapping[str, str], *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "understudy", *arguments], env=environment, capture_output=True, text=True, timeout=120
    )


def fill(wire: Wire, upstream: Upstream) -> list[str]:
    """Make one of everything; return the paths that show it."""
    upstream.script(Reply("안녕 \U0001f32e"), Reply(calls=[Call("weather", '{"city": "부산"}')]))
    plain, calling = wire.assistant(name="plain", metadata={"base64": "aGk="}), wire.assistant("weather")
    done = wire.settle(plain, wire.thread("hello", "again"))
    waiting = wire.settle(calling)
    upload = {"file": ("notes.txt", b"The owl sleeps in the old barn.", "text/plain")}
    file = wire.http.post("/files", data={"purpose": "assistants"}, files=upload).json()
    store = wire.make("/vector_stores", {"name": "library", "file_ids": [file["id"]]})
    for _ in range(200):
        if wire.read(f"/vector_stores/{store['id']}")["status"] == "completed":
            break
        time.sleep(0.1)
    paths = [f"/assistants/{plain['id']}", f"/vector_stores/{store['id']}", f"/vector_stores/{store['id']}/files"]
    paths += [f"/files/{file['id']}", "/assistants", "/files"]
    for run in (done, waiting):
        paths += [f"/threads/{run['thread_id']}", run_path(run), f"{run_path(run)}/steps"]
        paths.append(f"/threads/{run['thread_id']}/messages")
    return paths


def shown(wire: Wire, paths: list[str]) -> list[Any]:
    return [wire.read(path) for path in paths]


def searched(wire: Wire, paths: list[str]) -> list[Json]:
    store = next(path for path in paths if path.startswith("/vector_stores/"))
    found: list[Json] = wire.make(f"{store}/search", {"query": "owl barn"})["data"]
    return found


@pytest.mark.timeout(300)
def test_from_sqlite_to_postgresql_and_back(
    tmp_path: Path, upstream: Upstream, postgres_server: Postgres, nats_server: Nats
) -> None:
    first = Server(tmp_path / "first", upstream.url).start()
    wire = first.wire()
    paths = fill(wire, upstream)
    found = searched(wire, paths)  # first: it is a use of the store, which shows when that was
    expected = shown(wire, paths)
    assert found, "there is something to find"
    said = command(first.environment, "export", str(tmp_path / "archive"))  # while it serves
    assert said.returncode == 0, said.stderr
    assert "runs: 2 rows" in said.stderr
    assert command(first.environment, "export", str(tmp_path / "archive")).returncode == 1, "one archive, one folder"
    first.close()

    url = postgres_server.database()
    second = Server(tmp_path / "second", upstream.url, scaled_settings(url, nats_server))
    interrupted(second.environment, tmp_path / "archive", tmp_path / "half")
    refused = command(second.environment, "import", str(tmp_path / "archive"))
    assert refused.returncode == 1
    assert "--resume goes on" in refused.stderr
    said = command(second.environment, "import", "--resume", str(tmp_path / "archive"))
    assert said.returncode == 0, said.stderr
    with psycopg.connect(url) as connection:
        blocks, rows = "SELECT sum(length(chunk_keys) / 8) FROM vector_blocks", "SELECT count(*) FROM chunk_vectors"
        assert connection.execute(rows).fetchone() == connection.execute(blocks).fetchone() != (0,)
    wire = second.start().wire()
    assert shown(wire, paths) == expected
    assert [each["file_id"] for each in searched(wire, paths)] == [each["file_id"] for each in found]
    file = next(path for path in paths if path.startswith("/files/"))
    assert wire.get(f"{file}/content").status_code in (200, 400)
    goes_on(wire, upstream, paths)
    said = command(second.environment, "export", str(tmp_path / "back"))
    assert said.returncode == 0, said.stderr
    expected = shown(wire, paths)
    second.close()

    third = Server(tmp_path / "third", upstream.url)
    assert command(third.environment, "import", str(tmp_path / "back")).returncode == 0
    assert shown(third.start().wire(), paths) == expected
    third.close()
    postgres_server.drop(url)


def interrupted(environment: Mapping[str, str], archive: Path, half: Path) -> None:
    """Import an archive of which the runs are missing: the import breaks off at them."""
    half.mkdir()
    manifest = json.loads((archive / "manifest.json").read_text())
    (half / "manifest.json").write_text(json.dumps(manifest))
    (half / "tables").mkdir()
    for table in (archive / "tables").iterdir():
        if table.stem < "runs":
            (half / "tables" / table.name).write_bytes(table.read_bytes())
    said = command(environment, "import", str(half))
    assert said.returncode == 1
    assert "cannot be read" in said.stderr


def goes_on(wire: Wire, upstream: Upstream, paths: list[str]) -> None:
    """What waited goes on, and what is new gets places and numbers after the old."""
    upstream.script(Reply("It rains."))
    waiting = next(wire.read(path) for path in paths if "/runs/" in path and wire.read(path).get("required_action"))
    wire.submit(waiting, "rain")
    assert wire.until(waiting)["status"] == "completed"
    before = wire.read("/assistants")["data"]
    made = wire.assistant(name="new")
    assert [each["id"] for each in wire.read("/assistants")["data"]] == [made["id"], *[each["id"] for each in before]]


def test_what_is_no_archive_is_told(tmp_path: Path, upstream: Upstream) -> None:
    environment = Server(tmp_path / "data", upstream.url).environment
    said = command(environment, "import", str(tmp_path))
    assert said.returncode == 1
    assert "is no archive, or not a whole one" in said.stderr
    manifest = {"version": "0", "schema": "0001", "made_at": 1, "tables": {}, "files": 0}
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    said = command(environment, "import", str(tmp_path))
    assert said.returncode == 1
    assert "holds schema 0001, and this version has" in said.stderr
