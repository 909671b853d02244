"""Races between changes of different rows that not both may win: sums with a limit, retries, a busy thread."""

import asyncio
import threading
import time
from dataclasses import replace
from typing import Any

import pytest
from tests.storage import builders as make
from tests.storage.builders import NOW, PROJECT

from understudy.bus.local import LocalBus
from understudy.engine.conversation import Conversations
from understudy.engine.limits import refuse_beyond
from understudy.engine.retries import AnsweredBefore, Once
from understudy.errors import InvalidRequest, TooManyRequests
from understudy.protocol.messages import CreateMessage
from understudy.protocol.threads import CreateThread
from understudy.storage import messages, runs, steps, threads
from understudy.storage.api_keys import Limits
from understudy.storage.base import Store
from understudy.storage.posts import Post
from understudy.storage.rows import Window
from understudy.testing import FakeClock

MANY = 12
ROUNDS = 5
FINGERPRINT = "0123456789abcdef" * 4


def _count(outcomes: list[Any], kind: type) -> int:
    return sum(isinstance(outcome, kind) for outcome in outcomes)


class RacesHaveOneWinner:
    async def test_of_many_that_start_the_limit_lets_so_many_through(self, store: Store) -> None:
        own = [await make.stored_thread(store) for _ in range(MANY)]

        async def start(thread_id: str) -> None:
            def change(connection: Any) -> None:
                refuse_beyond(connection, PROJECT, Limits(runs_at_once=3), NOW)
                runs.add(connection, make.run(thread_id))

            await store.write(change)

        outcomes = await asyncio.gather(*[start(thread.id) for thread in own], return_exceptions=True)
        assert (_count(outcomes, TooManyRequests), outcomes.count(None)) == (MANY - 3, 3)
        assert await store.read(lambda connection: runs.count_active(connection, PROJECT)) == 3

    async def test_a_message_comes_before_a_run_or_not_at_all(self, store: Store) -> None:
        conversations = Conversations(store, LocalBus(), FakeClock())
        for _ in range(ROUNDS):
            thread = await make.stored_thread(store)

            def start(connection: Any, thread_id: str = thread.id) -> int:
                threads.lock(connection, PROJECT, thread_id)
                runs.add(connection, make.run(thread_id))
                return len(messages.newest(connection, thread_id, 100))

            says = [
                conversations.add_message(PROJECT, thread.id, CreateMessage(role="user", content="hi"))
                for _ in range(4)
            ]
            seen, *said = await asyncio.gather(store.write(start), *says, return_exceptions=True)
            kept, _ = await store.read(lambda c, thread=thread: messages.list_page(c, thread.id, Window(100)))
            assert isinstance(seen, int)
            assert len(kept) == seen == 4 - _count(said, InvalidRequest)

    async def test_who_ends_a_run_sees_what_its_worker_wrote_last(self, store: Store) -> None:
        thread = await make.stored_thread(store)
        run = make.run(thread.id, status="cancelling")
        await store.write(lambda connection: runs.add(connection, run))
        is_writing = threading.Event()

        def keep(connection: Any) -> bool:
            if not runs.hold(connection, run):
                return False
            steps.add(connection, PROJECT, make.step(run))
            is_writing.set()
            time.sleep(0.2)
            return True

        def end(connection: Any) -> list[str]:
            assert runs.save(connection, replace(run, status="cancelled"), was=run)
            return [step.status for step in steps.of_run(connection, run.id)]

        keeping = asyncio.create_task(store.write(keep))
        await asyncio.to_thread(is_writing.wait, 10)
        assert await store.write(end) == ["in_progress"]
        assert await keeping
        assert not await store.write(keep), "it is over"

    async def test_a_retry_waits_for_its_original(self, store: Store) -> None:
        clock, begun = FakeClock(), threading.Event()
        tries = [Once(clock, Post(PROJECT, FINGERPRINT, retry, looks_back=retry > 0)) for retry in (0, 1)]

        def slowly(connection: Any) -> Any:
            made = make.thread()
            threads.add(connection, PROJECT, made)
            begun.set()
            time.sleep(0.2)
            return made

        first = asyncio.ensure_future(tries[0].write(store, slowly))
        assert await asyncio.to_thread(begun.wait, 10)
        with pytest.raises(AnsweredBefore) as answered:
            await tries[1].write(store, slowly)
        assert answered.value.done.thread_id == (await first).id
        assert [once.changed for once in tries] == [True, False]

    async def test_equal_requests_that_are_no_retries_all_take_effect(self, store: Store) -> None:
        clock, conversations = FakeClock(), Conversations(store, LocalBus(), FakeClock())
        tries = [Once(clock, Post(PROJECT, FINGERPRINT)) for _ in range(MANY)]
        made = await asyncio.gather(*[conversations.create_thread(PROJECT, CreateThread(), once) for once in tries])
        assert len({thread.id for thread in made}) == MANY

    async def test_of_many_with_one_key_one_takes_effect(self, store: Store) -> None:
        conversations, clock = Conversations(store, LocalBus(), FakeClock()), FakeClock()
        tries = [Once(clock, Post(PROJECT, FINGERPRINT, body="b" * 64)) for _ in range(MANY)]
        outcomes = await asyncio.gather(
            *[conversations.create_thread(PROJECT, CreateThread(), once) for once in tries], return_exceptions=True
        )
        assert _count(outcomes, AnsweredBefore) == MANY - 1
        assert [once.changed for once in tries].count(True) == 1
        answers = {outcome.done.answer for outcome in outcomes if isinstance(outcome, AnsweredBefore)}
        assert len(answers) == 1
