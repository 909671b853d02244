"""The real embedded model in its child process. Everything here needs the model file in the user's cache."""

import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from tests.inference.provider_contract import SAY, calls_of, collect, text_of

from understudy import config
from understudy.errors import UpstreamError
from understudy.inference.base import CompletionRequest, Finished, TextDelta, ToolSpec
from understudy.inference.embedded import EmbeddedModel
from understudy.inference.model_file import model_path
from understudy.inference.rewriting import QueryRewriter
from understudy.testing import OneRoute

PLACE = {"type": "string", "description": "The city and state, e.g., San Francisco, CA"}
UNIT = {
    "type": "string",
    "enum": ["Celsius", "Fahrenheit"],
    "description": "The temperature unit to use. Infer this from the user's location.",
}
WEATHER_TOOLS = [
    ToolSpec(
        "get_current_temperature",
        "Get the current temperature for a specific location",
        {"type": "object", "properties": {"location": PLACE, "unit": UNIT}, "required": ["location", "unit"]},
    ),
    ToolSpec(
        "get_rain_probability",
        "Get the probability of rain for a specific location",
        {"type": "object", "properties": {"location": PLACE}, "required": ["location"]},
    ),
]
OUTPUTS = {"get_current_temperature": "57", "get_rain_probability": "0.06"}
INSTRUCTIONS = "You are a weather bot. Use the provided functions to answer questions."
QUESTIONS = [
    ("What's the weather in San Francisco today and the likelihood it'll rain?", ["San Francisco"]),
    ("오늘 부산의 날씨는 어때요? 비가 올 확률은 어때요? 비가 올 때는 어떻게 해야 하나요?", ["부산", "Busan"]),
    ("旧金山今天天气怎么样？下雨的可能性有多大？", ["旧金山", "San Francisco"]),
]


async def test_a_missing_file_is_told() -> None:
    model = EmbeddedModel(Path("nowhere.gguf"))
    with pytest.raises(UpstreamError, match="understudy models fetch"):
        await collect(model, SAY)
    assert model.last_error is not None
    await model.aclose()


async def test_a_file_that_is_no_model_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "junk.gguf").write_bytes(b"junk" * 100)
    model = EmbeddedModel(tmp_path / "junk.gguf")
    with pytest.raises(UpstreamError, match="could not be started"):
        await model.warm()
    assert "could not be started: {" in caplog.text, "in the engine's own words"
    assert not model.running
    await model.aclose()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def model() -> AsyncIterator[EmbeddedModel]:
    path = model_path(config.load().cache_dir)
    if not path.is_file():
        pytest.skip("the embedded model's file has not been fetched")
    model = EmbeddedModel(path)
    yield model
    await model.aclose()


def answered(request: CompletionRequest, calls: Sequence[tuple[str, str]]) -> CompletionRequest:
    made = [{"id": f"c{at}", "function": {"name": name, "arguments": args}} for at, (name, args) in enumerate(calls)]
    outputs = [
        {"role": "tool", "tool_call_id": f"c{at}", "content": OUTPUTS[name]} for at, (name, _) in enumerate(calls)
    ]
    return replace(request, messages=[*request.messages, {"role": "assistant", "tool_calls": made}, *outputs])


