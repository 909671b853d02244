"""From a chat completions reply to deltas, forgiving what upstreams get wrong. Pure: no I/O.

Whatever cannot be understood raises NotUnderstood; its text is shown to users after redaction.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from understudy.ids import new_id
from understudy.inference.base import Delta, FinishReason, RefusalDelta, TextDelta, TokenUsage, ToolCallDelta

Json = Mapping[str, Any]
Place = Literal["text", "refusal"] | int
"""What a piece of a reply belongs to: the text, the refusal, or the arguments of the call at an index."""

_REASONS: Mapping[str, FinishReason] = {
    "length": "length",
    "max_tokens": "length",
    "content_filter": "content_filter",
    "tool_calls": "tool_calls",
    "function_call": "tool_calls",
    "tool_use": "tool_calls",
}
_HALF = "\ufffd"  # what stands for half a character
_MOST_TOKENS = 10**9  # of one call: no model reads more, and every database keeps sums of it


class NotUnderstood(Exception):
    """The upstream's bytes are no chat completion."""


class ErrorObject(Exception):
    """The upstream put an error where a chunk belongs."""

    def __init__(self, error: object) -> None:
        super().__init__()
        self.error = error


@dataclass(slots=True)
class _Call:
    index: int
    upstream_id: str | None
    named: bool = False
    arguments: str = ""


class ReplyReader:
    """Reads the chunks of one reply, or the whole reply at once, and remembers how it ended.

    Upstreams that cut text by UTF-16 units send an emoji as two halves: the first waits until the second comes.
    """

    def __init__(self) -> None:
        self.reason: FinishReason | None = None
        self.usage: TokenUsage | None = None
        self.begun = False
        self.text: list[str] = []
        self._calls: list[_Call] = []
        self._by_index: dict[int, _Call] = {}
        self._halves: dict[Place, str] = {}

    @property
    def has_calls(self) -> bool:
        return bool(self._calls)

    def spoken(self) -> str:
        """Return all that the model wrote, for counting tokens."""
        return "".join(self.text) + "".join(call.arguments for call in self._calls)

    def feed(self, chunk: object) -> Iterator[Delta]:
        """Yield the deltas of a decoded chunk (`delta`) or of a whole completion (`message`)."""
        if not isinstance(chunk, Mapping):
            raise NotUnderstood("The model's server sent a chunk that is not an object.")
        if chunk.get("error"):
            raise ErrorObject(chunk["error"])
        self.usage = _usage(chunk.get("usage")) or self.usage
        choices = chunk.get("choices") or ()
        if choices:
            yield from self._choice(choices[0])

    def rest(self) -> Iterator[Delta]:
        """Yield what still waits for more at the end: halves of characters, as U+FFFD."""
        for place in list(self._halves):
            yield from self._lone(place)

    def end(self) -> FinishReason:
        """Return why the reply ended. Raises NotUnderstood when there was no reply or a call has no name."""
        if not all(call.named for call in self._calls):
            raise NotUnderstood("The model's server sent a tool call without a name.")
        if self.reason in (None, "stop") and self.has_calls:
            return "tool_calls"
        if self.reason is None and not self.begun:
            raise NotUnderstood("The model's server ended its stream without a reply.")
        return self.reason or "stop"

    def _choice(self, choice: Any) -> Iterator[Delta]:
        if not isinstance(choice, Mapping):
            raise NotUnderstood("The model's server sent a choice that is not an object.")
        if choice.get("error"):
            raise ErrorObject(choice["error"])
        body = choice.get("delta") or choice.get("message")
        if isinstance(body, Mapping):
            yield from self._body(body)
        reason = choice.get("finish_reason")
        if reason == "error":
            raise ErrorObject("The model's server ended its reply with an error.")
        if reason:
            self.reason = _REASONS.get(str(reason), "stop")

    def _body(self, body: Json) -> Iterator[Delta]:
        if text := self._whole("text", _text(body.get("content"))):
            self._note(text)
            yield TextDelta(text)
        if refusal := self._whole("refusal", _text(body.get("refusal"))):
            self._note(refusal)
            yield RefusalDelta(refusal)
        calls = body.get("tool_calls") or ()
        if not isinstance(calls, list | tuple):
            raise NotUnderstood("The model's server sent tool calls that are not a list.")
        for entry in calls:
            yield from self._call(entry)
        if isinstance(body.get("function_call"), Mapping):
            yield from self._call({"index": 0, "function": body["function_call"]})

    def _whole(self, place: Place, text: str) -> str:
        """Return text up to its last whole character, with the half before it that has waited for it."""
        if not text:
            return text
        if self._halves and place in self._halves:
            both = self._halves.pop(place) + text
            text = both.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")
        if "\ud800" <= text[-1] < "\udc00":
            self.begun = True
            self._halves[place] = text[-1]
            return text[:-1]
        return text

    def _lone(self, place: Place) -> Iterator[Delta]:
        """Give up waiting for a character's second half, if there is one to wait for."""
        if not self._halves.pop(place, ""):
            return
        if isinstance(place, int):
            self._calls[place].arguments += _HALF
            yield ToolCallDelta(place, arguments=_HALF)
        else:
            self._note(_HALF)
            yield TextDelta(_HALF) if place == "text" else RefusalDelta(_HALF)

    def _note(self, text: str) -> None:
        self.begun = True
        self.text.append(text)

    def _call(self, entry: Any) -> Iterator[Delta]:
        function = entry.get("function") if isinstance(entry, Mapping) else None
        if not isinstance(function, Mapping):
            raise NotUnderstood("The model's server sent a tool call without a function.")
        name = _text(function.get("name")) or None
        call = self._existing(entry, name)
        opened = call is None
        if call is None:
            yield from self._lone("text")  # a call ends the text before it
            yield from self._lone("refusal")
            call = self._open(entry)
        arguments = self._whole(call.index, _arguments(function.get("arguments")))
        call.arguments += arguments
        shown = name if name and not call.named else None
        call.named = call.named or bool(name)
        call_id = (call.upstream_id or new_id("call")) if opened else None
        if call_id or shown or arguments:
            yield ToolCallDelta(call.index, call_id, shown, arguments)

    def _open(self, entry: Json) -> _Call:
        call_id = _text(entry.get("id")) or None
        taken = any(call.upstream_id == call_id for call in self._calls)
        call = _Call(len(self._calls), None if taken else call_id)
        self._calls.append(call)
        if isinstance(entry.get("index"), int):
            self._by_index[entry["index"]] = call
        self.begun = True
        return call

    def _existing(self, entry: Json, name: object) -> _Call | None:
        """Return the call that an entry goes on with, or None for a new one.

        Some upstreams give every call index 0 and tell them apart by id, some give neither; a name that comes
        again once the arguments are whole begins another call, however much it resembles the one before.
        """
        call_id, index = entry.get("id"), entry.get("index")
        at_index = self._by_index.get(index) if isinstance(index, int) else None
        same = next((call for call in self._calls if call_id and call.upstream_id == call_id), None)
        elsewhere = isinstance(index, int) and at_index is not same
        if same and not (elsewhere and name):  # two identical calls may come under one id: their places differ
            return same
        call = at_index if isinstance(index, int) else next(reversed(self._calls), None)
        if call is None or (call_id and call.upstream_id):
            return None
        if call_id and call.named and call.arguments:
            return None
        if name and call.named and (index is None or _is_whole(call.arguments)):
            return None
        return call


