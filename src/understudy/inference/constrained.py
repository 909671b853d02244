"""Tool calling for models that have none: the reply is held to one JSON envelope and read while it is written."""

import json
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from dataclasses import astuple, dataclass, field, replace
from typing import Any

from understudy.errors import UpstreamError
from understudy.ids import new_id
from understudy.inference import envelope
from understudy.inference.base import (
    CompletionRequest,
    Delta,
    Finished,
    Provider,
    RefusalDelta,
    TextDelta,
    TokenUsage,
    ToolCallDelta,
)
from understudy.inference.grammar_schema import grammar_schema
from understudy.inference.json_stream import JsonStream, Piece, RawPiece


class Constrained:
    """A Provider over another one whose model honours `response_format` and nothing of tools."""

    def __init__(self, inner: Provider) -> None:
        self._inner = inner

    async def stream(self, request: CompletionRequest) -> AsyncGenerator[Delta, None]:
        """Yield the deltas of one completion. See `base.Provider`."""
        held = bool(request.tools) and request.tool_choice != "none"
        deltas = self._unwrapped(request) if held else self._inner.stream(_plain(request))
        async with aclosing(deltas):
            async for delta in deltas:
                yield delta

    async def aclose(self) -> None:
        """Close the inner provider."""
        await self._inner.aclose()

    async def _unwrapped(self, request: CompletionRequest) -> AsyncGenerator[Delta, None]:
        """Yield what the envelope holds; a reply of nothing but answered calls is asked for again, as a message."""
        reply = envelope.allowed(request)
        reader = _EnvelopeReader(envelope.answered_calls(request.messages) if reply.message else frozenset())
        async with aclosing(self._inner.stream(_enveloped(request, reply))) as deltas:
            async for found in _read(deltas, reader):
                if not (isinstance(found, Finished) and reader.only_repeats):
                    yield found
                    continue
                spent = found.usage
        if not reader.only_repeats:
            return
        talk = _enveloped(request, envelope.Allowed(message=True, tools=()))
        async with aclosing(self._inner.stream(talk)) as deltas:
            async for found in _read(deltas, _EnvelopeReader(frozenset())):
                yield replace(found, usage=_sum(spent, found.usage)) if isinstance(found, Finished) else found


def _plain(request: CompletionRequest) -> CompletionRequest:
    """Return the request without tools, its own response_format as the grammar."""
    bare = replace(request, tools=(), tool_choice=None, parallel_tool_calls=None)
    return replace(bare, messages=envelope.prompt_messages(bare), response_format=_format(request.response_format))


def _format(wanted: Any) -> Any:
    if wanted is None or wanted.get("type") != "json_schema":
        return None if wanted is None or wanted.get("type") == "text" else wanted
    asked = wanted.get("json_schema") or {}
    return {"type": "json_schema", "json_schema": {**asked, "schema": grammar_schema(asked.get("schema") or {})}}


def _enveloped(request: CompletionRequest, reply: envelope.Allowed) -> CompletionRequest:
    shape = {"name": "reply", "schema": envelope.schema(reply)}
    return replace(
        request,
        messages=envelope.prompt_messages(request),
        tools=(),
        tool_choice=None,
        parallel_tool_calls=None,
        # a small model picks the right functions at 0 and guesses at its default
        temperature=0.0 if request.temperature is None else request.temperature,
        response_format={"type": "json_schema", "json_schema": shape},
    )


async def _read(deltas: AsyncGenerator[Delta, None], reader: "_EnvelopeReader") -> AsyncGenerator[Delta, None]:
    async for delta in deltas:
        match delta:
            case TextDelta(text):
                for found in reader.feed(text):
                    yield found
            case Finished():
                yield reader.end(delta)
            case RefusalDelta() | ToolCallDelta():
                yield delta


def _sum(first: TokenUsage, second: TokenUsage) -> TokenUsage:
    return TokenUsage(*(a + b for a, b in zip(astuple(first), astuple(second), strict=True)))


@dataclass(slots=True)
class _OpenCall:
    name: str = ""
    waiting: str = ""
    ended: bool = False
    index: int | None = None
    """Its place among the calls that are passed on; None until it is."""


@dataclass(slots=True)
class _EnvelopeReader:
    """Turns the envelope's pieces into deltas, without the calls that are answered already."""

    _answered: frozenset[str]
    _json: JsonStream = field(default_factory=lambda: JsonStream(raw_key="arguments"))
    _calls: dict[int, _OpenCall] = field(default_factory=dict)
    _passed_on: int = 0
    _spoke: bool = False

    @property
    def only_repeats(self) -> bool:
        """Say whether the reply has ended, and held nothing but calls that are answered already."""
        return self._json.done and bool(self._calls) and not self._passed_on and not self._spoke

    def feed(self, text: str) -> list[Delta]:
        try:
            return [delta for piece in self._json.feed(text) for delta in self._delta(piece)]
        except ValueError:
            raise UpstreamError("The model did not keep to the form of reply that tool calls need.") from None

    def end(self, finished: Finished) -> Finished:
        """Return the stream's end. Raises UpstreamError for a reply that stops in its midst without a reason."""
        if finished.reason in ("length", "content_filter"):
            return finished
        if not self._json.done:
            raise UpstreamError("The model broke its reply off.")
        return replace(finished, reason="tool_calls" if self._passed_on else "stop")

    def _delta(self, piece: Piece) -> Iterator[Delta]:
        match piece.path:
            case ("message",) if piece.text:
                self._spoke = True
                yield TextDelta(piece.text)
            case ("tool_calls", int(at), "name"):
                self._calls.setdefault(at, _OpenCall()).name += piece.text
                if piece.last:
                    yield from self._progress(self._calls[at])
            case ("tool_calls", int(at), "arguments") if isinstance(piece, RawPiece):
                call = self._calls.setdefault(at, _OpenCall())
                call.waiting += piece.text
                call.ended = piece.last
                yield from self._progress(call)

    def _progress(self, call: _OpenCall) -> Iterator[Delta]:
        """Pass on what a call has so far; once calls have been answered, a call waits for its end to be compared."""
        if not call.name or (self._answered and not call.ended):
            return
        opened = call.index is None
        if opened and self._answered and envelope.call_key(call.name, json.loads(call.waiting)) in self._answered:
            return
        if opened:
            call.index, self._passed_on = self._passed_on, self._passed_on + 1
        assert call.index is not None
        arguments, call.waiting = call.waiting, ""
        if opened:
            yield ToolCallDelta(call.index, new_id("call"), call.name, arguments)
        elif arguments:
            yield ToolCallDelta(call.index, arguments=arguments)
