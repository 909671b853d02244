"""Traces of a run: its agent, its model's calls, with ids and counts, and nothing that anybody wrote."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from tests.engine.house import House

from understudy import tracing
from understudy.errors import UpstreamError
from understudy.testing import say


class FakeSpan:
    def __init__(self, name: str, attributes: dict[str, Any], kind: Any) -> None:
        self.name, self.attributes, self.kind = name, dict(attributes), kind
        self.failed = False

    def set_attribute(self, name: str, value: Any) -> None:
        self.attributes[name] = value

    def set_status(self, _: Any) -> None:
        self.failed = True


class FakeTracer:
    """Keeps the spans in the order in which they ended."""

    def __init__(self) -> None:
        self.spans: list[FakeSpan] = []

    @contextmanager
    def start_as_current_span(self, name: str, *, kind: Any, attributes: Any, **_: Any) -> Iterator[FakeSpan]:
        span = FakeSpan(name, attributes, kind)
        try:
            yield span
        finally:
            self.spans.append(span)


@pytest.fixture
def tracer(monkeypatch: pytest.MonkeyPatch) -> FakeTracer:
    tracer = FakeTracer()
    monkeypatch.setattr(tracing, "_tracer", lambda: tracer)
    return tracer


async def test_a_run_and_its_model_call(house: House, tracer: FakeTracer) -> None:
    house.work()
    house.model.turns = [say("a secret answer")]
    run = await house.rest(await house.start("a secret question"))
    chat, agent = tracer.spans
    named = {"gen_ai.conversation.id": run.thread_id, "understudy.run.id": run.id, "understudy.run.attempt": 1}
    assert agent.name == f"invoke_agent {run.assistant_id}"
    assert agent.attributes == named | {
        "gen_ai.operation.name": "invoke_agent",
        "gen_ai.agent.id": run.assistant_id,
        "gen_ai.request.model": "gpt-4o",
    }
    assert chat.name == "chat gpt-4o"
    assert chat.attributes == named | {
        "gen_ai.operation.name": "chat",
        "gen_ai.request.model": "gpt-4o",
        "gen_ai.usage.input_tokens": 10,
        "gen_ai.usage.output_tokens": 5,
        "gen_ai.response.finish_reasons": ["stop"],
    }
    assert chat.kind.name == "CLIENT"
    assert "secret" not in str([span.attributes for span in tracer.spans])


async def test_a_failure_is_told_by_its_type_alone(house: House, tracer: FakeTracer) -> None:
    house.work()
    house.model.turns = [[UpstreamError("a secret reason")]]
    await house.rest(await house.start())
    assert [(span.failed, span.attributes["error.type"]) for span in tracer.spans] == [(True, "UpstreamError")] * 2
    assert "secret" not in str([span.attributes for span in tracer.spans])


def test_without_an_sdk_nothing_happens() -> None:
    with tracing.span("chat", "m", {"a": 1}) as span:
        assert not span.is_recording()
