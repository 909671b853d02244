"""Every mistake in a body or a query, and the exact sentence about it (behaviours.md, section 1, rows 17 to 23)."""

from typing import Any

import pytest
from httpx2 import AsyncClient
from tests.engine.house import House, waiting_run

ASSISTANTS = "/v1/assistants"
THREADS = "/v1/threads"
THREAD_RUNS = "/v1/threads/runs"
MESSAGES = "/v1/threads/thread_x/messages"
RUNS = "/v1/threads/thread_x/runs"
SUBMIT = "/v1/threads/thread_x/runs/run_x/submit_tool_outputs"
STORES = "/v1/vector_stores"

NAMED: Any = {"type": "function", "function": {"name": "f"}}


def assistant(**given: Any) -> dict[str, Any]:
    return {"model": "gpt-4o"} | given


def message(**given: Any) -> dict[str, Any]:
    return {"role": "user", "content": "hi"} | given


def run(**given: Any) -> dict[str, Any]:
    return {"assistant_id": "asst_x"} | given


def wrong_type(path: str, expected: str, got: str) -> tuple[str, str, str]:
    return f"Invalid type for '{path}': expected {expected}, but got {got} instead.", path, "invalid_type"


def missing(path: str) -> tuple[str, str, str]:
    return f"Missing required parameter: '{path}'.", path, "missing_required_parameter"


def unknown(path: str) -> tuple[str, str, str]:
    return f"Unknown parameter: '{path}'.", path, "unknown_parameter"


def bad_value(path: str, got: str, supported: str) -> tuple[str, str, str]:
    return f"Invalid value: '{got}'. Supported values are: {supported}.", path, "invalid_value"


def too_long(path: str, limit: int, got: int) -> tuple[str, str, str]:
    expected = f"Expected a string with maximum length {limit}, but got a string with length {got} instead."
    return f"Invalid '{path}': string too long. {expected}", path, "string_above_max_length"


def number(path: str, kind: str, side: str, sign: str, limit: str, got: str) -> tuple[str, str, str]:
    word = {"above": "maximum", "below": "minimum"}[side]
    text = f"Invalid '{path}': {kind} {side} {word} value. Expected a value {sign} {limit}, but got {got} instead."
    return text, path, f"{kind}_{side}_{word[:3]}_value"


def array(path: str, problem: str, bound: str, got: str, code: str) -> tuple[str, str, str]:
    return f"Invalid '{path}': {problem}. Expected an array with {bound}, but got {got} instead.", path, code


TOOL_TYPES = "'code_interpreter', 'file_search', and 'function'"
EFFORTS = "'none', 'minimal', 'low', 'medium', 'high', 'xhigh', and 'max'"
FUNCTION_PATTERN = (
    "Invalid 'tools[0].function.name': string does not match pattern. "
    "Expected a string that matches the pattern '^[a-zA-Z0-9_-]+$'.",
    "tools[0].function.name",
    "invalid_value",
)

