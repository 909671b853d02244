"""Every file that is added comes to an end, whatever fails; and what is taken away leaves nothing."""

import asyncio
from typing import Any

import pytest
from tests.ingest.fakes import SIZE
from tests.ingest.shelf import LEASE_S, SOON_S, Shelf
from tests.storage.builders import PROJECT

from understudy.errors import LeaseLost, Unavailable
from understudy.ingest.worker import GIVEN_UP, MAX_TRIES, TOO_LATE, UNKNOWN
from understudy.protocol.vector_stores import DAY_S
from understudy.retrieval.documents import Unreadable
from understudy.storage import vector_store_files
from understudy.storage.vector_store_files import QUEUE_PATIENCE_S


async def test_a_file_is_taken_in(shelf: Shelf) -> None:
    shelf.work()
    [file_id] = await shelf.files(1)
    store_id = await shelf.make(file_id)
    found = await shelf.rest(store_id, file_id)
    assert (found.status, found.usage_bytes, found.last_error) == ("completed", SIZE, None)
    assert (await shelf.seen(store_id)).usage_bytes == SIZE


@pytest.mark.parametrize(
    ("failure", "error"),
    [
        (Unreadable("invalid_file", "It is empty."), {"code": "invalid_file", "message": "It is empty."}),
        (Unreadable("unsupported_file", "A zip."), {"code": "unsupported_file", "message": "A zip."}),
        (ZeroDivisionError("secret"), UNKNOWN),
    ],
)
async def test_a_file_that_fails_says_why(shelf: Shelf, failure: Exception, error: Any) -> None:
    shelf.work()
    [file_id, other] = await shelf.files(2)
    shelf.intake.outcomes[file_id] = failure
    store_id = await shelf.make(file_id, other)
    found = await shelf.rest(store_id, file_id)
    assert (found.status, found.last_error, found.usage_bytes) == ("failed", error, 0)
    assert (await shelf.rest(store_id, other)).status == "completed"
    await shelf.until(lambda: (store_id, file_id) in shelf.intake.removed)
    assert (store_id, other) not in shelf.intake.removed


async def test_what_is_off_for_a_while_is_tried_again(shelf: Shelf) -> None:
    shelf.work()
    [file_id] = await shelf.files(1)
    shelf.intake.outcomes[file_id] = Unavailable("the embedder is off")
    store_id = await shelf.make(file_id)
    for tries in range(1, MAX_TRIES):
        await shelf.until(lambda tries=tries: len(shelf.intake.begun) == tries)
        await asyncio.sleep(0.02)
        assert (await shelf.row(store_id, file_id))["status"] == "in_progress"
        shelf.clock.advance(LEASE_S + 1)
        await shelf.sweeper.sweep()
    found = await shelf.rest(store_id, file_id)
    assert found.last_error == {"code": "server_error", "message": "the embedder is off"}
    assert len(shelf.intake.begun) == MAX_TRIES
    shelf.intake.outcomes.clear()
    await shelf.add(store_id, file_id)
    assert (await shelf.rest(store_id, file_id)).status == "completed"


async def test_a_signal_alone_calls_nothing_off(shelf: Shelf) -> None:
    """Whoever had the file before signals when it has tidied up: by then the file may be another's."""
    shelf.work()
    [file_id] = await shelf.files(1)
    gate = shelf.intake.outcomes[file_id] = asyncio.Event()
    store_id = await shelf.make(file_id)
    await shelf.until(lambda: shelf.intake.begun)
    for _ in range(3):
        await shelf.bus.signal(f"{store_id}/{file_id}")
        await asyncio.sleep(0.02)
    gate.set()
    assert (await shelf.rest(store_id, file_id)).status == "completed"
    assert (shelf.intake.begun, shelf.intake.called_off) == ([file_id], [])


async def test_so_many_are_taken_in_at_once(shelf: Shelf) -> None:
    shelf.work(concurrency=3)
    gate = asyncio.Event()
    members = await shelf.files(9)
    shelf.intake.outcomes = dict.fromkeys(members, gate)
    store_id = await shelf.make(*members)
    await shelf.until(lambda: len(shelf.intake.begun) == 3)
    await asyncio.sleep(0.05)
    gate.set()
    for file_id in members:
        assert (await shelf.rest(store_id, file_id)).status == "completed"
    assert shelf.intake.most_at_once == 3
    assert sorted(shelf.intake.begun) == sorted(members)  # which one goes first is the bus's to say


