"""Queries as a model puts them; as they were where it does not."""

import asyncio
import logging
from dataclasses import replace
from pathlib import Path

import pytest
from tests.inference.fake_upstream import FakeUpstream, Json, Reply, Script, error_reply, text_reply, upstream

from understudy.errors import ConfigurationError, UpstreamError
from understudy.inference import rewriting
from understudy.inference.dialect import Dialect, Upstream
from understudy.inference.registry import ModelRoutes, ModelsConfig, RouteConfig
from understudy.inference.rewriting import QueryRewriter
from understudy.testing import OneRoute, ScriptedProvider, say

ASKED = "Hello, could you please tell me how many days of leave I get?"


async def rewritten(*turns: object, asked: str = ASKED) -> str:
    provider = ScriptedProvider(*turns)  # type: ignore[arg-type]  # the cases below are turns
    return (await QueryRewriter(OneRoute(provider, 8_000), None).rewrite([asked]))[0]


@pytest.mark.parametrize(
    ("said", "query"),
    [
        ("days of leave", "days of leave"),
        ("  days of leave \n", "days of leave"),
        ('"days of leave"', "days of leave"),
        ("「연차 일수」", "연차 일수"),
        ("„Urlaubstage“", "Urlaubstage"),
        ('"「연차 일수」"', "연차 일수"),
        ('" days of leave "', "days of leave"),
        ('find "foo"', 'find "foo"'),
        ('"foo" or "bar"', '"foo" or "bar"'),
        ("《红楼梦》 作者", "《红楼梦》 作者"),
        ("employees' leave, the boss'", "employees' leave, the boss'"),
        ('5"', '5"'),
        ("<think>\nThey want a number.\n</think>\n\n年假天数", "年假天数"),
    ],
)
async def test_the_models_words_are_searched_for(said: str, query: str) -> None:
    assert await rewritten(say(said)) == query


@pytest.mark.parametrize("said", ["", "\n", '""', "days of leave\n\nI chose these words because", "long " * 101])
async def test_what_is_no_query_is_not_searched_for(said: str) -> None:
    assert await rewritten(say(said)) == ASKED


async def test_a_model_that_fails_costs_no_search(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        assert await rewritten([*say("days of")[:1], UpstreamError("The model's server is busy.")]) == ASKED
    assert "busy" in caplog.text
    assert "leave" not in caplog.text


async def test_a_model_that_takes_too_long_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rewriting, "_PATIENCE_S", 0.05)
    provider = ScriptedProvider([asyncio.Event(), *say("late")])
    assert await QueryRewriter(OneRoute(provider, 8_000), None).rewrite([ASKED]) == [ASKED]
    assert provider.aborted == 1


async def test_nothing_is_not_rewritten() -> None:
    assert await rewritten(say("something"), asked="  ") == "  "


async def test_a_book_is_asked_for_in_part() -> None:
    provider = ScriptedProvider(say("short"))
    await QueryRewriter(OneRoute(provider, 8_000), None).rewrite(["long " * 20_000])
    assert len(provider.requests[0].messages[-1]["content"]) == 8_000


def config_of(fake: FakeUpstream) -> ModelsConfig:
    to_fake = Upstream(fake.base_url, None, None, Dialect(max_retries=0))
    return ModelsConfig({"fake": to_fake}, [RouteConfig("fine", "fake", "big"), RouteConfig("cheap", "fake", "small")])


async def asked_of(model: str | None, *replies: Reply | Script) -> tuple[list[str], FakeUpstream]:
    """Return two queries as they come back from a server with two models, and that server."""
    async with upstream(*replies) as fake:
        routes = ModelRoutes(config_of(fake), Path("unused"))
        try:
            return await QueryRewriter(routes, model).rewrite(["one", "two"]), fake
        finally:
            await routes.aclose()


async def test_each_query_is_a_request_to_the_model_that_was_set() -> None:
    found, fake = await asked_of("cheap", text_reply("x"))
    assert found == ["x", "x"]
    assert sorted(body["messages"][-1]["content"] for body in fake.requests) == ["one", "two"]
    assert {body["model"] for body in fake.requests} == {"small"}


async def test_a_model_that_takes_no_temperature_rewrites() -> None:
    """Some answer to one, whatever it is, with an error."""

    def answer(body: Json) -> Reply:
        return error_reply(400, "Unsupported value: 'temperature'") if "temperature" in body else text_reply("x")

    assert (await asked_of("cheap", answer))[0] == ["x", "x"]


async def test_unset_the_first_model_is_asked() -> None:
    _, fake = await asked_of(None, text_reply("x"))
    assert {body["model"] for body in fake.requests} == {"big"}


async def test_a_server_that_refuses_costs_no_search() -> None:
    assert (await asked_of(None, error_reply(400, "no")))[0] == ["one", "two"]


async def test_where_no_model_has_a_name_queries_stay() -> None:
    async with upstream(text_reply("x")) as fake:
        routes = ModelRoutes(replace(config_of(fake), routes=[]), Path("unused"))
        assert await QueryRewriter(routes, None).rewrite([ASKED]) == [ASKED]
    assert fake.requests == []


async def test_a_model_without_a_route_is_refused_at_the_start() -> None:
    async with upstream(text_reply("x")) as fake:
        routes = ModelRoutes(config_of(fake), Path("unused"))
        with pytest.raises(
            ConfigurationError, match="rewrite_model is 'dear', which has no route; known are fine, cheap"
        ):
            QueryRewriter(routes, "dear")
