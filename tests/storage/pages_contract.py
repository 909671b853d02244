"""What lists must do on every Store: pages neither skip nor repeat, whatever comes and goes meanwhile."""

from dataclasses import dataclass, field
from typing import Literal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.storage import builders as make
from tests.storage.builders import PROJECT

from understudy.errors import NotFound
from understudy.storage import assistants, messages, runs, threads
from understudy.storage.base import Store
from understudy.storage.rows import Window

_SHARED = [HealthCheck.function_scoped_fixture, HealthCheck.differing_executors]  # one contract, several stores
EXAMPLES = settings(max_examples=40, suppress_health_check=_SHARED)
Order = Literal["asc", "desc"]

orders = st.sampled_from(["asc", "desc"])
changes = st.lists(st.one_of(st.none(), st.integers(0, 30)), max_size=12)
"""Between two pages: None appends a message, a number deletes that one of those there are."""


@dataclass
class Reader:
    """Pages through a thread while it changes."""

    store: Store
    thread_id: str
    alive: list[str] = field(default_factory=list)

    async def append(self) -> None:
        self.alive.append((await make.stored_message(self.store, self.thread_id)).id)

    async def change(self, place: int | None) -> None:
        if place is None:
            await self.append()
        elif self.alive:
            gone = self.alive.pop(place % len(self.alive))
            await self.store.write(lambda connection: messages.delete(connection, gone))

    async def page(self, window: Window) -> tuple[list[str], bool]:
        found, more = await self.store.read(lambda c: messages.list_page(c, self.thread_id, window))
        return [message.id for message in found], more


async def _reader(store: Store, size: int) -> Reader:
    reader = Reader(store, (await make.stored_thread(store)).id)
    for _ in range(size):
        await reader.append()
    return reader


class PagesNeitherSkipNorRepeat:
    @EXAMPLES
    @given(size=st.integers(0, 15), limit=st.integers(1, 6), order=orders, changes=changes)
    async def test_forwards(self, store: Store, size: int, limit: int, order: Order, changes: list[int | None]) -> None:
        reader = await _reader(store, size)
        at_start, seen, more, todo = list(reader.alive), [], True, list(changes)
        window = Window(limit, order)
        while more:
            ids, more = await reader.page(window)
            seen += ids
            if todo:
                await reader.change(todo.pop())
            if ids:
                window = Window(limit, order, after=ids[-1])
        self._check(seen, at_start, reader, order)

    @EXAMPLES
    @given(size=st.integers(1, 15), limit=st.integers(1, 6), order=orders, changes=changes)
    async def test_backwards(
        self, store: Store, size: int, limit: int, order: Order, changes: list[int | None]
    ) -> None:
        reader = await _reader(store, size)
        shown = reader.alive if order == "asc" else reader.alive[::-1]
        at_start, seen, more, todo = list(reader.alive), [shown[-1]], True, list(changes)
        while more:
            ids, more = await reader.page(Window(limit, order, before=seen[0]))
            seen = ids + seen
            if todo and more:
                await reader.change(todo.pop())
        self._check(seen, at_start, reader, order)

    def _check(self, seen: list[str], at_start: list[str], reader: Reader, order: Order) -> None:
        assert len(seen) == len(set(seen))
        survivors = [item for item in at_start if item in reader.alive]
        shown = [item for item in seen if item in survivors]
        assert shown == (survivors if order == "asc" else survivors[::-1])

    async def test_has_more_is_exact(self, store: Store) -> None:
        reader = await _reader(store, 4)
        assert (await reader.page(Window(3)))[1] is True
        assert (await reader.page(Window(4)))[1] is False
        assert await reader.page(Window(4, "asc", after=reader.alive[-1])) == ([], False)
        assert await reader.page(Window(4, "desc", before=reader.alive[-1])) == ([], False)

    async def test_between_two_cursors(self, store: Store) -> None:
        reader = await _reader(store, 6)
        a = reader.alive
        assert await reader.page(Window(9, "asc", after=a[0], before=a[4])) == (a[1:4], False)
        assert await reader.page(Window(9, "desc", after=a[4], before=a[0])) == (a[3:0:-1], False)
        assert await reader.page(Window(2, "asc", after=a[0], before=a[4])) == (a[1:3], True)


class CursorsMarkPlaces:
    async def test_one_that_was_deleted_still_does(self, store: Store) -> None:
        reader = await _reader(store, 5)
        cursor = reader.alive[2]
        await reader.change(2)
        assert await reader.page(Window(9, "asc", after=cursor)) == (reader.alive[2:], False)
        assert await reader.page(Window(9, "desc", after=cursor)) == (reader.alive[1::-1], False)

    async def test_an_unknown_one_is_refused(self, store: Store) -> None:
        reader = await _reader(store, 2)
        with pytest.raises(NotFound, match="No message found with id 'msg_none'"):
            await reader.page(Window(after="msg_none"))
        with pytest.raises(NotFound, match="No message found with id 'msg_none'"):
            await reader.page(Window(before="msg_none"))

    async def test_one_of_another_thread_is_refused(self, store: Store) -> None:
        reader, elsewhere = await _reader(store, 3), await _reader(store, 3)
        with pytest.raises(NotFound):
            await reader.page(Window(after=elsewhere.alive[0]))

    async def test_one_of_another_project_is_refused(self, store: Store) -> None:
        theirs = await make.stored_assistant(store, "proj_other")
        await make.stored_assistant(store)
        with pytest.raises(NotFound):
            await store.read(lambda c: assistants.list_page(c, PROJECT, Window(after=theirs.id)))

    async def test_one_of_another_kind_is_refused(self, store: Store) -> None:
        reader = await _reader(store, 1)
        with pytest.raises(NotFound, match="No run found"):
            await store.read(lambda c: runs.list_page(c, reader.thread_id, Window(after=reader.alive[0])))


class EveryListIsInOrder:
    async def test_assistants_come_newest_first_with_equal_times(self, store: Store) -> None:
        made = [(await make.stored_assistant(store)).id for _ in range(5)]
        found, more = await store.read(lambda c: assistants.list_page(c, PROJECT, Window()))
        assert ([item.id for item in found], more) == (made[::-1], False)

    async def test_messages_of_one_run_only(self, store: Store) -> None:
        thread = await make.stored_thread(store)
        mine = await make.stored_message(store, thread.id, run_id="run_1")
        await make.stored_message(store, thread.id, run_id="run_2")
        found = await store.read(lambda c: messages.list_page(c, thread.id, Window(), "run_1"))
        assert found == ([mine], False)

    async def test_many_messages_at_once_keep_their_order(self, store: Store) -> None:
        thread = await make.stored_thread(store)
        made = [make.message(thread.id, str(number)) for number in range(30)]
        await store.write(lambda c: messages.add(c, PROJECT, thread.id, made))
        found, _ = await store.read(lambda c: messages.list_page(c, thread.id, Window(100, "asc")))
        assert [item.id for item in found] == [item.id for item in made]

    async def test_changing_nothing_is_allowed(self, store: Store) -> None:
        thread, assistant = await make.stored_thread(store), await make.stored_assistant(store)
        await store.write(lambda c: messages.add(c, PROJECT, thread.id, []))
        assert (await store.write(lambda c: threads.change(c, PROJECT, thread.id, {}))).id == thread.id
        assert await store.write(lambda c: assistants.change(c, PROJECT, assistant.id, {})) == assistant