def _text(value: object) -> str:
    """Return content as text; some upstreams send a list of parts."""
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return "".join(str(part.get("text") or "") for part in value if isinstance(part, Mapping))
    return ""


def _arguments(value: object) -> str:
    if value is None or isinstance(value, str):
        return value or ""
    try:
        return json.dumps(value, ensure_ascii=False)  # some upstreams send the object itself
    except RecursionError:
        raise NotUnderstood("The model's server sent arguments that are nested too deeply.") from None


def _is_whole(arguments: str) -> bool:
    try:
        return isinstance(json.loads(arguments), dict)
    except (ValueError, RecursionError):
        return False


def _usage(usage: object) -> TokenUsage | None:
    """Return what an upstream says was used, or None if that is not to be understood: then it is counted."""
    if not isinstance(usage, Mapping):
        return None
    prompt, completion = _tokens(usage.get("prompt_tokens")), _tokens(usage.get("completion_tokens") or 0)
    if prompt is None or completion is None:
        return None
    cached = _detail(usage.get("prompt_tokens_details"), "cached_tokens")
    return TokenUsage(prompt, completion, cached, _detail(usage.get("completion_tokens_details"), "reasoning_tokens"))


def _tokens(number: object) -> int | None:
    """Return a number of tokens as an integer (some upstreams write 7.0), or None for what is none."""
    if isinstance(number, bool) or not isinstance(number, int | float):
        return None
    return int(number) if 0 <= number <= _MOST_TOKENS else None


def _detail(details: object, name: str) -> int:
    return (_tokens(details.get(name)) if isinstance(details, Mapping) else None) or 0
