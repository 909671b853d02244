"""A straight route answers as FastAPI's own does, and leaves to it what is not plain."""

from typing import Annotated, Any

import pytest
from fastapi import APIRouter, Depends, FastAPI, Query, Request, Response
from fastapi.routing import APIRoute
from httpx2 import ASGITransport, AsyncClient

from understudy.api import messages, runs, threads
from understudy.api.straight import StraightRoute

TOLD: list[str] = []


async def method(request: Request) -> str:
    TOLD.append("method")
    return request.method


async def thing(thing_id: str) -> str:
    TOLD.append("thing")
    return f"<{thing_id}>"


async def both(method: Annotated[str, Depends(method)], thing: Annotated[str, Depends(thing)]) -> str:
    TOLD.append("both")
    return f"{method} {thing}"


async def page(limit: Annotated[int, Query(ge=1)] = 20) -> int:
    return limit


class Loud:
    async def __call__(self, request: Request) -> str:
        TOLD.append("loud")
        return (await request.body()).decode().upper()


def text_in_thread(request: Request) -> str:
    return request.url.path


def router_of(route_class: type[APIRoute]) -> APIRouter:
    router = APIRouter(prefix="/things", route_class=route_class)

    @router.post("/{thing_id}/{place}")
    async def plain(
        request: Request, place: str, both: Annotated[str, Depends(both)], said: str = Depends(Loud())
    ) -> Response:
        return Response(f"{request.url.path} {place} {both} {said}")

    @router.get("/{thing_id}")
    async def listed(thing: Annotated[str, Depends(thing)], limit: Annotated[int, Depends(page)]) -> Response:
        return Response(f"{thing} {limit}")

    @router.get("/{number}/number")
    async def counted(number: int) -> Response:
        return Response(f"{number + 1}")

    @router.get("/{thing_id}/path")
    async def threaded(path: Annotated[str, Depends(text_in_thread)]) -> Response:
        return Response(path)

    @router.get("/{thing_id}/object")
    async def encoded(thing: Annotated[str, Depends(thing)]) -> dict[str, str]:
        return {"thing": thing}

    return router


def app_with(route_class: type[APIRoute]) -> FastAPI:
    app = FastAPI()
    app.include_router(router_of(route_class), prefix="/v1")
    return app


REQUESTS = [
    ("POST", "/v1/things/a%20b/c", "hello", 200),
    ("GET", "/v1/things/a", "", 200),
    ("GET", "/v1/things/a?limit=3", "", 200),
    ("GET", "/v1/things/a?limit=0", "", 422),
    ("GET", "/v1/things/7/number", "", 200),
    ("GET", "/v1/things/x/number", "", 422),
    ("GET", "/v1/things/a/path", "", 200),
    ("GET", "/v1/things/a/object", "", 200),
]


@pytest.mark.parametrize(("how", "url", "body", "status"), REQUESTS)
async def test_it_answers_as_the_usual_one(how: str, url: str, body: str, status: int) -> None:
    answers: list[Any] = []
    for route_class in (APIRoute, StraightRoute):
        TOLD.clear()
        async with AsyncClient(transport=ASGITransport(app_with(route_class)), base_url="http://test") as client:
            answer = await client.request(how, url, content=body)
        answers.append((answer.status_code, answer.content, dict(answer.headers), [*TOLD]))
    assert answers[0] == answers[1]
    assert answers[0][0] == status


def test_only_what_is_plain_goes_straight() -> None:
    def is_straight(route: Any) -> bool:
        return bool(route.get_route_handler().__module__ == "understudy.api.straight")

    routes: list[Any] = [*router_of(StraightRoute).routes]
    assert [route.name for route in routes if is_straight(route)] == ["plain"]
    hot = [(threads, "create"), (runs, "create"), (runs, "retrieve"), (messages, "create")]
    for noun, name in hot:
        assert [is_straight(route) for route in noun.router.routes if getattr(route, "name", "") == name] == [True]
