import asyncio
import json
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
from tests.inference.fake_upstream import (
    DONE,
    USAGE,
    FakeUpstream,
    Reply,
    chunk,
    error_reply,
    event,
    framed,
    text_reply,
    upstream,
)
from tests.inference.provider_contract import ASK, SAY, WEATHER, Make, ProviderContract, calls_of, collect, text_of

from understudy.errors import UpstreamError
from understudy.inference.base import CompletionRequest, Finished, Provider, RefusalDelta, TextDelta, TokenUsage
from understudy.inference.dialect import Dialect, Upstream
from understudy.inference.openai_compatible import OpenAICompatible

KEY = "sk-very-secret-key-123"
TEXTS = ("Hel", "lo, 부산", " 😀")


def entry(**fields: Any) -> dict[str, Any]:
    function = {name: fields.pop(name) for name in ("name", "arguments") if name in fields}
    return {**fields, "function": function}


def calls(*chunks: list[dict[str, Any]], finish: str | None = "tool_calls") -> Reply:
    return Reply([*(chunk({"tool_calls": entries}) for entries in chunks), chunk(finish=finish), DONE])


WHOLE_CALL = entry(name="get_weather", arguments='{"city": "부산"}')
SCENES = {
    "text": text_reply(*TEXTS),
    "calls": calls([{"index": 0, "id": "a", **WHOLE_CALL}, {"index": 1, "id": "b", **WHOLE_CALL}]),
    "cut": Reply([chunk({"content": "Hel"})]),
    "refuse": error_reply(429, "Rate limit reached. Please try again in 20 seconds."),
    "hang": Reply([chunk({"content": "Hel"}), 30.0]),
}


@asynccontextmanager
async def provider_to(fake: FakeUpstream, **dialect: Any) -> AsyncIterator[OpenAICompatible]:
    settings = {"max_retries": 0, "connect_timeout_s": 2, "first_byte_timeout_s": 5, "idle_timeout_s": 5} | dialect
    provider = OpenAICompatible(Upstream(fake.base_url, KEY, None, Dialect(**settings)))
    try:
        yield provider
    finally:
        await provider.aclose()


async def run(reply: Reply, request: CompletionRequest = SAY, **dialect: Any) -> list[Any]:
    async with upstream(reply) as fake, provider_to(fake, **dialect) as provider:
        return await collect(provider, request)


async def failure(reply: Reply, **dialect: Any) -> UpstreamError:
    with pytest.raises(UpstreamError) as caught:
        await run(reply, **dialect)
    assert KEY not in caught.value.message
    assert "127.0.0.1" not in caught.value.message
    return caught.value


class TestContract(ProviderContract):
    @pytest.fixture
    def make(self) -> Make:
        @asynccontextmanager
        async def scene(name: str) -> AsyncIterator[Provider]:
            async with upstream(SCENES[name]) as fake, provider_to(fake) as provider:
                yield provider

        return scene


class TestRequest:
    async def body(self, request: CompletionRequest, **dialect: Any) -> dict[str, Any]:
        async with upstream(text_reply("x")) as fake, provider_to(fake, **dialect) as provider:
            await collect(provider, request)
            return fake.requests[0]

    async def test_sends_only_what_was_set(self) -> None:
        body = await self.body(SAY)
        assert body == {
            "model": "m",
            "messages": [{"role": "user", "content": "hi"}],
            "stream": True,
            "stream_options": {"include_usage": True},
        }

    async def test_zero_is_zero(self) -> None:
        body = await self.body(CompletionRequest("m", SAY.messages, temperature=0.0, top_p=0.0))
        assert (body["temperature"], body["top_p"]) == (0, 0)

    async def test_dialect_names_and_refusals(self) -> None:
        request = CompletionRequest(
            "m", SAY.messages, [WEATHER], "auto", False, temperature=1, max_tokens=5, reasoning_effort="low"
        )
        body = await self.body(
            request,
            token_limit_field="max_completion_tokens",
            refuses=frozenset({"temperature"}),
            parallel_tool_calls=False,
            stream_usage=False,
        )
        assert body["max_completion_tokens"] == 5
        assert body["reasoning_effort"] == "low"
        assert body["tool_choice"] == "auto"
        assert "strict" not in body["tools"][0]["function"]
        assert not body.keys() & {"temperature", "max_tokens", "parallel_tool_calls", "stream_options"}

    async def test_pictures_become_notes_or_are_inlined(self) -> None:
        parts = [{"type": "text", "text": "see"}, {"type": "image_url", "image_url": {"url": "https://a/b.png"}}]
        request = CompletionRequest("m", [{"role": "user", "content": parts}])
        body = await self.body(request, images="none")
        assert body["messages"][0]["content"].startswith("see\n[A picture")

        async def fetch(url: str) -> str:
            return f"data:image/png;base64,{len(url)}"

        async with upstream(text_reply("x")) as fake:
            provider = OpenAICompatible(Upstream(fake.base_url, dialect=Dialect(images="inline")), fetch_image=fetch)
            await collect(provider, request)
            await provider.aclose()
        assert fake.requests[0]["messages"][0]["content"][1]["image_url"]["url"] == "data:image/png;base64,15"

    async def test_concurrency_is_bounded(self) -> None:
        slow = Reply([0.05, *text_reply("x").pieces])
        async with upstream(slow) as fake, provider_to(fake, concurrency=2) as provider:
            await asyncio.gather(*(collect(provider, SAY) for _ in range(5)))
        assert fake.most_at_once == 2


