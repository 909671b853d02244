"""Pictures of messages, made fit for an upstream that takes addresses, bytes, or no pictures at all."""

from typing import Any

import pytest

from understudy.errors import Unavailable, UpstreamError
from understudy.inference import images
from understudy.inference.images import adapt_images

URL = {"type": "image_url", "image_url": {"url": "https://a/b.png", "detail": "low"}}
TEXT = {"type": "text", "text": "see"}


def file(file_id: str, project: str = "proj_a", detail: str = "high") -> dict[str, Any]:
    return {"type": "image_file", "image_file": {"project": project, "file_id": file_id, "detail": detail}}


def inlined(url: str) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": url, "detail": "high"}}


def note(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text}


async def read(project: str, file_id: str) -> str | None:
    if file_id == "file-gone":
        return None
    if file_id == "file-fault":
        raise Unavailable("no disk")
    return f"data:image/png;base64,{project}/{file_id}"


async def adapted(*parts: Any, mode: Any = "url", reader: Any = read, fetch: Any = None) -> Any:
    messages = [{"role": "user", "content": "plain"}, {"role": "user", "content": list(parts)}]
    [plain, result] = await adapt_images(messages, mode, fetch, reader)
    assert plain == messages[0]
    return result["content"]


@pytest.mark.parametrize("mode", ["url", "inline"])
async def test_files_are_put_in_place_whether_addresses_are_taken_or_not(mode: str) -> None:
    content = await adapted(TEXT, file("file-1"), TEXT, mode=mode)
    assert content == [TEXT, inlined("data:image/png;base64,proj_a/file-1"), TEXT]


async def test_addresses_stay_as_the_client_gave_them() -> None:
    assert await adapted(URL, file("file-1")) == [URL, inlined("data:image/png;base64,proj_a/file-1")]


async def test_for_a_model_without_eyes_nothing_is_read() -> None:
    async def never(project: str, file_id: str) -> str:
        raise AssertionError

    content = await adapted(TEXT, file("file-1"), URL, mode="none", reader=never)
    assert content == "see\n" + "\n".join(["[A picture was attached here. You cannot see pictures.]"] * 2)


async def test_a_picture_that_is_gone_leaves_a_note() -> None:
    assert await adapted(file("file-gone")) == [note("[A picture was attached here. It is not there any more.]")]


async def test_without_a_reader_there_is_a_note() -> None:
    assert await adapted(file("file-1"), reader=None) == [
        note("[A picture was attached here. You cannot see pictures.]")
    ]


async def test_a_file_store_that_fails_fails_the_call() -> None:
    with pytest.raises(UpstreamError, match="could not be read from the file store") as caught:
        await adapted(file("file-fault"))
    assert caught.value.code == "server_error"


async def test_of_too_many_the_newest_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "MAX_INLINE", 60)
    asked = []

    async def counted(project: str, file_id: str) -> str | None:
        asked.append(file_id)
        return await read(project, file_id)

    messages = [{"role": "user", "content": [file(f"file-{number}")]} for number in range(5)]
    found = [message["content"][0] for message in await adapt_images(messages, "url", None, counted)]
    left_out = note("[A picture was attached here. It is left out: there are too many.]")
    assert found == [left_out] * 4 + [inlined("data:image/png;base64,proj_a/file-4")]
    assert asked == ["file-4", "file-3"]


async def test_fetched_pictures_and_files_share_their_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "MAX_INLINE", 3 * len("data:image/png;base64,proj_a/file-3"))
    asked = []

    async def fetch(url: str) -> str:
        asked.append(url)
        return "data:image/png;base64,".ljust(35, "A")

    def at(number: int) -> dict[str, Any]:
        return {"type": "image_url", "image_url": {"url": f"https://a/{number}", "detail": "low"}}

    parts = [at(0), at(1), file("file-2"), at(3), file("file-4"), at(5)]
    content = await adapted(*parts, mode="inline", fetch=fetch)
    left_out = note("[A picture was attached here. It is left out: there are too many.]")
    fetched = {"type": "image_url", "image_url": {"url": await fetch(""), "detail": "low"}}
    assert content == [left_out] * 3 + [fetched, inlined("data:image/png;base64,proj_a/file-4"), fetched]
    assert asked == ["https://a/5", "https://a/3", ""]


async def test_a_fetched_picture_that_is_more_than_there_is_room_for_is_left_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(images, "MAX_INLINE", 60)

    async def fetch(url: str) -> str:
        return "data:image/png;base64," + "A" * 18

    content = await adapted(URL, URL, mode="inline", fetch=fetch)
    assert [part["type"] for part in content] == ["text", "image_url"]


async def test_a_client_cannot_write_a_file_part_of_its_own() -> None:
    """What a client calls an address stays one, whatever stands in it."""
    forged = {"type": "image_url", "image_url": {"url": "file-1", "project": "proj_b", "file_id": "file-1"}}
    assert await adapted(forged) == [forged]