TABLE: list[tuple[str, Any, tuple[str, str | None, str | None]]] = [
    # missing (row 18)
    (ASSISTANTS, {}, missing("model")),
    (ASSISTANTS, assistant(tools=[{"type": "function"}]), missing("tools[0].function")),
    (ASSISTANTS, assistant(tools=[{"type": "function", "function": {}}]), missing("tools[0].function.name")),
    (ASSISTANTS, assistant(tools=[{}]), missing("tools[0].type")),
    (MESSAGES, {"content": "hi"}, missing("role")),
    (MESSAGES, {"role": "user"}, missing("content")),
    (MESSAGES, message(content=[{"type": "text"}]), missing("content[0].text")),
    (MESSAGES, message(content=[{"type": "image_url", "image_url": {}}]), missing("content[0].image_url.url")),
    (MESSAGES, message(attachments=[{"file_id": "f", "tools": [{}]}]), missing("attachments[0].tools[0].type")),
    (THREADS, {"messages": [message(), {"role": "user"}]}, missing("messages[1].content")),
    (RUNS, {}, missing("assistant_id")),
    (RUNS, run(tool_choice={"type": "function"}), missing("tool_choice.function")),
    (THREAD_RUNS, run(tool_choice={"type": "function", "function": {}}), missing("tool_choice.function.name")),
    (RUNS, run(truncation_strategy={}), missing("truncation_strategy.type")),
    (RUNS, run(additional_messages=[{"role": "user"}]), missing("additional_messages[0].content")),
    (THREAD_RUNS, run(thread={"messages": [{"content": "x"}]}), missing("thread.messages[0].role")),
    (SUBMIT, {}, missing("tool_outputs")),
    (SUBMIT, {"tool_outputs": [{"output": "x"}]}, missing("tool_outputs[0].tool_call_id")),
    # wrong types (row 17)
    (ASSISTANTS, assistant(metadata={"modified": True}), wrong_type("metadata.modified", "a string", "a boolean")),
    (ASSISTANTS, assistant(metadata={"k": 1}), wrong_type("metadata.k", "a string", "an integer")),
    (ASSISTANTS, assistant(metadata={"k": None}), wrong_type("metadata.k", "a string", "null")),
    (ASSISTANTS, assistant(metadata="x"), wrong_type("metadata", "an object", "a string")),
    (ASSISTANTS, {"model": 5}, wrong_type("model", "a string", "an integer")),
    (ASSISTANTS, {"model": None}, wrong_type("model", "a string", "null")),
    (ASSISTANTS, assistant(name=["x"]), wrong_type("name", "a string", "an array")),
    (ASSISTANTS, assistant(temperature="1"), wrong_type("temperature", "a decimal", "a string")),
    (ASSISTANTS, assistant(temperature=True), wrong_type("temperature", "a decimal", "a boolean")),
    (ASSISTANTS, assistant(tools={}), wrong_type("tools", "an array", "an object")),
    (ASSISTANTS, assistant(tools=["x"]), wrong_type("tools[0]", "an object", "a string")),
    (
        ASSISTANTS,
        assistant(response_format=5),
        wrong_type("response_format", "one of a string or an object", "an integer"),
    ),
    (ASSISTANTS, assistant(tool_resources=[]), wrong_type("tool_resources", "an object", "an array")),
    (MESSAGES, message(content=5), wrong_type("content", "one of a string or an array of objects", "an integer")),
    (MESSAGES, message(content={}), wrong_type("content", "one of a string or an array of objects", "an object")),
    (MESSAGES, message(content=["hi"]), wrong_type("content[0]", "an object", "a string")),
    (MESSAGES, message(content=[{"type": "text", "text": 5}]), wrong_type("content[0].text", "a string", "an integer")),
    (RUNS, run(max_prompt_tokens=300.5), wrong_type("max_prompt_tokens", "an integer", "a decimal")),
    (RUNS, run(stream="true"), wrong_type("stream", "a boolean", "a string")),
    (RUNS, run(parallel_tool_calls=1), wrong_type("parallel_tool_calls", "a boolean", "an integer")),
    (RUNS, run(tool_choice=5), wrong_type("tool_choice", "one of a string or an object", "an integer")),
    (
        RUNS,
        run(additional_messages=[message(), message(content=[{"type": "text", "text": None}])]),
        wrong_type("additional_messages[1].content[0].text", "a string", "null"),
    ),
    (ASSISTANTS, assistant(tools=[{"type": None}]), wrong_type("tools[0].type", "a string", "null")),
    (STORES, {"chunking_strategy": {"type": 5}}, wrong_type("chunking_strategy.type", "a string", "an integer")),
    (
        ASSISTANTS,
        assistant(response_format={"type": True}),
        wrong_type("response_format.type", "a string", "a boolean"),
    ),
    (MESSAGES, message(content=[{"type": []}]), wrong_type("content[0].type", "a string", "an array")),
    (
        MESSAGES,
        message(attachments=[{"tools": [{"type": {}}]}]),
        wrong_type("attachments[0].tools[0].type", "a string", "an object"),
    ),
    (
        f"{STORES}/vs_x/search",
        {"query": "q", "filters": {"type": "and", "filters": [{"type": 0.5}]}},
        wrong_type("filters.filters[0].type", "a string", "a decimal"),
    ),
    # unknown keys (row 23)
    (ASSISTANTS, assistant(colour="red"), unknown("colour")),
    (THREADS, {"colour": "red"}, unknown("colour")),
    (THREADS, {"messages": [message(colour="red")]}, unknown("messages[0].colour")),
    (THREAD_RUNS, run(thread={"colour": "red"}), unknown("thread.colour")),
    (RUNS, run(tool_resources={}), unknown("tool_resources")),
    (ASSISTANTS, assistant(tool_resources={"colour": {}}), unknown("tool_resources.colour")),
    # values (row 22)
    (ASSISTANTS, assistant(tools=[{"type": "retrieval"}]), bad_value("tools[0].type", "retrieval", TOOL_TYPES)),
    (ASSISTANTS, assistant(reasoning_effort="huge"), bad_value("reasoning_effort", "huge", EFFORTS)),
    (ASSISTANTS, assistant(response_format="json"), bad_value("response_format", "json", "'auto'")),
    (
        ASSISTANTS,
        assistant(response_format={"type": "xml"}),
        bad_value("response_format.type", "xml", "'text', 'json_object', and 'json_schema'"),
    ),
    (MESSAGES, message(role="system"), bad_value("role", "system", "'user' and 'assistant'")),
    (
        MESSAGES,
        message(content=[{"type": "audio"}]),
        bad_value("content[0].type", "audio", "'text', 'image_url', and 'image_file'"),
    ),
    (RUNS, run(tool_choice="always"), bad_value("tool_choice", "always", "'none', 'auto', and 'required'")),
    (
        RUNS,
        run(truncation_strategy={"type": "x"}),
        bad_value("truncation_strategy.type", "x", "'auto' and 'last_messages'"),
    ),
    (ASSISTANTS, assistant(tools=[{"type": "function", "function": {"name": "a b"}}]), FUNCTION_PATTERN),
    # lengths (row 20)
    (ASSISTANTS, assistant(name="x" * 257), too_long("name", 256, 257)),
    (ASSISTANTS, assistant(description="x" * 513), too_long("description", 512, 513)),
    (
        ASSISTANTS,
        assistant(tools=[{"type": "function", "function": {"name": "x" * 65}}]),
        too_long("tools[0].function.name", 64, 65),
    ),
    (ASSISTANTS, assistant(metadata={"k": "v" * 513}), too_long("metadata.k", 512, 513)),
    (THREADS, {"metadata": {"k": "v" * 513}}, too_long("metadata.k", 512, 513)),
    (
        ASSISTANTS,
        {"model": ""},
        (
            "Invalid 'model': empty string. Expected a string with minimum length 1, but got an empty string instead.",
            "model",
            "empty_string",
        ),
    ),
    (
        ASSISTANTS,
        assistant(tools=[{"type": "code_interpreter"}] * 129),
        array("tools", "array too long", "maximum length 128", "an array with length 129", "array_above_max_length"),
    ),
    (
        RUNS,
        run(tools=[NAMED] * 21),
        array("tools", "array too long", "maximum length 20", "an array with length 21", "array_above_max_length"),
    ),
    (
        MESSAGES,
        message(content=[]),
        array("content", "empty array", "minimum length 1", "an empty array", "empty_array"),
    ),
    (
        ASSISTANTS,
        assistant(metadata={str(key): "v" for key in range(17)}),
        (
            "Invalid 'metadata': too many properties. Expected an object with at most 16 properties, "
            "but got an object with 17 properties instead.",
            "metadata",
            "object_above_max_properties",
        ),
    ),
    (
        ASSISTANTS,
        assistant(metadata={"k" * 65: "v"}),
        (
            "Invalid 'metadata': property name too long. Expected a property name with maximum length 64, "
            "but got a property name with length 65 instead.",
            "metadata",
            "string_above_max_length",
        ),
    ),
    # numbers (row 21)
    (ASSISTANTS, assistant(temperature=2.5), number("temperature", "decimal", "above", "<=", "2", "2.5")),
    (ASSISTANTS, assistant(temperature=-1), number("temperature", "decimal", "below", ">=", "0", "-1")),
    (ASSISTANTS, assistant(top_p=1.1), number("top_p", "decimal", "above", "<=", "1", "1.1")),
    (RUNS, run(max_prompt_tokens=255), number("max_prompt_tokens", "integer", "below", ">=", "256", "255")),
    (
        RUNS,
        run(max_completion_tokens=2**31),
        number("max_completion_tokens", "integer", "above", "<=", "2147483647", "2147483648"),
    ),
    (
        RUNS,
        run(truncation_strategy={"type": "last_messages", "last_messages": 0}),
        number("truncation_strategy.last_messages", "integer", "below", ">=", "1", "0"),
    ),
    (
        ASSISTANTS,
        assistant(tools=[{"type": "file_search", "file_search": {"max_num_results": 51}}]),
        number("tools[0].file_search.max_num_results", "integer", "above", "<=", "50", "51"),
    ),
    # ids (row 9)
    (
        RUNS,
        {"assistant_id": "wf_1"},
        ("Invalid 'assistant_id': 'wf_1'. Expected an ID that begins with 'asst'.", "assistant_id", "invalid_value"),
    ),
    (
        "/v1/threads/undefined/messages",
        message(),
        ("Invalid 'thread_id': 'undefined'. Expected an ID that begins with 'thread'.", "thread_id", "invalid_value"),
    ),
    # models (row 8 is in test_models.py)
]


