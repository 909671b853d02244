"""Files over HTTP: shapes, lists, limits, and every mistake in the words of the hosted API's files service."""

from typing import Any

import pytest
from httpx2 import AsyncClient, Response
from tests.api import forms
from tests.engine.house import House

from understudy.files.base import FileFault
from understudy.ingest import files as service

FILES = "/v1/files"
PURPOSES = "['fine-tune', 'assistants', 'batch', 'user_data', 'vision', 'evals']"


async def post(client: AsyncClient, *parts: bytes, **headers: str) -> Response:
    return await client.post(FILES, content=forms.body(*parts), headers=forms.headers() | headers)


async def made(client: AsyncClient, content: bytes | str = b"hello", **given: str) -> dict[str, Any]:
    answer = await post(client, *forms.usual(content, **given))
    assert answer.status_code == 200, answer.text
    return answer.json()


def told(answer: Response) -> tuple[int, str, Any, Any]:
    """The status and the sentence of a mistake; it must be told twice."""
    found = answer.json()
    error = found["error"]
    assert found["detail"] == {"message": error["message"], "code": error["code"]}
    assert error["type"] == "invalid_request_error"
    return answer.status_code, error["message"], error["param"], error["code"]


async def test_a_file_is_created_shown_and_deleted(client: AsyncClient, house: House) -> None:
    file = await made(client, "안녕", filename="인사.txt")
    assert file == {
        "id": file["id"],
        "object": "file",
        "purpose": "vision",
        "filename": "인사.txt",
        "bytes": 6,
        "created_at": int(house.clock.now()),
        "expires_at": None,
        "status": "processed",
        "status_details": None,
    }
    assert (await client.get(f"{FILES}/{file['id']}")).json() == file
    gone = await client.delete(f"{FILES}/{file['id']}")
    assert gone.json() == {"id": file["id"], "object": "file", "deleted": True}
    missing = (404, f"No such File object: {file['id']}", "id", None)
    for answer in (
        await client.get(f"{FILES}/{file['id']}"),
        await client.delete(f"{FILES}/{file['id']}"),
        await client.get(f"{FILES}/{file['id']}/content"),
    ):
        assert told(answer) == missing
    assert house.file_store.kept == {}


async def test_any_word_may_stand_for_an_id(client: AsyncClient) -> None:
    assert told(await client.get(f"{FILES}/fake_id")) == (404, "No such File object: fake_id", "id", None)


async def test_the_file_may_come_before_its_purpose(client: AsyncClient) -> None:
    answer = await post(client, forms.file(), forms.field("purpose", "evals"))
    assert (answer.status_code, answer.json()["purpose"]) == (200, "evals")


async def test_content_comes_back_as_a_download(client: AsyncClient) -> None:
    content = bytes(range(256)) * 1000
    file = await made(client, content, filename='a "b" \r안녕;.bin'.replace("\r", ""))
    answer = await client.get(f"{FILES}/{file['id']}/content")
    assert answer.content == content
    assert answer.headers["content-length"] == "256000"
    assert answer.headers["content-type"] == "application/octet-stream"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["content-disposition"].startswith("attachment; filename*=utf-8''a%20")


@pytest.mark.parametrize("purpose", ["assistants", "user_data"])
async def test_some_purposes_are_not_given_out(client: AsyncClient, purpose: str) -> None:
    file = await made(client, purpose=purpose)
    answer = await client.get(f"{FILES}/{file['id']}/content")
    assert told(answer) == (400, f"Not allowed to download files of purpose: {purpose}", None, None)


@pytest.mark.parametrize("purpose", ["fine-tune", "batch", "vision", "evals"])
async def test_others_are(client: AsyncClient, purpose: str) -> None:
    file = await made(client, purpose=purpose)
    assert (await client.get(f"{FILES}/{file['id']}/content")).content == b"hello"