@pytest.mark.model
@pytest.mark.asyncio(loop_scope="module")
class TestModel:
    async def test_a_plain_answer_streams(self, model: EmbeddedModel) -> None:
        messages = [{"role": "user", "content": "Count from one to five in words."}]
        deltas = await collect(model, CompletionRequest("m", messages, temperature=0, max_tokens=40))
        assert sum(isinstance(delta, TextDelta) for delta in deltas) > 3
        assert "four" in text_of(deltas).lower()
        assert isinstance(deltas[-1], Finished)
        assert deltas[-1].usage.prompt_tokens > 5

    @pytest.mark.timeout(300)
    @pytest.mark.parametrize(("question", "places"), QUESTIONS, ids=["en", "ko", "zh"])
    async def test_weather(self, model: EmbeddedModel, question: str, places: list[str]) -> None:
        messages: list[Any] = [{"role": "system", "content": INSTRUCTIONS}, {"role": "user", "content": question}]
        request = CompletionRequest("m", messages, WEATHER_TOOLS)
        deltas = await collect(model, request)
        calls = calls_of(deltas)
        assert sorted(name for name, _ in calls) == sorted(OUTPUTS)
        assert all(any(place in arguments for place in places) for _, arguments in calls)
        reply = await collect(model, answered(request, calls))
        assert not calls_of(reply)
        assert "57" in text_of(reply)
        assert "0.06" in text_of(reply) or "6%" in text_of(reply) or "6 %" in text_of(reply)

    async def test_closing_aborts_the_completion_at_once(self, model: EmbeddedModel) -> None:
        long = CompletionRequest("m", [{"role": "user", "content": "Write a long story."}])
        deltas = model.stream(long)
        await anext(deltas)
        started = time.monotonic()
        await deltas.aclose()
        assert time.monotonic() - started < 0.2
        assert isinstance((await collect(model, replace(SAY, max_tokens=2)))[-1], Finished)

    async def test_a_killed_child_is_started_again(self, model: EmbeddedModel) -> None:
        await model.warm()
        first = model.process_id
        assert first is not None
        os.kill(first, signal.SIGKILL)
        assert isinstance((await collect(model, replace(SAY, max_tokens=2)))[-1], Finished)
        assert model.process_id not in (None, first)

    async def test_a_child_killed_in_mid_reply_is_an_upstream_error(self, model: EmbeddedModel) -> None:
        deltas = model.stream(CompletionRequest("m", [{"role": "user", "content": "Write a long story."}]))
        await anext(deltas)
        assert model.process_id is not None
        os.kill(model.process_id, signal.SIGKILL)
        with pytest.raises(UpstreamError):
            async for _ in deltas:
                pass


@pytest.mark.model
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
async def test_the_child_dies_with_its_parent() -> None:
    path = model_path(config.load().cache_dir)
    if not path.is_file():
        pytest.skip("the embedded model's file has not been fetched")
    source = (
        "import asyncio, pathlib, sys\n"
        "from understudy.inference.embedded import EmbeddedModel\n"
        "async def main():\n"
        "    model = EmbeddedModel(pathlib.Path(sys.argv[1])); await model.warm()\n"
        "    print(model.process_id, flush=True); await asyncio.sleep(600)\n"
        "asyncio.run(main())\n"
    )
    parent = await asyncio.create_subprocess_exec(
        sys.executable, "-c", source, str(path), stdout=asyncio.subprocess.PIPE
    )
    assert parent.stdout is not None
    child = int(await parent.stdout.readline())
    parent.kill()
    await parent.communicate()
    assert await asyncio.to_thread(has_ended, child, 5)


def has_ended(process_id: int, within_s: float) -> bool:
    status, deadline = Path(f"/proc/{process_id}/status"), time.monotonic() + within_s
    while time.monotonic() < deadline:
        if not status.exists() or "State:\tZ" in status.read_text():
            return True
        time.sleep(0.02)
    return False


@pytest.mark.model
@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize(
    ("asked", "kept"),
    [
        ("안녕하세요. 저는 신입사원인데요, 육아휴직은 최대 며칠까지 쓸 수 있는지 궁금합니다.", "육아휴직"),
        ("我想了解一下哈姆雷特为什么要装疯，谢谢！", "哈姆雷特"),
        ("how do I fix error E1234 in the printer manual model X-200?", "E1234"),
    ],
)
async def test_a_question_becomes_a_query(model: EmbeddedModel, asked: str, kept: str) -> None:
    [query] = await QueryRewriter(OneRoute(model, model.context_window), None).rewrite([asked])
    assert kept in query.replace(" ", "")  # "육아 휴직" is as good
    assert len(query) < len(asked)