@pytest.mark.parametrize(("url", "body", "expected"), TABLE, ids=[f"{row[2][1]}-{row[2][2]}" for row in TABLE])
async def test_a_wrong_body(
    client: AsyncClient, url: str, body: Any, expected: tuple[str, str | None, str | None]
) -> None:
    answer = await client.post(url, json=body)
    message_text, param, code = expected
    error = {"message": message_text, "type": "invalid_request_error", "param": param, "code": code}
    assert (answer.status_code, answer.json()) == (400, {"error": error})


LONG, CUT = "x" * 90_000, "x" * 200 + "…"
NO_ID = f"Invalid '{{path}}': '{CUT}'. Expected an ID that begins with '{{prefix}}'."
LONG_VALUES: list[tuple[str, Any, tuple[str, str, str]]] = [
    (ASSISTANTS, assistant(tools=[{"type": LONG}]), bad_value("tools[0].type", CUT, TOOL_TYPES)),
    (ASSISTANTS, assistant(reasoning_effort=LONG), bad_value("reasoning_effort", CUT, EFFORTS)),
    (ASSISTANTS, {LONG: 1, "model": "m"}, unknown(CUT)),
    (ASSISTANTS, assistant(metadata={LONG: 1}), wrong_type(f"metadata.{CUT}", "a string", "an integer")),
    (
        RUNS,
        run(max_prompt_tokens=int("9" * 1000)),
        number("max_prompt_tokens", "integer", "above", "<=", "2147483647", "9" * 200 + "…"),
    ),
    (
        RUNS,
        run(assistant_id=LONG),
        (NO_ID.format(path="assistant_id", prefix="asst"), "assistant_id", "invalid_value"),
    ),
    (
        THREADS,
        {"messages": [message(attachments=[{"file_id": LONG}])]},
        (
            NO_ID.format(path="messages[0].attachments[0].file_id", prefix="file"),
            "messages[0].attachments[0].file_id",
            "invalid_value",
        ),
    ),
]


