"""Bytes in a local folder: the contract of a FileStore, and what is a folder's own."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.contracts import contract
from tests.files import file_store_contract
from tests.files.file_store_contract import KEY, LARGE, Broken, breaking, chunks_of

from understudy.files.base import FileFault, NoBytes
from understudy.files.store import UrlFileStore

KILLED = """
import asyncio, sys
from understudy.files.store import UrlFileStore

async def chunks():
    for _ in range(400):
        yield b"x" * 65_536
    print("sent", flush=True)
    await asyncio.sleep(60)

asyncio.run(UrlFileStore(sys.argv[1]).put("file-killed", chunks()))
"""


def names(folder: Path) -> set[str]:
    return {file.name for file in folder.iterdir()} if folder.exists() else set()


def is_there(path: Path) -> bool:
    return path.exists()


def kill_midway(folder: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", KILLED, folder.as_uri()], stdout=subprocess.PIPE) as process:
        assert process.stdout
        assert process.stdout.readline() == b"sent\n"
        process.send_signal(signal.SIGKILL)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "a folder, with 안녕 & #1 in its name"


@pytest.fixture
def files(folder: Path) -> UrlFileStore:
    return UrlFileStore(folder.as_uri())


globals().update(contract(file_store_contract))


async def test_nothing_is_made_before_the_first_use(files: UrlFileStore, folder: Path) -> None:
    assert await files.tidy(0) == 0
    assert not is_there(folder)
    await files.put(KEY, chunks_of(b"x"))
    assert names(folder) == {KEY}


async def test_failures_leave_no_file_of_any_name(files: UrlFileStore, folder: Path) -> None:
    with pytest.raises(Broken):
        await files.put(KEY, breaking(b"x" * LARGE))
    assert names(folder) == set()


async def test_a_kill_leaves_what_is_tidied_later(files: UrlFileStore, folder: Path) -> None:
    await files.put(KEY, chunks_of(b"whole"))
    kill_midway(folder)
    assert names(folder) == {KEY, "file-killed#1"}
    with pytest.raises(NoBytes):
        await files.get("file-killed")
    assert await files.tidy(60) == 0, "somebody may be at it yet"
    old = time.time() - 61
    os.utime(folder / "file-killed#1", (old, old))
    assert await files.tidy(60) == 1
    assert names(folder) == {KEY}


async def test_a_folder_that_cannot_be_one(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    files = UrlFileStore((tmp_path / "file").as_uri())
    with pytest.raises(FileFault, match=r"File exists|Not a directory"):
        await files.put(KEY, chunks_of(b"x"))


async def test_a_full_disk_is_said(folder: Path) -> None:
    """A limit on the size of files stands for the full disk: the write fails in the same place."""
    script = f"""
import asyncio, resource, signal
from understudy.files.base import FileFault
from understudy.files.store import UrlFileStore
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (8_000_000, 8_000_000))

async def chunks():
    for _ in range(400):
        yield b"x" * 65_536

async def main():
    try:
        await UrlFileStore({folder.as_uri()!r}).put("file-a", chunks())
    except FileFault as fault:
        print(fault)

asyncio.run(main())
"""
    done = await asyncio.to_thread(subprocess.run, [sys.executable, "-c", script], capture_output=True, text=True)
    assert "File too large" in done.stdout, done
    assert done.stdout.count("\n") == 1
    assert names(folder) == set()


async def test_memory_does_not_grow_with_the_file(files: UrlFileStore) -> None:
    async def chunks(count: int) -> AsyncIterator[bytes]:
        for _ in range(count):
            yield bytes(65_536)

    await files.put("file-warm", chunks(400))
    before = _resident()
    await files.put(KEY, chunks(3_200))  # 200 MiB
    size = 0
    async for chunk in await files.get(KEY):
        size += len(chunk)
    assert size == 3_200 * 65_536
    assert _resident() - before < 48 * 2**20


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


async def test_its_health(files: UrlFileStore, folder: Path, tmp_path: Path) -> None:
    await files.check()
    assert files.kind == "folder"
    (tmp_path / "file").write_text("")
    with pytest.raises(FileFault, match="which failed"):
        await UrlFileStore((tmp_path / "file" / "below").as_uri()).check()
