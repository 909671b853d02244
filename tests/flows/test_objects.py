"""Assistants, threads and messages: created, read, changed, deleted; absent, null and default told apart."""

import pytest
from tests.harness.wire import Wire

FILE_SEARCH_ECHO = {
    "type": "file_search",
    "file_search": {"ranking_options": {"ranker": "default_2024_08_21", "score_threshold": 0.0, "hybrid_search": None}},
}


def test_assistant_keeps_what_it_was_given(wire: Wire) -> None:
    given = {
        "model": "gpt-4o",
        "name": "날씨 봇",
        "description": "d",
        "instructions": "i",
        "metadata": {"a": "b"},
        "temperature": 0,
        "top_p": 0,
        "reasoning_effort": "low",
        "response_format": {"type": "json_object"},
    }
    made = wire.make("/assistants", given)
    read = wire.read(f"/assistants/{made['id']}")
    assert made == read
    assert {key: read[key] for key in given} == given
    assert type(read["temperature"]) is float


def test_update_changes_only_what_it_names(wire: Wire) -> None:
    made = wire.assistant("weather", name="one", temperature=0.5, metadata={"a": "b", "c": "d"})
    changed = wire.make(f"/assistants/{made['id']}", {"name": "two", "metadata": {"e": "f"}})
    assert changed == made | {"name": "two", "metadata": {"e": "f"}}
    assert wire.make(f"/assistants/{made['id']}", {"name": None})["name"] is None
    assert wire.read(f"/assistants/{made['id']}")["temperature"] == 0.5


def test_an_assistant_whose_vector_store_is_gone_can_be_changed(wire: Wire) -> None:
    store = wire.make("/vector_stores", {})
    given = {"file_search": {"vector_store_ids": [store["id"]]}}
    made = wire.make("/assistants", {"model": "m", "tools": [{"type": "file_search"}], "tool_resources": given})
    wire.delete(f"/vector_stores/{store['id']}")
    both = {"tools": [*made["tools"], {"type": "code_interpreter"}]}
    assert wire.make(f"/assistants/{made['id']}", both)["tool_resources"]["code_interpreter"] == {"file_ids": []}
    assert wire.post(f"/assistants/{made['id']}", {"tool_resources": given}).status_code == 404


def test_built_in_tools_are_echoed_filled_in(wire: Wire) -> None:
    made = wire.make("/assistants", {"model": "m", "tools": [{"type": "file_search"}, {"type": "code_interpreter"}]})
    assert made["tools"] == [FILE_SEARCH_ECHO, {"type": "code_interpreter"}]
    assert made["tool_resources"]["file_search"] == {"vector_store_ids": []}
    assert made["tool_resources"]["code_interpreter"] == {"file_ids": []}


def test_function_without_parameters_is_filled_in(wire: Wire) -> None:
    tool = {"type": "function", "function": {"name": "examine_server"}}
    echoed = wire.make("/assistants", {"model": "m", "tools": [tool]})["tools"][0]["function"]
    assert echoed["parameters"] == {"type": "object", "properties": {}}
    assert echoed["strict"] is False


def test_deleted_assistant_is_gone(wire: Wire) -> None:
    made = wire.assistant()
    answer = {"id": made["id"], "object": "assistant.deleted", "deleted": True}
    assert wire.delete(f"/assistants/{made['id']}").json() == answer
    assert wire.get(f"/assistants/{made['id']}").status_code == 404
    listed = wire.read("/assistants", limit=100)["data"]
    assert made["id"] not in [item["id"] for item in listed]


def test_run_survives_its_assistant(wire: Wire) -> None:
    assistant = wire.assistant()
    run = wire.settle(assistant)
    wire.delete(f"/assistants/{assistant['id']}")
    kept = wire.read(f"/threads/{run['thread_id']}/runs/{run['id']}")
    assert kept["assistant_id"] == assistant["id"]


def test_thread_metadata_is_replaced(wire: Wire) -> None:
    thread = wire.make("/threads", {"metadata": {"a": "b"}})
    changed = wire.make(f"/threads/{thread['id']}", {"metadata": {"c": "d"}})
    assert changed["metadata"] == {"c": "d"}
    assert wire.read(f"/threads/{thread['id']}")["metadata"] == {"c": "d"}


def test_deleted_thread_takes_its_messages_along(wire: Wire) -> None:
    thread = wire.thread("one")
    deleted = wire.delete(f"/threads/{thread['id']}").json()
    assert deleted == {"id": thread["id"], "object": "thread.deleted", "deleted": True}
    assert wire.get(f"/threads/{thread['id']}/messages").status_code == 404


def test_thread_with_a_run_can_be_deleted(wire: Wire) -> None:
    run = wire.settle(wire.assistant("weather"))
    assert wire.delete(f"/threads/{run['thread_id']}").status_code == 200
    assert wire.get(f"/threads/{run['thread_id']}/runs/{run['id']}").status_code == 404


def test_message_text_and_parts(wire: Wire) -> None:
    parts = [
        {"type": "text", "text": "이것은?"},
        {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}},
        {"type": "image_url", "image_url": {"url": "https://example.com/b.png", "detail": "low"}},
    ]
    path = f"/threads/{wire.thread()['id']}/messages"
    content = wire.make(path, {"role": "user", "content": parts})["content"]
    assert content[0] == {"type": "text", "text": {"value": "이것은?", "annotations": []}}
    assert [part["image_url"]["detail"] for part in content[1:]] == ["auto", "low"]


def test_message_over_rest_has_the_fields_that_the_sdks_require(wire: Wire) -> None:
    path = f"/threads/{wire.thread()['id']}/messages"
    message = wire.make(path, {"role": "assistant", "content": "from the client", "metadata": {"a": "b"}})
    fields = {"role": "assistant", "run_id": None, "assistant_id": None, "attachments": [], "incomplete_details": None}
    assert {key: message[key] for key in fields} == fields
    assert message["status"] == "completed"
    assert {"completed_at", "incomplete_at"} <= message.keys()


def test_message_metadata_is_replaced_and_content_kept(wire: Wire) -> None:
    thread = wire.thread("one")
    message = wire.read(f"/threads/{thread['id']}/messages")["data"][0]
    changed = wire.make(f"/threads/{thread['id']}/messages/{message['id']}", {"metadata": {"a": "b"}})
    assert changed == message | {"metadata": {"a": "b"}}


def test_deleted_message_is_gone(wire: Wire) -> None:
    thread = wire.thread("one", "two")
    first = wire.read(f"/threads/{thread['id']}/messages", order="asc")["data"][0]["id"]
    deleted = wire.delete(f"/threads/{thread['id']}/messages/{first}").json()
    assert deleted == {"id": first, "object": "thread.message.deleted", "deleted": True}
    assert wire.texts(thread["id"]) == ["two"]


def test_models_are_listed(wire: Wire) -> None:
    listing = wire.read("/models")
    assert listing["object"] == "list"
    for model in listing["data"]:
        assert wire.read(f"/models/{model['id']}") == model
        assert (model["object"], type(model["created"])) == ("model", int)


def test_health_tells_version_and_parts(wire: Wire) -> None:
    health = wire.http.get(str(wire.http.base_url).removesuffix("v1/") + "health")
    assert health.status_code == 200
    assert health.json()["version"]


@pytest.mark.parametrize("kind", ["auto", {"type": "text"}, {"type": "json_object"}])
def test_response_format_is_echoed(wire: Wire, kind: object) -> None:
    assert wire.assistant(response_format=kind)["response_format"] == kind
