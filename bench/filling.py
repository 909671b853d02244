"""Fill a database through the store's own queries, before a server opens it."""

import asyncio
from pathlib import Path

from understudy.engine.creation import add_thread, new_messages
from understudy.protocol.messages import CreateMessage
from understudy.storage import messages
from understudy.storage.sqlite import SqliteStore


async def _fill(path: Path, sizes: tuple[int, ...]) -> list[str]:
    store = SqliteStore(path)
    await store.open()
    threads = [await store.write(lambda c: add_thread(c, "proj_default", None, {}, 1_700_000_000).id) for _ in sizes]
    said = CreateMessage(role="user", content="A message of an ordinary length, as people write them all day long.")
    for thread, size in zip(threads, sizes, strict=True):
        rows = new_messages(thread, [said] * size, 1_700_000_000)
        await store.write(lambda c, thread=thread, rows=rows: messages.add(c, "proj_default", thread, rows))
    await store.close()
    return threads


def fill(path: Path, *sizes: int) -> list[str]:
    """Return the ids of new threads of these sizes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    return asyncio.run(_fill(path, sizes))
