"""What the queries on vector stores must do on every Store: counts, expiry, fences, tombstones, batches, long lists."""

import asyncio
import random
import threading
from typing import Any, ClassVar

import pytest
from tests.storage import builders as make
from tests.storage.builders import NOW, PROJECT

from understudy.errors import FilesNotFound, InvalidRequest, NotFound, NotInStore
from understudy.ids import new_id
from understudy.protocol.vector_stores import DAY_S, ChunkingStrategy, VectorStore, VectorStoreFile, auto_chunking
from understudy.storage import file_batches, store_contents, vector_store_files, vector_stores
from understudy.storage import files as file_rows
from understudy.storage.base import Store
from understudy.storage.rows import Window
from understudy.storage.vector_store_files import QUEUE_PATIENCE_S, Addition, FileRecord

WORKER = "worker"
LEASE_S = 8.0
ALL = Window(100, "asc")
STATIC: ChunkingStrategy = {"type": "static", "static": {"max_chunk_size_tokens": 100, "chunk_overlap_tokens": 0}}
DAYS: Any = {"anchor": "last_active_at", "days": 3}


async def shown(store: Store, store_id: str, now: float = NOW) -> VectorStore:
    return await store.read(lambda c: vector_stores.shown(c, [vector_stores.get(c, PROJECT, store_id)], now)[0])


async def listed(store: Store, store_id: str, **given: Any) -> list[VectorStoreFile]:
    return (await store.read(lambda c: vector_store_files.list_page(c, store_id, ALL, **given)))[0]


async def claimed(store: Store, store_id: str, file_id: str, now: float = NOW) -> FileRecord | None:
    return await store.write(lambda c: vector_store_files.claim(c, store_id, file_id, WORKER, now, LEASE_S))


async def held(store: Store, store_id: str, file_id: str, now: float = NOW) -> FileRecord:
    file = await claimed(store, store_id, file_id, now)
    assert file is not None
    return file


async def finished(store: Store, store_id: str, file_id: str, **outcome: Any) -> None:
    file = await held(store, store_id, file_id)
    assert await store.write(lambda c: vector_store_files.finish(c, file, **outcome))


async def filled(store: Store, store_id: str, *additions: Addition, now: float = NOW) -> list[str]:
    return await store.write(lambda c: store_contents.fill(c, PROJECT, store_id, additions, now))


async def ids_of(store: Store, store_id: str) -> list[str]:
    return [file.id for file in await listed(store, store_id)]


class StoresCountTheirFiles:
    async def test_an_empty_one_is_completed(self, store: Store) -> None:
        found = await shown(store, await make.stored_vector_store(store))
        assert (found.status, found.file_counts["total"], found.usage_bytes) == ("completed", 0, 0)

    async def test_by_status_and_size(self, store: Store) -> None:
        store_id = await make.stored_vector_store(store, 5)
        one, two, three, four, _ = await ids_of(store, store_id)
        await finished(store, store_id, one, usage_bytes=1045)
        await finished(store, store_id, two, usage_bytes=5)
        await finished(store, store_id, three, error={"code": "invalid_file", "message": "no"})
        await store.write(lambda c: vector_store_files.cancel(c, store_id, [one, four]))
        found = await shown(store, store_id)
        assert found.status == "in_progress"
        assert found.file_counts == {"in_progress": 1, "completed": 2, "failed": 1, "cancelled": 1, "total": 5}
        assert found.usage_bytes == 1050

    async def test_those_that_are_gone_do_not_count(self, store: Store) -> None:
        store_id = await make.stored_vector_store(store, 2)
        one, two = await ids_of(store, store_id)
        await finished(store, store_id, one, usage_bytes=7)
        await store.write(lambda c: vector_store_files.remove(c, store_id, one))
        await store.write(lambda c: file_rows.delete(c, PROJECT, two, NOW))
        await store.write(lambda c: vector_store_files.remove_everywhere(c, PROJECT, two))
        found = await shown(store, store_id)
        assert (found.file_counts["total"], found.usage_bytes, found.status) == (0, 0, "completed")
        assert await listed(store, store_id) == []
        with pytest.raises(NotInStore, match=f"No file found with id '{one}' in vector store '{store_id}'."):
            await store.read(lambda c: vector_store_files.get(c, store_id, one))

    async def test_files_must_be_the_projects_own(self, store: Store) -> None:
        [theirs] = await make.stored_files(store, 1, project="proj_other")
        store_id = await make.stored_vector_store(store)
        for file_id in (theirs, "file-none"):
            with pytest.raises(FilesNotFound, match=rf"File ids \['{file_id}'\] were not found"):
                await filled(store, store_id, Addition(file_id))
        assert await listed(store, store_id) == []


