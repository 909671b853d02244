"""Whom the server refuses before it has read the body: such a one's retry is not given what somebody else made."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any, cast

import httpx2
import pytest
from fastapi import FastAPI
from starlette.types import ASGIApp
from tests.api.server import app_of, services
from tests.engine.house import House

from understudy.api import rates
from understudy.api.keyring import Caller, Keyring
from understudy.errors import Unavailable
from understudy.storage.api_keys import Limits
from understudy.web import full

BODY = b'{"metadata": {}}'
TWO_PER_MINUTE = Caller(key_id="key_two", limits=Limits(requests_per_minute=2))


class Keys:
    """A keyring of one key; while the database is off it cannot tell."""

    def __init__(self, caller: Caller) -> None:
        self.caller = caller
        self.off = False

    async def are_on(self) -> bool:
        if self.off:
            raise Unavailable("the database is off")
        return True

    async def find(self, _: bytes) -> Caller:
        return self.caller


async def post(app: ASGIApp, retry: int = 0, content: Any = BODY) -> httpx2.Response:
    headers = {"x-stainless-retry-count": str(retry), "authorization": "Bearer k", "content-length": str(len(BODY))}
    transport = httpx2.ASGITransport(app=app, raise_app_exceptions=False)
    async with httpx2.AsyncClient(transport=transport, base_url="http://localhost", headers=headers) as client:
        return await client.post("/v1/threads", content=content)


async def made(app: ASGIApp, retry: int = 0) -> str:
    answer = await post(app, retry)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["id"])


async def check_retry(app: ASGIApp, earlier: str) -> None:
    """One retry takes effect; after it, the next one is again that of an answer which was lost."""
    assert await made(app, 1) != earlier
    assert await made(app, 1) == earlier


def app_with(house: House, keys: Keys, **settings: Any) -> FastAPI:
    app = app_of(**settings)
    app.state.services = replace(services(house), keyring=cast("Keyring", keys))
    return app


async def test_beyond_a_keys_rate(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    app = app_with(house, Keys(TWO_PER_MINUTE))
    monkeypatch.setattr(rates, "WINDOW_S", 3600.0)
    heard, earlier = await made(app), await made(app)
    for retry in range(3):  # it may be refused again
        assert (await post(app, retry)).status_code == 429
    monkeypatch.setattr(rates, "WINDOW_S", 0.0)
    assert await made(app, 3) not in (heard, earlier)


async def test_while_the_keys_cannot_be_read(house: House) -> None:
    keys = Keys(Caller())
    app = app_with(house, keys)
    earlier = await made(app)
    keys.off = True
    assert (await post(app)).status_code == 503
    keys.off = False
    await check_retry(app, earlier)


async def test_whose_body_came_too_slowly(house: House) -> None:
    async def stalling() -> AsyncIterator[bytes]:
        yield BODY[:3]
        await asyncio.sleep(5)

    app = app_with(house, Keys(Caller()), body_timeout_s=0.1)
    earlier = await made(app)
    assert (await post(app, content=stalling())).status_code == 408
    await check_retry(app, earlier)


async def test_on_a_connection_too_many(house: House) -> None:
    app = app_with(house, Keys(Caller()))
    earlier = await made(app)
    refused = await post(full(app, ""))
    assert (refused.status_code, refused.headers["connection"]) == (503, "close")
    assert "x-request-id" in refused.headers
    await check_retry(app, earlier)


async def test_a_retry_that_is_refused_so_looks_back_the_next_time(house: House) -> None:
    app = app_with(house, Keys(Caller()))
    mine = await made(app)
    assert (await post(full(app, ""), 1)).status_code == 503
    assert await made(app, 2) == mine


async def test_below_a_path_it_is_the_same_request(house: House) -> None:
    app = app_with(house, Keys(Caller()), root_path="/llm")
    earlier = await made(app)
    assert (await post(full(app, "/llm"))).status_code == 503
    await check_retry(app, earlier)


async def test_an_original_that_ran_out_of_time_may_have_taken_effect(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its change goes on without it, so its retry has to look for that."""
    app = app_with(house, Keys(Caller()), request_timeout_s=1)
    write = house.store.write

    async def slowly(change: Any) -> Any:
        done = await asyncio.shield(asyncio.ensure_future(write(change)))
        await asyncio.sleep(5)
        return done

    monkeypatch.setattr(house.store, "write", slowly)
    assert (await post(app)).status_code == 503
    monkeypatch.undo()
    again = await post(app, 1)
    assert again.headers.get("idempotent-replayed") == "true"


async def test_a_change_may_ask_whether_its_client_still_waits(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    app, gone, go_on, pieces = app_with(house, Keys(Caller())), asyncio.Event(), asyncio.Event(), iter([BODY])
    heard: list[bool] = []
    write = house.store.write

    async def asking(change: Any) -> Any:
        for _ in range(2):
            heard.append(await asyncio.to_thread(scope["understudy.once"].is_heard))
        gone.set()
        heard.append(await asyncio.to_thread(scope["understudy.once"].is_heard))
        return await write(change)

    async def receive() -> Any:
        if (body := next(pieces, None)) is not None:
            return {"type": "http.request", "body": body, "more_body": False}
        await gone.wait()
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start":
            assert message["status"] == 200
            go_on.set()

    monkeypatch.setattr(house.store, "write", asking)
    headers = [(b"host", b"localhost"), (b"authorization", b"Bearer k"), (b"content-length", b"%d" % len(BODY))]
    scope: dict[str, Any] = {"type": "http", "method": "POST", "path": "/v1/threads", "query_string": b""}
    scope |= {"raw_path": b"/v1/threads", "root_path": "", "headers": headers, "client": ("127.0.0.1", 1)}
    await app(scope, receive, send)
    assert go_on.is_set()
    assert heard == [True, True, False]
