"""Vector stores made in passing: described by a request, or a thread's own for what its messages bring."""

from typing import Any

import pytest
from pydantic import ValidationError
from tests.engine.house import House
from tests.storage.builders import NOW, PROJECT, stored_file, stored_files, stored_vector_store

from understudy.engine.retries import Once
from understudy.errors import ApiError, FilesNotFound, InvalidRequest, NotFound
from understudy.protocol.messages import CreateMessage
from understudy.protocol.runs import CreateRun, CreateThreadAndRun
from understudy.protocol.threads import CreateThread, ModifyThread, Thread
from understudy.protocol.tools import ToolResources, ToolResourcesParam
from understudy.protocol.vector_stores import DAY_S, VectorStore, VectorStoreFile
from understudy.storage import threads, vector_store_files, vector_stores
from understudy.storage.posts import Post
from understudy.storage.rows import Window

WEEK: Any = {"anchor": "last_active_at", "days": 7}
SEARCH = [{"type": "file_search"}]
BOTH = [*SEARCH, {"type": "code_interpreter"}]
SIZES = {"max_chunk_size_tokens": 200, "chunk_overlap_tokens": 10}
STATIC: Any = {"type": "static", "static": SIZES}


def described(*file_ids: str, **given: Any) -> dict[str, Any]:
    return {"file_search": {"vector_stores": [{"file_ids": list(file_ids)} | given]}}


def said(*file_ids: str, tools: Any = SEARCH) -> CreateMessage:
    attachments = [{"file_id": file_id, "tools": tools} for file_id in file_ids]
    return CreateMessage.model_validate({"role": "user", "content": "hi", "attachments": attachments})


async def thread_of(house: House, thread_id: str) -> Thread:
    return await house.store.read(lambda c: threads.get(c, PROJECT, thread_id))


def store_ids(thread: Thread) -> list[str]:
    return thread.tool_resources["file_search"]["vector_store_ids"]


async def store_of(house: House, store_id: str) -> VectorStore:
    return await house.store.read(
        lambda c: vector_stores.shown(c, [vector_stores.get(c, PROJECT, store_id)], house.clock.now())[0]
    )


async def files_of(house: House, store_id: str) -> list[VectorStoreFile]:
    window = Window(100, "asc")
    return (await house.store.read(lambda c: vector_store_files.list_page(c, store_id, window)))[0]


async def enqueued(house: House, count: int) -> list[str]:
    jobs = house.bus.jobs("files")
    found = [await anext(jobs) for _ in range(count)]
    await jobs.aclose()
    return found


async def test_a_thread_gets_the_store_that_its_request_describes(house: House) -> None:
    members = await stored_files(house.store, 2)
    given = CreateThread.model_validate({"tool_resources": described(*members, metadata={"a": "b"})})
    made = await house.conversations.create_thread(PROJECT, given)
    [store_id] = store_ids(made)
    found = await store_of(house, store_id)
    assert (found.metadata, found.expires_after, found.expires_at) == ({"a": "b"}, WEEK, NOW + 7 * DAY_S)
    assert [file.id for file in await files_of(house, store_id)] == members
    assert await enqueued(house, 2) == [f"{store_id}/{file_id}" for file_id in members]


async def test_the_strategy_that_is_described_is_that_of_its_files(house: House) -> None:
    [member] = await stored_files(house.store, 1)
    given = CreateThread.model_validate({"tool_resources": described(member, chunking_strategy=STATIC)})
    [store_id] = store_ids(await house.conversations.create_thread(PROJECT, given))
    assert [file.chunking_strategy for file in await files_of(house, store_id)] == [STATIC]


async def test_a_thread_that_is_made_with_its_run(house: House) -> None:
    [member, other] = await stored_files(house.store, 2)
    request = {
        "assistant_id": await house.assistant(),
        "thread": {"messages": [{"role": "user", "content": "hi"}], "tool_resources": described(member)},
    }
    started = await house.runs.start_with_thread(PROJECT, CreateThreadAndRun.model_validate(request))
    [store_id] = store_ids(await thread_of(house, started.run.thread_id))
    assert (await store_of(house, store_id)).expires_after == WEEK
    assert started.run.tool_resources["file_search"]["vector_store_ids"] == [store_id]
    assert await enqueued(house, 1) == [f"{store_id}/{member}"]
    given = await stored_vector_store(house.store)
    top = request | {"tool_resources": {"file_search": {"vector_store_ids": [given]}}}
    top["thread"] = {"tool_resources": described(other)}
    started = await house.runs.start_with_thread(PROJECT, CreateThreadAndRun.model_validate(top))
    assert store_ids(await thread_of(house, started.run.thread_id)) == [given], "what is given at the top wins"


