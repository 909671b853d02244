"""A file's passages go with the file, and stay if it came back meanwhile."""

import asyncio
from typing import Any

import pytest
from tests.ingest.shelf import Shelf
from tests.storage.builders import PROJECT

from understudy.errors import LeaseLost
from understudy.ingest.index import Index
from understudy.ingest.intake import FileIntake
from understudy.protocol.vector_stores import FileError
from understudy.retrieval.documents import Chunk
from understudy.storage import vector_store_files
from understudy.storage.nearest import Nearest
from understudy.storage.search_sqlite import SqliteKeywords

UNUSED: Any = None
BROKEN: FileError = {"code": "server_error", "message": "It broke."}


async def test_a_failed_files_passages_are_removed_unless_it_was_added_again(shelf: Shelf) -> None:
    index = Index(shelf.store, SqliteKeywords(), Nearest(1 << 20))
    intake = FileIntake(UNUSED, UNUSED, index)
    [file_id] = await shelf.files(1)
    store_id = await shelf.make(file_id)
    held = await shelf.store.write(lambda c: vector_store_files.claim(c, store_id, file_id, "w", shelf.clock.now(), 8))
    assert held is not None
    await index.add(PROJECT, store_id, file_id, [Chunk("a willow", 0, 8, None, (), 2)])
    await shelf.store.write(lambda c: vector_store_files.finish(c, held, error=BROKEN))

    await shelf.add(store_id, file_id)
    with pytest.raises(LeaseLost):
        await intake.remove(store_id, file_id)
    assert await index.content(store_id, file_id)

    held = await shelf.store.write(lambda c: vector_store_files.claim(c, store_id, file_id, "w", shelf.clock.now(), 8))
    assert held is not None
    await shelf.store.write(lambda c: vector_store_files.finish(c, held, error=BROKEN))
    await intake.remove(store_id, file_id)
    assert not await index.content(store_id, file_id)


async def test_a_failed_file_that_is_added_at_once_is_taken_in(shelf: Shelf) -> None:
    """However the end of the first try and the beginning of the second fall together."""
    shelf.work()
    for round_ in range(20):
        [file_id] = await shelf.files(1)
        shelf.intake.outcomes[file_id] = ValueError("a defect")
        store_id = await shelf.make(file_id)
        while (await shelf.row(store_id, file_id))["status"] == "in_progress":  # noqa: ASYNC110  # the first moment counts
            await asyncio.sleep(0)
        shelf.intake.outcomes.clear()
        await asyncio.sleep(0.0005 * round_)
        await shelf.add(store_id, file_id)
        assert (await shelf.rest(store_id, file_id)).status == "completed"
