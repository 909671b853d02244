"""Vector stores over HTTP: shapes, limits, texts, lists, expiry, held polls, searching."""

import asyncio
from typing import Any

import pytest
from httpx2 import AsyncClient, Response
from tests.engine.house import House
from tests.storage import builders as make

from understudy.ingest.index import Ranking
from understudy.protocol.vector_stores import DAY_S
from understudy.retrieval.fuse import Weights
from understudy.testing import say

STORES = "/v1/vector_stores"
POLL = {"X-Stainless-Poll-Helper": "true", "X-Stainless-Read-Timeout": "600"}
DAYS = {"anchor": "last_active_at", "days": 3}
SIZES = {"max_chunk_size_tokens": 200, "chunk_overlap_tokens": 100}
STATIC = {"type": "static", "static": SIZES}
AUTO_SHOWN = {"type": "static", "static": {"max_chunk_size_tokens": 800, "chunk_overlap_tokens": 400}}


@pytest.fixture
async def files(house: House) -> list[str]:
    """Return files, and a worker that takes them in."""
    house.take_in()
    return await make.stored_files(house.store, 5)


async def ok(answer: Any) -> Any:
    response: Response = await answer
    assert response.status_code == 200, response.text
    return response.json()


async def error(answer: Any, status: int = 400) -> dict[str, Any]:
    response: Response = await answer
    assert response.status_code == status, response.text
    return response.json()["error"]


async def store_of(client: AsyncClient, *file_ids: str, **given: Any) -> str:
    return (await ok(client.post(STORES, json={"file_ids": list(file_ids)} | given)))["id"]


UNREAD = "Files with extensions [.zip, .h] are not supported for retrieval. Supported are .c, .cpp, .cs, "


async def rested(client: AsyncClient, store_id: str, file_id: str) -> Any:
    return await ok(client.get(f"{STORES}/{store_id}/files/{file_id}", headers=POLL))


# --- stores ------------------------------------------------------------------------------------------------------


async def test_a_store_is_shown_as_recorded(client: AsyncClient, files: list[str]) -> None:
    given = {"name": "s", "description": "d", "expires_after": DAYS, "metadata": {"k": "v"}, "file_ids": files[:2]}
    made = await ok(client.post(STORES, json=given))
    assert made == {
        "id": made["id"],
        "object": "vector_store",
        "created_at": make.NOW,
        "name": "s",
        "description": "d",
        "usage_bytes": 0,
        "file_counts": {"in_progress": 2, "completed": 0, "failed": 0, "cancelled": 0, "total": 2},
        "status": "in_progress",
        "expires_after": DAYS,
        "expires_at": make.NOW + 3 * DAY_S,
        "last_active_at": make.NOW,
        "metadata": {"k": "v"},
    }
    assert made["id"].startswith("vs_")
    assert len(made["id"]) == 35
    for file_id in files[:2]:
        await rested(client, made["id"], file_id)
    done = await ok(client.get(f"{STORES}/{made['id']}"))
    counts = {"in_progress": 0, "completed": 2, "failed": 0, "cancelled": 0, "total": 2}
    assert done == made | {"status": "completed", "file_counts": counts, "usage_bytes": 2 * 1045}


async def test_a_store_without_files_is_completed_at_once(client: AsyncClient) -> None:
    made = await ok(client.post(STORES, json={}))
    assert (made["status"], made["name"], made["expires_at"], made["metadata"]) == ("completed", None, None, {})


async def test_a_store_is_modified_by_what_is_given(client: AsyncClient) -> None:
    path = f"{STORES}/{await store_of(client, name='a', metadata={'k': 'v'}, expires_after=DAYS)}"
    assert (await ok(client.post(path, json={"name": "b"})))["metadata"] == {"k": "v"}
    changed = await ok(client.post(path, json={"metadata": {"x": "y"}, "expires_after": DAYS | {"days": 1}}))
    assert (changed["name"], changed["metadata"], changed["expires_at"]) == ("b", {"x": "y"}, make.NOW + DAY_S)
    emptied = await ok(client.post(path, json={"name": None, "metadata": None, "expires_after": None}))
    assert [emptied[key] for key in ("name", "metadata", "expires_after", "expires_at")] == [None, {}, None, None]