async def test_a_thread_is_given_another_store_later(house: House) -> None:
    thread_id, given = await house.thread(), await stored_vector_store(house.store)
    changes = ModifyThread.model_validate({"tool_resources": {"file_search": {"vector_store_ids": [given]}}})
    assert store_ids(await house.conversations.modify_thread(PROJECT, thread_id, changes)) == [given]
    [member] = await stored_files(house.store, 1)
    changes = ModifyThread.model_validate({"tool_resources": described(member)})
    [store_id] = store_ids(await house.conversations.modify_thread(PROJECT, thread_id, changes))
    assert store_id != given
    assert await enqueued(house, 1) == [f"{store_id}/{member}"]
    kept = await house.conversations.modify_thread(PROJECT, thread_id, ModifyThread(metadata={"a": "b"}))
    assert store_ids(kept) == [store_id]


async def test_what_one_tool_of_a_thread_is_given_leaves_the_others(house: House) -> None:
    thread_id, store_id = await house.thread(), await stored_vector_store(house.store)
    [member] = await stored_files(house.store, 1)

    async def changed(**resources: Any) -> ToolResources:
        given = ModifyThread.model_validate({"tool_resources": resources})
        return (await house.conversations.modify_thread(PROJECT, thread_id, given)).tool_resources

    stores, code = {"vector_store_ids": [store_id]}, {"file_ids": [member]}
    assert await changed(file_search=stores) == {"code_interpreter": {"file_ids": []}, "file_search": stores}
    both = {"code_interpreter": code, "file_search": stores}
    assert await changed(code_interpreter=code) == both
    assert await changed() == both
    assert (await changed(**described()))["code_interpreter"] == code
    emptied = await house.conversations.modify_thread(PROJECT, thread_id, ModifyThread(tool_resources=None))
    assert emptied.tool_resources == {"code_interpreter": {"file_ids": []}}


async def test_a_threads_store_that_is_gone_does_not_keep_its_other_tool_from_change(house: House) -> None:
    thread_id, store_id = await house.thread(), await stored_vector_store(house.store)
    [member] = await stored_files(house.store, 1)
    given = ModifyThread.model_validate({"tool_resources": {"file_search": {"vector_store_ids": [store_id]}}})
    await house.conversations.modify_thread(PROJECT, thread_id, given)
    await house.store.write(lambda connection: vector_stores.remove(connection, PROJECT, store_id))
    given = ModifyThread.model_validate({"tool_resources": {"code_interpreter": {"file_ids": [member]}}})
    changed = await house.conversations.modify_thread(PROJECT, thread_id, given)
    assert changed.tool_resources["code_interpreter"] == {"file_ids": [member]}


async def test_a_retry_makes_no_second_store(house: House) -> None:
    thread_id = await house.thread()
    changes = ModifyThread.model_validate({"tool_resources": described()})
    first = Post(PROJECT, "f1" * 32)
    made = await house.conversations.modify_thread(PROJECT, thread_id, changes, Once(house.clock, first))
    again = Post(PROJECT, "f1" * 32, retry=1, looks_back=True)
    with pytest.raises(Exception, match="answered before"):
        await house.conversations.modify_thread(PROJECT, thread_id, changes, Once(house.clock, again))
    assert store_ids(await thread_of(house, thread_id)) == store_ids(made)


# --- attachments -------------------------------------------------------------------------------------------------


async def test_a_thread_has_no_store_before_it_needs_one(house: House) -> None:
    thread_id, [member] = await house.thread(), await stored_files(house.store, 1)
    assert "file_search" not in (await thread_of(house, thread_id)).tool_resources
    made = await house.conversations.add_message(PROJECT, thread_id, said(member))
    assert made.attachments == [{"file_id": member, "tools": SEARCH}]
    [store_id] = store_ids(await thread_of(house, thread_id))
    assert (await store_of(house, store_id)).expires_after == WEEK
    assert await enqueued(house, 1) == [f"{store_id}/{member}"]


async def test_a_threads_store_takes_what_later_messages_bring(house: House) -> None:
    thread_id, members = await house.thread(), await stored_files(house.store, 3)
    await house.conversations.add_message(PROJECT, thread_id, said(members[0]))
    [store_id] = store_ids(await thread_of(house, thread_id))
    house.clock.advance(DAY_S)
    await house.conversations.add_message(PROJECT, thread_id, said(*members))
    assert store_ids(await thread_of(house, thread_id)) == [store_id]
    assert [file.id for file in await files_of(house, store_id)] == members
    assert (await store_of(house, store_id)).expires_at == NOW + 8 * DAY_S