class StoresExpire:
    async def test_so_many_days_after_their_last_use(self, store: Store) -> None:
        store_id = await make.stored_vector_store(store, 1, expires_after=DAYS)
        over = NOW + 3 * DAY_S
        before, after = await shown(store, store_id, over - 0.001), await shown(store, store_id, over)
        assert (before.status, after.status, after.expires_at) == ("in_progress", "expired", over)
        with pytest.raises(InvalidRequest, match=f"Vector store '{store_id}' has expired"):
            await filled(store, store_id, now=over)
        assert len(await listed(store, store_id)) == 1

    async def test_later_when_they_are_used(self, store: Store) -> None:
        store_id = await make.stored_vector_store(store, expires_after=DAYS)
        await store.write(lambda c: vector_stores.touch(c, [store_id], NOW + DAY_S + 0.7))
        found = await shown(store, store_id)
        assert (found.last_active_at, found.expires_at) == (NOW + DAY_S, NOW + 4 * DAY_S)

    async def test_for_good(self, store: Store) -> None:
        store_id = await make.stored_vector_store(store, expires_after=DAYS)
        await store.write(lambda c: vector_stores.touch(c, [store_id], NOW + 4 * DAY_S))
        assert (await shown(store, store_id, NOW + 4 * DAY_S)).status == "expired"

    async def test_by_a_new_policy_from_their_last_use_on(self, store: Store) -> None:
        """To change a store is no use of it (docs/compatibility.md)."""
        store_id = await make.stored_vector_store(store)
        await store.write(lambda c: vector_stores.change(c, PROJECT, store_id, {"expires_after": DAYS}))
        found = await shown(store, store_id, NOW + 4 * DAY_S)
        assert (found.status, found.last_active_at, found.expires_at) == ("expired", NOW, NOW + 3 * DAY_S)

    async def test_not_without_a_policy(self, store: Store) -> None:
        store_id = await make.stored_vector_store(store, expires_after=DAYS)
        await store.write(lambda c: vector_stores.change(c, PROJECT, store_id, {"expires_after": None}))
        found = await shown(store, store_id, NOW + 1000 * DAY_S)
        assert (found.status, found.expires_at, found.expires_after) == ("completed", None, None)

    async def test_and_are_then_to_be_emptied_once(self, store: Store) -> None:
        store_id = await make.stored_vector_store(store, 1, expires_after=DAYS)
        [file_id] = await ids_of(store, store_id)
        over = NOW + 3 * DAY_S
        assert store_id not in await store.read(lambda c: vector_stores.to_empty(c, over - 1, 1000))
        assert store_id in await store.read(lambda c: vector_stores.to_empty(c, over, 1000))
        await store.write(lambda c: vector_stores.note_emptied(c, store_id))
        assert store_id not in await store.read(lambda c: vector_stores.to_empty(c, over, 1000))
        assert await ids_of(store, store_id) == [file_id]