async def test_stores_are_listed(client: AsyncClient) -> None:
    made = [await store_of(client) for _ in range(3)]
    page = await ok(client.get(STORES, params={"limit": 2}))
    assert [one["id"] for one in page["data"]] == [made[2], made[1]]
    assert (page["first_id"], page["last_id"], page["has_more"]) == (made[2], made[1], True)
    page = await ok(client.get(STORES, params={"after": made[1], "order": "desc"}))
    assert ([one["id"] for one in page["data"]], page["has_more"]) == ([made[0]], False)


async def test_a_deleted_store_is_gone_but_not_its_files(client: AsyncClient, files: list[str]) -> None:
    store_id = await store_of(client, files[0])
    deleted = await ok(client.delete(f"{STORES}/{store_id}"))
    assert deleted == {"id": store_id, "object": "vector_store.deleted", "deleted": True}
    gone = f"No vector store found with id '{store_id}'."
    for answer in (
        client.get(f"{STORES}/{store_id}"),
        client.post(f"{STORES}/{store_id}", json={}),
        client.delete(f"{STORES}/{store_id}"),
        client.get(f"{STORES}/{store_id}/files"),
        client.post(f"{STORES}/{store_id}/files", json={"file_id": files[0]}),
        client.post(f"{STORES}/{store_id}/file_batches", json={"file_ids": files}),
        client.post(f"{STORES}/{store_id}/search", json={"query": "q"}),
    ):
        assert (await error(answer, 404))["message"] == gone
    assert (await ok(client.get(f"/v1/files/{files[0]}")))["id"] == files[0]


# --- files -------------------------------------------------------------------------------------------------------


async def test_a_file_is_shown_as_recorded(client: AsyncClient, files: list[str]) -> None:
    store_id = await store_of(client)
    added = await ok(client.post(f"{STORES}/{store_id}/files", json={"file_id": files[0]}))
    assert added == {
        "id": files[0],
        "object": "vector_store.file",
        "usage_bytes": 0,
        "created_at": make.NOW,
        "vector_store_id": store_id,
        "status": "in_progress",
        "last_error": None,
        "chunking_strategy": AUTO_SHOWN,
        "attributes": {},
    }
    assert await rested(client, store_id, files[0]) == added | {"status": "completed", "usage_bytes": 1045}


async def test_chunking_and_attributes_are_echoed(client: AsyncClient, files: list[str]) -> None:
    store_id = await store_of(client)
    attributes = {"year": 1603, "stage": 0.5, "draft": True, "author": "셰익스피어"}
    given = {"file_id": files[0], "chunking_strategy": STATIC, "attributes": attributes}
    added = await ok(client.post(f"{STORES}/{store_id}/files", json=given))
    assert (added["chunking_strategy"], added["attributes"]) == (STATIC, attributes)
    assert isinstance(added["attributes"]["year"], int)
    changed = await ok(client.post(f"{STORES}/{store_id}/files/{files[0]}", json={"attributes": {"a": "b"}}))
    assert changed["attributes"] == {"a": "b"}
    emptied = await ok(client.post(f"{STORES}/{store_id}/files/{files[0]}", json={"attributes": None}))
    assert emptied["attributes"] == {}
    given = {"file_id": files[1], "chunking_strategy": {"type": "auto"}}
    assert (await ok(client.post(f"{STORES}/{store_id}/files", json=given)))["chunking_strategy"] == AUTO_SHOWN


async def test_the_strategy_of_a_new_store_is_that_of_its_files(client: AsyncClient, files: list[str]) -> None:
    store_id = await store_of(client, files[0], chunking_strategy=STATIC)
    assert (await rested(client, store_id, files[0]))["chunking_strategy"] == STATIC


async def test_files_are_listed_by_status(client: AsyncClient, house: House, files: list[str]) -> None:
    house.intake.outcomes = {files[1]: ValueError("no"), files[2]: asyncio.Event()}
    store_id = await store_of(client, *files[:3])
    for file_id in files[:2]:
        await rested(client, store_id, file_id)

    async def listed(**params: Any) -> list[str]:
        page = await ok(client.get(f"{STORES}/{store_id}/files", params=params))
        return [one["id"] for one in page["data"]]

    assert await listed() == files[2::-1]
    assert await listed(order="asc", after=files[0]) == files[1:3]
    assert await listed(filter="completed") == [files[0]]
    assert await listed(filter="failed") == [files[1]]
    assert await listed(filter="in_progress") == [files[2]]
    assert await listed(filter="cancelled") == []
    problem = await error(client.get(f"{STORES}/{store_id}/files", params={"filter": "done"}))
    assert problem["message"].startswith("Invalid value: 'done'. Supported values are: 'in_progress', 'completed'")