async def test_a_store_that_the_thread_was_given_takes_them_too(house: House) -> None:
    given, [member] = await stored_vector_store(house.store), await stored_files(house.store, 1)
    tools = ToolResourcesParam.model_validate({"file_search": {"vector_store_ids": [given]}})
    made = await house.conversations.create_thread(PROJECT, CreateThread(tool_resources=tools))
    await house.conversations.add_message(PROJECT, made.id, said(member))
    assert [file.id for file in await files_of(house, given)] == [member]


async def test_a_file_may_go_to_both_tools(house: House) -> None:
    thread_id, member = await house.thread(), await stored_file(house.store, "a.csv")
    await house.conversations.add_message(PROJECT, thread_id, said(member.id, tools=BOTH))
    found = await thread_of(house, thread_id)
    assert found.tool_resources["code_interpreter"] == {"file_ids": [member.id]}
    assert [file.id for file in await files_of(house, store_ids(found)[0])] == [member.id]


async def test_messages_of_new_threads_and_of_runs_bring_files_too(house: House) -> None:
    one, two = await stored_files(house.store, 2)
    made = await house.conversations.create_thread(PROJECT, CreateThread(messages=[said(one)]))
    [store_id] = store_ids(made)
    assistant_id = await house.assistant()
    await house.runs.start(PROJECT, made.id, CreateRun(assistant_id=assistant_id, additional_messages=[said(two)]))
    assert [file.id for file in await files_of(house, store_id)] == [one, two]
    assert await enqueued(house, 2) == [f"{store_id}/{one}", f"{store_id}/{two}"]


async def test_an_attachment_without_tools_goes_nowhere(house: House) -> None:
    thread_id, [member] = await house.thread(), await stored_files(house.store, 1)
    await house.conversations.add_message(PROJECT, thread_id, said(member, tools=None))
    assert "file_search" not in (await thread_of(house, thread_id)).tool_resources


# --- what is refused ---------------------------------------------------------------------------------------------


async def test_an_expired_store_of_a_thread_takes_nothing(house: House) -> None:
    thread_id, members = await house.thread(), await stored_files(house.store, 2)
    await house.conversations.add_message(PROJECT, thread_id, said(members[0]))
    [store_id] = store_ids(await thread_of(house, thread_id))
    house.clock.advance(7 * DAY_S)
    with pytest.raises(InvalidRequest, match=f"Vector store '{store_id}' has expired"):
        await house.conversations.add_message(PROJECT, thread_id, said(members[1]))
    assert len(await house.messages(thread_id)) == 1


async def test_nothing_is_made_where_something_is_wrong(house: House) -> None:
    [theirs] = await stored_files(house.store, 1, project="proj_other")
    for tools in (described(theirs), described("file-none")):
        with pytest.raises(FilesNotFound):
            await house.conversations.create_thread(PROJECT, CreateThread.model_validate({"tool_resources": tools}))
    thread_id = await house.thread()
    with pytest.raises(FilesNotFound):
        await house.conversations.add_message(PROJECT, thread_id, said(theirs))
    found, _ = await house.store.read(lambda c: vector_stores.list_page(c, PROJECT, Window(), NOW))
    assert found == []


@pytest.mark.parametrize(
    ("store_id", "kind", "text"),
    [
        ("vs_none", NotFound, "No vector store found with id 'vs_none'."),
        ("x", InvalidRequest, r"'tool_resources.file_search.vector_store_ids\[0\]': 'x'. Expected an ID that begins"),
    ],
)
async def test_stores_must_be_there(house: House, store_id: str, kind: type[ApiError], text: str) -> None:
    tools = {"file_search": {"vector_store_ids": [store_id]}}
    with pytest.raises(kind, match=text):
        await house.conversations.create_thread(PROJECT, CreateThread.model_validate({"tool_resources": tools}))
    thread_id, changes = await house.thread(), ModifyThread.model_validate({"tool_resources": tools})
    with pytest.raises(kind, match=text):
        await house.conversations.modify_thread(PROJECT, thread_id, changes)


async def test_anothers_store_is_not_there(house: House) -> None:
    theirs = await stored_vector_store(house.store, project="proj_other")
    tools = {"file_search": {"vector_store_ids": [theirs]}}
    with pytest.raises(NotFound, match=f"No vector store found with id '{theirs}'."):
        await house.conversations.create_thread(PROJECT, CreateThread.model_validate({"tool_resources": tools}))


@pytest.mark.parametrize(
    "search",
    [
        {"vector_store_ids": ["vs_1"], "vector_stores": [{}]},
        {"vector_stores": [{}, {}]},
        {"vector_stores": [{"chunking_strategy": {"type": "other"}}]},
        {"vector_store_ids": ["vs_1", "vs_2"]},
    ],
)
def test_one_store_and_in_one_way(search: Any) -> None:
    with pytest.raises(ValidationError):
        ToolResourcesParam.model_validate({"file_search": search})
