"""Good requests with one part spoiled: whatever stands in its place, the answer is a success or a plain 4xx error."""

import copy
import json
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.fuzz.test_schemathesis import known_ids
from tests.harness.upstream import Upstream
from tests.harness.wire import Json, Wire, function_tool

PARAMETERS = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
PARTS = [
    {"type": "text", "text": "What is it?"},
    {"type": "image_url", "image_url": {"url": "https://example.com/a.png", "detail": "low"}},
]
MESSAGE = {"role": "user", "content": PARTS, "attachments": [], "metadata": {"a": "b"}}
THREAD = {"messages": [MESSAGE], "metadata": {"a": "b"}, "tool_resources": {"code_interpreter": {"file_ids": []}}}
ASSISTANT = {
    "model": "gpt-4o",
    "name": "n",
    "description": "d",
    "instructions": "i",
    "tools": [function_tool("weather", PARAMETERS), {"type": "file_search"}, {"type": "code_interpreter"}],
    "tool_resources": {"file_search": {"vector_store_ids": []}, "code_interpreter": {"file_ids": []}},
    "metadata": {"a": "b"},
    "temperature": 1,
    "top_p": 1,
    "reasoning_effort": "low",
    "response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": PARAMETERS, "strict": True}},
}
RUN = {
    "assistant_id": "asst",
    "model": "gpt-4o",
    "instructions": "i",
    "additional_instructions": "more",
    "additional_messages": [MESSAGE],
    "tools": [function_tool("weather", PARAMETERS)],
    "metadata": {"a": "b"},
    "temperature": 1,
    "top_p": 1,
    "max_prompt_tokens": 1000,
    "max_completion_tokens": 1000,
    "truncation_strategy": {"type": "last_messages", "last_messages": 3},
    "tool_choice": {"type": "function", "function": {"name": "weather"}},
    "parallel_tool_calls": True,
    "response_format": {"type": "text"},
    "reasoning_effort": "low",
    "stream": False,
}
THREAD_AND_RUN = {k: v for k, v in RUN.items() if k != "additional_messages"} | {"thread": THREAD}
OUTPUTS = {"tool_outputs": [{"tool_call_id": "call_x", "output": "57"}], "stream": False}

UPLOAD = {
    "filename": "a.txt",
    "purpose": "batch",
    "bytes": 3,
    "mime_type": "text/plain",
    "expires_after": {"anchor": "created_at", "seconds": 3600},
}
COMPARISON = {"type": "eq", "key": "year", "value": 1603}
SIZES = {"max_chunk_size_tokens": 200, "chunk_overlap_tokens": 100}
STATIC = {"type": "static", "static": SIZES}
SHELF = "/vector_stores/{vector_store_id}"
ON_FILES = {"attributes": {"year": 1603, "draft": True}, "chunking_strategy": STATIC}
STORE = {
    "name": "n",
    "description": "d",
    "file_ids": [],
    "expires_after": {"anchor": "last_active_at", "days": 7},
    "chunking_strategy": STATIC,
    "metadata": {"a": "b"},
}
SEARCH = {
    "query": ["Ophelia", "brook"],
    "rewrite_query": True,
    "max_num_results": 3,
    "filters": {"type": "and", "filters": [COMPARISON, {"type": "nin", "key": "year", "value": [1, "a"]}]},
    "ranking_options": {"ranker": "auto", "score_threshold": 0.1, "hybrid_search": {"text_weight": 1}},
}
REQUESTS = {
    "/assistants": ASSISTANT,
    "/assistants/{assistant_id}": ASSISTANT,
    "/threads": THREAD,
    "/threads/{thread_id}": {k: v for k, v in THREAD.items() if k != "messages"},
    "/threads/{thread_id}/messages": MESSAGE,
    "/threads/{thread_id}/messages/{message_id}": {"metadata": {"a": "b"}},
    "/threads/{thread_id}/runs": RUN,
    "/threads/runs": THREAD_AND_RUN,
    "/threads/{thread_id}/runs/{run_id}": {"metadata": {"a": "b"}},
    "/threads/{thread_id}/runs/{run_id}/submit_tool_outputs": OUTPUTS,
    "/uploads": UPLOAD,
    "/vector_stores": STORE,
    SHELF: {key: STORE[key] for key in ("name", "expires_after", "metadata")},
    f"{SHELF}/files": {"file_id": "file-x"} | ON_FILES,
    f"{SHELF}/files/{{file_id}}": {"attributes": {"year": 1603}},
    f"{SHELF}/file_batches": {"file_ids": ["file-x"]} | ON_FILES,
    f"{SHELF}/search": SEARCH,
    "/uploads/{upload_id}/complete": {"part_ids": ["part_x", "part_y"], "md5": "0" * 32},
}
LISTS = ["/assistants", "/threads/{thread_id}/messages", "/threads/{thread_id}/runs", "/files"]
LISTS += ["/vector_stores", f"{SHELF}/files", f"{SHELF}/file_batches/{{batch_id}}/files"]

