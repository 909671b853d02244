"""Vector stores as the official SDK uses them, over a real server that parses, indexes, stops and dies."""

import asyncio
import time

import httpx2
import openai
import pytest
from openai.types import VectorStoreSearchResponse
from tests.conftest import MakeServer
from tests.harness.replies import Call, Reply
from tests.harness.server import Server
from tests.harness.upstream import Upstream
from tests.harness.wire import Wire, text_of

from understudy.sandbox.reader_jail import ReaderJail

pytestmark = pytest.mark.timeout(240)

OPHELIA = "# Hamlet\n\n## Act IV, Scene VII\n\nOphelia drowns in the brook, under the willow that grows aslant it.\n"
KOREAN = "# 햄릿\n\n오필리아는 비스듬히 자란 버드나무 아래 시냇물에서 물에 빠져 죽었다.\n"
CAESAR = "Brutus and the conspirators kill Caesar in the Capitol on the Ides of March.\n"
IN_TIME_S = 150.0


def client_of(server: Server) -> openai.OpenAI:
    return openai.OpenAI(base_url=server.url + "/v1", api_key="sk-test", max_retries=0)


def uploaded(client: openai.OpenAI, name: str, text: str) -> str:
    return client.files.create(file=(name, text.encode()), purpose="assistants").id


def found(client: openai.OpenAI, store_id: str, query: str) -> list[VectorStoreSearchResponse]:
    return client.vector_stores.search(store_id, query=query).data


def until_done(client: openai.OpenAI, store_id: str) -> openai.types.VectorStore:
    deadline = time.monotonic() + IN_TIME_S
    while (seen := client.vector_stores.retrieve(store_id)).file_counts.in_progress:
        assert time.monotonic() < deadline, seen
        time.sleep(0.1)
    return seen


def test_from_upload_to_passage(client: openai.OpenAI) -> None:
    store = client.vector_stores.create(name="plays", metadata={"language": "en"})
    hamlet = client.vector_stores.files.upload_and_poll(
        vector_store_id=store.id, file=("hamlet.md", OPHELIA.encode()), attributes={"year": 1603}
    )
    assert (hamlet.status, hamlet.last_error) == ("completed", None)
    assert hamlet.usage_bytes > len(OPHELIA)
    batch = client.vector_stores.file_batches.upload_and_poll(
        store.id,
        files=[
            ("햄릿.md", KOREAN.encode()),
            ("caesar.txt", CAESAR.encode()),
            ("empty.txt", b""),
            ("README", b"Read me."),
        ],
    )
    assert (batch.status, batch.file_counts.completed, batch.file_counts.failed) == ("completed", 2, 2)
    errors = {
        file.last_error.code
        for file in client.vector_stores.file_batches.list_files(batch.id, vector_store_id=store.id, filter="failed")
        if file.last_error
    }
    assert errors == {"invalid_file", "unsupported_file"}
    first = found(client, store.id, "Where did Ophelia drown?")[0]
    assert (first.filename, first.attributes) == ("hamlet.md", {"year": 1603.0})
    assert "under the willow" in first.content[0].text
    assert found(client, store.id, "오필리아가 죽은 곳")[0].filename == "햄릿.md"
    [only] = client.vector_stores.search(
        store.id, query="Ophelia", filters={"type": "gte", "key": "year", "value": 1600}
    ).data
    assert only.filename == "hamlet.md"
    [content] = client.vector_stores.files.content(hamlet.id, vector_store_id=store.id).data
    assert content.text == OPHELIA
    passage = client.get(
        f"/vector_stores/{store.id}/files/{hamlet.id}/chunks/{first.model_dump()['chunk_id']}", cast_to=object
    )
    assert isinstance(passage, dict)
    assert OPHELIA[passage["start_index"] : passage["end_index"]] == passage["text"] == first.content[0].text
    assert passage["heading"][0] == "Hamlet"
    client.files.delete(hamlet.id)
    assert "hamlet.md" not in {hit.filename for hit in found(client, store.id, "Where did Ophelia drown?")}
    with pytest.raises(openai.NotFoundError):
        client.vector_stores.files.retrieve(hamlet.id, vector_store_id=store.id)
    client.vector_stores.delete(store.id)
    with pytest.raises(openai.NotFoundError, match="No vector store found with id"):
        found(client, store.id, "Ophelia")


