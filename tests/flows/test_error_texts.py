"""Mistakes are answered in the hosted API's own words: status, message, param, code."""

from pathlib import Path
from typing import Any

import httpx2
import pytest
from tests.conftest import MakeServer
from tests.harness.upstream import Upstream
from tests.harness.wire import Json, Wire, function_tool, run_path

A, T, R, S, M = (f"{prefix}_" + "x" * 24 for prefix in ("asst", "thread", "run", "step", "msg"))
ANY_KEY = {"Authorization": "Bearer any"}


def error(response: httpx2.Response, status: int) -> Json:
    assert response.status_code == status, response.text
    assert set(response.json()["error"]) == {"message", "type", "param", "code"}
    return response.json()["error"]


def expect(
    response: httpx2.Response, message: str, param: str | None = None, code: str | None = None, status: int = 400
) -> None:
    expected = {"message": message, "type": "invalid_request_error", "param": param, "code": code}
    assert error(response, status) == expected


@pytest.mark.parametrize("method", ["get", "post", "delete"])
@pytest.mark.parametrize(("path", "noun"), [(f"/assistants/{A}", "assistant"), (f"/threads/{T}", "thread")])
def test_unknown_assistant_or_thread(wire: Wire, method: str, path: str, noun: str) -> None:
    response = wire.post(path, {}) if method == "post" else getattr(wire, method)(path)
    expect(response, f"No {noun} found with id '{path.rsplit('/', 1)[1]}'.", status=404)


@pytest.mark.parametrize("path", ["messages", "runs", f"runs/{R}", f"messages/{M}", f"runs/{R}/steps"])
def test_unknown_thread_above_anything(wire: Wire, path: str) -> None:
    expect(wire.get(f"/threads/{T}/{path}"), f"No thread found with id '{T}'.", status=404)


def test_unknown_run_message_and_step(wire: Wire) -> None:
    thread = wire.thread()
    run = wire.settle(wire.assistant(), thread)
    expect(wire.get(f"/threads/{thread['id']}/runs/{R}"), f"No run found with id '{R}'.", status=404)
    expect(wire.post(f"/threads/{thread['id']}/runs/{R}/cancel"), f"No run found with id '{R}'.", status=404)
    expect(wire.get(f"/threads/{thread['id']}/messages/{M}"), f"No message found with id '{M}'.", status=404)
    expect(wire.delete(f"/threads/{thread['id']}/messages/{M}"), f"No message found with id '{M}'.", status=404)
    expect(wire.get(f"{run_path(run)}/steps/{S}"), f"No run step found with id '{S}'.", status=404)


def test_a_run_is_not_found_below_another_thread(wire: Wire) -> None:
    run = wire.settle(wire.assistant())
    other = wire.thread()
    expect(wire.get(f"/threads/{other['id']}/runs/{run['id']}"), f"No run found with id '{run['id']}'.", status=404)


def test_run_of_an_unknown_assistant(wire: Wire) -> None:
    response = wire.post(f"/threads/{wire.thread()['id']}/runs", {"assistant_id": A})
    expect(response, f"No assistant found with id '{A}'.", status=404)


def test_unknown_model_where_names_are_routed(make_server: MakeServer, upstream: Upstream, tmp_path: Path) -> None:
    config = tmp_path / "understudy.toml"
    config.write_text(f'[upstreams.own]\nurl = "{upstream.url}"\n[models."gpt-4o"]\nupstream = "own"\n')
    wire = make_server(UNDERSTUDY_CONFIG=str(config), UNDERSTUDY_MODEL_URL="", UNDERSTUDY_MODEL_KEY="").wire()
    message = "The model 'no_such_model' does not exist"
    expect(wire.get("/models/no_such_model"), message, "model", "model_not_found", status=404)
    expect(wire.post("/assistants", {"model": "no_such_model"}), message, "model", "model_not_found", status=404)
    assert wire.settle(wire.assistant())["status"] == "completed"


def test_ids_of_a_wrong_shape(wire: Wire) -> None:
    begins = "Expected an ID that begins with"
    response = wire.get("/threads/undefined")
    expect(response, f"Invalid 'thread_id': 'undefined'. {begins} 'thread'.", "thread_id", "invalid_value")
    response = wire.post(f"/threads/{wire.thread()['id']}/runs", {"assistant_id": "wf_123"})
    expect(response, f"Invalid 'assistant_id': 'wf_123'. {begins} 'asst'.", "assistant_id", "invalid_value")
    response = wire.get(f"/threads/{wire.thread()['id']}/runs/None")
    expect(response, f"Invalid 'run_id': 'None'. {begins} 'run'.", "run_id", "invalid_value")


def test_run_without_anything_to_answer(wire: Wire) -> None:
    empty = wire.make("/threads")
    message = "Run creation requires a Thread with a user message or an assistant with instructions."
    response = wire.post(f"/threads/{empty['id']}/runs", {"assistant_id": wire.assistant()["id"]})
    expect(response, message, None, "invalid_thread")
    instructed = wire.assistant(instructions="Greet.")
    assert wire.settle(instructed, empty)["status"] == "completed"


