"""Uploads: parts in any order, put together in the order that is asked for, once."""

import asyncio
import hashlib
from typing import Any

import pytest
from tests.files.file_store_contract import chunks_of
from tests.ingest.test_files import content_of, loose
from tests.storage.builders import PROJECT

from understudy.errors import ApiError, InvalidRequest, NotFound
from understudy.files.base import FileFault
from understudy.ingest.files import Files
from understudy.ingest.uploads import Uploads
from understudy.protocol.uploads import UPLOAD_LIFE_S, CompleteUpload, CreateUpload, Upload
from understudy.storage.sqlite import SqliteStore
from understudy.testing import FakeClock, MemoryFileStore


async def opened(uploads: Uploads, size: int = 6, **given: Any) -> Upload:
    values = {"filename": "big.bin", "purpose": "assistants", "bytes": size, "mime_type": "text/plain"}
    return await uploads.create(PROJECT, CreateUpload.model_validate(values | given))


@pytest.fixture
def send(uploads: Uploads, files: Files) -> Any:
    async def send(upload: Upload, *contents: bytes, project: str = PROJECT) -> list[str]:
        sent = []
        for content in contents:
            received = await files.receive("part", chunks_of(content))
            sent.append((await uploads.add_part(project, upload.id, received)).id)
        return sent

    return send


async def complete(uploads: Uploads, upload: Upload, part_ids: list[str], md5: str | None = None) -> Upload:
    return await uploads.complete(PROJECT, upload.id, CompleteUpload(part_ids=part_ids, md5=md5))


async def test_parts_become_a_file_in_the_order_given(
    uploads: Uploads, files: Files, store: SqliteStore, file_store: MemoryFileStore, clock: FakeClock, send: Any
) -> None:
    upload = await opened(uploads)
    assert (upload.status, upload.file, upload.bytes) == ("pending", None, 6)
    assert upload.expires_at == upload.created_at + UPLOAD_LIFE_S
    parts = await send(upload, b"def", b"abc")
    clock.advance(5)
    done = await complete(uploads, upload, parts[::-1], hashlib.md5(b"abcdef").hexdigest())
    assert done.status == "completed"
    assert done.file is not None
    assert (done.file.filename, done.file.bytes, done.file.purpose) == ("big.bin", 6, "assistants")
    assert done.file.created_at == upload.created_at + 5
    assert await content_of(files, done.file.id) == b"abcdef"
    assert list(file_store.kept) == [done.file.id], "the parts are not kept beside it"
    assert await loose(store) == []


async def test_parts_that_are_not_named_are_left_out(uploads: Uploads, files: Files, send: Any) -> None:
    upload = await opened(uploads, 3)
    parts = await send(upload, b"wrong", b"abc")
    done = await complete(uploads, upload, parts[1:])
    assert done.file is not None
    assert await content_of(files, done.file.id) == b"abc"


async def test_an_empty_file(uploads: Uploads, files: Files) -> None:
    done = await complete(uploads, await opened(uploads, 0), [])
    assert done.file is not None
    assert await content_of(files, done.file.id) == b""


async def test_the_file_may_vanish_later(uploads: Uploads, send: Any) -> None:
    upload = await opened(uploads, expires_after={"anchor": "created_at", "seconds": 3600})
    done = await complete(uploads, upload, await send(upload, b"abcdef"))
    assert done.file is not None
    assert done.file.expires_at == done.file.created_at + 3600


async def refused(uploads: Uploads, upload: Upload, part_ids: list[str], md5: str | None = None) -> ApiError:
    with pytest.raises(ApiError) as caught:
        await complete(uploads, upload, part_ids, md5)
    return caught.value


async def test_what_does_not_add_up_is_refused_and_may_be_mended(
    uploads: Uploads, files: Files, file_store: MemoryFileStore, send: Any
) -> None:
    upload = await opened(uploads)
    parts = await send(upload, b"abc", b"defg", b"def")
    before = dict(file_store.kept)
    size = await refused(uploads, upload, parts[:2])
    assert size.message == "The parts have 7 bytes together, but the upload was created for 6 bytes."
    twice = await refused(uploads, upload, [parts[0], parts[0]])
    assert "named twice" in twice.message
    never = await refused(uploads, upload, [parts[0], "part_never"])
    assert (never.status, never.message) == (404, "No upload part found with id 'part_never'.")
    sums = await refused(uploads, upload, [parts[0], parts[2]], "0" * 32)
    found = hashlib.md5(b"abcdef").hexdigest()
    assert (sums.param, sums.message) == ("md5", f"The md5 checksum of the parts is {found}, not {'0' * 32}.")
    assert file_store.kept == before
    done = await complete(uploads, upload, [parts[0], parts[2]], found.upper())
    assert done.status == "completed"