class TestTolerance:
    @pytest.mark.parametrize(
        "entries",
        [
            [[WHOLE_CALL, WHOLE_CALL]],  # neither index nor id
            [[{"index": 0, "id": "a", **WHOLE_CALL}], [{"index": 0, "id": "b", **WHOLE_CALL}]],  # one index for all
            [[{"index": 0, **WHOLE_CALL}], [{"index": 0, **WHOLE_CALL}]],  # same, without ids
            [[{"index": 0, "id": "", **WHOLE_CALL}, {"index": 1, "id": None, **WHOLE_CALL}]],
            [[entry(index=i, id=i * "x" + "y", name="get_weather", arguments={"city": "부산"}) for i in (0, 1)]],
            [
                [entry(index=0, id="a", name="get_weather", arguments="")],
                [entry(index=0, arguments='{"city": ')],
                [entry(index=1, id="b", name="get_weather", arguments='{"city": "부산"}')],
                [entry(index=0, arguments='"부산"}')],
            ],
        ],
    )
    async def test_two_calls_stay_two(self, entries: list[list[dict[str, Any]]]) -> None:
        deltas = await run(calls(*entries), ASK)
        assert calls_of(deltas) == [("get_weather", '{"city": "부산"}')] * 2

    async def test_a_name_repeated_in_each_fragment_is_one_call(self) -> None:
        fragments = [[entry(index=0, id="a", name="get_weather", arguments=part)] for part in ('{"city"', ": 1}")]
        assert calls_of(await run(calls(*fragments), ASK)) == [("get_weather", '{"city": 1}')]

    @pytest.mark.parametrize("finish", ["stop", "function_call", "whatever", "tool_calls"])
    async def test_calls_end_with_tool_calls(self, finish: str) -> None:
        assert (await run(calls([WHOLE_CALL], finish=finish), ASK))[-1].reason == "tool_calls"

    async def test_legacy_function_call(self) -> None:
        reply = Reply([chunk({"function_call": {"name": "f", "arguments": "{}"}}), chunk(finish="function_call"), DONE])
        assert calls_of(await run(reply)) == [("f", "{}")]

    async def test_usage_after_the_finish(self) -> None:
        assert (await run(text_reply("x")))[-1] == Finished("stop", TokenUsage(11, 7, 3, 2))

    async def test_usage_is_counted_where_none_is_given(self) -> None:
        finished = (await run(Reply([chunk({"content": "Hello there"}), chunk(finish="length"), DONE])))[-1]
        assert finished == Finished("length", TokenUsage(8, 2))

    async def test_an_emoji_cut_in_two_is_whole_and_half_a_one_is_told_of(self) -> None:
        deltas = await run(text_reply("hi \ud83d", "\ude00! \ud83d"))
        assert text_of(deltas) == "hi 😀! \ufffd"
        assert isinstance(deltas[-1], Finished)

    @pytest.mark.parametrize("tokens", ['"abc"', "NaN", "1e999", "-5", "true"])
    async def test_usage_is_counted_where_the_one_given_is_not_understood(self, tokens: str) -> None:
        usage = b'data: {"choices": [], "usage": {"prompt_tokens": 5, "completion_tokens": %s}}\n\n' % tokens.encode()
        finished = (await run(Reply([chunk({"content": "Hello there"}), chunk(finish="stop"), usage, DONE])))[-1]
        assert finished == Finished("stop", TokenUsage(8, 2))

    async def test_refusal(self) -> None:
        deltas = await run(Reply([chunk({"refusal": "No."}), chunk(finish="stop")]))
        assert deltas[0] == RefusalDelta("No.")

    async def test_a_whole_completion_in_place_of_a_stream(self) -> None:
        completion = {
            "choices": [{"message": {"content": "hi\nthere", "tool_calls": [WHOLE_CALL]}, "finish_reason": "stop"}],
            "usage": USAGE,
        }
        body = json.dumps(completion, indent=1).encode()
        deltas = await run(Reply([body[:20], 0.01, body[20:]], content_type="application/json"))
        assert text_of(deltas) == "hi\nthere"
        assert calls_of(deltas) == [("get_weather", '{"city": "부산"}')]

    async def test_line_separators_within_text_and_odd_framing(self) -> None:
        text = "a\u2028b\u0085c"
        raw = json.dumps({"choices": [{"delta": {"content": text}}]}, ensure_ascii=False).encode()
        pieces = [
            b": ping\r\n\r\nevent: message\r\nid: 1\r\ndata:" + raw[:31],
            raw[31:] + b"\r\n\r\n",
            chunk(finish="stop"),
        ]
        assert text_of(await run(Reply(pieces))) == text

    async def test_end_without_done_or_blank_line(self) -> None:
        last = b'data: {"choices": [{"delta": {}, "finish_reason": "stop"}]}'
        assert (await run(Reply([chunk({"content": "x"}), last])))[-1].reason == "stop"

    async def test_done_without_finish_reason(self) -> None:
        assert (await run(Reply([chunk({"content": "x"}), DONE])))[-1].reason == "stop"

    async def test_an_upstream_that_lingers_after_its_finish_does_not_hold_the_reply(self) -> None:
        started = time.monotonic()
        await run(Reply([chunk({"content": "x"}), chunk(finish="stop"), 30.0]), idle_timeout_s=0.2)
        assert time.monotonic() - started < 3


