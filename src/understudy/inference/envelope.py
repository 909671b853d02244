"""The JSON envelope that stands in for tool calls: its schema, the prompt that explains it, the history in it.

Pure. Wordings and the shape are measured on the embedded model; `tests/inference/test_embedded.py` holds the result.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Any, Literal

from understudy.inference.base import ChatMessage, CompletionRequest, ToolSpec
from understudy.inference.grammar_schema import arguments_schema
from understudy.inference.images import as_text

MAX_CALLS = 8  # a small model may repeat itself for ever
_MAX_ROUNDS = 8  # of calls without an answer; then only a message is left to it
_SYSTEM_ROLES = ("system", "developer")

_PROMPT = """\
# Functions
You can call these functions, and no others:
{tools}

# How to reply
Reply with one JSON object, in one of two forms:
{{"functions": ["<function>", "<another function>"], "tool_calls": [{{"name": "<function>", "arguments": {{...}}}}, \
{{"name": "<another function>", "arguments": {{...}}}}]}}
{{"functions": [], "message": "<your answer in the user's language>"}}
First list, in functions, every function whose facts the answer needs and whose result you do not have yet: a \
question about two facts needs two, a greeting or a question that no function answers needs none.
Then call each of them, or, when none is needed, answer in message: if you have results, tell each of them."""

_NUDGE = (
    "These are the results of your calls. Now answer my question in a message that tells the value of every result; "
    "call another function only if a fact is still missing."
)


@dataclass(frozen=True, slots=True)
class Allowed:
    """What a reply may hold."""

    message: bool
    tools: Sequence[ToolSpec]
    max_calls: int = MAX_CALLS


def allowed(request: CompletionRequest) -> Allowed:
    """Return what tool_choice, parallel_tool_calls and the thread so far leave to the model."""
    choice, tools = request.tool_choice, request.tools
    most = 1 if request.parallel_tool_calls is False else MAX_CALLS
    if choice == "none":
        return Allowed(message=True, tools=())
    if isinstance(choice, Mapping):
        name = (choice.get("function") or {}).get("name") or choice.get("type")
        return Allowed(message=False, tools=[tool for tool in tools if tool.name == name] or tools, max_calls=1)
    if choice == "required":
        return Allowed(message=False, tools=tools, max_calls=most)
    return Allowed(message=True, tools=() if _has_gone_on_for_long(request.messages) else tools, max_calls=most)


def schema(reply: Allowed, source_ids: Sequence[str] = ()) -> dict[str, Any]:
    """Return the envelope's JSON Schema. `source_ids` are what the message may name as its sources.

    The names of the functions come first and there are as many calls as names: left to itself, the embedded model
    closes the list after one call, since `}}]}` is a common token.
    """
    text: dict[str, Any] = {"functions": {"const": []}, "message": {"type": "string"}}
    cited = {"sources": {"type": "array", "items": {"enum": list(source_ids)}}} if source_ids else {}
    forms = [_object({**text, **cited})] if reply.message else []
    forms += [_calls_form(reply.tools, number) for number in range(1, reply.max_calls + 1) if reply.tools]
    kinds = [_call_schema(tool) for tool in reply.tools]
    whole = dict(forms[0]) if len(forms) == 1 else {"anyOf": forms}
    return whole | ({"$defs": {"call": {"anyOf": kinds}}} if kinds else {})


def prompt_messages(request: CompletionRequest) -> list[ChatMessage]:
    """Return the thread as chat messages that need no tool support, the instructions and functions first."""
    leading, rest = _split_system(request.messages)
    instructions = "\n\n".join(_plain(message.get("content")) for message in leading)
    explained = _explained(request.tools) if request.tools else ""
    system = "\n\n".join(part for part in (instructions, explained) if part)
    head: list[ChatMessage] = [{"role": "system", "content": system}] if system else []
    return head + list(_history(rest, enveloped=bool(request.tools)))


def _calls_form(tools: Sequence[ToolSpec], number: int) -> dict[str, Any]:
    count = {"minItems": number, "maxItems": number}
    names = {"enum": [tool.name for tool in tools]}
    return _object(
        {
            "functions": {"type": "array", "items": names, **count},
            "tool_calls": {"type": "array", "items": {"$ref": "#/$defs/call"}, **count},
        }
    )


def _call_schema(tool: ToolSpec) -> dict[str, Any]:
    return _object({"name": {"const": tool.name}, "arguments": arguments_schema(tool.parameters)})


def _object(properties: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": dict(properties),
        "required": list(properties),
        "additionalProperties": False,
    }


def _explained(tools: Sequence[ToolSpec]) -> str:
    lines = [
        _json({"name": tool.name, "description": tool.description or "", "parameters": tool.parameters})
        for tool in tools
    ]
    return _PROMPT.format(tools="\n".join(lines))


def _split_system(messages: Sequence[ChatMessage]) -> tuple[Sequence[ChatMessage], Sequence[ChatMessage]]:
    at = next((at for at, message in enumerate(messages) if message["role"] not in _SYSTEM_ROLES), len(messages))
    return messages[:at], messages[at:]


def _history(messages: Sequence[ChatMessage], *, enveloped: bool) -> Iterator[ChatMessage]:
    """Yield the thread's messages; outputs that follow one another become one message of JSON lines."""
    calls: dict[str, Mapping[str, Any]] = {}
    outputs: list[str] = []
    for message in messages:
        if message["role"] == "tool":
            outputs.append(_output_line(calls.get(str(message.get("tool_call_id"))), message))
            continue
        if outputs:
            yield _results(outputs, enveloped=enveloped)
            outputs = []
        calls |= {str(call.get("id")): call for call in message.get("tool_calls") or ()}
        yield _plain_message(message, enveloped=enveloped)
    if outputs:
        yield _results(outputs, enveloped=enveloped)