class StoresAreEmptiedWhenNobodyAddsToThem:
    ERROR: ClassVar[Any] = {"code": "server_error", "message": "too late"}

    async def begin(self, store: Store, store_id: str, now: float = NOW) -> list[str] | None:
        return await store.write(lambda c: vector_stores.begin_emptying(c, store_id, now, self.ERROR))

    async def test_work_on_their_files_ends(self, store: Store) -> None:
        store_id = await make.stored_vector_store(store, 3, expires_after=DAYS)
        over = NOW + 3 * DAY_S
        going_in, done, waiting = await ids_of(store, store_id)
        await finished(store, store_id, done, usage_bytes=7)
        renewed = await store.write(
            lambda c: vector_store_files.claim_anew(c, store_id, done, WORKER, over - 1, LEASE_S)
        )
        assert renewed is not None
        file = await held(store, store_id, going_in, over - 1)
        assert await self.begin(store, store_id, over - 1) is None
        assert await store.read(lambda c: vector_store_files.is_held(c, file))
        ended = await self.begin(store, store_id, over)
        assert ended is not None
        assert set(ended) == {f"{store_id}/{file_id}" for file_id in (going_in, waiting)}
        assert not await store.write(lambda c: vector_store_files.lock_held(c, file))
        assert not await store.write(lambda c: vector_store_files.lock_held(c, renewed, "completed"))
        assert not await store.write(lambda c: vector_store_files.finish(c, file, usage_bytes=1))
        for by in (going_in, waiting):
            assert await claimed(store, store_id, by, over + 90) is None
        found = [(one.id, one.status, one.last_error) for one in await listed(store, store_id)]
        assert found == [
            (going_in, "failed", self.ERROR),
            (done, "completed", None),
            (waiting, "failed", self.ERROR),
        ]

    async def test_nothing_of_them_is_indexed_anew_any_more(self, store: Store) -> None:
        """Not by one either whose clock says that the time is not over."""
        store_id = await make.stored_vector_store(store, 1, expires_after=DAYS)
        [file_id] = await ids_of(store, store_id)
        await finished(store, store_id, file_id)
        assert await self.begin(store, store_id, NOW + 3 * DAY_S) == []

        async def anew() -> FileRecord | None:
            return await store.write(
                lambda c: vector_store_files.claim_anew(c, store_id, file_id, WORKER, NOW, LEASE_S)
            )

        assert await anew() is None

    async def test_their_files_are_not_emptied_one_by_one_too(self, store: Store) -> None:
        store_id = await make.stored_vector_store(store, 1)
        [file_id] = await ids_of(store, store_id)
        await held(store, store_id, file_id)
        await store.write(lambda c: vector_stores.remove(c, PROJECT, store_id))
        assert await self.begin(store, store_id) == [f"{store_id}/{file_id}"]
        assert not await store.read(lambda c: vector_store_files.have_left_over(c, [store_id]))
        assert await self.begin(store, store_id) == [], "it can be begun again, if the first try came to nothing"
        await store.write(lambda c: vector_stores.note_emptied(c, store_id))
        assert await self.begin(store, store_id) is None


class DeletedStoresLeaveNothing:
    async def test_but_a_tombstone(self, store: Store) -> None:
        store_id = await make.stored_vector_store(store, 3, name="secret")
        members = await ids_of(store, store_id)
        batch_id = new_id("file_batch")
        await store.write(lambda c: file_batches.add(c, PROJECT, batch_id, store_id, members, NOW))
        await store.write(lambda c: vector_stores.remove(c, PROJECT, store_id))
        with pytest.raises(NotFound, match=f"No vector store found with id '{store_id}'."):
            await shown(store, store_id)
        assert store_id in await store.read(lambda c: vector_stores.to_empty(c, NOW, 1000))
        await store.write(lambda c: vector_stores.note_emptied(c, store_id))
        assert await listed(store, store_id) == []
        with pytest.raises(NotInStore):
            await store.read(lambda c: file_batches.get(c, PROJECT, store_id, batch_id))
        found = await store.read(lambda c: vector_stores.find(c, store_id))
        assert found is not None
        assert (found[0].name, found[1]) == (None, True)

    async def test_also_those_that_had_expired_before(self, store: Store) -> None:
        store_id = await make.stored_vector_store(store, 1, expires_after=DAYS)
        batch_id, over = new_id("file_batch"), NOW + 3 * DAY_S
        members = await ids_of(store, store_id)
        await store.write(lambda c: file_batches.add(c, PROJECT, batch_id, store_id, members, NOW))
        await store.write(lambda c: vector_stores.note_emptied(c, store_id))
        await store.write(lambda c: vector_stores.remove(c, PROJECT, store_id))
        assert store_id in await store.read(lambda c: vector_stores.to_empty(c, over, 1000))
        await store.write(lambda c: vector_stores.note_emptied(c, store_id))
        assert store_id not in await store.read(lambda c: vector_stores.to_empty(c, over, 1000))
        assert await listed(store, store_id) == []
        with pytest.raises(NotInStore):
            await store.read(lambda c: file_batches.get(c, PROJECT, store_id, batch_id))

    async def test_and_still_mark_their_place_in_the_list(self, store: Store) -> None:
        made = [await make.stored_vector_store(store, project="proj_list") for _ in range(5)]
        await store.write(lambda c: vector_stores.remove(c, "proj_list", made[2]))
        after = Window(10, "asc", after=made[2])
        found, _ = await store.read(lambda c: vector_stores.list_page(c, "proj_list", after, NOW))
        assert [one.id for one in found] == made[3:]


