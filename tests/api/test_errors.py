"""Errors as answers: their shape, their headers, and how little a defect tells."""

from typing import Any

import pytest
from httpx2 import AsyncClient
from starlette.requests import Request
from tests.api.server import client_of
from tests.engine.house import House

from understudy.api import errors
from understudy.errors import TooManyRequests


@pytest.mark.parametrize("url", ["/v1/colours", "/v1", "/colours", "/v1/assistants/asst_x/colours"])
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_an_unknown_url(client: AsyncClient, method: str, url: str) -> None:
    answer = await client.request(method, url)
    error = {"message": f"Invalid URL ({method} {url})", "type": "invalid_request_error", "param": None, "code": None}
    assert (answer.status_code, answer.json()) == (404, {"error": error})


@pytest.mark.parametrize("url", ["/v1/threads/", "/v1/vector_stores/", "/v1/assistants/", "/v1/threads/runs/"])
async def test_an_empty_id_is_no_url_and_makes_nothing(client: AsyncClient, url: str) -> None:
    answer = await client.post(url, json={"model": "gpt-4o"}, follow_redirects=True)
    assert (answer.status_code, answer.json()["error"]["message"]) == (404, f"Invalid URL (POST {url})")
    assert (await client.get("/v1/threads")).json()["data"] == []


@pytest.mark.parametrize(
    ("method", "url"), [("PUT", "/v1/assistants"), ("DELETE", "/v1/threads"), ("PATCH", "/v1/models")]
)
async def test_a_wrong_method(client: AsyncClient, method: str, url: str) -> None:
    answer = await client.request(method, url)
    text = f"Not allowed to {method} on {url} (HINT: Perhaps you meant to use another method?)"
    assert (answer.status_code, answer.json()["error"]["message"]) == (405, text)
    assert "GET" in answer.headers["allow"] or "POST" in answer.headers["allow"]


class Broken:
    """A store with a defect."""

    async def read(self, _: Any) -> Any:
        raise ZeroDivisionError("secret")


async def test_a_defect_says_no_more_than_it_must(house: House, caplog: pytest.LogCaptureFixture) -> None:
    store, house.store = house.store, Broken()  # type: ignore[assignment]
    async with client_of(house) as client:
        answer = await client.get("/v1/assistants")
    house.store = store
    error = answer.json()["error"]
    assert (answer.status_code, error["type"]) == (500, "server_error")
    assert error["message"].startswith("The server had an error processing your request.")
    assert answer.headers["x-request-id"] in error["message"]
    assert "secret" not in answer.text
    assert "ZeroDivisionError" in caplog.text


async def test_a_closed_database_is_unavailable(client: AsyncClient, house: House) -> None:
    await house.store.close()
    for answer in (await client.get("/v1/assistants"), await client.post("/v1/threads")):
        assert (answer.status_code, answer.json()["error"]["type"]) == (503, "server_error")
        assert "the server is stopping" in answer.json()["error"]["message"]


def test_too_many_requests_say_when_to_come_back() -> None:
    found = errors._refused(Request({"type": "http"}), TooManyRequests("Slow down.", 2.6, code="rate_limit_exceeded"))
    assert (found.status_code, found.headers["retry-after"]) == (429, "3")
    assert b'"type":"requests"' in bytes(found.body)


async def test_health(client: AsyncClient) -> None:
    answer = await client.get("/health")
    assert (answer.status_code, answer.json()["status"]) == (200, "ok")