async def test_a_file_that_is_taken_out_stays_a_file(client: AsyncClient, files: list[str]) -> None:
    store_id = await store_of(client, *files[:2])
    path = f"{STORES}/{store_id}/files/{files[0]}"
    assert await ok(client.delete(path)) == {"id": files[0], "object": "vector_store.file.deleted", "deleted": True}
    gone = f"No file found with id '{files[0]}' in vector store '{store_id}'."
    for answer in (client.get(path), client.delete(path), client.post(path, json={"attributes": {}})):
        assert (await error(answer, 404))["message"] == gone
    assert [one["id"] for one in (await ok(client.get(f"{STORES}/{store_id}/files")))["data"]] == [files[1]]
    assert (await ok(client.get(f"/v1/files/{files[0]}")))["id"] == files[0]


async def test_a_deleted_file_leaves_every_store(client: AsyncClient, house: House, files: list[str]) -> None:
    stores = [await store_of(client, *files[:2]) for _ in range(2)]
    for store_id in stores:
        await rested(client, store_id, files[0])
    house.index.passages = {(store_id, files[0], "chunk_0"): "ophelia drowns" for store_id in stores}
    house.index.passages |= {(store_id, files[1], "chunk_1"): "ophelia sings" for store_id in stores}
    await ok(client.delete(f"/v1/files/{files[0]}"))
    for store_id in stores:
        page = await ok(client.get(f"{STORES}/{store_id}/files"))
        assert [one["id"] for one in page["data"]] == [files[1]]
        found = await ok(client.post(f"{STORES}/{store_id}/search", json={"query": "ophelia"}))
        assert [one["file_id"] for one in found["data"]] == [files[1]]


@pytest.mark.parametrize("file_id", ["file-none", "asst_x", "", "../etc"])
async def test_unknown_files_are_refused(client: AsyncClient, file_id: str) -> None:
    store_id = await store_of(client)
    for answer in (
        client.post(STORES, json={"file_ids": [file_id]}),
        client.post(f"{STORES}/{store_id}/files", json={"file_id": file_id}),
        client.post(f"{STORES}/{store_id}/file_batches", json={"file_ids": [file_id]}),
        client.post(f"{STORES}/{store_id}/file_batches", json={"files": [{"file_id": file_id}]}),
    ):
        problem = await error(answer, 404)
        assert (problem["message"], problem["param"]) == (f"File ids ['{file_id}'] were not found.", "file_ids")
    assert (await ok(client.get(f"{STORES}/{store_id}")))["file_counts"]["total"] == 0


# --- batches -----------------------------------------------------------------------------------------------------


async def test_a_batch_is_shown_as_recorded(client: AsyncClient, files: list[str]) -> None:
    store_id = await store_of(client)
    given = {"file_ids": files[:2], "attributes": {"a": 1}, "chunking_strategy": STATIC}
    batch = await ok(client.post(f"{STORES}/{store_id}/file_batches", json=given))
    assert batch == {
        "id": batch["id"],
        "object": "vector_store.file_batch",
        "created_at": make.NOW,
        "status": "in_progress",
        "vector_store_id": store_id,
        "file_counts": {"in_progress": 2, "completed": 0, "failed": 0, "cancelled": 0, "total": 2},
    }
    assert batch["id"].startswith("vsfb_")
    assert len(batch["id"]) == 37
    path = f"{STORES}/{store_id}/file_batches/{batch['id']}"
    done = await ok(client.get(path, headers=POLL))
    assert (done["status"], done["file_counts"]["completed"]) == ("completed", 2)
    assert await ok(client.post(f"{path}/cancel")) == done
    page = await ok(client.get(f"{path}/files", params={"order": "asc", "limit": 1}))
    assert ([one["id"] for one in page["data"]], page["has_more"]) == ([files[0]], True)
    assert (page["data"][0]["attributes"], page["data"][0]["chunking_strategy"]) == ({"a": 1}, STATIC)


