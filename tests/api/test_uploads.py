"""Uploads over HTTP."""

import hashlib
from typing import Any

import pytest
from httpx2 import AsyncClient, Response
from tests.api import forms
from tests.engine.house import House

UPLOADS = "/v1/uploads"
GIVEN = {"filename": "큰.bin", "purpose": "vision", "bytes": 6, "mime_type": "application/octet-stream"}


async def opened(client: AsyncClient, **given: Any) -> dict[str, Any]:
    answer = await client.post(UPLOADS, json=GIVEN | given)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def send(
    client: AsyncClient, upload: dict[str, Any], content: bytes, boundary: str = "b", **headers: str
) -> Response:
    raw = forms.body(forms.file(content, "upload", "data"), boundary=boundary)
    url = f"{UPLOADS}/{upload['id']}/parts"
    return await client.post(url, content=raw, headers=forms.headers(boundary) | headers)


async def parts(client: AsyncClient, upload: dict[str, Any], *contents: bytes) -> list[str]:
    return [(await send(client, upload, content)).json()["id"] for content in contents]


async def complete(client: AsyncClient, upload: dict[str, Any], **given: Any) -> Response:
    headers = given.pop("headers", {})
    return await client.post(f"{UPLOADS}/{upload['id']}/complete", json=given, headers=headers)


async def test_an_upload_from_its_beginning_to_its_end(client: AsyncClient, house: House) -> None:
    now = int(house.clock.now())
    upload = await opened(client)
    assert upload == {
        "id": upload["id"],
        "object": "upload",
        "bytes": 6,
        "created_at": now,
        "filename": "큰.bin",
        "purpose": "vision",
        "status": "pending",
        "expires_at": now + 3600,
    }
    answer = (await send(client, upload, b"def")).json()
    assert answer == {"id": answer["id"], "object": "upload.part", "created_at": now, "upload_id": upload["id"]}
    [first] = await parts(client, upload, b"abc")
    done = await complete(client, upload, part_ids=[first, answer["id"]], md5=hashlib.md5(b"abcdef").hexdigest())
    file = (await client.get(f"/v1/files/{done.json()['file']['id']}")).json()
    assert done.json() == upload | {"status": "completed", "file": file}
    assert (file["filename"], file["bytes"], file["purpose"]) == ("큰.bin", 6, "vision")
    assert (await client.get(f"/v1/files/{file['id']}/content")).content == b"abcdef"


async def test_an_upload_that_is_cancelled(client: AsyncClient) -> None:
    upload = await opened(client)
    done = await client.post(f"{UPLOADS}/{upload['id']}/cancel")
    assert done.json() == upload | {"status": "cancelled"}
    late = await send(client, upload, b"abc")
    text = f"Upload {upload['id']} has status 'cancelled' and cannot take parts."
    assert (late.status_code, late.json()["error"]["message"]) == (400, text)


async def test_an_upload_that_is_not_there(client: AsyncClient) -> None:
    nowhere = {"id": "upload_" + "0" * 32}
    for answer in (
        await send(client, nowhere, b"x"),
        await complete(client, nowhere, part_ids=[]),
        await client.post(f"{UPLOADS}/{nowhere['id']}/cancel"),
    ):
        text = f"No upload found with id '{nowhere['id']}'."
        assert (answer.status_code, answer.json()["error"]["message"]) == (404, text)


MISTAKES: dict[str, tuple[dict[str, Any], str]] = {
    "purpose": (
        {"purpose": "nonsense"},
        "Invalid value: 'nonsense'. Supported values are: 'fine-tune', 'assistants', 'batch', 'user_data', 'vision', "
        "and 'evals'.",
    ),
    "bytes": (
        {"bytes": -1},
        "Invalid 'bytes': integer below minimum value. Expected a value >= 0, but got -1 instead.",
    ),
    "more bytes": (
        {"bytes": 2**33 + 1},
        "Invalid 'bytes': integer above maximum value. Expected a value <= 8589934592, but got 8589934593 instead.",
    ),
    "bytes in words": ({"bytes": "6"}, "Invalid type for 'bytes': expected an integer, but got a string instead."),
    "name": (
        {"filename": ""},
        "Invalid 'filename': empty string. Expected a string with minimum length 1, but got an empty string instead.",
    ),
    "a long name": (
        {"filename": "x" * 256},
        "Invalid 'filename': string too long. Expected a string with maximum length 255, "
        "but got a string with length 256 instead.",
    ),
    "controls": ({"filename": "a\x01b"}, "Invalid 'filename': it has control characters; leave them out."),
    "a stranger": ({"colour": "red"}, "Unknown parameter: 'colour'."),
    "expiry": (
        {"expires_after": {"anchor": "created_at", "seconds": 1}},
        "Invalid 'expires_after.seconds': integer below minimum value. Expected a value >= 3600, but got 1 instead.",
    ),
}


@pytest.mark.parametrize("name", MISTAKES)
async def test_mistakes(client: AsyncClient, name: str) -> None:
    given, text = MISTAKES[name]
    answer = await client.post(UPLOADS, json=GIVEN | given)
    assert (answer.status_code, answer.json()["error"]["message"]) == (400, text)


@pytest.mark.parametrize("field", GIVEN)
async def test_all_fields_are_needed(client: AsyncClient, field: str) -> None:
    answer = await client.post(UPLOADS, json={name: value for name, value in GIVEN.items() if name != field})
    assert (answer.status_code, answer.json()["error"]["message"]) == (400, f"Missing required parameter: '{field}'.")


async def test_parts_that_are_none(client: AsyncClient, house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    upload = await opened(client)
    url = f"{UPLOADS}/{upload['id']}/parts"
    empty = await client.post(url, content=forms.body(), headers=forms.headers())
    assert (empty.status_code, empty.json()["error"]["code"]) == (400, "missing_required_parameter")
    more = forms.body(forms.file(name="data"), forms.field("colour", "red"))
    stranger = await client.post(url, content=more, headers=forms.headers())
    assert (stranger.status_code, stranger.json()["error"]["message"]) == (400, "Unknown parameter: 'colour'.")
    monkeypatch.setattr("understudy.api.uploads.MAX_PART_BYTES", 2**20)
    large = await send(client, upload, b"x" * (2**20 + 1))
    text = "Part is too large. It may have 1048576 bytes (1 MB) at most."
    assert (large.status_code, large.json()["error"]["message"]) == (413, text)
    assert house.file_store.kept == {}


async def test_a_retried_part_is_one_part(client: AsyncClient, house: House) -> None:
    upload = await opened(client)
    first = await send(client, upload, b"abc", "one")
    retry = await send(client, upload, b"abc", "two", **{"x-stainless-retry-count": "1"})
    assert retry.json() == first.json()
    assert house.file_store.kept.keys() == {first.json()["id"]}


async def test_a_retried_completion_shows_the_file(client: AsyncClient) -> None:
    upload = await opened(client)
    there = await parts(client, upload, b"abcdef")
    first = await complete(client, upload, part_ids=there)
    retry = await complete(client, upload, part_ids=there, headers={"x-stainless-retry-count": "1"})
    assert (retry.status_code, retry.json()) == (200, first.json())
    again = await complete(client, upload, part_ids=there)
    text = f"Upload {upload['id']} has status 'completed' and cannot be completed."
    assert (again.status_code, again.json()["error"]["message"]) == (400, text)