def test_the_same_file_twice_is_found_once(client: openai.OpenAI) -> None:
    store, file_id = client.vector_stores.create(), uploaded(client, "caesar.txt", CAESAR)
    for _ in range(2):
        added = client.vector_stores.files.create_and_poll(file_id, vector_store_id=store.id)
        assert added.status == "completed"
    cut = {"type": "static", "static": {"max_chunk_size_tokens": 100, "chunk_overlap_tokens": 0}}
    client.vector_stores.files.create_and_poll(file_id, vector_store_id=store.id, chunking_strategy=cut)  # type: ignore[arg-type]
    assert client.vector_stores.retrieve(store.id).file_counts.total == 1
    assert [hit.content[0].text for hit in found(client, store.id, "Caesar")] == [CAESAR]


def test_files_survive_a_kill(make_server: MakeServer) -> None:
    """What was done is done, what was not is done again, and nothing is in the index twice."""
    server = make_server(UNDERSTUDY_LEASE_S="1", UNDERSTUDY_INGEST_CONCURRENCY="2")
    with client_of(server) as client:
        members = [uploaded(client, f"{number}.txt", f"Passage number{number} of {CAESAR}") for number in range(6)]
        store = client.vector_stores.create(file_ids=members)
        deadline = time.monotonic() + IN_TIME_S
        while not client.vector_stores.retrieve(store.id).file_counts.completed:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        for _ in range(2):
            server.kill()
            server.start()
            time.sleep(0.5)
        seen = until_done(client, store.id)
        assert (seen.file_counts.completed, seen.file_counts.failed) == (6, 0)
        hits = client.vector_stores.search(store.id, query="Brutus kills Caesar", max_num_results=50).data
        assert sorted(hit.filename for hit in hits) == [f"{number}.txt" for number in range(6)]


def test_files_survive_a_stop_in_good_order(make_server: MakeServer) -> None:
    server = make_server()
    with client_of(server) as client:
        members = [uploaded(client, f"{number}.txt", CAESAR) for number in range(3)]
        store = client.vector_stores.create(file_ids=members)
        assert server.stop() == 0
        server.start()
        assert until_done(client, store.id).file_counts.completed == 3
    assert "Traceback" not in server.stderr


def test_the_assistants_and_the_threads_store_are_searched_together(
    make_server: MakeServer, upstream: Upstream
) -> None:
    with client_of(server := make_server()) as client:
        wire = server.wire()
        given = {"file_search": {"vector_stores": [{"file_ids": [uploaded(client, "hamlet.md", OPHELIA)]}]}}
        assistant = wire.make(
            "/assistants", {"model": "gpt-4o", "tools": [{"type": "file_search"}], "tool_resources": given}
        )
        [store_id] = assistant["tool_resources"]["file_search"]["vector_store_ids"]
        until_done(client, store_id)
        upstream.script(
            Reply(calls=[Call("file_search", '{"query": "Ophelia 오필리아 willow"}')]), Reply("Both say so.")
        )
        attached = {"file_id": uploaded(client, "햄릿.md", KOREAN), "tools": [{"type": "file_search"}]}
        said = {"role": "user", "content": "Where?", "attachments": [attached]}
        thread = wire.make("/threads", {"messages": [said]})
        run = wire.settle(assistant, thread)
        assert run["status"] == "completed", run["last_error"]
        assert searched(wire, run) == {"hamlet.md", "햄릿.md"}, "the run waited for the thread's file"
        assert wire.texts(thread["id"])[-1] == "Both say so."
        [own] = wire.read(f"/threads/{thread['id']}")["tool_resources"]["file_search"]["vector_store_ids"]
        assert own != store_id
        assert wire.read(f"/vector_stores/{own}")["expires_after"] == {"anchor": "last_active_at", "days": 7}
        assert text_of(wire.read(f"/threads/{thread['id']}/messages")["data"][0]) == "Both say so."


def searched(wire: Wire, run: dict[str, object]) -> set[str]:
    calls = [step["step_details"]["tool_calls"] for step in wire.steps(run) if step["type"] == "tool_calls"]
    return {result["file_name"] for [call] in calls for result in call["file_search"]["results"]}


def test_health_says_how_documents_are_read(server: Server) -> None:
    parts = httpx2.get(server.url + "/health", headers={"Authorization": "Bearer sk-test"}).json()["parts"]
    why = asyncio.run(ReaderJail().tried())
    expected = {"state": "ok", "kind": "process" if why else "bubblewrap"}
    assert {key: value for key, value in parts["document_readers"].items() if key != "why"} == expected