async def test_each_file_of_a_batch_may_have_its_own(client: AsyncClient, files: list[str]) -> None:
    store_id = await store_of(client)
    given = [
        {"file_id": files[0], "attributes": {"n": 1}},
        {"file_id": files[1], "chunking_strategy": STATIC},
    ]
    ignored = {"attributes": {"n": 2}, "chunking_strategy": {"type": "auto"}}
    batch = await ok(client.post(f"{STORES}/{store_id}/file_batches", json={"files": given} | ignored))
    page = await ok(client.get(f"{STORES}/{store_id}/file_batches/{batch['id']}/files", params={"order": "asc"}))
    assert [(one["attributes"], one["chunking_strategy"]) for one in page["data"]] == [
        ({"n": 1}, AUTO_SHOWN),
        ({}, STATIC),
    ]


async def test_a_batch_is_cancelled(client: AsyncClient, house: House, files: list[str]) -> None:
    house.intake.outcomes = {files[1]: asyncio.Event()}
    store_id = await store_of(client)
    batch = await ok(client.post(f"{STORES}/{store_id}/file_batches", json={"file_ids": files[:2]}))
    await rested(client, store_id, files[0])
    cancelled = await ok(client.post(f"{STORES}/{store_id}/file_batches/{batch['id']}/cancel"))
    counts = {"in_progress": 0, "completed": 1, "failed": 0, "cancelled": 1, "total": 2}
    assert (cancelled["status"], cancelled["file_counts"]) == ("cancelled", counts)
    assert (await rested(client, store_id, files[1]))["status"] == "cancelled"


async def test_a_batch_belongs_to_its_store(client: AsyncClient, files: list[str]) -> None:
    one, other = await store_of(client), await store_of(client)
    batch = await ok(client.post(f"{STORES}/{one}/file_batches", json={"file_ids": files[:1]}))
    for path in ("", "/files"):
        problem = await error(client.get(f"{STORES}/{other}/file_batches/{batch['id']}{path}"), 404)
        assert problem["message"] == f"No file batch found with id '{batch['id']}' in vector store '{other}'."


# --- expiry ------------------------------------------------------------------------------------------------------


async def test_an_expired_store_can_be_seen_and_deleted_but_not_used(
    client: AsyncClient, house: House, files: list[str]
) -> None:
    store_id = await store_of(client, files[0], expires_after=DAYS)
    path = f"{STORES}/{store_id}"
    batch = await ok(client.post(f"{path}/file_batches", json={"file_ids": files[:1]}))
    await rested(client, store_id, files[0])
    house.clock.advance(3 * DAY_S)
    assert (await ok(client.get(path)))["status"] == "expired"
    assert (await ok(client.get(STORES)))["data"][0]["status"] == "expired"
    assert len((await ok(client.get(f"{path}/files")))["data"]) == 1, "the guide copies the files of an expired store"
    for answer in (
        client.post(f"{path}/files", json={"file_id": files[1]}),
        client.post(f"{path}/file_batches", json={"file_ids": files}),
        client.post(f"{path}/search", json={"query": "q"}),
        client.get(f"{path}/files/{files[0]}/content"),
        client.get(f"{path}/files/{files[0]}/chunks/chunk_0"),
        client.post(path, json={"expires_after": None}),
    ):
        assert (await error(answer))["message"].startswith(f"Vector store '{store_id}' has expired")
    assert (await ok(client.post(path, json={"name": "old"})))["status"] == "expired"
    await ok(client.get(f"{path}/file_batches/{batch['id']}"))
    await ok(client.delete(f"{path}/files/{files[0]}"))
    await ok(client.delete(path))


@pytest.mark.parametrize("use", ["search", "files", "file_batches"])
async def test_use_puts_the_expiry_off(client: AsyncClient, house: House, files: list[str], use: str) -> None:
    store_id = await store_of(client, expires_after=DAYS)
    house.clock.advance(DAY_S)
    given = {"search": {"query": "q"}, "files": {"file_id": files[0]}, "file_batches": {"file_ids": files}}
    await ok(client.post(f"{STORES}/{store_id}/{use}", json=given[use]))
    found = await ok(client.get(f"{STORES}/{store_id}"))
    assert (found["last_active_at"], found["expires_at"]) == (make.NOW + DAY_S, make.NOW + 4 * DAY_S)


# --- searching ---------------------------------------------------------------------------------------------------