class FilesAreAddedOnce:
    async def test_the_same_file_again_changes_nothing(self, store: Store) -> None:
        store_id = await make.stored_vector_store(store, 1)
        [file_id] = await ids_of(store, store_id)
        await finished(store, store_id, file_id, usage_bytes=9)
        before = await listed(store, store_id)
        assert await filled(store, store_id, Addition(file_id), now=NOW + 50) == []
        assert await listed(store, store_id) == before

    async def test_but_its_attributes_if_there_are_any(self, store: Store) -> None:
        store_id = await make.stored_vector_store(store, 1)
        [file_id] = await ids_of(store, store_id)
        await filled(store, store_id, Addition(file_id, attributes={"year": 1603}))
        await filled(store, store_id, Addition(file_id))
        assert (await listed(store, store_id))[0].attributes == {"year": 1603}

    async def test_twice_in_one_request_the_last_counts(self, store: Store) -> None:
        store_id, [file_id] = await make.stored_vector_store(store), await make.stored_files(store, 1)
        twice = [Addition(file_id, attributes={"n": number}) for number in (1, 2)]
        assert await filled(store, store_id, *twice) == [f"{store_id}/{file_id}"]
        assert [file.attributes for file in await listed(store, store_id)] == [{"n": 2}]

    @pytest.mark.parametrize("outcome", ["failed", "cancelled", "other chunks", "deleted"])
    async def test_what_did_not_come_to_be_is_tried_anew(self, store: Store, outcome: str) -> None:
        store_id = await make.stored_vector_store(store, 2)
        file_id, other = await ids_of(store, store_id)
        file = await held(store, store_id, file_id)
        match outcome:
            case "failed":
                error: Any = {"code": "invalid_file", "message": "no"}
                await store.write(lambda c: vector_store_files.finish(c, file, error=error))
            case "cancelled":
                await store.write(lambda c: vector_store_files.cancel(c, store_id, [file_id]))
            case "deleted":
                await store.write(lambda c: vector_store_files.remove(c, store_id, file_id))
        chunking = STATIC if outcome == "other chunks" else auto_chunking()
        assert await filled(store, store_id, Addition(file_id, chunking), now=NOW + 5) == [f"{store_id}/{file_id}"]
        again = next(one for one in await listed(store, store_id) if one.id == file_id)
        assert (again.status, again.last_error, again.usage_bytes) == ("in_progress", None, 0)
        assert again.created_at == (NOW + 5 if outcome == "deleted" else NOW)
        assert await ids_of(store, store_id) == ([other, file_id] if outcome == "deleted" else [file_id, other])
        assert not await store.write(lambda c: vector_store_files.finish(c, file, usage_bytes=1)), "a fence is down"
        assert (await held(store, store_id, file_id, NOW + 5)).tries == 1


