"""The fakes that are shipped for users' tests."""

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

import pytest

from understudy.errors import UpstreamError
from understudy.inference.base import CompletionRequest, Finished, TextDelta, TokenUsage, ToolCallDelta
from understudy.protocol.events import Event
from understudy.testing import USAGE, FakeClock, OneRoute, ScriptedProvider, call, collect_events, say

REQUEST = CompletionRequest(model="m", messages=[])


async def collect(provider: ScriptedProvider) -> list[Any]:
    return [delta async for delta in provider.stream(REQUEST)]


def test_words_keep_their_spaces() -> None:
    words = say("부산에  비가 온다", reason="length", usage=TokenUsage(1, 2))
    assert "".join(delta.text for delta in words if isinstance(delta, TextDelta)) == "부산에  비가 온다"
    assert words[-1] == Finished("length", TokenUsage(1, 2))


def test_nothing_said_is_just_an_end() -> None:
    assert say("") == [Finished("stop", USAGE)]


def test_calls_come_after_their_narration() -> None:
    deltas = call(narration="Let me see.", get_weather={"city": "부산"}, get_time={})
    assert [type(delta) for delta in deltas[:3]] == [TextDelta] * 3
    calls = [delta for delta in deltas if isinstance(delta, ToolCallDelta)]
    assert [(delta.index, delta.name) for delta in calls if delta.name] == [(0, "get_weather"), (1, "get_time")]
    assert json.loads("".join(delta.arguments for delta in calls if delta.index == 0)) == {"city": "부산"}
    assert len({delta.id for delta in calls if delta.id}) == 2
    assert deltas[-1] == Finished("tool_calls", USAGE)


async def test_turns_come_in_their_order_and_requests_are_remembered() -> None:
    provider = ScriptedProvider(say("one"), say("two"))
    assert (await collect(provider))[0] == TextDelta("one")
    assert (await collect(provider))[0] == TextDelta("two")
    assert provider.requests == [REQUEST, REQUEST]
    with pytest.raises(UpstreamError, match="at its end"):
        await collect(provider)


async def test_a_fault_is_raised_in_its_place() -> None:
    provider = ScriptedProvider([TextDelta("a"), UpstreamError("It is down.")])
    deltas = provider.stream(REQUEST)
    assert await anext(deltas) == TextDelta("a")
    with pytest.raises(UpstreamError, match="It is down"):
        await anext(deltas)
    assert provider.aborted == 0


async def test_an_event_is_waited_for() -> None:
    gate = asyncio.Event()
    provider = ScriptedProvider([TextDelta("a"), gate, *say("b")])
    async with aclosing(provider.stream(REQUEST)) as deltas:
        assert await anext(deltas) == TextDelta("a")
        waiting = asyncio.ensure_future(anext(deltas))
        await asyncio.sleep(0)
        assert not waiting.done()
        gate.set()
        assert await waiting == TextDelta("b")


async def test_a_reader_that_goes_away_is_counted() -> None:
    provider = ScriptedProvider(say("one two"), say("three"))
    async with aclosing(provider.stream(REQUEST)) as deltas:
        await anext(deltas)
    await collect(provider)
    assert provider.aborted == 1


def test_every_name_leads_to_the_one_provider() -> None:
    provider = ScriptedProvider()
    route = OneRoute(provider, 4096).find("gpt-4o")
    assert (route.provider, route.model, route.context_window) == (provider, "gpt-4o", 4096)


def test_a_clock_moves_when_it_is_told_to() -> None:
    clock = FakeClock(10.0)
    clock.advance(2.5)
    assert (clock.now(), clock.now()) == (12.5, 12.5)


@dataclass
class Live:
    event: Event


async def test_events_are_collected_by_name() -> None:
    names = ["a.created", "a.delta", "a.delta", "b.delta", "a.delta", "a.completed", "a.completed"]

    async def events() -> AsyncGenerator[Live | None, None]:
        for name in names:
            yield Live(Event(name, "{}"))
            yield None

    collected = await collect_events(events())
    assert collected == ["a.created", "a.delta", "b.delta", "a.delta", "a.completed", "a.completed"]