class TestFaults:
    @pytest.mark.parametrize(
        "pieces",
        [
            [],
            [DONE],
            [b"<html><body>Bad gateway</body></html>"],
            [b"data: {oops\n\n"],
            [b"data: [1]\n\n"],
            [b'data: {"choices": [5]}\n\n'],
            [chunk({"content": "x"}), b'data: {"choices": [{"del'],
            [
                chunk({"tool_calls": [{"index": 0, "id": "a", "function": {"arguments": "{}"}}]}),
                chunk(finish="stop"),
                DONE,
            ],
            [chunk({"tool_calls": [7]})],
            [chunk({"tool_calls": [{"index": 0, "id": "a", "function": {"name": 5, "arguments": "{}"}}]}), DONE],
            [chunk({"tool_calls": {"a": 1}})],
            [b"\xff\xfe\n\n"],
            [b"{"],
        ],
    )
    async def test_what_is_no_reply_is_an_upstream_error(self, pieces: list[bytes]) -> None:
        assert (await failure(Reply(pieces))).code == "server_error"

    @pytest.mark.parametrize(
        "deep",
        [
            b'data: {"choices": ' + b"[" * 100_000 + b"]" * 100_000 + b"}\n\n",
            b"data: " + b'{"a":' * 100_000 + b"\n\n",
            b"data: " + b"[" * 100_000,
            b'{"choices": ' + b"[" * 100_000,
        ],
    )
    async def test_what_is_nested_too_deeply_is_refused_once(self, deep: bytes) -> None:
        async with upstream(Reply([deep])) as fake, provider_to(fake, max_retries=2) as provider:
            with pytest.raises(UpstreamError, match=r"sent JSON that is nested too deeply\.$"):
                await collect(provider, SAY)
        assert len(fake.requests) == 1

    async def test_silence_before_the_first_byte(self) -> None:
        async def mute(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read()
            writer.close()
            gone.set()

        gone = asyncio.Event()
        server = await asyncio.start_server(mute, "127.0.0.1", 0)
        fake = FakeUpstream([], base_url=f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        async with provider_to(fake, first_byte_timeout_s=0.2) as provider:
            with pytest.raises(UpstreamError, match="did not answer in time"):
                await collect(provider, SAY)
        await gone.wait()
        server.close()
        await server.wait_closed()

    async def test_silence_in_mid_stream(self) -> None:
        fault = await failure(Reply([chunk({"content": "x"}), 30.0]), idle_timeout_s=0.2)
        assert "silent for too long" in fault.message

    async def test_unreachable(self) -> None:
        async with provider_to(FakeUpstream([], base_url="http://127.0.0.1:9/v1")) as provider:
            with pytest.raises(UpstreamError) as caught:
                await collect(provider, SAY)
        assert caught.value.message == "The model's server could not be reached."

    async def test_error_object_in_the_stream(self) -> None:
        words = f"Overloaded at https://internal.example:8443/x with {KEY}"
        fault = await failure(Reply([chunk({"content": "x"}), event({"error": {"message": words}})]))
        assert fault.message == "Overloaded at [address] with [redacted]"

    async def test_error_event_and_plain_string_errors(self) -> None:
        named = await failure(Reply([b'event: error\ndata: {"message": "boom", "code": 429}\n\n']))
        assert (named.message, named.code) == ("boom", "rate_limit_exceeded")
        assert (await failure(Reply([event({"error": "kaput"})]))).message == "kaput"

    async def test_words_that_nothing_can_hold_are_mended(self) -> None:
        words = "bad prompt: hel\0lo \ud83d, sk-\0very-secret-key-123"
        mended = "bad prompt: hello \ufffd, [redacted]"
        assert (await failure(error_reply(400, words))).message == mended
        assert (await failure(Reply([chunk({"content": "x"}), event({"error": {"message": words}})]))).message == mended

    async def test_rate_limit_keeps_its_words(self) -> None:
        fault = await failure(SCENES["refuse"])
        assert fault.code == "rate_limit_exceeded"
        assert "try again in 20 second" in fault.message

    async def test_context_length_is_an_invalid_prompt(self) -> None:
        fault = await failure(error_reply(400, "This model's maximum context length is 8 tokens."))
        assert fault.code == "invalid_prompt"

    async def test_html_error_page_is_not_shown(self) -> None:
        fault = await failure(Reply([b"<html>nginx</html>"], status=502, content_type="text/html"))
        assert fault.message == "The model's server answered with status 502."

    async def test_wrong_key_is_redacted(self) -> None:
        fault = await failure(error_reply(401, f"Incorrect API key provided: {KEY}. Ask llm-box:8000 or 10.0.0.7"))
        assert fault.message == "Incorrect API key provided: [redacted]. Ask [address] or [address]"


class TestRetries:
    async def test_before_the_first_byte(self) -> None:
        replies = [error_reply(503, "busy"), error_reply(429, "slow down"), text_reply("fine")]
        async with upstream(*replies) as fake, provider_to(fake, max_retries=2) as provider:
            assert text_of(await collect(provider, SAY)) == "fine"
        assert len(fake.requests) == 3

    async def test_never_after_it(self) -> None:
        async with upstream(SCENES["cut"], text_reply("again")) as fake, provider_to(fake, max_retries=2) as provider:
            with pytest.raises(UpstreamError):
                await collect(provider, SAY)
        assert len(fake.requests) == 1


async def test_closing_closes_the_upstreams_connection_at_once() -> None:
    async with upstream(SCENES["hang"]) as fake, provider_to(fake) as provider:
        deltas = provider.stream(SAY)
        assert await anext(deltas) == TextDelta("Hel")
        await deltas.aclose()
        async with asyncio.timeout(0.2):
            await fake.aborted.wait()


HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
LAST_CHUNK = b"0\r\n\r\n"


async def connections_of(last: bytes, calls: int) -> int:
    """Call an upstream that keeps its connections open; return over how many the calls went."""
    opened = 0
    serving: set[Any] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal opened
        opened += 1
        serving.add(asyncio.current_task())
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                await _request(reader)
                writer.write(HEAD)
                writer.writelines(framed(piece) for piece in text_reply(*TEXTS).pieces)
                writer.write(last)
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    async with server, provider_to(FakeUpstream([], f"http://{host}:{port}/v1")) as provider:
        for _ in range(calls):
            assert text_of(await collect(provider, SAY)) == "".join(TEXTS)
        await provider.aclose()
        await asyncio.gather(*serving)
    return opened


async def test_calls_share_a_connection() -> None:
    assert await connections_of(LAST_CHUNK, calls=3) == 1


async def test_a_connection_that_the_upstream_closes_as_it_is_used_again_costs_no_try() -> None:
    answered, serving = 0, set[Any]()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal answered
        serving.add(asyncio.current_task())
        with suppress(asyncio.IncompleteReadError):
            await _request(reader)
            answered += 1
            writer.write(HEAD)
            writer.writelines(framed(piece) for piece in text_reply(*TEXTS).pieces)
            writer.write(LAST_CHUNK)
            await _request(reader)
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    async with server, provider_to(FakeUpstream([], f"http://{host}:{port}/v1"), max_retries=0) as provider:
        for _ in range(2):
            assert text_of(await collect(provider, SAY)) == "".join(TEXTS)
        await provider.aclose()
        await asyncio.gather(*serving)
    assert (answered, len(serving)) == (2, 2)


async def _request(reader: asyncio.StreamReader) -> None:
    head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
    await reader.readexactly(int(head.partition("content-length: ")[2].partition("\r\n")[0]))


async def test_an_upstream_that_is_not_there_yet_is_asked_again() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    fake = FakeUpstream([text_reply(*TEXTS)], f"http://127.0.0.1:{port}/v1")
    async with provider_to(fake, max_retries=1) as provider:
        answer = asyncio.create_task(collect(provider, SAY))
        await asyncio.sleep(0.2)
        async with await asyncio.start_server(fake.serve, "127.0.0.1", port):
            assert text_of(await answer) == "".join(TEXTS)


async def test_a_body_without_an_end_costs_its_connection_and_no_time() -> None:
    began = time.monotonic()
    assert await connections_of(b"", calls=3) == 3
    assert time.monotonic() - began < 10  # three idle timeouts are 15 s