class FilesAreFenced:
    async def test_one_worker_at_a_time(self, store: Store) -> None:
        store_id = await make.stored_vector_store(store, 1)
        [file_id] = await ids_of(store, store_id)
        file = await held(store, store_id, file_id)
        assert (file.attempt, file.tries, file.project, file.job) == (1, 1, PROJECT, f"{store_id}/{file_id}")
        assert await claimed(store, store_id, file_id, NOW + LEASE_S) is None
        assert await store.write(lambda c: vector_store_files.renew(c, file, NOW + 2 * LEASE_S))
        assert await claimed(store, store_id, file_id, NOW + 2 * LEASE_S) is None
        successor = await held(store, store_id, file_id, NOW + 2 * LEASE_S + 1)
        assert (successor.attempt, successor.tries) == (2, 2)
        assert not await store.write(lambda c: vector_store_files.renew(c, file, NOW + 90))
        assert not await store.write(lambda c: vector_store_files.finish(c, file))
        assert await store.read(lambda c: vector_store_files.is_held(c, successor))
        assert not await store.read(lambda c: vector_store_files.is_held(c, file))

    @pytest.mark.parametrize("end", ["cancel", "remove", "remove_everywhere"])
    async def test_against_who_takes_the_file_away(self, store: Store, end: str) -> None:
        store_id = await make.stored_vector_store(store, 1)
        [file_id] = await ids_of(store, store_id)
        file = await held(store, store_id, file_id)
        ends: dict[str, Any] = {
            "cancel": lambda c: vector_store_files.cancel(c, store_id, [file_id]),
            "remove": lambda c: vector_store_files.remove(c, store_id, file_id),
            "remove_everywhere": lambda c: vector_store_files.remove_everywhere(c, PROJECT, file_id),
        }
        await store.write(ends[end])
        assert not await store.read(lambda c: vector_store_files.is_held(c, file))
        assert not await store.write(lambda c: vector_store_files.finish(c, file))
        assert not await store.write(lambda c: vector_store_files.renew(c, file, NOW + 90))
        assert (store_id, file_id) in await store.read(lambda c: vector_store_files.left_over(c, 1000))
        await store.write(lambda c: vector_store_files.note_emptied(c, store_id, file_id))
        assert not await store.read(lambda c: vector_store_files.is_left_over(c, store_id, file_id))

    async def test_until_what_is_written_beside_them_is_in(self, store: Store) -> None:
        """Else who removes what was written could come before the end of a write that was let through."""
        store_id = await make.stored_vector_store(store, 1)
        [file_id] = await ids_of(store, store_id)
        file, begun, enough = await held(store, store_id, file_id), threading.Event(), threading.Event()

        def write(connection: Any) -> bool:
            mine = vector_store_files.lock_held(connection, file)
            begun.set()
            return mine and enough.wait(10)

        writing = asyncio.ensure_future(store.write(write))
        assert await asyncio.to_thread(begun.wait, 10)
        taking = asyncio.ensure_future(store.write(lambda c: vector_store_files.cancel(c, store_id, [file_id])))
        too_early, _ = await asyncio.wait({taking}, timeout=0.2)
        enough.set()
        assert (await writing, await taking, too_early) == (True, [f"{store_id}/{file_id}"], set())
        assert not await store.write(lambda c: vector_store_files.lock_held(c, file))

    async def test_a_file_that_nobody_ever_claimed_leaves_nothing_over(self, store: Store) -> None:
        store_id = await make.stored_vector_store(store, 1)
        [file_id] = await ids_of(store, store_id)
        await store.write(lambda c: vector_store_files.remove(c, store_id, file_id))
        assert not await store.read(lambda c: vector_store_files.have_left_over(c, [store_id]))

    async def test_what_is_handed_back_was_no_try(self, store: Store) -> None:
        store_id = await make.stored_vector_store(store, 1)
        [file_id] = await ids_of(store, store_id)
        file = await held(store, store_id, file_id)
        await store.write(lambda c: vector_store_files.hand_back(c, file))
        assert (await held(store, store_id, file_id)).tries == 1


class SomeFilesNeedCare:
    async def test_those_that_nobody_holds_for_too_long(self, store: Store) -> None:
        store_id = await make.stored_vector_store(store, 4)
        one, two, three, four = await ids_of(store, store_id)
        await finished(store, store_id, one)
        await held(store, store_id, two)
        await store.write(lambda c: vector_store_files.remove(c, store_id, three))
        late = NOW + LEASE_S + 1

        async def unheld(now: float) -> list[str]:
            return [
                job
                for job in await store.read(lambda c: vector_store_files.unheld(c, now, 10_000))
                if job.startswith(store_id)
            ]

        assert await unheld(late) == [f"{store_id}/{two}"]
        late = NOW + QUEUE_PATIENCE_S + 1
        assert await unheld(late) == [f"{store_id}/{two}", f"{store_id}/{four}"]
        await store.write(lambda c: vector_store_files.be_patient(c, [f"{store_id}/{two}"], late))
        assert await unheld(late + 1) == [f"{store_id}/{four}"]
        assert await claimed(store, store_id, two, late + 1) is not None

    async def test_all_when_a_server_starts_alone(self, store: Store) -> None:
        store_id = await make.stored_vector_store(store, 2)
        one, _ = await ids_of(store, store_id)
        await held(store, store_id, one)
        await store.write(vector_store_files.release_all)
        jobs = await store.read(lambda c: vector_store_files.unheld(c, 1, 10_000))
        assert {f"{store_id}/{file_id}" for file_id in await ids_of(store, store_id)} <= set(jobs)


