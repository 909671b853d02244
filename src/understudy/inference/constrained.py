"""Tool calling for models that have none: the reply is held to one JSON envelope and read while it is written."""

import json
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from dataclasses import astuple, dataclass, field, replace
from typing import Any

from understudy.errors import UpstreamError
from understudy.ids import new_id
from understudy.inference import envelope
from understudy.inference.appended import Choices, choices
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
from understudy.inference.fence import FenceReader
from understudy.inference.grammar_schema import grammar_schema
from understudy.inference.json_stream import JsonStream, Piece, RawPiece

_BEYOND_CODE = 16
"""Pieces that a model may write behind its code before it is stopped; most end at once, and then tell their usage."""


class Constrained:
    """A Provider over another one whose model honours `response_format` and nothing of tools."""

    def __init__(self, inner: Provider, *, goes_on: bool = False) -> None:
        """`goes_on`: a prompt may end in the midst of the model's own answer, as llama.cpp's server allows."""
        self._inner = inner
        self._goes_on = goes_on

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
        """Yield what the envelope holds, and the code that it calls for.

        A reply of nothing but answered calls is asked for again, as a message.
        """
        reply = envelope.allowed(request)
        known = envelope.answered_calls(request.messages) if reply.message else frozenset[str]()
        reader = _EnvelopeReader(known, choices(request.messages))
        prompt = _enveloped(request, reply, reader.choices)
        async with aclosing(self._inner.stream(prompt)) as deltas:
            async for found in _read(deltas, reader):
                if not isinstance(found, Finished):
                    yield found
                    continue
                end = found
        further = self._code(prompt, reader, end) if reader.calls_for_code else None
        if reader.only_repeats:
            further = self._message_instead(request, reader, end)
        if further is None or end.reason in ("length", "content_filter"):
            yield end
            return
        async with aclosing(further) as deltas:
            async for found in deltas:
                yield replace(found, usage=_sum(end.usage, found.usage)) if isinstance(found, Finished) else found

    async def _message_instead(
        self, request: CompletionRequest, reader: "_EnvelopeReader", end: Finished
    ) -> AsyncGenerator[Delta, None]:
        talk = _enveloped(request, envelope.Allowed(message=True, tools=()), reader.choices)
        async with aclosing(self._inner.stream(talk)) as deltas:
            async for found in _read(deltas, _EnvelopeReader(frozenset(), reader.choices)):
                yield found

    async def _code(
        self, prompt: CompletionRequest, reader: "_EnvelopeReader", end: Finished
    ) -> AsyncGenerator[Delta, None]:
        """Ask for the code of a call, in a block, and yield it as the call's arguments."""
        messages = envelope.with_code_asked_for(prompt.messages, reader.reply)
        left = None if prompt.max_tokens is None else prompt.max_tokens - end.usage.completion_tokens
        beginning, fence = "", FenceReader()
        if self._goes_on:
            beginning, fence = envelope.code_beginning(reader.task), FenceReader.within_block()
            messages.append(envelope.begun_block(beginning))
        yield ToolCallDelta(reader.passed_on, new_id("call"), envelope.CODE, f'{{"code": "{_within_string(beginning)}')
        written, beyond = 0, 0
        asked = replace(prompt, messages=messages, response_format=None, max_tokens=left)
        finished = Finished("stop", TokenUsage(end.usage.prompt_tokens + end.usage.completion_tokens, 0))
        async with aclosing(self._inner.stream(asked)) as deltas:
            async for delta in deltas:
                if isinstance(delta, Finished):
                    finished = delta
                    break
                written, beyond = written + 1, beyond + fence.done
                if isinstance(delta, TextDelta) and (code := fence.feed(delta.text)):
                    yield ToolCallDelta(reader.passed_on, arguments=_within_string(code))
                if beyond > _BEYOND_CODE:  # it goes on talking; a piece is about a token
                    finished = replace(finished, usage=replace(finished.usage, completion_tokens=written))
                    break
        yield ToolCallDelta(reader.passed_on, arguments=_within_string(fence.end()) + '"}')
        yield finished if finished.reason == "length" and not fence.done else replace(finished, reason="tool_calls")