PARAMETERS = ["limit", "order", "after", "before", "run_id", "include[]", "include", "purpose", "filter"]

_EDGES = [None, True, 0, -1, 2**31, 2**63, 10**30, 1e308, -0.5, "", "\x00", "가", "\U0001f32e", [], {}, [[]], [None]]
_ANYTHING = st.recursive(
    st.sampled_from(_EDGES) | st.text(max_size=8) | st.integers() | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
_COMMON = {"deadline": None, "suppress_health_check": list(HealthCheck), "database": None}
QUICK = settings(max_examples=300, derandomize=True, **_COMMON)
THOROUGH = settings(max_examples=1500, **_COMMON)
_FORMAT = {"error": {"message", "type", "param", "code"}}


def places(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Yield the path of every part of a body."""
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, child in children:
        yield (*path, key)
        yield from places(child, (*path, key))


@st.composite
def spoiled(draw: st.DrawFn, body: Json) -> Json:
    """Return the body with one part replaced, removed, or joined by a stranger."""
    body = copy.deepcopy(body)
    *way, last = draw(st.sampled_from(list(places(body))))
    holder: Any = body
    for key in way:
        holder = holder[key]
    match draw(st.sampled_from(["replace", "replace", "remove", "join"])):
        case "remove":
            del holder[last]
        case "join" if isinstance(holder, dict):
            holder[draw(st.text(max_size=8))] = draw(_ANYTHING)
        case _:
            holder[last] = draw(_ANYTHING)
    return body


def check(response: httpx2.Response) -> None:
    assert response.status_code == 200 or 400 <= response.status_code < 500, response.text
    assert response.status_code not in {409, 422}, "the SDKs retry the one and do not know the other"
    if response.status_code != 200:
        told_twice = "/v1/files" in str(response.url)
        expected = _FORMAT | ({"detail": {"message", "code"}} if told_twice else {})
        assert {name: set(value) for name, value in response.json().items()} == expected
        assert response.json()["error"]["message"]


def send_spoiled(wire: Wire, path: str, effort: settings) -> None:
    ids = known_ids(wire)
    template = copy.deepcopy(REQUESTS[path])
    if "assistant_id" in template:
        template["assistant_id"] = ids["assistant_id"]

    @effort
    @given(body=spoiled(template))
    def send(body: Json) -> None:
        headers = {"content-type": "application/json"}
        check(wire.http.post(path.format(**ids), content=json.dumps(body).encode(), headers=headers))

    send()


@pytest.mark.parametrize("path", REQUESTS)
def test_spoiled_bodies(wire: Wire, path: str) -> None:
    send_spoiled(wire, path, QUICK)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("path", REQUESTS)
def test_many_spoiled_bodies(wire: Wire, path: str) -> None:
    send_spoiled(wire, path, THOROUGH)


@pytest.mark.parametrize("path", LISTS)
def test_strange_questions(wire: Wire, upstream: Upstream, path: str) -> None:
    ids = known_ids(wire)
    names = st.sampled_from(PARAMETERS)
    strange = ["0", "-1", "101", "1e9", "９", "asc", "null", "\x00", "msg_", "9" * 30]
    values = st.text(max_size=12) | st.sampled_from(strange)

    @QUICK
    @given(params=st.dictionaries(names, values, max_size=4))
    def ask(params: dict[str, str]) -> None:
        check(wire.get(path.format(**ids), params=params))

    ask()


@pytest.mark.parametrize("path", ["/assistants/{}", "/threads/{}/messages", "/models/{}", "/threads/{}/runs/{}"])
def test_strange_ids(wire: Wire, upstream: Upstream, path: str) -> None:
    @QUICK
    @given(identifier=st.text(min_size=1, max_size=30).filter(lambda text: text not in {".", ".."}))
    def ask(identifier: str) -> None:
        quoted = "".join(f"%{byte:02X}" for byte in identifier.encode(errors="replace"))
        response = wire.get(path.replace("{}", quoted))
        assert response.status_code in {200, 400, 404}, response.text

    ask()
