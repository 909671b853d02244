"""What every FileStore must do. Each adapter's tests collect these classes with a `files` fixture of their own."""

import asyncio
import hashlib
from collections.abc import AsyncIterator

import pytest

from understudy.files.base import FileStore, NoBytes

KEY = "file-abc"
LARGE = 13 * 1024 * 1024 + 7  # more than two of the pieces that stores send at once


class Broken(Exception):
    pass


async def chunks_of(content: bytes, size: int = 65_536) -> AsyncIterator[bytes]:
    for start in range(0, len(content), size):
        yield content[start : start + size]


async def read(files: FileStore, key: str = KEY) -> bytes:
    return b"".join([chunk async for chunk in await files.get(key)])


async def breaking(content: bytes) -> AsyncIterator[bytes]:
    async for chunk in chunks_of(content):
        yield chunk
    raise Broken


class BytesComeBackAsTheyWere:
    @pytest.mark.parametrize("content", [b"", b"a", bytes(range(256)) * 300, "안녕 你好 ñ".encode()])
    async def test_small(self, files: FileStore, content: bytes) -> None:
        assert await files.put(KEY, chunks_of(content)) == len(content)
        assert await read(files) == content

    async def test_large_and_in_uneven_chunks(self, files: FileStore) -> None:
        content = bytes(range(251)) * (LARGE // 251)
        assert await files.put(KEY, chunks_of(content, 100_003)) == len(content)
        assert hashlib.sha256(await read(files)).digest() == hashlib.sha256(content).digest()

    async def test_empty_chunks_do_no_harm(self, files: FileStore) -> None:
        async def chunks() -> AsyncIterator[bytes]:
            for chunk in (b"", b"a", b"", b"b", b""):
                yield chunk

        assert await files.put(KEY, chunks()) == 2
        assert await read(files) == b"ab"

    async def test_a_second_put_replaces_the_first(self, files: FileStore) -> None:
        await files.put(KEY, chunks_of(b"first and longer"))
        await files.put(KEY, chunks_of(b"second"))
        assert await read(files) == b"second"

    async def test_keys_do_not_get_into_each_others_way(self, files: FileStore) -> None:
        keys = [f"file-{number}" for number in range(20)]
        await asyncio.gather(*(files.put(key, chunks_of(key.encode())) for key in keys))
        assert [await read(files, key) for key in keys] == [key.encode() for key in keys]

    async def test_several_readers_of_one(self, files: FileStore) -> None:
        content = b"x" * 1_000_000
        await files.put(KEY, chunks_of(content))
        assert await asyncio.gather(*(read(files) for _ in range(5))) == [content] * 5

    async def test_a_reader_may_leave_midway(self, files: FileStore) -> None:
        await files.put(KEY, chunks_of(b"x" * 1_000_000))
        async for chunk in await files.get(KEY):
            assert chunk
            break
        assert len(await read(files)) == 1_000_000


class PutsAreAllOrNothing:
    @pytest.mark.parametrize("size", [0, 10, LARGE])
    async def test_what_breaks_midway_leaves_nothing(self, files: FileStore, size: int) -> None:
        with pytest.raises(Broken):
            await files.put(KEY, breaking(b"x" * size))
        with pytest.raises(NoBytes):
            await files.get(KEY)

    async def test_what_breaks_midway_leaves_the_former_bytes(self, files: FileStore) -> None:
        await files.put(KEY, chunks_of(b"former"))
        with pytest.raises(Broken):
            await files.put(KEY, breaking(b"x" * LARGE))
        assert await read(files) == b"former"

    async def test_what_is_cancelled_leaves_nothing(self, files: FileStore) -> None:
        sent = asyncio.Event()

        async def stuck() -> AsyncIterator[bytes]:
            yield b"x" * LARGE
            sent.set()
            await asyncio.sleep(60)

        putting = asyncio.create_task(files.put(KEY, stuck()))
        await sent.wait()
        putting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await putting
        with pytest.raises(NoBytes):
            await files.get(KEY)


class WhatIsNotThere:
    async def test_is_said_at_once(self, files: FileStore) -> None:
        with pytest.raises(NoBytes, match=KEY):
            await files.get(KEY)

    async def test_is_told_from_what_is_there(self, files: FileStore) -> None:
        await files.put(KEY, chunks_of(b""))
        assert [await files.has(key) for key in (KEY, "file-other")] == [True, False]

    async def test_is_deleted_in_peace(self, files: FileStore) -> None:
        await files.delete(KEY)

    async def test_is_gone_after_a_delete(self, files: FileStore) -> None:
        await files.put(KEY, chunks_of(b"bytes"))
        await files.delete(KEY)
        with pytest.raises(NoBytes):
            await files.get(KEY)

    async def test_a_tidy_store_stays_as_it_is(self, files: FileStore) -> None:
        await files.put(KEY, chunks_of(b"bytes"))
        assert await files.tidy(0) == 0
        assert await read(files) == b"bytes"


class PartsAreJoined:
    async def test_in_the_order_given(self, files: FileStore) -> None:
        await files.put("part_a", chunks_of(b"a" * 6_000_000))
        await files.put("part_b", chunks_of(b"b" * 6_000_000))
        assert await files.join(KEY, ["part_b", "part_a"]) == 12_000_000
        assert await read(files) == b"b" * 6_000_000 + b"a" * 6_000_000
        assert len(await read(files, "part_a")) == 6_000_000

    async def test_the_same_part_twice_and_none_at_all(self, files: FileStore) -> None:
        await files.put("part_a", chunks_of(b"ab"))
        assert await files.join(KEY, ["part_a", "part_a"]) == 4
        assert await read(files) == b"abab"
        assert await files.join(KEY, []) == 0
        assert await read(files) == b""

    async def test_a_missing_part_leaves_nothing(self, files: FileStore) -> None:
        await files.put("part_a", chunks_of(b"a"))
        with pytest.raises(NoBytes, match="part_b"):
            await files.join(KEY, ["part_a", "part_b"])
        with pytest.raises(NoBytes):
            await files.get(KEY)
