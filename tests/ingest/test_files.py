"""Files as a service: bytes first, then the row; whatever fails, neither is left without the other."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from sqlalchemy import Connection, select
from tests.files.file_store_contract import Broken, breaking, chunks_of
from tests.storage.builders import PROJECT

from understudy.errors import NoSuchFile, TooLarge, Unavailable
from understudy.files.base import FileFault, NoBytes
from understudy.ingest import files as module
from understudy.ingest.files import SENDING_S, Files, limited
from understudy.protocol.files import ExpiresAfter, FileObject
from understudy.storage import files as rows
from understudy.storage import loose_bytes
from understudy.storage.faults import InDoubt
from understudy.storage.rows import Window
from understudy.storage.schema import loose_bytes as loose_table
from understudy.storage.sqlite import SqliteStore
from understudy.testing import FakeClock, MemoryFileStore


async def create(files: Files, content: bytes = b"hello", name: str = "a.txt", **given: Any) -> FileObject:
    return await files.create(PROJECT, name, "vision", chunks_of(content), **given)


async def content_of(files: Files, file_id: str, project: str = PROJECT) -> bytes:
    return b"".join([chunk async for chunk in await files.content(project, file_id)])


async def loose(store: SqliteStore) -> list[str]:
    return await store.read(lambda connection: list(connection.execute(select(loose_table.c.key)).scalars()))


async def listed(store: SqliteStore, clock: FakeClock) -> list[str]:
    found, _ = await store.read(lambda connection: rows.list_page(connection, PROJECT, Window(100), clock.now()))
    return [file.id for file in found]


async def test_a_file_is_kept(files: Files, store: SqliteStore, clock: FakeClock) -> None:
    made = await create(files, "안녕".encode(), "인사 ../ 말.txt")
    assert (made.bytes, made.filename, made.purpose) == (6, "인사 ../ 말.txt", "vision")
    assert (made.created_at, made.expires_at, made.status) == (int(clock.now()), None, "processed")
    assert await files.find(PROJECT, made.id) == made
    assert await content_of(files, made.id) == "안녕".encode()
    assert await loose(store) == []


async def test_it_is_its_projects_alone(files: Files) -> None:
    made = await create(files)
    for reach in (files.find, files.content, files.delete):
        with pytest.raises(NoSuchFile, match=f"^No such File object: {made.id}$"):
            await reach("other", made.id)
    assert await content_of(files, made.id) == b"hello"


@pytest.mark.parametrize("kept", [True, False])
async def test_bytes_of_a_file_that_may_have_been_made_stay(
    files: Files, store: SqliteStore, file_store: MemoryFileStore, kept: bool
) -> None:
    """The database went away as it was to keep the row. Where it did not, the bytes are named for the upkeep."""

    async def write(change: Any) -> Any:
        if kept:
            await store.write(change)
        raise InDoubt

    received = await files.receive("file", chunks_of(b"hello"))
    with pytest.raises(InDoubt):
        await files.keep(PROJECT, received, "a.txt", "vision", write=write)
    assert list(file_store.kept) == [received.key]
    assert await loose(store) == ([] if kept else [received.key])


async def test_a_deleted_file_is_gone_with_its_bytes(
    files: Files, store: SqliteStore, file_store: MemoryFileStore
) -> None:
    made = await create(files)
    await files.delete(PROJECT, made.id)
    assert file_store.kept == {}
    assert await loose(store) == []
    for reach in (files.find, files.content, files.delete):
        with pytest.raises(NoSuchFile):
            await reach(PROJECT, made.id)


async def test_it_vanishes_at_its_hour(files: Files, store: SqliteStore, clock: FakeClock) -> None:
    made = await create(files, expires_after=ExpiresAfter(anchor="created_at", seconds=3600))
    assert made.expires_at == made.created_at + 3600
    clock.advance(3599)
    assert await listed(store, clock) == [made.id]
    clock.advance(1)
    assert await listed(store, clock) == []
    with pytest.raises(NoSuchFile):
        await files.content(PROJECT, made.id)


@pytest.mark.parametrize("size", [0, 100_000])
async def test_a_sender_that_breaks_off_leaves_nothing(
    files: Files, store: SqliteStore, file_store: MemoryFileStore, clock: FakeClock, size: int
) -> None:
    with pytest.raises(Broken):
        await files.create(PROJECT, "a.txt", "vision", breaking(b"x" * size))
    assert (file_store.kept, await loose(store), await listed(store, clock)) == ({}, [], [])


async def test_too_much_is_refused_as_it_comes(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_FILE_BYTES", 2**20)
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        while True:
            sent += 65_536
            yield bytes(65_536)

    with pytest.raises(TooLarge, match=r"^File is too large\. It may have 1048576 bytes \(1 MB\) at most\.$"):
        await files.create(PROJECT, "a.txt", "vision", endless())
    assert sent == 2**20 + 65_536
    assert (await create(files, bytes(2**20))).bytes == 2**20


async def test_limits_pass_all_up_to_them() -> None:
    assert b"".join([chunk async for chunk in limited(chunks_of(b"x" * 100, 7), 100)]) == b"x" * 100


async def test_a_row_that_cannot_be_written_takes_the_bytes_with_it(
    files: Files, store: SqliteStore, file_store: MemoryFileStore
) -> None:
    received = await files.receive("file", chunks_of(b"hello"))
    assert file_store.kept == {received.key: b"hello"}

    async def refuse(change: Any) -> FileObject:
        raise Broken

    with pytest.raises(Broken):
        await files.keep(PROJECT, received, "a.txt", "vision", None, refuse)
    assert (file_store.kept, await loose(store)) == ({}, [])


async def test_bytes_are_noted_before_they_come(files: Files, store: SqliteStore, clock: FakeClock) -> None:
    """A crash at any moment leaves nothing that nobody knows of."""
    seen: list[str] = []

    async def chunks() -> AsyncIterator[bytes]:
        seen.extend(await loose(store))
        yield b"x"

    received = await files.receive("file", chunks())
    assert seen == [received.key]

    def due(connection: Connection, now: float) -> list[str]:
        return loose_bytes.due(connection, now, 10)

    assert await store.read(lambda connection: due(connection, clock.now() + SENDING_S - 1)) == []
    assert await store.read(lambda connection: due(connection, clock.now() + SENDING_S)) == [received.key]


async def test_bytes_that_were_given_up_meanwhile_make_no_file(
    files: Files, store: SqliteStore, clock: FakeClock
) -> None:
    received = await files.receive("file", chunks_of(b"hello"))
    await store.write(lambda connection: loose_bytes.forget(connection, [received.key]))
    with pytest.raises(Unavailable, match="on its way for too long"):
        await files.keep(PROJECT, received, "a.txt", "vision")
    assert await listed(store, clock) == []


async def test_a_file_store_that_fails(
    files: Files, store: SqliteStore, file_store: MemoryFileStore, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    made = await create(files)
    file_store.fault = FileFault("no disk")
    with pytest.raises(FileFault, match="no disk"):
        await create(files)
    with pytest.raises(FileFault, match="no disk"):
        await files.content(PROJECT, made.id)
    assert await listed(store, clock) == [made.id]
    await files.delete(PROJECT, made.id)
    assert "could not be removed yet. no disk" in caplog.text
    assert made.id in await loose(store), "the upkeep will know of it"
    assert await listed(store, clock) == []


async def test_bytes_that_somebody_took_away_are_told(files: Files, file_store: MemoryFileStore) -> None:
    made = await create(files)
    file_store.kept.clear()
    with pytest.raises(NoBytes, match=f"The bytes of {made.id} are gone"):
        await files.content(PROJECT, made.id)


async def test_all_who_use_a_file_hear_of_its_end(
    store: SqliteStore, file_store: MemoryFileStore, clock: FakeClock
) -> None:
    heard: list[tuple[str, str]] = []

    def forget(connection: Connection, project: str, file_id: str) -> None:
        assert connection.in_transaction()
        heard.append((project, file_id))

    files = Files(store, file_store, clock, [forget])
    one, two = await create(files), await create(files, expires_after=ExpiresAfter(anchor="created_at", seconds=3600))
    await files.delete(PROJECT, one.id)
    assert heard == [(PROJECT, one.id)]
    clock.advance(3600)
    assert await files.bury_expired(10) == 1
    assert heard == [(PROJECT, one.id), (PROJECT, two.id)]


async def test_a_forgetter_that_fails_keeps_the_file(
    store: SqliteStore, file_store: MemoryFileStore, clock: FakeClock
) -> None:
    def forget(connection: Connection, project: str, file_id: str) -> None:
        raise Broken

    files = Files(store, file_store, clock, [forget])
    made = await create(files)
    with pytest.raises(Broken):
        await files.delete(PROJECT, made.id)
    assert await content_of(files, made.id) == b"hello"


async def test_many_at_once(files: Files, store: SqliteStore, clock: FakeClock) -> None:
    made = await asyncio.gather(*(create(files, b"%d" % number) for number in range(30)))
    assert [await content_of(files, file.id) for file in made] == [b"%d" % number for number in range(30)]
    assert len(await listed(store, clock)) == 30
