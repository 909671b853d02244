"""The JSON envelope that stands in for tool calls: its schema, the prompt that explains it, the history in it.

Pure. Wordings and the shape are measured on the embedded model; `tests/inference/test_embedded.py` holds the result.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Any, Literal

from understudy.inference.appended import Choices
from understudy.inference.base import ChatMessage, CompletionRequest, ToolSpec
from understudy.inference.grammar_schema import arguments_schema
from understudy.inference.images import plain
from understudy.protocol.annotations import CITATION, MADE_FILES

CODE = "code_interpreter"
"""The tool whose code is asked for after the call, in a block: inside JSON it comes out badly."""

MAX_CALLS = 8  # a small model may repeat itself for ever
_MAX_TRIES = 4  # of code that fails
_ERROR = re.compile(r"^Traceback \(most recent call last\)| +Traceback \(most recent call last\)$|^\w+Error: ", re.M)
_MAX_ROUNDS = 8  # of calls without an answer; then only a message is left to it
_RESULT_BEGINS = '{"result_of": '
_CODE_RESULT = f'{_RESULT_BEGINS}"{CODE}"'
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

TASK = "task"
"""What a call of the code interpreter says in the place of code: what is to be done, in English.

Asked in Korean or Chinese, the embedded model computes something else (the wrong prime of several); it translates
well, and computes well what its code's first comment says in English.
"""

_TASK: Mapping[str, Any] = {
    "type": "string",
    "description": "the whole request of the user in English: every step, number and condition; names in 'quotes'",
    # names of files and columns stay as they are; all else is held to English, and must end some time
    "pattern": r"^[A-Z]([ !#-&(-Z_-~^]|'[^'\"\\\\\x00-\x1f]{1,60}'){0,400}$",
}

_ASK_FOR_CODE = """\
Now write the Python code for this in one ```python block and nothing else. The question was:
{question}
Short code, which leaves to libraries what they can do: sympy (primerange(from, below), nextprime(after, nth), \
divisors, factorint, gcd, lcm, solve), math, statistics, datetime, numpy, pandas, matplotlib. To find the n-th of \
something, it makes a list and takes [n - 1] of it. It prints each result with a word on what it is, in {language}."""

_BLOCK_BEGINS, _COMMENT = "```python\n", "# "

_CODE_COMES_AFTER = " Call it with the task alone; the code comes in the next reply."

_CITE = (
    "These are the results of your calls. Now answer my question in a message, from these passages only. Then name in "
    "sources those of the passages on which the message rests, such as {example}. My question was:\n{question}\n"
    "Answer in {language}."
)

_AFTER_CODE = (
    "This is what your code gave. If it is an error, call code_interpreter again and mend it. Else answer my question "
    "now in a message, with the values as they were printed; calculate nothing yourself.{files} My question was:\n"
    "{question}\nAnswer in {language}."
)

_AFTER_SILENT_CODE = (
    "Your code ran, and printed nothing. Tell me in one sentence of a message what it made, and no values.{files} My "
    "question was:\n{question}\nAnswer in {language}."
)
"""Told to give the values as they were printed, the embedded model makes some up."""

_REMARK = re.compile(r"^\[(?:\d+ images? shown to the user|Files made: .*|The (?:code|session) .*)\]$|\s", re.M)

_GIVE_FILES = " Then name in files those of the made files that I asked for."

_LANGUAGES = {"Korean": "[가-힣]", "Japanese": "[ぁ-ヿ]", "Chinese": "[一-鿿]"}
"""By the signs that tell them. Not to name the language is not enough: the task and the comments are in English."""

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
    mending = [tool for tool in tools if tool.name == CODE and _code_is_to_be_mended(request.messages)]
    if mending:  # left to itself, the embedded model tells the user of the error
        return Allowed(message=False, tools=mending, max_calls=1)
    return Allowed(message=True, tools=() if _has_gone_on_for_long(request.messages) else tools, max_calls=most)


def schema(reply: Allowed, named: Choices | None = None) -> dict[str, Any]:
    """Return the envelope's JSON Schema. `named` is what the message may name behind its text.

    The names of the functions come first and there are as many calls as names: left to itself, the embedded model
    closes the list after one call, since `}}]}` is a common token.
    """
    text: dict[str, Any] = {"functions": {"const": []}, "message": {"type": "string"}}
    lists = {"sources": named.sources, "files": named.files} if named else {}
    behind = {kind: {"type": "array", "items": {"enum": list(names)}} for kind, names in lists.items() if names}
    forms = [_object({**text, **behind})] if reply.message else []
    forms += [_calls_form(reply.tools, number) for number in range(1, reply.max_calls + 1) if reply.tools]
    kinds = [_call_schema(tool) for tool in reply.tools]
    whole = dict(forms[0]) if len(forms) == 1 else {"anyOf": forms}
    return whole | ({"$defs": {"call": {"anyOf": kinds}}} if kinds else {})