@pytest.fixture
async def library(client: AsyncClient, house: House, files: list[str]) -> str:
    """Return a store with three files that say different things."""
    store_id = await store_of(client)
    years = {files[0]: 1603, files[1]: 1599, files[2]: 1611}
    for file_id, year in years.items():
        given = {"file_id": file_id, "attributes": {"year": year}}
        await ok(client.post(f"{STORES}/{store_id}/files", json=given))
        await rested(client, store_id, file_id)
    house.index.passages = {
        (store_id, files[0], "chunk_a"): "Ophelia drowns in the brook",
        (store_id, files[1], "chunk_b"): "Brutus kills Caesar",
        (store_id, files[2], "chunk_c"): "Prospero drowns his book",
    }
    return store_id


async def test_passages_are_shown_as_documented(client: AsyncClient, library: str, files: list[str]) -> None:
    found = await ok(client.post(f"{STORES}/{library}/search", json={"query": "Ophelia drowns"}))
    first = {
        "file_id": files[0],
        "filename": "a.txt",
        "score": 1.0,
        "attributes": {"year": 1603},
        "content": [{"type": "text", "text": "Ophelia drowns in the brook"}],
        "chunk_id": "chunk_a",
    }
    assert found == {
        "object": "vector_store.search_results.page",
        "search_query": ["Ophelia drowns"],
        "data": [first, found["data"][1]],
        "has_more": False,
        "next_page": None,
    }
    assert [one["chunk_id"] for one in found["data"]] == ["chunk_a", "chunk_c"]


async def test_what_is_asked_reaches_the_index(client: AsyncClient, house: House, library: str) -> None:
    given = {
        "query": ["drowns", "kills"],
        "rewrite_query": True,
        "max_num_results": 2,
        "ranking_options": {"ranker": "none", "score_threshold": 0.3, "hybrid_search": {"embedding_weight": 1.0}},
    }
    found = await ok(client.post(f"{STORES}/{library}/search", json=given))
    assert (found["search_query"], len(found["data"])) == (["drowns", "kills"], 2)
    asked = house.index.asked[-1]
    assert (asked["queries"], asked["limit"], asked["project"]) == (["drowns", "kills"], 2, make.PROJECT)
    assert asked["ranking"] == Ranking(0.3, Weights(text=0.0, dense=1.0), rerank=False)


async def test_a_model_rewrites_queries(client: AsyncClient, house: House, library: str) -> None:
    house.model.turns = [say("Ophelia drowns")]
    given = {"query": "Hello, could you tell me what happens to Ophelia?", "rewrite_query": True}
    found = await ok(client.post(f"{STORES}/{library}/search", json=given))
    assert found["search_query"] == house.index.asked[-1]["queries"] == ["Ophelia drowns"]
    assert found["data"][0]["chunk_id"] == "chunk_a"


async def test_no_model_is_asked_for_a_store_that_is_not_there(client: AsyncClient, house: House) -> None:
    given = {"query": "Ophelia", "rewrite_query": True}
    await error(client.post(f"{STORES}/vs_nobody/search", json=given), 404)
    assert house.model.requests == []


async def test_filters_leave_files_out(client: AsyncClient, library: str) -> None:
    async def found(**filters: Any) -> list[str]:
        given = {"query": "drowns kills", "filters": filters}
        page = await ok(client.post(f"{STORES}/{library}/search", json=given))
        return sorted(one["chunk_id"] for one in page["data"])

    assert await found(type="gt", key="year", value=1600) == ["chunk_a", "chunk_c"]
    assert await found(type="in", key="year", value=[1599, 1611]) == ["chunk_b", "chunk_c"]
    both = [{"type": "gt", "key": "year", "value": 1600}, {"type": "ne", "key": "year", "value": 1611}]
    assert await found(type="and", filters=both) == ["chunk_a"]
    assert await found(type="eq", key="year", value="1603") == []


async def test_a_failed_file_is_not_found(client: AsyncClient, house: House, library: str, files: list[str]) -> None:
    house.intake.outcomes[files[3]] = ValueError("no")
    await ok(client.post(f"{STORES}/{library}/files", json={"file_id": files[3]}))
    await rested(client, library, files[3])
    house.index.passages[library, files[3], "chunk_d"] = "drowns"  # what was indexed before it failed
    found = await ok(client.post(f"{STORES}/{library}/search", json={"query": "drowns"}))
    assert {one["chunk_id"] for one in found["data"]} == {"chunk_a", "chunk_c"}