@pytest.mark.parametrize(
    ("value", "got"), [(True, "a boolean"), (1, "an integer"), (1.5, "a decimal"), ([], "an array"), ({}, "an object")]
)
def test_wrong_type_names_both_types(wire: Wire, value: object, got: str) -> None:
    message = f"Invalid type for 'metadata.modified': expected a string, but got {got} instead."
    expect(wire.post("/threads", {"metadata": {"modified": value}}), message, "metadata.modified", "invalid_type")


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("/threads/{thread}/runs", {}, "assistant_id"),
        ("/threads/runs", {}, "assistant_id"),
        ("/assistants", {}, "model"),
        ("/threads/{thread}/messages", {"content": "x"}, "role"),
        ("/threads/{thread}/messages", {"role": "user"}, "content"),
        ("/threads", {"messages": [{"role": "user"}]}, "messages[0].content"),
        ("/assistants", {"model": "m", "tools": [{"type": "function"}]}, "tools[0].function"),
        ("/assistants", {"model": "m", "tools": [{"type": "function", "function": {}}]}, "tools[0].function.name"),
    ],
)
def test_missing_field(wire: Wire, path: str, body: Json, field: str) -> None:
    response = wire.post(path.format(thread=wire.thread()["id"]), body)
    expect(response, f"Missing required parameter: '{field}'.", field, "missing_required_parameter")


def test_missing_id_in_a_tool_output(wire: Wire) -> None:
    run = wire.settle(wire.assistant("weather"))
    response = wire.post(f"{run_path(run)}/submit_tool_outputs", {"tool_outputs": [{"output": "57"}]})
    field = "tool_outputs[0].tool_call_id"
    expect(response, f"Missing required parameter: '{field}'.", field, "missing_required_parameter")


@pytest.mark.parametrize("path", ["/assistants", "/threads/{thread}/messages", "/threads/{thread}/runs"])
@pytest.mark.parametrize(
    ("limit", "code", "message"),
    [
        (101, "integer_above_max_value", "integer above maximum value. Expected a value <= 100, but got 101 instead."),
        (0, "integer_below_min_value", "integer below minimum value. Expected a value >= 1, but got 0 instead."),
    ],
)
def test_limit_out_of_range(wire: Wire, path: str, limit: int, code: str, message: str) -> None:
    response = wire.get(path.format(thread=wire.thread()["id"]), params={"limit": limit})
    expect(response, f"Invalid 'limit': {message}", "limit", code)


def test_bad_order(wire: Wire) -> None:
    response = wire.get("/assistants", params={"order": "up"})
    expect(response, "Invalid value: 'up'. Supported values are: 'asc' and 'desc'.", "order", "invalid_value")


def test_bad_role(wire: Wire) -> None:
    response = wire.post(f"/threads/{wire.thread()['id']}/messages", {"role": "system", "content": "x"})
    message = "Invalid value: 'system'. Supported values are: 'user' and 'assistant'."
    expect(response, message, "role", "invalid_value")


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("/threads", {"colour": 1}, "colour"),
        ("/assistants", {"model": "m", "colour": 1}, "colour"),
        ("/threads", {"messages": [{"role": "user", "content": "x", "colour": 1}]}, "messages[0].colour"),
    ],
)
def test_unknown_body_key(wire: Wire, path: str, body: Json, field: str) -> None:
    expect(wire.post(path, body), f"Unknown parameter: '{field}'.", field, "unknown_parameter")


@pytest.mark.parametrize("content", [b"{not json", b"[]", b'"text"', b"\xff\xfe", b"null"])
def test_a_body_that_is_no_json_object(wire: Wire, content: bytes) -> None:
    headers = {"content-type": "application/json"}
    answer = error(wire.http.post("/assistants", content=content, headers=headers), 400)
    assert answer["type"] == "invalid_request_error"
    assert answer["message"]


def test_unknown_path_and_wrong_method(wire: Wire) -> None:
    assert error(wire.get("/nonsense"), 404)["message"] == "Invalid URL (GET /v1/nonsense)"
    assert "PATCH" in error(wire.http.request("PATCH", "/assistants"), 405)["message"]


def test_unknown_query_keys_and_headers_are_ignored(wire: Wire) -> None:
    response = wire.get("/assistants", params={"api-version": "2024-05-01", "x": "y"}, headers={"x-colour": "red"})
    assert response.status_code == 200


def test_missing_beta_header_is_accepted_by_default(wire: Wire) -> None:
    assert httpx2.post(f"{wire.http.base_url}assistants", json={"model": "m"}, headers=ANY_KEY).status_code == 200


def test_missing_beta_header_is_refused_where_that_is_wanted(make_server: MakeServer) -> None:
    url = make_server(UNDERSTUDY_STRICT_BETA_HEADER="true").url + "/v1/assistants"
    message = (
        "You must provide the 'OpenAI-Beta' header to access the Assistants API. Please try again by setting the "
        "header 'OpenAI-Beta: assistants=v2'."
    )
    expect(httpx2.post(url, json={"model": "m"}, headers=ANY_KEY), message, None, "invalid_beta")
    for value in ("assistants=v2", "other=v1, assistants=v2"):
        answer = httpx2.post(url, json={"model": "m"}, headers=ANY_KEY | {"OpenAI-Beta": value})
        assert answer.status_code == 200


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/threads", {"messages": []}),
        ("/threads", {"messages": None, "metadata": None, "tool_resources": None}),
        ("/assistants", {"model": "m", "tools": [], "name": None, "temperature": None, "response_format": None}),
        ("/threads/runs", {"assistant_id": "{assistant}", "tools": [], "thread": {"messages": []}, "stream": None}),
    ],
)
def test_empty_arrays_and_nulls_are_accepted(wire: Wire, path: str, body: dict[str, Any]) -> None:
    if "assistant_id" in body:
        body = body | {"assistant_id": wire.assistant(instructions="Greet.")["id"]}
    assert wire.post(path, body).status_code == 200


def test_errors_carry_a_request_id(wire: Wire) -> None:
    response = wire.get(f"/assistants/{A}")
    assert response.headers["x-request-id"].startswith("req_")
    assert response.headers["content-type"] == "application/json"


def test_function_names_must_fit_the_pattern(wire: Wire) -> None:
    response = wire.post("/assistants", {"model": "m", "tools": [function_tool("no spaces")]})
    assert error(response, 400)["param"] == "tools[0].function.name"