def _results(outputs: Sequence[str], *, enveloped: bool) -> ChatMessage:
    return {"role": "user", "content": "\n".join([*outputs, _NUDGE] if enveloped else outputs)}


def _plain_message(message: ChatMessage, *, enveloped: bool) -> ChatMessage:
    role: Literal["system", "user", "assistant"]
    role = "system" if message["role"] in _SYSTEM_ROLES else "assistant" if message["role"] == "assistant" else "user"
    text = _plain(message.get("content"))
    if role != "assistant" or not (enveloped or message.get("tool_calls")):
        return {"role": role, "content": text}
    calls = [_call_entry(call) for call in message.get("tool_calls") or ()]
    said = {"message": text} if text or not calls else {}
    made = {"tool_calls": calls} if calls else {}
    return {"role": role, "content": _json({"functions": [call["name"] for call in calls], **said, **made})}


def _call_entry(call: Mapping[str, Any]) -> dict[str, Any]:
    function = call.get("function") or {}
    return {"name": function.get("name"), "arguments": _parsed(function.get("arguments") or "{}")}


def _output_line(call: Mapping[str, Any] | None, message: ChatMessage) -> str:
    entry = _call_entry(call) if call else {"name": None, "arguments": {}}
    output = _plain(message.get("content"))
    return _json({"result_of": entry["name"], "arguments": entry["arguments"], "output": output})


def _plain(content: Any) -> str:
    return as_text(content) if isinstance(content, list | tuple) else str(content or "")


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def answered_calls(messages: Sequence[ChatMessage]) -> frozenset[str]:
    """Return the calls, as `call_key` writes them, that the model has made since the user spoke last."""
    return frozenset(
        call_key(str(entry["name"]), entry["arguments"])
        for message in _latest_turn(messages)
        for entry in map(_call_entry, message.get("tool_calls") or ())
    )


def call_key(name: str, arguments: Any) -> str:
    """Return a call in a form that equals that of the same call, however it was written."""
    return json.dumps([name, arguments], sort_keys=True)


def _has_gone_on_for_long(messages: Sequence[ChatMessage]) -> bool:
    return sum(bool(message.get("tool_calls")) for message in _latest_turn(messages)) >= _MAX_ROUNDS


def _latest_turn(messages: Sequence[ChatMessage]) -> Iterator[ChatMessage]:
    return takewhile(lambda message: message["role"] != "user", reversed(messages))