async def test_a_cancelled_batch_is_let_go_of(shelf: Shelf) -> None:
    shelf.work(concurrency=1)
    members = await shelf.files(3)
    shelf.intake.outcomes[members[1]] = asyncio.Event()  # never set
    store_id = await shelf.make()
    batch = await shelf.add_batch(store_id, *members)
    await shelf.until(lambda: members[1] in shelf.intake.begun)
    cancelled = await shelf.vector_stores.cancel_batch(PROJECT, store_id, batch.id)
    assert (cancelled.status, cancelled.file_counts["completed"]) == ("cancelled", 1)
    assert cancelled.file_counts["cancelled"] == 2
    await shelf.until(lambda: shelf.intake.called_off == [members[1]])
    await shelf.until(lambda: (store_id, members[1]) in shelf.intake.removed)
    assert members[2] not in shelf.intake.begun
    assert await shelf.vector_stores.cancel_batch(PROJECT, store_id, batch.id) == cancelled
    assert (await shelf.seen(store_id)).status == "completed"


async def test_a_file_that_is_taken_away_is_let_go_of(shelf: Shelf) -> None:
    shelf.work()
    [file_id] = await shelf.files(1)
    shelf.intake.outcomes[file_id] = asyncio.Event()
    store_id = await shelf.make(file_id)
    await shelf.until(lambda: shelf.intake.begun)
    await shelf.vector_stores.remove_file(PROJECT, store_id, file_id)
    await shelf.until(lambda: shelf.intake.called_off == [file_id])
    await shelf.until(lambda: (store_id, file_id) in shelf.intake.removed)
    await shelf.until_emptied(store_id, file_id)


async def test_a_deleted_store_is_emptied(shelf: Shelf) -> None:
    shelf.work()
    members = await shelf.files(2)
    store_id = await shelf.make(*members)
    for file_id in members:
        await shelf.rest(store_id, file_id)
    await shelf.vector_stores.delete(PROJECT, store_id)
    await shelf.until(lambda: (store_id, None) in shelf.intake.removed)
    await asyncio.sleep(0.05)
    assert await shelf.row(store_id, members[0]) is None


async def test_a_deleted_store_takes_nothing_in_any_more(shelf: Shelf) -> None:
    [file_id] = await shelf.files(1)
    store_id = await shelf.make(file_id)
    await shelf.vector_stores.delete(PROJECT, store_id)
    shelf.work()
    await shelf.until(lambda: (store_id, None) in shelf.intake.removed)
    assert shelf.intake.begun == []


async def test_an_expired_store_is_emptied_but_keeps_its_list(shelf: Shelf) -> None:
    shelf.work()
    members = await shelf.files(2)
    store_id = await shelf.make(members[0], expires_after={"anchor": "last_active_at", "days": 1})
    await shelf.rest(store_id, members[0])
    await shelf.add(store_id, members[1])
    await shelf.rest(store_id, members[1])
    shelf.clock.advance(DAY_S)
    await shelf.sweeper.sweep()
    await shelf.until(lambda: (store_id, None) in shelf.intake.removed)
    found = await shelf.seen(store_id)
    assert (found.status, found.file_counts["total"]) == ("expired", 2)
    await asyncio.sleep(0.05)
    await shelf.sweeper.sweep()
    await asyncio.sleep(0.05)
    assert shelf.intake.removed.count((store_id, None)) == 1


async def test_a_file_of_a_store_that_expired_meanwhile_fails(shelf: Shelf) -> None:
    [file_id] = await shelf.files(1)
    store_id = await shelf.make(file_id, expires_after={"anchor": "last_active_at", "days": 1})
    shelf.clock.advance(DAY_S)
    shelf.work()
    found = await shelf.rest(store_id, file_id)
    assert (found.status, found.last_error) == ("failed", TOO_LATE)


# --- workers that die --------------------------------------------------------------------------------------------


async def dead_worker(shelf: Shelf, store_id: str, file_id: str) -> None:
    """Claim a file, then die."""
    held = await shelf.store.write(
        lambda c: vector_store_files.claim(c, store_id, file_id, "dead", shelf.clock.now(), LEASE_S)
    )
    assert held is not None


async def test_a_dead_workers_file_is_taken_over(shelf: Shelf) -> None:
    [file_id] = await shelf.files(1)
    store_id = await shelf.make(file_id)
    await dead_worker(shelf, store_id, file_id)
    shelf.work()
    await shelf.sweeper.sweep()
    await asyncio.sleep(0.05)
    assert shelf.intake.begun == [], "it was not dead for long enough"
    shelf.clock.advance(LEASE_S + 1)
    await shelf.sweeper.sweep()
    assert (await shelf.rest(store_id, file_id)).status == "completed"