async def test_a_passage_can_be_opened(client: AsyncClient, library: str, files: list[str]) -> None:
    path = f"{STORES}/{library}/files/{files[0]}"
    assert await ok(client.get(f"{path}/chunks/chunk_a")) == {
        "id": "chunk_a",
        "object": "vector_store.file.chunk",
        "vector_store_id": library,
        "file_id": files[0],
        "filename": "a.txt",
        "text": "Ophelia drowns in the brook",
        "start_index": 0,
        "end_index": 27,
        "page": 1,
        "heading": ["Act IV", "Scene V"],
    }
    problem = await error(client.get(f"{path}/chunks/chunk_b"), 404)
    assert problem["message"] == "No chunk found with id 'chunk_b'."


async def test_a_files_text_can_be_read(client: AsyncClient, library: str, files: list[str]) -> None:
    page = await ok(client.get(f"{STORES}/{library}/files/{files[1]}/content"))
    assert page == {
        "object": "vector_store.file_content.page",
        "data": [{"type": "text", "text": "Brutus kills Caesar"}],
        "has_more": False,
        "next_page": None,
    }


# --- held polls --------------------------------------------------------------------------------------------------


async def test_polls_are_held_and_others_are_not(client: AsyncClient, house: House, files: list[str]) -> None:
    gate = house.intake.outcomes[files[0]] = asyncio.Event()
    store_id = await store_of(client)
    batch = await ok(client.post(f"{STORES}/{store_id}/file_batches", json={"file_ids": files[:1]}))
    paths = [f"{STORES}/{store_id}/files/{files[0]}", f"{STORES}/{store_id}/file_batches/{batch['id']}"]
    for path in paths:
        plain = await client.get(path)
        assert (plain.json()["status"], plain.headers["openai-poll-after-ms"]) == ("in_progress", "1000")
    held = [asyncio.ensure_future(client.get(path, headers=POLL)) for path in paths]
    done, _ = await asyncio.wait(held, timeout=0.3)
    assert not done
    gate.set()
    for answer in await asyncio.wait_for(asyncio.gather(*held), 2):
        assert (answer.json()["status"], answer.headers["openai-poll-after-ms"]) == ("completed", "1")


# --- texts -------------------------------------------------------------------------------------------------------