class BatchesTellHowFarTheyAre:
    async def _batch(self, store: Store, store_id: str, members: list[str]) -> str:
        batch_id = new_id("file_batch")
        await store.write(lambda c: file_batches.add(c, PROJECT, batch_id, store_id, members, NOW))
        return batch_id

    async def test_by_the_files_in_them(self, store: Store) -> None:
        store_id = await make.stored_vector_store(store, 3)
        one, two, three = await ids_of(store, store_id)
        batch_id = await self._batch(store, store_id, [one, two])

        async def found() -> Any:
            return await store.read(lambda c: file_batches.get(c, PROJECT, store_id, batch_id))

        assert ((await found()).status, (await found()).file_counts["in_progress"]) == ("in_progress", 2)
        await finished(store, store_id, one, error={"code": "invalid_file", "message": "no"})
        await finished(store, store_id, three)
        assert (await found()).status == "in_progress"
        await finished(store, store_id, two)
        assert (await found()).status == "completed"
        assert (await found()).file_counts["failed"] == 1
        assert [file.id for file in await listed(store, store_id, batch_id=batch_id)] == [one, two]
        assert [file.id for file in await listed(store, store_id, batch_id=batch_id, status="failed")] == [one]

    async def test_one_of_which_nothing_came_has_failed(self, store: Store) -> None:
        store_id = await make.stored_vector_store(store, 1)
        [one] = await ids_of(store, store_id)
        batch_id = await self._batch(store, store_id, [one])
        await finished(store, store_id, one, error={"code": "server_error", "message": "no"})
        assert (await store.read(lambda c: file_batches.get(c, PROJECT, store_id, batch_id))).status == "failed"

    async def test_a_cancelled_one_keeps_what_was_done(self, store: Store) -> None:
        store_id = await make.stored_vector_store(store, 3)
        one, two, three = await ids_of(store, store_id)
        batch_id = await self._batch(store, store_id, [one, two])
        await finished(store, store_id, one)
        jobs = await store.write(lambda c: file_batches.cancel(c, PROJECT, store_id, batch_id, NOW))
        assert jobs == [f"{store_id}/{two}"]
        found = await store.read(lambda c: file_batches.get(c, PROJECT, store_id, batch_id))
        assert (found.status, found.file_counts["completed"], found.file_counts["cancelled"]) == ("cancelled", 1, 1)
        assert [file.id for file in await listed(store, store_id, status="in_progress")] == [three]

    async def test_a_finished_one_is_not_cancelled(self, store: Store) -> None:
        store_id = await make.stored_vector_store(store, 1)
        [one] = await ids_of(store, store_id)
        batch_id = await self._batch(store, store_id, [one])
        await finished(store, store_id, one)
        before = await store.read(lambda c: file_batches.get(c, PROJECT, store_id, batch_id))
        assert await store.write(lambda c: file_batches.cancel(c, PROJECT, store_id, batch_id, NOW)) == []
        assert await store.read(lambda c: file_batches.get(c, PROJECT, store_id, batch_id)) == before


class TenThousandFilesInOneStore:
    MANY = 10_000

    async def test_page_filter_and_count_correctly(self, store: Store) -> None:
        store_id = await make.stored_vector_store(store)
        members = await make.stored_files(store, self.MANY)
        for first in range(0, self.MANY, 2000):
            await filled(store, store_id, *[Addition(one) for one in members[first : first + 2000]])
        dice = random.Random(7)
        failed = sorted(dice.sample(range(self.MANY), 500))
        gone = sorted(set(dice.sample(range(self.MANY), 200)) - set(failed))
        error: Any = {"code": "invalid_file", "message": "no"}

        def change(connection: Any) -> None:
            for number in failed:
                file = vector_store_files.claim(connection, store_id, members[number], WORKER, NOW, LEASE_S)
                assert file is not None
                vector_store_files.finish(connection, file, error=error)
            for number in gone:
                vector_store_files.remove(connection, store_id, members[number])

        await store.write(change)
        left = [one for number, one in enumerate(members) if number not in set(gone)]
        assert await self._all(store, store_id, "asc", 100) == left
        assert await self._all(store, store_id, "desc", 77) == left[::-1]
        assert await self._all(store, store_id, "asc", 7, status="failed") == [members[number] for number in failed]
        assert (await shown(store, store_id)).file_counts["failed"] == 500
        assert (await shown(store, store_id)).file_counts["total"] == len(left)

    async def _all(self, store: Store, store_id: str, order: Any, limit: int, **given: Any) -> list[str]:
        seen: list[str] = []
        more, window = True, Window(limit, order)
        while more:
            found, more = await store.read(
                lambda c, window=window: vector_store_files.list_page(c, store_id, window, **given)  # type: ignore[misc]
            )
            assert len(found) == limit or not more
            seen += [file.id for file in found]
            window = Window(limit, order, after=seen[-1])
        return seen