def prompt_messages(request: CompletionRequest) -> list[ChatMessage]:
    """Return the thread as chat messages that need no tool support, the instructions and functions first."""
    leading, rest = _split_system(request.messages)
    instructions = "\n\n".join(plain(message.get("content")) for message in leading)
    explained = _explained(request.tools) if request.tools else ""
    system = "\n\n".join(part for part in (instructions, explained) if part)
    head: list[ChatMessage] = [{"role": "system", "content": system}] if system else []
    return head + list(_history(rest, enveloped=bool(request.tools)))


def with_code_asked_for(messages: Sequence[ChatMessage], reply: str) -> list[ChatMessage]:
    """Return a prompt that goes on after a reply which calls the code interpreter: it asks for the code."""
    return [*messages, {"role": "assistant", "content": reply}, _code_asked_for(_question(messages))]


def begun_block(beginning: str) -> ChatMessage:
    """Return the model's answer up to where its own code follows, for a prompt to end in."""
    return {"role": "assistant", "content": _BLOCK_BEGINS + beginning}


def code_beginning(task: str) -> str:
    """Return the comment that code for a task begins with."""
    return f"{_COMMENT}{task}\n" if task else ""


def _task_of(code: str) -> str:
    first = code.lstrip().partition("\n")[0]
    return first.removeprefix(_COMMENT) if first.startswith(_COMMENT) else ""


def _code_asked_for(question: str) -> ChatMessage:
    asked = _ASK_FOR_CODE.format(question=question, language=_language_of(question))
    return {"role": "user", "content": asked}


def _question(messages: Sequence[ChatMessage]) -> str:
    """Return what the user has asked last. Results of calls are not theirs, though they come in their name."""
    said = [message["content"] for message in messages if message["role"] == "user"]
    own = [text for text in said if not text.startswith(_RESULT_BEGINS)]
    return str(own[-1]) if own else ""


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
    arguments = _object({TASK: _TASK}) if tool.name == CODE else arguments_schema(tool.parameters)
    return _object({"name": {"const": tool.name}, "arguments": arguments})


def _object(properties: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": dict(properties),
        "required": list(properties),
        "additionalProperties": False,
    }


def _explained(tools: Sequence[ToolSpec]) -> str:
    return _PROMPT.format(tools="\n".join(_json(_told_of(tool)) for tool in tools))


def _told_of(tool: ToolSpec) -> dict[str, Any]:
    if tool.name == CODE:
        parameters = {TASK: _TASK["description"]}
        return {"name": CODE, "description": (tool.description or "") + _CODE_COMES_AFTER, "parameters": parameters}
    return {"name": tool.name, "description": tool.description or "", "parameters": tool.parameters}


def _split_system(messages: Sequence[ChatMessage]) -> tuple[Sequence[ChatMessage], Sequence[ChatMessage]]:
    at = next((at for at, message in enumerate(messages) if message["role"] not in _SYSTEM_ROLES), len(messages))
    return messages[:at], messages[at:]


def _history(messages: Sequence[ChatMessage], *, enveloped: bool) -> Iterator[ChatMessage]:
    """Yield the thread's messages; outputs that follow one another become one message of JSON lines."""
    calls: dict[str, Mapping[str, Any]] = {}
    outputs: list[str] = []
    question = ""
    for message in messages:
        if message["role"] == "tool":
            outputs.append(_output_line(calls.get(str(message.get("tool_call_id"))), message))
            continue
        if outputs:
            yield _results(outputs, question, enveloped=enveloped)
            outputs = []
        made = message.get("tool_calls") or ()
        calls |= {str(call.get("id")): call for call in made}
        said = _plain_message(message, enveloped=enveloped)
        question = said["content"] if said["role"] == "user" else question
        yield said
        for call in made:
            yield from _code_block(call, question)
    if outputs:
        yield _results(outputs, question, enveloped=enveloped)


