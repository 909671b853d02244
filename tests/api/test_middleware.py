"""What happens to every request: headers, limits, the beta header."""

import asyncio
from typing import Any

import pytest
from httpx2 import AsyncClient
from starlette.responses import PlainTextResponse
from tests.api.server import MAX_BODY, client_of
from tests.engine.house import House

from understudy.api import middleware
from understudy.api.middleware import BodyLimit
from understudy.errors import TooSlow

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


class Connection:
    """One request as a server below sees it: pieces of a body in, messages of an answer out."""

    def __init__(self, *pieces: bytes, path: str = "/v1/files", gap_s: float = 0.0, has_body: bool = True) -> None:
        self.sent: list[Any] = []
        self.left = list(pieces)
        self._gap_s = gap_s
        headers = [(b"transfer-encoding", b"chunked")] if has_body else []
        self.scope: Any = {"type": "http", "method": "POST", "path": path, "headers": headers}

    async def receive(self) -> Any:
        await asyncio.sleep(self._gap_s)
        if not self.left:
            await asyncio.Event().wait()
        piece = self.left.pop(0)
        return {"type": "http.request", "body": piece, "more_body": piece != b""}

    async def send(self, message: Any) -> None:
        self.sent.append((message, len(self.left)))

    async def through(self, app: Any, *, timeout_s: float = 5.0) -> None:
        limit = BodyLimit(app, 10, timeout_s, streamed=lambda scope: scope["path"] == "/v1/files")
        await limit(self.scope, self.receive, self.send)


def reads(count: int, seen: list[bytes]) -> Any:
    """An application that reads so many pieces, then answers."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        for _ in range(count):
            seen.append((await receive()).get("body", b""))
        await PlainTextResponse("read")(scope, receive, send)

    return app


async def test_a_form_is_passed_on_as_it_comes() -> None:
    seen: list[bytes] = []
    connection = Connection(b"x" * 8, b"y" * 8, b"")
    await connection.through(reads(3, seen))
    assert seen == [b"x" * 8, b"y" * 8, b""]
    (start, _), (body, _) = connection.sent
    assert (start["status"], body["body"]) == (200, b"read")
    assert b"connection" not in dict(start["headers"])


async def test_what_is_not_a_form_keeps_its_limit() -> None:
    connection = Connection(b"x" * 8, b"y" * 8, b"", path="/v1/threads")
    await connection.through(reads(3, []))
    assert connection.sent[0][0]["status"] == 413


@pytest.mark.parametrize("path", ["/v1/files", "/v1/threads"])
async def test_a_body_that_is_not_announced_is_not_waited_for(path: str) -> None:
    connection = Connection(path=path, has_body=False)
    await connection.through(reads(0, []), timeout_s=0.05)
    (start, _), (body, _) = connection.sent
    assert (start["status"], body["body"], body.get("more_body", False)) == (200, b"read", False)


async def test_a_body_that_is_announced_and_does_not_come() -> None:
    connection = Connection(path="/v1/threads")
    await connection.through(reads(1, []), timeout_s=0.05)
    assert connection.sent[0][0]["status"] == 408


async def test_an_early_answer_is_sent_at_once_and_the_rest_read_away() -> None:
    """A client that sees its connection end while it still sends never reads the answer."""
    connection = Connection(*[b"x"] * 50, b"")
    await connection.through(reads(1, []))
    (start, unread), (body, _), (end, unread_at_the_end) = connection.sent
    assert dict(start["headers"])[b"connection"] == b"close"
    assert (body["body"], body["more_body"], end["body"], end["more_body"]) == (b"read", True, b"", False)
    assert (unread, unread_at_the_end) == (50, 0)


async def test_the_rest_is_not_read_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(middleware, "LINGER_S", 0.05)
    connection = Connection(b"x")
    await connection.through(reads(1, []))
    assert connection.sent[-1][0]["more_body"] is False


async def test_a_form_that_comes_too_slowly() -> None:
    connection = Connection(b"x", gap_s=0.2)
    with pytest.raises(TooSlow, match=r"did not come within 0\.05 s"):
        await connection.through(reads(2, []), timeout_s=0.05)


async def test_a_form_may_take_long_if_it_comes_steadily() -> None:
    seen: list[bytes] = []
    pieces = [bytes(16 * 1024)] * 5
    await Connection(*pieces, b"", gap_s=0.1).through(reads(6, seen), timeout_s=0.3)
    assert len(seen) == 6
