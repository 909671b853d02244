"""The API's limits, each at its edge: the last allowed value passes, the next one is refused in its words."""

import httpx2
import pytest
from tests.harness.wire import Json, Wire, function_tool


def refused(response: httpx2.Response, param: str, code: str) -> str:
    assert response.status_code == 400, response.text
    answer = response.json()["error"]
    assert (answer["param"], answer["code"], answer["type"]) == (param, code, "invalid_request_error")
    return answer["message"]


def accepted(response: httpx2.Response) -> Json:
    assert response.status_code == 200, response.text
    return response.json()


def too_long(name: str, limit: int, length: int) -> str:
    return (
        f"Invalid '{name}': string too long. Expected a string with maximum length {limit}, "
        f"but got a string with length {length} instead."
    )


@pytest.mark.parametrize(("field", "limit"), [("name", 256), ("description", 512), ("instructions", 256_000)])
def test_assistant_texts(wire: Wire, field: str, limit: int) -> None:
    accepted(wire.post("/assistants", {"model": "m", field: "가" * limit}))
    response = wire.post("/assistants", {"model": "m", field: "가" * (limit + 1)})
    assert refused(response, field, "string_above_max_length") == too_long(field, limit, limit + 1)


def test_metadata_has_sixteen_pairs(wire: Wire) -> None:
    sixteen = {f"k{n}": "v" for n in range(16)}
    assert accepted(wire.post("/threads", {"metadata": sixteen}))["metadata"] == sixteen
    message = refused(
        wire.post("/threads", {"metadata": sixteen | {"k": "v"}}), "metadata", "object_above_max_properties"
    )
    assert message.startswith("Invalid 'metadata': too many properties.")


def test_metadata_keys_have_64_characters(wire: Wire) -> None:
    accepted(wire.post("/threads", {"metadata": {"k" * 64: "v"}}))
    response = wire.post("/threads", {"metadata": {"k" * 65: "v"}})
    assert response.status_code == 400
    assert response.json()["error"]["param"].startswith("metadata")


def test_metadata_values_have_512_characters(wire: Wire) -> None:
    accepted(wire.post("/threads", {"metadata": {"k": "v" * 512}}))
    response = wire.post("/threads", {"metadata": {"k": "v" * 513}})
    assert refused(response, "metadata.k", "string_above_max_length") == too_long("metadata.k", 512, 513)


@pytest.mark.parametrize("path", ["/assistants", "/threads", "/threads/{thread}/messages"])
def test_metadata_limits_hold_for_every_noun(wire: Wire, path: str) -> None:
    body = {"/assistants": {"model": "m"}, "/threads": {}}.get(path, {"role": "user", "content": "x"})
    response = wire.post(path.format(thread=wire.thread()["id"]), body | {"metadata": {"k": "v" * 513}})
    refused(response, "metadata.k", "string_above_max_length")


def test_128_tools(wire: Wire) -> None:
    tools = [function_tool(f"f{n}") for n in range(129)]
    assert len(accepted(wire.post("/assistants", {"model": "m", "tools": tools[:128]}))["tools"]) == 128
    message = refused(wire.post("/assistants", {"model": "m", "tools": tools}), "tools", "array_above_max_length")
    assert "128" in message
    assert "129" in message


@pytest.mark.parametrize("field", ["max_prompt_tokens", "max_completion_tokens"])
def test_token_budgets_are_at_least_256(wire: Wire, field: str) -> None:
    path, assistant = f"/threads/{wire.thread()['id']}/runs", wire.assistant()["id"]
    message = refused(wire.post(path, {"assistant_id": assistant, field: 255}), field, "integer_below_min_value")
    assert message == f"Invalid '{field}': integer below minimum value. Expected a value >= 256, but got 255 instead."
    accepted(wire.post(path, {"assistant_id": assistant, field: 256}))


@pytest.mark.parametrize(("field", "low", "high"), [("temperature", -0.1, 2.1), ("top_p", -0.1, 1.1)])
def test_sampling_values(wire: Wire, field: str, low: float, high: float) -> None:
    refused(wire.post("/assistants", {"model": "m", field: low}), field, "decimal_below_min_value")
    refused(wire.post("/assistants", {"model": "m", field: high}), field, "decimal_above_max_value")
    for edge in (0, high - 0.1):
        assert accepted(wire.post("/assistants", {"model": "m", field: edge}))[field] == pytest.approx(edge)


def test_last_messages_is_at_least_one(wire: Wire) -> None:
    body = {
        "assistant_id": wire.assistant()["id"],
        "truncation_strategy": {"type": "last_messages", "last_messages": 0},
    }
    response = wire.post(f"/threads/{wire.thread()['id']}/runs", body)
    refused(response, "truncation_strategy.last_messages", "integer_below_min_value")


def test_content_parts_are_at_least_one(wire: Wire) -> None:
    response = wire.post(f"/threads/{wire.thread()['id']}/messages", {"role": "user", "content": []})
    refused(response, "content", "empty_array")


def test_function_name_has_64_characters(wire: Wire) -> None:
    accepted(wire.post("/assistants", {"model": "m", "tools": [function_tool("f" * 64)]}))
    response = wire.post("/assistants", {"model": "m", "tools": [function_tool("f" * 65)]})
    refused(response, "tools[0].function.name", "string_above_max_length")


def test_large_messages_are_kept_whole(wire: Wire) -> None:
    text = "가나다" * 80_000
    thread = wire.thread(text)
    assert wire.texts(thread["id"]) == [text]