def _code_block(call: Mapping[str, Any], question: str) -> Iterator[ChatMessage]:
    """Yield how a call's code was asked for and given."""
    entry = _call_entry(call)
    if entry["name"] == CODE:
        yield _code_asked_for(question)
        yield {"role": "assistant", "content": f"{_BLOCK_BEGINS}{_code_in(entry).strip()}\n```"}


def _results(outputs: Sequence[str], question: str, *, enveloped: bool) -> ChatMessage:
    if not enveloped:
        return {"role": "user", "content": "\n".join(outputs)}
    cited = CITATION.search(outputs[-1])
    nudge = _NUDGE
    if cited:
        nudge = _CITE.format(example=json.dumps(cited.group(1)), question=question, language=_language_of(question))
    if outputs[-1].startswith(_CODE_RESULT) and not cited:
        files = _GIVE_FILES if MADE_FILES in outputs[-1] else ""
        after = _AFTER_CODE if _REMARK.sub("", json.loads(outputs[-1])["output"]) else _AFTER_SILENT_CODE
        nudge = after.format(question=question, files=files, language=_language_of(question))
    return {"role": "user", "content": "\n".join([*outputs, nudge])}


def _language_of(question: str) -> str:
    return next(
        (name for name, signs in _LANGUAGES.items() if re.search(signs, question)), "the language of the question"
    )


def _plain_message(message: ChatMessage, *, enveloped: bool) -> ChatMessage:
    role: Literal["system", "user", "assistant"]
    role = "system" if message["role"] in _SYSTEM_ROLES else "assistant" if message["role"] == "assistant" else "user"
    text = plain(message.get("content"))
    if role != "assistant" or not (enveloped or message.get("tool_calls")):
        return {"role": role, "content": text}
    calls = [_without_code(_call_entry(call)) for call in message.get("tool_calls") or ()]
    said = {"message": text} if text or not calls else {}
    made = {"tool_calls": calls} if calls else {}
    return {"role": role, "content": _json({"functions": [call["name"] for call in calls], **said, **made})}


def _without_code(entry: dict[str, Any]) -> dict[str, Any]:
    """Leave out code, which stands in a block of its own."""
    return {**entry, "arguments": {TASK: _task_of(_code_in(entry))}} if entry["name"] == CODE else entry


def _code_in(entry: Mapping[str, Any]) -> str:
    arguments = entry["arguments"]
    return str((arguments.get("code") if isinstance(arguments, Mapping) else arguments) or "")


def _call_entry(call: Mapping[str, Any]) -> dict[str, Any]:
    function = call.get("function") or {}
    return {"name": function.get("name"), "arguments": _parsed(function.get("arguments") or "{}")}


def _output_line(call: Mapping[str, Any] | None, message: ChatMessage) -> str:
    entry = _without_code(_call_entry(call)) if call else {"name": None, "arguments": {}}
    output = plain(message.get("content"))
    return _json({"result_of": entry["name"], "arguments": entry["arguments"], "output": output})


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def answered_calls(messages: Sequence[ChatMessage]) -> frozenset[str]:
    """Return the calls, as `call_key` writes them, that the model has made since the user spoke last."""
    return frozenset(
        call_key(str(entry["name"]), entry["arguments"])
        for message in _latest_turn(messages)
        for entry in map(_call_entry, message.get("tool_calls") or ())
        if entry["name"] != CODE  # code may be mended, and run again
    )


def call_key(name: str, arguments: Any) -> str:
    """Return a call in a form that equals that of the same call, however it was written."""
    return json.dumps([name, arguments], sort_keys=True)


def _has_gone_on_for_long(messages: Sequence[ChatMessage]) -> bool:
    return sum(bool(message.get("tool_calls")) for message in _latest_turn(messages)) >= _MAX_ROUNDS


def _code_is_to_be_mended(messages: Sequence[ChatMessage]) -> bool:
    """Say whether the latest code ended in an error, and has not been tried too often since the user spoke."""
    turn = list(_latest_turn(messages))
    calls = [_call_entry(call) for message in turn for call in message.get("tool_calls") or ()]
    runs = sum(call["name"] == CODE for call in calls)
    output = plain(turn[0].get("content")) if turn and turn[0]["role"] == "tool" else ""
    return 0 < runs < _MAX_TRIES and _ERROR.search(output) is not None


def _latest_turn(messages: Sequence[ChatMessage]) -> Iterator[ChatMessage]:
    return takewhile(lambda message: message["role"] != "user", reversed(messages))