MISSING = "Missing required parameter: '{}'."
TOO_MANY = (
    "Invalid '{}': array too long. Expected an array with maximum length {}, but got an array with length {} instead."
)
FILTERS = "'eq', 'ne', 'gt', 'gte', 'lt', 'lte', 'in', 'nin', 'and', and 'or'"
WRONG = [
    ("", {"file_ids": "file-x"}, "Invalid type for 'file_ids': expected an array, but got a string instead."),
    ("", {"file_ids": ["f"] * 501}, TOO_MANY.format("file_ids", 500, 501)),
    ("", {"colour": 1}, "Unknown parameter: 'colour'."),
    ("", {"expires_after": {"anchor": "last_active_at"}}, MISSING.format("expires_after.days")),
    (
        "",
        {"expires_after": {"anchor": "created_at", "days": 1}},
        "Invalid value: 'created_at'. Supported values are: 'last_active_at'.",
    ),
    (
        "",
        {"expires_after": DAYS | {"days": 366}},
        "Invalid 'expires_after.days': integer above maximum value. Expected a value <= 365, but got 366 instead.",
    ),
    (
        "",
        {"chunking_strategy": {"type": "static", "static": SIZES | {"chunk_overlap_tokens": 101}}},
        "Invalid 'chunking_strategy.static': expected chunk_overlap_tokens to be at most 100, half of "
        "max_chunk_size_tokens, but got 101.",
    ),
    (
        "",
        {"chunking_strategy": {"type": "static", "static": SIZES | {"max_chunk_size_tokens": 99}}},
        "Invalid 'chunking_strategy.static.max_chunk_size_tokens': integer below minimum value. "
        "Expected a value >= 100, but got 99 instead.",
    ),
    ("", {"chunking_strategy": {"type": "static"}}, MISSING.format("chunking_strategy.static")),
    (
        "",
        {"chunking_strategy": {"type": "other"}},
        "Invalid value: 'other'. Supported values are: 'auto' and 'static'.",
    ),
    ("/files", {}, MISSING.format("file_id")),
    (
        "/files",
        {"file_id": "f", "attributes": {"a": [1]}},
        "Invalid type for 'attributes.a': expected one of a string, a number or a boolean, but got an array instead.",
    ),
    (
        "/files",
        {"file_id": "f", "attributes": {str(n): n for n in range(17)}},
        "Invalid 'attributes': too many properties. Expected an object with at most 16 properties, "
        "but got an object with 17 properties instead.",
    ),
    ("/file_batches", {}, MISSING.format("file_ids")),
    (
        "/file_batches",
        {"file_ids": ["f"], "files": [{"file_id": "f"}]},
        "Mutually exclusive parameters: 'file_ids' and 'files'. Ensure you are only providing one of: "
        "'file_ids' or 'files'.",
    ),
    ("/file_batches", {"files": [{}]}, MISSING.format("files[0].file_id")),
    ("/file_batches", {"file_ids": ["f"] * 2001}, TOO_MANY.format("file_ids", 2000, 2001)),
    ("/search", {}, MISSING.format("query")),
    (
        "/search",
        {"query": 1},
        "Invalid type for 'query': expected one of a string or an array of strings, but got an integer instead.",
    ),
    (
        "/search",
        {"query": []},
        "Invalid 'query': empty array. Expected an array with minimum length 1, but got an empty array instead.",
    ),
    (
        "/search",
        {"query": "q", "max_num_results": 51},
        "Invalid 'max_num_results': integer above maximum value. Expected a value <= 50, but got 51 instead.",
    ),
    (
        "/search",
        {"query": "q", "ranking_options": {"ranker": "best"}},
        "Invalid value: 'best'. Supported values are: 'none', 'auto', and 'default-2024-11-15'.",
    ),
    (
        "/search",
        {"query": "q", "ranking_options": {"score_threshold": 1.5}},
        "Invalid 'ranking_options.score_threshold': decimal above maximum value. "
        "Expected a value <= 1, but got 1.5 instead.",
    ),
    (
        "/search",
        {"query": "q", "filters": {"type": "like", "key": "k", "value": "v"}},
        f"Invalid value: 'like'. Supported values are: {FILTERS}.",
    ),
    (
        "/search",
        {"query": "q", "filters": {"type": "and", "filters": [{"type": "eq"}]}},
        MISSING.format("filters.filters[0].key"),
    ),
    (
        "/search",
        {"query": "q", "filters": {"type": "in", "key": "k", "value": list(range(300))}},
        "Invalid 'filters': expected at most 256 comparisons in all, but got 300.",
    ),
]


@pytest.mark.parametrize(("path", "body", "text"), WRONG)
async def test_mistakes_are_told_in_a_sentence(client: AsyncClient, path: str, body: Any, text: str) -> None:
    store = f"/{await store_of(client)}" if path else ""
    assert (await error(client.post(f"{STORES}{store}{path}", json=body)))["message"] == text


async def test_ids_that_cannot_be_are_told_of(client: AsyncClient) -> None:
    problem = await error(client.get(f"{STORES}/undefined"))
    assert problem["message"] == "Invalid 'vector_store_id': 'undefined'. Expected an ID that begins with 'vs'."
    problem = await error(client.get(f"{STORES}/vs_x/file_batches/vs_x"))
    assert problem["message"] == "Invalid 'batch_id': 'vs_x'. Expected an ID that begins with 'vsfb'."


@pytest.mark.parametrize(("depth", "status"), [(20, 200), (1000, 400), (3000, 400)])
async def test_a_deeply_nested_filter_is_no_trouble(client: AsyncClient, depth: int, status: int) -> None:
    store_id = await store_of(client)
    filters = '{"type":"and","filters":[' * depth + '{"type":"eq","key":"k","value":1}' + "]}" * depth
    answer = await client.post(f"{STORES}/{store_id}/search", content=f'{{"query":"q","filters":{filters}}}')
    assert answer.status_code == status, answer.text[:300]
    assert len(answer.text) < 500


@pytest.mark.parametrize("weights", [{"embedding_weight": 0, "text_weight": 0}, {"text_weight": 0}])
async def test_weights_must_weigh_something(client: AsyncClient, weights: dict[str, float]) -> None:
    body = {"query": "q", "ranking_options": {"hybrid_search": weights}}
    problem = await error(client.post(f"{STORES}/{await store_of(client)}/search", json=body))
    expected = "expected at least one of embedding_weight and text_weight to be above 0"
    assert problem["message"] == f"Invalid 'ranking_options.hybrid_search': {expected}."


# --- assistants --------------------------------------------------------------------------------------------------


