"""What the lists across threads must do on every Store: find what is asked for, page without gaps, add up right."""

from typing import Any

import pytest
from sqlalchemy import Connection
from tests.storage import builders as make
from tests.storage.builders import NOW, PROJECT

from understudy.errors import NotFound
from understudy.protocol.messages import Message
from understudy.protocol.runs import usage
from understudy.protocol.thread_list import MAX_TITLE, ListedThread
from understudy.protocol.usage import UsageBucket
from understudy.storage import messages, model_calls, run_list, runs, thread_list, threads
from understudy.storage import usage as usage_rows
from understudy.storage.base import Store
from understudy.storage.rows import Window
from understudy.storage.run_list import RunFilter
from understudy.storage.runs import RunRecord
from understudy.storage.thread_list import ThreadFilter

HOUR, DAY = 3600, 86_400


async def _run(store: Store, thread_id: str | None = None, **given: Any) -> RunRecord:
    made = make.run(thread_id or (await make.stored_thread(store)).id, **given)
    await store.write(lambda connection: runs.add(connection, made))
    return made


async def _threads(store: Store, window: Window | None = None, **wanted: Any) -> list[ListedThread]:
    found, _ = await store.read(
        lambda c: thread_list.list_page(c, PROJECT, window or Window(100), ThreadFilter(**wanted))
    )
    return found


class ThreadsAreFound:
    async def test_newest_first_with_what_is_in_them(self, store: Store) -> None:
        empty = await make.stored_thread(store)
        used = await make.stored_thread(store, metadata={"user": "민수"})
        await make.stored_message(store, used.id, "an answer before the question", role="assistant")
        await make.stored_message(store, used.id, "  오늘 부산의\n날씨는? " + "x" * MAX_TITLE)
        for number in (1, 2):
            await _run(store, used.id, status="completed", usage=usage(10 * number, number))
        last = await _run(store, used.id, model="small")
        first, second = await _threads(store)
        assert (first.id, second.id) == (used.id, empty.id)
        assert (first.message_count, first.run_count, first.metadata) == (2, 3, {"user": "민수"})
        assert first.title is not None
        assert first.title.startswith("오늘 부산의 날씨는? xxx")
        assert len(first.title) == MAX_TITLE
        assert first.usage.model_dump() == {"prompt_tokens": 30, "completion_tokens": 3, "total_tokens": 33}
        assert first.last_run is not None
        assert (first.last_run.id, first.last_run.model, first.last_run.status) == (last.id, "small", "queued")
        assert (second.title, second.message_count, second.last_run, second.usage.total_tokens) == (None, 0, None, 0)

    async def test_neither_deleted_ones_nor_those_of_others(self, store: Store) -> None:
        gone, _ = await make.stored_thread(store), await make.stored_thread(store, "proj_other")
        kept = await make.stored_thread(store)
        await store.write(lambda c: threads.delete(c, PROJECT, gone.id))
        assert [thread.id for thread in await _threads(store)] == [kept.id]

    @pytest.mark.parametrize(
        ("sought", "found"),
        [
            ({"team": "red"}, ["a", "b"]),
            ({"team": "red", "n": "1"}, ["a"]),
            ({"team": "RED"}, []),
            ({"team": "re"}, []),
            ({"도시": "부산"}, ["c"]),
            ({'say "hi"': "50%_\\"}, ["d"]),
            ({'say "hi"': "50%x\\"}, []),
            ({": ": ", "}, []),
            ({"team": ""}, []),
        ],
    )
    async def test_by_metadata_exactly(self, store: Store, sought: dict[str, str], found: list[str]) -> None:
        for name, given in {
            "a": {"team": "red", "n": "1"},
            "b": {"n": "2", "team": "red"},
            "c": {"도시": "부산"},
            "d": {'say "hi"': "50%_\\"},
            "e": {"a": ": ", "b": "x", "teams": "red"},
        }.items():
            await make.stored_thread(store, metadata=given | {"name": name})
        assert sorted(thread.metadata["name"] for thread in await _threads(store, metadata=sought)) == found

    @pytest.mark.parametrize(
        ("sought", "found"),
        [
            ("rain", ["a"]),
            ("RAIN", ["a"]),
            ("부산", ["b"]),
            ("날씨", ["b", "c"]),
            ("天气", ["d"]),
            ("annotations", []),
            ('"type"', []),
            ("u0041", []),
            ("100%_", ["e"]),
            ("100% ", []),
            ('a "quote" \\ back', ["e"]),
            ("two\nlines", ["e"]),
            ("deleted words", []),
            ("left behind", []),
        ],
    )
    async def test_by_what_is_said_in_them(self, store: Store, sought: str, found: list[str]) -> None:
        said = {
            "a": "Will it Rain?",
            "b": "부산 날씨",
            "c": "서울 날씨",
            "d": "上海天气怎么样",
            "e": '100%_ a "quote" \\ back two\nlines',
        }
        for name, text in said.items():
            thread = await make.stored_thread(store, metadata={"name": name})
            await make.stored_message(store, thread.id, text)
            gone = await make.stored_message(store, thread.id, "deleted words")
            await store.write(lambda c, gone=gone: messages.delete(c, gone.id))
            left = await make.stored_message(store, thread.id, "left behind")
            await store.write(lambda c, left=left: messages.save(c, left, abandoned=True))
        assert sorted(thread.metadata["name"] for thread in await _threads(store, text=sought)) == found

    @pytest.mark.parametrize("order", ["asc", "desc"])
    async def test_page_by_page_among_many_that_only_look_alike(self, store: Store, order: Any) -> None:
        """Every thread holds the word as a part of its JSON; a third of them says it."""
        saying = []
        for number in range(30):
            thread = await make.stored_thread(store)
            await make.stored_message(store, thread.id, "my value" if number % 3 == 0 else "nothing")
            saying += [thread.id] if number % 3 == 0 else []
        wanted, window, seen, more = ThreadFilter(text="value"), Window(3, order), list[str](), True
        while more:
            page, more = await self._page(store, window, wanted)
            seen += page
            window = Window(3, order, after=page[-1]) if page else window
        assert seen == (saying if order == "asc" else saying[::-1])
        back, more = await self._page(store, Window(4, order, before=seen[-1]), wanted)
        assert (back, more) == (seen[-5:-1], True)
        back, more = await self._page(store, Window(9, order, before=seen[-1]), wanted)
        assert (back, more) == (seen[:-1], False)

    async def _page(self, store: Store, window: Window, wanted: ThreadFilter) -> tuple[list[str], bool]:
        found, more = await store.read(lambda c: thread_list.list_page(c, PROJECT, window, wanted))
        return [thread.id for thread in found], more