async def test_parts_of_another_upload_are_none_of_this(uploads: Uploads, send: Any) -> None:
    one, two = await opened(uploads), await opened(uploads)
    parts = await send(one, b"abcdef")
    assert (await refused(uploads, two, parts)).status == 404


async def test_an_upload_is_its_projects_alone(uploads: Uploads, files: Files, send: Any) -> None:
    upload = await opened(uploads)
    text = f"^No upload found with id '{upload.id}'"
    with pytest.raises(NotFound, match=text):
        await send(upload, b"abc", project="other")
    with pytest.raises(NotFound, match=text):
        await uploads.expect_part("other", upload.id)
    with pytest.raises(NotFound, match=text):
        await uploads.cancel("other", upload.id)
    with pytest.raises(NotFound, match=text):
        await uploads.complete("other", upload.id, CompleteUpload(part_ids=[]))


async def ended(uploads: Uploads, how: str, clock: FakeClock, send: Any) -> Upload:
    upload = await opened(uploads)
    parts = await send(upload, b"abcdef")
    if how == "completed":
        return await complete(uploads, upload, parts)
    if how == "cancelled":
        return await uploads.cancel(PROJECT, upload.id)
    clock.advance(UPLOAD_LIFE_S)
    return upload


@pytest.mark.parametrize("how", ["completed", "cancelled", "expired"])
async def test_an_ended_upload_takes_nothing_more(
    uploads: Uploads, file_store: MemoryFileStore, clock: FakeClock, send: Any, how: str
) -> None:
    upload = await ended(uploads, how, clock, send)
    before = dict(file_store.kept)
    text = f"^Upload {upload.id} has status '{how}' and cannot"
    with pytest.raises(InvalidRequest, match=f"{text} take parts"):
        await uploads.expect_part(PROJECT, upload.id)
    with pytest.raises(InvalidRequest, match=f"{text} take parts"):
        await send(upload, b"late")
    with pytest.raises(InvalidRequest, match=f"{text} be completed"):
        await complete(uploads, upload, [])
    with pytest.raises(InvalidRequest, match=f"{text} be cancelled"):
        await uploads.cancel(PROJECT, upload.id)
    assert file_store.kept == before


async def test_a_cancelled_upload_gives_its_parts_up(uploads: Uploads, store: SqliteStore, send: Any) -> None:
    upload = await opened(uploads)
    parts = await send(upload, b"abc", b"def")
    done = await uploads.cancel(PROJECT, upload.id)
    assert (done.status, done.file) == ("cancelled", None)
    assert sorted(await loose(store)) == sorted(parts)


async def test_of_two_who_complete_at_once_one_does(uploads: Uploads, file_store: MemoryFileStore, send: Any) -> None:
    upload = await opened(uploads)
    parts = await send(upload, b"abcdef")
    tries = [complete(uploads, upload, parts) for _ in range(4)]
    outcomes = await asyncio.gather(*tries, return_exceptions=True)
    done = [outcome for outcome in outcomes if isinstance(outcome, Upload)]
    assert len(done) == 1
    assert done[0].file is not None
    assert list(file_store.kept) == [done[0].file.id]


async def test_a_file_store_that_fails_leaves_the_upload_as_it_was(
    uploads: Uploads, file_store: MemoryFileStore, send: Any
) -> None:
    upload = await opened(uploads)
    parts = await send(upload, b"abcdef")
    file_store.fault = FileFault("no disk")
    with pytest.raises(FileFault):
        await complete(uploads, upload, parts)
    file_store.fault = None
    assert (await complete(uploads, upload, parts)).status == "completed"


async def test_it_says_that_it_is_busy(uploads: Uploads, send: Any) -> None:
    upload = await opened(uploads, 200_000)
    parts = await send(upload, b"x" * 200_000)
    said = []
    await uploads.complete(PROJECT, upload.id, CompleteUpload(part_ids=parts), busy=lambda: said.append(1))
    assert len(said) >= 4
