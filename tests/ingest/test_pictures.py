"""Files as pictures for a model."""

import base64

import pytest
from tests.files.file_store_contract import chunks_of
from tests.storage.builders import PROJECT

from understudy.files.base import FileFault
from understudy.ingest import pictures
from understudy.ingest.files import Files
from understudy.ingest.pictures import data_url
from understudy.testing import MemoryFileStore

PICTURES = {
    "image/png": b"\x89PNG\r\n\x1a\n" + bytes(90_000),
    "image/jpeg": b"\xff\xd8\xff\xe0rest",
    "image/gif": b"GIF89a....",
    "image/webp": b"RIFF\x00\x00\x00\x00WEBPVP8 ",
}


async def kept(files: Files, content: bytes, name: str = "a.png") -> str:
    return (await files.create(PROJECT, name, "vision", chunks_of(content))).id


@pytest.mark.parametrize("kind", PICTURES)
async def test_a_picture_is_told_by_its_bytes(files: Files, kind: str) -> None:
    url = await data_url(files, PROJECT, await kept(files, PICTURES[kind], "lies.bmp"))
    assert url is not None
    head, _, encoded = url.partition(",")
    assert head == f"data:{kind};base64"
    assert base64.b64decode(encoded) == PICTURES[kind]


@pytest.mark.parametrize("content", [b"", b"%PDF-1.7", b"RIFF1234WAVE", b"<svg/>", b"GIF"])
async def test_what_is_no_picture_is_none(files: Files, content: bytes) -> None:
    assert await data_url(files, PROJECT, await kept(files, content)) is None


async def test_what_is_not_there_is_none(files: Files, file_store: MemoryFileStore) -> None:
    file_id = await kept(files, PICTURES["image/png"])
    assert await data_url(files, "other", file_id) is None
    assert await data_url(files, PROJECT, "file-never") is None
    file_store.kept.clear()
    assert await data_url(files, PROJECT, file_id) is None


async def test_what_is_too_large_is_not_even_read(
    files: Files, file_store: MemoryFileStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    file_id = await kept(files, PICTURES["image/png"])
    monkeypatch.setattr(pictures, "MAX_PICTURE_BYTES", 90_000)
    file_store.fault = FileFault("nobody may read")
    assert await data_url(files, PROJECT, file_id) is None


async def test_a_fault_is_not_hidden(files: Files, file_store: MemoryFileStore) -> None:
    file_id = await kept(files, PICTURES["image/png"])
    file_store.fault = FileFault("no disk")
    with pytest.raises(FileFault, match="no disk"):
        await data_url(files, PROJECT, file_id)
