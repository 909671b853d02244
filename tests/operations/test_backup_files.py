"""The bytes of files in backups: those of all rows, and no others."""

import json
import threading
import time
from pathlib import Path

from tests.api import forms
from tests.conftest import MakeServer
from tests.harness.server import Server
from tests.harness.upstream import Upstream
from tests.harness.wire import Json, Wire
from tests.operations.test_backup import refused, run


def upload(wire: Wire, content: bytes) -> str:
    return wire.send_file("/files", "file", content, purpose="vision")["id"]


def contents(wire: Wire) -> dict[str, bytes]:
    files = wire.read("/files")["data"]
    return {file["id"]: wire.get(f"/files/{file['id']}/content").content for file in files}


def manifest(backup: Path) -> Json:
    return json.loads((backup / "manifest.json").read_text())


def test_files_come_back_elsewhere(make_server: MakeServer, upstream: Upstream, tmp_path: Path) -> None:
    server = make_server()
    wire = server.wire()
    kept = {upload(wire, b"%d" % number * 1000): b"%d" % number * 1000 for number in range(5)}
    wire.delete(f"/files/{upload(wire, b'deleted')}")
    begun = wire.make("/uploads", {"filename": "a", "purpose": "vision", "bytes": 6, "mime_type": "text/plain"})
    part = wire.send_file(f"/uploads/{begun['id']}/parts", "data", b"abcdef")["id"]
    done = run(server, "backup", str(tmp_path / "backup"))
    assert (done.returncode, done.stderr) == (0, "")
    assert "and the bytes of 6 files" in done.stdout
    wire.delete(f"/files/{next(iter(kept))}")
    other = Server(tmp_path / "other", upstream.url)
    done = run(other, "restore", str(tmp_path / "backup"))
    assert "with the bytes of 6 files" in done.stdout, done.stderr
    there = other.start().wire()
    assert contents(there) == kept
    completed = there.make(f"/uploads/{begun['id']}/complete", {"part_ids": [part]})
    assert there.get(f"/files/{completed['file']['id']}/content").content == b"abcdef"
    other.close()


def test_a_restore_replaces_what_came_later(make_server: MakeServer, tmp_path: Path) -> None:
    server = make_server()
    wire = server.wire()
    kept = upload(wire, b"kept")
    assert run(server, "backup", str(tmp_path / "backup")).returncode == 0
    later = upload(wire, b"later")
    wire.delete(f"/files/{kept}")
    (server.data_dir / "files" / "notes.txt").write_text("somebody's own")
    server.kill()
    done = run(server, "restore", str(tmp_path / "backup"), "--force")
    assert done.returncode == 0, done.stderr
    assert contents(server.start().wire()) == {kept: b"kept"}
    names = {file.name for file in (server.data_dir / "files").iterdir()}
    assert names == {kept, "notes.txt"}, later


def test_damaged_bytes_are_refused(make_server: MakeServer, tmp_path: Path) -> None:
    server = make_server()
    file_id = upload(server.wire(), b"kept")
    assert run(server, "backup", str(tmp_path / "backup")).returncode == 0
    copy = tmp_path / "backup" / "files" / file_id
    copy.write_bytes(b"kepT")
    fresh = Server(tmp_path / "fresh", "http://127.0.0.1:9/v1")
    assert f"is damaged: files/{file_id} is not the file" in refused(fresh, "restore", str(tmp_path / "backup"))
    copy.unlink()
    assert "is not whole" in refused(fresh, "restore", str(tmp_path / "backup"))
    assert not (fresh.data_dir / "files").exists()


def test_a_backup_while_files_come_and_go(make_server: MakeServer, upstream: Upstream, tmp_path: Path) -> None:
    """Each row in it has its bytes, unless the file came and went while it was made: then the manifest says so."""
    server = make_server()
    stop = threading.Event()

    def churn() -> None:
        wire = Wire(server.url)
        mine: list[str] = []
        while not stop.is_set():
            mine.append(upload(wire, b"x" * 50_000))
            time.sleep(0.02)
            if len(mine) > 10:
                wire.delete(f"/files/{mine.pop(0)}")
        wire.close()

    clients = [threading.Thread(target=churn) for _ in range(2)]
    for client in clients:
        client.start()
    done = run(server, "backup", str(tmp_path / "backup"))
    stop.set()
    for client in clients:
        client.join()
    assert done.returncode == 0, done
    made = manifest(tmp_path / "backup")
    other = Server(tmp_path / "other", upstream.url)
    assert run(other, "restore", str(tmp_path / "backup")).returncode == 0
    wire = other.start().wire()
    listed = {file["id"] for file in wire.read("/files")["data"]}
    copied = {name.partition("/")[2] for name in made["files"]} - {""}
    assert listed - set(made["missing"]) == copied
    assert all(wire.get(f"/files/{file_id}/content").content == b"x" * 50_000 for file_id in copied)
    other.close()


def test_bytes_in_a_bucket_are_not_in_it(make_server: MakeServer, tmp_path: Path) -> None:
    server = make_server()
    server.environment["UNDERSTUDY_FILES_URL"] = "s3://bucket/files"
    done = run(server, "backup", str(tmp_path / "backup"))
    assert "the bytes of files lie in s3://bucket/files, and are not in it" in done.stdout, done.stderr
    assert manifest(tmp_path / "backup")["files"].keys() == {"database.sqlite3"}


def test_a_folder_elsewhere(make_server: MakeServer, tmp_path: Path) -> None:
    server = make_server(UNDERSTUDY_FILES_URL=(tmp_path / "bytes & more").as_uri())
    answer = server.wire().http.post("/files", content=forms.body(*forms.usual()), headers=forms.headers()).json()
    assert {file.name for file in (tmp_path / "bytes & more").iterdir()} == {answer["id"]}
    assert "and the bytes of 1 files" in run(server, "backup", str(tmp_path / "backup")).stdout