class RunsOfAllThreadsAreListed:
    @pytest.mark.parametrize("order", ["asc", "desc"])
    async def test_by_time_in_pages_that_neither_skip_nor_repeat(self, store: Store, order: Any) -> None:
        made = [await _run(store, created_at=NOW + number // 4) for number in range(11)]
        await store.write(lambda c: threads.add(c, "proj_other", make.thread(id="thread_other")))
        await _run(store, "thread_other", project="proj_other")
        expected = [run.id for run in sorted(made, key=lambda run: (run.created_at, run.id), reverse=order == "desc")]
        seen, window, more = list[str](), Window(3, order), True
        while more:
            page, more = await self._page(store, window)
            seen, window = seen + page, Window(3, order, after=page[-1])
        assert seen == expected
        assert await self._page(store, Window(2, order, before=seen[5])) == (seen[3:5], True)
        assert await self._page(store, Window(20, order, after=seen[1], before=seen[5])) == (seen[2:5], False)

    async def test_by_status_and_assistant(self, store: Store) -> None:
        queued = await _run(store)
        failed = await _run(store, status="failed", assistant_id="asst_2")
        done = await _run(store, status="completed", assistant_id="asst_2")
        assert await self._ids(store, RunFilter()) == {queued.id, failed.id, done.id}
        assert await self._ids(store, RunFilter(("failed", "queued"))) == {queued.id, failed.id}
        assert await self._ids(store, RunFilter(assistant_id="asst_2")) == {failed.id, done.id}
        assert await self._ids(store, RunFilter(("failed",), "asst_2")) == {failed.id}
        assert await self._ids(store, RunFilter(("expired",))) == set()

    async def test_not_those_of_deleted_threads(self, store: Store) -> None:
        gone, kept = await _run(store, status="completed"), await _run(store)
        await store.write(lambda c: threads.bury_unused(c, [gone.thread_id], NOW + 1))
        assert await self._ids(store, RunFilter()) == {kept.id}

    async def test_a_cursor_of_nothing_is_refused(self, store: Store) -> None:
        for cursor in ({"after": "run_none"}, {"before": "run_none"}):
            with pytest.raises(NotFound, match="No run found with id 'run_none'"):
                await store.read(lambda c, cursor=cursor: run_list.list_page(c, PROJECT, Window(**cursor)))

    async def _page(self, store: Store, window: Window) -> tuple[list[str], bool]:
        found, more = await store.read(lambda c: run_list.list_page(c, PROJECT, window))
        return [run.id for run in found], more

    async def _ids(self, store: Store, wanted: RunFilter) -> set[str]:
        found, more = await store.read(lambda c: run_list.list_page(c, PROJECT, Window(), wanted))
        assert not more
        return {run.id for run in found}


class UseIsTold:
    async def test_by_day_model_and_project(self, store: Store) -> None:
        midnight = NOW // DAY * DAY
        await self._call(store, midnight - 0.25, usage(100, 1), "late")
        await self._call(store, midnight, usage(10, 1, cached=4), "m")
        await self._call(store, midnight + DAY - 0.25, usage(20, 2, cached=1), "m")
        await self._call(store, midnight + 5, None, "m")
        await self._call(store, midnight + 9, usage(5, 5), "other model")
        await self._call(store, midnight + 9, usage(7, 0), "m", project="proj_other")
        yesterday, today, tomorrow = await self._buckets(store, midnight - DAY, DAY, 3)
        assert (today.start_time, today.end_time) == (midnight, midnight + DAY)
        assert [self._told(part) for part in yesterday.tokens] == [(PROJECT, "late", 1, 100, 0, 1, 101)]
        assert [self._told(part) for part in today.tokens] == [
            (PROJECT, "m", 3, 30, 5, 3, 33),
            (PROJECT, "other model", 1, 5, 0, 5, 10),
        ]
        assert tomorrow.tokens == []
        everywhere = (await self._buckets(store, midnight, DAY, 1, project=None))[0]
        assert [part.total_tokens for part in everywhere.tokens] == [33, 10, 7]

    async def test_what_deleted_threads_used_stays_on_the_day(self, store: Store) -> None:
        thread = await make.stored_thread(store)
        await self._call(store, NOW, usage(10, 1), "m")
        await self._call(store, NOW, usage(30, 3), "m", thread_id=thread.id)
        await store.write(lambda c: threads.delete(c, PROJECT, thread.id))
        (day,) = await self._buckets(store, NOW // DAY * DAY, DAY, 1)
        assert [(part.model, part.model_calls, part.total_tokens) for part in day.tokens] == [
            ("m", 1, 11),
            (None, None, 33),
        ]
        (hour,) = await self._buckets(store, NOW // HOUR * HOUR, HOUR, 1)
        assert [part.model for part in hour.tokens] == ["m"]

    async def test_runs_by_hour_and_status(self, store: Store) -> None:
        hour = NOW // HOUR * HOUR
        for second, status in [(-1, "failed"), (0, "failed"), (1, "completed"), (HOUR - 1, "failed"), (HOUR, "failed")]:
            await _run(store, created_at=hour + second, status=status)
        await _run(store, created_at=hour, status="completed", project="proj_other")
        (bucket,) = await self._buckets(store, hour, HOUR, 1)
        assert [(part.status, part.runs) for part in bucket.runs] == [("completed", 1), ("failed", 2)]
        (bucket,) = await self._buckets(store, hour, HOUR, 1, project=None)
        assert sum(part.runs for part in bucket.runs) == 4

    async def _call(self, store: Store, at: float, used: Any, model: str, **given: Any) -> None:
        of = make.run(project=given.pop("project", PROJECT))
        call = make.model_call(of, at, used, model=model, **given)
        await store.write(lambda c: model_calls.add(c, call))

    async def _buckets(
        self, store: Store, start: int, width_s: int, count: int, project: str | None = PROJECT
    ) -> list[UsageBucket]:
        return await store.read(lambda c: usage_rows.buckets(c, project, start, width_s, count))

    def _told(self, part: Any) -> tuple[object, ...]:
        return tuple(part.model_dump(exclude={"object"}).values())


class RecordsNameMessages:
    async def test_those_that_are_left_with_their_places(self, store: Store) -> None:
        thread = await make.stored_thread(store)
        made: list[Message] = [await make.stored_message(store, thread.id, text) for text in "abc"]
        await store.write(lambda c: messages.delete(c, made[0].id))

        def read(connection: Connection) -> tuple[list[tuple[int, Message]], int | None]:
            ids = [message.id for message in made]
            return messages.placed(connection, thread.id, ids), messages.place_of_first(connection, ids)

        found, first = await store.read(read)
        assert [(place, message.id) for place, message in found] == [(2, made[1].id), (3, made[2].id)]
        assert first == 1
