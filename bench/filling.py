"""Fill a database through the store's own queries, before a server opens it."""

import asyncio
from functools import partial
from pathlib import Path

from understudy.engine.creation import add_messages, add_thread
from understudy.protocol.messages import CreateMessage
from understudy.storage.sqlite import SqliteStore

_NOW = 1_700_000_000


async def _fill(path: Path, sizes: tuple[int, ...]) -> list[str]:
    store = SqliteStore(path)
    await store.open()
    new = partial(add_thread, project="proj_default", given=None, tools=None, now=_NOW, todo=[])
    threads = [(await store.write(new)).id for _ in sizes]
    said = CreateMessage(role="user", content="A message of an ordinary length, as people write them all day long.")
    for thread, size in zip(threads, sizes, strict=True):
        add = partial(add_messages, project="proj_default", thread_id=thread, now=_NOW, todo=[])
        await store.write(partial(add, given=[said] * size))
    await store.close()
    return threads


def fill(path: Path, *sizes: int) -> list[str]:
    """Return the ids of new threads of these sizes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    return asyncio.run(_fill(path, sizes))
