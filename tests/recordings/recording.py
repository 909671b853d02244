"""A recording as data: its exchanges, and what the recorded model said in them."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from tests.harness.replies import Body, Brain, Call, Gate, Reply, Scripted
from tests.harness.wire import Event, parse_event

from understudy.protocol.annotations import CITATION

# What the recordings say of the files' contents: a passage that was found, code that reads two columns of numbers.
_CONTENTS = {
    "favorite_foods.txt": (
        b"The favorite food of several people:\n- Summanus Ferdinand: tacos\n- Tekakwitha Effie: pizza\n"
        b"- Filip Carola: cake"
    ),
    "text/csv": b"x,y\n1,1\n2,3\n3,4\n\n\n",
}
_FOLDER = Path(__file__).parent / "data"
NAMES = sorted(path.stem for path in _FOLDER.glob("*.json"))


@dataclass(frozen=True)
class Exchange:
    """One recorded request with its answer. A streamed answer is a list of events."""

    method: str
    target: str
    accept: str
    body: bytes | None
    body_type: str
    status: int
    content_type: str
    answer: Any

    @property
    def streamed(self) -> bool:
        return isinstance(self.answer, list)

    @property
    def objects(self) -> Iterator[dict[str, Any]]:
        """Every object of the answer, in order."""
        yield from _objects([event.data for event in self.answer] if self.streamed else self.answer)


def load(name: str) -> list[Exchange]:
    entries = json.loads((_FOLDER / f"{name}.json").read_text())["Entries"]
    return [_exchange(entry) for entry in entries]


def _exchange(entry: dict[str, Any]) -> Exchange:
    url, answer = urlsplit(entry["RequestUri"]), entry["ResponseBody"]
    return Exchange(
        method=entry["RequestMethod"],
        target=url.path.removeprefix("/v1") + (f"?{url.query}" if url.query else ""),
        accept=entry["RequestHeaders"]["Accept"],
        body=_body(entry),
        body_type=entry["RequestHeaders"].get("Content-Type", "application/json"),
        status=entry["StatusCode"],
        content_type=entry["ResponseHeaders"]["Content-Type"],
        answer=_events(answer) if isinstance(answer, list) else answer,
    )


def _body(entry: dict[str, Any]) -> bytes | None:
    if entry["RequestHeaders"].get("Content-Type", "").startswith("multipart/"):
        return _form(entry)
    return None if entry["RequestBody"] is None else json.dumps(entry["RequestBody"], ensure_ascii=False).encode()


def _form(entry: dict[str, Any]) -> bytes:
    """Write a form as its client did. Its content was not recorded: its size was, and what the answer says of it."""
    headers, told = entry["RequestHeaders"], str(entry["ResponseBody"])
    boundary = headers["Content-Type"].split('"')[1]
    found = re.search(r"'purpose': '(.+?)'|\"'(.+?)' is not one of", told)
    assert found
    purpose = found[1] or found[2]
    filename = re.search(r"'filename': '(.+?)'", told)
    name = filename[1] if filename else "images_dog_and_cat.png"
    head = (
        f"--{boundary}\r\nContent-Disposition: form-data; name=file; filename={_token(name)}; "
        f"filename*=utf-8''{quote(name, safe='')}\r\n\r\n"
    )
    rest = (
        f"\r\n--{boundary}\r\nContent-Type: text/plain; charset=utf-8\r\n"
        f"Content-Disposition: form-data; name=purpose\r\n\r\n{purpose}\r\n--{boundary}--\r\n"
    )
    size = int(headers["Content-Length"]) - len(head) - len(rest)
    return head.encode() + (_CONTENTS.get(name, b"Favorite food? Cake. ") * size)[:size] + rest.encode()


def _token(name: str) -> str:
    """Write a name as the recorded client did: in quotes only where it must be."""
    return name if re.fullmatch(r"[\w.-]+", name) else f'"{name}"'


def _events(chunks: list[str]) -> list[Event]:
    blocks = "".join(chunks).split("\n\n")
    return [parse_event([line for line in block.split("\n") if line]) for block in blocks if block.strip()]


def _objects(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        yield value
    for child in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _objects(child)


def replies(exchanges: list[Exchange]) -> list[Scripted]:
    """Return the recorded model's answers in their order.

    Each is behind a gate of its own, but for those after which a built-in tool went on by itself.
    """
    steps = [item for exchange in exchanges for item in exchange.objects if item.get("object") == "thread.run.step"]
    if built_in := _built_in_calls(steps):
        return _with_tools(exchanges, built_in)
    return _without_tools(exchanges)


def _built_in_calls(steps: list[dict[str, Any]]) -> list[Call]:
    """Return the calls of built-in tools, oldest first, as the model must have written them."""
    calls: dict[str, Call] = {}
    for step in sorted(steps, key=lambda step: step["created_at"]):
        for call in step["step_details"].get("tool_calls", []):
            if call["type"] == "code_interpreter":
                code = json.dumps({"code": call["code_interpreter"]["input"]})
                calls[call["id"]] = Call("code_interpreter", code, call["id"])
            if call["type"] == "file_search":
                calls[call["id"]] = Call("file_search", '{"query": "Filip favorite food"}', call["id"])
    return list(calls.values())


def _with_tools(exchanges: list[Exchange], calls: list[Call]) -> list[Scripted]:
    """Make up what was not recorded: a narration between two calls, and the end."""
    said = _without_tools(exchanges)
    if said:  # a stream: the words are known, and the mark in them is the one that the search has given
        return [Reply(calls=calls), *(_citing(reply) for reply in said)]
    narrated = [Reply("Let me see." if number else "", [call]) for number, call in enumerate(calls)]
    return [*narrated, Reply("That is all.", hold=Gate())]


def _citing(reply: Reply) -> Brain:
    def answer(body: Body) -> Reply:
        given = CITATION.search(str(body["messages"][-1]["content"]))
        assert given
        return replace(reply, tokens=[CITATION.sub(given.group(), token) for token in reply.tokens], hold=None)

    return answer


def _without_tools(exchanges: list[Exchange]) -> list[Reply]:
    spoken: dict[str, Reply] = {}
    for found in (item for exchange in exchanges for item in exchange.objects):
        if found.get("required_action"):
            calls = found["required_action"]["submit_tool_outputs"]["tool_calls"]
            spoken.setdefault(calls[0]["id"], Reply(calls=[_call(call) for call in calls], hold=Gate()))
        if found.get("object") == "thread.message" and found["role"] == "assistant" and found["content"]:
            tokens = _tokens(exchanges, found["id"]) or [found["content"][0]["text"]["value"]]
            spoken.setdefault(found["id"], Reply(tokens=tokens, hold=Gate()))
    return list(spoken.values())


def _call(call: dict[str, Any]) -> Call:
    return Call(call["function"]["name"], call["function"]["arguments"], call["id"])


def _tokens(exchanges: list[Exchange], message_id: str) -> list[str]:
    events = [event.data for exchange in exchanges if exchange.streamed for event in exchange.answer]
    deltas = [data["delta"]["content"][0] for data in events if data != "[DONE]" and _is_delta(data, message_id)]
    return [delta["text"]["value"] for delta in deltas]


def _is_delta(data: dict[str, Any], message_id: str) -> bool:
    return data["object"] == "thread.message.delta" and data["id"] == message_id
