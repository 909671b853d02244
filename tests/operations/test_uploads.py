"""What large files cost a server: memory that does not grow with them, and nobody else's time."""

import os
import socket
import sqlite3
import threading
import time
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from tests.api import forms
from tests.conftest import MakeServer
from tests.harness.server import Server

MB = 2**20
GROWTH = 64 * MB
LARGEST = 512 * MB


class Memory:
    """The most memory that a process has had since this was made."""

    def __init__(self, pid: int) -> None:
        self._status = Path(f"/proc/{pid}/status")
        Path(f"/proc/{pid}/clear_refs").write_text("5")  # begins the high-water mark anew
        self._before = self._peak()

    @property
    def growth(self) -> int:
        return self._peak() - self._before

    def _peak(self) -> int:
        lines = dict(line.split(":", 1) for line in self._status.read_text().splitlines())
        return int(lines["VmHWM"].split()[0]) * 1024


def send_file(server: Server, size: int, part_of: str | None = None) -> bytes:
    """Upload so many zeroes, as a file or as a part, without holding them here either; return the answer."""
    place = urlsplit(server.url)
    path = "/v1/files" if part_of is None else f"/v1/uploads/{part_of}/parts"
    whole = forms.body(*forms.usual("")) if part_of is None else forms.body(forms.file("", name="data"))
    tail = b"\r\n--" + forms.BOUNDARY.encode() + b"--\r\n"
    front = whole[: -len(tail)]
    head = [
        f"POST {path} HTTP/1.1",
        "host: localhost",
        "authorization: Bearer k",
        f"content-type: {forms.headers()['content-type']}",
        f"content-length: {len(whole) + size}",
        "connection: close",
    ]
    with socket.create_connection((place.hostname, place.port), timeout=120) as connection:
        connection.sendall("\r\n".join([*head, "", ""]).encode() + front)
        piece = bytes(MB)
        for _ in range(size // MB):
            connection.sendall(piece)
        connection.sendall(bytes(size % MB) + tail)
        return b"".join(iter(lambda: connection.recv(65_536), b""))


def warm(server: Server) -> None:
    """Let everything be imported that an upload needs."""
    assert b" 200 OK" in send_file(server, 12 * MB)


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="measured on Linux only")
@pytest.mark.parametrize("size", [128 * MB, pytest.param(LARGEST, marks=pytest.mark.slow)])
@pytest.mark.timeout(300)
def test_a_large_file_costs_little_memory(make_server: MakeServer, size: int) -> None:
    server = make_server()
    warm(server)
    memory = Memory(server.pid)
    answer = send_file(server, size)
    assert b" 200 OK" in answer
    assert b'"bytes":%d' % size in answer
    growth = memory.growth
    assert growth <= GROWTH, f"{growth // MB} MB for an upload of {size // MB} MB"
    file_id = answer.split(b'"id":"')[1].split(b'"')[0].decode()
    memory = Memory(server.pid)
    wire = server.wire()
    with wire.http.stream("GET", f"/files/{file_id}/content") as content:
        assert sum(len(chunk) for chunk in content.iter_bytes()) == size
    assert memory.growth <= GROWTH, f"{memory.growth // MB} MB for a download of {size // MB} MB"


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_file_beyond_the_limit(make_server: MakeServer) -> None:
    server = make_server()
    answer = send_file(server, LARGEST + 1)
    assert b" 413 " in answer
    assert b"File is too large. It may have 536870912 bytes (512 MB) at most." in answer
    assert list((server.data_dir / "files").iterdir()) == []


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="measured on Linux only")
@pytest.mark.timeout(300)
def test_an_upload_in_parts_costs_little_memory_too(make_server: MakeServer) -> None:
    server = make_server()
    warm(server)
    wire = server.wire()
    given = {"filename": "a.bin", "purpose": "vision", "bytes": 128 * MB, "mime_type": "text/plain"}
    upload = wire.make("/uploads", given)
    memory = Memory(server.pid)
    parts = []
    for _ in range(2):
        answer = send_file(server, 64 * MB, upload["id"])
        parts.append(answer.split(b'"id":"')[1].split(b'"')[0].decode())
    done = wire.make(f"/uploads/{upload['id']}/complete", {"part_ids": parts})
    assert done["file"]["bytes"] == 128 * MB
    assert memory.growth <= GROWTH, f"{memory.growth // MB} MB"
    assert {file.name for file in (server.data_dir / "files").iterdir()} >= {done["file"]["id"]}
    assert not {file.name for file in (server.data_dir / "files").iterdir()} & set(parts)


def test_others_are_served_meanwhile(make_server: MakeServer) -> None:
    server = make_server()
    warm(server)
    uploading = threading.Thread(target=send_file, args=[server, 96 * MB])
    uploading.start()
    wire, waits = server.wire(), []
    while uploading.is_alive():
        began = time.monotonic()
        wire.make("/threads")
        waits.append(time.monotonic() - began)
    uploading.join()
    assert len(waits) >= 3
    assert sorted(waits)[len(waits) // 2] < 0.5, waits


def test_a_kill_in_the_midst_leaves_no_bytes_after_the_next_start(make_server: MakeServer) -> None:
    server = make_server()
    wire = server.wire()
    kept = wire.http.post("/files", content=forms.body(*forms.usual()), headers=forms.headers()).json()
    threading.Thread(target=quietly(lambda: send_file(server, 64 * MB)), daemon=True).start()
    folder = server.data_dir / "files"
    wait_until(lambda: any(file.stat().st_size > 4 * MB for file in folder.iterdir()))
    server.kill()
    assert len(list(folder.iterdir())) == 2
    old = time.time() - 25 * 3600
    for file in folder.iterdir():
        if "#" in file.name:
            os.utime(file, (old, old))
    server.start()
    wait_until(lambda: {file.name for file in folder.iterdir()} == {kept["id"]})
    assert server.wire().read(f"/files/{kept['id']}") == kept


def test_bytes_whose_row_never_came_go_at_the_next_start(make_server: MakeServer) -> None:
    """As a kill between the last byte and the row would leave them."""
    server = make_server()
    wire = server.wire()
    upload = wire.make("/uploads", {"filename": "a", "purpose": "vision", "bytes": 5, "mime_type": "text/plain"})
    send_file(server, 5, upload["id"])
    [part] = (server.data_dir / "files").iterdir()
    server.kill()
    adopt(server.data_dir / "understudy.sqlite3", part.name)
    server.start()
    wait_until(lambda: not part.exists())


def adopt(database: Path, key: str) -> None:
    """Turn a part back into bytes that are still on their way."""
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("DELETE FROM upload_parts WHERE id = ?", [key])
        connection.execute("INSERT INTO loose_bytes VALUES (?, ?)", [key, time.time() + 86_400])


def quietly(act: Callable[[], object]) -> Callable[[], None]:
    def acting() -> None:
        with suppress(OSError):
            act()

    return acting


def wait_until(condition: Callable[[], bool], within_s: float = 20.0) -> None:
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.02)