@pytest.mark.parametrize(("url", "body", "expected"), LONG_VALUES, ids=[row[2][2] for row in LONG_VALUES])
async def test_what_is_long_is_not_repeated_whole(
    client: AsyncClient, url: str, body: Any, expected: tuple[str, str, str]
) -> None:
    await test_a_wrong_body(client, url, body, expected)


async def test_what_is_not_there_is_not_repeated_whole(client: AsyncClient, house: House) -> None:
    run = (await waiting_run(house, get_weather={"city": "Seoul"})).run
    file_id = f"file-{LONG}"
    for url, body, text in [
        (THREAD_RUNS, {"assistant_id": f"asst_{LONG}"}, f"No assistant found with id 'asst_{LONG[:195]}…'."),
        (THREADS, {"messages": [message(attachments=[{"file_id": file_id}])]}, f"File ids ['{file_id[:200]}…'] were"),
        (
            f"/v1/threads/{run.thread_id}/runs/{run.id}/submit_tool_outputs",
            {"tool_outputs": [{"tool_call_id": LONG, "output": ""}]},
            f"got ['{CUT}']",
        ),
    ]:
        answer = await client.post(url, json=body)
        assert answer.status_code in (400, 404)
        assert text in answer.json()["error"]["message"]


QUERIES: list[tuple[str, tuple[str, str, str]]] = [
    ("limit=101", number("limit", "integer", "above", "<=", "100", "101")),
    ("limit=0", number("limit", "integer", "below", ">=", "1", "0")),
    (f"limit={'9' * 5000}", number("limit", "integer", "above", "<=", "100", "9" * 200 + "…")),
    (f"limit=-{'9' * 5000}", number("limit", "integer", "below", ">=", "1", "-" + "9" * 199 + "…")),
    ("limit=ten", wrong_type("limit", "an integer", "a string")),
    ("order=sideways", bad_value("order", "sideways", "'asc' and 'desc'")),
]