def _plain(request: CompletionRequest) -> CompletionRequest:
    """Return the request without tools, its own response_format as the grammar."""
    bare = replace(request, tools=(), tool_choice=None, parallel_tool_calls=None)
    return replace(bare, messages=envelope.prompt_messages(bare), response_format=_format(request.response_format))


def _format(wanted: Any) -> Any:
    if wanted is None or wanted.get("type") != "json_schema":
        return None if wanted is None or wanted.get("type") == "text" else wanted
    asked = wanted.get("json_schema") or {}
    return {"type": "json_schema", "json_schema": {**asked, "schema": grammar_schema(asked.get("schema") or {})}}


def _enveloped(request: CompletionRequest, reply: envelope.Allowed, named: Choices) -> CompletionRequest:
    shape = {"name": "reply", "schema": envelope.schema(reply, named)}
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


def _task(arguments: str) -> str:
    """Return what code is to do; a model behind another grammar may not have said it."""
    told = json.loads(arguments)
    return " ".join(str(told.get(envelope.TASK) or "").split())


def _within_string(text: str) -> str:
    """Return text as it stands within a JSON string."""
    return json.dumps(text, ensure_ascii=False)[1:-1]


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
    choices: Choices = field(default_factory=Choices)
    reply: str = ""
    calls_for_code: bool = False
    task: str = ""
    passed_on: int = 0
    _said: str = ""
    _name: str = ""
    _json: JsonStream = field(default_factory=lambda: JsonStream(raw_key="arguments"))
    _calls: dict[int, _OpenCall] = field(default_factory=dict)

    @property
    def only_repeats(self) -> bool:
        """Say whether the reply has ended, and held nothing but calls that are answered already."""
        return self._json.done and bool(self._calls) and not (self.passed_on or self._said or self.calls_for_code)

    def feed(self, text: str) -> list[Delta]:
        self.reply += text
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
        return replace(finished, reason="tool_calls" if self.passed_on or self.calls_for_code else "stop")

    def _delta(self, piece: Piece) -> Iterator[Delta]:
        match piece.path:
            case ("message",) if piece.text:
                self._said += piece.text
                yield TextDelta(piece.text)
            case ("sources" | "files" as kind, int()):
                self._name += piece.text
                if piece.last:
                    yield from self._appended(kind)
            case ("tool_calls", int(at), "name"):
                self._calls.setdefault(at, _OpenCall()).name += piece.text
                if piece.last:
                    yield from self._progress(self._calls[at])
            case ("tool_calls", int(at), "arguments") if isinstance(piece, RawPiece):
                call = self._calls.setdefault(at, _OpenCall())
                call.waiting += piece.text
                call.ended = piece.last
                yield from self._progress(call)

    def _appended(self, kind: str) -> Iterator[Delta]:
        """Put what was named behind the message, if it is not in it already."""
        appendix, self._name = self.choices.of(kind, self._name), ""
        if appendix is not None and appendix.sign not in self._said:
            self._said += appendix.text
            yield TextDelta(appendix.text)

    def _progress(self, call: _OpenCall) -> Iterator[Delta]:
        """Pass on what a call has so far; once calls have been answered, a call waits for its end to be compared."""
        if call.name == envelope.CODE:
            self.calls_for_code = True
            if call.ended:
                self.task = " ".join(filter(None, [self.task, _task(call.waiting)]))
            return
        if not call.name or (self._answered and not call.ended):
            return
        opened = call.index is None
        if opened and self._answered and envelope.call_key(call.name, json.loads(call.waiting)) in self._answered:
            return
        if opened:
            call.index, self.passed_on = self.passed_on, self.passed_on + 1
        assert call.index is not None
        arguments, call.waiting = call.waiting, ""
        if opened:
            yield ToolCallDelta(call.index, new_id("call"), call.name, arguments)
        elif arguments:
            yield ToolCallDelta(call.index, arguments=arguments)
