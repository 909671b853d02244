"""Programs as people wrote them for the hosted API run here after one change: the address, in `OPENAI_BASE_URL`."""

import json
import runpy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.harness.replies import Call, Reply
from tests.harness.server import Server
from tests.harness.upstream import Upstream
from tests.harness.wire import text_of

SEEDS = Path(__file__).parent / "seeds"

RunSeed = Callable[[str], dict[str, Any]]


@pytest.fixture
def run_seed(server: Server, monkeypatch: pytest.MonkeyPatch) -> RunSeed:
    """Run a program with nothing but the two usual variables; return its names."""
    monkeypatch.setenv("OPENAI_BASE_URL", server.url + "/v1")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-anything")
    monkeypatch.syspath_prepend(SEEDS)
    return lambda name: runpy.run_path(str(SEEDS / f"{name}.py"))


def test_korean_weather_notebook_calls_two_functions_in_each_of_two_turns(run_seed: RunSeed) -> None:
    turns = run_seed("korean_weather")["turns"]
    for (calls, answer), city in zip(turns, ("부산", "서울"), strict=True):
        assert [call.function.name for call in calls] == ["get_current_temperature", "get_rain_probability"]
        assert json.loads(calls[0].function.arguments) == {"location": city, "unit": "Celsius"}
        assert city in calls[1].function.arguments
        assert "57" in answer
        assert "0.06" in answer


def test_second_turn_of_the_notebook_sees_the_first_one(run_seed: RunSeed, upstream: Upstream) -> None:
    run_seed("korean_weather")
    roles = [message["role"] for message in upstream.bodies[-1]["messages"]]
    one_turn = ["user", "assistant", "tool", "tool"]
    assert roles == ["system", *one_turn, "assistant", *one_turn]


def test_stock_notebook_keeps_two_identical_calls_apart(run_seed: RunSeed, upstream: Upstream) -> None:
    call = Call("yf_stock", '{"ticker": "AAPL"}', "call_one"), Call("yf_stock", '{"ticker": "AAPL"}', "call_two")
    upstream.script(Reply(calls=call))
    seen = run_seed("korean_stock")
    assert [call.function.arguments for call in seen["tool_calls"]] == ['{"ticker": "AAPL"}'] * 2
    assert len({call.id for call in seen["tool_calls"]}) == 2
    assert seen["run"].status == "completed"
    outputs = [m["content"] for m in upstream.bodies[-1]["messages"] if m["role"] == "tool"]
    assert outputs == ["210.6199951171875"] * 2


def test_chinese_page_submits_in_a_stream_within_the_first_stream(run_seed: RunSeed) -> None:
    seen = run_seed("chinese_event_handler")
    assert "".join(seen["printed"]) == "The tools said: 57; 0.06"
    assert seen["order"].count("thread.run.requires_action") == 1
    assert seen["order"][-1] == "thread.run.completed"


def test_bubble_tea_narration_is_read_while_the_run_waits(run_seed: RunSeed, upstream: Upstream) -> None:
    narration = "데이터 서버의 상태를 확인하기 위해 검사해보겠습니다. 잠시만 기다려 주세요."
    upstream.script(Reply(narration, [Call("examine_server", "{}")]))
    seen = run_seed("bubble_tea")
    question = ("user", "지금 데이터 서버가 잘 작동중인가요?")
    assert seen["while_waiting"] == [question, ("assistant", narration)]
    assert seen["final"].status == "completed"
    assert seen["at_the_end"][:2] == seen["while_waiting"]
    assert "버블티" in seen["at_the_end"][2][1]


def test_bubble_tea_function_without_parameters_is_echoed_filled_in(run_seed: RunSeed, upstream: Upstream) -> None:
    seen = run_seed("bubble_tea")
    function = seen["server_assistant"].tools[0].function
    assert function.parameters == {"type": "object", "properties": {}}
    assert function.strict is False
    assert seen["server_run_status"].required_action.submit_tool_outputs.tool_calls[0].function.arguments == "{}"


def test_messages_are_listed_in_both_orders(run_seed: RunSeed) -> None:
    seen = run_seed("korean_weather")
    client, thread = seen["client"], seen["thread"]
    newest_first = [m.id for m in client.beta.threads.messages.list(thread.id)]
    oldest_first = [m.id for m in client.beta.threads.messages.list(thread.id, order="asc")]
    assert newest_first == oldest_first[::-1]
    roles = [m.role for m in client.beta.threads.messages.list(thread.id, order="asc")]
    assert roles == ["user", "assistant", "user", "assistant"]
    assert text_of(client.beta.threads.messages.list(thread.id).data[0].model_dump()).startswith("The tools said")