MISTAKES: dict[str, tuple[list[bytes], tuple[str, Any]]] = {
    "no file": ([forms.field("purpose", "vision")], ("'file' is a required property", None)),
    "no purpose": ([forms.file()], ("'purpose' is a required property", None)),
    "nothing": ([], ("'file' is a required property", None)),
    "another purpose": (
        list(forms.usual(purpose="world_domination")),
        (f"'world_domination' is not one of {PURPOSES} - 'purpose'", "purpose"),
    ),
    "a purpose of the server's own": (
        list(forms.usual(purpose="assistants_output")),
        (f"'assistants_output' is not one of {PURPOSES} - 'purpose'", "purpose"),
    ),
    "a stranger": (
        [*forms.usual(), forms.field("colour", "red")],
        ("Additional properties are not allowed ('colour' was unexpected)", None),
    ),
    "half an expiry": (
        [*forms.usual(), forms.field("expires_after[anchor]", "created_at")],
        ("'seconds' is a required property - 'expires_after'", "expires_after"),
    ),
    "the other half": (
        [*forms.usual(), forms.field("expires_after[seconds]", "3600")],
        ("'anchor' is a required property - 'expires_after'", "expires_after"),
    ),
    "two files": (
        [forms.file(), forms.file()],
        ("There are two parts named 'file'; send one file at a time.", "file"),
    ),
    "no name": (list(forms.usual(filename="")), ("The file's name has 0 characters; give it 1 to 255.", "file")),
    "a name without end": (
        list(forms.usual(filename="x" * 10_000)),
        ("The file's name has 10000 characters; give it 1 to 255.", "file"),
    ),
    "NUL in a name": (
        list(forms.usual(filename="a\x00b")),
        ("The file's name has control characters in it; leave them out.", "file"),
    ),
    "a newline in a name": (
        [
            forms.field("purpose", "vision"),
            forms.part("form-data; name=file; filename*=utf-8''a%0D%0Ab", "x"),
        ],
        ("The file's name has control characters in it; leave them out.", "file"),
    ),
    "half a character in a name": (
        [
            forms.field("purpose", "vision"),
            forms.part("form-data; name=file; filename*=raw_unicode_escape''%5Cud83d", "x"),
        ],
        ("The file's name has control characters in it; leave them out.", "file"),
    ),
}


@pytest.mark.parametrize("name", MISTAKES)
async def test_mistakes(client: AsyncClient, house: House, name: str) -> None:
    parts, (message, param) = MISTAKES[name]
    assert told(await post(client, *parts)) == (400, message, param, None)
    assert house.file_store.kept == {}
    assert (await client.get(FILES)).json()["data"] == []


HOSTILE = ["../../etc/passwd", "..", "/", "C:\\con", "gpj.\u202eexe", "a" * 255, "'; DROP TABLE files; --", "<b>", "😀"]


@pytest.mark.parametrize("name", HOSTILE)
async def test_a_name_is_data_and_no_path(client: AsyncClient, house: House, name: str) -> None:
    file = await made(client, filename=name)
    assert (await client.get(f"{FILES}/{file['id']}")).json()["filename"] == name
    assert house.file_store.kept.keys() == {file["id"]}
    answer = await client.get(f"{FILES}/{file['id']}/content")
    assert answer.content == b"hello"
    assert "\n" not in answer.headers["content-disposition"]


def expiry(seconds: str, anchor: str = "created_at") -> list[bytes]:
    given = {"expires_after[anchor]": anchor, "expires_after[seconds]": seconds}
    return [forms.field(name, value) for name, value in given.items()]


async def test_a_file_may_vanish(client: AsyncClient, house: House) -> None:
    file = (await post(client, *expiry("3600"), *forms.usual())).json()
    assert file["expires_at"] == file["created_at"] + 3600
    house.clock.advance(3600)
    assert (await client.get(f"{FILES}/{file['id']}")).status_code == 404
    assert (await client.get(FILES)).json()["data"] == []


EXPIRIES = {
    ("3599", "created_at"): ("3599 is less than the minimum of 3600 - 'expires_after.seconds'", "seconds"),
    ("2592001", "created_at"): ("2592001 is greater than the maximum of 2592000 - 'expires_after.seconds'", "seconds"),
    ("soon", "created_at"): ("'soon' is not of type 'integer' - 'expires_after.seconds'", "seconds"),
    ("-1", "created_at"): ("'-1' is not of type 'integer' - 'expires_after.seconds'", "seconds"),
    ("9" * 5000, "created_at"): (f"'{'9' * 80}' is not of type 'integer' - 'expires_after.seconds'", "seconds"),
    ("٣٦٠٠", "created_at"): ("'٣٦٠٠' is not of type 'integer' - 'expires_after.seconds'", "seconds"),
    ("3600", "birth"): ("'birth' is not one of ['created_at'] - 'expires_after.anchor'", "anchor"),
}


@pytest.mark.parametrize("given", EXPIRIES)
async def test_an_expiry_within_its_limits(client: AsyncClient, given: tuple[str, str]) -> None:
    message, param = EXPIRIES[given]
    assert told(await post(client, *forms.usual(), *expiry(*given))) == (400, message, f"expires_after.{param}", None)


# --- lists -------------------------------------------------------------------------------------------------------


async def ids(client: AsyncClient, **query: Any) -> list[str]:
    answer = await client.get(FILES, params=query)
    assert answer.status_code == 200, answer.text
    return [file["id"] for file in answer.json()["data"]]


async def test_a_list_pages_and_filters(client: AsyncClient) -> None:
    purposes = ["vision", "assistants", "vision", "batch", "vision"]
    there = [(await made(client, purpose=purpose))["id"] for purpose in purposes]
    assert await ids(client) == there[::-1]
    assert await ids(client, order="asc") == there
    assert await ids(client, order="asc", limit=2, after=there[1]) == there[2:4]
    assert await ids(client, purpose="vision") == [there[4], there[2], there[0]]
    assert await ids(client, purpose="vision", after=there[3]) == [there[2], there[0]]
    assert await ids(client, purpose="user_data") == await ids(client, purpose="nonsense") == []
    page = (await client.get(FILES, params={"limit": 2})).json()
    assert (page["object"], page["first_id"], page["last_id"], page["has_more"]) == ("list", there[4], there[3], True)
    await client.delete(f"{FILES}/{there[3]}")
    assert await ids(client, after=there[3]) == there[:3][::-1]