@pytest.mark.parametrize(("query", "expected"), QUERIES, ids=[row[0][:20] for row in QUERIES])
async def test_a_wrong_query(client: AsyncClient, query: str, expected: tuple[str, str, str]) -> None:
    for url in (ASSISTANTS, MESSAGES, RUNS, f"{RUNS}/run_x/steps"):
        answer = await client.get(f"{url}?{query}")
        error = answer.json()["error"]
        assert (answer.status_code, error["message"], error["param"], error["code"]) == (400, *expected)


@pytest.mark.parametrize("url", ["/v1/files?limit=", "/v1/usage?limit=", "/v1/usage?start_time="])
@pytest.mark.parametrize(("sign", "side"), [("", "above_max"), ("-", "below_min")])
async def test_a_number_of_thousands_of_digits(client: AsyncClient, url: str, sign: str, side: str) -> None:
    answer = await client.get(f"{url}{sign}{'9' * 5000}")
    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (400, f"integer_{side}_value")
    assert error["message"].endswith(f", but got {(sign + '9' * 200)[:200]}… instead.")


@pytest.mark.parametrize("name", ["status[]", "status"])
async def test_a_state_that_runs_are_never_in(client: AsyncClient, name: str) -> None:
    answer = await client.get("/v1/runs", params={name: ["failed", "colours"]})
    error = answer.json()["error"]
    assert (answer.status_code, error["param"], error["code"]) == (400, "status", "invalid_value")
    assert error["message"].startswith("Invalid value: 'colours'. Supported values are: 'queued', ")


@pytest.mark.parametrize("query", ["api-version=2024-05-01", "colour=red", "after=&before="])
async def test_a_query_that_is_ignored(client: AsyncClient, query: str) -> None:
    assert (await client.get(f"{ASSISTANTS}?{query}")).status_code == 200


@pytest.mark.parametrize("name", ["include[]", "include"])
async def test_what_cannot_be_included(client: AsyncClient, house: House, name: str) -> None:
    answer = await client.get(f"{RUNS}/run_x/steps", params={name: "colours"})
    legal = "step_details.tool_calls[*].file_search.results[*].content"
    expected = bad_value("include", "colours", f"'{legal}'")
    error = answer.json()["error"]
    assert (answer.status_code, error["message"], error["param"], error["code"]) == (400, *expected)
    run = (await house.start()).run
    listed = await client.get(f"/v1/threads/{run.thread_id}/runs/{run.id}/steps", params={name: f"{legal},{legal}"})
    assert listed.status_code == 200
