"""Backups: made under load, whole or not there at all, and served again elsewhere."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

from tests.conftest import MakeServer
from tests.harness.server import Server
from tests.harness.upstream import Upstream
from tests.harness.wire import Wire

from understudy import __version__

WAIT_S = 60


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "understudy", *arguments]


def run(server: Server, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        command(*arguments), env=server.environment, capture_output=True, text=True, timeout=WAIT_S, check=False
    )


def refused(server: Server, *arguments: str) -> str:
    done = run(server, *arguments)
    assert (done.returncode, done.stdout) == (1, "")
    assert "Traceback" not in done.stderr
    return done.stderr.splitlines()[-1]


class Writers:
    """Clients that add messages as fast as they can, and note what was acknowledged, and when."""

    def __init__(self, server: Server, threads: int) -> None:
        self.kept: dict[str, list[tuple[float, str]]] = {}
        self._stop = threading.Event()
        self._clients = [threading.Thread(target=self._write, args=[server]) for _ in range(threads)]

    def __enter__(self) -> "Writers":
        for client in self._clients:
            client.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for client in self._clients:
            client.join()

    def _write(self, server: Server) -> None:
        wire = Wire(server.url)
        thread = wire.thread("first")["id"]
        mine = self.kept.setdefault(thread, [])
        number = 0
        while not self._stop.is_set():
            text = f"message {number} " + "x" * 2000
            wire.make(f"/threads/{thread}/messages", {"role": "user", "content": text})
            mine.append((time.monotonic(), text))
            number += 1
        wire.close()


def all_texts(wire: Wire, thread: str) -> list[str]:
    texts, after = [], ""
    while True:
        page = wire.read(f"/threads/{thread}/messages", order="asc", limit=100, after=after)
        texts += [message["content"][0]["text"]["value"] for message in page["data"]]
        if not page["has_more"]:
            return texts
        after = page["last_id"]


def test_a_backup_under_load_has_all_that_was_acknowledged_before(
    make_server: MakeServer, upstream: Upstream, tmp_path: Path
) -> None:
    server = make_server()
    with Writers(server, 3) as writers:
        time.sleep(1.5)
        began = time.monotonic()
        done = run(server, "backup", str(tmp_path / "backup"))
        time.sleep(0.3)
    assert (done.returncode, done.stderr) == (0, "")
    manifest = json.loads((tmp_path / "backup" / "manifest.json").read_text())
    assert manifest["version"] == __version__
    other = Server(tmp_path / "other", upstream.url)
    assert run(other, "restore", str(tmp_path / "backup")).returncode == 0
    wire = Wire(other.start().url)
    for thread, written in writers.kept.items():
        expected = ["first", *[text for _, text in written]]
        found = all_texts(wire, thread)
        assert found == expected[: len(found)]
        assert len(found) > sum(moment < began for moment, _ in written)
    wire.close()
    assert other.stop() == 0
    assert sum(moment < began for written in writers.kept.values() for moment, _ in written) > 50


def test_a_kill_leaves_no_half_backup_under_the_final_name(make_server: MakeServer, tmp_path: Path) -> None:
    server = make_server()
    wire = Wire(server.url)
    for _ in range(10):
        wire.thread("x" * 250_000)
    wire.close()
    target = tmp_path / "backups" / "nightly"
    whole = 0
    for delay_s in [0.1 + 0.05 * step for step in range(12)]:
        process = subprocess.Popen(command("backup", str(target)), env=server.environment, stdout=subprocess.DEVNULL)
        time.sleep(delay_s)
        process.send_signal(signal.SIGKILL)
        process.wait()
        if target.exists():
            whole += 1
            other = Server(tmp_path / f"other{whole}", "http://127.0.0.1:9/v1")
            assert run(other, "restore", str(target)).returncode == 0
            target.rename(target.with_name(f"whole{whole}"))
    assert run(server, "backup", str(target)).returncode == 0


def test_a_backup_of_a_server_that_is_stopped(make_server: MakeServer, tmp_path: Path) -> None:
    server = make_server()
    wire = Wire(server.url)
    thread = wire.thread("kept")["id"]
    wire.close()
    server.kill()
    assert run(server, "backup", str(tmp_path / "backup")).returncode == 0
    assert run(server, "restore", str(tmp_path / "backup"), "--force").returncode == 0
    wire = Wire(server.start().url)
    assert wire.texts(thread) == ["kept"]
    wire.close()


def test_nothing_is_overwritten_unasked(make_server: MakeServer, tmp_path: Path) -> None:
    server = make_server()
    backup = str(tmp_path / "backup")
    assert run(server, "backup", backup).returncode == 0
    assert refused(server, "backup", backup) == f"Error: {backup} exists already; give a backup a name of its own"
    assert "is in use by another understudy process" in refused(server, "restore", backup, "--force")
    assert server.stop() == 0
    assert refused(server, "restore", backup).endswith("exists already; --force puts the backup in its place")


def test_what_is_no_whole_backup_is_refused(make_server: MakeServer, tmp_path: Path) -> None:
    server = make_server()
    backup = tmp_path / "backup"
    assert run(server, "backup", str(backup)).returncode == 0
    server.stop()
    fresh = Server(tmp_path / "fresh", "http://127.0.0.1:9/v1")
    assert refused(fresh, "restore", str(tmp_path)).endswith("is no backup: it has no readable manifest.json")
    manifest = backup / "manifest.json"
    good = manifest.read_text()
    manifest.write_text(json.dumps(json.loads(good) | {"schema": "9999"}))
    assert "schema 9999, which is newer than this server's" in refused(fresh, "restore", str(backup))
    manifest.write_text(good)
    with (backup / "database.sqlite3").open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        file.write(b"\xff")
    assert "is damaged: database.sqlite3 is not the file" in refused(fresh, "restore", str(backup))
    assert not (fresh.data_dir / "understudy.sqlite3").exists()


def test_a_backup_that_cannot_be_written_says_so(make_server: MakeServer, tmp_path: Path) -> None:
    server = make_server()
    (tmp_path / "file").write_text("")
    assert "cannot be backed up to" in refused(server, "backup", str(tmp_path / "file" / "backup"))
    empty = Server(tmp_path / "empty", "http://127.0.0.1:9/v1")
    assert "there is nothing to back up" in refused(empty, "backup", str(tmp_path / "b"))
