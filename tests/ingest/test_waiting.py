"""Who waits for files hears at once, and is never hung by a lost signal."""

import asyncio
import time

import pytest
from tests.ingest.shelf import Shelf
from tests.storage.builders import PROJECT

from understudy.errors import NotFound, NotInStore
from understudy.ingest import waiting
from understudy.storage import vector_store_files

PROMPT_S = 1.0


async def begun(shelf: Shelf, count: int = 1) -> tuple[str, list[str], asyncio.Event]:
    """A store whose files are being taken in until the gate opens."""
    gate = asyncio.Event()
    members = await shelf.files(count)
    shelf.intake.outcomes = dict.fromkeys(members, gate)
    shelf.work()
    store_id = await shelf.make(*members)
    await shelf.until(lambda: len(shelf.intake.begun) == min(count, 8))
    return store_id, members, gate


async def test_a_file_is_told_of_at_once(shelf: Shelf) -> None:
    store_id, [file_id], gate = await begun(shelf)
    waits = asyncio.ensure_future(shelf.waits.file(PROJECT, store_id, file_id, 60.0))
    await asyncio.sleep(0.1)
    assert not waits.done()
    gate.set()
    assert (await asyncio.wait_for(waits, PROMPT_S)).status == "completed"


async def test_a_batch_is_told_of_when_the_last_is_done(shelf: Shelf) -> None:
    shelf.work()
    members, store_id = await shelf.files(3), await shelf.make()
    gate = shelf.intake.outcomes[members[1]] = asyncio.Event()
    batch = await shelf.add_batch(store_id, *members)
    waits = asyncio.ensure_future(shelf.waits.batch(PROJECT, store_id, batch.id, 60.0))
    await asyncio.sleep(0.2)
    assert not waits.done()
    gate.set()
    assert (await asyncio.wait_for(waits, PROMPT_S)).file_counts["completed"] == 3


async def test_a_store_is_waited_for_up_to_a_time(shelf: Shelf) -> None:
    store_id, _, gate = await begun(shelf, 2)
    waits = asyncio.ensure_future(shelf.waits.ready(store_id, 60.0))
    await asyncio.sleep(0.05)
    assert not waits.done()
    shelf.clock.advance(61)
    gate.set()
    assert await asyncio.wait_for(waits, PROMPT_S) is True
    assert await shelf.waits.ready(await shelf.make(), 0.0) is True


async def test_when_the_time_is_up_it_is_told_as_it_is(shelf: Shelf) -> None:
    store_id, [file_id], _ = await begun(shelf)
    assert (await shelf.waits.file(PROJECT, store_id, file_id, 0.0)).status == "in_progress"
    assert await shelf.waits.ready(store_id, 0.0) is False


async def test_a_lost_signal_costs_time_only(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "LOOK_EVERY_S", 0.05)
    [file_id] = await shelf.files(1)
    store_id = await shelf.make(file_id)
    waits = asyncio.ensure_future(shelf.waits.file(PROJECT, store_id, file_id, 60.0))
    await asyncio.sleep(0.01)
    held = await shelf.store.write(
        lambda c: vector_store_files.claim(c, store_id, file_id, "quiet", shelf.clock.now(), 8.0)
    )
    assert held is not None
    await shelf.store.write(lambda c: vector_store_files.finish(c, held))
    assert (await asyncio.wait_for(waits, PROMPT_S)).status == "completed"


async def test_a_server_that_stops_answers(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "LOOK_EVERY_S", 0.1)
    store_id, [file_id], _ = await begun(shelf)
    waits = asyncio.ensure_future(shelf.waits.file(PROJECT, store_id, file_id, 600.0))
    await asyncio.sleep(0.05)
    started = time.monotonic()
    shelf.waits.release()
    assert (await asyncio.wait_for(waits, PROMPT_S)).status == "in_progress"
    assert time.monotonic() - started < PROMPT_S


async def test_what_is_not_there_is_not_waited_for(shelf: Shelf) -> None:
    with pytest.raises(NotFound):
        await shelf.waits.file(PROJECT, "vs_none", "file-none", 60.0)
    store_id = await shelf.make()
    with pytest.raises(NotInStore):
        await shelf.waits.file(PROJECT, store_id, "file-none", 60.0)
    with pytest.raises(NotInStore, match="No file batch found with id 'vsfb_none' in vector store"):
        await shelf.waits.batch(PROJECT, store_id, "vsfb_none", 60.0)
    with pytest.raises(NotFound):
        await shelf.waits.batch("proj_other", store_id, "vsfb_none", 60.0)


async def test_who_waits_for_a_file_that_is_taken_away_is_told(shelf: Shelf) -> None:
    store_id, [file_id], _ = await begun(shelf)
    waits = asyncio.ensure_future(shelf.waits.file(PROJECT, store_id, file_id, 60.0))
    await asyncio.sleep(0.05)
    await shelf.vector_stores.remove_file(PROJECT, store_id, file_id)
    with pytest.raises(NotInStore):
        await asyncio.wait_for(waits, PROMPT_S)