async def test_an_empty_list(client: AsyncClient) -> None:
    expected = {"object": "list", "data": [], "first_id": None, "last_id": None, "has_more": False}
    assert (await client.get(FILES)).json() == expected


LIMITS = {
    "0": ("Invalid 'limit': integer below minimum value. Expected a value >= 1, but got 0 instead.", 400),
    "10001": ("Invalid 'limit': integer above maximum value. Expected a value <= 10000, but got 10001 instead.", 400),
    "10000": (None, 200),
}


@pytest.mark.parametrize("limit", LIMITS)
async def test_a_list_has_up_to_ten_thousand(client: AsyncClient, limit: str) -> None:
    message, status = LIMITS[limit]
    answer = await client.get(FILES, params={"limit": limit})
    assert answer.status_code == status
    assert answer.json().get("error", {}).get("message") == message


# --- limits and faults -------------------------------------------------------------------------------------------


async def test_a_body_may_be_larger_than_one_of_json(client: AsyncClient) -> None:
    """The server of these tests takes 100,000 bytes of JSON."""
    assert (await made(client, b"x" * 3_000_000))["bytes"] == 3_000_000


async def test_a_file_that_is_too_large(client: AsyncClient, house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("understudy.api.files.MAX_FILE_BYTES", 2**20)
    assert (await made(client, b"x" * 2**20))["bytes"] == 2**20
    answer = await post(client, *forms.usual(b"x" * (2**20 + 1)))
    assert told(answer) == (413, "File is too large. It may have 1048576 bytes (1 MB) at most.", None, None)
    assert len(house.file_store.kept) == 1


async def test_a_file_store_that_fails_is_unavailable(client: AsyncClient, house: House) -> None:
    file = await made(client)
    house.file_store.fault = FileFault("This needs the file store, which failed: no disk")
    for answer in (await post(client, *forms.usual()), await client.get(f"{FILES}/{file['id']}/content")):
        assert (answer.status_code, answer.json()["error"]["type"]) == (503, "server_error")
        assert "no disk" in answer.json()["error"]["message"]
    house.file_store.fault = None
    assert await ids(client) == [file["id"]]


async def test_a_database_that_fails_leaves_no_bytes(
    client: AsyncClient, house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> bool:
        raise ZeroDivisionError

    monkeypatch.setattr(service.files, "add", broken)
    answer = await post(client, *forms.usual())
    assert (answer.status_code, answer.json()["error"]["type"]) == (500, "server_error")
    assert house.file_store.kept == {}


# --- retries -----------------------------------------------------------------------------------------------------


async def again(client: AsyncClient, boundary: str, content: bytes = b"hello", **headers: str) -> Response:
    raw = forms.body(*forms.usual(content), boundary=boundary)
    return await client.post(FILES, content=raw, headers=forms.headers(boundary) | headers)


async def test_a_retry_is_known_by_its_parts(client: AsyncClient, house: House) -> None:
    first = await again(client, "one")
    retry = await again(client, "two", **{"x-stainless-retry-count": "1"})
    assert retry.json() == first.json()
    assert retry.headers["idempotent-replayed"] == "true"
    assert house.file_store.kept.keys() == {first.json()["id"]}
    other = await again(client, "three", b"other", **{"x-stainless-retry-count": "1"})
    assert other.json()["id"] != first.json()["id"]
    assert (await again(client, "four")).json()["id"] != first.json()["id"], "no retry: a second upload"


async def test_an_idempotency_key_holds_for_forms(client: AsyncClient, house: House) -> None:
    key = {"idempotency-key": "k"}
    first, second = await again(client, "one", **key), await again(client, "two", **key)
    assert second.json() == first.json()
    refused = await again(client, "three", b"other", **key)
    assert told(refused)[0] == 400
    assert refused.json()["error"]["code"] == "idempotency_key_in_use"
    assert len(house.file_store.kept) == 1


async def test_a_retry_after_a_failure_takes_effect(client: AsyncClient, house: House) -> None:
    """Even where somebody else has sent just the same meanwhile."""
    first = await again(client, "one")
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(service.files, "add", lambda *_: False)
        assert (await again(client, "two")).status_code == 503
    retry = await again(client, "three", **{"x-stainless-retry-count": "1"})
    assert retry.json()["id"] != first.json()["id"]


async def test_a_deleted_file_is_not_shown_to_a_retry(client: AsyncClient) -> None:
    first = await again(client, "one")
    await client.delete(f"{FILES}/{first.json()['id']}")
    retry = await again(client, "two", **{"x-stainless-retry-count": "1"})
    assert retry.json()["id"] != first.json()["id"]