async def test_an_assistant_gets_the_store_that_its_request_describes(client: AsyncClient, files: list[str]) -> None:
    def described(*file_ids: str) -> dict[str, Any]:
        return {"file_search": {"vector_stores": [{"file_ids": list(file_ids), "metadata": {"a": "b"}}]}}

    given = {"model": "m", "tools": [{"type": "file_search"}], "tool_resources": described(files[0])}
    made = await ok(client.post("/v1/assistants", json=given))
    [store_id] = made["tool_resources"]["file_search"]["vector_store_ids"]
    found = await ok(client.get(f"{STORES}/{store_id}"))
    assert (found["metadata"], found["expires_after"]) == ({"a": "b"}, None)
    assert (await rested(client, store_id, files[0]))["status"] == "completed"
    path = f"/v1/assistants/{made['id']}"
    changed = await ok(client.post(path, json={"tool_resources": described(files[1])}))
    [other] = changed["tool_resources"]["file_search"]["vector_store_ids"]
    assert (await rested(client, other, files[1]))["status"] == "completed"
    given = {"tool_resources": {"file_search": {"vector_store_ids": [store_id]}}}
    assert (await ok(client.post(path, json=given)))["tool_resources"] == given["tool_resources"]
    assert (await ok(client.post(path, json={"name": "n"})))["tool_resources"] == given["tool_resources"]
    both = {"file_search": {"vector_store_ids": [store_id], "vector_stores": [{}]}}
    problem = await error(client.post(path, json={"tool_resources": both}))
    assert (problem["code"], problem["param"]) == (
        "mutually_exclusive_parameters",
        "tool_resources.file_search.vector_stores",
    )


# --- files of kinds that are not read ----------------------------------------------------------------------------


async def test_files_of_kinds_that_are_not_read_are_refused_at_once(client: AsyncClient, house: House) -> None:
    names = ["a.ZIP", "b.h", "c.md", "d.zip"]
    ids = [(await make.stored_file(house.store, name)).id for name in names]
    store_id = await store_of(client)
    described = {"tool_resources": {"file_search": {"vector_stores": [{"file_ids": ids}]}}}
    attached = [{"file_id": file_id, "tools": [{"type": "file_search"}]} for file_id in ids]
    message = {"role": "user", "content": "hi", "attachments": attached}
    thread = await ok(client.post("/v1/threads", json={}))
    for url, body in (
        (STORES, {"file_ids": ids}),
        (f"{STORES}/{store_id}/file_batches", {"file_ids": ids}),
        (f"{STORES}/{store_id}/file_batches", {"files": [{"file_id": file_id} for file_id in ids]}),
        (f"/v1/threads/{thread['id']}/messages", message),
        ("/v1/threads", {"messages": [message]}),
        ("/v1/threads", described),
        ("/v1/assistants", {"model": "gpt-4o", "tools": [{"type": "file_search"}]} | described),
    ):
        problem = await error(client.post(url, json=body))
        assert problem["message"].startswith(UNREAD)
        assert (problem["type"], problem["param"], problem["code"]) == (
            "invalid_request_error",
            "file_ids",
            "unsupported_file",
        )
    problem = await error(client.post(f"{STORES}/{store_id}/files", json={"file_id": ids[1]}))
    assert problem["message"].startswith("Files with extensions [.h] are not supported for retrieval.")
    assert [store["id"] for store in (await ok(client.get(STORES)))["data"]] == [store_id]
    assert (await ok(client.get(f"{STORES}/{store_id}")))["file_counts"]["total"] == 0


async def test_kinds_do_not_matter_to_the_code_interpreter(client: AsyncClient, house: House) -> None:
    made = await make.stored_file(house.store, "a.zip")
    attached = [{"file_id": made.id, "tools": [{"type": "code_interpreter"}]}]
    message = {"role": "user", "content": "hi", "attachments": attached}
    thread = await ok(client.post("/v1/threads", json={"messages": [message]}))
    assert thread["tool_resources"]["code_interpreter"]["file_ids"] == [made.id]


@pytest.mark.parametrize("name", ["README", "a.", ".profile"])
async def test_a_name_without_extension_is_for_its_reader_to_judge(
    client: AsyncClient, house: House, name: str
) -> None:
    made = await make.stored_file(house.store, name)
    await ok(client.post(f"{STORES}/{await store_of(client)}/files", json={"file_id": made.id}))
