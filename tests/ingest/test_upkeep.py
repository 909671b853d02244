"""What nobody needs any more goes: past its hour, or owned by no row."""

import asyncio
import os
from pathlib import Path
from typing import Any

import pytest
from tests.files.file_store_contract import chunks_of
from tests.ingest.test_files import create, listed, loose
from tests.ingest.test_uploads import opened, send  # noqa: F401
from tests.storage.builders import PROJECT

from understudy.errors import InvalidRequest
from understudy.files.base import FileFault
from understudy.files.store import UrlFileStore
from understudy.ingest import upkeep as module
from understudy.ingest.files import SENDING_S, Files
from understudy.ingest.upkeep import Upkeep
from understudy.ingest.uploads import Uploads
from understudy.protocol.files import ExpiresAfter
from understudy.protocol.uploads import UPLOAD_LIFE_S
from understudy.storage import loose_bytes
from understudy.storage.sqlite import SqliteStore
from understudy.testing import FakeClock, MemoryFileStore

HOUR = ExpiresAfter(anchor="created_at", seconds=3600)


@pytest.fixture
def upkeep(store: SqliteStore, file_store: MemoryFileStore, files: Files, clock: FakeClock) -> Upkeep:
    return Upkeep(store, file_store, files, clock)


async def test_expired_files_go_with_their_bytes(
    upkeep: Upkeep,
    files: Files,
    file_store: MemoryFileStore,
    store: SqliteStore,
    clock: FakeClock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "BATCH", 3)
    kept = await create(files)
    for _ in range(8):
        await create(files, expires_after=HOUR)
    await upkeep.sweep()
    assert len(file_store.kept) == 9
    clock.advance(3600)
    await upkeep.sweep()
    assert list(file_store.kept) == [kept.id]
    assert await listed(store, clock) == [kept.id]
    assert await loose(store) == []


async def test_expired_uploads_go_with_their_parts(
    upkeep: Upkeep,
    uploads: Uploads,
    file_store: MemoryFileStore,
    clock: FakeClock,
    send: Any,  # noqa: F811
) -> None:
    old = await opened(uploads)
    await send(old, b"abc", b"def")
    clock.advance(UPLOAD_LIFE_S - 1)
    young = await opened(uploads)
    parts = await send(young, b"ghi")
    clock.advance(1)
    await upkeep.sweep()
    assert list(file_store.kept) == parts
    with pytest.raises(InvalidRequest, match="has status 'expired'"):
        await uploads.cancel(PROJECT, old.id)


async def test_bytes_that_nobody_came_to_own(
    upkeep: Upkeep, files: Files, file_store: MemoryFileStore, store: SqliteStore, clock: FakeClock
) -> None:
    await files.receive("file", chunks_of(b"left behind"))
    await upkeep.sweep()
    assert len(file_store.kept) == 1, "somebody may be about to own it"
    clock.advance(SENDING_S)
    await upkeep.sweep()
    assert (file_store.kept, await loose(store)) == ({}, [])


async def test_a_new_start_gives_up_what_was_on_its_way(
    upkeep: Upkeep, files: Files, file_store: MemoryFileStore, store: SqliteStore, clock: FakeClock
) -> None:
    await files.receive("file", chunks_of(b"left behind"))
    assert await store.write(lambda connection: loose_bytes.give_up(connection, clock.now())) == 1
    await upkeep.sweep()
    assert file_store.kept == {}


async def test_what_could_not_be_removed_is_removed_later(
    upkeep: Upkeep, files: Files, file_store: MemoryFileStore, store: SqliteStore
) -> None:
    made = await create(files)
    file_store.fault = FileFault("no disk")
    await files.delete(PROJECT, made.id)
    with pytest.raises(FileFault):
        await upkeep.sweep()
    assert file_store.kept.keys() == {made.id}
    file_store.fault = None
    await upkeep.sweep()
    assert (file_store.kept, await loose(store)) == ({}, [])


async def test_a_fault_is_told_once_and_does_not_end_it(
    upkeep: Upkeep, file_store: MemoryFileStore, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "EVERY_S", 0.001)
    file_store.fault = FileFault("no disk")
    going = asyncio.create_task(upkeep.serve())
    await asyncio.sleep(0.5)
    assert caplog.text.count("no disk") == 1
    assert not going.done()
    going.cancel()
    with pytest.raises(asyncio.CancelledError):
        await going


async def test_what_a_kill_left_in_the_folder_is_tidied(store: SqliteStore, clock: FakeClock, tmp_path: Path) -> None:
    folder = UrlFileStore((tmp_path / "bytes").as_uri())
    files = Files(store, folder, clock)
    made = await create(files)
    left = tmp_path / "bytes" / "file-killed#1"
    leave(left)
    await Upkeep(store, folder, files, clock).sweep()
    assert {file.name for file in in_folder(left.parent)} == {made.id}


def leave(file: Path) -> None:
    file.write_bytes(b"half")
    old = file.stat().st_mtime - SENDING_S - 1
    os.utime(file, (old, old))


def in_folder(folder: Path) -> list[Path]:
    return list(folder.iterdir())
