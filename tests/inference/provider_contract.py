"""What every Provider must do. Each adapter's tests collect these classes with a `make` of their own."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, aclosing

import pytest

from understudy.errors import UpstreamError
from understudy.inference.base import (
    CompletionRequest,
    Delta,
    Finished,
    Provider,
    TextDelta,
    ToolCallDelta,
    ToolSpec,
)

SAY = CompletionRequest(model="m", messages=[{"role": "user", "content": "hi"}])
WEATHER = ToolSpec("get_weather", "The weather", {"type": "object", "properties": {"city": {"type": "string"}}})
ASK = CompletionRequest(model="m", messages=[{"role": "user", "content": "weather?"}], tools=[WEATHER])

Scene = AbstractAsyncContextManager[Provider]
Make = Callable[[str], Scene]
"""Sets up a provider whose model does as the scene says: text, calls, cut, refuse or hang."""


async def collect(provider: Provider, request: CompletionRequest) -> list[Delta]:
    async with aclosing(provider.stream(request)) as deltas:
        return [delta async for delta in deltas]


def text_of(deltas: list[Delta]) -> str:
    return "".join(delta.text for delta in deltas if isinstance(delta, TextDelta))


def calls_of(deltas: list[Delta]) -> list[tuple[str, str]]:
    """Return (name, arguments) per call, and check that each call's id and name came once, first."""
    calls: dict[int, tuple[str, str]] = {}
    ids = []
    for delta in deltas:
        if isinstance(delta, ToolCallDelta):
            if delta.index not in calls:
                assert delta.id
                assert delta.name
                ids.append(delta.id)
                calls[delta.index] = (delta.name, delta.arguments)
            else:
                assert delta.id is None
                assert delta.name is None
                name, arguments = calls[delta.index]
                calls[delta.index] = (name, arguments + delta.arguments)
    assert len(set(ids)) == len(ids)
    assert list(calls) == list(range(len(calls)))
    return list(calls.values())


class ProviderContract:
    @pytest.fixture
    def make(self) -> Make:
        raise NotImplementedError

    async def test_text_comes_in_pieces_and_ends_with_finished(self, make: Make) -> None:
        async with make("text") as provider:
            deltas = await collect(provider, SAY)
        assert text_of(deltas) == "Hello, 부산 😀"
        assert sum(isinstance(delta, TextDelta) for delta in deltas) > 1
        assert isinstance(deltas[-1], Finished)
        assert deltas[-1].reason == "stop"
        assert deltas[-1].usage.completion_tokens > 0
        assert sum(isinstance(delta, Finished) for delta in deltas) == 1

    async def test_identical_calls_stay_two(self, make: Make) -> None:
        async with make("calls") as provider:
            deltas = await collect(provider, ASK)
        assert calls_of(deltas) == [("get_weather", '{"city": "부산"}')] * 2
        assert isinstance(deltas[-1], Finished)
        assert deltas[-1].reason == "tool_calls"

    async def test_a_cut_stream_is_an_upstream_error(self, make: Make) -> None:
        async with make("cut") as provider:
            with pytest.raises(UpstreamError):
                await collect(provider, SAY)

    async def test_a_refusing_upstream_is_an_upstream_error(self, make: Make) -> None:
        async with make("refuse") as provider:
            with pytest.raises(UpstreamError) as caught:
                await collect(provider, SAY)
        assert caught.value.code == "rate_limit_exceeded"

    async def test_closing_in_mid_stream_is_quick_and_leaves_the_provider_usable(self, make: Make) -> None:
        async with make("hang") as provider:
            deltas = provider.stream(SAY)
            assert isinstance(await anext(deltas), TextDelta)
            started = time.monotonic()
            await deltas.aclose()
            assert time.monotonic() - started < 0.2

    async def test_cancelling_the_reader_is_quick(self, make: Make) -> None:
        async with make("hang") as provider:
            task = asyncio.create_task(collect(provider, SAY))
            await asyncio.sleep(0.6)
            started = time.monotonic()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert time.monotonic() - started < 0.2


Scenes = AsyncIterator[Provider]
