"""Bodies, ids and pages as they come in: absent, null, broken, odd."""

from typing import Any

import pytest
from httpx2 import AsyncClient
from tests.engine.house import House

from understudy.testing import say

NOT_JSON = "We could not parse the JSON body of your request."


@pytest.mark.parametrize("content", [b"", b"  \n", b"null", b"{}"])
async def test_an_absent_body_is_an_empty_object(client: AsyncClient, content: bytes) -> None:
    answer = await client.post("/v1/threads", content=content)
    assert (answer.status_code, answer.json()["object"]) == (200, "thread")


@pytest.mark.parametrize(
    "content",
    [b"{", b"hello", b"{'a': 1}", b'{"a": NaN}', b'{"metadata": {"k": "\xff"}}', b'{"a": 1} x', b"[" * 5000],
)
async def test_what_is_not_json_is_told(client: AsyncClient, content: bytes) -> None:
    answer = await client.post("/v1/threads", content=content)
    error = answer.json()["error"]
    assert (answer.status_code, error["param"], error["code"]) == (400, None, None)
    assert error["message"].startswith(NOT_JSON)


@pytest.mark.parametrize(("content", "noun"), [(b"[]", "an array"), (b"5", "an integer"), (b'"x"', "a string")])
async def test_a_body_that_is_no_object_is_told(client: AsyncClient, content: bytes, noun: str) -> None:
    answer = await client.post("/v1/threads", content=content)
    assert answer.status_code == 400
    assert (
        answer.json()["error"]["message"] == f"Invalid type for the body: expected an object, but got {noun} instead."
    )


@pytest.mark.parametrize(
    ("content", "param"),
    [
        (rb'{"messages": [{"role": "user", "content": "a\u0000"}]}', "messages[0].content"),
        (rb'{"metadata": {"k": "\u0000"}}', "metadata.k"),
        (rb'{"metadata": {"\u0000": "v"}}', "metadata"),
    ],
)
async def test_a_null_character_is_refused(client: AsyncClient, content: bytes, param: str) -> None:
    answer = await client.post("/v1/threads", content=content)
    error = answer.json()["error"]
    assert (answer.status_code, error["param"], error["code"]) == (400, param, "invalid_value")
    assert error["message"] == f"Invalid '{param}': it contains a null character (\\u0000)."


async def test_what_only_looks_like_a_null_character_is_kept(client: AsyncClient) -> None:
    answer = await client.post("/v1/threads", content=rb'{"metadata": {"k": "\\u0000"}}')
    assert answer.json()["metadata"] == {"k": "\\u0000"}


NULS = [
    ("threads/thread_%00", "thread_id"),
    ("threads/thread_%00/runs?limit=0", "thread_id"),
    ("files/file-%00", "file_id"),
    ("files?purpose=assistants%00", "purpose"),
    ("models/gpt%00", "model"),
    ("vector_stores/vs_x/files/file-%00/chunks/x", "file_id"),
    ("vector_stores/vs_x/files?filter=%00", "filter"),
    ("uploads/upload_%00/cancel", "upload_id"),
    ("assistants?after=asst_%00", "after"),
    ("threads/thread_x/messages?run_id=run_%00", "run_id"),
    ("threads?query=a%00b", "query"),
    ("threads?metadata[k]=%00", "metadata[k]"),
    ("threads?metadata[%00]=v", "metadata[]"),
    ("runs?status=%00", "status"),
]


@pytest.mark.parametrize(("url", "param"), NULS)
async def test_a_null_character_in_a_url_is_refused(client: AsyncClient, url: str, param: str) -> None:
    answer = await client.request("POST" if url.startswith("uploads") else "GET", f"/v1/{url}")
    error = answer.json()["error"]
    assert (answer.status_code, error["param"], error["code"]) == (400, param, "invalid_value")
    assert error["message"] == f"Invalid '{param}': it contains a null character (\\u0000)."


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", "", "application/json"])
async def test_the_content_type_does_not_matter(client: AsyncClient, content_type: str) -> None:
    content = '{"metadata": {"이름": "값"}}'.encode()
    answer = await client.post("/v1/threads", content=content, headers={"content-type": content_type})
    assert answer.json()["metadata"] == {"이름": "값"}


KINDS = [("assistants/{}", "assistant_id", "asst"), ("threads/{}", "thread_id", "thread")]


@pytest.mark.parametrize(("url", "param", "prefix"), KINDS)
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
async def test_an_id_of_the_wrong_shape(client: AsyncClient, url: str, param: str, prefix: str, method: str) -> None:
    answer = await client.request(method, f"/v1/{url.format('wf_1')}")
    text = f"Invalid '{param}': 'wf_1'. Expected an ID that begins with '{prefix}'."
    error = {"message": text, "type": "invalid_request_error", "param": param, "code": "invalid_value"}
    assert (answer.status_code, answer.json()) == (400, {"error": error})