async def test_a_file_that_kills_its_workers_is_given_up(shelf: Shelf) -> None:
    [file_id] = await shelf.files(1)
    store_id = await shelf.make(file_id)
    for _ in range(MAX_TRIES):
        await dead_worker(shelf, store_id, file_id)
        shelf.clock.advance(LEASE_S + 1)
    shelf.work()
    await shelf.sweeper.sweep()
    found = await shelf.rest(store_id, file_id)
    assert (found.status, found.last_error) == ("failed", GIVEN_UP)
    assert shelf.intake.begun == []
    await shelf.until(lambda: (store_id, file_id) in shelf.intake.removed)


async def test_a_lost_job_is_found_again(shelf: Shelf) -> None:
    [file_id] = await shelf.files(1)
    store_id = await shelf.make()
    shelf.work()
    jobs = shelf.vector_stores.enqueue
    shelf.vector_stores.enqueue = lambda _: asyncio.sleep(0)  # type: ignore[method-assign,assignment]  # a job is lost
    await shelf.add(store_id, file_id)
    shelf.vector_stores.enqueue = jobs  # type: ignore[method-assign]
    await shelf.sweeper.sweep()
    await asyncio.sleep(0.05)
    assert shelf.intake.begun == []
    shelf.clock.advance(QUEUE_PATIENCE_S + 1)
    await shelf.sweeper.sweep()
    assert (await shelf.rest(store_id, file_id)).status == "completed"


async def test_a_worker_that_stops_hands_its_files_back(shelf: Shelf) -> None:
    [file_id] = await shelf.files(1)
    gate = shelf.intake.outcomes[file_id] = asyncio.Event()
    worker = shelf.work()
    store_id = await shelf.make(file_id)
    await shelf.until(lambda: shelf.intake.begun)
    await asyncio.wait_for(worker.stop(), SOON_S)
    assert shelf.intake.called_off == [file_id]
    row = await shelf.row(store_id, file_id)
    assert (row["status"], row["worker"], row["tries"]) == ("in_progress", None, 0)
    gate.set()
    shelf.tasks.pop().cancel()  # its process ends
    shelf.work(name="other")
    await shelf.sweeper.sweep()
    assert (await shelf.rest(store_id, file_id)).status == "completed"


async def test_a_stop_while_a_file_is_claimed_hands_it_back(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    told, go_on = asyncio.Event(), asyncio.Event()

    async def slowly_taken(*_: object) -> None:
        told.set()
        await go_on.wait()

    monkeypatch.setattr(shelf.bus, "taken", slowly_taken)
    worker = shelf.work()
    [file_id] = await shelf.files(1)
    store_id = await shelf.make(file_id)
    await asyncio.wait_for(told.wait(), SOON_S)
    stopping = asyncio.create_task(worker.stop())
    await asyncio.sleep(0.02)
    go_on.set()
    await asyncio.wait_for(stopping, SOON_S)
    row = await shelf.row(store_id, file_id)
    assert (row["status"], row["worker"], row["tries"], row["lease_until"]) == ("in_progress", None, 0, 0.0)
    assert shelf.intake.begun == []


async def test_who_was_thought_dead_writes_nothing(shelf: Shelf) -> None:
    [file_id] = await shelf.files(1)
    gate = shelf.intake.outcomes[file_id] = asyncio.Event()
    shelf.work()
    store_id = await shelf.make(file_id)
    await shelf.until(lambda: shelf.intake.begun)
    shelf.clock.advance(LEASE_S + 1)
    held = await shelf.store.write(
        lambda c: vector_store_files.claim(c, store_id, file_id, "other", shelf.clock.now(), LEASE_S)
    )
    assert held is not None
    gate.set()
    await asyncio.sleep(0.05)
    assert (await shelf.row(store_id, file_id))["status"] == "in_progress"
    await shelf.store.write(lambda c: vector_store_files.finish(c, held, usage_bytes=3))
    assert (await shelf.rest(store_id, file_id)).usage_bytes == 3


async def test_who_finds_the_file_taken_away_lets_it_be(shelf: Shelf) -> None:
    [file_id] = await shelf.files(1)
    shelf.intake.outcomes[file_id] = LeaseLost()
    shelf.work()
    store_id = await shelf.make(file_id)
    await shelf.until(lambda: shelf.intake.begun)
    await asyncio.sleep(0.05)
    assert (await shelf.row(store_id, file_id))["status"] == "in_progress"
