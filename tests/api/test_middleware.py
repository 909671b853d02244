"""What happens to every request: headers, limits, the beta header."""

import pytest
from httpx2 import AsyncClient
from tests.api.server import MAX_BODY, client_of
from tests.engine.house import House

BETA = {"openai-beta": "assistants=v2"}
MISSING = (
    "You must provide the 'OpenAI-Beta' header to access the Assistants API. "
    "Please try again by setting the header 'OpenAI-Beta: assistants=v2'."
)


@pytest.mark.parametrize("url", ["/v1/assistants", "/v1/threads/thread_x", "/v1/nothing", "/health"])
async def test_every_answer_has_the_hosted_headers(client: AsyncClient, url: str) -> None:
    answer = await client.get(url)
    assert answer.headers["openai-version"] == "2020-10-01"
    assert answer.headers["x-request-id"].startswith("req_")
    assert int(answer.headers["openai-processing-ms"]) >= 0
    assert answer.headers["content-type"] == "application/json"


async def test_every_request_has_an_id_of_its_own(client: AsyncClient) -> None:
    ids = {(await client.get("/v1/assistants")).headers["x-request-id"] for _ in range(3)}
    assert len(ids) == 3


async def test_a_body_that_is_too_large(client: AsyncClient) -> None:
    answer = await client.post("/v1/threads", content=b"{" + b" " * MAX_BODY + b"}")
    assert answer.status_code == 413
    assert str(MAX_BODY) in answer.json()["error"]["message"]
    assert answer.headers["x-request-id"]


async def test_a_body_of_just_the_limit(client: AsyncClient) -> None:
    answer = await client.post("/v1/threads", content=b"{" + b" " * (MAX_BODY - 2) + b"}")
    assert answer.status_code == 200


async def test_a_body_that_comes_in_pieces(client: AsyncClient) -> None:
    async def pieces(count: int) -> object:
        yield b'{"metadata": {"a": "'
        for _ in range(count):
            yield b"b" * 100
        yield b'"}}'

    assert (await client.post("/v1/threads", content=pieces(3))).json()["metadata"] == {"a": "b" * 300}  # type: ignore[arg-type]
    assert (await client.post("/v1/threads", content=pieces(MAX_BODY // 100))).status_code == 413  # type: ignore[arg-type]


GOOD = [
    [("OpenAI-Beta", "assistants=v2")],
    [("openai-beta", "realtime=v1, assistants=v2")],
    [("openai-beta", "assistants=v1"), ("openai-beta", "assistants=v2")],
]
BAD: list[list[tuple[str, str]]] = [[], [("openai-beta", "assistants=v1")], [("openai-beta", "assistants=v22")]]


@pytest.mark.parametrize("headers", GOOD)
async def test_the_beta_header_where_it_is_asked_for(house: House, headers: list[tuple[str, str]]) -> None:
    async with client_of(house, strict_beta_header=True) as client:
        assert (await client.get("/v1/assistants", headers=headers)).status_code == 200


@pytest.mark.parametrize("headers", BAD)
async def test_a_missing_beta_header_where_it_is_asked_for(house: House, headers: list[tuple[str, str]]) -> None:
    async with client_of(house, strict_beta_header=True) as client:
        for url in ("/v1/assistants", "/v1/threads/thread_x/runs"):
            answer = await client.get(url, headers=headers)
            error = {"message": MISSING, "type": "invalid_request_error", "param": None, "code": "invalid_beta"}
            assert (answer.status_code, answer.json()) == (400, {"error": error})
            assert answer.headers["x-request-id"]


async def test_other_routes_need_no_beta_header(house: House) -> None:
    async with client_of(house, strict_beta_header=True) as client:
        assert (await client.get("/v1/models")).status_code == 200
        assert (await client.get("/health")).status_code == 200


async def test_without_the_setting_no_route_needs_it(client: AsyncClient) -> None:
    assert (await client.get("/v1/assistants")).status_code == 200