UNKNOWN = [
    ("assistants/asst_x", "No assistant found with id 'asst_x'."),
    ("threads/thread_x", "No thread found with id 'thread_x'."),
    ("threads/thread_x/messages", "No thread found with id 'thread_x'."),
    ("threads/thread_x/runs", "No thread found with id 'thread_x'."),
    ("threads/{thread}/runs/run_x", "No run found with id 'run_x'."),
    ("threads/{thread}/runs/run_x/steps", "No run found with id 'run_x'."),
    ("threads/{thread}/runs/{run}/steps/step_123", "No run step found with id 'step_123'."),
    ("threads/{thread}/messages/msg_x", "No message found with id 'msg_x'."),
    ("threads/{thread}/messages?after=msg_x", "No message found with id 'msg_x'."),
]


@pytest.mark.parametrize(("url", "text"), UNKNOWN)
async def test_an_id_that_is_not_known(client: AsyncClient, house: House, url: str, text: str) -> None:
    run = (await house.start()).run
    answer = await client.get(f"/v1/{url.format(thread=run.thread_id, run=run.id)}")
    error = {"message": text, "type": "invalid_request_error", "param": None, "code": None}
    assert (answer.status_code, answer.json()) == (404, {"error": error})


async def test_messages_are_listed_by_their_run(client: AsyncClient, house: House) -> None:
    house.model.turns = [say("Hello there.")]
    started = await house.start("hi")
    run = (await house.rest(started)).shown()
    url = f"/v1/threads/{run.thread_id}/messages"

    async def roles(run_id: str) -> list[str]:
        listed = (await client.get(url, params={"run_id": run_id})).json()
        return [message["role"] for message in listed["data"]]

    assert await roles(run.id) == ["assistant"]
    assert await roles("run_x") == []
    assert await roles("") == ["assistant", "user"]
    answer = await client.get(url, params={"run_id": "undefined"})
    text = "Invalid 'run_id': 'undefined'. Expected an ID that begins with 'run'."
    error = {"message": text, "type": "invalid_request_error", "param": "run_id", "code": "invalid_value"}
    assert (answer.status_code, answer.json()) == (400, {"error": error})


async def test_an_empty_list(client: AsyncClient) -> None:
    listed = (await client.get("/v1/assistants")).json()
    assert listed == {"object": "list", "data": [], "first_id": None, "last_id": None, "has_more": False}


async def test_a_list_is_read_page_by_page(client: AsyncClient) -> None:
    made = [(await client.post("/v1/assistants", json={"model": "m"})).json()["id"] for _ in range(5)]
    first = (await client.get("/v1/assistants", params={"limit": 2})).json()
    assert [item["id"] for item in first["data"]] == made[:2:-1]
    assert (first["first_id"], first["last_id"], first["has_more"]) == (made[4], made[3], True)
    rest = (await client.get("/v1/assistants", params={"after": first["last_id"]})).json()
    assert ([item["id"] for item in rest["data"]], rest["has_more"]) == (made[2::-1], False)
    beyond = await client.get("/v1/assistants", params={"after": made[0]})
    assert (beyond.status_code, beyond.json()["data"]) == (200, [])


@pytest.mark.parametrize(
    ("headers", "holds"), [({}, False), ({"x-stainless-poll-helper": "true", "x-stainless-read-timeout": "600"}, True)]
)
async def test_polls_are_held_where_the_client_polls(
    client: AsyncClient, house: House, headers: dict[str, str], holds: bool
) -> None:
    house.model.turns = [say("Hello there.")]
    run = (await house.start()).run
    answer = await client.get(f"/v1/threads/{run.thread_id}/runs/{run.id}", headers=headers)
    assert answer.headers["openai-poll-after-ms"] == ("1" if holds else "1000")
    if holds:
        assert answer.json()["status"] == "completed"


MODIFIED: list[tuple[dict[str, Any], str, Any]] = [
    ({"temperature": 0}, "temperature", 0.0),
    ({"temperature": None}, "temperature", 1.0),
    ({"name": None}, "name", None),
    ({"metadata": None}, "metadata", {}),
    ({"metadata": {"b": "2"}}, "metadata", {"b": "2"}),
    ({"tools": []}, "tools", []),
    ({"response_format": None}, "response_format", "auto"),
    ({"model": None}, "model", "gpt-4o"),
    ({}, "name", "Ada"),
    ({}, "temperature", 0.5),
]


@pytest.mark.parametrize(("changes", "field", "value"), MODIFIED)
async def test_absent_null_and_zero_are_three_things(
    client: AsyncClient, changes: dict[str, Any], field: str, value: Any
) -> None:
    given = {"model": "gpt-4o", "name": "Ada", "temperature": 0.5, "metadata": {"a": "1"}}
    given |= {"tools": [{"type": "function", "function": {"name": "f"}}], "response_format": {"type": "text"}}
    made = (await client.post("/v1/assistants", json=given)).json()
    changed = (await client.post(f"/v1/assistants/{made['id']}", json=changes)).json()
    assert changed[field] == value
    assert (await client.get(f"/v1/assistants/{made['id']}")).json() == changed
