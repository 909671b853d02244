"""Drives a server's vector stores with whatever version of the Python SDK is installed. Exits 0 if all went well.

Up to 1.65 they are under `client.beta`. Answers are not validated strictly: in every version the types want an object
name for batches, and a name for stores, that the hosted API never sent.
"""

import io

import openai
from openai import NotFoundError, OpenAI

client = OpenAI(max_retries=0)
stores = client.beta.vector_stores if hasattr(client.beta, "vector_stores") else client.vector_stores
TEXT = b"Ophelia drowns in the brook, under the willow.\n"


def named(name, text=TEXT):
    file = io.BytesIO(text)
    file.name = name
    return file


def files_one_by_one():
    store = stores.create(name="plays", expires_after={"anchor": "last_active_at", "days": 2}, metadata={"a": "b"})
    assert (store.name, store.status, store.file_counts.total, store.metadata) == ("plays", "completed", 0, {"a": "b"})
    assert store.expires_at == store.last_active_at + 2 * 86400
    uploaded = client.files.create(file=named("one.txt"), purpose="assistants")
    one = stores.files.create_and_poll(vector_store_id=store.id, file_id=uploaded.id)
    two = stores.files.upload_and_poll(vector_store_id=store.id, file=named("two.md"))
    bad = stores.files.upload_and_poll(vector_store_id=store.id, file=named("three.txt", b"\x00\x01\x02"))
    assert (one.status, two.status, bad.status) == ("completed", "completed", "failed"), (one, two, bad)
    assert bad.last_error.code == "invalid_file", bad
    assert [file.id for file in stores.files.list(store.id, limit=1, order="asc")] == [one.id, two.id, bad.id]
    assert [file.id for file in stores.files.list(store.id, filter="failed")] == [bad.id]
    assert stores.files.retrieve(one.id, vector_store_id=store.id).usage_bytes > 0
    assert stores.files.delete(one.id, vector_store_id=store.id).deleted
    assert stores.retrieve(store.id).file_counts.total == 2
    assert stores.update(store.id, name="old").name == "old"
    assert store.id in [one.id for one in stores.list(limit=3)]
    newer(store.id, two.id)
    assert stores.delete(store.id).deleted
    assert "No vector store found with id" in not_found(store.id)


def not_found(store_id):
    try:
        stores.retrieve(store_id)
    except NotFoundError as error:
        return error.message
    raise AssertionError("a deleted store was found")


def newer(store_id, file_id):
    """What came with 1.66 and later."""
    if not hasattr(stores, "search"):
        return
    assert stores.files.update(file_id, vector_store_id=store_id, attributes={"year": 1603}).attributes == {
        "year": 1603
    }
    page = stores.search(store_id, query="Who drowns?", filters={"type": "eq", "key": "year", "value": 1603})
    assert [hit.filename for hit in page.data] == ["two.md"], page
    assert TEXT.decode() in stores.files.content(file_id, vector_store_id=store_id).data[0].text


def files_in_batches():
    store = stores.create()
    ids = [client.files.create(file=named(f"{number}.txt"), purpose="assistants").id for number in range(2)]
    batch = stores.file_batches.create_and_poll(vector_store_id=store.id, file_ids=ids)
    assert (batch.status, batch.file_counts.completed) == ("completed", 2), batch
    more = stores.file_batches.upload_and_poll(store.id, files=[named("2.txt"), named("3.txt")], file_ids=ids)
    assert (more.status, more.file_counts.completed) == ("completed", 4), more
    listed = stores.file_batches.list_files(batch.id, vector_store_id=store.id, order="asc")
    assert [file.id for file in listed] == ids
    assert stores.file_batches.cancel(batch.id, vector_store_id=store.id).status == "completed"
    assert stores.file_batches.retrieve(batch.id, vector_store_id=store.id).file_counts.total == 2


def helpers():
    file = client.files.create(file=named("four.txt"), purpose="assistants").id
    seed = {"file_search": {"vector_stores": [{"file_ids": [file], "metadata": {"by": "helper"}}]}}
    assistant = client.beta.assistants.create(model="gpt-4o", tools=[{"type": "file_search"}], tool_resources=seed)
    [made] = assistant.tool_resources.file_search.vector_store_ids
    assert stores.retrieve(made).metadata == {"by": "helper"}
    thread = client.beta.threads.create(
        messages=[
            {
                "role": "user",
                "content": "Who drowns?",
                "attachments": [{"file_id": file, "tools": [{"type": "file_search"}]}],
            }
        ]
    )
    [own] = thread.tool_resources.file_search.vector_store_ids
    assert stores.files.poll(file, vector_store_id=own).status == "completed"
    assert stores.retrieve(own).expires_after.days == 7
    client.files.delete(file)
    assert list(stores.files.list(own)) == []


files_one_by_one()
files_in_batches()
helpers()
print("openai", openai.__version__, "had no complaint")
