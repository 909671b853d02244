"""A full disk, one that turned read-only, a damaged file: said in a sentence, reads go on, and it mends by itself."""

import os
import resource
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.conftest import MakeServer
from tests.harness.replies import Gate, Reply
from tests.harness.server import Server
from tests.harness.upstream import Upstream
from tests.harness.wire import Json, Wire

Clients = Callable[[Server], Wire]

SIZE = 4 * 1024 * 1024
TEXT = "x" * 20_000
DATABASE = "understudy.sqlite3"


def mount(*arguments: str) -> None:
    done = subprocess.run(["mount", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"a disk of the test's own cannot be mounted: {done.stderr.strip()}")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    if os.geteuid() != 0:
        pytest.skip("only root can mount a disk of the test's own")
    disk = tmp_path / "disk"
    disk.mkdir()
    mount("-t", "tmpfs", "-o", f"size={SIZE}", "understudy-test", str(disk))
    yield disk
    subprocess.run(["umount", "-l", str(disk)], check=True)


@pytest.fixture
def server(small_disk: Path, upstream: Upstream) -> Iterator[Server]:
    server = Server(small_disk / "data", upstream.url, {"UNDERSTUDY_LEASE_S": "1"}).start()
    yield server
    server.stop()


@pytest.fixture
def wire_to() -> Iterator[Callable[[Server], Wire]]:
    """Make clients of servers; close them at the end, also of a test that fails."""
    made: list[Wire] = []

    def make(server: Server) -> Wire:
        made.append(Wire(server.url))
        return made[-1]

    yield make
    for wire in made:
        wire.close()


def fill(disk: Path) -> Path:
    """Leave no byte free."""
    filler = disk / "filler"
    with filler.open("ab", buffering=0) as file:
        try:
            while file.write(b"x" * 4096):
                pass
        except OSError:
            return filler


def complaint(wire: Wire, thread: Json) -> Json:
    """Write until the server refuses; return its error."""
    for _ in range(SIZE // len(TEXT)):
        answer = wire.post(f"/threads/{thread['id']}/messages", {"role": "user", "content": TEXT})
        if answer.status_code != 200:
            assert answer.status_code == 503
            return answer.json()["error"]
    raise AssertionError("every write went through")


def health(wire: Wire) -> tuple[int, Json]:
    answer = wire.http.get(str(wire.http.base_url).removesuffix("v1/") + "health")
    return answer.status_code, answer.json()["parts"]["database"]


def test_a_full_disk_is_told_reads_go_on_and_room_mends_it(server: Server, small_disk: Path, wire_to: Clients) -> None:
    wire = wire_to(server)
    thread = wire.thread("kept")
    filler = fill(small_disk)
    error = complaint(wire, thread)
    assert error["type"] == "server_error"
    assert error["message"].startswith("This needs the database, but the disk is full: make room")
    written = len(wire.texts(thread["id"]))
    assert wire.texts(thread["id"])[0] == "kept"
    assert (health(wire)[0], health(wire)[1]["state"]) in {(503, "failed"), (200, "ok")}
    filler.unlink()
    wire.make(f"/threads/{thread['id']}/messages", {"role": "user", "content": TEXT})
    assert len(wire.texts(thread["id"])) == written + 1
    assert health(wire)[0] == 200
    assert "Traceback" not in server.stderr, server.stderr


def test_a_run_that_meets_a_full_disk_ends_properly_once_there_is_room(
    server: Server, small_disk: Path, upstream: Upstream, wire_to: Clients
) -> None:
    wire = wire_to(server)
    gate = Gate()
    upstream.script(Reply(tokens=["half ", TEXT, TEXT], pause=gate), Reply("The whole answer."))
    other = wire.thread("other")
    run = wire.run(wire.assistant(), wire.thread("q"))
    upstream.wait_for_request()
    wire.until(run, {"in_progress"})
    filler = fill(small_disk)
    complaint(wire, other)
    gate.open()
    time.sleep(4)
    assert wire.until(run, {"in_progress"})
    filler.unlink()
    assert wire.until(run, within_s=30)["status"] == "completed"
    assert wire.texts(run["thread_id"]) == ["q", "The whole answer."]
    assert "Traceback" not in server.stderr, server.stderr
    assert server.stderr.count("WARNING") < 20, server.stderr


def test_a_disk_that_takes_no_byte_is_told_and_mends_by_itself(make_server: MakeServer, wire_to: Clients) -> None:
    """Every write of the process fails, that to its log too: a limit stands for a disk that turned read-only."""
    server = make_server()
    wire = wire_to(server)
    thread = wire.thread("kept")
    before = resource.prlimit(server.pid, resource.RLIMIT_FSIZE, (1, resource.RLIM_INFINITY))
    error = complaint(wire, thread)
    assert error["message"].startswith("This needs the database, but the disk ")
    assert wire.texts(thread["id"]) == ["kept"]
    assert health(wire)[0] == 503
    assert health(wire)[1]["why"] == error["message"]
    resource.prlimit(server.pid, resource.RLIMIT_FSIZE, before)
    wire.make(f"/threads/{thread['id']}/messages", {"role": "user", "content": "back"})
    assert wire.texts(thread["id"]) == ["kept", "back"]
    assert health(wire)[0] == 200
    assert "Traceback" not in server.stderr, server.stderr


def test_a_damaged_file_is_told_and_what_is_whole_can_be_read(make_server: MakeServer, wire_to: Clients) -> None:
    server = make_server()
    wire = wire_to(server)
    whole = wire.assistant(name="whole")
    thread = wire.thread("kept")
    for _ in range(30):
        wire.make(f"/threads/{thread['id']}/messages", {"role": "user", "content": TEXT})
    assert server.stop() == 0
    path = server.data_dir / DATABASE
    with path.open("r+b") as file:
        size = path.stat().st_size
        file.seek(size // 3)
        file.write(b"\xa5garbage" * ((size - size // 3) // 8))
    server.start()
    answer = wire.get(f"/threads/{thread['id']}/messages", params={"limit": 100})
    assert answer.status_code == 503
    assert "the database file is damaged: stop the server and restore a backup" in answer.json()["error"]["message"]
    assert wire.read(f"/assistants/{whole['id']}")["name"] == "whole"
    assert "Traceback" not in server.stderr, server.stderr


def refusal(server: Server) -> str:
    command = [sys.executable, "-m", "understudy", "serve", "--port", "0"]
    done = subprocess.run(command, env=server.environment, capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert "Traceback" not in done.stderr
    return done.stderr.splitlines()[-1]


def test_a_file_that_is_no_database_is_not_served(upstream: Upstream, tmp_path: Path) -> None:
    server = Server(tmp_path / "data", upstream.url)
    server.data_dir.mkdir()
    (server.data_dir / DATABASE).write_bytes(b"garbage " * 1000)
    assert "the database file is damaged: stop the server and restore a backup" in refusal(server)


def test_a_newer_schema_is_not_served(make_server: MakeServer) -> None:
    server = make_server()
    assert server.stop() == 0
    connection = sqlite3.connect(server.data_dir / DATABASE)
    with connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()
    assert "the database has schema 9999, which is newer than this server's" in refusal(server)


def test_a_read_only_disk_is_told_at_the_start(small_disk: Path, upstream: Upstream) -> None:
    server = Server(small_disk / "data", upstream.url).start()
    assert server.stop() == 0
    mount("-o", "remount,ro", str(small_disk))
    assert "data cannot be written to: Read-only file system; mend that" in refusal(server)
